package plannertest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// history is a model of a configuration with what a person may do to it, and
// the promise under test: no generated value is ever replaced unless somebody
// asked for it.
type history struct {
	*World
	t       *rapid.T
	secrets map[string]*modelled // by name
	gone    map[string]*modelled // blocks that were taken out, to be put back
	moved   [][2]string          // moved blocks: from, to
	next    int
	// onItsWay says that a late write may still arrive.
	onItsWay bool
	// values are the generated values as last seen settled, by secret name.
	values map[string]string
	// free are the names whose value may be another one after the next apply:
	// somebody edited and accepted it, it was lost, or a rotation was asked for.
	free map[string]bool
	// assumed are the secrets that the plan said to be adopted as they stand after
	// a lost state or an accepted version: nobody knows of which values their
	// templates were made until they are written again, and, where the store hides
	// names, which fields they have.
	assumed map[string]bool
}

type modelled struct {
	kind   string // generated, supplied, template, fields
	bytes  int
	path   string
	label  string
	ref    string // of a template
	fields []string
}

var shapes = map[string]memory.Options{"full": memory.Full(), "versioned": memory.Versioned(), "counting": memory.Counting(), "files": memory.Files()}

// late is a platform whose writes take neither token nor precondition, and may
// arrive after their call has failed.
func late() memory.Options {
	o := memory.Eventual()
	o.Lag, o.MaxBytes, o.ForbidEmpty = 0, 0, false
	return o
}

func newHistory(t *rapid.T, dir string) *history {
	names := append(slices.Sorted(maps.Keys(shapes)), "late")
	shape := rapid.SampledFrom(names).Draw(t, "shape")
	knobs := shapes[shape]
	if shape == "late" {
		knobs = late()
	}
	h := &history{World: Bare(t, knobs).In(dir), t: t, secrets: map[string]*modelled{}, gone: map[string]*modelled{}, values: map[string]string{}, free: map[string]bool{}, assumed: map[string]bool{}}
	if rapid.Bool().Draw(t, "replica") {
		h.AddStore("b", knobs)
	}
	if rapid.IntRange(0, 2).Draw(t, "cluster") == 0 {
		h.Stores["kubernetes"], h.Knobs["kubernetes"] = memory.NewWorld("k8s-1"), memory.Cluster()
		h.Stores["kubernetes"].Deploy("shop-dev/deployment/api")
	}
	h.add()
	return h
}

// mirrors are two blocks that bring all single values to the cluster, plain and
// sealed, and restart a program.
func (h *history) mirrors() string {
	data := ""
	for _, n := range h.names() {
		if kind := h.secrets[n].kind; kind == "generated" || kind == "supplied" {
			data += "      K_" + n + " = secret." + n + "\n"
		}
	}
	if h.Stores["kubernetes"] == nil || data == "" {
		return ""
	}
	body := "    data = {\n" + data + "    }\n    rollout = [deployment(\"shop-dev\", \"api\")]\n  }\n"
	return "  kubernetes_secret \"mirror\" {\n" + body + "  sealed_secret \"sealed\" {\n" + body
}

// checkMirrors compares what is in the cluster with what it is made of.
func (h *history) checkMirrors() {
	if h.mirrors() == "" {
		return
	}
	for name, path := range map[string]string{"mirror": "shop-dev/shop-mirror", "sealed": "sealedsecrets/shop-dev/shop-sealed"} {
		var want []string
		for _, n := range h.names() {
			if kind := h.secrets[n].kind; kind == "generated" || kind == "supplied" {
				want = append(want, "K_"+n+"="+h.Value("memory", h.path(n)))
			}
		}
		if got := h.Value("kubernetes", path); !h.assumed[name] && got != strings.Join(want, "\n") {
			h.Fatalf("%s is %q, and it is made of %q", name, got, want)
		}
	}
}

func (h *history) names() []string { return slices.Sorted(maps.Keys(h.secrets)) }

func (h *history) pick(kinds ...string) string {
	var of []string
	for _, n := range h.names() {
		if len(kinds) == 0 || slices.Contains(kinds, h.secrets[n].kind) {
			of = append(of, n)
		}
	}
	if len(of) == 0 {
		return ""
	}
	return rapid.SampledFrom(of).Draw(h.t, "secret")
}

// hcl renders the model, in an order that the draw decides.
func (h *history) hcl(shuffle bool) string {
	blocks := []string{}
	for _, name := range h.names() {
		blocks = append(blocks, h.block(name))
	}
	blocks = append(blocks, h.mirrors())
	if shuffle {
		blocks = rapid.Permutation(blocks).Draw(h.t, "order")
	}
	replicas := ""
	if _, two := h.Stores["memory.b"]; two {
		replicas = "\n  replicas = [memory.b]"
	}
	moved := ""
	for _, m := range h.moved {
		moved += fmt.Sprintf("moved {\n  from = app.shop.secret.%s\n  to = app.shop.secret.%s\n}\n", m[0], m[1])
	}
	return "environment \"dev\" {\n  store = memory" + replicas + "\n}\napp \"shop\" {\n  environments = [\"dev\"]\n" +
		strings.Join(blocks, "") + "}\n" + moved
}

func (h *history) block(name string) string {
	m := h.secrets[name]
	var b strings.Builder
	fmt.Fprintf(&b, "  secret %q {\n", name)
	switch m.kind {
	case "generated":
		fmt.Fprintf(&b, "    value = random_hex({ bytes = %d })\n", m.bytes)
	case "supplied":
		fmt.Fprintf(&b, "    value = from_env(%q)\n", strings.ToUpper(name))
	case "template":
		fmt.Fprintf(&b, "    value = \"x-${secret.%s}\"\n", m.ref)
	case "fields":
		b.WriteString("    fields = {\n      dsn = \"u:${self.f0}\"\n")
		for _, f := range m.fields {
			fmt.Fprintf(&b, "      %s = random_hex({ bytes = 8 })\n", f)
		}
		b.WriteString("    }\n")
	}
	if m.path != "" {
		fmt.Fprintf(&b, "    path = %q\n", m.path)
	}
	if m.label != "" {
		fmt.Fprintf(&b, "    labels = { l = %q }\n", m.label)
	}
	b.WriteString("  }\n")
	return b.String()
}

func (h *history) path(name string) string {
	if p := h.secrets[name].path; p != "" {
		return p
	}
	return "shop/dev/" + name
}

func (h *history) add() {
	h.next++
	name := fmt.Sprintf("s%d", h.next)
	m := &modelled{kind: rapid.SampledFrom([]string{"generated", "generated", "supplied", "template", "fields"}).Draw(h.t, "kind"), bytes: 8}
	switch m.kind {
	case "template":
		if m.ref = h.pick("generated", "supplied"); m.ref == "" {
			m.kind = "generated"
		}
	case "fields":
		m.fields = []string{"f0"}
	}
	h.secrets[name] = m
	h.Environ[strings.ToUpper(name)] = "v1"
}

// edit changes the configuration in one way.
func (h *history) edit() {
	switch rapid.IntRange(0, 12).Draw(h.t, "edit") {
	case 0, 1:
		h.add()
	case 2:
		if n := h.pick("generated"); n != "" {
			h.secrets[n].bytes++
		}
	case 3:
		if n := h.pick(); n != "" {
			h.next++
			h.secrets[n].path = fmt.Sprintf("at/%d", h.next)
		}
	case 4:
		h.rename()
	case 5:
		if n := h.pick(); n != "" {
			h.secrets[n].label = fmt.Sprint(h.next)
			h.next++
		}
	case 6:
		if n := h.pick("supplied"); n != "" {
			h.next++
			h.Environ[strings.ToUpper(n)] = fmt.Sprint("v", h.next)
		}
	case 7:
		if n := h.pick("fields"); n != "" {
			m := h.secrets[n]
			if len(m.fields) > 1 && rapid.Bool().Draw(h.t, "drop") {
				last := len(m.fields) - 1
				delete(h.values, n+"."+m.fields[last])
				m.fields = m.fields[:last]
			} else {
				m.fields = append(m.fields, fmt.Sprintf("f%d", len(m.fields)))
			}
		}
	case 8:
		h.remove()
	case 9:
		h.putBack()
	case 10:
		h.takePlace()
	case 11:
		if n := h.pick(); n != "" && !h.occupied("shop/dev/"+n) {
			h.secrets[n].path = ""
		}
	case 12:
		if n := h.pick("template"); n != "" {
			h.secrets[n].ref = h.pick("generated", "supplied")
		}
	}
}

// occupied reports whether a secret is declared to be at a path.
func (h *history) occupied(path string) bool {
	for n := range h.secrets {
		if h.path(n) == path {
			return true
		}
	}
	return false
}

// putBack declares again what was taken out, at its place of then.
func (h *history) putBack() {
	var of []string
	for n := range h.gone {
		ref := h.gone[n].ref
		if _, lives := h.secrets[ref]; (ref == "" || lives) && !h.occupied(cmp.Or(h.gone[n].path, "shop/dev/"+n)) {
			of = append(of, n)
		}
	}
	if len(of) == 0 {
		return
	}
	slices.Sort(of)
	n := rapid.SampledFrom(of).Draw(h.t, "back")
	h.secrets[n] = h.gone[n]
	delete(h.gone, n)
}

// takePlace gives a secret the place of another, which moves on.
func (h *history) takePlace() {
	a, b := h.pick(), h.pick()
	if a == b {
		return
	}
	place := h.path(b)
	h.next++
	h.secrets[b].path = fmt.Sprintf("at/%d", h.next)
	h.secrets[a].path = place
}

func (h *history) rename() {
	old := h.pick("generated")
	if old == "" {
		return
	}
	h.next++
	name := fmt.Sprintf("s%d", h.next)
	h.secrets[name] = h.secrets[old]
	delete(h.secrets, old)
	for _, m := range h.secrets {
		if m.ref == old {
			m.ref = name
		}
	}
	h.moved = append(h.moved, [2]string{old, name})
	if v, ok := h.values[old]; ok {
		h.values[name] = v
		delete(h.values, old)
	}
	h.free[name] = h.free[old]
}

// called returns what a secret of that name is called now.
func (h *history) called(name string) string {
	for _, m := range h.moved {
		if m[0] == name {
			name = m[1]
		}
	}
	return name
}

// was returns what a secret was called before, the latest first.
func (h *history) was(name string) []string {
	var names []string
	for i := len(h.moved) - 1; i >= 0; i-- {
		if h.moved[i][1] == name {
			name = h.moved[i][0]
			names = append(names, name)
		}
	}
	return names
}

func (h *history) remove() {
	n := h.pick()
	if n == "" || len(h.secrets) == 1 {
		return
	}
	for _, m := range h.secrets {
		if m.ref == n {
			return
		}
	}
	h.gone[n] = h.secrets[n]
	delete(h.secrets, n)
	delete(h.values, n)
	for _, f := range h.gone[n].fields {
		delete(h.values, n+"."+f)
	}
	for i := len(h.moved) - 1; i >= 0; i-- {
		if h.moved[i][1] == n {
			n = h.moved[i][0]
			h.moved = slices.Delete(h.moved, i, i+1)
		}
	}
}

// byHand is a value that somebody else writes: consistent, where it has parts.
func (m *modelled) byHand(text string) secret.Value {
	if m.kind != "fields" {
		return secret.String(text)
	}
	parts := map[string]secret.Value{"dsn": secret.String("u:" + text)}
	for _, f := range m.fields {
		parts[f] = secret.String(text)
	}
	return secret.Object(parts)
}
