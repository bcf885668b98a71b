//go:build servers && unix

package citest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// The commands of the pages make roles that a real server gives to the jobs that
// they are for, and to no other.
func TestRolesOfThePages(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	m := newMachine(t, newSite(t))
	m.environ["VAULT_ADDR"], m.environ["VAULT_TOKEN"] = s.Address, s.RootToken
	issuers := map[string]string{"github": "https://token.actions.githubusercontent.com", "gitlab": "https://gitlab.com"}
	writeRoles(t, m, key)

	// what a job's token says: https://docs.github.com/actions/reference/security/oidc
	// and https://docs.gitlab.com/ci/secrets/id_token_authentication
	github := map[string]any{"sub": "repo:acme@1/secrets@123456789:pull_request", "repository": "acme/secrets", "repository_id": "123456789", "ref": "refs/pull/12/merge", "event_name": "pull_request"}
	gitlab := map[string]any{"sub": "project_path:acme/secrets:ref_type:branch:ref:topic", "project_id": "42", "ref": "topic", "ref_type": "branch", "ref_protected": "false"}
	githubMain := map[string]any{"ref": "refs/heads/main", "environment": "production", "event_name": "pull_request"}
	gitlabMain := map[string]any{"ref": "main", "ref_protected": "true", "environment": "production", "environment_protected": "true"}
	for name, c := range map[string]struct {
		forge string
		base  map[string]any
		more  map[string]any // over base; nil takes a claim away
		plan  bool
		apply bool
	}{
		"github: a pull request":                    {"github", github, nil, true, false},
		"github: a schedule on main":                {"github", github, map[string]any{"ref": "refs/heads/main", "event_name": "schedule"}, true, false},
		"github: the apply":                         {"github", github, githubMain, true, true},
		"github: another environment":               {"github", github, merged(githubMain, "environment", "staging"), true, false},
		"github: no environment":                    {"github", github, merged(githubMain, "environment", nil), true, false},
		"github: the environment from a branch":     {"github", github, merged(githubMain, "ref", "refs/heads/topic"), false, false},
		"github: the environment in a pull request": {"github", github, map[string]any{"environment": "production"}, true, false},
		"github: a branch":                          {"github", github, map[string]any{"ref": "refs/heads/topic"}, false, false},
		"github: a branch called like one":          {"github", github, map[string]any{"ref": "refs/heads/refs/pull/12/merge"}, false, false},
		"github: a tag called main":                 {"github", github, map[string]any{"ref": "refs/tags/main"}, false, false},
		"github: another repository":                {"github", github, merged(githubMain, "repository_id", "1234567890"), false, false},
		"github: one of its old name":               {"github", github, map[string]any{"repository_id": "5", "repository": "acme/secrets"}, false, false},
		"github: another audience":                  {"github", github, merged(githubMain, "aud", "https://github.com/acme"), false, false},
		"github: another issuer":                    {"github", github, merged(githubMain, "iss", "https://gitlab.com"), false, false},
		"gitlab: a merge request":                   {"gitlab", gitlab, nil, true, false},
		"gitlab: the apply":                         {"gitlab", gitlab, gitlabMain, true, true},
		"gitlab: a job of main":                     {"gitlab", gitlab, merged(gitlabMain, "environment", nil), true, false},
		"gitlab: the environment from a branch":     {"gitlab", gitlab, merged(gitlabMain, "ref", "topic"), true, false},
		"gitlab: an environment that is open":       {"gitlab", gitlab, merged(gitlabMain, "environment_protected", "false"), true, false},
		"gitlab: a tag called main":                 {"gitlab", gitlab, merged(gitlabMain, "ref_type", "tag"), false, false},
		"gitlab: a fork":                            {"gitlab", gitlab, merged(gitlabMain, "project_id", "43"), false, false},
		"gitlab: another audience":                  {"gitlab", gitlab, merged(gitlabMain, "aud", "https://gitlab.com"), false, false},
	} {
		claims := map[string]any{"iss": issuers[c.forge], "aud": "https://vault.example.com", "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix()}
		maps.Copy(claims, c.base)
		maps.Copy(claims, c.more)
		maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
		for role, want := range map[string]bool{"plan": c.plan, "apply": c.apply} {
			status, answer := s.Do("POST", "auth/"+c.forge+"/login", "", map[string]any{"role": "coffer-" + role, "jwt": sign(t, key, claims)})
			policies, _ := at(answer, "auth", "policies").([]any)
			if got := status == 200; got != want || got && !slices.Equal(policies, []any{"coffer-" + role, "default"}) {
				t.Errorf("%s: the role for %s: status %d, policies %v, errors %v", name, role, status, policies, answer["errors"])
			}
		}
	}
}

func merged(base map[string]any, key string, value any) map[string]any {
	all := maps.Clone(base)
	all[key] = value
	return all
}

// writeRoles runs the commands of the pages, with a vault that sends what they say.
// Only where the server finds the keys of the forge is another: none of them is
// reached from a test.
func writeRoles(t *testing.T, m *machine, key *ecdsa.PrivateKey) {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(t, err)
	keys, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	must(t, err)
	m.stub("vault", `
send() { curl -sSf -X POST -H "X-Vault-Token: $VAULT_TOKEN" --data-binary @- "$VAULT_ADDR/v1/$1"; }
case "$1 $2 $3" in
"auth enable -path="*) printf '{"type": "%s"}' "$4" | send "sys/auth/${3#-path=}" ;;
"write auth/"*"/config oidc_discovery_url=${4#bound_issuer=}") printf '{"jwt_validation_pubkeys": [%s], "bound_issuer": "%s"}' "$KEY" "${4#bound_issuer=}" | send "$2" ;;
"write auth/"*"/role/"*" -") send "$2" ;;
*) echo "what is vault $*?" >&2; exit 1 ;;
esac`)
	ran := 0
	for _, b := range blocks(t) {
		if b.language != "sh" || !strings.Contains(b.text, "vault auth enable") {
			continue
		}
		ran++
		if said, code := m.run(m.home, map[string]string{"KEY": string(keys)}, "bash", "-eu", "-c", b.text); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", b.at, code, said)
		}
	}
	if ran != 2 {
		t.Fatalf("found %d blocks that make roles", ran)
	}
}

// sign returns a token as forges make them.
func sign(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(body)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(t, err)
	return fmt.Sprintf("%s.%s", signed, encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)))
}
