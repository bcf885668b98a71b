package delivery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// This file writes the templates of the operator: Go's text/template with the
// functions of sprig (https://external-secrets.io/latest/guides/templating/).

// fetched names the values that an external secret fetches.
type fetched struct {
	names map[providers.Remote]string
	order []providers.Remote
}

// gather collects the remote values of all items in the order of their names.
func gather(items []providers.DeliveryItem) *fetched {
	f := &fetched{names: map[providers.Remote]string{}}
	for _, item := range items {
		if r, ok := whole(item); ok && f.names[r] == "" { // its own name says most
			f.add(r, item.Name)
		}
	}
	for _, item := range items {
		f.gather(item.Parts)
	}
	return f
}

func (f *fetched) gather(parts []providers.DeliveryPart) {
	for _, p := range parts {
		if p.Remote != nil && f.names[*p.Remote] == "" {
			f.add(*p.Remote, nameOf(*p.Remote))
		}
		f.gather(p.Args)
	}
}

// add names r, with a number behind the name where another has it.
func (f *fetched) add(r providers.Remote, name string) {
	taken := func(name string) bool {
		return slices.ContainsFunc(f.order, func(o providers.Remote) bool { return f.names[o] == name })
	}
	base := name
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	f.names[r] = name
	f.order = append(f.order, r)
}

// nameOf makes a name that a template can say out of where a value is.
func nameOf(r providers.Remote) string {
	name := r.Key[strings.LastIndex(r.Key, "/")+1:]
	if r.Property != "" {
		name += "_" + r.Property
	}
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, name)
}

// whole returns the remote value that an item is, if it is nothing else.
func whole(item providers.DeliveryItem) (providers.Remote, bool) {
	if len(item.Parts) == 1 && item.Parts[0].Remote != nil {
		return *item.Parts[0].Remote, true
	}
	return providers.Remote{}, false
}

// template writes one key: plain text as it is, and actions for the rest.
func (f *fetched) template(parts []providers.DeliveryPart) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		if p.Remote == nil && p.Func == "" {
			b.WriteString(literal(p.Text))
			continue
		}
		e, err := f.expression(p)
		if err != nil {
			return "", err
		}
		b.WriteString("{{ " + strings.TrimSuffix(strings.TrimPrefix(e, "("), ")") + " }}")
	}
	return b.String(), nil
}

// literal is text in a template that stands for itself. A brace may join one
// before or behind it, so each is an action of its own.
func literal(text string) string { return strings.ReplaceAll(text, "{", `{{ "{" }}`) }

// literals is text by name, each as [literal]: the operator takes labels and
// annotations for templates too, and what they said would be readable by all who
// see metadata.
func literals(texts map[string]string) map[string]any {
	out := map[string]any{}
	for name, text := range texts {
		out[name] = literal(text)
	}
	return out
}

// expression is a part as an argument of a function.
func (f *fetched) expression(p providers.DeliveryPart) (string, error) {
	switch {
	case p.Remote != nil:
		if name := f.names[*p.Remote]; nameOf(providers.Remote{Key: name}) != name || name[0] >= '0' && name[0] <= '9' {
			return fmt.Sprintf("(index . %q)", name), nil // no identifier of Go
		}
		return "." + f.names[*p.Remote], nil
	case p.Func == "":
		return strconv.Quote(p.Text), nil
	}
	arg, err := f.joined(p.Args)
	if err != nil {
		return "", err
	}
	switch p.Func {
	case "base64encode":
		return "(b64enc " + arg + ")", nil
	case "trimspace":
		return "(trim " + arg + ")", nil
	case "urlencode": // urlquery writes a space as a plus
		return `(replace "+" "%20" (urlquery ` + arg + "))", nil
	}
	return "", fmt.Errorf("the operator has no function %s: make the value a secret of the app, and refer to that", p.Func)
}

// joined is the concatenation of parts as one argument.
func (f *fetched) joined(parts []providers.DeliveryPart) (string, error) {
	args := make([]string, len(parts))
	for i, p := range parts {
		e, err := f.expression(p)
		if err != nil {
			return "", err
		}
		args[i] = e
	}
	if len(args) == 1 {
		return args[0], nil
	}
	return `(printf "` + strings.Repeat("%s", len(args)) + `" ` + strings.Join(args, " ") + ")", nil
}
