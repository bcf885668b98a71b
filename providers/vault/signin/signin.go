// Package signin gets a token from Vault or OpenBao and keeps it alive: one file
// for each method. It knows the auth endpoints and nothing of secrets.
//
// Read [Method] and [Session] first.
package signin

import (
	"context"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// Block is one auth block of a provider.
type Block struct {
	Method string // "approle"
	// Config is a pointer to the arguments of that method.
	Config any
}

// Caller makes one call of the HTTP API below /v1/. body and into are JSON, nil
// for none; into is the whole answer. The zero token sends none. Errors are
// *providers.Error.
type Caller interface {
	Call(ctx context.Context, token secret.Value, method, path string, body, into any) error
}

// Token is what a sign-in gives.
type Token struct {
	Value     secret.Value
	TTL       time.Duration // from the answer; 0 is not known, or never
	Renewable bool
}

// Method is one way to get a token.
type Method interface {
	// Name says who signs in, for people: "approle 8f1c…", "token".
	Name() string
	// SignIn gets a new token. A method that has only one token to give (the
	// configured one) gives it every time.
	SignIn(ctx context.Context, c Caller) (Token, error)
}
