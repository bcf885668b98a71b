package vaulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// authority signs certificates for one server.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// writeCertificates makes an authority, a server certificate for 127.0.0.1 and
// localhost and one for a client, and returns the listener's settings.
func (s *Server) writeCertificates() string {
	s.t.Helper()
	ca := &authority{}
	caDER, _ := s.sign(ca, &x509.Certificate{
		Subject: pkix.Name{CommonName: "vaulttest authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	})
	s.CACert = s.writePEM("ca.pem", "CERTIFICATE", caDER)
	server, serverKey := s.sign(ca, &x509.Certificate{
		Subject: pkix.Name{CommonName: "vaulttest server"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	client, clientKey := s.sign(ca, &x509.Certificate{
		Subject: pkix.Name{CommonName: "vaulttest client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	s.ClientCert = s.writePEM("client.pem", "CERTIFICATE", client)
	s.ClientKey = s.writePEM("client-key.pem", "EC PRIVATE KEY", s.keyDER(clientKey))
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{client}, PrivateKey: clientKey}},
	}}}
	s.t.Cleanup(s.http.CloseIdleConnections)
	listener := fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q",
		s.writePEM("server.pem", "CERTIFICATE", server), s.writePEM("server-key.pem", "EC PRIVATE KEY", s.keyDER(serverKey)))
	if s.options.RequireClientCert {
		listener += fmt.Sprintf("\n  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = %q", s.CACert)
	}
	return listener
}

// sign completes a template with a new key and signs it; without a certificate
// the authority signs itself and keeps both.
func (s *Server) sign(ca *authority, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	template.SerialNumber = big.NewInt(s.names.Add(1))
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	s.must(err)
	if ca.cert == nil {
		ca.cert, err = x509.ParseCertificate(der)
		s.must(err)
		ca.key = key
	}
	return der, key
}

func (s *Server) keyDER(key *ecdsa.PrivateKey) []byte {
	s.t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	s.must(err)
	return der
}

func (s *Server) writePEM(name, kind string, der []byte) string {
	s.t.Helper()
	file := filepath.Join(s.Dir, name)
	s.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return file
}
