package lang

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

// Text returns the canonical text of a source. It is HCL, stable over
// formatting, the order of parameters and moves of the block, and holds only
// what is not secret: text as written, names and references. A reference to a
// field of the same secret reads self.x, every other one is a full address
// without its environment.
func (s *Source) Text() string {
	var b strings.Builder
	s.print(&b)
	return b.String()
}

func (s *Source) print(b *strings.Builder) {
	if s.canonical != "" {
		b.WriteString(s.canonical)
		return
	}
	switch s.Kind {
	case Generated:
		b.WriteString(s.Func + "(")
		printParams(b, s.Params)
		b.WriteString(")")
	case FromEnv:
		printCall(b, "from_env", s.Plain)
	case FromFile:
		printCall(b, "from_file", s.Plain)
	case FromDotenv:
		printCall(b, "from_dotenv", s.Plain, s.Key)
	case FromSops:
		printCall(b, "from_sops", s.Plain, s.Key)
	case Manual:
		b.WriteString("manual()")
	case RotationUser:
		b.WriteString("rotation_user()")
	case Public:
		printCall(b, "public", s.Plain)
	case Literal:
		b.WriteString(quoted(s.Plain))
	case Template:
		s.printTemplate(b)
	case Computed:
		s.printComputed(b)
	case Reference:
		b.WriteString(s.Ref.text(s.self))
	}
}

func (r Ref) text(self bool) string {
	if self && r.Field != "" {
		return "self." + r.Field
	}
	text := addr.Address{App: r.Address.App, AppKey: r.Address.AppKey, Kind: r.Address.Kind, Name: r.Address.Name, Key: r.Address.Key}.String()
	if r.Field != "" {
		text += "." + r.Field
	}
	return text
}

func (s *Source) printTemplate(b *strings.Builder) {
	b.WriteByte('"')
	for _, part := range s.Args {
		if part.Kind == Literal {
			b.WriteString(escaped(part.Plain))
			continue
		}
		b.WriteString("${")
		part.print(b)
		b.WriteString("}")
	}
	b.WriteByte('"')
}

func (s *Source) printComputed(b *strings.Builder) {
	b.WriteString(s.Func + "(")
	args := s.Args
	switch {
	case s.Keys != nil:
		b.WriteString("{ ")
		for i, arg := range args {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoted(s.Keys[i]) + " = ")
			arg.print(b)
		}
		b.WriteString(" }")
	case s.Func == "join":
		args[0].print(b)
		b.WriteString(", [")
		printList(b, args[1:])
		b.WriteString("]")
	default:
		printList(b, args)
	}
	if len(s.Params) > 0 {
		b.WriteString(", ")
		printParams(b, s.Params)
	}
	b.WriteString(")")
}

func printList(b *strings.Builder, list []*Source) {
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		s.print(b)
	}
}

func printCall(b *strings.Builder, name string, args ...string) {
	b.WriteString(name + "(")
	for i, arg := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(arg))
	}
	b.WriteString(")")
}

func printParams(b *strings.Builder, params map[string]any) {
	if len(params) == 0 {
		return
	}
	b.WriteString("{ ")
	for i, name := range sortedKeys(params) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + " = " + paramText(params[name]))
	}
	b.WriteString(" }")
}

func paramText(v any) string {
	switch v := v.(type) {
	case string:
		return quoted(v)
	case []string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = quoted(s)
		}
		return "[" + strings.Join(list, ", ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

func quoted(s string) string { return `"` + escaped(s) + `"` }

// escaped writes text as it stands between the quotes of an HCL template.
func escaped(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case (r == '$' || r == '%') && strings.HasPrefix(s[i+1:], "{"):
			b.WriteRune(r)
			b.WriteRune(r)
		case r < 0x10000 && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		case !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
