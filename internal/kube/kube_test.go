package kube

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func environment(pairs ...string) Env {
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return Env{Getenv: func(name string) string { return values[name] }}
}

func kubeconfig(t *testing.T, server, cluster string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"" + server + "\", insecure-skip-tls-verify: true" + cluster + "}}]\n" +
		"users: [{name: u, user: {token: canary}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCredentials are sent as the person that was asked for, to the server
// alone, and over TLS alone.
func TestCredentials(t *testing.T) {
	var got http.Header
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.Header().Set("Location", "https://other.example.com/")
		w.WriteHeader(http.StatusFound)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for address, token := range map[string]string{plain.URL: "", secure.URL: "Bearer canary"} {
		choice := Choice{Kubeconfig: kubeconfig(t, address, ""), AsUser: "alice", AsGroups: []string{"a", "b"}}
		c := client(t, choice, environment())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Base.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusFound || got.Get("Authorization") != token || got.Get("Impersonate-User") != "alice" || len(got["Impersonate-Group"]) != 2 {
			t.Errorf("%s: %d, %v", address, resp.StatusCode, got)
		}
	}
}

func client(t *testing.T, choice Choice, env Env) *Client {
	t.Helper()
	cluster, err := choice.Cluster(env)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(cluster, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestProxies are those of the environment that is passed in, unless the
// kubeconfig names one; that of the process does not count.
func TestProxies(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://process.example.com")
	env := environment("HTTPS_PROXY", "http://passed.example.com", "NO_PROXY", "near.example.com")
	for _, test := range []struct{ server, cluster, want string }{
		{"https://c.example.com", "", "http://passed.example.com"},
		{"https://near.example.com", "", ""},
		{"https://c.example.com", ", proxy-url: \"http://named.example.com\"", "http://named.example.com"},
	} {
		cluster, err := Choice{Kubeconfig: kubeconfig(t, test.server, test.cluster)}.Cluster(env)
		if err != nil {
			t.Fatal(err)
		}
		u, err := cluster.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: strings.TrimPrefix(test.server, "https://")}})
		if got := text(u); err != nil || got != test.want {
			t.Errorf("%s%s: %q, %v; want %q", test.server, test.cluster, got, err, test.want)
		}
	}
}

func text(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

func TestUnanswered(t *testing.T) {
	c := client(t, Choice{Kubeconfig: kubeconfig(t, "https://127.0.0.1:1/?x=canary", "")}, environment())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Base.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(req)
	f := c.Unanswered(t.Context(), err)
	if !f.Unsent || f.Lasting || f.SignIn || f.Hint == "" || strings.Contains(f.Err.Error(), "canary") {
		t.Errorf("%+v", f)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if f := c.Unanswered(ended, err); !f.Ended {
		t.Errorf("%+v", f)
	}
}
