package signin

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// userpassConfig is auth "userpass": a name and a password that the server
// itself keeps.
type userpassConfig struct {
	Phase    string               `hcl:"phase,optional"`
	Mount    string               `hcl:"mount,optional"`
	Username string               `hcl:"username"`
	Password providers.Credential `hcl:"password"`
}

func (a *userpassConfig) when() string { return a.Phase }

func (a *userpassConfig) method(Deps) (Method, error) {
	mount, err := mountOr(a.Mount, "userpass")
	if err != nil {
		return nil, err
	}
	if err := onePart("username", a.Username); err != nil {
		return nil, err
	}
	if a.Password.IsZero() {
		return nil, providers.Errorf(providers.Invalid, "password is missing")
	}
	return &userpassMethod{username: a.Username, password: a.Password, mount: mount}, nil
}

type userpassMethod struct {
	username, mount string
	password        providers.Credential
}

func (m *userpassMethod) Name() string { return "userpass " + m.username }
func (m *userpassMethod) Anew() Anew   { return Silently }

func (m *userpassMethod) Next() string {
	return "look at the name and the password; after some failures the server locks the user out for a while"
}

func (m *userpassMethod) SignIn(ctx context.Context, c Caller) (Token, error) {
	v, err := m.password.Value(ctx)
	if err != nil {
		return Token{}, &providers.Error{Code: providers.CodeOf(err), Err: fmt.Errorf("password = %s: %w", m.password.Text, err)}
	}
	password, err := plain(v)
	if err != nil {
		return Token{}, providers.Errorf(providers.Invalid, "password = %s: %w", m.password.Text, err)
	}
	// A password may hold anything, but for the line break that ends a file.
	password = strings.TrimSuffix(strings.TrimSuffix(password, "\n"), "\r")
	return login(ctx, c, request{
		who: m.Name(), mount: m.mount, verb: http.MethodPost, path: "login/" + m.username,
		body: map[string]string{"password": password}, hint: m.Next(), sent: []secret.Value{secret.String(password)},
	})
}
