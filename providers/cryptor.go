package providers

import (
	"context"

	"github.com/cofferhq/coffer/providers/secret"
)

// Cryptor is what a driver implements whose platform encrypts with a key that
// never leaves it: Vault's transit engine, a cloud's key service.
type Cryptor interface {
	// Encrypt returns v encrypted with a named key. Errors are [*Error].
	Encrypt(ctx context.Context, key string, v secret.Value) (string, error)
	// Decrypt returns what was encrypted with it.
	Decrypt(ctx context.Context, key, text string) (secret.Value, error)
}

// Encrypt encrypts with a key of the platform; [Unsupported] where it has none.
func (p *Provider) Encrypt(ctx context.Context, key string, v secret.Value) (text string, err error) {
	c := call{op: "encrypt", path: key, pure: true}
	if p.powers.Cryptor == nil {
		return "", p.unsupported(c, "the platform encrypts nothing")
	}
	err = p.do(ctx, c, func(ctx context.Context) (err error) {
		text, err = p.powers.Cryptor.Encrypt(ctx, key, v)
		return err
	})
	return text, err
}

// Decrypt decrypts with a key of the platform; [Unsupported] where it has none.
func (p *Provider) Decrypt(ctx context.Context, key, text string) (v secret.Value, err error) {
	c := call{op: "decrypt", path: key, pure: true}
	if p.powers.Cryptor == nil {
		return secret.Value{}, p.unsupported(c, "the platform encrypts nothing")
	}
	err = p.do(ctx, c, func(ctx context.Context) (err error) {
		v, err = p.powers.Cryptor.Decrypt(ctx, key, text)
		return err
	})
	return v, err
}
