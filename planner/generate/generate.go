// Package generate makes secret values: new ones, with the generators of the
// language, and derived ones, computed from values that exist. What can be
// called and with which parameters is said by [lang.Generators] and
// [lang.DerivedFunctions]; this package holds what the functions do.
//
// It knows no store, no state and no plan, and keeps no value. No error of it
// holds any part of a value. Read [New] and [Derive].
package generate

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers/secret"
)

// Env is what making a value needs from outside.
type Env struct {
	// Rand is the source of randomness: crypto/rand.Reader in the program.
	// Two things never read it, because the libraries insist on the system's
	// own source: the primes of an RSA key (crypto/rsa since Go 1.26), and
	// salts, check numbers and ECDSA signatures (x/crypto/bcrypt,
	// x/crypto/ssh, crypto/ecdsa).
	Rand io.Reader
	// Now is when a certificate or a UUID of version 7 is made.
	Now time.Time
	// Counts is shared by the values of one run; nil works and is slower.
	Counts *Counts
}

// New makes a new value with the generator called name. params are the
// parameters as they are written, int, bool, string or []string by name; the
// rest takes the defaults of [lang.Generators]. Two calls never share
// randomness. Errors: an unknown name, parameters that [lang.Signature.Check]
// refuses, a source of randomness that fails.
func New(name string, params map[string]any, env Env) (secret.Value, error) {
	sig, ok := find(lang.Generators(), name)
	generator := generators()[name]
	if !ok || generator == nil {
		return secret.Value{}, fmt.Errorf("no generator is called %q", name)
	}
	if err := sig.Check(params); err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", name, err)
	}
	value, err := generator(sig.Resolve(params), env)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", name, err)
	}
	return secret.New(value), nil
}

// Derive computes the value of the derived function called name. plain are its
// leading plain-text arguments, args the secret ones, keys the key of each
// argument where they are written as an object (jsonencode), params as in
// [New]. All functions but bcrypt and htpasswd give the same result for the
// same arguments, whatever the Env; those two draw a salt, see [Env]. Errors: a call that the signature does
// not allow, an argument without a value, a value the function cannot take.
func Derive(name string, plain, keys []string, args []secret.Value, params map[string]any, _ Env) (secret.Value, error) {
	sig, ok := find(lang.DerivedFunctions(), name)
	derive := derivers()[name]
	if !ok || derive == nil {
		return secret.Value{}, fmt.Errorf("no derived function is called %q", name)
	}
	c, err := checkCall(sig, plain, keys, args, params)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", name, err)
	}
	value, err := derive(c)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", name, err)
	}
	return secret.New(value), nil
}

// call is one call of a derived function, checked against its signature.
type call struct {
	plain, keys []string
	args        [][]byte
	params      resolved
}

func checkCall(sig lang.Signature, plain, keys []string, args []secret.Value, params map[string]any) (call, error) {
	if len(args) < sig.MinArgs || (sig.MaxArgs >= 0 && len(args) > sig.MaxArgs) {
		return call{}, errors.New("wrong number of arguments")
	}
	if keys != nil && (sig.Name != "jsonencode" || len(keys) != len(args)) {
		return call{}, errors.New("keys do not fit the arguments")
	}
	if err := sig.CheckPlain(plain); err != nil {
		return call{}, err
	}
	if err := sig.Check(params); err != nil {
		return call{}, err
	}
	c := call{plain: plain, keys: keys, params: sig.Resolve(params)}
	for i, arg := range args {
		b, err := plaintext(arg)
		if err != nil {
			return call{}, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, b)
	}
	return c, nil
}

func plaintext(v secret.Value) ([]byte, error) {
	if v.IsZero() {
		return nil, errors.New("there is no value yet")
	}
	var held []byte
	err := v.Expose(func(b []byte) error {
		held = append([]byte{}, b...)
		return nil
	})
	return held, err
}

func find(all []lang.Signature, name string) (lang.Signature, bool) {
	for _, sig := range all {
		if sig.Name == name {
			return sig, true
		}
	}
	return lang.Signature{}, false
}

// resolved holds parameters that Check has passed, each of its type.
type resolved map[string]any

func (r resolved) int(name string) int          { return r[name].(int) }
func (r resolved) bool(name string) bool        { return r[name].(bool) }
func (r resolved) string(name string) string    { return r[name].(string) }
func (r resolved) strings(name string) []string { return r[name].([]string) }

// generators and derivers hold what each signature of lang does.

func generators() map[string]func(resolved, Env) ([]byte, error) {
	return map[string]func(resolved, Env) ([]byte, error){
		"random_password":   password,
		"random_uuid":       uuid,
		"random_hex":        randomHex,
		"random_base64":     randomBase64,
		"random_bytes":      randomBytes,
		"random_passphrase": passphrase,
		"ed25519":           ed25519Key,
		"ecdsa":             ecdsaKey,
		"rsa":               rsaKey,
		"ssh_key":           sshKey,
		"self_signed_cert":  selfSigned,
	}
}

func derivers() map[string]func(call) ([]byte, error) {
	return map[string]func(call) ([]byte, error){
		"bcrypt":       bcryptHash,
		"htpasswd":     htpasswd,
		"base64encode": base64Encode,
		"hexencode":    hexEncode,
		"urlencode":    urlEncode,
		"join":         join,
		"trimspace":    trimSpace,
		"jsonencode":   jsonEncode,
		"sha256":       sha256Hex,
		"public_key":   publicKey,
		"certificate":  certificate,
		"private_key":  privateKey,
	}
}
