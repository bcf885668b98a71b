package signin

import (
	"context"
	"net/http"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// jwtConfig is auth "jwt": for CI systems that give each job a signed token.
type jwtConfig struct {
	Phase string               `hcl:"phase,optional"`
	Mount string               `hcl:"mount,optional"`
	Role  string               `hcl:"role,optional"` // the default role of the mount
	JWT   providers.Credential `hcl:"jwt"`
}

func (a *jwtConfig) when() string { return a.Phase }

func (a *jwtConfig) method(Deps) (Method, error) {
	mount, err := mountOr(a.Mount, "jwt")
	if err != nil {
		return nil, err
	}
	if a.JWT.IsZero() {
		return nil, providers.Errorf(providers.Invalid, "jwt is missing")
	}
	read := func(ctx context.Context) (secret.Value, error) { return credential(ctx, "jwt", a.JWT) }
	return &jwtMethod{name: named("jwt", a.Role), role: a.Role, mount: mount, read: read, next: "the job's token is expired, or the role does not allow it: compare its iss, aud and sub with the role's bound_issuer, bound_audiences and bound_claims, `vault read auth/" + mount + "/role/" + orROLE(a.Role) + "`"}, nil
}

// jwtMethod signs in with a signed token that somebody else made; it serves
// jwt and kubernetes, whose calls are the same.
type jwtMethod struct {
	name, role, mount, next string
	read                    func(ctx context.Context) (secret.Value, error)
}

func (m *jwtMethod) Name() string { return m.name }
func (m *jwtMethod) Anew() Anew   { return Silently }
func (m *jwtMethod) Next() string { return m.next }

func (m *jwtMethod) SignIn(ctx context.Context, c Caller) (Token, error) {
	signed, err := m.read(ctx)
	if err != nil {
		return Token{}, err
	}
	body := map[string]string{}
	if m.role != "" {
		body["role"] = m.role
	}
	if body["jwt"], err = plain(signed); err != nil {
		return Token{}, err
	}
	return login(ctx, c, request{
		who: m.name, mount: m.mount, verb: http.MethodPost, path: "login", body: body,
		hint: m.next, sent: []secret.Value{signed},
	})
}

func named(method, role string) string {
	if role == "" {
		return method
	}
	return method + " " + role
}

func orROLE(role string) string {
	if role == "" {
		return "ROLE"
	}
	return role
}
