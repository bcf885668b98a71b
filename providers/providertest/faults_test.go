package providertest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/providers/secret"
)

const tinyToken = "tK8vRq2XzWn5LmJh7PcYb4Gd"

// tinyServer keeps versions of fields by path, under If-Match.
type tinyServer struct {
	mu   sync.Mutex
	all  map[string][]map[string]string // nil is a deleted version
	http *httptest.Server
}

func newTinyServer(t *testing.T) *tinyServer {
	s := &tinyServer{all: map[string][]map[string]string{}}
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	return s
}

func (s *tinyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.all[r.URL.Path]
	live := len(list) > 0 && list[len(list)-1] != nil
	version := ""
	if live {
		version = fmt.Sprint(len(list))
	}
	var body map[string]string
	if text, _ := io.ReadAll(r.Body); len(text) > 0 {
		_ = json.Unmarshal(text, &body)
	}
	switch {
	case r.Header.Get("Authorization") != tinyToken:
		http.Error(w, `{"error":"denied"}`, http.StatusForbidden)
	case r.Method == http.MethodGet && !live && r.URL.Path != "/":
		http.Error(w, `{"error":"missing"}`, http.StatusNotFound)
	case r.Method == http.MethodGet:
		answer := map[string]any{"version": len(list), "id": "tiny"}
		if live && r.URL.Query().Get("value") != "" {
			answer["fields"] = list[len(list)-1]
		}
		_ = json.NewEncoder(w).Encode(answer)
	case r.Header.Get("If-Match") != version:
		http.Error(w, `{"error":"another version"}`, http.StatusConflict)
	default:
		s.all[r.URL.Path] = append(list, body)
		_ = json.NewEncoder(w).Encode(map[string]any{"version": len(list) + 1, "id": "tiny"})
	}
}

func (s *tinyServer) versions(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, v := range s.all["/"+path] {
		if v != nil {
			n++
		}
	}
	return n
}

// tinyDriver is as careful as a driver has to be, but for its defects.
type tinyDriver struct {
	address string
	http    *http.Client
	defects map[string]bool
}

func newTinyDriver(address string, ca []byte, after time.Duration, defects map[string]bool) *tinyDriver {
	d := &tinyDriver{address: address, defects: defects}
	d.http = &http.Client{Timeout: after, Transport: trusting(ca)}
	if !defects["follows redirects"] {
		d.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return d
}

type tinyAnswer struct {
	Version int               `json:"version"`
	ID      string            `json:"id"`
	Fields  map[string]string `json:"fields"`
	Error   string            `json:"error"`
}

// call makes one request. What is not understood after a change is Ambiguous.
func (d *tinyDriver) call(ctx context.Context, method, path, ifMatch string, body []byte) (a tinyAnswer, err error) {
	unclear := func(code providers.Code, format string, args ...any) *providers.Error {
		if method != http.MethodGet && !d.defects["calls doubt definite"] {
			code = providers.Ambiguous
		}
		e := providers.Errorf(code, format, args...)
		if !d.defects["names no next step"] {
			e = e.WithHint("look whether the address is right")
		}
		return e
	}
	target, err := url.Parse(d.address)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target.JoinPath(strings.Split(path, "?")[0]).String(), bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	_, req.URL.RawQuery, _ = strings.Cut(path, "?")
	req.Header.Set("Authorization", tinyToken)
	req.Header.Set("If-Match", ifMatch)
	resp, err := d.http.Do(req)
	if err != nil && d.defects["repeats blindly"] {
		req.Body, _ = req.GetBody()
		resp, err = d.http.Do(req)
	}
	var op interface{ Timeout() bool }
	switch {
	case err != nil && d.defects["is not typed"]:
		panic(err)
	case err != nil && (strings.Contains(err.Error(), "dial") || strings.Contains(err.Error(), "tls")):
		return a, providers.Errorf(providers.Unavailable, "not reached").WithHint("look whether the address is right")
	case errors.As(err, &op) && op.Timeout() && method == http.MethodGet:
		return a, providers.Errorf(providers.Unavailable, "too slow")
	case err != nil:
		return a, unclear(providers.Unavailable, "the connection broke")
	}
	defer resp.Body.Close()
	limit := int64(1 << 20)
	if d.defects["takes everything"] {
		limit = 1 << 40
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return a, unclear(providers.Unavailable, "the answer broke off")
	}
	if d.defects["repeats the answer"] && resp.StatusCode >= 500 {
		return a, unclear(providers.Unavailable, "%s", text)
	}
	bad := json.Unmarshal(text, &a)
	switch status := resp.StatusCode; {
	case status == 404 && (bad == nil || d.defects["takes any 404"]):
		return a, providers.Errorf(providers.NotFound, "missing")
	case status == 409:
		return a, providers.Errorf(providers.Conflict, "another version")
	case status == 429:
		seconds, _ := time.ParseDuration(resp.Header.Get("Retry-After") + "s")
		return a, providers.Errorf(providers.Throttled, "too many requests").After(seconds)
	case status >= 500:
		return a, unclear(providers.Unavailable, "status %d", status)
	case status >= 300:
		return a, providers.Errorf(providers.Unavailable, "status %d", status).WithHint("look whether the address is right")
	case bad != nil || a.Version == 0 && path != "/":
		return a, unclear(providers.Invalid, "the answer is not understood")
	}
	return a, nil
}

func (d *tinyDriver) Capabilities() providers.Capabilities {
	return providers.Capabilities{ConditionalWrite: true}
}

func (d *tinyDriver) Identity(ctx context.Context) (string, error) {
	a, err := d.call(ctx, http.MethodGet, "/", "", nil)
	return a.ID, err
}

func (d *tinyDriver) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	found, failed := map[string]providers.Meta{}, map[string]error{}
	for _, path := range paths {
		a, err := d.call(ctx, http.MethodGet, path, "", nil)
		switch {
		case err == nil:
			found[path] = providers.Meta{Version: fmt.Sprint(a.Version)}
		case providers.CodeOf(err) != providers.NotFound:
			failed[path] = err
		}
	}
	if len(failed) > 0 {
		return found, &providers.PartialError{Paths: failed}
	}
	return found, nil
}

func (d *tinyDriver) Read(ctx context.Context, path, _ string) (secret.Value, error) {
	a, err := d.call(ctx, http.MethodGet, path+"?value=true", "", nil)
	if err != nil {
		return secret.Value{}, err
	}
	fields := map[string]secret.Value{}
	for name, text := range a.Fields {
		fields[name] = secret.String(text)
	}
	if len(fields) == 0 {
		return secret.Value{}, providers.Errorf(providers.Invalid, "the answer has no value")
	}
	return secret.Object(fields), nil
}

func (d *tinyDriver) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	fields := map[string]string{}
	for _, name := range req.Value.Names() {
		field, _ := req.Value.Field(name)
		_ = field.Expose(func(b []byte) error { fields[name] = string(b); return nil })
	}
	body, _ := json.Marshal(fields)
	a, err := d.call(ctx, http.MethodPut, req.Path, req.IfVersion, body)
	return providers.Meta{Version: fmt.Sprint(a.Version)}, err
}

func (d *tinyDriver) Delete(ctx context.Context, path, ifVersion string) error {
	_, err := d.call(ctx, http.MethodDelete, path, ifVersion, nil)
	if providers.CodeOf(err) == providers.NotFound {
		return nil
	}
	return err
}

func trusting(ca []byte) *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsOf(ca)
	transport.DisableKeepAlives = true
	return transport
}

func tinyHarness(t *testing.T, defects ...string) providertest.FaultHarness {
	server := newTinyServer(t)
	has := map[string]bool{}
	for _, name := range defects {
		has[name] = true
	}
	proxy := netfault.New(t, server.http.URL, netfault.Options{})
	return providertest.FaultHarness{
		Proxy: proxy, Patience: 200 * time.Millisecond, Largest: 2 << 20,
		Open: func(_ providertest.T, address string, after time.Duration) providers.Driver {
			return newTinyDriver(address, proxy.CA, after, has)
		},
		Direct:      newTinyDriver(server.http.URL, proxy.CA, 0, nil),
		Versions:    server.versions,
		Path:        func(n int) string { return fmt.Sprintf("fault/%d", n) },
		Credentials: []canary.Canary{canary.Of("token", []byte(tinyToken), true)},
	}
}

func TestFaultsOnACarefulDriver(t *testing.T) { providertest.Faults(t, tinyHarness(t)) }

// A driver with a defect fails under the faults that bring it to light, and says
// so in words that name it.
func TestFaultsFindDefects(t *testing.T) {
	for _, d := range []struct{ defect, fault, says string }{
		{"follows redirects", "redirect to another host", "another host got"},
		{"calls doubt definite", "502", "want one of [ambiguous]"},
		{"calls doubt definite", "answer dropped", "says that nothing was changed, and it was"},
		{"calls doubt definite", "503 after acting", "after an unclear outcome"},
		{"repeats blindly", "answer dropped", "after an unclear outcome"},
		{"names no next step", "HTML sign-in page", "names no next step"},
		{"takes everything", "huge body", "bytes of one answer"},
		{"takes everything", "gzip bomb", "MiB, more than"},
		{"takes any 404", "404 of a gateway", "it answered"},
		{"repeats the answer", "500", "repeats the answer"},
		{"is not typed", "reset mid-request", "panic"},
	} {
		t.Run(d.defect+"/"+d.fault, func(t *testing.T) {
			report := providertest.VerifyFaults(t.Context(), tinyHarness(t, d.defect), d.fault)
			if !strings.Contains(strings.Join(report.Failures, "\n"), d.says) {
				t.Errorf("not found; the suite says %q", report.Failures)
			}
		})
	}
}

func tlsOf(ca []byte) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots}
}
