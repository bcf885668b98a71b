// Package addr holds the two names everything stands on: an [Address], what
// the user calls a thing, and a [Location], where it is. Both are comparable
// values, so they serve as map keys, and both print in one canonical form.
//
// The package knows no configuration, no provider and no state.
package addr

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kinds of things that have an address: the first six inside an app, the
// others beside apps. Roles and mounts have a type.
const (
	KindSecret           = "secret"
	KindEnvFile          = "env_file"
	KindKubernetesSecret = "kubernetes_secret"
	KindSealedSecret     = "sealed_secret"
	KindExternalSecret   = "external_secret"
	KindPolicy           = "policy"
	KindPolicyDocument   = "policy_document"
	KindRole             = "role"
	KindMount            = "mount"
)

// Address is what the user calls a thing:
//
//	app.checkout                                     everything of an app
//	app.checkout.secret.db                           a secret in every environment
//	app.checkout.secret.db["production"]             one secret
//	app.checkout.secret.db["production"]@aws.eu      its copy on a replica
//	app.shop["eu"].secret.db["production"]           an app made by for_each
//	app.shop.secret.db["eu"]["production"]           a secret made by for_each
//	policy_document.ops                              a thing beside apps
//	role.approle.checkout                            one of a type
//	provider.sops.recipients["prod/shop.yaml"]       an object made for a provider
//
// The zero Address contains everything.
type Address struct {
	Provider string // provider reference; set only for an object made for a provider
	App      string
	AppKey   string // for_each key of the app
	Kind     string // "secret", "env_file", "policy", …; "" for the app itself
	Type     string // of a thing beside apps whose block has two labels
	Name     string
	Key      string // for_each key of the thing; for a provider's object its path
	// Environment is empty for an address that stands for all environments.
	Environment string
	Store       string // provider reference of the copy; "" for the primary
}

// Secret returns the address of an app's secret in one environment.
func Secret(app, environment, name string) Address {
	return Address{App: app, Kind: KindSecret, Name: name, Environment: environment}
}

// App returns the address of everything below an app.
func App(name string) Address { return Address{App: name} }

// ProviderObject returns the address of an object that belongs to a provider
// and to no single app, such as the recipients of one sops file.
func ProviderObject(provider, kind, path string) Address {
	return Address{Provider: provider, Kind: kind, Key: path}
}

// Beside returns the address of a thing that stands beside apps; typ is "" where
// its block has one label.
func Beside(kind, typ, name string) Address { return Address{Kind: kind, Type: typ, Name: name} }

// At returns the address of the copy on store; "" is the primary.
func (a Address) At(store string) Address { a.Store = store; return a }

// Primary returns the address without its store.
func (a Address) Primary() Address { a.Store = ""; return a }

// In returns the address in one environment.
func (a Address) In(environment string) Address { a.Environment = environment; return a }

// IsZero reports whether a is the zero Address.
func (a Address) IsZero() bool { return a == Address{} }

// String returns the canonical form, which [Parse] reads back.
func (a Address) String() string {
	var b strings.Builder
	b.Grow(64)
	switch {
	case a.Provider != "":
		b.WriteString("provider." + a.Provider)
		if a.Kind != "" {
			b.WriteString("." + a.Kind)
		}
	case a.App != "":
		b.WriteString("app." + a.App)
		writeKey(&b, a.AppKey)
		if a.Kind != "" {
			b.WriteString("." + a.Kind + "." + a.Name)
		}
	case a.Kind != "":
		b.WriteString(a.Kind + ".")
		if a.Type != "" {
			b.WriteString(a.Type + ".")
		}
		b.WriteString(a.Name)
	}
	writeKey(&b, a.Key)
	writeKey(&b, a.Environment)
	if a.Store != "" {
		b.WriteString("@" + a.Store)
	}
	return b.String()
}

func writeKey(b *strings.Builder, key string) {
	if key == "" {
		return
	}
	b.WriteString(`["`)
	for _, r := range key {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteString(`"]`)
}

// MarshalText makes an Address print as its canonical form in JSON; the zero
// Address is "".
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 { // of a note about everything; Parse takes it from nobody
		*a = Address{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// Contains reports whether b is a or lies below a. An address without an
// environment contains that thing in every environment, one without a store
// contains the primary and all copies, and an app contains all that is in it.
func (a Address) Contains(b Address) bool {
	part := func(x, y string) bool { return x == "" || x == y }
	return part(a.Provider, b.Provider) && part(a.App, b.App) && part(a.AppKey, b.AppKey) &&
		part(a.Kind, b.Kind) && part(a.Type, b.Type) && part(a.Name, b.Name) && part(a.Key, b.Key) &&
		part(a.Environment, b.Environment) && part(a.Store, b.Store)
}

// Compare orders addresses the way every output lists them.
func (a Address) Compare(b Address) int {
	return cmp.Or(
		strings.Compare(a.Provider, b.Provider),
		strings.Compare(a.App, b.App),
		strings.Compare(a.AppKey, b.AppKey),
		strings.Compare(a.Kind, b.Kind),
		strings.Compare(a.Type, b.Type),
		strings.Compare(a.Name, b.Name),
		strings.Compare(a.Key, b.Key),
		strings.Compare(a.Environment, b.Environment),
		strings.Compare(a.Store, b.Store),
	)
}

// Location is where a thing is. It is its identity: an alias or an address may
// be renamed without moving anything.
type Location struct {
	Provider string `json:"provider"` // the provider's own identity, see providers.Driver
	Kind     string `json:"kind"`     // "secret", or the kind of an object
	Path     string `json:"path"`
}

// String returns "provider kind path" for people; it is not parsed back.
func (l Location) String() string {
	return l.Provider + " " + l.Kind + " " + l.Path
}

// Compare orders locations by provider, kind and path.
func (l Location) Compare(m Location) int {
	return cmp.Or(
		strings.Compare(l.Provider, m.Provider),
		strings.Compare(l.Kind, m.Kind),
		strings.Compare(l.Path, m.Path),
	)
}

// ValidName reports whether s can name an app, a secret, an environment or a
// provider alias: a small letter, then up to 62 of [a-z0-9_-].
func ValidName(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Parse reads an address in the form [Address.String] writes. A prefix such as
// "app.checkout" is an address too. With two keys behind a name the first is
// the for_each key and the last the environment; one key is the environment.
func Parse(s string) (Address, error) {
	p := parser{rest: s}
	a, err := p.address()
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", s, err)
	}
	return a, nil
}

// example is shown where an address cannot be read.
const example = `'app.shop.secret.db["dev"]'`

type parser struct{ rest string }

func (p *parser) address() (Address, error) {
	head, err := p.word()
	if err != nil {
		return Address{}, err
	}
	var a Address
	switch head {
	case "app":
		err = p.inApp(&a)
	case "provider":
		return p.ofProvider()
	default:
		a.Kind = head
		err = p.besideApps(&a)
	}
	if err != nil {
		return Address{}, err
	}
	if a.Kind != "" {
		keys, err := p.keys(2)
		if err != nil {
			return Address{}, err
		}
		switch len(keys) {
		case 1:
			a.Environment = keys[0]
		case 2:
			a.Key, a.Environment = keys[0], keys[1]
		}
	}
	return a, p.store(&a)
}

func (p *parser) inApp(a *Address) error {
	if err := p.dotWord(&a.App); err != nil {
		return err
	}
	keys, err := p.keys(1)
	if err != nil {
		return err
	}
	if len(keys) == 1 {
		a.AppKey = keys[0]
	}
	if !strings.HasPrefix(p.rest, ".") {
		return nil
	}
	if err := p.dotWord(&a.Kind); err != nil {
		return err
	}
	return p.dotWord(&a.Name)
}

// besideApps reads KIND.NAME and KIND.TYPE.NAME, the kind being read.
func (p *parser) besideApps(a *Address) error {
	if err := p.dotWord(&a.Name); err != nil || !strings.HasPrefix(p.rest, ".") {
		return err
	}
	a.Type = a.Name
	return p.dotWord(&a.Name)
}

// ofProvider reads provider.REF[.KIND["PATH"]]; REF may hold an alias.
func (p *parser) ofProvider() (Address, error) {
	var a Address
	var words []string
	for strings.HasPrefix(p.rest, ".") {
		var w string
		if err := p.dotWord(&w); err != nil {
			return a, err
		}
		words = append(words, w)
	}
	keys, err := p.keys(1)
	if err != nil {
		return a, err
	}
	if len(keys) == 1 {
		a.Key = keys[0]
		if len(words) < 2 {
			return a, fmt.Errorf(`want provider.NAME.KIND["PATH"]`)
		}
		a.Kind = words[len(words)-1]
		words = words[:len(words)-1]
	}
	if len(words) == 0 || len(words) > 2 {
		return a, fmt.Errorf(`want provider.NAME or provider.NAME.KIND["PATH"]`)
	}
	a.Provider = strings.Join(words, ".")
	return a, p.end()
}

func (p *parser) store(a *Address) error {
	if !strings.HasPrefix(p.rest, "@") {
		return p.end()
	}
	p.rest = p.rest[1:]
	first, err := p.word()
	if err != nil {
		return err
	}
	a.Store = first
	if strings.HasPrefix(p.rest, ".") {
		var alias string
		if err := p.dotWord(&alias); err != nil {
			return err
		}
		a.Store += "." + alias
	}
	return p.end()
}

func (p *parser) end() error {
	if p.rest != "" {
		return fmt.Errorf("unexpected %q", p.rest)
	}
	return nil
}

func (p *parser) word() (string, error) {
	n := 0
	for n < len(p.rest) && strings.IndexByte(".[@", p.rest[n]) < 0 {
		n++
	}
	w := p.rest[:n]
	if !ValidName(w) {
		return "", fmt.Errorf("%q is not a name: want a small letter, then up to 62 of a-z, 0-9, _ and -", w)
	}
	p.rest = p.rest[n:]
	return w, nil
}

func (p *parser) dotWord(into *string) error {
	if p.rest == "" {
		return fmt.Errorf("it ends where .NAME should follow; a whole one is %s", example)
	}
	if !strings.HasPrefix(p.rest, ".") {
		return fmt.Errorf("want .NAME at %q", p.rest)
	}
	p.rest = p.rest[1:]
	w, err := p.word()
	*into = w
	return err
}

func (p *parser) keys(most int) ([]string, error) {
	var keys []string
	for strings.HasPrefix(p.rest, "[") {
		if len(keys) == most {
			return nil, fmt.Errorf("too many keys at %q", p.rest)
		}
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (p *parser) key() (string, error) {
	s := p.rest
	if !strings.HasPrefix(s, `["`) {
		return "", fmt.Errorf(`want ["KEY"] at %q; a shell takes the quotes away unless the whole address is in single quotes: %s`, s, example)
	}
	var b strings.Builder
	for i := 2; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			if !strings.HasPrefix(s[i:], `"]`) || b.Len() == 0 || !utf8.ValidString(b.String()) {
				return "", fmt.Errorf(`want ["KEY"] at %q`, p.rest)
			}
			p.rest = s[i+2:]
			return b.String(), nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", fmt.Errorf("a key is not closed at %q", p.rest)
}
