package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
)

type credentialConfig struct {
	Token providers.Credential `hcl:"token,optional"`
	Auth  []credentialBlock    `hcl:"auth,block"`
}

type credentialBlock struct {
	RoleID   providers.Credential `hcl:"role_id,optional" credential:"plain"`
	SecretID providers.Credential `hcl:"secret_id,optional"`
}

func (b *credentialBlock) DecodeBlock([]string) (any, error) { return b, nil }

// Credentials of a provider are read when they are asked for, anew each time,
// and what is missing is named with what needs it.
func TestCredentialsOfProviders(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"secret-id": "s3cr3t\r\n", "blank": "\n", ".env": "A=by-file\n",
		"coffer.hcl": `coffer {
  project = "shop"
}
provider "vault" {
  alias = "eu"
  token = from_env("TOKEN")
  auth "approle" {
    role_id   = "shop"
    secret_id = from_file("secret-id")
  }
  auth "approle" {
    role_id   = from_env("VAULT_ROLE_ID")
    secret_id = from_file("missing")
  }
  auth "approle" {
    role_id   = from_dotenv(".env", "A")
    secret_id = from_dotenv(".env", "B")
  }
  auth "approle" {
    role_id   = from_env("EMPTY")
    secret_id = from_file("blank")
  }
}
`,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, diags := lang.Load(dir, lang.Options{ProviderTypes: []string{"vault"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	vars := map[string]string{"TOKEN": "one", "EMPTY": ""}
	var config credentialConfig
	if diags := cfg.Providers[0].Decode(&config, inputs{dir: dir, vars: vars}.providerCredentials(cfg.Providers[0])); diags.HasErrors() {
		t.Fatal(diags)
	}
	vars["TOKEN"] = "two" // after decoding: nothing is read before it is asked for
	for i, c := range []struct {
		credential  providers.Credential
		plain       bool
		value, fail string
	}{
		{config.Token, false, "two", ""},
		{config.Auth[0].RoleID, true, "shop", ""},
		{config.Auth[0].SecretID, false, "s3cr3t", ""},
		{config.Auth[1].RoleID, false, "", `VAULT_ROLE_ID is not set; the provider vault.eu needs it for auth "approle"`},
		{config.Auth[1].SecretID, false, "", `missing does not exist; the provider vault.eu needs it for auth "approle"`},
		{config.Auth[2].RoleID, false, "by-file", ""},
		{config.Auth[2].SecretID, false, "", `.env does not exist, or has no variable B; the provider vault.eu needs it for auth "approle"`},
		{config.Auth[3].RoleID, false, "", `from_env("EMPTY"): it is there, but empty; the provider vault.eu needs it for auth "approle"`},
		{config.Auth[3].SecretID, false, "", `from_file("blank"): it holds nothing but a line end; the provider vault.eu needs it for auth "approle"`},
	} {
		v, err := c.credential.Value(t.Context())
		if err != nil {
			if err.Error() != c.fail || providers.CodeOf(err) != providers.Invalid {
				t.Errorf("%d: got %v, want %s", i, err, c.fail)
			}
			continue
		}
		if err := v.Expose(func(b []byte) error {
			if string(b) != c.value || c.fail != "" {
				t.Errorf("%d: got %q", i, b)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if c.credential.Plain != c.plain || c.credential.Text == "" || strings.Contains(c.credential.Text, c.value) != c.plain {
			t.Errorf("%d: text %s, plain %t", i, c.credential.Text, c.credential.Plain)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := config.Token.Value(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
