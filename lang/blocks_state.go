package lang

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Backend says where the state is kept, other than in a file here. Its
// arguments are decoded by whoever knows the backend.
type Backend struct {
	Type  string
	Range hcl.Range

	body providerBody
}

// Decode fills into as [Provider.Decode] does.
func (b *Backend) Decode(into any) hcl.Diagnostics {
	d := &providerDecoder{provider: b.Type}
	d.body(b.body, into, bodyName{text: `The backend "` + b.Type + `"`, at: b.Range})
	return d.diags
}

// Encryption is one way in which the state is encrypted, or was.
type Encryption struct {
	Method string // "age", "vault_transit", or "none": as it is
	// Fallback: it opens what was written before, and nothing new is written so.
	Fallback bool
	// Provider is the reference of the provider that has the key, for the methods
	// whose key is a provider's.
	Provider string
	Range    hcl.Range

	body providerBody
}

// Decode fills into as [Provider.Decode] does.
func (e *Encryption) Decode(into any, credential func(*Source) any) hcl.Diagnostics {
	d := &providerDecoder{provider: e.Method, credential: credential}
	d.credentialIs(credential)
	d.body(e.body, into, bodyName{text: `The encryption "` + e.Method + `"`, at: e.Range, also: []string{"fallback"}})
	return d.diags
}

// loadBackend reads the backend block, but for the arguments of a remote one.
func (l *loader) loadBackend(block *hclsyntax.Block) {
	labels, ok := l.labels(block, "TYPE")
	if !ok {
		return
	}
	typ, known := labels[0], slices.Concat([]string{"local"}, l.opts.BackendTypes)
	if !slices.Contains(known, typ) {
		l.diags.add(errorAt(block.LabelRanges[0], "Unknown backend", "There is no backend %q.%s", typ, didYouMean(typ, known)))
		return
	}
	if typ != "local" {
		l.cfg.Settings.Backend = &Backend{Type: typ, Range: block.DefRange()}
		return
	}
	b := l.content(block.Body, schema{what: `backend "local" block`, arguments: []string{"path"}})
	if attr := b.arguments["path"]; attr != nil {
		if path := l.literalText(attr); path != "" {
			l.cfg.Settings.StatePath = path
		}
	}
}

// loadStateKeeping evaluates what of the coffer block may use variables: where
// the state is kept, and how it is encrypted.
func (l *loader) loadStateKeeping() {
	blocks := l.blocks["coffer"]
	if len(blocks) == 0 {
		return
	}
	s := l.global()
	for _, inner := range blocks[0].Body.Blocks {
		switch inner.Type {
		case "backend":
			if b := l.cfg.Settings.Backend; b != nil && b.Range == inner.DefRange() {
				b.body = s.providerBody(inner.Body, usage{
					what: "an argument of a backend",
					flow: "A backend takes its credentials from where its platform keeps them.",
				})
			}
		case "encryption":
			if e := s.encryption(inner); e != nil {
				l.cfg.Settings.Encryption = append(l.cfg.Settings.Encryption, e)
			}
		}
	}
	l.checkEncryption()
}

// encryptionMethods are the methods by whether a provider has the key.
var encryptionMethods = map[string]bool{"age": false, "none": false, "vault_transit": true}

func (s *scope) encryption(block *hclsyntax.Block) *Encryption {
	labels, ok := s.l.labels(block, "METHOD")
	if !ok {
		return nil
	}
	e := &Encryption{Method: labels[0], Range: block.DefRange()}
	provided, known := encryptionMethods[e.Method]
	if !known {
		s.report(errorAt(block.LabelRanges[0], "Unknown encryption", "There is no encryption %q.%s", e.Method, didYouMean(e.Method, sortedKeys(encryptionMethods))))
		return nil
	}
	u := usage{what: "an argument of an encryption"}
	but := []string{"fallback"}
	if attr := block.Body.Attributes["fallback"]; attr != nil {
		e.Fallback = s.boolean(attr, false, u)
	}
	if provided {
		but = append(but, "provider")
		if attr := block.Body.Attributes["provider"]; attr != nil {
			e.Provider = s.providerRef(attr.Expr, u)
		} else {
			s.report(missing(block, "provider", "the provider block that has the key, for example provider = vault"))
		}
	}
	u.credentials = true
	u.flow = "A key comes from from_env(), from_file(), from_dotenv() or from_sops()."
	e.body = s.providerBody(block.Body, u, but...)
	return e
}

// checkEncryption: one method writes, and a file that is committed to git stays
// one that git can merge.
func (l *loader) checkEncryption() {
	var writes *Encryption
	for _, e := range l.cfg.Settings.Encryption {
		switch {
		case l.cfg.Settings.Backend == nil:
			l.diags.add(errorAt(e.Range, "Encryption of a local state", "A state in a file is committed to git, which merges it entry by entry: that takes clear text, and it holds no value. "+
				`Keep the state in a backend "s3", "gcs", "azblob", "kubernetes" or "postgres" to encrypt it.`))
			return
		case e.Fallback:
		case writes != nil:
			l.diags.add(errorAt(e.Range, "Two ways to encrypt", "The state is written in one way; the first is at %s. Where this is the way of before, say so: fallback = true.", place(writes.Range)))
		default:
			writes = e
		}
	}
	if all := l.cfg.Settings.Encryption; len(all) > 0 && writes == nil {
		l.diags.add(errorAt(all[0].Range, "Nothing to write with", `Every encryption block is a fallback, which only opens. Add the one to write with, or encryption "none" {} to write the state as it is.`))
	}
}
