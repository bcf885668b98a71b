// Package netfault is a proxy that stands between a driver and a real server
// and lets chosen requests fail in the ways that networks, gateways and broken
// servers do. It counts what went through it, so that a suite can tell a
// repeated request from a single one.
//
// Read [Proxy] first, then [Faults]. It knows HTTP and JSON, and nothing of any
// platform or of who asks.
package netfault

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// TB is the part of testing.TB that a proxy uses.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Options shape a proxy. The zero value works.
type Options struct {
	// Class names what a path is about, so that requests can be counted and
	// chosen by it: "data" for /v1/secret/data/shop/db. Nil makes one class, "".
	Class func(method, path string) string
	// Transport reaches the server; nil is one of its own.
	Transport http.RoundTripper
	// Pace is how long one byte takes under the fault "1 byte a second"; 0 is
	// 10 ms. A client whose time limit is short enough sees no difference.
	Pace time.Duration
}

// Proxy forwards every request to one server, each on a connection of its own,
// until [Proxy.Inject] tells otherwise. It is safe for concurrent use.
type Proxy struct {
	// URL and TLSURL are the two ways in; CA is the certificate, as PEM, that
	// vouches for the second.
	URL, TLSURL string
	CA          []byte

	target  string
	options Options
	plain   *gate
	secure  *gate
	certs   *certificates
	other   *elsewhere

	mu       sync.Mutex
	idle     *sync.Cond // no exchange is under way
	active   int
	requests []Request
	fault    Fault
	match    Match
	armed    bool
	seen     int // requests or connections that the match fits, so far
	hit      int // those that got the fault
	held     map[net.Conn]bool
}

// Request is one request that arrived, whatever became of it.
type Request struct {
	Method, Path, Class string
	// Fault is the name of the one that it got, "" for none.
	Fault string
	// Forwarded: the server got it and answered.
	Forwarded bool
	// Status is what the server answered, 0 where it was not asked.
	Status int
	// Sent is how many bytes of the answer's body the client took.
	Sent int64
}

// Match chooses the requests that a fault hits. Faults of connections happen
// before there is a method or a class: for them only the numbers count.
type Match struct {
	Method, Class string // "" fits all
	// Nth is the first that is hit, counted from 1 since Inject; 0 is 1.
	Nth int
	// Times is how many are hit, 0 is all from then on. What is refused cannot
	// be counted: such a fault stays until [Proxy.Lift].
	Times int
}

// New starts a proxy in front of target ("http://127.0.0.1:8200") and stops it
// when t ends.
func New(t TB, target string, o Options) *Proxy {
	t.Helper()
	if o.Class == nil {
		o.Class = func(_, _ string) string { return "" }
	}
	if o.Transport == nil {
		transport := &http.Transport{DisableCompression: true}
		t.Cleanup(transport.CloseIdleConnections)
		o.Transport = transport
	}
	if o.Pace == 0 {
		o.Pace = 10 * time.Millisecond
	}
	p := &Proxy{target: strings.TrimSuffix(target, "/"), options: o, held: map[net.Conn]bool{}}
	p.idle = sync.NewCond(&p.mu)
	var err error
	must := func() {
		t.Helper()
		if err != nil {
			t.Fatalf("netfault: %v", err)
		}
	}
	p.certs, err = newCertificates()
	must()
	p.CA = p.certs.ca
	p.plain, err = newGate(p.connected)
	must()
	p.secure, err = newGate(p.connected)
	must()
	p.other, err = newElsewhere()
	must()
	p.URL, p.TLSURL = "http://"+p.plain.address, "https://"+p.secure.address
	t.Cleanup(p.close)
	server := &http.Server{Handler: p, ErrorLog: silent()}
	server.SetKeepAlivesEnabled(false)
	go func() { _ = server.Serve(p.plain) }()
	go func() {
		_ = server.Serve(tls.NewListener(p.secure, &tls.Config{GetConfigForClient: p.handshake}))
	}()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// Inject makes requests that fit m fail with f, in place of what was injected
// before. Counting starts anew.
func (p *Proxy) Inject(f Fault, m Match) {
	p.Lift()
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Nth = max(m.Nth, 1)
	p.fault, p.match, p.armed, p.seen, p.hit = f, m, true, 0, 0
	if f.stage == refusing && m.Nth == 1 {
		p.shut()
	}
}

// Lift ends the fault; requests that it holds are let go without an answer.
func (p *Proxy) Lift() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	for c := range p.held {
		_ = c.Close()
	}
	p.plain.open()
	p.secure.open()
}

// Settle returns when no request is under way: what the server was going to do
// it has done.
func (p *Proxy) Settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.active > 0 {
		p.idle.Wait()
	}
}

// Reset forgets the requests so far.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// Requests returns what arrived since the last Reset, in order of arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Count returns how many requests of a method and class arrived since the last
// Reset; "" is any.
func (p *Proxy) Count(method, class string) int {
	n := 0
	for _, r := range p.Requests() {
		if (method == "" || r.Method == method) && (class == "" || r.Class == class) {
			n++
		}
	}
	return n
}

// Hits returns how many requests or connections got the fault since Inject; a
// refused connection is not among them.
func (p *Proxy) Hits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

// Elsewhere returns what arrived at the host that redirects lead to.
func (p *Proxy) Elsewhere() []Arrival { return p.other.list() }

func (p *Proxy) shut() {
	p.plain.shut()
	p.secure.shut()
}

func (p *Proxy) close() {
	p.Lift()
	p.shut()
	p.plain.Close()
	p.secure.Close()
	p.other.close()
}

// strikes counts one more and says whether the fault hits it. p.mu is held.
func (p *Proxy) strikes() bool {
	p.seen++
	if p.seen < p.match.Nth || p.match.Times > 0 && p.hit >= p.match.Times {
		return false
	}
	p.hit++
	return true
}

// connected is called for each connection, before its first byte.
func (p *Proxy) connected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed || p.fault.stage != refusing {
		return
	}
	if p.seen++; p.seen == p.match.Nth-1 {
		p.shut()
	}
}

// handshake chooses the certificate of one connection.
func (p *Proxy) handshake(*tls.ClientHelloInfo) (*tls.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed && p.fault.stage == shaking && p.strikes() {
		return p.fault.shake(p.certs)
	}
	return &tls.Config{Certificates: []tls.Certificate{p.certs.good}}, nil
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.begin(w, r)
	defer p.end(x)
	if x.fault.run != nil {
		x.fault.run(x)
		return
	}
	x.pass()
}

// begin records a request and decides what becomes of it.
func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active++
	x := &exchange{p: p, w: w, r: r, number: len(p.requests)}
	record := Request{Method: r.Method, Path: r.URL.Path, Class: p.options.Class(r.Method, r.URL.Path)}
	fits := (p.match.Method == "" || p.match.Method == record.Method) && (p.match.Class == "" || p.match.Class == record.Class)
	if p.armed && p.fault.stage == answering && fits && p.strikes() {
		x.fault = p.fault
		record.Fault = p.fault.Name
	}
	p.requests = append(p.requests, record)
	return x
}

func (p *Proxy) end(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.number < len(p.requests) {
		r := &p.requests[x.number]
		r.Forwarded, r.Status, r.Sent = x.status != 0, x.status, x.sent
	}
	p.active--
	p.idle.Broadcast()
}

// exchange is one request and its answer.
type exchange struct {
	p      *Proxy
	w      http.ResponseWriter
	r      *http.Request
	fault  Fault
	number int
	status int   // of the server's answer
	sent   int64 // of the body
}

// reply is an answer on its way to the client.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// forward asks the server. It goes on when the client has given up: the server
// would have, too.
func (x *exchange) forward() (reply, error) {
	body, err := io.ReadAll(x.r.Body)
	if err != nil {
		return reply{}, err
	}
	req, err := http.NewRequest(x.r.Method, x.p.target+x.r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header = x.r.Header.Clone()
	resp, err := x.p.options.Transport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	x.status = resp.StatusCode
	header := resp.Header.Clone()
	header.Del("Content-Length")
	return reply{resp.StatusCode, header, answer}, nil
}

// pass hands the server's answer on. A server that is gone looks to the client
// as it would without the proxy.
func (x *exchange) pass() {
	answer, err := x.forward()
	if err != nil {
		x.reset()
		return
	}
	x.send(answer)
}

// send writes an answer in full.
func (x *exchange) send(a reply) {
	for name, values := range a.header {
		x.w.Header()[name] = values
	}
	x.w.WriteHeader(a.status)
	n, _ := x.w.Write(a.body)
	x.sent += int64(n)
}
