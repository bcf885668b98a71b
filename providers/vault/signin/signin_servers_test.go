//go:build servers

package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// bao is a server with a policy that reads sys/auth, which is how the tests see
// that a token is good and has its policies.
type bao struct {
	*vaulttest.Server
	caller
}

func start(t *testing.T) bao {
	t.Helper()
	s := vaulttest.Start(t, vaulttest.Options{})
	s.Policy("seer", `path "sys/auth" { capabilities = ["read"] }`)
	return bao{s, caller{s.Address, ""}}
}

// enable enables an auth method at a mount.
func (b bao) enable(mount, typ string) {
	b.Must("POST", "sys/auth/"+mount, map[string]any{"type": typ})
}

// sees reports whether a token is good and has the policy.
func (b bao) sees(v secret.Value) bool {
	token, _ := plain(v)
	status, _ := b.Do("GET", "sys/auth", token, nil)
	return status == http.StatusOK
}

// eventually asks until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited a minute for: %s", what)
		}
	}
}

// method makes the method of a block.
func method(t *testing.T, a arguments, d Deps) Method {
	t.Helper()
	m, err := a.method(d)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantRefusal checks the error of a sign-in: its text, and that nothing of what
// was sent is in it.
func wantRefusal(t *testing.T, err error, code providers.Code, hidden []string, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if providers.CodeOf(err) != code {
		t.Errorf("code %s: %v", providers.CodeOf(err), err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
	for _, h := range hidden {
		if strings.Contains(fmt.Sprintf("%+v %q", err, err.Error()), h) {
			t.Errorf("a credential is in: %v", err)
		}
	}
}

func TestTokenOnTheServer(t *testing.T) {
	b := start(t)
	given := b.TokenWith("seer")
	s := NewSession(method(t, &tokenConfig{}, Deps{Getenv: env("VAULT_TOKEN", given)}), b.caller, time.Now)
	v, err := s.Token(t.Context())
	if err != nil || !b.sees(v) {
		t.Fatal(err)
	}
	l, err := s.Lease(t.Context())
	if left := time.Until(l.Expires); err != nil || left > time.Hour || left < 55*time.Minute || !l.Renewable || l.Identity != "token from VAULT_TOKEN" {
		t.Errorf("%+v, %v", l, err)
	}
	if err := b.Call(t.Context(), v, "GET", "sys/policies/acl", nil, nil); providers.CodeOf(err) != providers.Denied {
		t.Fatal(err)
	}
	if s.Rejected(t.Context(), v) || s.Diagnose(t.Context()) != nil {
		t.Error("a missing permission is taken for a dead token")
	}
	if err := s.Close(t.Context()); err != nil || !b.sees(v) {
		t.Errorf("a configured token does not outlive the run: %v", err)
	}

	t.Run("revoked", func(t *testing.T) {
		s := NewSession(method(t, &tokenConfig{}, Deps{Getenv: env("VAULT_TOKEN", given)}), b.caller, time.Now)
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Must("POST", "auth/token/revoke", map[string]any{"token": given})
		if s.Rejected(t.Context(), v) {
			t.Error("worth another try")
		}
		wantRefusal(t, s.Diagnose(t.Context()), providers.Denied, []string{given},
			"the server does not take the token from VAULT_TOKEN", "expired", "revoked", "put a new token into VAULT_TOKEN, or unset it and sign in again with `vault login` or `bao login`")
		_, err := s.Lease(t.Context())
		wantRefusal(t, err, providers.Denied, []string{given}, "expired")
	})
	t.Run("expired", func(t *testing.T) {
		_, answer := b.Do("POST", "auth/token/create", b.RootToken, map[string]any{"policies": []string{"seer"}, "ttl": "1s", "renewable": false})
		short := answer["auth"].(map[string]any)["client_token"].(string)
		s := NewSession(method(t, &tokenConfig{Token: from(short)}, Deps{Getenv: env()}), b.caller, time.Now)
		v, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the token expires", func() bool { return !b.sees(v) })
		if s.Rejected(t.Context(), v) {
			t.Error("worth another try")
		}
		wantRefusal(t, s.Diagnose(t.Context()), providers.Denied, []string{short}, `the server does not take the token from from_env("X")`, "expired")
	})
	t.Run("may not look at itself", func(t *testing.T) {
		_, answer := b.Do("POST", "auth/token/create", b.RootToken, map[string]any{"policies": []string{"seer"}, "no_default_policy": true})
		blind := answer["auth"].(map[string]any)["client_token"].(string)
		s := NewSession(method(t, &tokenConfig{Token: from(blind)}, Deps{Getenv: env()}), b.caller, time.Now)
		v, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Rejected(t.Context(), v) || s.Diagnose(t.Context()) != nil {
			t.Errorf("a good token is called dead: %v", s.Diagnose(t.Context()))
		}
		_, err = s.Lease(t.Context())
		wantRefusal(t, err, providers.Denied, []string{blind}, "may not look at itself", `path "auth/token/lookup-self"`)
	})
}

func TestAppRoleOnTheServer(t *testing.T) {
	root := start(t)
	for _, namespace := range []string{"", "team"} {
		t.Run("namespace "+namespace, func(t *testing.T) {
			b := root
			if namespace != "" {
				b = bao{root.In(namespace), caller{root.Address, namespace}}
				b.Policy("seer", `path "sys/auth" { capabilities = ["read"] }`)
			}
			b.enable("machines", "approle")
			role := func(name string, more map[string]any) (id string) {
				body := map[string]any{"token_policies": "seer", "token_ttl": "1h"}
				for k, v := range more {
					body[k] = v
				}
				b.Must("POST", "auth/machines/role/"+name, body)
				return b.Must("GET", "auth/machines/role/"+name+"/role-id", nil)["role_id"].(string)
			}
			ci := role("ci", nil)
			other := role("other", nil)
			secretID := func(name string) string {
				return b.Must("POST", "auth/machines/role/"+name+"/secret-id", nil)["secret_id"].(string)
			}
			in := func(a appRoleConfig) (secret.Value, *Session, error) {
				a.Mount = "machines"
				s := NewSession(method(t, &a, Deps{}), b.caller, time.Now)
				v, err := s.Token(t.Context())
				return v, s, err
			}
			good := secretID("ci")
			v, s, err := in(appRoleConfig{RoleID: literal(ci), SecretID: from(good + "\n")})
			if err != nil || !b.sees(v) {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil || b.sees(v) {
				t.Errorf("the token of the run is left behind: %v", err)
			}
			_, _, err = in(appRoleConfig{RoleID: literal(other), SecretID: from(good)})
			wantRefusal(t, err, providers.Invalid, []string{good}, "sign in with approle "+other[:8]+"… at auth/machines: invalid role or secret ID", "make a new secret_id")

			open := role("open", map[string]any{"bind_secret_id": false, "token_bound_cidrs": "127.0.0.0/8"})
			if v, _, err = in(appRoleConfig{RoleID: from(open)}); err != nil || !b.sees(v) {
				t.Errorf("a role without secret_ids: %v", err)
			}
			batch := role("batch", map[string]any{"token_type": "batch"})
			v, s, err = in(appRoleConfig{RoleID: from(batch), SecretID: from(secretID("batch"))})
			if err != nil || !b.sees(v) || s.Close(t.Context()) != nil || !b.sees(v) {
				t.Errorf("a batch token: %v", err)
			}
			b.wrapped(t, in, ci, other)
		})
	}
}

// wrap makes a call whose answer is wrapped.
func (b bao) wrap(t *testing.T, path string, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.Address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"X-Vault-Token": b.RootToken, "X-Vault-Wrap-TTL": "60s", "X-Vault-Namespace": b.Namespace} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), `"wrap_info":{"token":"`)
	token, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("%s: status %d, no wrapping token", path, resp.StatusCode)
	}
	return token
}

func (b bao) wrapped(t *testing.T, in func(appRoleConfig) (secret.Value, *Session, error), ci, other string) {
	const path = "auth/machines/role/ci/secret-id"
	token := b.wrap(t, path, "")
	v, s, err := in(appRoleConfig{RoleID: literal(ci), SecretIDWrapped: from(token), Role: "ci"})
	if err != nil || !b.sees(v) {
		t.Fatalf("wrapped: %v", err)
	}
	revoked, _ := plain(v)
	b.Must("POST", "auth/token/revoke", map[string]any{"token": revoked})
	if !s.Rejected(t.Context(), v) {
		t.Error("the unwrapped secret_id does not serve for a second sign-in")
	}
	_, _, err = in(appRoleConfig{RoleID: literal(ci), SecretIDWrapped: from(token)})
	wantRefusal(t, err, providers.Denied, []string{token}, "it was unwrapped before", "intercepted", "make a new one: `vault write -f -wrap-ttl=5m auth/machines/role/ROLE/secret-id`")

	foreign := b.wrap(t, "sys/wrapping/wrap", `{"secret_id":"of-somebody-else"}`)
	_, _, err = in(appRoleConfig{RoleID: literal(ci), SecretIDWrapped: from(foreign)})
	wantRefusal(t, err, providers.Denied, []string{foreign}, `was made at "sys/wrapping/wrap" and not at "auth/machines/role/ROLE/secret-id"`, "It was not unwrapped")
	if err := b.Call(t.Context(), secret.String(foreign), "POST", "sys/wrapping/unwrap", nil, nil); err != nil {
		t.Errorf("it was unwrapped all the same: %v", err)
	}
	elsewhere := b.wrap(t, path, "")
	_, _, err = in(appRoleConfig{RoleID: literal(other), SecretIDWrapped: from(elsewhere), Role: "other"})
	wantRefusal(t, err, providers.Denied, []string{elsewhere}, `made at "auth/machines/role/ci/secret-id" and not at "auth/machines/role/other/secret-id"`)
}

func TestUserpassOnTheServer(t *testing.T) {
	b := start(t)
	b.enable("userpass", "userpass")
	const password = " canary %s\"\\ü "
	b.Must("POST", "auth/userpass/users/kim", map[string]any{"password": password, "token_policies": "seer"})
	a := userpassConfig{Username: "kim", Password: from(password + "\r\n")}
	token, err := method(t, &a, Deps{}).SignIn(t.Context(), b.caller)
	if err != nil || !b.sees(token.Value) {
		t.Fatal(err)
	}
	a.Password = from("canary wrong")
	s := NewSession(method(t, &a, Deps{}), b.caller, time.Now)
	for range 10 { // the server locks a user out after five
		_, err = s.Token(t.Context())
		wantRefusal(t, err, providers.Invalid, []string{"canary"}, "sign in with userpass kim at auth/userpass: invalid username or password")
	}
	a.Password = from(password)
	if _, err := method(t, &a, Deps{}).SignIn(t.Context(), b.caller); err != nil {
		t.Errorf("the user is locked out: %v", err)
	}
	a.Mount = "people"
	_, err = method(t, &a, Deps{}).SignIn(t.Context(), b.caller)
	wantRefusal(t, err, providers.Denied, []string{"canary"}, "auth/people")
}

func TestJWTOnTheServer(t *testing.T) {
	b := start(t)
	b.enable("jwt", "jwt")
	job, stranger := newSigner(t), newSigner(t)
	b.Must("POST", "auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{job.publicPEM(t)}, "jwt_supported_algs": []string{"ES256"}, "default_role": "ci"})
	b.Must("POST", "auth/jwt/role/ci", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}, "bound_claims": map[string]string{"repo": "shop"}, "token_policies": "seer"})
	claims := func(repo string, life time.Duration) map[string]any {
		now := time.Now()
		return map[string]any{"sub": "job-1", "aud": "vault", "repo": repo, "iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(life).Unix()}
	}
	for _, role := range []string{"ci", ""} {
		token, err := method(t, &jwtConfig{Role: role, JWT: from(job.sign(claims("shop", time.Hour)) + "\n")}, Deps{}).SignIn(t.Context(), b.caller)
		if err != nil || !b.sees(token.Value) {
			t.Errorf("role %q: %v", role, err)
		}
	}
	for name, signed := range map[string]string{
		"another repository": job.sign(claims("other", time.Hour)),
		"expired":            job.sign(claims("shop", -time.Hour)),
		"another key":        stranger.sign(claims("shop", time.Hour)),
	} {
		_, err := method(t, &jwtConfig{Role: "ci", JWT: from(signed)}, Deps{}).SignIn(t.Context(), b.caller)
		t.Log(name, err)
		wantRefusal(t, err, providers.Invalid, []string{signed}, "sign in with jwt ci at auth/jwt", "vault read auth/jwt/role/ci")
	}
}

func TestKubernetesOnTheServer(t *testing.T) {
	b := start(t)
	b.enable("kubernetes", "kubernetes")
	k := newCluster(t)
	b.Must("POST", "auth/kubernetes/config", map[string]any{"kubernetes_host": k.URL, "kubernetes_ca_cert": k.caPEM(), "token_reviewer_jwt": "reviewer", "disable_local_ca_jwt": true})
	b.Must("POST", "auth/kubernetes/role/api", map[string]any{"bound_service_account_names": "api", "bound_service_account_namespaces": "shop", "token_policies": "seer"})
	token, err := method(t, &kubernetesConfig{Role: "api", JWT: from(k.of("api") + "\n")}, Deps{}).SignIn(t.Context(), b.caller)
	if err != nil || !b.sees(token.Value) {
		t.Fatal(err)
	}
	other := k.of("other")
	_, err = method(t, &kubernetesConfig{Role: "api", JWT: from(other)}, Deps{}).SignIn(t.Context(), b.caller)
	wantRefusal(t, err, providers.Denied, []string{other}, "sign in with kubernetes api at auth/kubernetes", "bound_service_account_names", "vault read auth/kubernetes/role/api")
	_, err = method(t, &kubernetesConfig{Role: "nobody", JWT: from(other)}, Deps{}).SignIn(t.Context(), b.caller)
	wantRefusal(t, err, providers.Invalid, []string{other}, "invalid role name")
}

// browser follows a page to wherever it leads, as a signed-in person's does.
func browser(ctx context.Context, page string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", page, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestOIDCOnTheServer(t *testing.T) {
	b := start(t)
	b.enable("oidc", "oidc")
	p := newIdentityProvider(t)
	port := freePort(t)
	redirect := fmt.Sprintf("http://localhost:%d/oidc/callback", port)
	b.Must("POST", "auth/oidc/config", map[string]any{"oidc_discovery_url": p.URL, "oidc_client_id": "coffer", "oidc_client_secret": "s", "default_role": "people", "jwt_supported_algs": []string{"ES256"}})
	b.Must("POST", "auth/oidc/role/people", map[string]any{"user_claim": "sub", "bound_audiences": []string{"coffer"}, "allowed_redirect_uris": []string{redirect}, "token_policies": "seer"})
	b.Must("POST", "auth/oidc/role/strict", map[string]any{"user_claim": "sub", "bound_subject": "lee", "allowed_redirect_uris": []string{redirect}, "token_policies": "seer"})
	b.Must("POST", "auth/oidc/role/closed", map[string]any{"user_claim": "sub", "allowed_redirect_uris": []string{"https://bao.example.com/ui/vault/auth/oidc/oidc/callback"}, "token_policies": "seer"})

	shown, pages := "", []string{}
	person := providers.Person{
		Show: func(text string) { shown += text },
		Open: func(page string) error {
			// Another page of the browser knows the port and not the state.
			if status, _, err := browser(t.Context(), redirect+"?state=st_guessed&code=stolen"); err != nil || status != http.StatusBadRequest {
				t.Errorf("a stranger's callback: %d, %v", status, err)
			}
			_, text, err := browser(t.Context(), page)
			pages = append(pages, text)
			return err
		},
	}
	deps := Deps{Random: rand.Reader, Person: person}
	for _, role := range []string{"people", ""} {
		token, err := method(t, &oidcConfig{Role: role, Port: port}, deps).SignIn(t.Context(), b.caller)
		if err != nil || !b.sees(token.Value) {
			t.Fatalf("role %q: %v", role, err)
		}
	}
	if !strings.Contains(shown, p.URL+"/authorize?") || !strings.Contains(strings.Join(pages, ""), "You can close this page") {
		t.Errorf("shown %q, pages %q", shown, pages)
	}

	byHand := Deps{Random: rand.Reader, Person: providers.Person{Show: person.Show, Open: func(page string) error {
		_ = person.Open(page)
		return errors.New("no browser")
	}}}
	if _, err := method(t, &oidcConfig{Port: port}, byHand).SignIn(t.Context(), b.caller); err != nil {
		t.Errorf("the page was opened by hand: %v", err)
	}

	for name, test := range map[string]struct {
		args  oidcConfig
		deps  Deps
		set   func(t *testing.T)
		code  providers.Code
		texts []string
	}{
		"nobody there":          {args: oidcConfig{Port: port}, deps: Deps{Random: rand.Reader}, code: providers.Denied, texts: []string{"needs a person", "approle, jwt or kubernetes"}},
		"not allowed to return": {args: oidcConfig{Role: "closed", Port: port}, deps: deps, code: providers.Denied, texts: []string{"does not begin an OIDC sign-in", "allowed_redirect_uris"}},
		"another person":        {args: oidcConfig{Role: "strict", Port: port}, deps: deps, code: providers.Invalid, texts: []string{"sub claim does not match bound subject", "bound_claims must fit you"}},
		"said no": {args: oidcConfig{Port: port}, deps: deps, code: providers.Denied, texts: []string{`refused: "access_denied kim said no"`}, set: func(t *testing.T) {
			p.mu.Lock()
			p.deny = true
			p.mu.Unlock()
		}},
		"port taken": {args: oidcConfig{Port: port}, deps: deps, code: providers.Unavailable, texts: []string{fmt.Sprintf("what else uses port %d", port)}, set: func(t *testing.T) {
			l, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.set != nil {
				test.set(t)
			}
			defer func() { p.mu.Lock(); p.deny = false; p.mu.Unlock() }()
			_, err := method(t, &test.args, test.deps).SignIn(t.Context(), b.caller)
			wantRefusal(t, err, test.code, nil, test.texts...)
		})
	}
	t.Run("the person goes away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		gone := Deps{Random: rand.Reader, Person: providers.Person{Show: func(string) { cancel() }}}
		_, err := method(t, &oidcConfig{Port: port}, gone).SignIn(ctx, b.caller)
		wantRefusal(t, err, providers.Cancelled, nil, "nobody came back from the browser")
		if !errors.Is(err, context.Canceled) {
			t.Error("the end of the context is not visible")
		}
		l, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", port))
		if err != nil {
			t.Fatalf("the port is still in use: %v", err)
		}
		l.Close()
	})
}

// A run that is longer than its token goes on: renewals first, and at the
// token's maximum another sign-in.
func TestLongRunOnTheServer(t *testing.T) {
	b := start(t)
	b.enable("approle", "approle")
	b.Must("POST", "auth/approle/role/short", map[string]any{"token_policies": "seer", "token_ttl": "2s", "token_max_ttl": "5s"})
	id := b.Must("GET", "auth/approle/role/short/role-id", nil)["role_id"].(string)
	secretID := b.Must("POST", "auth/approle/role/short/secret-id", nil)["secret_id"].(string)
	skew := time.Duration(0)
	counted := &counting{caller: b.caller, calls: map[string]int{}}
	s := NewSession(method(t, &appRoleConfig{RoleID: literal(id), SecretID: from(secretID)}, Deps{}), counted, func() time.Time { return time.Now().Add(skew) })
	first, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a second sign-in after renewals", func() bool {
		v, err := s.Token(t.Context())
		if err != nil || !b.sees(v) {
			t.Fatalf("in the middle of the run the token is dead: %v, %v", err, counted.calls)
		}
		return !same(v, first)
	})
	if counted.calls["auth/token/renew-self"] == 0 || counted.calls["auth/approle/login"] != 2 {
		t.Errorf("%v", counted.calls)
	}

	v, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	revoked, _ := plain(v)
	b.Must("POST", "auth/token/revoke", map[string]any{"token": revoked})
	if !s.Rejected(t.Context(), v) {
		t.Fatal("a revoked token is not replaced")
	}
	if v, err = s.Token(t.Context()); err != nil || !b.sees(v) {
		t.Fatal(err)
	}
	if s.Rejected(t.Context(), v) {
		t.Error("a missing permission is taken for a dead token")
	}
	b.Must("DELETE", "auth/approle/role/short", nil)
	revoked, _ = plain(v)
	b.Must("POST", "auth/token/revoke", map[string]any{"token": revoked})
	skew = 2 * proven // the server's word that the token is good has become old
	if s.Rejected(t.Context(), v) {
		t.Error("worth another try without a role")
	}
	wantRefusal(t, s.Diagnose(t.Context()), providers.Invalid, []string{secretID, revoked}, "sign in with approle", "make a new secret_id")
}

// counting counts calls. It is used by one goroutine.
type counting struct {
	caller
	calls map[string]int
}

func (c *counting) Call(ctx context.Context, token secret.Value, method, path string, body, into any) error {
	c.calls[path]++
	return c.caller.Call(ctx, token, method, path, body, into)
}
