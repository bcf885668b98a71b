//go:build servers

package vault

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

func TestExamine(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	mount := s.KV()
	root := withToken(t, s.Address, mount, s.RootToken)
	req := providers.PermissionRequest{Phase: providers.PhasePlan, Secrets: []providers.Use{{Path: "a"}}}
	needed := root.Permissions(req)
	s.Policy("plan", root.PermissionDocument(req, needed))
	s.Policy("less", `path "`+mount+`/metadata/*" { capabilities = ["list"] }`)
	token := func(body map[string]any) string {
		t.Helper()
		status, answer := s.Do(http.MethodPost, "auth/token/create", s.RootToken, body)
		if status != http.StatusOK {
			t.Fatal(answer)
		}
		return answer["auth"].(map[string]any)["client_token"].(string)
	}
	revoked := s.TokenWith("plan")
	s.Must(http.MethodPost, "auth/token/revoke", map[string]any{"token": revoked})
	for name, c := range map[string]struct {
		token, mount string
		off          time.Duration
		want         []string // "STATUS SUBJECT: part of text | part of next", in order; OK ones are left out
		ok           []string // subjects that are well
	}{
		"healthy": {s.TokenWith("plan"), mount, 0, nil, []string{"server", "clock", "token", "mount " + mount, mount + "/metadata/*"}},
		"root":    {s.RootToken, mount, 0, []string{"warning token: it may do everything | coffer permissions"}, []string{mount + "/metadata/*"}},
		"clock ahead": {
			s.TokenWith("plan"), mount, 2 * time.Minute,
			[]string{"warning clock: differ by 2m0s | NTP", "warning clock: differ by 1m59s | NTP"},
			[]string{"server"},
		},
		"clock behind": {
			s.TokenWith("plan"), mount, -time.Hour,
			[]string{"warning clock: differ by 1h0m0s | NTP", "warning clock: differ by 59m59s | NTP"},
			[]string{"server"},
		},
		"wrong token":   {"hvs.none", mount, 0, []string{"error token: |"}, []string{"server"}},
		"revoked token": {revoked, mount, 0, []string{"error token: |"}, []string{"server"}},
		"short token": {
			token(map[string]any{"policies": []string{"plan"}, "ttl": "1m", "renewable": false}), mount, 0,
			[]string{"warning token: with policies default, plan: ends in | sign in again"},
			[]string{"mount " + mount},
		},
		"counted token": {
			token(map[string]any{"policies": []string{"plan"}, "num_uses": 9}), mount, 0,
			[]string{"warning token: more uses | takes one"},
			[]string{"mount " + mount},
		},
		"missing mount": {s.RootToken, "none", 0, []string{"warning token:", `error mount none: there is no mount "none" | vault secrets enable -path=none`}, []string{mount + "/metadata/*"}},
		"less than needed": {
			s.TokenWith("less"), mount, 0,
			[]string{
				"warning " + mount + `/detailed-metadata/*: may not scan (the same in one request | path "` + mount + `/detailed-metadata/*" { capabilities = ["scan"] }`,
				"error " + mount + `/metadata/*: may not read (which secrets | path "` + mount + `/metadata/*" { capabilities = ["read", "list"] }`,
				"error sys/policies/acl: may not list", "error sys/policies/acl/*: may not read",
			},
			[]string{"auth/token/lookup-self"},
		},
	} {
		d := withToken(t, s.Address, c.mount, c.token)
		d.now = func() time.Time { return time.Now().Add(c.off) }
		check(t, name, d.Examine(t.Context(), needed), c.want, c.ok)
	}
	proxied := newProxy(t, s.Address)
	withToken(t, proxied.URL, mount, s.RootToken).Examine(t.Context(), needed)
	if n := len(proxied.take()); n != 4 {
		t.Errorf("%d requests", n)
	}
	// Very many are asked about in several requests, and each is answered.
	many := providers.PermissionRequest{Phase: providers.PhaseApply}
	for i := range 150 {
		many.Secrets = append(many.Secrets, providers.Use{Path: fmt.Sprintf("a/%d", i), Write: true})
	}
	needed = root.Permissions(many)
	found := withToken(t, proxied.URL, mount, s.TokenWith("plan")).Examine(t.Context(), needed)
	denied := 0
	for _, f := range found {
		if f.Status == providers.FindingFail {
			denied++
		}
	}
	if n := proxied.count("sys/capabilities-self"); n != (len(needed)+pathsAtOnce-1)/pathsAtOnce || n < 3 || denied < 600 || len(found) != len(needed)+4 {
		t.Errorf("%d requests, %d findings and %d refusals for %d permissions", n, len(found), denied, len(needed))
	}
	// Not to see who holds a policy is no error.
	holders := root.Permissions(providers.PermissionRequest{
		Phase: providers.PhasePlan, Secrets: []providers.Use{{Path: "a"}}, Objects: []providers.ObjectRef{{Kind: KindPolicy, Path: "p"}},
	})
	for _, f := range withToken(t, s.Address, mount, s.TokenWith("plan")).Examine(t.Context(), holders) {
		if f.Status == providers.FindingFail || f.Subject == "auth/+/role" && f.Status != providers.FindingWarn {
			t.Errorf("%+v", f)
		}
	}
	s.Seal()
	check(t, "sealed", root.Examine(t.Context(), needed), []string{"error server: is sealed | vault operator unseal"}, nil)
	proxied.setDown(true)
	check(t, "down", withToken(t, proxied.URL, mount, "x").Examine(t.Context(), needed), []string{"error server: |"}, nil)
}

// check compares findings. Of several lines for one subject one has to fit.
func check(t *testing.T, name string, found []providers.Finding, want, ok []string) {
	t.Helper()
	fits := func(f providers.Finding) bool {
		for _, line := range want {
			rest, has := strings.CutPrefix(line, string(f.Status)+" "+f.Subject+":")
			text, next, _ := strings.Cut(rest, "|")
			if has && strings.Contains(f.Text, strings.TrimSpace(text)) && strings.Contains(f.Next, strings.TrimSpace(next)) {
				return true
			}
		}
		return false
	}
	subjects := map[string]bool{}
	for _, f := range found {
		if f.Status == providers.FindingOK {
			subjects[f.Subject] = true
		} else if !fits(f) {
			t.Errorf("%s: unexpected %+v", name, f)
		}
		if strings.Contains(f.Text+f.Next, "hvs.") {
			t.Errorf("%s: a token in %+v", name, f)
		}
	}
	for _, subject := range ok {
		if !subjects[subject] {
			t.Errorf("%s: nothing well of %s in %+v", name, subject, found)
		}
	}
	for _, line := range want {
		status, rest, _ := strings.Cut(line, " ")
		subject, _, _ := strings.Cut(rest, ":")
		has := false
		for _, f := range found {
			has = has || string(f.Status) == status && f.Subject == subject
		}
		if !has {
			t.Errorf("%s: nothing of %q in %+v", name, line, found)
		}
	}
}
