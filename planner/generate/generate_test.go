package generate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers/secret"
)

var testTime = time.Date(2031, 5, 17, 9, 30, 15, 250_000_000, time.UTC)

// seeded returns an Env whose randomness is the same in every run.
func seeded(seed uint64) Env {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return Env{Rand: rand.NewChaCha8(key), Now: testTime}
}

type params = map[string]any

// tb is what helpers need of a testing.T or a rapid.T.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func text(t tb, v secret.Value) string {
	t.Helper()
	var s string
	if err := v.Expose(func(b []byte) error { s = string(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

func mustNew(t tb, env Env, name string, p params) string {
	t.Helper()
	v, err := New(name, p, env)
	if err != nil {
		t.Fatalf("%s(%v): %v", name, p, err)
	}
	return text(t, v)
}

func derive(name string, p params, args ...string) (secret.Value, error) {
	var plain []string
	if name == "htpasswd" || name == "join" {
		plain, args = args[:1], args[1:]
	}
	values := make([]secret.Value, len(args))
	for i, arg := range args {
		values[i] = secret.String(arg)
	}
	return Derive(name, plain, nil, values, p, Env{})
}

func mustDerive(t tb, name string, p params, args ...string) string {
	t.Helper()
	v, err := derive(name, p, args...)
	if err != nil {
		t.Fatalf("%s(%v): %v", name, p, err)
	}
	return text(t, v)
}

func TestEverySignatureIsImplemented(t *testing.T) {
	names := func(all []lang.Signature) []string {
		var names []string
		for _, sig := range all {
			names = append(names, sig.Name)
		}
		slices.Sort(names)
		return names
	}
	if said, done := names(lang.Generators()), slices.Sorted(maps.Keys(generators())); !slices.Equal(said, done) {
		t.Errorf("generators: lang says %v, this package does %v", said, done)
	}
	if said, done := names(lang.DerivedFunctions()), slices.Sorted(maps.Keys(derivers())); !slices.Equal(said, done) {
		t.Errorf("derived functions: lang says %v, this package does %v", said, done)
	}
}

// Every parameter is read: with the same randomness, another value of it gives
// something else. rsa and ssh_key never give the same twice; what their
// parameters do is shown in keys_test.go.
func TestEveryParameterHasAnEffect(t *testing.T) {
	values := map[string]any{
		"length": 40, "lower": false, "upper": false, "digits": false, "symbols": false, "symbol_set": "#%",
		"exclude": "0123", "min_lower": 25, "min_upper": 25, "min_digits": 25, "min_symbols": 25,
		"version": 7, "bytes": 33, "url": true, "padding": false, "words": 9, "separator": "_",
		"capitalize": true, "number": true, "format": "jwk", "curve": "p384",
		"common_name": "other", "organization": "Acme", "dns_names": []string{"b.example"},
		"ip_addresses": []string{"192.0.2.1"}, "days": 10, "key": "p256", "is_ca": true,
	}
	for _, sig := range lang.Generators() {
		if sig.Name == "rsa" || sig.Name == "ssh_key" {
			continue
		}
		base := params{}
		if sig.Name == "self_signed_cert" {
			base = params{"common_name": "a.example", "key": "ed25519"}
		}
		before := mustNew(t, seeded(1), sig.Name, base)
		if mustNew(t, seeded(1), sig.Name, base) != before {
			t.Fatalf("%s: one seed gave two values, so this shows nothing", sig.Name)
		}
		if sig.Name == "ecdsa" || sig.Name == "ed25519" {
			base["format"] = "raw"
			before = mustNew(t, seeded(1), sig.Name, base)
		}
		for _, p := range sig.Params {
			value, ok := values[p.Name]
			if !ok {
				t.Fatalf("%s: no value to try for the parameter %s", sig.Name, p.Name)
			}
			changed := maps.Clone(base)
			changed[p.Name] = value
			if mustNew(t, seeded(1), sig.Name, changed) == before {
				t.Errorf("%s: %s = %v changes nothing", sig.Name, p.Name, value)
			}
		}
	}
}

func TestUnknownNames(t *testing.T) {
	if _, err := New("random_pasword", nil, seeded(1)); err == nil || !strings.Contains(err.Error(), "random_pasword") {
		t.Errorf("got %v", err)
	}
	if _, err := New("bcrypt", nil, seeded(1)); err == nil {
		t.Error("a derived function is no generator")
	}
	if _, err := Derive("md5", nil, nil, []secret.Value{secret.String("x")}, nil, Env{}); err == nil {
		t.Error("md5 exists")
	}
	if _, err := New("random_hex", params{"byte": 3}, seeded(1)); err == nil || !strings.Contains(err.Error(), `"bytes"`) {
		t.Errorf("got %v", err)
	}
	if _, err := derive("bcrypt", params{"cost": 4}, "x"); err == nil || !strings.Contains(err.Error(), "10 to 16") {
		t.Errorf("got %v", err)
	}
}

func TestDeriveChecksTheCall(t *testing.T) {
	one := []secret.Value{secret.String("CANARY")}
	object := secret.Object(map[string]secret.Value{"a": secret.String("CANARY")})
	for name, call := range map[string]func() (secret.Value, error){
		"no argument":       func() (secret.Value, error) { return Derive("sha256", nil, nil, nil, nil, Env{}) },
		"two arguments":     func() (secret.Value, error) { return Derive("sha256", nil, nil, append(one, one...), nil, Env{}) },
		"no plain argument": func() (secret.Value, error) { return Derive("join", nil, nil, one, nil, Env{}) },
		"a plain argument":  func() (secret.Value, error) { return Derive("sha256", []string{"a"}, nil, one, nil, Env{}) },
		"keys":              func() (secret.Value, error) { return Derive("sha256", nil, []string{"a"}, one, nil, Env{}) },
		"too few keys":      func() (secret.Value, error) { return Derive("jsonencode", nil, []string{}, one, nil, Env{}) },
		"a key twice": func() (secret.Value, error) {
			return Derive("jsonencode", nil, []string{"a", "a"}, append(one, one...), nil, Env{})
		},
		"two without keys": func() (secret.Value, error) { return Derive("jsonencode", nil, nil, append(one, one...), nil, Env{}) },
		"absent":           func() (secret.Value, error) { return Derive("sha256", nil, nil, []secret.Value{{}}, nil, Env{}) },
		"user with colon": func() (secret.Value, error) {
			return Derive("htpasswd", []string{"a:b"}, nil, one, nil, Env{})
		},
		"user of two lines": func() (secret.Value, error) {
			return Derive("htpasswd", []string{"a\nb"}, nil, one, nil, Env{})
		},
		"no user": func() (secret.Value, error) { return Derive("htpasswd", []string{""}, nil, one, nil, Env{}) },
	} {
		if v, err := call(); err == nil || !v.IsZero() || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Derive("sha256", nil, nil, []secret.Value{object}, nil, Env{}); !errors.Is(err, secret.ErrShape) {
		t.Errorf("a value with fields: %v", err)
	}
}

// A source of randomness that fails or ends gives an error and no value, at
// whichever read it happens.
func TestBrokenRandomness(t *testing.T) {
	for _, sig := range lang.Generators() {
		if sig.Name == "rsa" {
			continue // never reads Env.Rand, see Env
		}
		p := params{}
		if sig.Name == "self_signed_cert" {
			p["common_name"] = "a"
		}
		for limit := range int64(40) {
			env := Env{Rand: io.MultiReader(io.LimitReader(seeded(1).Rand, limit), iotest.ErrReader(io.ErrClosedPipe)), Now: testTime}
			v, err := New(sig.Name, p, env)
			if err == nil && limit < 16 {
				t.Errorf("%s made a value of %d random bytes", sig.Name, limit)
			}
			if err != nil && (!v.IsZero() || !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, io.ErrUnexpectedEOF)) {
				t.Errorf("%s: %v", sig.Name, err)
			}
		}
	}
	ones := Env{Rand: repeat(0xff), Now: testTime}
	if _, err := New("ecdsa", nil, ones); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a source that never gives a usable number: %v", err)
	}
}

type repeat byte

func (r repeat) Read(b []byte) (int, error) {
	copy(b, bytes.Repeat([]byte{byte(r)}, len(b)))
	return len(b), nil
}

// The same randomness gives the same value, wherever the libraries allow it,
// and other randomness another.
func TestDeterministic(t *testing.T) {
	for _, c := range []struct {
		name string
		p    params
	}{
		{"random_password", nil},
		{"random_uuid", nil},
		{"random_uuid", params{"version": 7}},
		{"random_hex", nil},
		{"random_base64", nil},
		{"random_bytes", nil},
		{"random_passphrase", params{"number": true}},
		{"ed25519", nil},
		{"ed25519", params{"format": "jwk"}},
		{"ecdsa", params{"curve": "p521"}},
		{"self_signed_cert", params{"common_name": "a", "key": "ed25519"}},
	} {
		a, b, other := mustNew(t, seeded(1), c.name, c.p), mustNew(t, seeded(1), c.name, c.p), mustNew(t, seeded(2), c.name, c.p)
		if a != b {
			t.Errorf("%s%v: two values from one seed", c.name, c.p)
		}
		if a == other {
			t.Errorf("%s%v: one value from two seeds", c.name, c.p)
		}
	}
}

// Errors hold nothing of a value that a function cannot take.
func TestErrorsHoldNoValue(t *testing.T) {
	const canary = "c4n4ry-V4lue-7Qx"
	keys := []string{
		canary, "\xff" + canary, strings.Repeat(canary, 8), canary + "\x00",
		"{" + canary, `{"d":"` + canary + `"}`, `{"kty":"EC","crv":"P-256","d":"` + canary + `"}`,
		`{"kty":"` + canary + `","d":"AAAA"}`, `{"kty":"OKP","crv":"` + canary + `","d":"AAAA"}`,
		"-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n",
		"-----BEGIN " + canary + " PRIVATE KEY-----\nAAAA\n-----END " + canary + " PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\n" + canary + ": x\n\nAAAA\n-----END PRIVATE KEY-----\n",
	}
	tried := 0
	for name := range derivers() {
		for _, value := range keys {
			args := []string{value}
			if name == "htpasswd" || name == "join" {
				args = []string{"u", value}
			}
			choices := []params{nil}
			switch name {
			case "bcrypt", "htpasswd":
				choices = []params{{"cost": 10}}
			case "public_key":
				choices = []params{nil, {"format": "raw"}, {"format": "jwk"}, {"raw_key": "ed25519"}}
			}
			for _, p := range choices {
				_, err := derive(name, p, args...)
				if err == nil {
					continue
				}
				tried++
				for i := 0; i+6 <= len(canary); i++ {
					if piece := canary[i : i+6]; strings.Contains(err.Error(), piece) {
						t.Errorf("%s: the error holds %q of the value: %v", name, piece, err)
					}
				}
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d calls failed: this test tests little", tried)
	}
}

func ExampleNew() {
	env := seeded(1) // crypto/rand.Reader and time.Now() in the program
	v, err := New("random_hex", map[string]any{"bytes": 64}, env)
	fmt.Println(v, err)
	// Output: (sensitive) <nil>
}
