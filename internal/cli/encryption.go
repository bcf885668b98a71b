package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/state/seal"
)

// This file makes the keys that a shared state is encrypted with.

type decodedEncryption struct {
	block *lang.Encryption
	age   *ageEncryption
	vault *vaultEncryption
}

type ageEncryption struct {
	Recipients []string             `hcl:"recipients,optional"`
	Identity   providers.Credential `hcl:"identity,optional"`
}

type vaultEncryption struct {
	Mount string `hcl:"mount,optional"`
	Key   string `hcl:"key"`
}

// name is how the driver calls the key.
func (v *vaultEncryption) name() string { return v.Mount + "/" + v.Key }

// sealer makes what encrypts the state.
func (inv *invocation) sealer(list []decodedEncryption, provider func(ref string) (*providers.Provider, error)) (*seal.Sealer, error) {
	s := &seal.Sealer{Random: inv.Random}
	for _, e := range list {
		var key seal.Key
		switch {
		case e.age != nil:
			k, err := seal.NewAge(e.age.Recipients, func() (string, error) { return inv.ageIdentities(e.age.Identity) })
			if err != nil {
				return nil, err
			}
			key = k
		case e.vault != nil:
			key = &transitKey{name: e.vault.name(), provider: func() (*providers.Provider, error) { return provider(e.block.Provider) }}
		default:
			s.Plain = true
			continue
		}
		if e.block.Fallback {
			s.Fallbacks = append(s.Fallbacks, key)
		} else {
			s.Key = key
		}
	}
	return s, nil
}

// ageIdentities returns the age identities that open a state: the configured
// one, or those that the sops tool would take.
func (inv *invocation) ageIdentities(configured providers.Credential) (string, error) {
	if !configured.IsZero() {
		v, err := configured.Value(context.Background())
		if err != nil {
			return "", err
		}
		text := ""
		err = v.Expose(func(b []byte) error { text = string(b); return nil })
		return text, err
	}
	if text := inv.Getenv("SOPS_AGE_KEY"); text != "" {
		return text, nil
	}
	file := inv.Getenv("SOPS_AGE_KEY_FILE")
	if file == "" {
		file = sops.DefaultKeyFile(inv.Getenv)
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no age identity: set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE, or put one into %s", file)
	}
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, ""), nil
}

// transitKey is a [seal.Key] that a provider's platform keeps.
type transitKey struct {
	name     string
	provider func() (*providers.Provider, error)
}

func (k *transitKey) Method() string { return "vault_transit" }

func (k *transitKey) ID() string { return k.name }

func (k *transitKey) Wrap(ctx context.Context, key []byte) (string, error) {
	p, err := k.provider()
	if err != nil {
		return "", err
	}
	return p.Encrypt(ctx, k.name, secret.New(key))
}

func (k *transitKey) Unwrap(ctx context.Context, wrapped string) ([]byte, error) {
	p, err := k.provider()
	if err != nil {
		return nil, err
	}
	v, err := p.Decrypt(ctx, k.name, wrapped)
	if err != nil {
		return nil, err
	}
	var key []byte
	err = v.Expose(func(b []byte) error {
		key = append(key, b...)
		return nil
	})
	return key, err
}
