package generate

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// decodePEM returns the one block of text, which must be exactly that block.
func decodePEM(t *testing.T, text, kind string) []byte {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != kind || len(rest) != 0 || len(block.Headers) != 0 || !strings.HasSuffix(text, "-----\n") {
		t.Fatalf("want one PEM block %q", kind)
	}
	return block.Bytes
}

// proves that private and public are two halves: one signs, the other checks.
func proveHalves(t *testing.T, private crypto.Signer, public crypto.PublicKey) {
	t.Helper()
	message := []byte("message")
	digest := sha256.Sum256(message)
	ok := false
	switch public := public.(type) {
	case ed25519.PublicKey:
		signature, err := private.Sign(nil, message, crypto.Hash(0))
		ok = err == nil && ed25519.Verify(public, message, signature)
	case *ecdsa.PublicKey:
		signature, err := private.Sign(rand.Reader, digest[:], crypto.SHA256)
		ok = err == nil && ecdsa.VerifyASN1(public, digest[:], signature)
	case *rsa.PublicKey:
		signature, err := private.Sign(rand.Reader, digest[:], crypto.SHA256)
		ok = err == nil && rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	}
	if !ok {
		t.Fatalf("the public key %T does not check what the private key signs", public)
	}
}

// readJWK reads a key by the letter of RFC 7518 and RFC 8037, with nothing of
// the code under test. It returns nil for a half that is not there.
func readJWK(t *testing.T, text string) (private crypto.Signer, public crypto.PublicKey, members map[string]string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err)
	}
	number := func(name string) *big.Int {
		b, err := base64.RawURLEncoding.Strict().DecodeString(members[name])
		if err != nil || len(b) == 0 {
			t.Fatalf("member %s: %v", name, err)
		}
		return new(big.Int).SetBytes(b)
	}
	_, whole := members["d"]
	switch members["kty"] {
	case "OKP":
		x := number("x").FillBytes(make([]byte, 32))
		if whole {
			private = ed25519.NewKeyFromSeed(number("d").FillBytes(make([]byte, 32)))
		}
		return private, ed25519.PublicKey(x), members
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[members["crv"]]
		size := (curve.Params().BitSize + 7) / 8
		for _, name := range []string{"x", "y"} { // RFC 7518 section 6.2.1.2: the full size
			if len(members[name]) != base64.RawURLEncoding.EncodedLen(size) {
				t.Fatalf("%s has not the size of the curve", name)
			}
		}
		point := append([]byte{4}, append(number("x").FillBytes(make([]byte, size)), number("y").FillBytes(make([]byte, size))...)...)
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			signer, err := ecdsa.ParseRawPrivateKey(curve, number("d").FillBytes(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			private = signer
		}
		return private, key, members
	case "RSA":
		key := &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
		if whole {
			signer := &rsa.PrivateKey{PublicKey: *key, D: number("d"), Primes: []*big.Int{number("p"), number("q")}}
			if err := signer.Validate(); err != nil {
				t.Fatal(err)
			}
			signer.Precompute()
			if signer.Precomputed.Dp.Cmp(number("dp")) != 0 || signer.Precomputed.Dq.Cmp(number("dq")) != 0 || signer.Precomputed.Qinv.Cmp(number("qi")) != 0 {
				t.Fatal("dp, dq or qi do not fit the primes")
			}
			private = signer
		}
		return private, key, members
	}
	t.Fatalf("kty is %q", members["kty"])
	return nil, nil, nil
}

// checkKid computes RFC 7638 by hand.
func checkKid(t *testing.T, m map[string]string) {
	t.Helper()
	hashed := map[string]string{
		"OKP": fmt.Sprintf(`{"crv":"%s","kty":"OKP","x":"%s"}`, m["crv"], m["x"]),
		"EC":  fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, m["crv"], m["x"], m["y"]),
		"RSA": fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, m["e"], m["n"]),
	}[m["kty"]]
	sum := sha256.Sum256([]byte(hashed))
	if want := base64.RawURLEncoding.EncodeToString(sum[:]); m["kid"] != want {
		t.Errorf("kid is %q, want %q", m["kid"], want)
	}
}

func TestEd25519(t *testing.T) {
	seed := make([]byte, 32)
	if _, err := seeded(9).Rand.Read(seed); err != nil {
		t.Fatal(err)
	}
	want := ed25519.NewKeyFromSeed(seed)

	for _, p := range []params{nil, {"format": "pem"}} {
		key, err := x509.ParsePKCS8PrivateKey(decodePEM(t, mustNew(t, seeded(9), "ed25519", p), "PRIVATE KEY"))
		if err != nil || !want.Equal(key.(ed25519.PrivateKey)) {
			t.Errorf("pem: %v", err)
		}
	}
	text := mustNew(t, seeded(9), "ed25519", params{"format": "openssh"})
	decodePEM(t, text, "OPENSSH PRIVATE KEY")
	if key, err := ssh.ParseRawPrivateKey([]byte(text)); err != nil || !want.Equal(*key.(*ed25519.PrivateKey)) {
		t.Errorf("openssh: %v", err)
	}
	private, public, members := readJWK(t, mustNew(t, seeded(9), "ed25519", params{"format": "jwk"}))
	if !want.Equal(private) || members["crv"] != "Ed25519" {
		t.Error("jwk: another key")
	}
	proveHalves(t, private, public)
	checkKid(t, members)
	sameNames(t, members, "crv", "d", "kid", "kty", "x")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(mustNew(t, seeded(9), "ed25519", params{"format": "raw"}))
	if err != nil || string(raw) != string(seed) {
		t.Errorf("raw: %v", err)
	}
}

func sameNames(t *testing.T, members map[string]string, want ...string) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(members)); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
}

func TestECDSA(t *testing.T) {
	for curve, on := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		t.Run(curve, func(t *testing.T) {
			agreed := map[string]ecdh.Curve{"p256": ecdh.P256(), "p384": ecdh.P384(), "p521": ecdh.P521()}[curve]
			made := func(format string) string {
				return mustNew(t, seeded(10), "ecdsa", params{"curve": curve, "format": format})
			}
			raw, err := base64.RawURLEncoding.Strict().DecodeString(made("raw"))
			if err != nil || len(raw) != (on.Params().BitSize+7)/8 {
				t.Fatalf("raw: %d bytes, %v", len(raw), err)
			}
			key, err := x509.ParsePKCS8PrivateKey(decodePEM(t, made("pem"), "PRIVATE KEY"))
			if err != nil {
				t.Fatal(err)
			}
			k := key.(*ecdsa.PrivateKey)
			point, err := k.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			exchange, err := agreed.NewPrivateKey(raw) // crypto/ecdh: other code
			if err != nil || k.Curve != on || !bytes.Equal(point, exchange.PublicKey().Bytes()) {
				t.Errorf("raw and pem are two keys: %v", err)
			}
			sec1, err := x509.ParseECPrivateKey(decodePEM(t, made("sec1"), "EC PRIVATE KEY"))
			if err != nil || !sec1.Equal(k) {
				t.Errorf("sec1: %v", err)
			}
			private, public, members := readJWK(t, made("jwk"))
			if !k.Equal(private) || members["crv"] != on.Params().Name {
				t.Error("jwk: another key")
			}
			proveHalves(t, private, public)
			checkKid(t, members)
			sameNames(t, members, "crv", "d", "kid", "kty", "x", "y")
		})
	}
	if _, err := x509.ParsePKCS8PrivateKey(decodePEM(t, mustNew(t, seeded(1), "ecdsa", nil), "PRIVATE KEY")); err != nil {
		t.Error(err)
	}
}

// Private numbers fill their whole range: no bit of them is stuck. P-521 is
// the curve whose order is no whole number of bytes.
func TestECDSANumbersFillTheRange(t *testing.T) {
	env := seeded(11)
	const draws = 400
	for curve, bits := range map[string]int{"p256": 256, "p521": 521} {
		counts := make([]int, bits)
		for range draws {
			raw, err := base64.RawURLEncoding.DecodeString(mustNew(t, env, "ecdsa", params{"curve": curve, "format": "raw"}))
			if err != nil {
				t.Fatal(err)
			}
			n := new(big.Int).SetBytes(raw)
			for i := range counts {
				counts[i] += int(n.Bit(i))
			}
		}
		if free := freeBits(counts, draws); free != bits {
			t.Errorf("%s: %d of %d bits are random", curve, free, bits)
		}
	}
}

func TestRSA(t *testing.T) {
	for _, c := range []struct {
		p    params
		bits int
	}{
		{nil, 3072},
		{params{"bits": 2048, "format": "pkcs1"}, 2048},
		{params{"bits": 2048, "format": "jwk"}, 2048},
		{params{"bits": 4096}, 4096},
	} {
		text := mustNew(t, seeded(12), "rsa", c.p)
		var private crypto.Signer
		var err error
		switch c.p["format"] {
		case "pkcs1":
			private, err = x509.ParsePKCS1PrivateKey(decodePEM(t, text, "RSA PRIVATE KEY"))
		case "jwk":
			var members map[string]string
			private, _, members = readJWK(t, text)
			checkKid(t, members)
			sameNames(t, members, "d", "dp", "dq", "e", "kid", "kty", "n", "p", "q", "qi")
		default:
			var key any
			key, err = x509.ParsePKCS8PrivateKey(decodePEM(t, text, "PRIVATE KEY"))
			private, _ = key.(crypto.Signer)
		}
		if err != nil {
			t.Fatal(err)
		}
		key := private.(*rsa.PrivateKey)
		if key.N.BitLen() != c.bits || key.E != 65537 || key.Validate() != nil {
			t.Errorf("%v: %d bits, exponent %d", c.p, key.N.BitLen(), key.E)
		}
		proveHalves(t, key, key.Public())
	}
}

func TestSSHKey(t *testing.T) {
	for _, c := range []struct {
		p    params
		kind string
	}{
		{nil, "ssh-ed25519"},
		{params{"type": "ed25519", "comment": "deploy@shop"}, "ssh-ed25519"},
		{params{"type": "ecdsa", "comment": "with spaces and ünicode"}, "ecdsa-sha2-nistp256"},
		{params{"type": "ecdsa", "bits": 384, "comment": "c"}, "ecdsa-sha2-nistp384"},
		{params{"type": "ecdsa", "bits": 521, "comment": "c"}, "ecdsa-sha2-nistp521"},
		{params{"type": "rsa", "comment": "backup"}, "ssh-rsa"},
		{params{"type": "rsa", "bits": 2048}, "ssh-rsa"},
	} {
		text := mustNew(t, seeded(13), "ssh_key", c.p)
		decodePEM(t, text, "OPENSSH PRIVATE KEY")
		signer, err := ssh.ParsePrivateKey([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if signer.PublicKey().Type() != c.kind {
			t.Errorf("%v: %s, want %s", c.p, signer.PublicKey().Type(), c.kind)
		}
		signature, err := signer.Sign(rand.Reader, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		// The public half comes from the function under test, as a line of an
		// authorized_keys file, and must check what the private half signs.
		line := mustDerive(t, "public_key", nil, text)
		public, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(options) != 0 || len(rest) != 0 || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%v: %q: %v", c.p, line, err)
		}
		want, _ := c.p["comment"].(string)
		if public.Verify([]byte("message"), signature) != nil || comment != want {
			t.Errorf("%v: comment %q, or the halves do not fit", c.p, comment)
		}
		if key, ok := signer.PublicKey().(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey); ok {
			bits := 3072
			if c.p["bits"] != nil {
				bits = c.p["bits"].(int)
			}
			if key.N.BitLen() != bits {
				t.Errorf("%v: %d bits", c.p, key.N.BitLen())
			}
		}
	}
}
