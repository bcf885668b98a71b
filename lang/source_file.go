package lang

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxPlaces is how many ${name} one text of template() may have.
const maxPlaces = 1000

// textTemplate is template(text, { name = value, … }). The text is taken apart
// here, so that what it gives is a [Template] like one in quotes: whoever
// evaluates sources knows nothing of it.
func (b *sourceBuilder) textTemplate(e *hclsyntax.FunctionCallExpr) *Source {
	if len(e.Args) != 2 {
		b.scope.report(errorAt(rangeOfCall(e), "Wrong number of arguments", "Write template(file(\"NAME\"), { name = secret.x })."))
		return nil
	}
	text, ok := b.plain(e.Args[0], "The text of template()")
	if !ok {
		return nil
	}
	values, ok := b.templateValues(e.Args[1])
	if !ok {
		return nil
	}
	at := e.Args[0].Range()
	parts, problem := parseTemplate(text)
	if problem != nil {
		b.scope.report(errorAt(at, problem.summary, "Line %d of the text: %s", problem.line, problem.detail))
		return nil
	}
	t := &Source{Kind: Template, Range: rangeOfCall(e)}
	used := map[string]*Source{}
	size := 0
	var literal strings.Builder
	flush := func() {
		t.append(&Source{Kind: Literal, Plain: literal.String(), Range: at})
		literal.Reset()
	}
	for _, part := range parts {
		value := &Source{Kind: Literal, Plain: part.text}
		if part.name != "" {
			if value = values[part.name]; value == nil {
				b.scope.report(errorAt(at, "Unknown name in a template", "Line %d of the text: there is no value for ${%s}.%s Give it one in the object: { %s = … }.",
					part.line, part.name, didYouMean(part.name, sortedKeys(values)), part.name))
				return nil
			}
			used[part.name] = value
		}
		if value.Kind != Literal {
			flush()
			t.append(value)
			continue
		}
		if size += len(value.Plain); size > maxText {
			b.scope.report(errorAt(at, "Text too long", "This template makes more than 1 MiB of text."))
			return nil
		}
		literal.WriteString(value.Plain)
	}
	flush()
	b.unusedValues(e.Args[1], values, used)
	if len(t.Args) == 1 {
		whole := *t.Args[0]
		whole.Range = t.Range
		return &whole
	}
	t.canonical = templateText(text, used)
	return t
}

// templateText says which text it is, whatever its length, and what stands in
// its places.
func templateText(text string, used map[string]*Source) string {
	sum := sha256.Sum256([]byte(text))
	var b strings.Builder
	b.WriteString("template(" + quoted("sha256:"+hex.EncodeToString(sum[:])) + ", { ")
	for i, name := range sortedKeys(used) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(name) + " = ")
		used[name].print(&b)
	}
	b.WriteString(" })")
	return b.String()
}

// templateValues builds the object of template(), whose names are written
// plainly.
func (b *sourceBuilder) templateValues(expr hclsyntax.Expression) (map[string]*Source, bool) {
	expr = b.scope.choose(expr, b.usage)
	object, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		if expr != nil {
			b.scope.report(errorAt(expr.Range(), "Not an object", "The names of template() are an object written out here: { name = secret.x, … }."))
		}
		return nil, false
	}
	values := map[string]*Source{}
	complete := true
	for _, item := range object.Items {
		at := item.KeyExpr.Range()
		v, diags := item.KeyExpr.Value(nil)
		switch {
		case diags.HasErrors() || !isText(v) || !placeName().MatchString(v.AsString()):
			b.scope.report(errorAt(at, "Invalid name", "A name of template() is a letter or _, then letters, digits and _, written plainly."))
			complete = false
			continue
		case values[v.AsString()] != nil:
			b.scope.report(errorAt(at, "Written twice", "The name %q is in the object already.", v.AsString()))
			complete = false
			continue
		}
		inner := *b
		inner.name = v.AsString()
		if source := inner.source(item.ValueExpr, false); source != nil {
			values[v.AsString()] = source
		} else {
			complete = false
		}
	}
	return values, complete
}

func (b *sourceBuilder) unusedValues(expr hclsyntax.Expression, values, used map[string]*Source) {
	for _, name := range sortedKeys(values) {
		if used[name] == nil {
			b.scope.report(warningAt(itemRange(expr, name), "Name without use", "There is no ${%s} in the text.", name))
		}
	}
}

func placeName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`) }

// templatePart is text, or the name of a place in it.
type templatePart struct {
	text, name string
	line       int
}

type templateProblem struct {
	line            int
	summary, detail string
}

// parseTemplate takes a text with ${name} in it apart. $${ and %%{ stand for ${
// and %{, as in HCL. Nothing else of HCL is known here: no functions, no
// conditionals and no loops, so the work is one look at each byte.
func parseTemplate(text string) ([]templatePart, *templateProblem) {
	var parts []templatePart
	var literal strings.Builder
	valid, line, places := placeName(), 1, 0
	for text != "" {
		i := strings.IndexAny(text, "$%\n")
		if i < 0 {
			literal.WriteString(text)
			break
		}
		literal.WriteString(text[:i])
		sign := text[i : i+1]
		text = text[i+1:]
		switch {
		case sign == "\n":
			line++
			literal.WriteString(sign)
		case strings.HasPrefix(text, sign+"{"):
			literal.WriteString(sign + "{")
			text = text[2:]
		case !strings.HasPrefix(text, "{"):
			literal.WriteString(sign)
		case sign == "%":
			return nil, &templateProblem{line, "A directive in a template", "%{if} and %{for} are not known here. Choose between two texts, template(var.tls ? file(\"a\") : file(\"b\"), { … }), or write %%{ for a plain %{."}
		default:
			name, rest, closed := strings.Cut(text[1:], "}")
			name = strings.Trim(name, " \t")
			if !closed || !valid.MatchString(name) {
				return nil, wrongPlace(line, name, closed)
			}
			if places++; places > maxPlaces {
				return nil, &templateProblem{line, "Template too long", fmt.Sprintf("it has more than %d places of the form ${name}. Split it.", maxPlaces)}
			}
			parts = append(parts, templatePart{text: literal.String(), line: line}, templatePart{name: name, line: line})
			literal.Reset()
			text = rest
		}
	}
	return append(parts, templatePart{text: literal.String(), line: line}), nil
}

func wrongPlace(line int, name string, closed bool) *templateProblem {
	p := &templateProblem{line: line, summary: "Not a name in a template"}
	switch {
	case !closed || strings.Contains(name, "\n"):
		p.detail = "${ has no } on its line. Write ${name}, or $${ for a plain ${."
	case strings.ContainsAny(name, "(.?["):
		p.detail = "between ${ and } stands a name alone. What is done with it goes into the object: { password = urlencode(secret.db.password) } and ${password}. Write $${ for a plain ${."
	default:
		p.detail = "between ${ and } stands a name alone: a letter or _, then letters, digits and _. Write $${ for a plain ${."
	}
	return p
}

// templateTexts returns where the texts of template() stand that are written in
// quotes, in which HCL reads ${name} before the function sees it. A few are enough
// for what it is asked for, a hint.
func templateTexts(expr hclsyntax.Expression) []hcl.Range {
	var out []hcl.Range
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && call.Name == "template" && len(call.Args) > 0 && len(out) < 100 {
			out = append(out, call.Args[0].Range())
		}
		return nil
	})
	return out
}
