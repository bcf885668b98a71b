package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// A plan file is good for a day: then it is refused by name, whatever digest is
// given with it, and nothing is written.
func TestASavedPlanExpires(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	hcl := fmt.Sprintf("coffer { project = \"p-1\" }\nprovider \"sops\" { recipients = [%q] }\nenvironment \"dev\" { store = sops }\n"+
		"app \"shop\" {\n  environments = [\"dev\"]\n  secret \"key\" { value = random_hex() }\n}\n", id.Recipient())
	if err := os.WriteFile(filepath.Join(dir, "coffer.hcl"), []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := Environ{Vars: map[string]string{"HOME": dir}, Now: func() time.Time { return now }, Random: rand.Reader}
		code := Main(context.Background(), append([]string{"coffer", "-chdir", dir}, args...), Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, env)
		if code != want {
			t.Fatalf("%v ends with %d:\n%s%s", args, code, stdout.String(), stderr.String())
		}
		return stdout.String(), stderr.String()
	}
	_, said := run(ExitDone, "plan", "-out", "day.plan", "-format", "html=plan.html")
	digest := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(said)
	page, err := os.ReadFile(filepath.Join(dir, "plan.html"))
	if err != nil || !strings.Contains(string(page), "<dt>expires</dt><dd>2026-11-21 12:00 UTC</dd>") {
		t.Errorf("the page does not say until when: %v", err)
	}
	if _, said := run(ExitDone, "show", "day.plan"); !strings.Contains(said, digest+", made 2026-11-20 12:00 UTC, may be applied until 2026-11-21 12:00 UTC.") {
		t.Errorf("show says: %s", said)
	}

	now = now.Add(24*time.Hour + time.Second)
	_, said = run(ExitError, "apply", "day.plan", "-plan-digest", digest, "-format", "markdown=apply.md")
	if !strings.Contains(said, "the plan expired at 2026-11-21T12:00:00Z: plan again") {
		t.Errorf("the error is: %s", said)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "apply.md")); err != nil || !strings.Contains(string(text), "the plan expired at") {
		t.Errorf("the comment is %q: %v", text, err)
	}
	run(ExitError, "apply", "day.plan", "-on-conflict", "skip")
	for _, name := range []string{"coffer.state.json", "secrets"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	now = now.Add(-2 * time.Second)
	run(ExitDone, "apply", "day.plan", "-plan-digest", digest)
}
