package vault

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// The transit engine encrypts with a key that never leaves the server
// (https://openbao.org/api-docs/secret/transit/). A key is named by its mount
// and name: "transit/coffer".

var _ providers.Cryptor = (*Driver)(nil)

// Encrypt implements [providers.Cryptor].
func (d *Driver) Encrypt(ctx context.Context, key string, v secret.Value) (string, error) {
	var answer struct {
		Data struct {
			Ciphertext string `json:"ciphertext"`
		} `json:"data"`
	}
	err := v.Expose(func(plain []byte) error {
		body := map[string]string{"plaintext": base64.StdEncoding.EncodeToString(plain)}
		return d.transit(ctx, "encrypt", key, body, &answer)
	})
	if err == nil && !strings.HasPrefix(answer.Data.Ciphertext, "vault:") {
		err = providers.Errorf(providers.Unavailable, "the answer is not one of a transit engine")
	}
	return answer.Data.Ciphertext, err
}

// Decrypt implements [providers.Cryptor].
func (d *Driver) Decrypt(ctx context.Context, key, text string) (secret.Value, error) {
	var answer struct {
		Data struct {
			Plaintext string `json:"plaintext"`
		} `json:"data"`
	}
	if err := d.transit(ctx, "decrypt", key, map[string]string{"ciphertext": text}, &answer); err != nil {
		return secret.Value{}, err
	}
	plain, err := base64.StdEncoding.DecodeString(answer.Data.Plaintext)
	if err != nil {
		return secret.Value{}, providers.Errorf(providers.Unavailable, "the answer is not one of a transit engine")
	}
	return secret.New(plain), nil
}

func keyPermissions(n needs, key string, phase providers.Phase) {
	mount, name, ok := splitKey(key)
	if !ok {
		return // the first use of it says so
	}
	n.add(mount+"/decrypt/"+name, whyOpen, "update")
	if phase == providers.PhaseApply {
		n.add(mount+"/encrypt/"+name, whySeal, "update")
	}
}

// splitKey takes MOUNT/KEY apart. A mount may have slashes of its own.
func splitKey(key string) (mount, name string, ok bool) {
	i := strings.LastIndex(key, "/")
	if i <= 0 || i == len(key)-1 {
		return "", "", false
	}
	return key[:i], key[i+1:], true
}

func (d *Driver) transit(ctx context.Context, op, key string, body, into any) error {
	mount, name, ok := splitKey(key)
	if !ok {
		return providers.Errorf(providers.Invalid, "%.80q names no transit key: write MOUNT/KEY", key)
	}
	return d.client.do(ctx, request{method: http.MethodPost, path: mount + "/" + op + "/" + name, body: body, into: into})
}
