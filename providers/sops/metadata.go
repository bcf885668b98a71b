package sops

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// formatVersion is the sops release whose layout new files have.
const formatVersion = "3.13.3"

// defaultUnencryptedSuffix is the rule of a file that names none.
const defaultUnencryptedSuffix = "_unencrypted"

// metadata is the clear part of a file: who can open it and what is encrypted.
type metadata struct {
	age []stanza
	// foreign are the master keys of other kinds, which this package shows and
	// keeps but cannot use: "pgp:FINGERPRINT", "kms:ARN".
	foreign []stanza
	// groups counts the entries of key_groups; 0 where the keys stand at the top.
	groups       int
	lastModified string // as the MAC's additional data has it
	mac          string
	rules        rules
	// envelope identifies the wrapped data key: it changes with the data key
	// and with the recipients.
	envelope string
}

// stanza is the data key wrapped for one master key.
type stanza struct {
	recipient string
	enc       string
}

// foreignKinds says how a master key that is not age is named: by the fields
// of its metadata entry (stores/stores.go of sops), in the form that the
// configuration of sops has.
var foreignKinds = []struct {
	kind   string
	fields []string
	form   string
}{
	{"pgp", []string{"fp"}, "%s"},
	{"kms", []string{"arn"}, "%s"},
	{"gcp_kms", []string{"resource_id"}, "%s"},
	{"hckms", []string{"key_id"}, "%s"},
	{"azure_kv", []string{"vault_url", "name", "version"}, "%s/keys/%s/%s"},
	{"hc_vault", []string{"vault_address", "engine_path", "key_name"}, "%s/v1/%s/keys/%s"},
}

// isForeign reports whether a recipient is a master key of another kind.
func isForeign(recipient string) bool {
	for _, k := range foreignKinds {
		if strings.HasPrefix(recipient, k.kind+":") {
			return true
		}
	}
	return false
}

// decodeMetadata reads the sops block: maps, lists and the text of scalars.
func decodeMetadata(tree map[string]any) (metadata, error) {
	var m metadata
	m.collect(tree)
	if len(m.age)+len(m.foreign) == 0 {
		groups, _ := tree["key_groups"].([]any)
		m.groups = len(groups)
		for _, g := range groups {
			if group, ok := g.(map[string]any); ok {
				m.collect(group)
			}
		}
	}
	if len(m.age)+len(m.foreign) == 0 {
		return m, errors.New("the sops metadata names no key")
	}
	modified, err := time.Parse(time.RFC3339, textOf(tree, "lastmodified"))
	if err != nil {
		return m, errors.New("the sops metadata has no lastmodified time")
	}
	m.lastModified = modified.Format(time.RFC3339)
	if m.mac = textOf(tree, "mac"); !isSealed(m.mac) {
		return m, errors.New("the sops metadata has no mac")
	}
	m.envelope = m.envelopeDigest()
	m.rules, err = decodeRules(tree)
	return m, err
}

func (m *metadata) collect(tree map[string]any) {
	for _, entry := range entriesOf(tree, "age") {
		m.age = append(m.age, stanza{strings.TrimSpace(textOf(entry, "recipient")), textOf(entry, "enc")})
	}
	for _, k := range foreignKinds {
		for _, entry := range entriesOf(tree, k.kind) {
			var parts []any
			for _, field := range k.fields {
				parts = append(parts, textOf(entry, field))
			}
			m.foreign = append(m.foreign, stanza{k.kind + ":" + fmt.Sprintf(k.form, parts...), textOf(entry, "enc")})
		}
	}
}

func entriesOf(tree map[string]any, name string) []map[string]any {
	list, _ := tree[name].([]any)
	var entries []map[string]any
	for _, item := range list {
		if entry, ok := item.(map[string]any); ok {
			entries = append(entries, entry)
		}
	}
	return entries
}

func textOf(tree map[string]any, name string) string {
	text, _ := tree[name].(string)
	return text
}

// recipients returns who can open the file, sorted, other kinds included.
func (m metadata) recipients() []string {
	var all []string
	for _, s := range slices.Concat(m.age, m.foreign) {
		all = append(all, s.recipient)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (m metadata) envelopeDigest() string {
	stanzas := slices.Concat(m.age, m.foreign)
	slices.SortFunc(stanzas, func(a, b stanza) int {
		return cmp.Or(strings.Compare(a.recipient, b.recipient), strings.Compare(a.enc, b.enc))
	})
	var parts []string
	for _, s := range stanzas {
		parts = append(parts, s.recipient, s.enc)
	}
	return digest(parts...)
}

// digest is a truncated SHA-256 over parts whose borders count.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var (
	errNoIdentity = errors.New("no identity at hand is a recipient of the file")
	errShamir     = errors.New("the data key is split over key groups (shamir_threshold), which coffer does not join")
)

// unwrap returns the data key.
func (m metadata) unwrap(identities []age.Identity) ([]byte, error) {
	if m.groups > 1 {
		return nil, errShamir
	}
	for _, s := range m.age {
		r, err := age.Decrypt(armor.NewReader(strings.NewReader(s.enc)), identities...)
		if err != nil {
			continue
		}
		key, err := io.ReadAll(io.LimitReader(r, keySize+1))
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("the data key for %s is damaged", s.recipient)
		}
		return key, nil
	}
	return nil, errNoIdentity
}

// wrap encrypts the data key for one recipient.
func wrap(recipient string, key []byte) (stanza, error) {
	r, err := parseRecipient(recipient)
	if err != nil {
		return stanza{}, err
	}
	var b bytes.Buffer
	armored := armor.NewWriter(&b)
	w, err := age.Encrypt(armored, r)
	if err != nil {
		return stanza{}, fmt.Errorf("wrap the data key for %s: %w", recipient, err)
	}
	_, err = w.Write(key)
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		return stanza{}, fmt.Errorf("wrap the data key for %s: %w", recipient, err)
	}
	return stanza{recipient, b.String()}, nil
}

// wrapAll encrypts the data key for each recipient.
func wrapAll(recipients []string, key []byte) ([]stanza, error) {
	var stanzas []stanza
	for _, recipient := range recipients {
		s, err := wrap(recipient, key)
		if err != nil {
			return nil, err
		}
		stanzas = append(stanzas, s)
	}
	return stanzas, nil
}

// rules say which values of a file are encrypted. At most one is set.
type rules struct {
	unencryptedSuffix, encryptedSuffix string
	unencryptedRegex, encryptedRegex   *regexp.Regexp
	comments                           string // name of a rule over comments
	macOnlyEncrypted                   bool
}

func decodeRules(tree map[string]any) (rules, error) {
	var r rules
	var err error
	set := 0
	for _, name := range []string{
		"unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex",
		"unencrypted_comment_regex", "encrypted_comment_regex",
	} {
		text := textOf(tree, name)
		if text == "" {
			continue
		}
		set++
		switch name {
		case "unencrypted_suffix":
			r.unencryptedSuffix = text
		case "encrypted_suffix":
			r.encryptedSuffix = text
		case "unencrypted_regex":
			r.unencryptedRegex, err = regexp.Compile(text)
		case "encrypted_regex":
			r.encryptedRegex, err = regexp.Compile(text)
		default:
			r.comments = name
		}
		if err != nil {
			return r, fmt.Errorf("%s of the sops metadata is not a regular expression", name)
		}
	}
	if set > 1 {
		return r, errors.New("the sops metadata has more than one rule for what is encrypted")
	}
	if set == 0 {
		r.unencryptedSuffix = defaultUnencryptedSuffix
	}
	r.macOnlyEncrypted = textOf(tree, "mac_only_encrypted") == "true"
	return r, nil
}

// supported refuses what this package can neither read nor write.
func (r rules) supported() error {
	if r.comments != "" {
		return fmt.Errorf("the file decides by %s what is encrypted, which coffer does not support; use the sops tool for this file", r.comments)
	}
	return nil
}

// encrypted reports whether a scalar at path is encrypted.
func (r rules) encrypted(path []string) bool {
	matches := func(match func(string) bool) bool { return slices.ContainsFunc(path, match) }
	switch {
	case r.unencryptedSuffix != "":
		return !matches(func(key string) bool { return strings.HasSuffix(key, r.unencryptedSuffix) })
	case r.encryptedSuffix != "":
		return matches(func(key string) bool { return strings.HasSuffix(key, r.encryptedSuffix) })
	case r.unencryptedRegex != nil:
		return !matches(r.unencryptedRegex.MatchString)
	case r.encryptedRegex != nil:
		return matches(r.encryptedRegex.MatchString)
	}
	return true
}

// fields returns the rules as metadata lines, by name.
func (r rules) fields() map[string]string {
	lines := map[string]string{}
	add := func(name, text string) {
		if text != "" {
			lines[name] = text
		}
	}
	add("unencrypted_suffix", r.unencryptedSuffix)
	add("encrypted_suffix", r.encryptedSuffix)
	if r.unencryptedRegex != nil {
		add("unencrypted_regex", r.unencryptedRegex.String())
	}
	if r.encryptedRegex != nil {
		add("encrypted_regex", r.encryptedRegex.String())
	}
	if r.macOnlyEncrypted {
		add("mac_only_encrypted", "true")
	}
	return lines
}
