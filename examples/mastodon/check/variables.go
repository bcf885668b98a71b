package main

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// variable is a name that Mastodon reads and what its value must be. A problem
// is the rest of a sentence about the name, "" for none, and holds no value.
type variable struct {
	name    string
	problem func(value string, getenv func(string) string) string
}

// variables returns all that the checker knows, in the order it reports them.
func variables() []variable {
	return []variable{
		{"LOCAL_DOMAIN", like(`[a-z0-9-]+(\.[a-z0-9-]+)+`, "is not a domain without a protocol")},
		{"RAILS_ENV", like(`production|development`, "is neither production nor development")},
		{"NODE_ENV", same("RAILS_ENV")},

		// rails secret: SecureRandom.hex(64)
		{"SECRET_KEY_BASE", like(`[0-9a-f]{128}`, "is not 64 bytes in hexadecimal, as rails secret makes it")},
		{"OTP_SECRET", like(`[0-9a-f]{128}`, "is not 64 bytes in hexadecimal, as rails secret makes it")},

		// RFC 8292 section 3.2: the uncompressed point of P-256
		{"VAPID_PRIVATE_KEY", vapidPrivate},
		{"VAPID_PUBLIC_KEY", vapidPublic},

		// Rails guide, "Active Record Encryption", Setup: what db:encryption:init
		// makes has 32 bytes; a key needs 12 and the salt 20.
		{"ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY", atLeast(12)},
		{"ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY", atLeast(12, "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY")},
		{
			"ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT",
			atLeast(20, "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY", "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY"),
		},

		{"DB_HOST", like(`\S+`, "has white space")},
		{"DB_PORT", port},
		{"DB_NAME", like(`\w+`, "is not the name of a database")},
		{"DB_USER", like(`\w+`, "is not the name of a user")},
		{"DB_PASS", like(`[^\s\x00]+`, "has white space or a NUL")},
		{"DATABASE_URL", databaseURL},

		{"REDIS_HOST", like(`\S+`, "has white space")},
		{"REDIS_PORT", port},

		{"SMTP_SERVER", like(`\S+`, "has white space")},
		{"SMTP_PORT", port},
		{"SMTP_LOGIN", like(`\S+`, "has white space")},
		{"SMTP_PASSWORD", like(`[^\n\x00]+`, "has a line break or a NUL")},
		{"SMTP_FROM_ADDRESS", address},
	}
}

// like accepts what a regular expression matches as a whole.
func like(pattern, otherwise string) func(string, func(string) string) string {
	whole := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	return func(value string, _ func(string) string) string {
		if whole.MatchString(value) {
			return ""
		}
		return otherwise
	}
}

func same(other string) func(string, func(string) string) string {
	return func(value string, getenv func(string) string) string {
		if value == getenv(other) {
			return ""
		}
		return "differs from " + other
	}
}

// atLeast accepts a key of so many bytes that is no other one.
func atLeast(n int, others ...string) func(string, func(string) string) string {
	return func(value string, getenv func(string) string) string {
		if len(value) < n {
			return fmt.Sprintf("has less than %d bytes", n)
		}
		for _, other := range others {
			if value == getenv(other) {
				return "is the same as " + other
			}
		}
		return ""
	}
}

func port(value string, _ func(string) string) string {
	if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
		return "is not a port"
	}
	return ""
}

func address(value string, _ func(string) string) string {
	if _, err := mail.ParseAddress(value); err != nil {
		return "is not a mail address"
	}
	return ""
}

// base64URL decodes as Ruby's urlsafe_decode64 does: padding may be there.
func base64URL(value string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(value, "="))
	return b, err == nil
}

func vapidPrivate(value string, _ func(string) string) string {
	if _, ok := privateKey(value); !ok {
		return "is not a private key of P-256 in base64url"
	}
	return ""
}

func privateKey(value string) (*ecdh.PrivateKey, bool) {
	b, ok := base64URL(value)
	if !ok {
		return nil, false
	}
	key, err := ecdh.P256().NewPrivateKey(b) // 32 bytes, within the order
	return key, err == nil
}

func vapidPublic(value string, getenv func(string) string) string {
	point, ok := base64URL(value)
	if !ok {
		return "is not base64url"
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return "is not an uncompressed point of P-256"
	}
	private, ok := privateKey(getenv("VAPID_PRIVATE_KEY"))
	if !ok || !bytes.Equal(private.PublicKey().Bytes(), point) {
		return "does not belong to VAPID_PRIVATE_KEY"
	}
	return ""
}

// databaseURL wants the URL to say what the five fields say. Errors of
// url.Parse quote the URL, so they are not shown.
func databaseURL(value string, getenv func(string) string) string {
	u, err := url.Parse(value)
	if err != nil || u.User == nil || u.Scheme != "postgresql" && u.Scheme != "postgres" {
		return "is not a postgresql:// URL with a user"
	}
	password, _ := u.User.Password()
	for _, part := range []struct{ of, field string }{
		{password, "DB_PASS"},
		{u.User.Username(), "DB_USER"},
		{u.Hostname(), "DB_HOST"},
		{u.Port(), "DB_PORT"},
		{strings.TrimPrefix(u.Path, "/"), "DB_NAME"},
	} {
		if part.of != getenv(part.field) {
			return "says something else than " + part.field
		}
	}
	return ""
}
