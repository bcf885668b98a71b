//go:build peers

package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bare is the client that a person would write in an hour: net/http, JSON, and
// as many calls at once as Coffer makes.
type bare struct {
	b       *bench
	address string
	http    *http.Client
	calls   atomic.Int64
}

func (b *bench) bare(address string) *bare {
	return &bare{b: b, address: address, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}}
}

func (c *bare) call(method, path string, body, into any) {
	c.calls.Add(1)
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	req, err := http.NewRequest(method, c.address+"/v1/"+path, bytes.NewReader(data))
	if err != nil {
		c.b.t.Error(err)
		return
	}
	req.Header.Set("X-Vault-Token", c.b.server.RootToken)
	resp, err := c.http.Do(req)
	if err != nil {
		c.b.t.Error(err)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil || resp.StatusCode >= 300 {
		c.b.t.Errorf("%s %s: status %d, %v", method, path, resp.StatusCode, err)
	}
}

// each calls do for 0 to n-1, as many at once as Coffer.
func each(n int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range concurrency {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wg.Wait()
}

func (c *bare) sample(run func()) sample {
	start := time.Now()
	run()
	return sample{wall: time.Since(start), requests: c.calls.Load()}
}

// write makes n new secrets, and with metadata what marks them.
func (c *bare) write(mount string, n int, metadata bool) sample {
	return c.sample(func() {
		each(n, func(i int) {
			path := fmt.Sprintf("peers/app%d/dev/s%d", i/100, i%100)
			c.call("POST", mount+"/data/"+path, map[string]any{"options": map[string]any{"cas": 0}, "data": map[string]any{"value": strings.Repeat("x", 32)}}, nil)
			if metadata {
				c.call("POST", mount+"/metadata/"+path, map[string]any{"custom_metadata": map[string]any{"coffer_project": "peers-1a2b3c4d", "coffer_address": strings.Repeat("0", 64)}}, nil)
			}
		})
	})
}

type secretMetadata struct {
	CurrentVersion int               `json:"current_version"`
	CustomMetadata map[string]string `json:"custom_metadata"`
}

// scan makes the calls of a plan where the server scans.
func (c *bare) scan(mount string, want int) sample {
	return c.sample(func() {
		c.call("GET", "sys/health", nil, nil)
		c.call("GET", "sys/internal/ui/mounts/"+mount, nil, nil)
		var answer struct {
			Data struct {
				KeyInfo map[string]secretMetadata `json:"key_info"`
			}
		}
		c.call("GET", mount+"/detailed-metadata/peers?scan=true", nil, &answer)
		found := 0
		for name := range answer.Data.KeyInfo {
			if !strings.HasSuffix(name, "/") {
				found++
			}
		}
		if found != want {
			c.b.t.Errorf("the scan shows %d secrets, want %d", found, want)
		}
	})
}

// walk makes the calls of a plan where it does not.
func (c *bare) walk(mount string, want int) sample {
	return c.sample(func() {
		c.call("GET", "sys/health", nil, nil)
		c.call("GET", "sys/internal/ui/mounts/"+mount, nil, nil)
		secrets := []string{}
		level := []string{"peers/"}
		for len(level) > 0 {
			names := make([][]string, len(level))
			each(len(level), func(i int) {
				var answer struct{ Data struct{ Keys []string } }
				c.call("GET", mount+"/metadata/"+level[i]+"?list=true", nil, &answer)
				for _, key := range answer.Data.Keys {
					names[i] = append(names[i], level[i]+key)
				}
			})
			level = nil
			for _, name := range flat(names) {
				if strings.HasSuffix(name, "/") {
					level = append(level, name)
				} else {
					secrets = append(secrets, name)
				}
			}
		}
		if len(secrets) != want {
			c.b.t.Errorf("the walk found %d secrets, want %d", len(secrets), want)
		}
		each(len(secrets), func(i int) {
			var answer struct{ Data secretMetadata }
			c.call("GET", mount+"/metadata/"+secrets[i], nil, &answer)
		})
	})
}

func flat(lists [][]string) []string {
	var all []string
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}
