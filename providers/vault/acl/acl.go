// Package acl reads and writes the policies of Vault and OpenBao and answers
// what they allow. It is pure: text in, text out, and it knows no server.
//
// Read [Rule] first, then [Parse] and [Set].
package acl

import (
	"slices"
	"strings"
	"time"
)

// Capabilities by the names that the servers use.
const (
	Create = "create"
	Read   = "read"
	Update = "update"
	Patch  = "patch"
	Delete = "delete"
	List   = "list"
	Scan   = "scan" // OpenBao only
	Sudo   = "sudo"
	Deny   = "deny"
)

// Rule is one path block of a policy.
type Rule struct {
	// Path as the policy writes it, with its wildcards and templates.
	Path string
	// Capabilities in order, those of the old `policy` argument among them; only
	// "deny" where that is one of them. Names that only newer servers know are
	// kept.
	Capabilities []string
	// Expires is when the rule ends by itself (OpenBao); zero is never.
	Expires time.Time
	// Line is where the block starts in the text, from 1; 0 in JSON.
	Line int
	// Why is written as a comment above the rule by [Render]; Parse drops
	// comments.
	Why string
}

// Templated reports whether the server fills in something about the identity
// of whoever asks.
func (r Rule) Templated() bool { return strings.Contains(r.Path, "{{") }

// String is the rule in one line, as a policy can hold it.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString("path " + quote(r.Path) + " { capabilities = [")
	for i, c := range r.Capabilities {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(c))
	}
	b.WriteString("] }")
	return b.String()
}

// Render returns the text of a policy: its rules in the given order, each with
// its Why as a comment. It is what Parse reads.
func Render(rules []Rule) string {
	var b strings.Builder
	for i, r := range rules {
		if r.Why != "" {
			if i > 0 {
				b.WriteString("\n")
			}
			b.WriteString(Comment(r.Why))
		}
		b.WriteString("path " + quote(r.Path) + " {\n  capabilities = [")
		for i, c := range r.Capabilities {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(c))
		}
		b.WriteString("]\n}\n")
	}
	return b.String()
}

// Comment returns text as comment lines.
func Comment(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight("# "+strings.TrimRight(line, "\r\n"), " ") + "\n")
	}
	return b.String()
}

func quote(s string) string {
	if !strings.ContainsAny(s, "\\\"\n") { // nearly all, and a replacer is dear
		return `"` + s + `"`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// Literal reports whether a policy can name path and mean nothing else: no
// wildcard, no template, and nothing that the language of policies reads
// otherwise.
func Literal(path string) bool {
	switch {
	case path == "", strings.HasPrefix(path, "/"), strings.HasSuffix(path, "*"):
		return false
	case strings.Contains(path, "+*"), strings.Contains(path, "{{"), strings.Contains(path, "}}"), strings.Contains(path, "${"):
		return false
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return false
	}
	return !slices.Contains(strings.Split(path, "/"), "+")
}

// order is the order in which capabilities are written.
var order = [...]string{Create, Read, Update, Patch, Delete, List, Scan, Sudo, Deny}

// Sorted returns capabilities once each, in the order in which people write
// them.
func Sorted(capabilities []string) []string {
	out := slices.Clone(capabilities)
	rank := func(c string) int {
		if i := slices.Index(order[:], c); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortFunc(out, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out)
}
