//go:build servers

package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// A look at 2,000 Secrets in 20 namespaces is 21 requests, and no answer holds
// data: that is checked on the wire. How long it takes beside a bare client is in
// internal/peers.
func TestLookAtThousands(t *testing.T) {
	c := newCluster(t)
	admin := c.admin("")
	var paths []string
	for range 20 {
		namespace := c.fresh()
		for n := range 100 {
			paths = append(paths, fmt.Sprintf("%s/s-%d", namespace, n))
		}
	}
	const canary = "canary-value"
	var failed atomic.Pointer[error]
	each(paths, func(path string) {
		if _, err := admin.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.String(canary), OpID: "1", Attributes: marked}); err != nil {
			failed.Store(&err)
		}
	})
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	p := newProxy(t, c)
	p.on(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Accept-Encoding") // what is compressed shows nothing
		return false
	})
	var mu sync.Mutex
	holding, size := 0, 0
	p.inner.ModifyResponse = func(resp *http.Response) error {
		body, err := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		size += len(body)
		if bytes.Contains(body, []byte(`"data":`)) || bytes.Contains(body, []byte(canary)) || bytes.Contains(body, []byte(encoded(canary))) {
			holding++
		}
		return err
	}
	d := open(t, c.config(t, p.URL, c.AdminToken, p.CA))
	if _, err := d.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := d.Inspect(t.Context(), paths)
	if err != nil || len(found) != len(paths) {
		t.Fatalf("%d of %d, %v", len(found), len(paths), err)
	}
	if seen := p.take(); len(seen) > 21 || p.reads() > 0 {
		t.Errorf("%d requests, %d of them for values: %s", len(seen), p.reads(), strings.Join(seen[:min(len(seen), 30)], ", "))
	}
	if holding > 0 || size < len(paths)*500 {
		t.Errorf("%d answers hold data, of %d bytes", holding, size)
	}
}
