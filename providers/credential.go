package providers

import (
	"context"

	"github.com/cofferhq/coffer/providers/secret"
)

// Credential is an argument of a provider that is itself a secret: from_env(…)
// and its like, or plain text where the argument is no secret (a role's name).
// Nothing is read before [Credential.Value] is called. The zero Credential is an
// argument that is not written.
type Credential struct {
	// Text is how the configuration writes it, for messages:
	// from_env("VAULT_TOKEN").
	Text string
	// Plain is true for text in the configuration itself.
	Plain bool

	value func(ctx context.Context) (secret.Value, error)
}

// NewCredential returns a credential that value supplies. An error of value
// says what is missing and names no content.
func NewCredential(text string, plain bool, value func(ctx context.Context) (secret.Value, error)) Credential {
	return Credential{Text: text, Plain: plain, value: value}
}

// IsZero reports whether the argument was not written.
func (c Credential) IsZero() bool { return c.value == nil }

// Value returns the credential, read anew every time: files such as a
// Kubernetes service account's token are replaced while a program runs. An
// empty one is an error.
func (c Credential) Value(ctx context.Context) (secret.Value, error) {
	if c.value == nil {
		return secret.Value{}, Errorf(Invalid, "no credential is configured")
	}
	return c.value(ctx)
}
