package acl

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Set answers what one or more policies allow together. The rules are those of
// "Policy Syntax" in HashiCorp's page "Policies"
// (developer.hashicorp.com/vault/docs/concepts/policies), which OpenBao's page
// of the same name repeats:
//
//   - one path that stands in several policies has all their capabilities, and
//     none if one of them denies;
//   - of several paths that match, the exact one decides alone; else the one of
//     the highest priority decides alone. The one whose first `+` or `*` comes
//     earlier is lower; then the one that ends in `*`; then the one with more
//     `+` segments; then the shorter; then the lexicographically smaller.
//
// Rules with identity templates are left out: nobody knows whom they match.
// [Set.Grants] takes them the other way.
type Set struct {
	exact     map[string]*given
	patterns  []pattern
	known     map[string]*given // of patterns, by path
	templates []template
}

// given is what is said of one path.
type given struct {
	capabilities []string
	rules        []Rule
}

// pattern is a path with wildcards and what it gives.
type pattern struct {
	path          string // as the priority rules see it: a `*` at the end is cut
	segments      []string
	glob          bool // ends in `*`
	plain         bool // a prefix without `+` segments
	first, pluses int
	*given
}

// template is a rule with identity templates and what it can match.
type template struct {
	rule  Rule
	match *regexp.Regexp // nil is anything
}

// NewSet returns what the policies allow at a time.
func NewSet(now time.Time, policies ...[]Rule) *Set {
	s := &Set{exact: map[string]*given{}, known: map[string]*given{}}
	for _, rules := range policies {
		for _, r := range rules {
			switch {
			case !r.Expires.IsZero() && now.After(r.Expires):
			case r.Templated():
				match, err := regexp.Compile(r.expression())
				if err != nil {
					match = nil
				}
				s.templates = append(s.templates, template{r, match})
			default:
				s.add(r)
			}
		}
	}
	return s
}

func (s *Set) add(r Rule) {
	path := strings.TrimPrefix(r.Path, "/")
	p, wild := newPattern(path)
	of := s.exact
	if wild {
		of = s.known
	}
	g := of[path]
	if g == nil {
		g = &given{}
		of[path] = g
		if wild {
			p.given = g
			s.patterns = append(s.patterns, p)
		}
	}
	g.capabilities = merge(g.capabilities, r.Capabilities)
	g.rules = append(g.rules, r)
}

func newPattern(path string) (p pattern, wild bool) {
	pluses := path == "+" || strings.Contains(path, "/+") || strings.HasPrefix(path, "+/")
	cut, glob := strings.CutSuffix(path, "*")
	p = pattern{path: cut, segments: strings.Split(cut, "/"), glob: glob, plain: glob && !pluses, first: len(cut)}
	if pluses {
		p.first = strings.Index(path, "+")
	}
	for _, segment := range p.segments {
		if pluses && segment == "+" {
			p.pluses++
		}
	}
	return p, glob || pluses
}

// merge joins what several policies say of one path.
func merge(old, more []string) []string {
	if slices.Contains(old, Deny) || slices.Contains(more, Deny) {
		return []string{Deny}
	}
	return Sorted(slices.Concat(old, more))
}

func (p *pattern) matches(path string, parts []string) bool {
	if p.plain {
		return strings.HasPrefix(path, p.path)
	}
	if len(parts) < len(p.segments) || !p.glob && len(parts) != len(p.segments) {
		return false
	}
	for i, segment := range p.segments {
		open := p.glob && i == len(p.segments)-1
		if segment != "+" && segment != parts[i] && (!open || !strings.HasPrefix(parts[i], segment)) {
			return false
		}
	}
	return true
}

// priority is negative where p yields to q.
func (p *pattern) priority(q *pattern) int {
	return cmp.Or(
		cmp.Compare(p.first, q.first),
		-compareBool(p.glob, q.glob),
		-cmp.Compare(p.pluses, q.pluses),
		cmp.Compare(len(p.path), len(q.path)),
		cmp.Compare(p.path, q.path),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Capabilities returns what the policies give on a path, in the order of
// [Sorted]; "deny" alone where they give nothing. It is the answer of the
// server's sys/capabilities, which treats a path that ends in "/" as a folder
// to be listed: a rule without the "/" will do.
func (s *Set) Capabilities(path string) []string {
	g := s.decides(path)
	if g == nil || len(g.capabilities) == 0 {
		return []string{Deny}
	}
	return g.capabilities
}

// Allows reports whether the policies give a capability on a path.
func (s *Set) Allows(path, capability string) bool {
	return slices.Contains(s.Capabilities(path), capability)
}

// decides returns what alone decides on a path, nil where nothing matches.
func (s *Set) decides(path string) *given {
	path = strings.TrimLeft(path, "/")
	folder := strings.TrimSuffix(path, "/")
	if g := s.exact[path]; g != nil {
		return g
	}
	if g := s.exact[folder]; g != nil {
		return g
	}
	if folder != path {
		if g := s.wild(folder); g != nil {
			return g
		}
	}
	return s.wild(path)
}

func (s *Set) wild(path string) *given {
	parts := strings.Split(path, "/")
	var best *pattern
	for i := range s.patterns {
		p := &s.patterns[i]
		if p.matches(path, parts) && (best == nil || best.priority(p) < 0) {
			best = p
		}
	}
	if best == nil {
		return nil
	}
	return best.given
}

// Grants returns a rule by which the policies give a capability on a path to
// somebody. It errs on the side of finding: a template may match anything that
// is not empty, so a rule with one grants wherever it can match, whatever the
// other rules say.
func (s *Set) Grants(path, capability string) (Rule, bool) {
	gives := func(r Rule) bool { return slices.Contains(r.Capabilities, capability) }
	if g := s.decides(path); g != nil && slices.Contains(g.capabilities, capability) {
		return g.rules[slices.IndexFunc(g.rules, gives)], true
	}
	for _, t := range s.templates {
		if gives(t.rule) && (t.match == nil || t.match.MatchString(path)) {
			return t.rule, true
		}
	}
	return Rule{}, false
}

// templateText is one template.
var templateText = regexp.MustCompile(`\{\{.*?\}\}`)

// expression is the regular expression of all that a rule with templates can
// match for some identity.
func (r Rule) expression() string {
	text, glob := strings.CutSuffix(strings.TrimPrefix(r.Path, "/"), "*")
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i, segment := range strings.Split(templateText.ReplaceAllString(text, "\x00"), "/") {
		if i > 0 {
			b.WriteString("/")
		}
		if segment == "+" {
			b.WriteString("[^/]*")
			continue
		}
		for j, literal := range strings.Split(segment, "\x00") {
			if j > 0 {
				b.WriteString(".+")
			}
			b.WriteString(regexp.QuoteMeta(literal))
		}
	}
	if glob {
		b.WriteString(".*")
	}
	b.WriteString(`\z`)
	return b.String()
}
