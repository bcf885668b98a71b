package signin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// tokenConfig is auth "token", and what holds where no block is written.
type tokenConfig struct {
	Phase string               `hcl:"phase,optional"`
	Token providers.Credential `hcl:"token,optional"` // VAULT_TOKEN, then ~/.vault-token
}

func (a *tokenConfig) when() string { return a.Phase }

func (a *tokenConfig) method(d Deps) (Method, error) {
	return &tokenMethod{token: a.Token, getenv: d.Getenv}, nil
}

// tokenMethod gives a token that was made elsewhere. It is read anew every
// time, because an agent may keep the file fresh.
type tokenMethod struct {
	token  providers.Credential
	getenv func(string) string
}

func (m *tokenMethod) Anew() Anew { return Never }

func (m *tokenMethod) Name() string {
	switch {
	case !m.token.IsZero():
		return "token from " + m.token.Text
	case m.getenv("VAULT_TOKEN") != "":
		return "token from VAULT_TOKEN"
	}
	return "token from ~/.vault-token"
}

func (m *tokenMethod) Next() string {
	const sign = "sign in again with `vault login` or `bao login`"
	switch {
	case !m.token.IsZero():
		return "put a new token where " + m.token.Text + " finds it, or " + sign + " and leave the token argument out"
	case m.getenv("VAULT_TOKEN") != "":
		return "put a new token into VAULT_TOKEN, or unset it and " + sign
	}
	return sign
}

func (m *tokenMethod) SignIn(ctx context.Context, _ Caller) (Token, error) {
	if !m.token.IsZero() {
		v, err := credential(ctx, "token", m.token)
		return Token{Value: v}, err
	}
	if t := m.getenv("VAULT_TOKEN"); t != "" {
		v, err := word("VAULT_TOKEN", secret.String(t))
		return Token{Value: v}, err
	}
	v, err := readWord(filepath.Join(home(m.getenv), ".vault-token"))
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, providers.Errorf(providers.Denied, "there is no token: no token argument, no auth block, no VAULT_TOKEN and no ~/.vault-token").
			WithHint("sign in with `vault login` or `bao login`, or write an auth block")
	}
	return Token{Value: v}, err
}

func home(getenv func(string) string) string {
	if dir := getenv("HOME"); dir != "" {
		return dir
	}
	return getenv("USERPROFILE")
}

// fileLimit is more than any token has.
const fileLimit = 64 << 10

// readWord reads a file that holds one credential.
func readWord(path string) (secret.Value, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Value{}, providers.Errorf(providers.Invalid, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return secret.Value{}, providers.Errorf(providers.Invalid, "%w", err)
	}
	if len(b) > fileLimit {
		return secret.Value{}, providers.Errorf(providers.Invalid, "%s is too large for a token", path)
	}
	return word(path, secret.New(b))
}
