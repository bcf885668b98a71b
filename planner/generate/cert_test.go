package generate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

// split reads a value of self_signed_cert: the key, then the certificate.
func split(t tb, text string) (crypto.Signer, *x509.Certificate) {
	t.Helper()
	first, rest := pem.Decode([]byte(text))
	second, end := pem.Decode(rest)
	if first == nil || second == nil || first.Type != "PRIVATE KEY" || second.Type != "CERTIFICATE" || len(end) != 0 {
		t.Fatal("want a PRIVATE KEY and a CERTIFICATE")
	}
	key, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(second.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer), cert
}

func TestSelfSignedCertFields(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`[a-z][a-z0-9-]{0,10}[a-z0-9]`)
		names := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "*."}).Draw(t, "wildcard") + label.Draw(t, "host") + ".example.com"
		}), 0, 4).Draw(t, "names")
		ips := rapid.SliceOfN(rapid.SampledFrom([]string{"192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"}), 0, 3).Draw(t, "ips")
		days := rapid.IntRange(1, 36500).Draw(t, "days")
		ca := rapid.Bool().Draw(t, "ca")
		p := params{"common_name": "Common Name", "organization": "Acme, Inc.", "dns_names": names, "ip_addresses": ips, "days": days, "is_ca": ca}
		_, cert := split(t, mustNew(t, seeded(rapid.Uint64().Draw(t, "seed")), "self_signed_cert", p))

		var have []string
		for _, ip := range cert.IPAddresses {
			have = append(have, ip.String())
		}
		if fmt.Sprint(cert.DNSNames) != fmt.Sprint(names) || fmt.Sprint(have) != fmt.Sprint(ips) {
			t.Fatalf("names %v %v, want %v %v", cert.DNSNames, have, names, ips)
		}
		if cert.Subject.String() != `CN=Common Name,O=Acme\, Inc.` || cert.Issuer.String() != cert.Subject.String() {
			t.Fatalf("subject %s, issuer %s", cert.Subject, cert.Issuer)
		}
		from, until := testTime.Truncate(time.Second).Add(-5*time.Minute), testTime.Truncate(time.Second).AddDate(0, 0, days)
		if !cert.NotBefore.Equal(from) || !cert.NotAfter.Equal(until) {
			t.Fatalf("valid %v to %v, want %v to %v", cert.NotBefore, cert.NotAfter, from, until)
		}
		if cert.Version != 3 || cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() != 127 {
			t.Fatalf("version %d, serial of %d bits", cert.Version, cert.SerialNumber.BitLen())
		}
		if !cert.BasicConstraintsValid || cert.IsCA != ca || (len(cert.SubjectKeyId) > 0) != ca {
			t.Fatalf("is_ca = %v gave %v", ca, cert.IsCA)
		}
		usage, extended := x509.KeyUsageDigitalSignature, fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth})
		if ca {
			usage, extended = usage|x509.KeyUsageCertSign|x509.KeyUsageCRLSign, "[]"
		}
		if cert.KeyUsage != usage || fmt.Sprint(cert.ExtKeyUsage) != extended {
			t.Fatalf("usage %b, extended %v", cert.KeyUsage, cert.ExtKeyUsage)
		}
	})
}

func TestSelfSignedCertKeys(t *testing.T) {
	kind := func(key crypto.Signer) string {
		switch k := key.(type) {
		case ed25519.PrivateKey:
			return "ed25519"
		case *ecdsa.PrivateKey:
			return fmt.Sprintf("p%d", k.Params().BitSize)
		case *rsa.PrivateKey:
			return fmt.Sprintf("rsa%d", k.N.BitLen())
		}
		return "unknown"
	}
	for _, want := range []string{"p256", "p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa4096"} {
		text := mustNew(t, seeded(14), "self_signed_cert", params{"dns_names": []string{"api.example.com"}, "key": want})
		key, cert := split(t, text)
		if kind(key) != want {
			t.Errorf("key = %q gave %s", want, kind(key))
		}
		proveHalves(t, key, cert.PublicKey)
		if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			t.Errorf("%s: its own signature: %v", want, err)
		}
		if encipher := cert.KeyUsage&x509.KeyUsageKeyEncipherment != 0; encipher != strings.HasPrefix(want, "rsa") {
			t.Errorf("%s: key encipherment %v", want, encipher)
		}
	}
}

// What the certificate is for: a TLS server that a client with the certificate
// in its pool trusts, by name and by address.
func TestSelfSignedCertServesTLS(t *testing.T) {
	env := seeded(15)
	env.Now = time.Now()
	for _, key := range []string{"p256", "ed25519", "rsa2048"} {
		text := mustNew(t, env, "self_signed_cert", params{"dns_names": []string{"api.example.com"}, "ip_addresses": []string{"127.0.0.1"}, "key": key})
		pair, err := tls.X509KeyPair([]byte(mustDerive(t, "certificate", nil, text)), []byte(mustDerive(t, "private_key", nil, text)))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(text)) {
			t.Fatal("no certificate in the value")
		}
		for _, name := range []string{"api.example.com", "127.0.0.1"} {
			if err := handshake(pair, pool, name); err != nil {
				t.Errorf("%s as %s: %v", key, name, err)
			}
		}
		if err := handshake(pair, pool, "other.example.com"); err == nil {
			t.Errorf("%s is trusted under another name", key)
		}
	}
}

// handshake runs one over a socket: a pipe in memory has no buffer, and both
// sides may write at once.
func handshake(pair tls.Certificate, pool *x509.CertPool, name string) error {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		server, err := listener.Accept()
		if err != nil {
			return
		}
		defer server.Close()
		_, _ = io.Copy(server, server) // echo; an error shows at the client
	}()
	client, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: name})
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Write([]byte("ping")); err != nil {
		return err
	}
	_, err = io.ReadFull(client, make([]byte, 4))
	return err
}

// An authority signs another certificate, and a reader that trusts the
// authority trusts that one.
func TestSelfSignedCertAuthority(t *testing.T) {
	key, ca := split(t, mustNew(t, seeded(16), "self_signed_cert", params{"common_name": "Acme CA", "is_ca": true, "days": 3650}))
	leafKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "db"}, DNSNames: []string{"db.internal"},
		NotBefore: testTime, NotAfter: testTime.AddDate(0, 1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, leafKey.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "db.internal", CurrentTime: testTime.Add(time.Hour)}); err != nil {
		t.Error(err)
	}
}

func TestSelfSignedCertName(t *testing.T) {
	long := strings.Repeat("a", 60) + ".example.com"
	for _, c := range []struct {
		p    params
		want string
	}{
		{params{"dns_names": []string{"first.example", "second.example"}}, "first.example"},
		{params{"ip_addresses": []string{"192.0.2.1"}}, "192.0.2.1"},
		{params{"dns_names": []string{"a.example"}, "common_name": "Own"}, "Own"},
		{params{"dns_names": []string{long}}, ""}, // over the 64 of RFC 5280
	} {
		if _, cert := split(t, mustNew(t, seeded(17), "self_signed_cert", c.p)); cert.Subject.CommonName != c.want {
			t.Errorf("%v: common name %q", c.p, cert.Subject.CommonName)
		}
	}
}

func TestCertificateAndPrivateKey(t *testing.T) {
	text := mustNew(t, seeded(18), "self_signed_cert", params{"common_name": "a"})
	cert, key := mustDerive(t, "certificate", nil, text), mustDerive(t, "private_key", nil, text)
	if key+cert != text {
		t.Error("the two parts are not the value")
	}
	decodePEM(t, cert, "CERTIFICATE")
	decodePEM(t, key, "PRIVATE KEY")

	other := mustDerive(t, "certificate", nil, mustNew(t, seeded(19), "self_signed_cert", params{"common_name": "b"}))
	if got := mustDerive(t, "certificate", nil, "text before\n"+cert+"between\n"+key+other); got != cert+other {
		t.Error("a chain is not kept in its order")
	}
	for name, value := range map[string]string{"certificate": key, "private_key": cert} {
		if _, err := derive(name, nil, value); err == nil {
			t.Errorf("%s of a value without one", name)
		}
	}
	if _, err := derive("private_key", nil, key+key); err == nil || !strings.Contains(err.Error(), "more than one") {
		t.Errorf("two private keys: %v", err)
	}
}
