package signin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

var (
	_ providers.BlockDecoder = (*Block)(nil)
	_ Caller                 = (*server)(nil)
)

// from is a credential as from_env(…) makes one, literal one as text does.
func from(value string) providers.Credential {
	return providers.NewCredential(`from_env("X")`, false, func(context.Context) (secret.Value, error) { return secret.String(value), nil })
}

func literal(value string) providers.Credential {
	return providers.NewCredential(value, true, func(context.Context) (secret.Value, error) { return secret.String(value), nil })
}

func nowhere() providers.Credential {
	return providers.NewCredential(`from_env("NOWHERE")`, false, func(context.Context) (secret.Value, error) {
		return secret.Value{}, providers.Errorf(providers.Invalid, "NOWHERE is not set")
	})
}

// env is a getenv.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestDecodeBlock(t *testing.T) {
	for method := range methods {
		var b Block
		into, err := b.DecodeBlock([]string{method})
		if err != nil || b.Method != method || b.Config != into {
			t.Errorf("%s: %+v, %v", method, b, err)
		}
		again, _ := new(Block).DecodeBlock([]string{method})
		if into == again {
			t.Errorf("%s: two blocks share their arguments", method)
		}
		fields := reflect.TypeOf(into).Elem()
		tags := map[string]reflect.StructField{}
		for i := range fields.NumField() {
			name, _, _ := strings.Cut(fields.Field(i).Tag.Get("hcl"), ",")
			tags[name] = fields.Field(i)
		}
		if _, ok := tags["phase"]; !ok {
			t.Errorf("%s has no phase", method)
		}
		for _, name := range []string{"token", "secret_id", "secret_id_wrapped", "jwt", "password", "secret_key", "session_token"} {
			f, ok := tags[name]
			if ok && (f.Type != reflect.TypeFor[providers.Credential]() || f.Tag.Get("credential") == "plain") {
				t.Errorf("%s: %s may be written as plain text", method, name)
			}
		}
	}
	for _, labels := range [][]string{{"ldap"}, nil, {"jwt", "ci"}} {
		_, err := new(Block).DecodeBlock(labels)
		if err == nil || !strings.Contains(err.Error(), "approle, aws, jwt, kubernetes, oidc, token, userpass") {
			t.Errorf("%q: %v", labels, err)
		}
	}
}

func TestChoose(t *testing.T) {
	approle := func(phase, id string) Block {
		return Block{"approle", &appRoleConfig{Phase: phase, RoleID: literal(id), SecretID: from("s")}}
	}
	bad := func(method string, config any) []Block { return []Block{{method, config}} }
	for name, test := range map[string]struct {
		blocks      []Block
		token       providers.Credential
		plan, apply string // the names, or the error of both
		err         string
	}{
		"nothing":             {plan: "token from VAULT_TOKEN", apply: "token from VAULT_TOKEN"},
		"token argument":      {token: from("t"), plan: `token from from_env("X")`, apply: `token from from_env("X")`},
		"one for all":         {blocks: []Block{approle("", "a")}, plan: "approle a", apply: "approle a"},
		"one for each":        {blocks: []Block{approle("apply", "a"), approle("plan", "p")}, plan: "approle p", apply: "approle a"},
		"one and the rest":    {blocks: []Block{approle("", "a"), approle("plan", "p")}, plan: "approle p", apply: "approle a"},
		"one, rest by token":  {blocks: []Block{approle("apply", "a")}, token: from("t"), plan: `token from from_env("X")`, apply: "approle a"},
		"one, rest by itself": {blocks: []Block{approle("plan", "p")}, plan: "approle p", apply: "token from VAULT_TOKEN"},
		"role_id is a secret": {blocks: bad("approle", &appRoleConfig{RoleID: from("hidden")}), plan: "approle", apply: "approle"},
		"role_id is long":     {blocks: []Block{approle("", "8f1c2d3e-4a5b")}, plan: "approle 8f1c2d3e…", apply: "approle 8f1c2d3e…"},
		"two without a phase": {blocks: []Block{approle("", "a"), approle("", "b")}, err: "two auth blocks have no phase"},
		"two for a phase":     {blocks: []Block{approle("plan", "a"), approle("plan", "b")}, err: `two auth blocks are for the phase "plan"`},
		"one too many":        {blocks: []Block{approle("plan", "a"), approle("apply", "b"), approle("", "c")}, err: "the auth block without a phase is never used"},
		"token too many":      {blocks: []Block{approle("", "a")}, token: from("t"), err: "the token argument is never used"},
		"unknown phase":       {blocks: []Block{approle("deploy", "a")}, err: `auth "approle": the phase is "plan" or "apply", not "deploy"`},
		"not decoded":         {blocks: bad("approle", nil), err: "has no arguments"},
		"two secret ids":      {blocks: bad("approle", &appRoleConfig{RoleID: literal("a"), SecretID: from("x"), SecretIDWrapped: from("y")}), err: "exclude each other"},
		"role without wrap":   {blocks: bad("approle", &appRoleConfig{RoleID: literal("a"), Role: "ci"}), err: "there is none"},
		"role leads away":     {blocks: bad("approle", &appRoleConfig{RoleID: literal("a"), SecretIDWrapped: from("y"), Role: "../x"}), err: "cannot be part of a path"},
		"mount leads away":    {blocks: bad("jwt", &jwtConfig{JWT: from("x"), Mount: "jwt/../../sys"}), err: "cannot be part of a path"},
		"mount with auth":     {blocks: bad("jwt", &jwtConfig{JWT: from("x"), Mount: "auth/team/jwt/", Role: "ci"}), plan: "jwt ci", apply: "jwt ci"},
		"user leads away":     {blocks: bad("userpass", &userpassConfig{Username: "a/../b", Password: from("x")}), err: "cannot be part of a path"},
		"two pod tokens":      {blocks: bad("kubernetes", &kubernetesConfig{Role: "web", JWT: from("x"), TokenPath: "/x"}), err: "takes the place of jwt"},
		"relative pod token":  {blocks: bad("kubernetes", &kubernetesConfig{Role: "web", TokenPath: "x"}), err: "absolute path"},
		"port":                {blocks: bad("oidc", &oidcConfig{Port: 70000}), err: "port = 70000"},
		"half a key":          {blocks: bad("aws", &awsConfig{AccessKey: literal("a")}), err: "go together"},
		"session alone":       {blocks: bad("aws", &awsConfig{SessionToken: from("a")}), err: "goes with"},
		"region leads away":   {blocks: bad("aws", &awsConfig{Region: "evil.example/"}), err: "cannot be part of a path"},
	} {
		t.Run(name, func(t *testing.T) {
			for phase, want := range map[providers.Phase]string{providers.PhasePlan: test.plan, providers.PhaseApply: test.apply} {
				m, err := Choose(test.blocks, phase, Deps{Getenv: env("VAULT_TOKEN", "x"), Token: test.token})
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) || providers.CodeOf(err) != providers.Invalid {
						t.Errorf("%s: %v", phase, err)
					}
					continue
				}
				if err != nil || m.Name() != want {
					t.Errorf("%s: %v, want %q, %v", phase, m, want, err)
				}
			}
		})
	}
}

func TestConfiguredToken(t *testing.T) {
	home := t.TempDir()
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config tokenConfig
		getenv func(string) string
		want   string
		err    string
	}{
		"argument first":  {config: tokenConfig{Token: from("given")}, getenv: env("VAULT_TOKEN", "of-env", "HOME", home), want: "given"},
		"then variable":   {getenv: env("VAULT_TOKEN", "of-env", "HOME", home), want: "of-env"},
		"then file":       {getenv: env("HOME", home), want: "of-the-file"},
		"home of Windows": {getenv: env("USERPROFILE", home), want: "of-the-file"},
		"none":            {getenv: env("HOME", empty), err: "there is no token: no token argument, no auth block, no VAULT_TOKEN and no ~/.vault-token; sign in with `vault login`"},
		"not set":         {config: tokenConfig{Token: nowhere()}, getenv: env("HOME", home), err: `token = from_env("NOWHERE"): NOWHERE is not set`},
		"two lines":       {getenv: env("VAULT_TOKEN", "canary-1\r\nX-Evil: 1"), err: "VAULT_TOKEN is empty, or holds spaces"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Choose([]Block{{"token", &test.config}}, providers.PhasePlan, Deps{Getenv: test.getenv})
			if err != nil {
				t.Fatal(err)
			}
			token, err := m.SignIn(t.Context(), nil)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%v", err)
				}
				return
			}
			if got, _ := plain(token.Value); err != nil || got != test.want || token.Revocable {
				t.Errorf("%q %+v, %v", got, token, err)
			}
		})
	}
}

// answers plays a server that gives one answer to a login.
type answers struct {
	fill func(into any)
	err  error
}

func (a answers) Call(_ context.Context, _ secret.Value, _, _ string, _, into any) error {
	if a.fill != nil {
		a.fill(into)
	}
	return a.err
}

// What comes back from a login is not trusted, and what was sent is in no error.
func TestLoginAnswers(t *testing.T) {
	auth := func(values map[string]any) func(any) {
		return func(into any) { (&server{}).answer(into, "Auth", values) }
	}
	const password = "canary-7f3a"
	for name, test := range map[string]struct {
		answers
		want string
		code providers.Code
	}{
		"nothing":         {want: `the answer of the server holds no token; look whether the address is that of Vault or OpenBao, and "auth/userpass" that of the auth method`, code: providers.Unavailable},
		"empty token":     {answers: answers{fill: auth(nil)}, want: "holds no token", code: providers.Unavailable},
		"header in token": {answers: answers{fill: auth(map[string]any{"ClientToken": "a\nb"})}, want: "holds no token", code: providers.Unavailable},
		"second factor":   {answers: answers{fill: auth(map[string]any{"MFARequirement": map[string]any{}})}, want: "second factor", code: providers.Unsupported},
		"refused": {
			answers: answers{err: providers.Errorf(providers.Invalid, "invalid username or password").WithHint("write a policy")},
			want:    "sign in with userpass kim at auth/userpass: invalid username or password; look at the name and the password", code: providers.Invalid,
		},
		"echo": {answers: answers{err: providers.Errorf(providers.Invalid, "no user has "+password)}, want: "invalid (the text of the server repeats a credential and is left out)", code: providers.Invalid},
		"away": {answers: answers{err: providers.Errorf(providers.Unavailable, "sealed").WithHint("unseal it")}, want: "sealed; unseal it", code: providers.Unavailable},
		"end":  {answers: answers{err: providers.Errorf(providers.Cancelled, "%w", context.Canceled)}, want: "canceled", code: providers.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := (&userpassConfig{Username: "kim", Password: from(password + "\n")}).method(Deps{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.SignIn(t.Context(), test.answers)
			if err == nil || !strings.Contains(err.Error(), test.want) || providers.CodeOf(err) != test.code || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", providers.CodeOf(err), err)
			}
			if strings.Contains(err.Error(), "write a policy") {
				t.Errorf("the hint for other calls: %v", err)
			}
			if name == "end" && !errors.Is(err, context.Canceled) {
				t.Error("the end of the context is not visible")
			}
		})
	}
	for seconds, want := range map[int64]time.Duration{-1: 0, 0: 0, 60: time.Minute, 1 << 62: 0} {
		if got := ttl(seconds); got != want {
			t.Errorf("ttl(%d) = %v", seconds, got)
		}
	}
}

// A wrapping token from elsewhere is not even opened.
func TestWrappingTokenFromElsewhere(t *testing.T) {
	for path, ok := range map[string]bool{
		"auth/approle/role/ci/secret-id":             true,
		"auth/approle/role/CI/secret-id":             true,
		"auth/approle/role/other/secret-id":          false,
		"auth/other/role/ci/secret-id":               false,
		"secret/auth/approle/role/ci/secret-id":      false,
		"auth/approle/role/ci/secret-id/x":           false,
		"auth/approle/role/ci/x/secret-id":           false,
		"cubbyhole/response":                         false,
		"":                                           false,
		"auth/approle/role/secret-id":                false,
		"auth/approle/role/ci/secret-id-accessor/up": false,
	} {
		m, err := (&appRoleConfig{RoleID: literal("r"), SecretIDWrapped: from("w"), Role: "ci"}).method(Deps{})
		if err != nil {
			t.Fatal(err)
		}
		c := &wrapping{path: path}
		_, err = m.SignIn(t.Context(), c)
		if opened := c.opened == 1; opened != ok || (err == nil) != ok {
			t.Errorf("%q: opened %d, %v", path, c.opened, err)
		}
		if !ok && (providers.CodeOf(err) != providers.Denied || !strings.Contains(err.Error(), "It was not unwrapped")) {
			t.Errorf("%q: %v", path, err)
		}
		if ok { // the secret_id is kept: the wrapping token opens once
			if _, err := m.SignIn(t.Context(), c); err != nil || c.opened != 1 {
				t.Errorf("the second sign-in: opened %d, %v", c.opened, err)
			}
		}
	}
}

// Without a role any will do, but a role it must be.
func TestWrappingTokenOfAnyRole(t *testing.T) {
	for path, ok := range map[string]bool{
		"auth/approle/role/ci/secret-id": true, "auth/approle/role//secret-id": false, "auth/approle/role/a/b/secret-id": false,
	} {
		c := &wrapping{path: path}
		m, err := (&appRoleConfig{RoleID: literal("r"), SecretIDWrapped: from("w")}).method(Deps{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.SignIn(t.Context(), c); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

type wrapping struct {
	server
	path   string
	opened int
}

func (w *wrapping) Call(_ context.Context, token secret.Value, _, path string, body, into any) error {
	switch path {
	case "sys/wrapping/lookup":
		w.answer(into, "Data", map[string]any{"CreationPath": w.path})
	case "sys/wrapping/unwrap":
		if t, _ := plain(token); t != "w" {
			return fmt.Errorf("token %q", t)
		}
		w.opened++
		w.answer(into, "Data", map[string]any{"SecretID": "s"})
	case "auth/approle/login":
		if got := body.(map[string]string); got["secret_id"] != "s" || got["role_id"] != "r" {
			return fmt.Errorf("body %v", got)
		}
		w.answer(into, "Auth", map[string]any{"ClientToken": "t"})
	}
	return nil
}

func TestPodToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if m, err := (&kubernetesConfig{Role: "web"}).method(Deps{}); err != nil {
		t.Error(err)
	} else if _, err := m.SignIn(t.Context(), answers{}); err == nil || !strings.Contains(err.Error(), "/var/run/secrets/kubernetes.io/serviceaccount/token") {
		t.Errorf("the token of the pod is not looked for in its place: %v", err)
	}
	m, err := (&kubernetesConfig{Role: "web", TokenPath: file}).method(Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.SignIn(t.Context(), answers{}); err == nil || !strings.Contains(err.Error(), "there is no service account token at "+file) || !strings.Contains(err.Error(), "in a pod") {
		t.Error(err)
	}
	for _, content := range []string{"first\n", "second\n"} { // the kubelet replaces it
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &recorder{}
		if _, err := m.SignIn(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"role": "web", "jwt": strings.TrimSpace(content)}
		if c.path != "auth/kubernetes/login" || !reflect.DeepEqual(c.body, want) {
			t.Errorf("%s %v", c.path, c.body)
		}
	}
	if err := os.WriteFile(file, make([]byte, fileLimit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SignIn(t.Context(), &recorder{}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}

// recorder gives a token for everything.
type recorder struct {
	server
	path string
	body any
}

func (r *recorder) Call(_ context.Context, _ secret.Value, _, path string, body, into any) error {
	r.path, r.body = path, body
	r.answer(into, "Auth", map[string]any{"ClientToken": "t"})
	return nil
}

// What a server wants opened in the browser is not trusted.
func TestOIDCPage(t *testing.T) {
	for page, want := range map[string]string{
		"":                                        "does not begin an OIDC sign-in",
		"file:///etc/passwd?state=a&nonce=b":      "no web page",
		"file://host/share?state=a&nonce=b":       "no web page",
		"javascript:alert(1)":                     "no web page",
		"--profile?state=a&nonce=b":               "no web page",
		"https://?state=a&nonce=b":                "no web page",
		"https://id.example.com/a?state=a\x1b[2J": "no web page",
		"https://id.example.com/a b?state=a":      "no web page",
		"https://id.example.com/a?nonce=b":        "no state or no nonce",
		"https://id.example.com/a?state=b":        "no state or no nonce",
	} {
		opened := false
		m := &oidcMethod{mount: "oidc", random: strings.NewReader(strings.Repeat("r", 20)), person: providers.Person{
			Show: func(string) { opened = true },
			Open: func(string) error { opened = true; return nil },
		}}
		_, err := m.SignIn(t.Context(), answers{fill: func(into any) { (&server{}).answer(into, "Data", map[string]any{"AuthURL": page}) }})
		if err == nil || opened || !strings.Contains(err.Error(), want) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%q: opened %v, %v", page, opened, err)
		}
	}
}
