package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

func TestRefusals(t *testing.T) {
	withCause := func(s status, cause string) status {
		s.Details.Causes = append(s.Details.Causes, struct {
			Reason string `json:"reason"`
		}{cause})
		return s
	}
	text := func(s status, message string) status { s.Message = message + " canary-body"; return s }
	later := status{}
	later.Details.RetryAfterSeconds = 7
	for name, test := range map[string]struct {
		code      int
		status    status
		header    string // Retry-After
		err       error  // of a write
		errCode   remote.Code
		unchanged bool
		after     time.Duration
		says      []string
	}{
		"401":               {code: 401, errCode: remote.Denied, unchanged: true, says: []string{"does not take the credentials", "sign in again"}},
		"403":               {code: 403, status: text(refusal("secrets", "Forbidden"), `User "system:serviceaccount:a:b" cannot`), errCode: remote.Denied, unchanged: true, says: []string{`may not update secrets in the namespace "team-state"`, `{apiGroups: [""], resources: [secrets], verbs: [update], resourceNames: [shop]}`}},
		"quota":             {code: 403, status: text(refusal("secrets", "Forbidden"), "exceeded quota: q, requested: count/secrets=1"), errCode: remote.Invalid, unchanged: true, says: []string{"ResourceQuota"}},
		"webhook":           {code: 403, status: text(refusal("secrets", "Forbidden"), `admission webhook "x" denied the request:`), errCode: remote.Invalid, unchanged: true, says: []string{"admission webhook"}},
		"terminating":       {code: 403, status: withCause(refusal("secrets", "Forbidden"), "NamespaceTerminating"), errCode: remote.NoPlace, unchanged: true, says: []string{`"team-state" is being deleted`}},
		"no namespace":      {code: 404, status: refusal("namespaces", "NotFound"), errCode: remote.NoPlace, unchanged: true, says: []string{`no namespace "team-state"`, "kubectl create namespace team-state"}},
		"gone":              {code: 404, status: refusal("secrets", "NotFound"), err: remote.ErrConflict},
		"another resource":  {code: 404, status: refusal("", "NotFound"), errCode: remote.Invalid, unchanged: true, says: []string{"404"}},
		"exists":            {code: 409, status: refusal("secrets", "AlreadyExists"), err: remote.ErrConflict},
		"conflict":          {code: 409, status: refusal("secrets", "Conflict"), err: remote.ErrConflict},
		"conflict of quota": {code: 409, status: refusal("resourcequotas", "Conflict"), errCode: remote.Busy, unchanged: true},
		"413":               {code: 413, status: refusal("", "RequestEntityTooLarge"), errCode: remote.Invalid, unchanged: true, says: []string{"of this size"}},
		"etcd too large":    {code: 500, status: text(status{}, "etcdserver: request is too large"), errCode: remote.Invalid, unchanged: true, says: []string{"max-request-bytes"}},
		"422":               {code: 422, status: refusal("secrets", "Invalid"), errCode: remote.Invalid, unchanged: true, says: []string{"immutable"}},
		"429":               {code: 429, header: "3", errCode: remote.Busy, unchanged: true, after: 3 * time.Second},
		"429 in details":    {code: 429, status: later, errCode: remote.Busy, unchanged: true, after: 7 * time.Second},
		"429 for ever":      {code: 429, header: "999999999999", errCode: remote.Busy, unchanged: true, after: time.Hour},
		"500":               {code: 500, status: text(status{}, "canary"), errCode: remote.Busy},
		"503":               {code: 503, header: "5", errCode: remote.Busy, after: 5 * time.Second},
		"504":               {code: 504, errCode: remote.Busy},
		"400":               {code: 400, status: text(status{}, "canary"), errCode: remote.Invalid, unchanged: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			b := c.opener(t, "shop")()
			tag := put(t, b, remote.StateBlob, []byte("1"), "")
			c.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				say(w, test.code, test.status)
				return true
			})
			_, err := b.Put(t.Context(), remote.StateBlob, []byte("canary"), tag)
			if test.err != nil {
				if !errors.Is(err, test.err) {
					t.Errorf("%v", err)
				}
				return
			}
			e := wantError(t, err, test.errCode, append(test.says, c.URL[len("https://"):]+"/team-state/shop (Secret shop): cannot write")...)
			if e.Unchanged != test.unchanged || e.After != test.after {
				t.Errorf("unchanged %t, after %s", e.Unchanged, e.After)
			}
			if _, err := b.Get(t.Context(), remote.StateBlob); errors.Is(err, remote.ErrNotFound) || !errors.As(err, &e) || !e.Unchanged {
				t.Errorf("get: %v", err)
			}
		})
	}
}

// Each call says which rule is missing: named where Kubernetes can limit it.
func TestDeniedNamesTheRule(t *testing.T) {
	c := newCluster(t)
	b := c.opener(t, "shop")()
	tag := put(t, b, remote.LockBlob, []byte("1"), "")
	large := put(t, b, remote.StateBlob, incompressible(2*partBytes, 1), "")
	deny := func(fits func(r *http.Request) bool) {
		c.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if fits(r) {
				say(w, 403, refusal("secrets", "Forbidden"))
			}
			return fits(r)
		})
	}
	all := func(*http.Request) bool { return true }
	parts := func(r *http.Request) bool { return strings.Contains(r.URL.Path, ".part-") }
	deny(all)
	_, err := b.Put(t.Context(), remote.LockBlob, []byte("2"), tag)
	wantError(t, err, remote.Denied, `{apiGroups: ["coordination.k8s.io"], resources: [leases], verbs: [update], resourceNames: [shop.lock]}`)
	_, err = b.Put(t.Context(), remote.JournalBlob, []byte("2"), "")
	wantError(t, err, remote.Denied, `{apiGroups: [""], resources: [secrets], verbs: [create]}`)
	_, err = b.Get(t.Context(), remote.JournalBlob)
	wantError(t, err, remote.Denied, `verbs: [get], resourceNames: [shop.journal]}`)
	wantError(t, b.Delete(t.Context(), "probe-1", tag), remote.Denied, `verbs: [delete]}`)
	deny(parts)
	_, err = b.Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Denied, `resources: [secrets], verbs: [get]}`, ".part-")

	// Without list, the parts of the head before are removed by their names.
	deny(func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets")
	})
	put(t, b, remote.StateBlob, []byte("small"), large)
	if there := c.names(); len(there) != 2 {
		t.Errorf("%v", there)
	}
}

// What no API server says is neither a success nor an absence nor a conflict.
func TestStrangeAnswers(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed: %s %s", r.Method, r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	page := func(code int) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
			fmt.Fprint(w, "<html>canary</html>")
		}
	}
	type reply = func(w http.ResponseWriter)
	for name, test := range map[string]struct {
		reply reply
		code  remote.Code
	}{
		"page 200": {page(200), remote.Unreachable},
		"page 403": {page(403), remote.Denied},
		"page 404": {page(404), remote.Unreachable},
		"page 409": {page(409), remote.Unreachable},
		"page 502": {page(502), remote.Busy},
		"redirect": {func(w http.ResponseWriter) { w.Header().Set("Location", other.URL); w.WriteHeader(307) }, remote.Unreachable},
		"another": {func(w http.ResponseWriter) {
			answer(w, 200, object{Kind: "Secret", Metadata: metadata{Name: "canary", UID: "u", ResourceVersion: "1"}})
		}, remote.Unreachable},
		"no tag": {func(w http.ResponseWriter) { answer(w, 200, object{Kind: "Secret", Metadata: metadata{Name: "shop"}}) }, remote.Unreachable},
		"no JSON": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "{canary")
		}, remote.Unreachable},
		"huge": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.Copy(w, io.LimitReader(zeros{}, maxReply*2))
		}, remote.Unreachable},
		"truncated": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"canary`)
		}, remote.Unreachable},
		"cut": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, remote.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			b := c.opener(t, "shop")()
			tag := put(t, b, remote.StateBlob, []byte("1"), "")
			c.intercept(func(w http.ResponseWriter, _ *http.Request) bool { test.reply(w); return true })
			_, err := b.Get(t.Context(), remote.StateBlob)
			wantError(t, err, test.code)
			_, err = b.Put(t.Context(), remote.StateBlob, []byte("2"), tag)
			if e := wantError(t, err, test.code); e.Unchanged != (test.code == remote.Denied) {
				t.Errorf("unchanged %t: %v", e.Unchanged, err)
			}
			if name != "no tag" { // which the answer to a delete need not have
				wantError(t, b.Delete(t.Context(), remote.StateBlob, tag), test.code)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestNobodyThere(t *testing.T) {
	c := newCluster(t)
	other := newCluster(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	go func() {
		for {
			conn, err := raw.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "canary canary\r\n\r\n")
			conn.Close()
		}
	}()
	nobody := l.Addr().String()
	l.Close()
	user := "    token: " + token + "\n"
	for name, test := range map[string]struct{ server, ca, says string }{
		"refused":        {"https://" + nobody, c.ca(), "connection refused"},
		"no such host":   {"https://coffer.invalid", c.ca(), "coffer.invalid"},
		"other CA":       {c.URL, selfSigned(t), "nobody that the kubeconfig trusts"},
		"no TLS":         {strings.Replace(plain.URL, "http:", "https:", 1), c.ca(), "does not speak TLS"},
		"another name":   {strings.Replace(other.URL, "127.0.0.1", "localhost", 1), other.ca(), "for another name"},
		"no HTTP at all": {"http://" + raw.Addr().String(), "", "no answer that is HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			config := &Config{Namespace: namespace, Name: "shop", Kubeconfig: kubeconfig(t, test.server, test.ca, user)}
			if test.ca == "" {
				config.Kubeconfig = kubeconfig(t, test.server, c.ca(), user)
			}
			b, err := config.open(environment(), serviceAccountDir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Put(t.Context(), remote.StateBlob, []byte("1"), "")
			if e := wantError(t, err, remote.Unreachable, test.says); e.Unchanged == (name == "no HTTP at all") {
				t.Errorf("unchanged %t", e.Unchanged)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	c := newCluster(t)
	b := c.opener(t, "shop")()
	tag := put(t, b, remote.StateBlob, []byte("1"), "")
	ctx, cancel := context.WithCancel(t.Context())
	hang := make(chan bool)
	t.Cleanup(func() { close(hang) })
	c.intercept(func(_ http.ResponseWriter, _ *http.Request) bool { cancel(); <-hang; return true })
	_, err := b.Put(ctx, remote.StateBlob, []byte("2"), tag)
	if e := wantError(t, err, remote.Unreachable); e.Unchanged || !errors.Is(err, context.Canceled) {
		t.Errorf("under way: unchanged %t, %v", e.Unchanged, err)
	}
	_, err = b.Put(ctx, remote.StateBlob, []byte("2"), tag)
	if e := wantError(t, err, remote.Unreachable); !e.Unchanged || !errors.Is(err, context.Canceled) {
		t.Errorf("before: unchanged %t, %v", e.Unchanged, err)
	}
}

func TestNoAnswer(t *testing.T) {
	c := newCluster(t)
	b := c.opener(t, "shop")()
	tag := put(t, b, remote.StateBlob, []byte("1"), "")
	hang := make(chan bool)
	t.Cleanup(func() { close(hang) })
	c.intercept(func(http.ResponseWriter, *http.Request) bool { <-hang; return true })
	b.HTTP.Timeout = 50 * time.Millisecond
	_, err := b.Put(t.Context(), remote.StateBlob, []byte("2"), tag)
	if e := wantError(t, err, remote.Unreachable, "no answer within"); e.Unchanged {
		t.Error("a write that may have landed is called undone")
	}
}

// pluginVariable makes the test binary a credential plugin.
const pluginVariable = "COFFER_TEST_CREDENTIAL_PLUGIN"

func beThePlugin(how string) int {
	if wait, ok := strings.CutPrefix(how, "hangs@"); ok {
		conn, err := net.Dial("tcp", wait)
		if err == nil {
			_, _ = io.ReadAll(conn)
		}
		return 1
	}
	switch how {
	case "fails", "fails again":
		fmt.Fprintln(os.Stderr, "the plugin says why")
		return 3
	case "garbage":
		fmt.Println("canary: not a credential")
	default:
		fmt.Printf(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q}}`, how)
	}
	return 0
}

func TestCredentialPlugin(t *testing.T) {
	c := newCluster(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	open := func(command, how string) *blobs {
		user := fmt.Sprintf("    exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, interactiveMode: Never, env: [{name: %s, value: %s}]}\n", command, pluginVariable, how)
		config := &Config{Namespace: namespace, Name: "shop", Kubeconfig: kubeconfig(t, c.URL, c.ca(), user)}
		b, err := config.open(environment(), serviceAccountDir)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put(t, open(self, token), remote.StateBlob, []byte("1"), "")
	said := stderrOf(t, func() { _, _ = open(self, "fails").Get(t.Context(), remote.StateBlob) })
	if !strings.Contains(said, "the plugin says why") {
		t.Errorf("what the plugin said is lost: %q", said)
	}
	for how, says := range map[string]string{"fails again": "failed", "garbage": "gave no credentials", "canary-wrong": "does not take the credentials"} {
		_, err := open(self, how).Get(t.Context(), remote.StateBlob)
		wantError(t, err, remote.Denied, says)
	}
	_, err = open("no-such-plugin", "x").Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Denied, `"no-such-plugin" is not installed`)

	// One that hangs is left behind; it ends with the test.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() {
		conn, err := l.Accept()
		cancel()
		<-ended
		if err == nil {
			conn.Close()
		}
	}()
	_, err = open(self, "hangs@"+l.Addr().String()).Get(ctx, remote.StateBlob)
	if wantError(t, err, remote.Unreachable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(ended)
	l.Close()
}

// stderrOf returns what is written to the standard error stream meanwhile.
func stderrOf(t *testing.T, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = w
	do()
	os.Stderr = before
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
