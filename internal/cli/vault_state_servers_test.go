//go:build servers

package cli

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// onVault is a project whose secrets lie in a Vault, and its state in a shared
// backend, encrypted by the transit engine there where the settings say so.
func onVault(t *testing.T, s *vaulttest.Server, project string) *shared {
	t.Helper()
	mine := s.In(project)
	mine.Must(http.MethodPost, "sys/mounts/transit", map[string]any{"type": "transit"})
	mine.Must(http.MethodPost, "transit/keys/state", map[string]any{})
	mine.Must(http.MethodPost, "transit/keys/next", map[string]any{})
	p := &shared{dir: t.TempDir(), blobs: &statetest.Memory{Now: time.Now}}
	p.environ = Environ{
		Vars: map[string]string{
			"HOME": t.TempDir(), "VAULT_ADDR": mine.Address, "VAULT_NAMESPACE": mine.Namespace, "VAULT_TOKEN": mine.RootToken, "COFFER_VAR_mount": mine.KV(),
		},
		Now: time.Now, Random: rand.Reader,
		Seams: Seams{Backends: map[string]func() remote.Backend{"kept": func() remote.Backend { return &kept{blobs: p.blobs} }}},
	}
	return p
}

// configured writes the configuration: the blocks of the backend, and so many
// secrets.
func (p *shared) configured(t *testing.T, settings string, secrets int) {
	t.Helper()
	text := "coffer {\n  project = \"onvault-1\"\n" + settings + "}\nvariable \"mount\" {\n  type = string\n}\nprovider \"vault\" {\n  mount = var.mount\n}\n" +
		"environment \"dev\" { store = vault }\napp \"shop\" {\n  environments = [\"dev\"]\n"
	for i := range secrets {
		text += fmt.Sprintf("  secret \"s%d\" { value = random_hex() }\n", i)
	}
	p.write(t, "coffer.hcl", text+"}\n")
}

func transit(key string, lines ...string) string {
	return "  encryption \"vault_transit\" {\n    provider = vault\n    key = \"" + key + "\"\n    " + strings.Join(lines, "\n    ") + "\n  }\n"
}

const inKept = "  backend \"kept\" {\n  }\n"

// least makes the token one that may do what `coffer permissions` says and no
// more.
func (p *shared) least(t *testing.T, s *vaulttest.Server, project, phase string) {
	t.Helper()
	mine := s.In(project)
	p.environ.Vars["VAULT_TOKEN"] = mine.RootToken
	policy, _ := p.run(t, ExitDone, "permissions", "-phase", phase, "-provider", "vault")
	mine.Policy("least-"+phase, policy)
	p.environ.Vars["VAULT_TOKEN"] = mine.TokenWith("least-" + phase)
}

// TestAStateEncryptedByVault goes from a file to a shared state that the transit
// engine encrypts, and to another key, by tokens that may do no more than they
// have to.
func TestAStateEncryptedByVault(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	p := onVault(t, s, "encrypted")
	p.configured(t, "", 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.configured(t, inKept+transit("state"), 2)
	p.least(t, s, "encrypted", "apply")
	p.run(t, ExitDone, "state", "migrate", "-from", "local", "-auto-approve")
	for _, plain := range []string{"app.shop", "shop/dev"} {
		if bytes.Contains(p.stored(t), []byte(plain)) {
			t.Errorf("the state has %q in it", plain)
		}
	}
	p.configured(t, inKept+transit("state"), 3)
	p.least(t, s, "encrypted", "plan")
	if out, _ := p.run(t, ExitDone, "plan"); !strings.Contains(out, "1 to create, 0 to delete. 2 unchanged") {
		t.Errorf("plan says:\n%s", out)
	}
	p.least(t, s, "encrypted", "apply")
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.run(t, ExitDone, "plan", "-detailed-exitcode")
	if out, _ := p.run(t, ExitDone, "state", "list"); strings.Count(out, "app.shop.secret.") != 3 {
		t.Errorf("the state has:\n%s", out)
	}

	// Another key: the old one opens what was written with it.
	p.configured(t, inKept+transit("next")+transit("state", "fallback = true"), 2)
	p.least(t, s, "encrypted", "apply")
	p.run(t, ExitDone, "apply", "-auto-approve", "-confirm-deletes", "1")
	p.configured(t, inKept+transit("next"), 2)
	p.least(t, s, "encrypted", "apply")
	p.run(t, ExitDone, "plan", "-detailed-exitcode")

	// Without the right to the key nothing is told and nothing written.
	before := p.stored(t)
	mine := s.In("encrypted")
	mine.Must(http.MethodPost, "transit/keys/next/config", map[string]any{"deletion_allowed": true})
	mine.Must(http.MethodDelete, "transit/keys/next", nil)
	_, errs := p.run(t, ExitError, "apply", "-auto-approve")
	if !strings.Contains(flat(errs), "transit/next") {
		t.Errorf("without the key: %s", errs)
	}
	if !bytes.Equal(before, p.stored(t)) {
		t.Errorf("something was written")
	}
}

// TestTheMarkOfAStateInVault: a machine that never saw the newer state learns from
// the store of the secrets that this one is older, and deletes nothing.
func TestTheMarkOfAStateInVault(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	p := onVault(t, s, "marked")
	p.configured(t, inKept, 2)
	p.least(t, s, "marked", "apply")
	p.run(t, ExitDone, "apply", "-auto-approve")
	old := p.stored(t)
	p.configured(t, inKept, 3)
	p.least(t, s, "marked", "apply")
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.configured(t, inKept, 1)
	p.least(t, s, "marked", "plan")
	p.put(t, old)
	p.environ.Vars["HOME"] = t.TempDir() // another machine
	out, errs := p.run(t, ExitDone, "plan")
	if said := flat(out + errs); !strings.Contains(said, "older than one that was seen") || !strings.Contains(said, "not deleted") {
		t.Errorf("plan says:\n%s%s", out, errs)
	}
}
