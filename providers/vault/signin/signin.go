// Package signin gets a token from Vault or OpenBao and keeps it alive: one file
// for each method. It knows the auth endpoints and nothing of secrets.
//
// Read [Method] and [Session] first.
package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Block is one auth block of a provider.
type Block struct {
	Method string // "approle"
	// Config is a pointer to the arguments of that method.
	Config any
}

// Caller makes one call of the HTTP API below /v1/. body and into are JSON, nil
// for none; into is the whole answer. The body of a GET is a url.Values, its
// query, which holds a sign-in code: no error may show it. The zero token sends
// none. Errors are *providers.Error with the server's own words in their text. A
// call that is not a GET is tried once.
type Caller interface {
	Call(ctx context.Context, token secret.Value, method, path string, body, into any) error
}

// Token is what a sign-in gives.
type Token struct {
	Value     secret.Value
	TTL       time.Duration // from the answer; 0 is not known, or never
	Renewable bool
	// Revocable: this run made it, so that this run may end it.
	Revocable bool
}

// Anew says how a method comes by another token.
type Anew int

const (
	// Never: there is the configured token and no other.
	Never Anew = iota
	// ByPerson: somebody has to do something, so only when there is no way on.
	ByPerson
	// Silently: by asking the server again.
	Silently
)

// Method is one way to get a token.
type Method interface {
	// Name says who signs in, for people: "approle 8f1c…", "token".
	Name() string
	// SignIn gets a new token. A method that has only one token to give (the
	// configured one) gives it every time. Errors are *providers.Error and say
	// what to do next.
	SignIn(ctx context.Context, c Caller) (Token, error)
	// Anew is constant.
	Anew() Anew
	// Next is what a person does when the token is not accepted any more.
	Next() string
}

// Deps is what the methods may know of the machine.
type Deps struct {
	Getenv func(name string) string
	Now    func() time.Time
	Random io.Reader
	// Token is the provider's own token argument, for phases without a block.
	Token  providers.Credential
	Person providers.Person
}

// arguments is what every method's configuration can tell.
type arguments interface {
	// when is the phase that the block is for, "" for every other.
	when() string
	// method checks the arguments and makes the method. It makes no call.
	method(d Deps) (Method, error)
}

// methods makes the empty arguments of each method.
var methods = map[string]func() arguments{
	"token":      func() arguments { return &tokenConfig{} },
	"approle":    func() arguments { return &appRoleConfig{} },
	"kubernetes": func() arguments { return &kubernetesConfig{} },
	"jwt":        func() arguments { return &jwtConfig{} },
	"oidc":       func() arguments { return &oidcConfig{} },
	"userpass":   func() arguments { return &userpassConfig{} },
	"aws":        func() arguments { return &awsConfig{} },
}

// DecodeBlock implements [providers.BlockDecoder]: the label is the method.
func (b *Block) DecodeBlock(labels []string) (any, error) {
	known := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	if len(labels) != 1 {
		return nil, fmt.Errorf("an auth block has one label, the method: %s", known)
	}
	made, ok := methods[labels[0]]
	if !ok {
		return nil, fmt.Errorf("there is no sign-in method %q; there are %s", labels[0], known)
	}
	b.Method, b.Config = labels[0], made()
	return b.Config, nil
}

// Choose returns the method for a phase: the block of that phase, else the
// block without one, else the token of the provider, of VAULT_TOKEN or of the
// file that the server's own tool keeps. Every block is checked, whatever its
// phase; errors are *providers.Error with the code Invalid.
func Choose(blocks []Block, phase providers.Phase, d Deps) (Method, error) {
	chosen := map[string]Method{}
	for _, b := range blocks {
		args, ok := b.Config.(arguments)
		if !ok {
			return nil, providers.Errorf(providers.Invalid, "the auth block %q has no arguments", b.Method)
		}
		when := args.when()
		if when != "" && when != string(providers.PhasePlan) && when != string(providers.PhaseApply) {
			return nil, providers.Errorf(providers.Invalid, "auth %q: the phase is %q or %q, not %q", b.Method, providers.PhasePlan, providers.PhaseApply, when)
		}
		if chosen[when] != nil {
			return nil, twice(when)
		}
		m, err := args.method(d)
		if err != nil {
			return nil, providers.Errorf(providers.CodeOf(err), "auth %q: %w", b.Method, err)
		}
		chosen[when] = m
	}
	spare, plan, apply := chosen[""], chosen[string(providers.PhasePlan)], chosen[string(providers.PhaseApply)]
	if spare != nil && plan != nil && apply != nil {
		return nil, providers.Errorf(providers.Invalid, "the auth block without a phase is never used: each phase has a block of its own").
			WithHint("take it out")
	}
	if !d.Token.IsZero() && (spare != nil || plan != nil && apply != nil) {
		return nil, providers.Errorf(providers.Invalid, "the token argument is never used: auth blocks serve every phase").
			WithHint("take one of them out, or give the auth block a phase")
	}
	if m := chosen[string(phase)]; m != nil {
		return m, nil
	}
	if spare != nil {
		return spare, nil
	}
	return (&tokenConfig{Token: d.Token}).method(d)
}

func twice(when string) error {
	if when == "" {
		return providers.Errorf(providers.Invalid, "two auth blocks have no phase").
			WithHint(`write phase = "plan" or phase = "apply" into one of them`)
	}
	return providers.Errorf(providers.Invalid, "two auth blocks are for the phase %q", when).
		WithHint("keep one of them")
}

// request is one login call.
type request struct {
	who, mount string // the method's name and mount, for errors
	verb, path string // path is below auth/MOUNT/
	body       any
	hint       string         // the next step where the server refuses
	sent       []secret.Value // what must not come back in an error
}

// login makes a login call and reads the token from its answer.
func login(ctx context.Context, c Caller, r request) (Token, error) {
	var answer struct {
		Auth *struct {
			ClientToken    string `json:"client_token"`
			LeaseDuration  int64  `json:"lease_duration"`
			Renewable      bool   `json:"renewable"`
			TokenType      string `json:"token_type"`
			MFARequirement any    `json:"mfa_requirement"`
		} `json:"auth"`
	}
	if err := c.Call(ctx, secret.Value{}, r.verb, "auth/"+r.mount+"/"+r.path, r.body, &answer); err != nil {
		return Token{}, r.refused(err)
	}
	if a := answer.Auth; a != nil && a.ClientToken == "" && a.MFARequirement != nil {
		return Token{}, providers.Errorf(providers.Unsupported, "sign in with %s: the server wants a second factor", r.who).
			WithHint("sign in with `vault login` or `bao login` and leave the auth block out, or use a method without a second factor")
	}
	if answer.Auth == nil || !printable(answer.Auth.ClientToken) {
		return Token{}, providers.Errorf(providers.Unavailable, "sign in with %s: the answer of the server holds no token", r.who).
			WithHint("look whether the address is that of Vault or OpenBao, and %q that of the auth method", "auth/"+r.mount)
	}
	return Token{
		Value:     secret.String(answer.Auth.ClientToken),
		TTL:       ttl(answer.Auth.LeaseDuration),
		Renewable: answer.Auth.Renewable,
		Revocable: answer.Auth.TokenType != "batch",
	}, nil
}

// refused says who wanted to sign in. Where the server refused that, its hint
// about missing capabilities would lead astray: the method's own is better.
func (r request) refused(err error) error {
	out := &providers.Error{Code: providers.CodeOf(err)}
	cause := err
	var e *providers.Error
	if errors.As(err, &e) {
		out.Hint, out.RetryAfter = e.Hint, e.RetryAfter
		if e.Err != nil {
			cause = e.Err
		}
	}
	if refusal(out.Code) {
		out.Hint = r.hint
	}
	if echoes(cause.Error(), r.sent) {
		cause = errors.New(out.Code.String() + " (the text of the server repeats a credential and is left out)")
	}
	out.Err = fmt.Errorf("sign in with %s at auth/%s: %w", r.who, r.mount, cause)
	return out
}

// refusal reports whether the code means that the server does not accept what
// it was given, so that the same again is pointless, or locks an account.
func refusal(code providers.Code) bool {
	return slices.Contains([]providers.Code{providers.Denied, providers.Invalid, providers.NotFound, providers.Unsupported}, code)
}

func echoes(text string, sent []secret.Value) bool {
	return slices.ContainsFunc(sent, func(v secret.Value) bool {
		s, err := plain(v)
		return err == nil && s != "" && strings.Contains(text, s)
	})
}

// longest is ten years: what is beyond it is taken for never.
const longest = 10 * 365 * 24 * time.Hour

func ttl(seconds int64) time.Duration {
	if seconds <= 0 || seconds > int64(longest/time.Second) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// plain returns the content of a value, to be sent.
func plain(v secret.Value) (string, error) {
	var s string
	err := v.Expose(func(b []byte) error {
		s = string(b)
		return nil
	})
	return s, err
}

// credential reads one that has no white space in it; files end in a line
// break, so what stands around it does not count.
func credential(ctx context.Context, argument string, c providers.Credential) (secret.Value, error) {
	v, err := c.Value(ctx)
	if err != nil {
		return secret.Value{}, &providers.Error{Code: providers.CodeOf(err), Err: fmt.Errorf("%s = %s: %w", argument, c.Text, err)}
	}
	return word(argument+" = "+c.Text, v)
}

// word returns v without the white space around it. It refuses what no
// credential of this kind can hold; what says where it comes from.
func word(what string, v secret.Value) (secret.Value, error) {
	s, err := plain(v)
	if err != nil {
		return secret.Value{}, providers.Errorf(providers.Invalid, "%s: %w", what, err)
	}
	if s = strings.TrimSpace(s); !printable(s) {
		return secret.Value{}, providers.Errorf(providers.Invalid, "%s is empty, or holds spaces or control characters", what)
	}
	return secret.String(s), nil
}

// printable reports whether s can be a token: not empty, no spaces, no control
// characters, which would end a header.
func printable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}

// mountOr returns the mount of an auth method, usual where none is written.
func mountOr(written, usual string) (string, error) {
	if written == "" {
		return usual, nil
	}
	mount := strings.TrimPrefix(strings.Trim(written, "/"), "auth/")
	for part := range strings.SplitSeq(mount, "/") {
		if err := onePart("mount", part); err != nil {
			return "", err
		}
	}
	return mount, nil
}

// onePart refuses text that would lead to another path of the API.
func onePart(argument, text string) error {
	if text == "" || text == "." || text == ".." || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("/?#%\\", r)
	}) {
		return providers.Errorf(providers.Invalid, "%s = %q cannot be part of a path", argument, text)
	}
	return nil
}
