package kubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// answering opens a driver whose server gives one answer.
func answering(t *testing.T, code int, header map[string]string, body string) *Driver {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for key, v := range header {
			w.Header().Set(key, v)
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return opened(t, s.URL, Config{})
}

func opened(t *testing.T, address string, config Config) *Driver {
	t.Helper()
	config.Kubeconfig = filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"" + address + "\"}}]\nusers: [{name: u, user: {}}]\n" +
		"contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n"
	if err := os.WriteFile(config.Kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(providers.Env{Getenv: func(string) string { return "" }, Now: time.Now}, &config)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func refusal(reason, message, details string) string {
	return fmt.Sprintf(`{"kind":"Status","status":"Failure","reason":%q,"message":%q,"details":{%s}}`, reason, message, details)
}

// TestAnswers are refusals that a test cannot make a real API server give. Each
// repeats a canary, which no error does.
func TestAnswers(t *testing.T) {
	const canary = "canary-4f8Tz"
	for name, test := range map[string]struct {
		code   int
		header map[string]string
		body   string
		want   providers.Code // of a create
		says   []string
	}{
		"429":             {429, map[string]string{"Retry-After": "7"}, refusal("TooManyRequests", canary, `"retryAfterSeconds":3`), providers.Throttled, []string{"429"}},
		"413":             {413, nil, refusal("RequestEntityTooLarge", canary, ""), providers.Invalid, []string{"of this size", "a mebibyte"}},
		"etcd":            {500, nil, refusal("", "etcdserver: request is too large "+canary, ""), providers.Invalid, []string{"of this size"}},
		"500":             {500, nil, refusal("InternalError", canary, ""), providers.Ambiguous, []string{"500 Internal Server Error"}},
		"504":             {504, nil, refusal("Timeout", canary, `"retryAfterSeconds":1`), providers.Ambiguous, []string{"504"}},
		"webhook":         {400, nil, refusal("", `admission webhook "a.example.com" denied the request: `+canary, ""), providers.Invalid, []string{"a.example.com"}},
		"odd webhook":     {403, nil, refusal("Forbidden", `admission webhook "`+canary+` x" denied`, ""), providers.Invalid, []string{"(odd)"}},
		"policy":          {422, nil, refusal("Invalid", `ValidatingAdmissionPolicy 'p.example.com' with binding 'b' denied request: `+canary, ""), providers.Invalid, []string{"does not take"}},
		"policy, 403":     {403, nil, refusal("Forbidden", `ValidatingAdmissionPolicy 'p.example.com' denied request: `+canary, ""), providers.Invalid, []string{"p.example.com"}},
		"quota busy":      {409, nil, refusal("Conflict", canary, `"kind":"resourcequotas"`), providers.Unavailable, []string{"resourcequotas"}},
		"fields":          {422, nil, refusal("Invalid", canary, `"causes":[{"reason":"FieldValueRequired","message":"`+canary+`","field":"data[tls.key]"}]`), providers.Invalid, []string{"data[tls.key] (FieldValueRequired)"}},
		"redirect":        {302, map[string]string{"Location": "https://other.example.com/?x=" + canary}, "", providers.Invalid, []string{"https://other.example.com (status 302), which is not followed"}},
		"HTML":            {200, map[string]string{"Content-Type": "text/html"}, "<html>" + canary, providers.Ambiguous, []string{"not one of a Kubernetes API server"}},
		"HTML, 502":       {502, map[string]string{"Content-Type": "text/html"}, "<html>" + canary, providers.Ambiguous, []string{"502"}},
		"HTML, 403":       {403, nil, "<html>" + canary, providers.Denied, []string{"on the way"}},
		"HTML, 401":       {401, nil, "<html>" + canary, providers.Denied, []string{"sign in again"}},
		"404 of a proxy":  {404, nil, "<html>" + canary, providers.Unavailable, []string{"not in the form of an API server"}},
		"cut off":         {201, nil, `{"kind":"PartialObjectMetadata","metadata":{"name":"` + canary, providers.Ambiguous, []string{"cut off"}},
		"empty":           {201, nil, "", providers.Ambiguous, nil},
		"another's":       {201, nil, `{"kind":"Secret","metadata":{"uid":"1","resourceVersion":"1"},"data":{"value":"` + canary + `"}}`, providers.Ambiguous, []string{"not one of"}},
		"no such request": {405, nil, refusal("MethodNotAllowed", canary, ""), providers.Invalid, []string{"405"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := answering(t, test.code, test.header, test.body)
			_, err := d.Write(t.Context(), providers.WriteRequest{Path: "ns/a", Value: secret.String(canary), OpID: "1"})
			if err == nil || providers.CodeOf(err) != test.want {
				t.Fatalf("%v: %v, want %v", providers.CodeOf(err), err, test.want)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\nlacks %q", err, part)
				}
			}
			if strings.Contains(fmt.Sprintf("%+v", err), canary) {
				t.Errorf("the answer is repeated: %v", err)
			}
			if e := err.(*providers.Error); name == "429" && e.RetryAfter != 7*time.Second || name == "504" && e.RetryAfter != time.Second {
				t.Errorf("to wait: %v", e.RetryAfter)
			}
			if _, err := d.Read(t.Context(), "ns/a", ""); err == nil && name != "another's" || err != nil && !providers.CodeOf(err).Definite() {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func TestExpiredList(t *testing.T) {
	d := answering(t, 410, nil, refusal("Expired", "", ""))
	d.namespace = "ns"
	if _, err := d.List(t.Context()); providers.CodeOf(err) != providers.Unavailable || !strings.Contains(err.Error(), "faster than it can be listed") {
		t.Errorf("%v", err)
	}
}

func TestPaths(t *testing.T) {
	long := strings.Repeat("n", 64)
	for _, test := range []struct{ namespace, written, path string }{
		{"shop", "db", "shop/db"},
		{"shop", "shop/db.url", "shop/db.url"},
		{"", "shop/db", "shop/db"},
		{"", "shop/" + long, "shop/" + long},
		{"", "db", ""},
		{"shop", "other/db", ""},
		{"shop", "DB", ""},
		{"shop", "db_url", ""},
		{"shop", "-db", ""},
		{"shop", "db.", ""},
		{"shop", "a..b", ""},
		{"", "a.b/db", ""},
		{"", long + "/db", ""},
		{"", "a/b/c", ""},
		{"shop", strings.Repeat("n", 254), ""},
	} {
		d := opened(t, "https://c.example.com", Config{Namespace: test.namespace})
		path, err := d.Resolve(kindSecret, test.written)
		if err == nil && path != test.path || err != nil && test.path != "" || err != nil && providers.CodeOf(err) != providers.Invalid {
			t.Errorf("%q in %q: %q, %v; want %q", test.written, test.namespace, path, err, test.path)
		}
		if err == nil && test.namespace != "" && d.Written(path) == path {
			t.Errorf("%q is written as it is", path)
		}
	}
	place := providers.Place{Kind: kindSecret, App: "shop", Environment: "dev", Name: "db_url"}
	for namespace, want := range map[string]string{"": "shop-dev/shop-db-url", "team": "team/shop-dev-db-url"} {
		if path, err := opened(t, "https://c.example.com", Config{Namespace: namespace}).DefaultPath(place); path != want || err != nil {
			t.Errorf("%q, %v; want %q", path, err, want)
		}
	}
}

func TestArguments(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		says   string
	}{
		"namespace":     {Config{Namespace: "A"}, "namespace: "},
		"no kubeconfig": {Config{Kubeconfig: "/none/config"}, "kubeconfig: there is no file /none/config"},
		"two users":     {Config{Impersonate: make([]Impersonation, 2)}, "2 impersonate blocks"},
		"no user":       {Config{Impersonate: make([]Impersonation, 1)}, "the user is empty"},
	} {
		_, err := Open(providers.Env{Getenv: func(string) string { return "" }, Now: time.Now}, &test.config)
		if providers.CodeOf(err) != providers.Invalid || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefusedBeforeAnyRequest are values and attributes that a Secret has no
// room for.
func TestRefusedBeforeAnyRequest(t *testing.T) {
	d := opened(t, "http://127.0.0.1:1", Config{})
	one := secret.String("x")
	for name, req := range map[string]providers.WriteRequest{
		"key":          {Value: secret.Object(map[string]secret.Value{"a b": one})},
		"empty key":    {Value: secret.Object(map[string]secret.Value{"": one})},
		"dots":         {Value: secret.Object(map[string]secret.Value{"..a": one})},
		"directive":    {Value: secret.Object(map[string]secret.Value{"$patch": one})},
		"label":        {Value: one, Attributes: providers.Attributes{Labels: map[string]string{"a b": "c"}}},
		"empty label":  {Value: one, Attributes: providers.Attributes{Labels: map[string]string{"": "c"}}},
		"label value":  {Value: one, Attributes: providers.Attributes{Labels: map[string]string{"a": "c d"}}},
		"our label":    {Value: one, Attributes: providers.Attributes{Labels: map[string]string{labelProject: "theirs"}}},
		"project":      {Value: one, Attributes: providers.Attributes{Mark: providers.Mark{Project: "a b"}}},
		"description":  {Value: one, Attributes: providers.Attributes{Description: strings.Repeat("x", longestDescription+1)}},
		"label prefix": {Value: one, Attributes: providers.Attributes{Labels: map[string]string{"A/b": "c"}}},
	} {
		req.Path, req.OpID = "ns/a", "1"
		if _, err := d.Write(t.Context(), req); err == nil || providers.CodeOf(err) != providers.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSettled is the clock that decides whether a time tells two changes apart.
func TestSettled(t *testing.T) {
	changed := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	theirs := managed{Manager: "kubectl-edit", Operation: "Update", Time: changed}
	theirs.Fields.Data = map[string]json.RawMessage{"f:password": nil}
	for _, test := range []struct {
		after time.Duration
		young bool
	}{{0, true}, {settled - 1, true}, {settled, false}, {time.Hour, false}} {
		m := metadata{UID: "u", ResourceVersion: "7", ManagedFields: []managed{theirs}, asked: changed.Add(test.after)}
		if young := strings.Contains(m.version(), "@7"); young != test.young {
			t.Errorf("after %v: %s", test.after, m.version())
		}
		if !m.is(m.digest()+"@7") || m.is(m.digest()+"@8") || m.is(m.digest()) == test.young {
			t.Errorf("after %v: what is the live version", test.after)
		}
	}
	if m := (&metadata{UID: "u", ResourceVersion: "7", ManagedFields: []managed{theirs}}); !strings.Contains(m.version(), "@7") {
		t.Error("a server that does not tell the time is believed")
	}
}
