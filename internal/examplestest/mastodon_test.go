//go:build unix

package examplestest

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/sops"
)

// smtp is what a person supplies: values that a careless reader of the
// environment, the shell or a dotenv file would change.
var smtp = map[string]string{
	"SMTP_LOGIN_DEV": "dev@example.com", "SMTP_PASSWORD_DEV": `d$HOME "#1" \n`,
	"SMTP_LOGIN_PRODUCTION": "live@example.com", "SMTP_PASSWORD_PRODUCTION": "it's %41 `x` ž",
}

var mastodonEnvironments = []string{"dev", "production"}

// newMastodon returns a folder with the example, applied, and the checker.
func newMastodon(t *testing.T) (p place, dir, check string) {
	t.Helper()
	p = newPlace(t)
	dir = t.TempDir()
	files, err := filepath.Glob(filepath.Join(examples, "mastodon", "*.hcl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check = filepath.Join(t.TempDir(), "check")
	p.run(filepath.Join(examples, "mastodon"), nil, "go", "build", "-o", check, "./check")
	p.coffer(dir, nil, "init")
	p.coffer(dir, smtp, "apply", "-auto-approve")
	return p, dir, check
}

// decrypted returns the variables of an environment's file, opened with the
// identity that init made.
func (p place) decrypted(dir, environment string) map[string]string {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "secrets", environment, "mastodon-web.env"))
	if err != nil {
		p.t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"HOME": p.home}[name] }
	env := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z]\w*)=`).FindAllStringSubmatch(string(data), -1) {
		value, err := sops.Decrypt(data, sops.FormatDotenv, m[1], getenv)
		if err != nil {
			p.t.Fatalf("%s: %v", m[1], err)
		}
		err = value.Expose(func(b []byte) error {
			env[m[1]] = string(b)
			return nil
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return env
}

// onlyOK fails unless the checker said of every variable that it is well, and
// nothing else.
func onlyOK(t *testing.T, out string, env map[string]string) {
	t.Helper()
	var want strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		want.WriteString("ok " + name + "\n")
	}
	lines := strings.SplitAfter(out, "\n")
	slices.Sort(lines)
	if got := strings.Join(lines, ""); got != want.String() {
		t.Errorf("the checker printed %d lines, want an ok for each of %d variables", len(lines)-1, len(env))
	}
}

// A program that is started with what the files hold finds every variable in
// the form that Mastodon documents, in both environments, and what a person
// supplied byte for byte.
func TestMastodon(t *testing.T) {
	p, dir, check := newMastodon(t)
	files := map[string]map[string]string{}
	for _, environment := range mastodonEnvironments {
		env := p.decrypted(dir, environment)
		onlyOK(t, p.run(dir, env, check), env)
		if env["SMTP_PASSWORD"] != smtp["SMTP_PASSWORD_"+strings.ToUpper(environment)] {
			t.Errorf("%s: the SMTP password is not the one that was supplied", environment)
		}
		files[environment] = env
	}
	for _, name := range generated {
		if files["dev"][name] == files["production"][name] {
			t.Errorf("%s is the same in dev and production", name)
		}
	}
	if out := p.coffer(dir, smtp, "plan", "-detailed-exitcode"); !strings.HasPrefix(out, "No changes.") {
		t.Errorf("the plan after apply: %s", out)
	}
}

var generated = []string{
	"SECRET_KEY_BASE", "OTP_SECRET", "VAPID_PRIVATE_KEY", "VAPID_PUBLIC_KEY", "DB_PASS", "DATABASE_URL",
	"ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY", "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY",
	"ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT",
}

// A new database password has a new URL at once, the next apply brings both to
// the file, and nothing else is touched.
func TestMastodonNewPassword(t *testing.T) {
	p, dir, check := newMastodon(t)
	before := p.decrypted(dir, "production")
	p.coffer(dir, nil, "rotate", `app.mastodon.secret.db["production"]`, "-auto-approve")
	if out := p.coffer(dir, nil, "plan"); !strings.Contains(out, `app.mastodon.env_file.web["production"]`) {
		t.Errorf("the plan does not say that the file is behind: %s", out)
	}
	p.coffer(dir, nil, "apply", "-auto-approve")
	after := p.decrypted(dir, "production")
	onlyOK(t, p.run(dir, after, check), after)
	for name := range before {
		changes := name == "DB_PASS" || name == "DATABASE_URL"
		if (before[name] != after[name]) != changes {
			t.Errorf("%s: changed is %v, want %v", name, !changes, changes)
		}
	}
	if out := p.coffer(dir, smtp, "plan"); !strings.HasPrefix(out, "No changes.") {
		t.Errorf("the plan afterwards: %s", out)
	}
}
