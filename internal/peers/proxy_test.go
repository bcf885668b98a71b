//go:build peers

package peers

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// proxy counts requests, and can hide the scan so that OpenBao answers as
// HashiCorp Vault does.
type proxy struct {
	address string

	mu   sync.Mutex
	seen []string
}

func newProxy(t *testing.T, to string, hideScan bool) *proxy {
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 2 * concurrency},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if hideScan && strings.Contains(r.URL.Path, "/detailed-metadata/") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}`))
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.address = server.URL
	return p
}

func (p *proxy) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.seen))
}

func (p *proxy) paths() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.seen[:min(len(p.seen), 20)]...)
}

func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}
