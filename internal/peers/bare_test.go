//go:build peers

package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestMain is also the bare client: a program of its own, as Coffer is.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "bare-kubernetes" {
		if err := runBareKubernetes(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 6 && os.Args[1] == "bare" {
		if err := runBare(os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bare runs the bare client: what is "write", "mark", "scan" or "walk".
func (b *bench) bare(what, address, mount string) sample {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.program(b.t.TempDir(), address, 0, self, "bare", what, address, mount, strconv.Itoa(b.size))
}

// bare is the client that a person would write in an hour: net/http, JSON, and
// as many calls at once as Coffer makes.
type bare struct {
	address, token string
	http           *http.Client
	failed         atomic.Pointer[error]
	calls          atomic.Int64
}

func runBare(what, address, mount, size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	c := &bare{
		address: address, token: os.Getenv("VAULT_TOKEN"),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}},
	}
	switch what {
	case "write", "mark":
		c.write(mount, n, what == "mark")
	case "scan":
		c.scan(mount, n)
	case "walk":
		c.walk(mount, n)
	}
	fmt.Println("requests", c.calls.Load())
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *bare) fail(err error) { c.failed.CompareAndSwap(nil, &err) }

func (c *bare) call(method, path string, body, into any) {
	c.calls.Add(1)
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	req, err := http.NewRequest(method, c.address+"/v1/"+path, bytes.NewReader(data))
	if err != nil {
		c.fail(err)
		return
	}
	req.Header.Set("X-Vault-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		c.fail(err)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil || resp.StatusCode >= 300 {
		c.fail(fmt.Errorf("%s %s: status %d, %v", method, path, resp.StatusCode, err))
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

// write makes n new secrets, and with metadata what marks them.
func (c *bare) write(mount string, n int, metadata bool) {
	each(n, func(i int) {
		path := fmt.Sprintf("peers/app%d/dev/s%d", i/100, i%100)
		c.call("POST", mount+"/data/"+path, map[string]any{"options": map[string]any{"cas": 0}, "data": map[string]any{"value": strings.Repeat("x", 32)}}, nil)
		if metadata {
			c.call("POST", mount+"/metadata/"+path, map[string]any{"custom_metadata": map[string]any{"coffer_project": "peers-1a2b3c4d", "coffer_address": strings.Repeat("0", 64)}}, nil)
		}
	})
}

type secretMetadata struct {
	CurrentVersion int               `json:"current_version"`
	CustomMetadata map[string]string `json:"custom_metadata"`
}

// scan makes the calls of a plan where the server scans.
func (c *bare) scan(mount string, want int) {
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
		c.fail(fmt.Errorf("the scan shows %d secrets, want %d", found, want))
	}
}

// walk makes the calls of a plan where it does not.
func (c *bare) walk(mount string, want int) {
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
		c.fail(fmt.Errorf("the walk found %d secrets, want %d", len(secrets), want))
	}
	each(len(secrets), func(i int) {
		var answer struct{ Data secretMetadata }
		c.call("GET", mount+"/metadata/"+secrets[i], nil, &answer)
	})
}

func flat(lists [][]string) []string {
	var all []string
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}
