package plannertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault"
)

// hostileVault answers like a server, with one text wherever a server can put
// text, or with one answer to everything.
type hostileVault struct {
	text   string // in the answers
	answer string // instead of them
	status int    // 0 is 200
}

// like is what a server answers; @ stands for the hostile text, as a JSON
// string.
func like(path, method string, scan bool) string {
	meta := `{"current_version":1,"created_time":"2026-01-01T00:00:00Z","updated_time":@,"custom_metadata":{@:@,"coffer_project":@,` +
		`"coffer_address":@,"coffer_labels":@,"coffer_description":@},"delete_version_after":@,"versions":{"1":{"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false},@:null}}`
	switch {
	case strings.HasSuffix(path, "sys/health"):
		return `{"initialized":true,"sealed":false,"version":@,"cluster_id":@,"cluster_name":@}`
	case strings.Contains(path, "/ui/mounts/"):
		return `{"request_id":@,"data":{"type":"kv","path":"secret/","uuid":@,"accessor":@,"description":@,"options":{"version":"2",@:@}}}`
	case scan:
		return `{"request_id":@,"data":{"keys":["a",@],"key_info":{"a":` + meta + `,@:` + meta + `}}}`
	case strings.Contains(path, "/metadata/"):
		return `{"request_id":@,"warnings":[@],"data":` + meta + `}`
	case strings.Contains(path, "/data/") && method == http.MethodGet:
		return `{"request_id":@,"data":{"data":{"value":@,@:@},"metadata":{"version":1,"created_time":@}}}`
	case strings.Contains(path, "/data/"):
		return `{"request_id":@,"data":{"version":1,"created_time":"2026-01-01T00:00:00Z","custom_metadata":{@:@}}}`
	case strings.Contains(path, "sys/policies"):
		return `{"request_id":@,"data":{"name":@,"policy":@,"keys":[@]}}`
	}
	return `{"request_id":@,"data":{@:@},"keys":[@]}`
}

func (h *hostileVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := h.answer
	if answer == "" {
		text, _ := json.Marshal(h.text)
		scan := r.URL.Query().Has("scan") || r.URL.Query().Has("list")
		answer = strings.ReplaceAll(like(r.URL.Path, r.Method, scan), "@", string(text))
	}
	w.Header().Set("Content-Type", "application/json")
	if h.status != 0 {
		w.WriteHeader(h.status)
	}
	_, _ = w.Write([]byte(answer))
}

// hostileCalls makes every call of the driver and returns what came of each.
func hostileCalls(t *testing.T, address string) map[string]error {
	t.Helper()
	p := providers.New("vault", hostileDriver(t, address), providers.Options{Sleep: noSleep})
	ctx, errs := t.Context(), map[string]error{}
	attributes := providers.Attributes{Mark: providers.Mark{Project: "p", Address: "a"}}
	value := secret.Object(map[string]secret.Value{"a": secret.String("hunter2-hunter2")})
	write := providers.WriteRequest{Path: "a", Value: value, IfVersion: "1", Attributes: attributes}
	ref := providers.ObjectRef{Kind: "policy", Path: "p"}
	for name, call := range map[string]func() error{
		"identity":    func() error { _, err := p.Identity(ctx); return err },
		"incarnation": func() error { _, err := p.Incarnation(ctx); return err },
		"inspect":     func() error { _, err := p.Inspect(ctx, []string{"a"}); return err },
		"inspect two": func() error { _, err := p.Inspect(ctx, []string{"a", "b"}); return err },
		"list":        func() error { _, err := p.List(ctx); return err },
		"read":        func() error { _, err := p.Read(ctx, "a", ""); return err },
		"write":       func() error { _, err := p.Write(ctx, write); return err },
		"patch":       func() error { _, err := p.Patch(ctx, write); return err },
		"attributes":  func() error { _, err := p.SetAttributes(ctx, "a", "1", attributes); return err },
		"delete":      func() error { return p.Delete(ctx, "a", "1") },
		"undelete":    func() error { _, err := p.Undelete(ctx, "a"); return err },
		"purge":       func() error { return p.Purge(ctx, "a", "1") },
		"objects":     func() error { _, err := p.InspectObjects(ctx, []providers.ObjectRef{ref}); return err },
		"write object": func() error {
			_, err := p.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "path \"a\" {}\n", IfVersion: "1"})
			return err
		},
		"access": func() error { _, err := p.UndeclaredAccess(ctx, []providers.Managed{{Path: "a"}}, nil); return err },
		"examine": func() error {
			for _, f := range p.Examine(ctx, []providers.Permission{{Path: "a", Capabilities: []string{"read"}}}) {
				clean(t, "examine", fmt.Sprint(f))
			}
			return nil
		},
		"lease": func() error { _, err := p.Lease(ctx); return err },
	} {
		errs[name] = call()
	}
	return errs
}

func hostileDriver(t *testing.T, address string) providers.Driver {
	t.Helper()
	d, err := vault.Open(providers.Env{
		Dir: t.TempDir(), Getenv: func(string) string { return "" }, Now: time.Now, Project: "p", Phase: providers.PhaseApply,
	}, &vault.Config{Address: address, Token: providers.NewCredential("token", false, func(context.Context) (secret.Value, error) {
		return secret.String(hostileToken), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const hostileToken = "hvs.kX9vQ2mZr7TfLw4Hn8BsYd3J"

// wellBehaved checks errors: typed, short, clean once rendered, and without
// what was sent.
func wellBehaved(t *testing.T, what string, errs map[string]error) {
	t.Helper()
	for call, err := range errs {
		if err == nil {
			continue
		}
		var e *providers.Error
		var partial *providers.PartialError
		if !errors.As(err, &e) && !errors.As(err, &partial) {
			t.Errorf("%.60q, %s: not typed: %v", what, call, err)
		}
		text := err.Error()
		if strings.Contains(text, hostileToken) || strings.Contains(text, "hunter2") {
			t.Errorf("%.60q, %s: the error holds what was sent", what, call)
		}
		clean(t, call, text)
	}
}

// clean makes sure that rendered text cannot change how output reads.
func clean(t *testing.T, call, text string) {
	t.Helper()
	for _, r := range render.Sanitize(text) {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("%s: %U is in %.200q", call, r, text)
			return
		}
	}
}

// Hostile text wherever a server can put text: in keys, versions, names and
// errors.
func TestHostileTextOfVault(t *testing.T) {
	var h atomic.Pointer[hostileVault]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	calls := 0
	for i, text := range hostile.Strings() {
		kinds := []*hostileVault{{text: text}}
		quoted, _ := json.Marshal(text)
		for _, status := range []int{400, 403, 404, 500, 503} {
			if i%5 == status%5 || len(text) < 100 && status == 400 { // all in turn: they differ in the code alone
				kinds = append(kinds, &hostileVault{status: status, answer: `{"errors":[` + string(quoted) + `]}`})
			}
		}
		for _, kind := range kinds {
			h.Store(kind)
			errs := hostileCalls(t, server.URL)
			calls += len(errs)
			wellBehaved(t, text, errs)
		}
	}
	t.Logf("%d calls", calls)
}

// hostileAnswers are answers whose form attacks.
func hostileAnswers() map[string]string {
	n := 100_000
	answers := map[string]string{
		"deep objects": strings.Repeat(`{"data":`, n), "deep arrays": `{"data":` + strings.Repeat("[", n), "deep and closed": `{"data":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}",
		"null": "null", "empty": "", "array": "[]", "string": `"x"`, "data null": `{"request_id":"a","data":null}`, "data empty": `{"request_id":"a","data":{}}`,
		"invalid UTF-8": "{\"request_id\":\"\xff\",\"data\":{\"\xfe\":\"\xff\"}}", "NUL": "\x00\x00\x00", "BOM": "\ufeff{}", "trailing": `{"data":{}} {"data":{}}`,
		"many keys": `{"data":{"keys":[` + strings.TrimSuffix(strings.Repeat(`"a",`, n/100), ",") + `]}}`,
		"many versions": `{"request_id":"a","data":{"current_version":1,"versions":{` + func() string {
			var b strings.Builder
			for i := range n / 4 {
				fmt.Fprintf(&b, `"%d":{"created_time":"2026-01-01T00:00:00Z"},`, i)
			}
			return b.String()
		}() + `"x":null}}}`,
		"errors are objects": `{"errors":{"a":{"b":1}}}`, "errors are deep": `{"errors":[` + strings.Repeat("[", n) + strings.Repeat("]", n) + `]}`,
	}
	for _, number := range []string{"-1", "0", "1.5", "1e400", "-9223372036854775808", "9223372036854775807", "9223372036854775808", strings.Repeat("9", 100_000), `"1"`, "true", "{}"} {
		answers["version "+number[:min(len(number), 20)]] = `{"request_id":"a","initialized":true,"cluster_id":"c","version":` + number + `,"data":{"type":"kv","path":"secret/","options":{"version":"2"},` +
			`"version":` + number + `,"current_version":` + number + `,"max_versions":` + number + `,"created_time":"2026-01-01T00:00:00Z","versions":{"` + strings.Trim(number, `"`) + `":{"created_time":"2026-01-01T00:00:00Z","version":` + number + `}},` +
			`"metadata":{"version":` + number + `},"data":{"value":` + number + `},"ttl":` + number + `}}`
	}
	return answers
}

// Answers that attack by their form end in typed errors, in bounded memory.
func TestHostileAnswersOfVault(t *testing.T) {
	var h atomic.Pointer[hostileVault]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	calls := 0
	for name, answer := range hostileAnswers() {
		for _, status := range []int{0, 404, 500} {
			h.Store(&hostileVault{answer: answer, status: status})
			if answer == "" {
				h.Store(&hostileVault{answer: " ", status: status})
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			errs := hostileCalls(t, server.URL)
			runtime.ReadMemStats(&after)
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 1500 {
				t.Errorf("%s, status %d: %d MiB for %d calls", name, status, mib, len(errs))
			}
			wellBehaved(t, name, errs)
			calls += len(errs)
			for _, call := range []string{"write", "patch", "attributes", "write object"} {
				if errs[call] == nil && status != 0 {
					t.Errorf("%s, status %d: %s succeeded", name, status, call)
				}
			}
		}
	}
	t.Logf("%d calls", calls)
}
