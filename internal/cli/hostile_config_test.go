package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
)

// hostileConfig has a hostile text wherever HCL takes text. Most of them are
// accepted in the first, and refused, so told in an error, in the second.
var hostileConfig = []string{`
coffer {
  project = "p-1"
}
provider "vault" {
  address = "https://vault.example:8200"
}
environment "dev" {
  store = vault
}
variable "v" {
  type        = string
  default     = %[1]s
  description = %[1]s
}
policy_document "doc" {
  provider = vault
  document = "# ${replace(var.v, "\n", " ")}\npath \"x\" {\n  capabilities = [\"read\"]\n}\n"
}
mount "kv" "more" {
  provider    = vault
  description = %[1]s
}
app "shop" {
  environments = ["dev"]
  secret "db" {
    description = %[1]s
    labels      = { team = %[1]s }
    value       = random_password()
  }
  secret "url" {
    value = "postgres://${secret.db}/${var.v}"
  }
  secret "said" {
    value = public(%[1]s)
  }
  policy "team" {
    readers = [vault_entity("e")]
  }
}
check "one" {
  assert {
    condition     = false
    error_message = %[1]s
  }
}
`, `
coffer {
  project = "p-1"
}
provider "vault" {
  address   = %[1]s
  namespace = %[1]s
}
environment "dev" {
  store = vault
}
app "shop" {
  environments = ["dev"]
  secret "db" {
    path   = %[1]s
    labels = { %[1]s = "x" }
    value  = from_env(%[1]s)
  }
  secret "file" {
    value = from_dotenv(%[1]s, %[1]s)
  }
  secret "each" {
    for_each = [%[1]s]
    value    = random_uuid()
  }
  policy "team" {
    readers = [vault_approle(%[1]s), vault_entity(%[1]s), age_recipient(%[1]s)]
  }
  rotation {
    every    = %[1]s
    strategy = %[1]s
  }
}
`, `
coffer {
  project = "p-1"
}
provider "sops" {
  recipients = [%[1]s]
}
provider "vault" {
  address = "https://vault.example:8200"
}
environment "dev" {
  store = vault
}
app "shop" {
  environments = ["dev"]
  secret "one" {
    value = random_uuid()
  }
}
`, `
coffer {
  project = "p-1"
}
provider "vault" {
  address = "https://vault.example:8200"
}
role "approle" "r" {
  provider          = vault
  token_bound_cidrs = [%[1]s]
}
environment "dev" {
  store = vault
}
app "shop" {
  environments = ["dev"]
  secret "one" {
    value = random_uuid()
  }
  policy "team" {
    readers = [vault_approle(%[1]s), vault_entity(%[1]s), vault_kubernetes(%[1]s, %[1]s)]
  }
}
`, `
coffer {
  project = "p-1"
}
provider "vault" {
  address = "https://vault.example:8200"
}
mount "kv" "more" {
  provider    = vault
  description = %[1]s
}
policy_document "doc" {
  provider = vault
  document = <<-END
    # x
    path "a" {
      capabilities = ["read"]
    }
  END
}
environment "dev" {
  store = vault
}
app "shop" {
  environments = ["dev"]
  secret "one" {
    value = random_uuid()
  }
  policy "team" {
    readers = [vault_entity(%[1]s)]
  }
}
`}

// quotedHCL is text as a string of HCL; bytes that are no UTF-8 stay.
func quotedHCL(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteByte(s[0])
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case (r == '$' || r == '%') && strings.HasPrefix(s[n:], "{"):
			b.WriteString(strings.Repeat(string(r), 2))
		case r < 0x20 || r == 0x7f || r > 0x7e && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String() + `"`
}

var (
	unseen = regexp.MustCompile(`[\x{0}-\x{9}\x{b}-\x{1f}\x{7f}-\x{a0}\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{180b}-\x{180f}` +
		`\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{206f}\x{2800}\x{3000}\x{3164}\x{e000}-\x{f8ff}\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}` +
		`\x{fff0}-\x{fffb}\x{e0000}-\x{10ffff}]`)
	startsCommand = regexp.MustCompile(`(?m)^\s*::|##[[:alpha:]]*\[`)
	dotLine       = regexp.MustCompile(`^(digraph coffer \{|  rankdir = LR;|  node \[shape = box\];|\}|  "(?:[^"\\]|\\.)*"(?: -> "(?:[^"\\]|\\.)*")?(?: \[(?:shape|style) = [a-z]+\])?;)$`)
	graphLine     = regexp.MustCompile(`^(?:  (?:gives|uses|covers|read by|for) .*|app\.shop\.[a-z_]+\.[a-z]+\["dev"\](?:  vault)?|(?:mount|policy_document|role|provider)\.[a-z.]+.*)$`)
	merLine       = regexp.MustCompile(`^(flowchart LR|  n[0-9]+(?:\["[^"<>]*"\]|\("[^"<>]*"\))|  n[0-9]+ (?:-->|-\.->) n[0-9]+)$`)
)

// TestHostileConfigurations: whatever text a configuration has, no command that
// shows it moves a cursor, hides text, starts a CI command or leaves its format.
func TestHostileConfigurations(t *testing.T) {
	dir := t.TempDir()
	env := SystemEnviron()
	env.Vars = map[string]string{"HOME": t.TempDir()}
	ok := 0
	for _, h := range hostile.Strings() {
		if len(h) > 4<<10 {
			continue
		}
		for n, config := range hostileConfig {
			if err := os.WriteFile(filepath.Join(dir, "app.hcl"), fmt.Appendf(nil, config, quotedHCL(h)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"validate"},
				{"graph"},
				{"graph", "-json"},
				{"graph", "-format", "dot"},
				{"graph", "-format", "mermaid"},
				{"graph", "-reads", h},
				{"permissions", "-phase", "apply"},
				{"permissions", "-phase", "plan", "-json"},
			} {
				var out, errs bytes.Buffer
				code := Main(context.Background(), append([]string{"coffer", args[0], "-chdir", dir}, args[1:]...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, env)
				if args[0] == "graph" && code == ExitDone {
					ok++
				}
				for name, text := range map[string]string{"stdout": out.String(), "stderr": errs.String()} {
					switch {
					case !utf8.ValidString(text):
						t.Errorf("%.40q in %d, %q: invalid UTF-8 on %s", h, n, args, name)
					case unseen.MatchString(text):
						t.Errorf("%.40q in %d, %q: %q on %s", h, n, args, unseen.FindString(text), name)
					case startsCommand.MatchString(text):
						t.Errorf("%.40q in %d, %q: a CI command on %s: %.300q", h, n, args, name, text)
					}
				}
				form := map[string]*regexp.Regexp{"dot": dotLine, "mermaid": merLine, "graph": graphLine}[args[len(args)-1]]
				for line := range strings.Lines(out.String()) {
					if form != nil && !form.MatchString(strings.TrimSuffix(line, "\n")) {
						t.Errorf("%.40q in %d, %q: not of the format: %.200q", h, n, args, line)
					}
				}
			}
		}
	}
	if ok < 500 {
		t.Errorf("only %d graphs of these configurations are shown", ok)
	}
}

// TestHostileGraphs: whatever the names of readers, a graph stays in its format.
func TestHostileGraphs(t *testing.T) {
	for _, h := range hostile.Strings() {
		if len(h) > 4<<10 {
			continue
		}
		h = strings.ReplaceAll(h, "\n", " ") // every driver refuses a name with a line break
		secret, list := addr.Secret("shop", "dev", "db"), addr.ProviderObject("sops", kindRecipients, h)
		g := graph{Nodes: []graphNode{
			{Address: secret, Kind: addr.KindSecret, Store: "vault", Readers: []graphReader{{Reader: readerText(lang.Reader{Func: "age_recipient", Args: []string{h}})}, {Reader: h, List: list}}},
			{Address: list, Kind: kindRecipients, Store: "vault", Reads: h, Covers: []addr.Address{secret}},
		}}
		for name, write := range map[string]func(io.Writer, graph){"text": writeGraphText, "dot": writeGraphDot, "mermaid": writeGraphMermaid} {
			var out bytes.Buffer
			write(render.NewWriter(&out, render.Style{}), g)
			form := map[string]*regexp.Regexp{"dot": dotLine, "mermaid": merLine}[name]
			for line := range strings.Lines(out.String()) {
				if unseen.MatchString(line) || startsCommand.MatchString(line) || form != nil && !form.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("%.40q as %s: %.200q", h, name, line)
				}
			}
		}
	}
}
