package generate

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// readPublic reads any of the formats of public_key with other code.
func readPublic(t *testing.T, text, format string) crypto.PublicKey {
	t.Helper()
	switch format {
	case "pem":
		key, err := x509.ParsePKIXPublicKey(decodePEM(t, text, "PUBLIC KEY"))
		if err != nil {
			t.Fatal(err)
		}
		return key
	case "openssh":
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return key.(ssh.CryptoPublicKey).CryptoPublicKey()
	case "jwk":
		private, key, members := readJWK(t, text)
		if private != nil {
			t.Fatal("a public JWK holds the private half")
		}
		checkKid(t, members)
		return key
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == ed25519.PublicKeySize {
		return ed25519.PublicKey(b)
	}
	curve := map[int]elliptic.Curve{65: elliptic.P256(), 97: elliptic.P384(), 133: elliptic.P521()}[len(b)]
	key, err := ecdsa.ParseUncompressedPublicKey(curve, b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPublicKeyFromEveryFormatToEveryFormat(t *testing.T) {
	for _, c := range []struct {
		name   string
		p      params
		inputs map[string]string // format of the generator, format "auto" stands for
	}{
		{"ed25519", params{}, map[string]string{"pem": "pem", "jwk": "jwk", "openssh": "openssh", "raw": "raw"}},
		{"ecdsa", params{"curve": "p256"}, map[string]string{"pem": "pem", "sec1": "pem", "jwk": "jwk", "raw": "raw"}},
		{"ecdsa", params{"curve": "p384"}, map[string]string{"pem": "pem", "sec1": "pem", "jwk": "jwk", "raw": "raw"}},
		{"ecdsa", params{"curve": "p521"}, map[string]string{"pem": "pem", "sec1": "pem", "jwk": "jwk", "raw": "raw"}},
		{"rsa", params{"bits": 2048}, map[string]string{"pem": "pem", "pkcs1": "pem", "jwk": "jwk"}},
	} {
		for format, auto := range c.inputs {
			t.Run(fmt.Sprint(c.name, c.p["curve"], format), func(t *testing.T) {
				p := params{"format": format}
				for k, v := range c.p {
					p[k] = v
				}
				private := mustNew(t, seeded(21), c.name, p)
				signer := privateOf(t, private, format, c.p["curve"])
				for _, out := range []string{"auto", "pem", "openssh", "jwk", "raw"} {
					q := params{"format": out}
					if c.name == "ed25519" && format == "raw" {
						q["raw_key"] = "ed25519"
					}
					got, err := derive("public_key", q, " \n"+private+"\n")
					if c.name == "rsa" && out == "raw" {
						if err == nil {
							t.Error("an RSA key has no raw form")
						}
						continue
					}
					if err != nil {
						t.Fatalf("to %s: %v", out, err)
					}
					if out == "auto" {
						out = auto
					}
					proveHalves(t, signer, readPublic(t, text(t, got), out))
				}
			})
		}
	}
}

// privateOf reads the private key with other code than the one under test.
func privateOf(t *testing.T, text, format string, curve any) crypto.Signer {
	t.Helper()
	var key any
	var err error
	switch format {
	case "jwk":
		key, _, _ = readJWK(t, text)
	case "raw":
		b, decodeErr := base64.RawURLEncoding.DecodeString(text)
		if decodeErr != nil {
			t.Fatal(decodeErr)
		}
		on := map[any]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}[curve]
		if on == nil {
			return ed25519.NewKeyFromSeed(b)
		}
		key, err = ecdsa.ParseRawPrivateKey(on, b)
	default:
		key, err = ssh.ParseRawPrivateKey([]byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	if pointer, ok := key.(*ed25519.PrivateKey); ok {
		return *pointer
	}
	return key.(crypto.Signer)
}

// Published keys: RFC 8291 appendix A (the two pairs of Web Push on P-256, the
// curve and form of VAPID), RFC 8037 appendix A (Ed25519).
func TestPublicKeyVectors(t *testing.T) {
	for private, public := range map[string]string{
		"q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
		"yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw": "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
	} {
		if got := mustDerive(t, "public_key", nil, private); got != public {
			t.Errorf("the public key of %s is %s, want %s", private, got, public)
		}
	}
	const jwkText = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	const want = `{"crv":"Ed25519","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	if got := mustDerive(t, "public_key", nil, jwkText); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	raw := params{"raw_key": "ed25519"}
	if got := mustDerive(t, "public_key", raw, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"); got != "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" {
		t.Errorf("the raw seed gives %s", got)
	}
}

// The VAPID pair as Web Push servers take it: both halves base64url, agreeing
// on P-256.
func TestVAPIDPair(t *testing.T) {
	private := mustNew(t, seeded(22), "ecdsa", params{"format": "raw"})
	public := mustDerive(t, "public_key", nil, private)
	d, err := base64.RawURLEncoding.DecodeString(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		t.Fatal(err)
	}
	if want := base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()); public != want || len(public) != 87 || public[0] != 'B' {
		t.Errorf("public key %s, want %s", public, want)
	}
}

func TestPublicKeyOfCertificate(t *testing.T) {
	text := mustNew(t, seeded(23), "self_signed_cert", params{"common_name": "a"})
	key, cert := split(t, text)
	public := readPublic(t, mustDerive(t, "public_key", nil, text), "pem")
	proveHalves(t, key, public)
	if !cert.PublicKey.(*ecdsa.PublicKey).Equal(public) {
		t.Error("another key than the certificate's")
	}
}

func TestPublicKeyKeepsWhatAJWKSays(t *testing.T) {
	var members map[string]any
	if err := json.Unmarshal([]byte(mustNew(t, seeded(24), "ecdsa", params{"format": "jwk"})), &members); err != nil {
		t.Fatal(err)
	}
	members["kid"], members["alg"], members["use"] = "2031-05", "ES256", "sig"
	members["key_ops"], members["secret_note"] = []string{"sign"}, "not for the public"
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	var public map[string]string
	if err := json.Unmarshal([]byte(mustDerive(t, "public_key", nil, string(text))), &public); err != nil {
		t.Fatal(err)
	}
	sameNames(t, public, "alg", "crv", "kid", "kty", "use", "x", "y")
	if public["kid"] != "2031-05" || public["alg"] != "ES256" || public["use"] != "sig" {
		t.Errorf("got %v", public)
	}
}

func TestPublicKeyRefuses(t *testing.T) {
	ed := mustNew(t, seeded(25), "ed25519", params{"format": "jwk"})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "c", []byte("passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := x509.MarshalPKCS8PrivateKey(x25519)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := x509.MarshalECPrivateKey(p224)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte, headers map[string]string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b, Headers: headers}))
	}
	for _, c := range []struct{ name, value, want string }{
		{"openssh with a passphrase", string(pem.EncodeToMemory(locked)), "passphrase"},
		{"pkcs8 with a passphrase", block("ENCRYPTED PRIVATE KEY", []byte{1}, nil), "passphrase"},
		{"legacy passphrase", block("RSA PRIVATE KEY", []byte{1}, map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}), "passphrase"},
		{"X25519", block("PRIVATE KEY", foreign, nil), "not supported"},
		{"P-224", block("EC PRIVATE KEY", small, nil), "not supported"},
		{"DSA", block("DSA PRIVATE KEY", []byte{1}, nil), "not supported"},
		{"damaged", block("PRIVATE KEY", []byte("CANARY"), nil), "not a valid"},
		{"no private key", block("CERTIFICATE", []byte{1}, nil), "no private key"},
		{"text", "hunter2", "no private key"},
		{"empty", "", "no private key"},
		{"raw of another size", "AAAA", "size"},
		{"raw zero", strings.Repeat("A", 43), "not a valid"},
		{"public jwk", `{"kty":"OKP","crv":"Ed25519","x":"AA"}`, "not a private one"},
		{"symmetric jwk", `{"kty":"oct","k":"AA"}`, "not a private one"},
		{"secp256k1 jwk", `{"kty":"EC","crv":"secp256k1","d":"AAAA"}`, "not supported"},
		{"short jwk", `{"kty":"OKP","crv":"Ed25519","d":"AAAA"}`, "not a valid"},
		{"rsa jwk without primes", `{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}`, "not a valid"},
		{"rsa jwk of nonsense", `{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB","p":"Aw","q":"BQ"}`, "not a valid"},
		{"jwk whose halves differ", strings.Replace(ed, `"x":"`, `"x":"A`, 1), "does not belong"},
		{"broken json", "{" + ed, "not JSON"},
	} {
		got, err := derive("public_key", nil, c.value)
		if err == nil || !got.IsZero() || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", c.name, err, c.want)
		}
	}
}

// A key file as openssl writes it: parameters first, then the key.
func TestPublicKeySkipsOtherBlocks(t *testing.T) {
	key := mustNew(t, seeded(26), "ecdsa", params{"format": "sec1"})
	parameters := string(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}}))
	if got, want := mustDerive(t, "public_key", nil, parameters+key), mustDerive(t, "public_key", nil, key); got != want {
		t.Error("another key")
	}
}

// RFC 7638 section 3.1, the example.
func TestThumbprintVector(t *testing.T) {
	kid, err := thumbprint(jwk{"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"})
	if err != nil || kid != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("kid %s, %v", kid, err)
	}
}
