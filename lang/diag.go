package lang

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// diagnostics gathers what Load has to say. The same problem found at one
// place in several environments is one diagnostic.
type diagnostics struct {
	list    []*finding
	seen    map[findingKey]*finding
	dropped int // found after maxFindings
	found   int // times that something was, the same again included
}

// maxFindings is how many problems are kept: enough for everybody who reads
// them, and little work where a hostile file has a hundred thousand.
const maxFindings = 500

func (d *diagnostics) full() bool { return len(d.list) >= maxFindings }

type finding struct {
	diag *hcl.Diagnostic
	// in lists the environments it was found in, of all those the block is in;
	// both empty for what does not depend on one.
	in, of []string
}

type findingKey struct {
	severity hcl.DiagnosticSeverity
	summary  string
	subject  hcl.Range
}

func (d *diagnostics) add(diags ...*hcl.Diagnostic) {
	for _, diag := range diags {
		d.addIn("", nil, diag)
	}
}

// addIn adds a diagnostic found while evaluating for environment env, one of
// those in of.
func (d *diagnostics) addIn(env string, of []string, diag *hcl.Diagnostic) {
	d.found++
	key := findingKey{severity: diag.Severity, summary: diag.Summary}
	if diag.Subject != nil {
		key.subject = *diag.Subject
	} else {
		key.summary += diag.Detail
	}
	f := d.seen[key]
	if f == nil && d.full() && d.hasErrors() {
		d.dropped++
		return
	}
	if f == nil {
		f = &finding{diag: diag, of: of}
		d.list = append(d.list, f)
		if d.seen == nil {
			d.seen = map[findingKey]*finding{}
		}
		d.seen[key] = f
	}
	if env != "" && !slices.Contains(f.in, env) {
		f.in = append(f.in, env)
	}
}

func (d *diagnostics) hasErrors() bool {
	return slices.ContainsFunc(d.list, func(f *finding) bool { return f.diag.Severity == hcl.DiagError })
}

// sorted returns what was gathered in order of file and place.
func (d *diagnostics) sorted() hcl.Diagnostics {
	var out hcl.Diagnostics
	for _, f := range d.list {
		diag := *f.diag
		if len(f.in) > 0 && len(f.in) < len(f.of) {
			slices.Sort(f.in)
			diag.Detail += fmt.Sprintf(" (In %s only.)", environmentList(f.in))
		}
		out = append(out, &diag)
	}
	if d.dropped > 0 {
		out = append(out, unplaced("Too many problems", "There are more than these %d. Mend them and look again.", maxFindings))
	}
	slices.SortStableFunc(out, func(a, b *hcl.Diagnostic) int {
		x, y := subjectOf(a), subjectOf(b)
		return cmp.Or(strings.Compare(x.Filename, y.Filename), cmp.Compare(x.Start.Byte, y.Start.Byte),
			cmp.Compare(a.Severity, b.Severity), strings.Compare(a.Summary, b.Summary), strings.Compare(a.Detail, b.Detail))
	})
	return out
}

func subjectOf(d *hcl.Diagnostic) hcl.Range {
	if d.Subject == nil {
		return hcl.Range{}
	}
	return *d.Subject
}

func environmentList(names []string) string {
	if len(names) == 1 {
		return "environment " + names[0]
	}
	return "environments " + wordList(names)
}

func errorAt(rng hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &rng}
}

// WrittenSecret is the Extra of a diagnostic about a secret that is written in
// the configuration itself: whoever prints it does not print that place.
type WrittenSecret struct{}

// HidesSource is asked by whoever prints source text.
func (WrittenSecret) HidesSource() bool { return true }

// writtenSecret is errorAt for a place that holds a secret.
func writtenSecret(rng hcl.Range, format string, args ...any) *hcl.Diagnostic {
	d := errorAt(rng, "A secret written in the configuration", format, args...)
	d.Extra = WrittenSecret{}
	return d
}

func warningAt(rng hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	d := errorAt(rng, summary, format, args...)
	d.Severity = hcl.DiagWarning
	return d
}

// unplaced is an error about no place in a file.
func unplaced(summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...)}
}

// didYouMean returns " Did you mean X?" or, where nothing is near and there are
// few, what there is.
func didYouMean(name string, candidates []string) string {
	if s := suggest(name, candidates); s != "" {
		return fmt.Sprintf(" Did you mean %s?", s)
	}
	switch {
	case len(candidates) == 0 || len(candidates) > 15:
		return ""
	case len(candidates) == 1:
		return fmt.Sprintf(" There is only %s.", candidates[0])
	}
	return fmt.Sprintf(" There are %s.", wordList(candidates))
}

// wordList joins words for a sentence: "a, b and c".
func wordList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// oneOf puts the indefinite article before a word.
func oneOf(word string) string {
	if strings.ContainsAny(word[:1], "aeiou") {
		return "an " + word
	}
	return "a " + word
}

// explainSingleLine says how to write a single-line block that holds more than
// the one argument that HCL allows there.
func explainSingleLine(d *hcl.Diagnostic, src []byte) {
	if d.Summary != "Invalid single-argument block definition" || d.Subject == nil {
		return
	}
	d.Summary = "Two arguments on one line"
	d.Detail = "A block on one line holds one argument. Give each argument a line of its own"
	if example := onSeveralLines(lineAt(src, d.Subject.Start.Byte)); example != "" {
		d.Detail += ":\n\n" + example
	} else {
		d.Detail += ", and the closing brace too."
	}
}

func lineAt(src []byte, at int) []byte {
	at = min(at, len(src))
	start, end := at, at
	for start > 0 && src[start-1] != '\n' {
		start--
	}
	for end < len(src) && src[end] != '\n' {
		end++
	}
	return src[start:end]
}

// onSeveralLines rewrites `name "label" { a = 1 b = 2 }`; "" where it cannot.
func onSeveralLines(line []byte) string {
	if len(line) > 200 {
		return ""
	}
	tokens, diags := hclsyntax.LexConfig(line, "", hcl.InitialPos)
	if diags.HasErrors() {
		return ""
	}
	var b strings.Builder
	depth := 0
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
			if depth == 0 {
				b.WriteString("\n")
			}
		case hclsyntax.TokenComma:
			if depth == 1 {
				continue
			}
		case hclsyntax.TokenIdent:
			if depth == 1 && i+1 < len(tokens) && tokens[i+1].Type == hclsyntax.TokenEqual {
				b.WriteString("\n")
			}
		}
		if i > 0 && t.Range.Start.Byte > tokens[i-1].Range.End.Byte {
			b.WriteString(" ")
		}
		b.Write(t.Bytes)
	}
	if depth != 0 {
		return ""
	}
	return strings.TrimSpace(string(hclwrite.Format([]byte(b.String()))))
}
