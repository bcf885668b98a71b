package sealing

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// certificate makes one for a key, as the controller does.
func certificate(t *testing.T, public, private any) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// open does what the controller does, for a place.
func open(private *rsa.PrivateKey, sealed, label string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(raw))
	session, err := rsa.DecryptOAEP(sha256.New(), nil, private, raw[2:2+n], []byte(label))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(session)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, make([]byte, gcm.NonceSize()), raw[2+n:], nil)
}

func TestSealOpensAtItsPlaceOnly(t *testing.T) {
	private := rsaKey(t, 2048)
	key, err := ParseCertificate(certificate(t, &private.PublicKey, private))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "hunter2", strings.Repeat("é\x00", 100_000)} {
		for scope, opens := range map[Scope][]string{
			Strict: {"shop/env"}, NamespaceWide: {"shop"}, ClusterWide: {""}, "": {"shop/env"},
		} {
			first, err := key.Seal(secret.String(value), scope, "shop", "env")
			if err != nil {
				t.Fatal(err)
			}
			second, _ := key.Seal(secret.String(value), scope, "shop", "env")
			if first == second {
				t.Errorf("%s: two seals are alike", scope)
			}
			for _, label := range []string{"shop/env", "shop", "", "shop/other", "web/env"} {
				plain, err := open(private, first, label)
				if wanted := label == opens[0]; wanted != (err == nil) || wanted && !bytes.Equal(plain, []byte(value)) {
					t.Errorf("%q sealed %s opens at %q: %v", value[:min(9, len(value))], scope, label, err)
				}
			}
		}
	}
}

func TestParseCertificate(t *testing.T) {
	private, weak := rsaKey(t, 2048), rsaKey(t, 1024)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := certificate(t, &private.PublicKey, private)
	other := certificate(t, &private.PublicKey, private)
	leaked := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"good":                {good, ""},
		"text around":         {append([]byte("# sealing\n"), good...), ""},
		"the first of two":    {append(bytes.Clone(good), other...), ""},
		"empty":               {nil, ErrNoCertificate.Error()},
		"no PEM":              {[]byte("MIIB"), ErrNoCertificate.Error()},
		"broken":              {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), ErrNoCertificate.Error()},
		"too long":            {bytes.Repeat(good, 80), ErrNoCertificate.Error()},
		"another kind of key": {certificate(t, &curve.PublicKey, curve), ErrWeak.Error()},
		"a short key":         {certificate(t, &weak.PublicKey, weak), ErrWeak.Error()},
		"a private key":       {append(bytes.Clone(good), leaked...), "it holds a private key"},
	} {
		key, err := ParseCertificate(c.text)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", name, err)
		case c.want == "" && (!key.Expires.Equal(time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)) || !key.Is(key.Fingerprint) || !key.Is(strings.ToUpper(key.Fingerprint[7:])) || key.Is("sha256:00")):
			t.Errorf("%s: %+v", name, key)
		}
	}
}
