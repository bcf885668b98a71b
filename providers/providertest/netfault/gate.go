package netfault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// gate is a listener whose port can be closed and opened again: connections to
// a closed one are refused by the kernel, as those to a server that is gone.
type gate struct {
	address   string
	connected func() // called for each connection

	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	mu sync.Mutex
	l  net.Listener // nil while shut
}

func newGate(connected func()) (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{address: l.Addr().String(), connected: connected, conns: make(chan net.Conn), done: make(chan struct{}), l: l}
	go g.take(l)
	return g, nil
}

func (g *gate) take(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		g.connected()
		select {
		case g.conns <- c:
		case <-g.done:
			_ = c.Close()
			return
		}
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l != nil {
		_ = g.l.Close()
		g.l = nil
	}
}

// open listens again on the same port. Somebody may hold it for a moment: an
// outgoing connection of this machine that was given its number.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.l == nil {
		l, err := net.Listen("tcp", g.address)
		if err != nil {
			continue
		}
		g.l = l
		go g.take(l)
	}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.done) })
	g.shut()
	return nil
}

// Addr implements net.Listener.
func (g *gate) Addr() net.Addr { return address(g.address) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// certificates are those that the proxy can show.
type certificates struct {
	ca            []byte
	good, expired tls.Certificate
}

func newCertificates() (*certificates, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "netfault authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return nil, err
	}
	c := &certificates{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	leaf := func(serial int64, until time.Time) (tls.Certificate, error) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "netfault"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			NotBefore: now.Add(-47 * time.Hour), NotAfter: until,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, root, own.Public(), key)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}, err
	}
	if c.good, err = leaf(2, now.Add(24*time.Hour)); err != nil {
		return nil, err
	}
	c.expired, err = leaf(3, now.Add(-time.Hour))
	return c, err
}

// credentialHeaders are the names under which credentials travel.
var credentialHeaders = []string{
	"Authorization", "Proxy-Authorization", "Cookie", "X-Vault-Token", "X-Amz-Security-Token", "X-Api-Key", "X-Auth-Token",
	"X-Goog-Api-Key", "Private-Token", "Ocp-Apim-Subscription-Key",
}

// Arrival is a request at a host that it was not meant for.
type Arrival struct {
	Method, Path string
	// Credentials are the names of its headers that carry one, in order.
	Credentials []string
	// Text is the request as text, headers and body, so that a suite can look
	// for what must not be in it.
	Text string
}

// elsewhere is another host, which records what arrives and answers 200.
type elsewhere struct {
	url    string
	server *http.Server
	mu     sync.Mutex
	all    []Arrival
}

func newElsewhere() (*elsewhere, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	e := &elsewhere{url: "http://" + net.JoinHostPort("localhost", port)}
	e.server = &http.Server{Handler: e, ErrorLog: silent()}
	go func() { _ = e.server.Serve(l) }()
	return e, nil
}

// ServeHTTP implements http.Handler.
func (e *elsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := Arrival{Method: r.Method, Path: r.URL.Path}
	var text strings.Builder
	text.WriteString(r.Method + " " + r.RequestURI + "\n")
	_ = r.Header.Write(&text)
	_, _ = io.Copy(&text, io.LimitReader(r.Body, 1<<20))
	a.Text = text.String()
	for _, name := range credentialHeaders {
		if r.Header.Get(name) != "" {
			a.Credentials = append(a.Credentials, name)
		}
	}
	e.mu.Lock()
	e.all = append(e.all, a)
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

func (e *elsewhere) list() []Arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

func (e *elsewhere) close() { _ = e.server.Close() }

// silent swallows what a server says of broken handshakes: they are meant.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
