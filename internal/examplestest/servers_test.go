//go:build servers && unix

package examplestest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

func sopsTool(t *testing.T) string {
	t.Helper()
	tool := os.Getenv("COFFER_TEST_SOPS")
	if tool == "" {
		t.Fatal("COFFER_TEST_SOPS names no sops binary; `make test-servers` builds one")
	}
	return tool
}

// What the real tool gives a program is what the files hold.
func TestMastodonUnderExecEnv(t *testing.T) {
	p, dir, check := newMastodon(t)
	for _, environment := range mastodonEnvironments {
		file := filepath.Join("secrets", environment, "mastodon-web.env")
		onlyOK(t, p.run(dir, nil, sopsTool(t), "exec-env", file, check), p.decrypted(dir, environment))
		password := p.run(dir, nil, sopsTool(t), "exec-env", file, `printf %s "$SMTP_PASSWORD"`)
		if password != smtp["SMTP_PASSWORD_"+strings.ToUpper(environment)] {
			t.Errorf("%s: the program gets another SMTP password than was supplied", environment)
		}
	}
}

// The script starts the checker where the tool is at hand.
func TestMastodonRunsToTheEnd(t *testing.T) {
	p := newPlace(t)
	out := p.run(examples, map[string]string{"SOPS": sopsTool(t)}, "bash", "mastodon/run.sh")
	if n := strings.Count(out, "\nok "); n != 2*23 {
		t.Errorf("the checker said ok %d times", n)
	}
}

// The day on the page about Vault goes as it says, word for word but for the
// server's address.
func TestStoryOfThePageAboutVault(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	server.Must("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	page, err := os.ReadFile("../../docs/providers/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	_, story, _ := strings.Cut(string(page), "## A day with it")
	story, _, _ = strings.Cut(story, "\n## ")
	script := "coffer() { \"$COFFER\" \"$@\"; echo \"exit $?\"; }\n"
	for _, block := range strings.Split(story, "```sh\n")[2:] { // the first starts the server
		commands, _, _ := strings.Cut(block, "```")
		script += commands
	}
	script = strings.NewReplacer("http://127.0.0.1:8200", server.Address, "TOKEN=root", "TOKEN="+server.RootToken, "Token: root", "Token: "+server.RootToken).Replace(script)
	out := newPlace(t).run(filepath.Dir(examples), nil, "bash", "-c", script)
	for _, want := range []string{
		"No changes. 13 secrets unchanged", "Changed outside (1)", "exit 2", "Nothing changed outside: 13 secrets unchanged",
		"1 rotated", `read by vault_approle("checkout-production")`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if strings.Contains(out, "exit 1") || t.Failed() {
		t.Errorf("the story goes:\n%s", out)
	}
}

// The day with Vault, on a real OpenBao, leaves nothing behind on this machine.
func TestCheckoutVault(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	server.Must("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	p := newPlace(t)
	out := p.run(examples, map[string]string{"VAULT_ADDR": server.Address, "VAULT_TOKEN": server.RootToken}, "bash", "checkout-vault/run.sh")
	for _, want := range []string{
		"reads    checkout/production/db\n", "does not checkout/dev/db\n", "does not reports/production/db_url\n",
		`provider.vault.policy["everybody"]`, `read by vault_approle("checkout-production")`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if left := append(filesBelow(t, p.home), filesBelow(t, p.tmp)...); len(left) > 0 {
		t.Errorf("run.sh left %v behind", left)
	}
	// Nothing that only looks asked for a value: three times the program did, and
	// the restore read the recorded version.
	read := 0
	for _, r := range server.AuditRequests() {
		if strings.HasPrefix(r.Path, "shop/data/") && r.Operation == "read" {
			read++
		}
	}
	if read != 4 {
		t.Errorf("%d values were asked for, want 4", read)
	}
}
