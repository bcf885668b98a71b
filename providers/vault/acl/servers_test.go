//go:build servers

package acl

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// What this package says is what the server says, for every set of policies
// with every path.
func TestSetAgainstServer(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	paths := []string{
		"kv/data/a", "kv/data/a/", "kv/data/a/b", "kv/data/ab", "kv/data", "kv/metadata/a/b/", "kv/data/b/a", "kv/x/a/b/c", "kv", "kv/data/a/b/c/d", "other/x", "kv/a/ccc/bbb",
	}
	sets := [][]string{
		{`path "kv/data/a" { capabilities = ["read", "create"] }`},
		{`path "kv/data/a/" { capabilities = ["list"] }`, `path "kv/data/a" { capabilities = ["read"] }`},
		{`path "kv/data/*" { capabilities = ["read"] } path "kv/data/a" { capabilities = ["deny"] }`},
		{`path "kv/data/a*" { capabilities = ["read"] }`, `path "kv/data/a/*" { capabilities = ["list"] }`},
		{`path "kv/+/a" { capabilities = ["read"] }`, `path "kv/data/*" { capabilities = ["list"] }`},
		{`path "kv/+/a/*" { capabilities = ["update"] } path "kv/*" { capabilities = ["patch", "scan"] } path "kv/+/+/b" { capabilities = ["delete"] }`},
		{`path "+/data/+" { capabilities = ["read"] }`, `path "+/data/a*" { capabilities = ["list"] }`, `path "+/+/a" { capabilities = ["sudo"] }`},
		{`path "*" { capabilities = ["read"] } path "+/*" { capabilities = ["list"] } path "+" { capabilities = ["update"] }`},
		{`path "kv/data/a" { policy = "write" } path "kv/data/a/b" { policy = "sudo" capabilities = ["patch"] } path "kv/*" { policy = "read" }`},
		{`path "kv/data/a" { capabilities = ["read"] }`, `path "kv/data/a" { capabilities = ["update"] }`, `path "kv/data/ab" { capabilities = ["read"] }`, `path "kv/data/ab" { capabilities = ["deny"] }`},
		{`path "/kv/data/a" { capabilities = ["read"] } path "kv/data/a/+/c/d" { capabilities = ["read"] } path "kv/data/a/b/+/d" { capabilities = ["list"] }`},
		{`path "kv/data/a" { capabilities = [] } path "kv/data/*" { capabilities = ["read"] } path "kv/data/b/+" { }`},
		{`path "kv/data/{{identity.entity.name}}" { capabilities = ["read"] } path "kv/data/b/*" { capabilities = ["list"] }`},
		{`{"path": {"kv/data/a": {"capabilities": ["read"]}, "kv/data/+/b": {"policy": "read"}}}`, `path "kv/data/+/+" { capabilities = ["delete"] }`},
		{"# comment\npath \"kv/x/*\" {\n capabilities = [\"read\",]\n expiration = \"2020-01-01T00:00:00Z\" }\npath \"kv/x/+/b/c\" { capabilities = [\"list\"] required_parameters = [\"x\"] }"},
		{`path "+/a/+/bbb" { capabilities = ["read"] } path "+/+/ccc/bbb" { capabilities = ["list"] }`},
		{`path "kv/metadata/a/b" { capabilities = ["list"] } path "kv/metadata/*" { capabilities = ["read"] }`},
		{`path "kv/metadata/+/b" { capabilities = ["list"] } path "kv/+/+/b/" { capabilities = ["read"] }`},
	}
	pairs := 0
	for i, set := range sets {
		var names []string
		var rules [][]Rule
		for j, text := range set {
			name := fmt.Sprintf("set-%d-%d", i, j)
			s.Policy(name, text)
			names = append(names, name)
			parsed, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, parsed)
		}
		status, answer := s.Do(http.MethodPost, "auth/token/create", s.RootToken, map[string]any{"policies": names, "no_default_policy": true})
		if status != http.StatusOK {
			t.Fatal(answer)
		}
		token := answer["auth"].(map[string]any)["client_token"].(string)
		real := s.Must(http.MethodPost, "sys/capabilities", map[string]any{"token": token, "paths": paths})
		for _, path := range paths {
			pairs++
			var want []string
			for _, c := range real[path].([]any) {
				want = append(want, c.(string))
			}
			if got := NewSet(now, rules...).Capabilities(path); !slices.Equal(got, Sorted(want)) {
				t.Errorf("%s\non %s: %v, the server says %v", strings.Join(set, "\n"), path, got, want)
			}
		}
	}
	if pairs < 60 {
		t.Errorf("only %d pairs", pairs)
	}
}

// What Render writes, the server takes, and what it refuses for its form, Parse
// refuses. (Parse refuses more: the server takes JSON that is cut off.)
func TestTextAgainstServer(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	for path := range map[string]bool{`a"b\c`: true, "é/+x": true, "a b": true, "a/{b}": true} {
		text := Render([]Rule{{Path: path, Capabilities: []string{Read}, Why: "for\nreasons \"}"}})
		s.Policy("rendered", text)
		status, answer := s.Do(http.MethodPost, "auth/token/create", s.RootToken, map[string]any{"policies": []string{"rendered"}})
		if status != http.StatusOK {
			t.Fatal(answer)
		}
		token := answer["auth"].(map[string]any)["client_token"]
		real := s.Must(http.MethodPost, "sys/capabilities", map[string]any{"token": token, "paths": []string{path}})
		if c, ok := real[path].([]any); !ok || len(c) != 1 || c[0] != "read" {
			t.Errorf("%s gives %v", text, real)
		}
	}
	for _, text := range []string{
		`path "a" {`, `path "a" { capabilities = ["read" }`, `path "a" = { capabilities = ["read"] }`, `path "a" { policy = "x" }`, "path \"a\n\" {}",
		`path "a" { capabilities = "read }`, `path "a" { capabilities = [1, {}] }`, `{"path": {"a": {"policy": "x"}}}`,
	} {
		status, _ := s.Do(http.MethodPut, "sys/policies/acl/broken", s.RootToken, map[string]any{"policy": text})
		if _, err := Parse(text); (err != nil) != (status == http.StatusBadRequest) {
			t.Errorf("%q: the server answers %d, Parse %v", text, status, err)
		}
	}
}
