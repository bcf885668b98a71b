package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
)

// good returns an environment in which everything is well, with a password
// that needs escaping, and the padded base64 of Mastodon's own rake task.
func good(t *testing.T) map[string]string {
	t.Helper()
	key := newKey(t)
	return map[string]string{
		"LOCAL_DOMAIN": "social.example.com", "RAILS_ENV": "production", "NODE_ENV": "production",
		"SECRET_KEY_BASE": strings.Repeat("0a", 64), "OTP_SECRET": strings.Repeat("b1", 64),
		"VAPID_PRIVATE_KEY":                            base64.URLEncoding.EncodeToString(key.Bytes()),
		"VAPID_PUBLIC_KEY":                             base64.URLEncoding.EncodeToString(key.PublicKey().Bytes()),
		"ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY":         strings.Repeat("p", 32),
		"ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY":   strings.Repeat("d", 32),
		"ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT": strings.Repeat("s", 32),
		"DB_HOST": "db", "DB_PORT": "5432", "DB_NAME": "mastodon_production", "DB_USER": "mastodon", "DB_PASS": "p@ss/%#",
		"DATABASE_URL": "postgresql://mastodon:p%40ss%2F%25%23@db:5432/mastodon_production",
		"REDIS_HOST":   "redis", "REDIS_PORT": "6379",
		"SMTP_SERVER": "mail", "SMTP_PORT": "587", "SMTP_LOGIN": "me", "SMTP_PASSWORD": "two words", "SMTP_FROM_ADDRESS": "Us <us@example.com>",
	}
}

func newKey(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestGood(t *testing.T) {
	env := good(t)
	var out, errs bytes.Buffer
	if code := run(func(name string) string { return env[name] }, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	for line := range strings.Lines(out.String()) {
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "ok ")
		if _, known := env[name]; !ok || !known {
			t.Errorf("unexpected line of %d bytes", len(line))
		}
		delete(env, name)
	}
	for name := range env {
		t.Errorf("%s was not reported", name)
	}
}

// What is wrong is told by name; everything else is still ok, and no value
// is shown.
func TestWrong(t *testing.T) {
	other := base64.RawURLEncoding.EncodeToString(newKey(t).PublicKey().Bytes())
	cases := []struct{ name, value, says string }{
		{"LOCAL_DOMAIN", "https://social.example.com", "without a protocol"},
		{"RAILS_ENV", "prod", "neither"},
		{"SECRET_KEY_BASE", strings.Repeat("0a", 63), "rails secret"},
		{"OTP_SECRET", strings.Repeat("B1", 64), "rails secret"},
		{"VAPID_PRIVATE_KEY", "AAAA", "private key of P-256"},
		{"VAPID_PRIVATE_KEY", "not base64!", "private key of P-256"},
		{"VAPID_PUBLIC_KEY", other, "does not belong"},
		{"VAPID_PUBLIC_KEY", other[:40], "P-256"},
		{"VAPID_PUBLIC_KEY", "not base64!", "base64url"},
		{"ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY", "11characters"[:11], "less than 12"},
		{"ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY", strings.Repeat("p", 32), "same as ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY"},
		{"ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT", strings.Repeat("s", 19), "less than 20"},
		{"DB_PORT", "0", "not a port"},
		{"REDIS_PORT", "65536", "not a port"},
		{"DATABASE_URL", "postgresql://mastodon:p%40ss@db:5432/mastodon_production", "something else than DB_PASS"},
		{"DATABASE_URL", "postgresql://other:p%40ss%2F%25%23@db:5432/mastodon_production", "something else than DB_USER"},
		{"DATABASE_URL", "postgresql://mastodon:p%40ss%2F%25%23@db:5432/mastodon", "something else than DB_NAME"},
		{"DATABASE_URL", "mysql://mastodon:p%40ss%2F%25%23@db:5432/mastodon_production", "not a postgresql:// URL"},
		{"DATABASE_URL", "postgresql://mastodon:p@ss/%#@db:5432/mastodon_production", "not a postgresql:// URL"},
		{"SMTP_PASSWORD", "two\nlines", "line break"},
		{"SMTP_FROM_ADDRESS", "us", "mail address"},
		{"SMTP_LOGIN", "", "not set"},
	}
	all := good(t)
	for _, c := range cases {
		env := maps.Clone(all)
		env[c.name] = c.value
		var out, errs bytes.Buffer
		if code := run(func(name string) string { return env[name] }, &out, &errs); code != 1 {
			t.Errorf("%s: exit %d", c.name, code)
		}
		if first, _, _ := strings.Cut(errs.String(), "\n"); !strings.HasPrefix(first, c.name+" ") || !strings.Contains(first, c.says) {
			t.Errorf("%s: %q, want %q", c.name, first, c.says)
		}
		if len(c.value) > 12 && strings.Contains(out.String()+errs.String(), c.value) {
			t.Errorf("%s: the value is shown", c.name)
		}
		if strings.Contains(out.String(), "ok "+c.name+"\n") {
			t.Errorf("%s is called ok", c.name)
		}
	}
}
