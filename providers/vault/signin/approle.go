package signin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// appRoleConfig is auth "approle": for machines that hold a role_id and a
// secret_id, or get the latter wrapped.
type appRoleConfig struct {
	Phase    string               `hcl:"phase,optional"`
	Mount    string               `hcl:"mount,optional"`
	RoleID   providers.Credential `hcl:"role_id" credential:"plain"`
	SecretID providers.Credential `hcl:"secret_id,optional"`
	// SecretIDWrapped is a wrapping token whose content is the secret_id.
	SecretIDWrapped providers.Credential `hcl:"secret_id_wrapped,optional"`
	// Role is the name of the role, which narrows what a wrapping token may
	// have been made from.
	Role string `hcl:"role,optional"`
}

func (a *appRoleConfig) when() string { return a.Phase }

func (a *appRoleConfig) method(Deps) (Method, error) {
	mount, err := mountOr(a.Mount, "approle")
	if err != nil {
		return nil, err
	}
	if a.RoleID.IsZero() {
		return nil, providers.Errorf(providers.Invalid, "role_id is missing")
	}
	if !a.SecretID.IsZero() && !a.SecretIDWrapped.IsZero() {
		return nil, providers.Errorf(providers.Invalid, "secret_id and secret_id_wrapped exclude each other")
	}
	if a.Role != "" {
		if a.SecretIDWrapped.IsZero() {
			return nil, providers.Errorf(providers.Invalid, "role says where a secret_id_wrapped must come from, and there is none")
		}
		if err := onePart("role", a.Role); err != nil {
			return nil, err
		}
	}
	name := "approle"
	if a.RoleID.Plain {
		if v, err := credential(context.Background(), "role_id", a.RoleID); err == nil {
			name += " " + shortened(v)
		}
	}
	return &appRoleMethod{args: *a, mount: mount, name: name}, nil
}

// shortened shows enough of a role_id to know it again.
func shortened(v secret.Value) string {
	s, err := plain(v)
	if err != nil || utf8.RuneCountInString(s) <= 12 {
		return s
	}
	return string([]rune(s)[:8]) + "…"
}

type appRoleMethod struct {
	args        appRoleConfig
	mount, name string

	mu sync.Mutex
	// unwrapped is the secret_id that the wrapping token held: it opens once,
	// and a later sign-in needs it again.
	unwrapped secret.Value
}

func (m *appRoleMethod) Name() string { return m.name }
func (m *appRoleMethod) Anew() Anew   { return Silently }

func (m *appRoleMethod) Next() string {
	return "make a new secret_id: `vault write -f auth/" + m.mount + "/role/ROLE/secret-id`, and look at the role's secret_id_ttl, secret_id_num_uses and secret_id_bound_cidrs"
}

func (m *appRoleMethod) SignIn(ctx context.Context, c Caller) (Token, error) {
	roleID, err := credential(ctx, "role_id", m.args.RoleID)
	if err != nil {
		return Token{}, err
	}
	body := map[string]string{}
	if body["role_id"], err = plain(roleID); err != nil {
		return Token{}, err
	}
	secretID, err := m.secretID(ctx, c)
	if err != nil {
		return Token{}, err
	}
	if !secretID.IsZero() { // a role with bind_secret_id=false has none
		if body["secret_id"], err = plain(secretID); err != nil {
			return Token{}, err
		}
	}
	return login(ctx, c, request{
		who: m.name, mount: m.mount, verb: http.MethodPost, path: "login", body: body,
		hint: m.Next(), sent: []secret.Value{roleID, secretID},
	})
}

func (m *appRoleMethod) secretID(ctx context.Context, c Caller) (secret.Value, error) {
	switch {
	case !m.args.SecretID.IsZero():
		return credential(ctx, "secret_id", m.args.SecretID)
	case m.args.SecretIDWrapped.IsZero():
		return secret.Value{}, nil
	}
	m.mu.Lock()
	held := m.unwrapped
	m.mu.Unlock()
	if !held.IsZero() {
		return held, nil
	}
	wrapping, err := credential(ctx, "secret_id_wrapped", m.args.SecretIDWrapped)
	if err != nil {
		return secret.Value{}, err
	}
	id, err := m.unwrap(ctx, c, wrapping)
	if err != nil {
		return secret.Value{}, err
	}
	m.mu.Lock()
	m.unwrapped = id
	m.mu.Unlock()
	return id, nil
}

// unwrap opens a wrapping token after a look at where it was made: somebody who
// opened the real one could put another into its place.
func (m *appRoleMethod) unwrap(ctx context.Context, c Caller, wrapping secret.Value) (secret.Value, error) {
	text, err := plain(wrapping)
	if err != nil {
		return secret.Value{}, err
	}
	var made struct {
		Data struct {
			CreationPath string `json:"creation_path"`
		} `json:"data"`
	}
	if err := c.Call(ctx, secret.Value{}, http.MethodPost, "sys/wrapping/lookup", map[string]string{"token": text}, &made); err != nil {
		return secret.Value{}, m.notUnwrapped(err, wrapping)
	}
	if !m.madeHere(made.Data.CreationPath) {
		return secret.Value{}, providers.Errorf(providers.Denied,
			"the token in secret_id_wrapped was made at %q and not at %s: somebody may have put it in the place of the real one. It was not unwrapped",
			made.Data.CreationPath, m.expected()).
			WithHint("find out who had it in hand, make a new one and destroy the secret_ids of the role that nobody asked for")
	}
	var answer struct {
		Data struct {
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	if err := c.Call(ctx, wrapping, http.MethodPost, "sys/wrapping/unwrap", nil, &answer); err != nil {
		return secret.Value{}, m.notUnwrapped(err, wrapping)
	}
	return word("the secret_id in secret_id_wrapped", secret.String(answer.Data.SecretID))
}

// notUnwrapped tells a token that is used up or expired, which the server does
// not tell apart, from a server that could not be asked.
func (m *appRoleMethod) notUnwrapped(err error, wrapping secret.Value) error {
	if refusal(providers.CodeOf(err)) {
		return providers.Errorf(providers.Denied,
			"the token in secret_id_wrapped cannot be unwrapped: it is expired, or it was unwrapped before. If neither this program nor you did that, somebody has intercepted it and holds the secret_id").
			WithHint("make a new one: `vault write -f -wrap-ttl=5m auth/%s/role/ROLE/secret-id`; where it was intercepted, destroy the old secret_id first", m.mount)
	}
	r := request{who: m.name, mount: m.mount, sent: []secret.Value{wrapping}}
	return r.refused(fmt.Errorf("unwrap secret_id_wrapped: %w", err))
}

func (m *appRoleMethod) expected() string {
	if m.args.Role == "" {
		return fmt.Sprintf("%q", "auth/"+m.mount+"/role/ROLE/secret-id")
	}
	return fmt.Sprintf("%q", "auth/"+m.mount+"/role/"+m.args.Role+"/secret-id")
}

func (m *appRoleMethod) madeHere(path string) bool {
	rest, ok := strings.CutPrefix(path, "auth/"+m.mount+"/role/")
	if !ok {
		return false
	}
	role, ok := strings.CutSuffix(rest, "/secret-id")
	return ok && role != "" && !strings.Contains(role, "/") && (m.args.Role == "" || strings.EqualFold(role, m.args.Role))
}
