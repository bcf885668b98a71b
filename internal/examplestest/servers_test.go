//go:build servers && unix

package examplestest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
