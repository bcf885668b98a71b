package generate

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"strconv"
	"strings"
	"time"
)

// clockSkew is how far the clock of a reader may be behind.
const clockSkew = 5 * time.Minute

func selfSigned(p resolved, env Env) ([]byte, error) {
	key, err := certKey(p.string("key"), env)
	if err != nil {
		return nil, err
	}
	template, err := certTemplate(p, key, env)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(env.Rand, template, template, key.Public(), key)
	if err != nil {
		return nil, errors.New("the certificate could not be made")
	}
	private, err := encodePrivate(key, "pem", "")
	if err != nil {
		return nil, err
	}
	return append(private, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

func certKey(kind string, env Env) (crypto.Signer, error) {
	if bits, ok := strings.CutPrefix(kind, "rsa"); ok {
		n, err := strconv.Atoi(bits)
		if err != nil {
			return nil, err
		}
		return newRSA(env.Rand, n)
	}
	if kind == "ed25519" {
		return newEd25519(env.Rand)
	}
	return newECDSA(env.Rand, kind)
}

func certTemplate(p resolved, key crypto.Signer, env Env) (*x509.Certificate, error) {
	serial, err := read(env.Rand, 16)
	if err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive and never zero: RFC 5280 section 4.1.2.2
	t := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		NotBefore:             env.Now.UTC().Add(-clockSkew),
		NotAfter:              env.Now.UTC().AddDate(0, 0, p.int("days")),
		DNSNames:              p.strings("dns_names"),
		BasicConstraintsValid: true,
		IsCA:                  p.bool("is_ca"),
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	for _, address := range p.strings("ip_addresses") {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(address))
	}
	t.Subject = pkix.Name{CommonName: commonName(p)}
	if o := p.string("organization"); o != "" {
		t.Subject.Organization = []string{o}
	}
	if t.IsCA {
		t.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		return t, nil
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if _, ok := key.(*rsa.PrivateKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // RSA key exchange of TLS 1.2
	}
	return t, nil
}

// commonName is at most 64 characters (RFC 5280 appendix A.1); a longer name
// stands in the alternative names alone, which is where readers look.
func commonName(p resolved) string {
	if cn := p.string("common_name"); cn != "" {
		return cn
	}
	names := append(append([]string{}, p.strings("dns_names")...), p.strings("ip_addresses")...)
	if len(names[0]) > 64 {
		return ""
	}
	return names[0]
}

func certificate(c call) ([]byte, error) {
	var out []byte
	for block, rest := pem.Decode(c.args[0]); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			out = append(out, pem.EncodeToMemory(block)...)
		}
	}
	if out == nil {
		return nil, errors.New("the value has no certificate in PEM")
	}
	return out, nil
}

func privateKey(c call) ([]byte, error) {
	block, err := privateBlock(bytes.TrimSpace(c.args[0]))
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}
