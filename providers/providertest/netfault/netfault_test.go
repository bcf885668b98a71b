package netfault

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// world is a counting server behind a proxy, and a client with a short time
// limit.
type world struct {
	*Proxy
	acted  atomic.Int64
	client *http.Client
}

func newWorld(t *testing.T) *world {
	w := &world{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.acted.Add(1)
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodDelete {
			rw.WriteHeader(http.StatusNoContent)
			return
		}
		rw.Header().Set("X-Server", "real")
		fmt.Fprintf(rw, `{"data":{"method":%q,"token":%q,"body":%q,"version":7}}`, r.Method, r.Header.Get("X-Vault-Token"), body)
	}))
	t.Cleanup(server.Close)
	w.Proxy = New(t, server.URL, Options{
		Class: func(_, path string) string { return strings.Split(path, "/")[1] },
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport, Timeout: 400 * time.Millisecond}
	return w
}

// ask makes one request and returns its status and body, read to a bound.
func (w *world) ask(t *testing.T, base, method, path string) (int, []byte, error) {
	t.Helper()
	req, err := http.NewRequest(method, base+path, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", "sesame")
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return resp.StatusCode, body, err
}

func TestPassesThrough(t *testing.T) {
	w := newWorld(t)
	for _, base := range []string{w.URL, w.TLSURL} {
		status, body, err := w.ask(t, base, "PATCH", "/data/a?b=c")
		want := `{"data":{"method":"PATCH","token":"sesame","body":"hello","version":7}}`
		if err != nil || status != 200 || string(body) != want {
			t.Errorf("%s: %d %s %v", base, status, body, err)
		}
	}
	w.Settle()
	if got := w.Requests(); len(got) != 2 || got[0] != (Request{"PATCH", "/data/a", "data", "", true, 200, int64(71)}) {
		t.Errorf("requests: %+v", got)
	}
	if w.Count("PATCH", "data") != 2 || w.Count("", "meta") != 0 {
		t.Errorf("counts are wrong: %+v", w.Requests())
	}
}

// Every fault hits, does what it says of the server, and is over afterwards.
func TestEveryFault(t *testing.T) {
	for _, f := range Faults() {
		t.Run(f.Name, func(t *testing.T) {
			w := newWorld(t)
			w.Inject(f, Match{})
			began := time.Now()
			status, body, err := w.ask(t, w.Address(f), http.MethodPost, "/data/a")
			w.Settle()
			if acted := w.acted.Load() == 1; acted != f.MayHaveActed {
				t.Errorf("the server acted: %v, the fault says %v", acted, f.MayHaveActed)
			}
			if timedOut := err != nil && time.Since(began) >= w.client.Timeout; timedOut != f.Endless {
				t.Errorf("waited until the time limit: %v (%v), the fault says %v", timedOut, err, f.Endless)
			}
			if problem := looksLike(f, status, body, err); problem != "" {
				t.Errorf("%s: status %d, error %v, %d bytes", problem, status, err, len(body))
			}
			for _, r := range w.Requests() {
				if r.Fault != f.Name || r.Forwarded != f.MayHaveActed {
					t.Errorf("recorded %+v", r)
				}
			}
			w.Lift()
			if status, _, err := w.ask(t, w.URL, http.MethodPost, "/data/a"); err != nil || status != 200 {
				t.Errorf("after the fault: %d %v", status, err)
			}
		})
	}
}

// looksLike says what is wrong with how a fault looks to a client.
func looksLike(f Fault, status int, body []byte, err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	is := map[string]bool{
		"DNS failure":                     errors.As(err, &dns) && dns.IsNotFound,
		"refused":                         errors.Is(err, syscall.ECONNREFUSED),
		"TLS failure":                     err != nil && strings.Contains(err.Error(), "tls"),
		"expired certificate":             errors.As(err, &certificate) && strings.Contains(err.Error(), "expired"),
		"timeout before send":             err != nil,
		"timeout after send":              err != nil,
		"1 byte a second":                 err != nil,
		"reset mid-request":               errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF),
		"reset mid-response":              errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF),
		"closed mid-response":             errors.Is(err, io.ErrUnexpectedEOF),
		"answer dropped":                  errors.Is(err, io.EOF),
		"404 of a gateway":                status == 404 && bytes.Contains(body, []byte("<html>")),
		"429 with Retry-After":            status == 429,
		"429 with Retry-After of a day":   status == 429,
		"truncated JSON":                  status == 200 && !json.Valid(body) && bytes.HasPrefix(body, []byte(`{"data"`)),
		"garbage":                         status == 200 && !json.Valid(body),
		"duplicate keys":                  status == 200 && bytes.Count(body, []byte(`"data"`)) == 2 && json.Valid(body),
		"wrong types":                     status == 200 && string(body) == `{"data":{"body":[1],"method":[1],"token":[1],"version":{"n":"x"}}}`,
		"wrong shape":                     status == 200 && body[0] == '[',
		"deep nesting":                    status == 200 && len(body) > 1<<20,
		"wrong content type":              status == 200 && json.Valid(body),
		"HTML sign-in page":               status == 200 && bytes.Contains(body, []byte("password")),
		"huge body":                       status == 200 && len(body) == 8<<20,
		"gzip bomb":                       status == 200 && len(body) == 8<<20,
		"redirect to another host":        status == 200 && string(body) == "{}",
		"redirect to another host as GET": status == 200 && string(body) == "{}",
	}
	fits, known := is[f.Name]
	if number := strings.TrimSuffix(f.Name, " after acting"); !known {
		fits = fmt.Sprint(status) == number && bytes.Contains(body, []byte("<h1>"+number))
	}
	if !fits {
		return "does not look like " + f.Name
	}
	return ""
}

// The n-th request of a method and class is hit, as often as told.
func TestMatch(t *testing.T) {
	w := newWorld(t)
	w.Inject(Named("503"), Match{Method: "PUT", Class: "data", Nth: 2, Times: 2})
	var got []int
	for range 4 {
		for _, ask := range [][2]string{{"PUT", "/data/a"}, {"GET", "/data/a"}, {"PUT", "/meta/a"}} {
			status, _, _ := w.ask(t, w.URL, ask[0], ask[1])
			got = append(got, status)
		}
	}
	if want := "[200 200 200 503 200 200 503 200 200 200 200 200]"; fmt.Sprint(got) != want || w.Hits() != 2 {
		t.Errorf("got %v and %d hits, want %s", got, w.Hits(), want)
	}
}

// Faults of connections are counted by connection.
func TestLaterConnections(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"refused", "expired certificate"} {
		w.Inject(Named(name), Match{Nth: 3})
		var failed []bool
		for range 4 {
			_, _, err := w.ask(t, w.TLSURL, "GET", "/data/a")
			failed = append(failed, err != nil)
		}
		if fmt.Sprint(failed) != "[false false true true]" {
			t.Errorf("%s: failed %v", name, failed)
		}
	}
}

// A client that follows redirects is found out, whatever it carries along.
func TestElsewhere(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"redirect to another host", "redirect to another host as GET"} {
		w.Inject(Named(name), Match{})
		if _, _, err := w.ask(t, w.URL, "POST", "/data/a"); err != nil {
			t.Fatal(err)
		}
	}
	got := w.Elsewhere()
	if len(got) != 2 || got[0].Method != "POST" || got[1].Method != "GET" || got[0].Path != "/data/a" {
		t.Fatalf("arrivals: %+v", got)
	}
	if len(got[0].Credentials) != 1 || !strings.Contains(got[0].Text, "sesame") || !strings.HasSuffix(got[0].Text, "hello") {
		t.Errorf("the credential and the body were not seen: %+v", got[0])
	}
}

// A server that is gone is gone for the client too.
func TestServerGone(t *testing.T) {
	p := New(t, "http://127.0.0.1:1", Options{})
	if resp, err := http.Get(p.URL); err == nil {
		resp.Body.Close()
		t.Errorf("status %d, want an error", resp.StatusCode)
	}
}
