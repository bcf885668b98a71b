package vault

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func testEnv(t *testing.T, variables map[string]string) providers.Env {
	t.Helper()
	return providers.Env{
		Dir: t.TempDir(), Getenv: func(name string) string { return variables[name] }, Now: time.Now,
		Random: strings.NewReader(""), Phase: providers.PhaseApply,
	}
}

func openAt(t *testing.T, address string) *Driver {
	t.Helper()
	d, err := Open(testEnv(t, map[string]string{"VAULT_TOKEN": "hvs.test"}), &Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hostile is a server that knows the mount and answers everything else in one
// way.
func hostile(t *testing.T, answer http.HandlerFunc) *Driver {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/") {
			fmt.Fprint(w, `{"request_id":"1","data":{"type":"kv","path":"secret/","uuid":"u","options":{"version":"2"}}}`)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return openAt(t, s.URL)
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Whatever comes back is one typed error: what changes nothing says why, and a
// write whose answer cannot be read may have happened.
func TestHostileAnswers(t *testing.T) {
	big := strings.Repeat("x", longestAnswer+1)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	for name, c := range map[string]struct {
		answer      http.HandlerFunc
		read, write providers.Code
		words       string
		noList      bool // as the answer of a scan it is an empty list
	}{
		"html page":               {answer(200, "<html>sign in</html>"), providers.Invalid, providers.Ambiguous, "no JSON", false},
		"html gateway":            {answer(502, "<html>bad gateway</html>"), providers.Unavailable, providers.Ambiguous, "502", false},
		"html busy":               {answer(503, "<html>busy</html>"), providers.Unavailable, providers.Ambiguous, "503", false},
		"sealed":                  {answer(503, `{"errors":["Vault is sealed"]}`), providers.Unavailable, providers.Unavailable, "unseal", false},
		"standby":                 {answer(500, `{"errors":["local node not active"]}`), providers.Unavailable, providers.Ambiguous, "not active", false},
		"cut off":                 {answer(200, `{"data":{"versions":{"1":`), providers.Unavailable, providers.Ambiguous, "cut off", false},
		"shorter than told":       {answer(200, `{"data":`, "Content-Length", "100"), providers.Unavailable, providers.Ambiguous, "not reached", false},
		"empty":                   {answer(200, ""), providers.Unavailable, providers.Ambiguous, "empty", false},
		"null":                    {answer(200, "null"), providers.Unavailable, providers.Ambiguous, "", false},
		"other types":             {answer(200, `{"data":{"versions":[],"version":"x"}}`), providers.Unavailable, providers.Ambiguous, "", true},
		"too large":               {answer(200, big), providers.Invalid, providers.Ambiguous, "larger than 4 MiB", false},
		"error too large":         {answer(500, big), providers.Invalid, providers.Ambiguous, "larger than 4 MiB", false},
		"bomb":                    {answer(200, bomb.String(), "Content-Encoding", "gzip"), providers.Invalid, providers.Ambiguous, "no JSON", false},
		"deep":                    {answer(200, `{"data":`+strings.Repeat("[", 100_000)), providers.Unavailable, providers.Ambiguous, "", false},
		"rate limit":              {answer(429, `{"errors":["quota"]}`, "Retry-After", "7"), providers.Throttled, providers.Throttled, "quota", false},
		"redirect":                {answer(307, "", "Location", "https://evil.example:8200/v1/x"), providers.Invalid, providers.Invalid, "https://evil.example:8200", false},
		"denied":                  {answer(403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`), providers.Denied, providers.Denied, "capabilities", false},
		"current version is none": {answer(200, `{"data":{"current_version":3,"versions":{}}}`), providers.Invalid, providers.Ambiguous, "", true},
		"time is none":            {answer(200, `{"data":{"version":1,"created_time":"x","current_version":1,"versions":{"1":{"created_time":"x"}}}}`), providers.Invalid, providers.Ambiguous, "", true},
		"hang up":                 {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, providers.Unavailable, providers.Ambiguous, "not reached", false},
		"value too large":         {answer(500, `{"errors":["put failed due to value being too large; got 2000000 bytes"]}`), providers.Invalid, providers.Invalid, "too large", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := hostile(t, c.answer)
			_, err := d.Inspect(t.Context(), []string{"shop/db"})
			var partial *providers.PartialError
			if errors.As(err, &partial) {
				err = partial.Paths["shop/db"]
			}
			wantError(t, "inspect", err, c.read, c.words)
			_, err = d.Write(t.Context(), providers.WriteRequest{Path: "shop/db", Value: secret.String("canary-9152"), IfVersion: "1"})
			wantError(t, "write", err, c.write, c.words)
			if _, err := d.List(t.Context()); err == nil && !c.noList {
				t.Error("a list of this is no list")
			}
			var e *providers.Error
			if name == "rate limit" && (!errors.As(err, &e) || e.RetryAfter != 7*time.Second) {
				t.Errorf("retry after is lost: %+v", e)
			}
		})
	}
}

func wantError(t *testing.T, what string, err error, code providers.Code, words string) {
	t.Helper()
	if err == nil || providers.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v (%v), want %v and %q", what, err, providers.CodeOf(err), code, words)
	}
	for _, never := range []string{"canary-9152", "hvs.test"} {
		if err != nil && strings.Contains(fmt.Sprintf("%+v", err), never) {
			t.Errorf("%s: the error holds %s", what, never)
		}
	}
}

// A token never goes where an answer points, on the same host neither.
func TestRedirectsAreNotFollowed(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		d := hostile(t, answer(status, "", "Location", other.URL+"/v1/x"))
		_, err := d.Read(t.Context(), "shop/db", "")
		wantError(t, "read", err, providers.Invalid, other.URL)
		err = d.client.Call(t.Context(), secret.String("hvs.test"), http.MethodPost, "auth/approle/login", map[string]string{"secret_id": "s"}, nil)
		wantError(t, "login", err, providers.Invalid, other.URL)
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestNobodyThere(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	d := openAt(t, s.URL)
	s.Close()
	_, err := d.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("x")})
	wantError(t, "write", err, providers.Unavailable, "not reached")
	// Reached for the mount, gone for the write: nothing was sent.
	d.seen = &mount{exists: true, version: "2"}
	_, err = d.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("x")})
	wantError(t, "write", err, providers.Unavailable, "not reached")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Inspect(ctx, []string{"a"}); !errors.Is(err, context.Canceled) && !strings.Contains(fmt.Sprint(err), "canceled") {
		t.Errorf("cancelled: %v", err)
	}
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	_, err = openAt(t, tls.URL).Identity(t.Context())
	wantError(t, "identity", err, providers.Invalid, "ca_cert")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, err = openAt(t, strings.Replace(plain.URL, "http:", "https:", 1)).Identity(t.Context())
	wantError(t, "identity", err, providers.Invalid, "does not speak TLS")
}

// The environment fills what the block leaves empty, and only the one that is
// passed in.
func TestConfigFromEnvironment(t *testing.T) {
	t.Setenv("VAULT_ADDR", "https://process.example")
	t.Setenv("VAULT_TOKEN", "of the process")
	t.Setenv("VAULT_NAMESPACE", "of the process")
	t.Setenv("VAULT_HEADERS", `{"X-Custom": "of the process"}`)
	t.Setenv("HTTPS_PROXY", "http://process.example")
	for _, name := range []string{ // what the servers' tools make of it is theirs
		"VAULT_CLIENT_TIMEOUT", "VAULT_SKIP_VERIFY", "VAULT_RATE_LIMIT", "VAULT_MAX_RETRIES", "VAULT_SRV_LOOKUP", "VAULT_DISABLE_REDIRECTS", "VAULT_CACERT",
		"VAULT_CAPATH", "VAULT_CLIENT_CERT", "VAULT_WRAP_TTL", "VAULT_PROXY_ADDR",
	} {
		t.Setenv(name, "\x7fno such thing")
	}
	on, off := true, false
	secure := httptest.NewTLSServer(nil)
	defer secure.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	variables := map[string]string{
		"VAULT_ADDR": "https://env.example:1", "VAULT_NAMESPACE": "team/a/", "VAULT_SKIP_VERIFY": "true", "VAULT_TLS_SERVER_NAME": "vault.example", "VAULT_TOKEN": "t",
	}
	for name, c := range map[string]struct {
		config Config
		env    map[string]string
		want   Config
		err    string
	}{
		"defaults":    {want: Config{Address: defaultAddress, Mount: "secret"}},
		"environment": {env: variables, want: Config{Address: "https://env.example:1", Namespace: "team/a", Mount: "secret", TLSSkipVerify: &on, TLSServerName: "vault.example"}},
		"block": {
			env: variables, config: Config{Address: "https://block.example", Namespace: "other", Mount: "/kv/", Prefix: "shop/", TLSServerName: "x"},
			want: Config{Address: "https://block.example", Namespace: "other", Mount: "kv", Prefix: "shop", TLSSkipVerify: &on, TLSServerName: "x"},
		},
		"block, and what it leaves no room for": {
			env: map[string]string{
				"VAULT_ADDR": "::", "VAULT_NAMESPACE": "a/../b", "VAULT_SKIP_VERIFY": "maybe", "VAULT_CLIENT_TIMEOUT": "abc", "VAULT_RATE_LIMIT": "x", "VAULT_MAX_RETRIES": "-",
				"VAULT_HEADERS": "{", "VAULT_CACERT": "none.pem",
			},
			config: Config{Address: "https://block.example", Namespace: "other", TLSSkipVerify: &off, CACert: "ca.pem"},
			want:   Config{Address: "https://block.example", Namespace: "other", Mount: "secret", TLSSkipVerify: &off, CACert: "ca.pem"},
		},
		"skipping is off": {env: variables, config: Config{TLSSkipVerify: &off}, want: Config{Address: "https://env.example:1", Namespace: "team/a", Mount: "secret", TLSSkipVerify: &off, TLSServerName: "vault.example"}},
		"in clear":        {config: Config{Address: "http://vault.example"}, err: "allow_http"},
		"allowed":         {config: Config{Address: "http://vault.example", AllowHTTP: true}, want: Config{Address: "http://vault.example", AllowHTTP: true, Mount: "secret"}},
		"no scheme":       {config: Config{Address: "vault.example:8200"}, err: "https://HOST:PORT"},
		"credentials":     {config: Config{Address: "https://u:hunter2@vault.example"}, err: "auth block"},
		"prefix":          {config: Config{Prefix: "a/../b"}, err: "prefix"},
		"half a pair":     {config: Config{ClientCert: "a"}, err: "client_key"},
		"no such file":    {config: Config{CACert: "none.pem"}, err: "ca_cert"},
		"bad address":     {env: map[string]string{"VAULT_ADDR": "vault.example:8200"}, err: "VAULT_ADDR: want"},
		"bad namespace":   {env: map[string]string{"VAULT_NAMESPACE": "a/../b"}, err: "VAULT_NAMESPACE: "},
		"bad authority":   {env: map[string]string{"VAULT_CACERT": "none.pem"}, err: "VAULT_CACERT: "},
		"bad certificate": {env: map[string]string{"VAULT_CLIENT_CERT": "none.pem", "VAULT_CLIENT_KEY": "none.pem"}, err: "VAULT_CLIENT_CERT: "},
		"bad switch":      {env: map[string]string{"VAULT_SKIP_VERIFY": "yes please"}, err: "VAULT_SKIP_VERIFY"},
		"bad duration":    {config: Config{DeleteVersionAfter: "30 days"}, err: "delete_version_after"},
		"versions of one": {config: Config{AllowValueRead: true, MaxVersions: 3}, err: "version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			env := testEnv(t, c.env)
			if err := os.WriteFile(filepath.Join(env.Dir, "ca.pem"), authority, 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := Open(env, &c.config)
			switch {
			case c.err != "":
				wantError(t, "open", err, providers.Invalid, c.err)
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Error("the error holds a password")
				}
			case err != nil:
				t.Error(err)
			case !reflect.DeepEqual(d.config, c.want):
				t.Errorf("config is %+v, want %+v", d.config, c.want)
			}
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".vault-token"), []byte("from-home\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := ""
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("X-Vault-Token") }))
	defer s.Close()
	d, err := Open(testEnv(t, map[string]string{"HOME": dir}), &Config{Address: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.client.do(t.Context(), request{method: http.MethodGet, path: "x"}); err != nil || got != "from-home" {
		t.Errorf("token %q, error %v", got, err)
	}
}

func TestPaths(t *testing.T) {
	d, err := Open(testEnv(t, nil), &Config{Prefix: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	path, err := d.DefaultPath(providers.Place{Kind: "secret", App: "checkout", Environment: "production", Name: "db"})
	if err != nil || path != "payments/checkout/production/db" || d.Written(path) != "checkout/production/db" {
		t.Errorf("default path is %q (%v), written %q", path, err, d.Written(path))
	}
	if got, err := d.Resolve("policy", "payments-ops"); err != nil || got != "payments-ops" {
		t.Errorf("the path of a policy is %q, %v", got, err)
	}
	for _, path := range []string{"", "/a", "a/", "a//b", "../a", "a..b", " a", "a\n", "a\u200b", "\xff", strings.Repeat("x", 2000)} {
		if got, err := d.Resolve("secret", path); err == nil {
			t.Errorf("%q resolves to %q", path, got)
		}
	}
	if _, err := d.Inspect(t.Context(), []string{"elsewhere/db"}); err == nil {
		t.Error("a path outside the prefix was asked for")
	}
	for paths, want := range map[string]string{"a/b/c a/b/d": "a/b", "a/b/c a/bc/d": "a", "a b": "", "a/b/c/d a/b/e": "a/b"} {
		if got := commonFolder(strings.Fields(paths)); got != want {
			t.Errorf("common folder of %s is %q, want %q", paths, got, want)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"current_version":2,"custom_metadata":{"coffer_project":"p","coffer_labels":"a,b,","a":"1"},"versions":{"2":{"created_time":"2026-11-24T10:06:27Z","deletion_time":"","destroyed":false}}}}`,
		`{"data":{"keys":["a/b","c/"],"key_info":{"a/b":{"current_version":1,"versions":{"1":{"created_time":"2026-11-24T10:06:27.123456789Z","deletion_time":"2026-11-24T10:06:27Z"}}},"c/":{}}}}`,
		`{"data":{"keys":["a"],"key_info":{"a":null}}}`, `{"data":{"keys":[""],"key_info":{"":{"current_version":-1}}}}`,
		`{"data":{"data":{"value_base64":"/w==","_base64":"/w==","n":1e999,"o":{"a":[null]}},"metadata":{"version":1}}}`,
		`{"errors":["a",null]}`, `[]`, `{"data":{"version":1,"created_time":"9999-99-99"}}`,
	} {
		f.Add(200, []byte(seed))
		f.Add(404, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		d := openAt(t, "https://vault.invalid")
		d.seen = &mount{exists: true, version: "2"}
		d.client.api = answering(t, fixed{status, body})
		answered := func(what string, err error, path string) {
			var e *providers.Error
			var partial *providers.PartialError
			if err != nil && !errors.As(err, &e) && !errors.As(err, &partial) {
				t.Errorf("%s: the error %T is of another kind", what, err)
			}
		}
		found, err := d.Inspect(t.Context(), []string{"a/b", "a/c"})
		answered("inspect", err, "a/b")
		for path, m := range found {
			if n, ok := number(m.Version); path != "a/b" && path != "a/c" || !ok || n == 0 {
				t.Errorf("inspect tells of %q version %q", path, m.Version)
			}
		}
		_, err = d.Read(t.Context(), "a/b", "")
		answered("read", err, "a/b")
		if _, err = d.Write(t.Context(), providers.WriteRequest{Path: "a/b", Value: secret.String("x"), IfVersion: "1", KeepAttributes: true}); err == nil && status >= 300 {
			t.Errorf("a write that the server refused with %d was made", status)
		}
		answered("write", err, "a/b")
		_, err = d.Undelete(t.Context(), "a/b")
		answered("undelete", err, "a/b")
		answered("delete", d.Delete(t.Context(), "a/b", "1"), "a/b")
	})
}

// fixed answers every request alike.
type fixed struct {
	status int
	body   []byte
}

func (f fixed) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: f.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(f.body)), Request: r}, nil
}

// answering returns a client whose server is transport.
func answering(t testing.TB, transport http.RoundTripper) *http.Client {
	t.Helper()
	return newSender(transport)
}
