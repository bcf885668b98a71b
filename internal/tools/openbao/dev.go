package main

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/openbao/openbao/helper/namespace"
	"github.com/openbao/openbao/sdk/v2/logical"
	"github.com/openbao/openbao/vault"
)

// initDev initialises and unseals the core, replaces the root token by the
// given one, mounts KV version 2 at secret/ and, where it is asked for, AppRole
// sign-in.
func initDev(core *vault.Core, token string, appRole bool) error {
	ctx := namespace.ContextWithNamespace(context.Background(), namespace.RootNamespace)
	res, err := core.Initialize(ctx, &vault.InitParams{
		BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1, StoredShares: 1},
	})
	if err != nil {
		return err
	}
	if unsealed, err := core.Unseal(append([]byte(nil), res.SecretShares[0]...)); err != nil || !unsealed {
		return fmt.Errorf("unseal: %v, %w", unsealed, err)
	}
	call := func(path string, data map[string]any) (*logical.Response, error) {
		resp, err := core.HandleRequest(ctx, &logical.Request{
			ID: "dev", Operation: logical.UpdateOperation, ClientToken: res.RootToken, Path: path, Data: data,
		})
		if err == nil && resp.IsError() {
			err = resp.Error()
		}
		return resp, err
	}
	if token != "" {
		resp, err := call("auth/token/create", map[string]any{
			"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true,
		})
		if err != nil {
			return err
		}
		if _, err := call("auth/token/revoke-self", nil); err != nil {
			return err
		}
		res.RootToken = resp.Auth.ClientToken
	}
	if _, err := call("sys/mounts/secret", map[string]any{
		"type": "kv", "path": "secret/", "description": "key/value secret storage",
		"options": map[string]string{"version": "2"},
	}); err != nil {
		return err
	}
	if appRole {
		if _, err := call("sys/auth/approle", map[string]any{"type": "approle"}); err != nil {
			return err
		}
	}
	fmt.Printf("Unseal Key: %s\nRoot Token: %s\n", base64.StdEncoding.EncodeToString(res.SecretShares[0]), res.RootToken)
	return nil
}
