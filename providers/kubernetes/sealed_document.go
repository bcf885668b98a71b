package kubernetes

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/sealing"
	"github.com/cofferhq/coffer/providers/secret"
)

// This file is the manifest of a SealedSecret, as a cluster or a file has it. The
// values in it are ciphertexts, so that their digest tells nothing.

const (
	// sealedAnnotations begins those by which the controller knows the scope.
	sealedAnnotations = "sealedsecrets.bitnami.com/"

	keyEnvelope = prefix + "envelope" // see [sealing.Key.Envelope]
	keySealed   = prefix + "sealed"   // a digest of the ciphertexts that the operation left
)

func (d Document) sealed() bool { return d.word("kind") == sealedKind.resource.kind }

// NewSealedSecret starts the manifest of a SealedSecret without values.
func NewSealedSecret(namespace, name string) Document {
	d := newDocument(strings.Join(sealedKind.resource.root[1:], "/"), sealedKind.resource.kind, namespace, name)
	d["spec"] = map[string]any{
		"encryptedData": map[string]any{},
		"template":      map[string]any{"metadata": map[string]any{"name": name, "namespace": namespace}},
	}
	return d
}

// scope is what the controller goes by; "" is the strict one.
func (d Document) scope() string {
	annotations := d.text("metadata", "annotations")
	for _, s := range []sealing.Scope{sealing.ClusterWide, sealing.NamespaceWide} { // in the controller's order
		if annotations[s.Annotation()] == "true" {
			return string(s)
		}
	}
	return ""
}

// digest is one of the ciphertexts.
func (d Document) digest() string {
	sealed := d.text("spec", "encryptedData")
	h := sha256.New()
	for _, name := range sortedKeys(sealed) {
		fmt.Fprintf(h, "%q %q ", name, sealed[name])
	}
	fmt.Fprintf(h, "%q", d.word("spec", "data")) // of the controller's first form
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// untouched reports whether the ciphertexts are those that an operation left.
func (d Document) untouched() bool { return d.word("metadata", "annotations", keySealed) == d.digest() }

// SealedVersion is a digest of the ciphertexts, and of the uid where a cluster
// gave one.
func (d Document) SealedVersion() string {
	uid := d.word("metadata", "uid")
	if uid == "" {
		return d.digest()
	}
	sum := sha256.Sum256([]byte(uid + " " + d.digest()))
	return hex.EncodeToString(sum[:10])
}

// SealedMeta returns what the contract wants to know of a SealedSecret.
func (d Document) SealedMeta() providers.Meta {
	m := providers.Meta{
		Version: d.SealedVersion(), Attributes: d.Attributes(),
		Fields: Fields(sortedKeys(d.text("spec", "encryptedData"))),
	}
	if d.untouched() {
		m.OpID, m.Envelope = d.Operation(), d.word("metadata", "annotations", keyEnvelope)
	}
	return m
}

// Seal is a change of a SealedSecret.
type Seal struct {
	Key   *sealing.Key
	Set   map[string]string // ciphertexts by field, from [SealValue]
	Drop  []string
	Whole bool // Set is all there is
	OpID  string

	Attributes providers.Attributes
}

// SealValue encrypts the fields of a value for a place. Errors are
// [providers.Invalid].
func SealValue(key *sealing.Key, v secret.Value, f providers.Form, namespace, name string) (map[string]string, error) {
	fields := map[string]secret.Value{keyValue: v}
	if v.IsObject() {
		fields = map[string]secret.Value{}
		for _, n := range v.Names() {
			fields[n], _ = v.Field(n)
		}
	}
	out := make(map[string]string, len(fields))
	for n, field := range fields {
		if err := checkKey(n); err != nil {
			return nil, err
		}
		sealed, err := key.Seal(field, sealing.Scope(f.Scope), namespace, name)
		if err != nil {
			return nil, providers.Errorf(providers.Invalid, "the field %.80q cannot be sealed: %w", n, err)
		}
		out[n] = sealed
	}
	return out, nil
}

// Seal makes a change. What is not in it keeps its ciphertext byte for byte: that
// has to be of the same scope, since the controller opens all or nothing. Errors
// are [providers.Invalid].
func (d Document) Seal(c Seal) error {
	before, envelope, untouched := d.text("spec", "encryptedData"), d.word("metadata", "annotations", keyEnvelope), d.untouched()
	scope := c.Attributes.Form.Scope
	if scope == string(sealing.Strict) {
		scope = ""
	}
	kept := []string{}
	for _, n := range sortedKeys(before) {
		_, set := c.Set[n]
		switch {
		case c.Whole || slices.Contains(c.Drop, n) && !set:
			d.set(nil, "spec", "encryptedData", n)
		case !set:
			kept = append(kept, n)
		}
	}
	if len(kept) > 0 && d.scope() != scope {
		return providers.Errorf(providers.Invalid, "%s is sealed for the scope %s, and would be unreadable beside what is sealed for %s", strings.Join(kept, ", "),
			cmp.Or(d.scope(), string(sealing.Strict)), cmp.Or(scope, string(sealing.Strict))).
			WithHint("nobody but the controller can read it: take it out by hand, or declare it too")
	}
	for n, sealed := range c.Set {
		d.set(sealed, "spec", "encryptedData", n)
	}
	if d.below("spec", "encryptedData") == nil {
		d.set(map[string]any{}, "spec", "encryptedData")
	}
	if err := d.SetAttributes(c.Attributes); err != nil {
		return err
	}
	for _, s := range sealing.Scopes() {
		if name := s.Annotation(); name != "" {
			var v any
			if string(s) == scope {
				v = "true"
			}
			d.set(v, "metadata", "annotations", name)
		}
	}
	switch {
	case len(kept) == 0:
		envelope = c.Key.Envelope(sealing.Scope(scope))
	case !untouched: // nobody knows the key of what is kept
		envelope = ""
	}
	d.SetOperation(c.OpID)
	d.Note(strings.TrimPrefix(keyEnvelope, prefix), envelope)
	d.Note(strings.TrimPrefix(keySealed, prefix), d.digest())
	return nil
}
