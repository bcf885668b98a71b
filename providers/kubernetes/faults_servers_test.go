//go:build servers

package kubernetes

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// TestFaults is the suite of faults on a real API server.
func TestFaults(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	counter := c.count(namespace)
	p := netfault.New(t, c.Address, netfault.Options{Class: class, Transport: c.Client().Transport})
	token := c.AdminToken
	providertest.Faults(t, providertest.FaultHarness{
		Proxy: p,
		Open: func(t providertest.T, address string, after time.Duration) providers.Driver {
			if address == p.URL {
				address = p.TLSURL // without TLS no token would be sent
			}
			config := c.config(t, address, token, p.CA)
			config.Namespace = namespace
			d := open(t, config)
			if after > 0 {
				d.client.HTTP.Timeout = after
			}
			return d
		},
		Patience:    500 * time.Millisecond,
		Direct:      c.admin(namespace),
		Versions:    counter.versions,
		Path:        func(n int) string { return fmt.Sprintf("%s/fault-%d", namespace, n) },
		Credentials: []canary.Canary{canary.Of("token", []byte(token), true)},
	})
}

// class is what a path is about.
func class(_, path string) string {
	if strings.Contains(path, "/secrets") {
		return "secrets"
	}
	return ""
}

// counter counts the versions that each Secret of a namespace ever had, as the
// API server tells them to whoever watches.
type counter struct {
	c         *cluster
	namespace string

	mu     sync.Mutex
	made   map[string]int
	last   map[string]string
	marked int // the last mark that was seen
	marks  int
}

const markName = "mark"

func (c *cluster) count(namespace string) *counter {
	k := &counter{c: c, namespace: namespace, made: map[string]int{}, last: map[string]string{}}
	c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/secrets", map[string]any{"metadata": map[string]any{"name": markName}})
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.Address+"/api/v1/namespaces/"+namespace+"/secrets?watch=1", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.AdminToken)
	resp, err := c.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { resp.Body.Close() })
	go func() {
		for lines := bufio.NewReader(resp.Body); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			k.seen(line)
		}
	}()
	return k
}

func (k *counter) seen(line []byte) {
	var event struct {
		Type   string
		Object struct {
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
			Data map[string]string
		}
	}
	if json.Unmarshal(line, &event) != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	m := event.Object.Metadata
	if m.Name == markName {
		_, _ = fmt.Sscan(m.Annotations["mark"], &k.marked)
		return
	}
	now := m.Annotations[keyOperation] + fmt.Sprint(event.Object.Data)
	if event.Type != "DELETED" && k.last[m.Name] != now {
		k.made[m.Name]++
	}
	k.last[m.Name] = now
}

// versions waits until all that was done is seen.
func (k *counter) versions(path string) int {
	k.mu.Lock()
	k.marks++
	mark := k.marks
	k.mu.Unlock()
	k.c.Must(http.MethodPatch, at(k.namespace+"/"+markName), map[string]any{"metadata": map[string]any{"annotations": map[string]any{"mark": fmt.Sprint(mark)}}})
	servers.Await(k.c.t, "the mark is seen", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.marked >= mark
	})
	_, name := split(path)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.made[name]
}
