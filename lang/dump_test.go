package lang

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/cofferhq/coffer/lang/addr"
)

func blockRanges(f *hcl.File) []hcl.Range {
	var out []hcl.Range
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		out = append(out, hcl.RangeBetween(b.TypeRange, b.CloseBraceRange))
	}
	return out
}

// dumper prints a Config for people; what has its default is left out.
type dumper struct {
	strings.Builder
	places bool
}

func dump(cfg *Config, places bool) string {
	d := &dumper{places: places}
	s := cfg.Settings
	d.line(s.Range, "project %s, state %s", s.Project, s.StatePath)
	d.opt("  required_version %s", s.RequiredVersion)
	if s.Audit != nil {
		d.opt("  audit %s", s.Audit.Path)
	}
	if s.Backend != nil {
		d.line(s.Backend.Range, "  backend %s", s.Backend.Type)
		d.providerBody(s.Backend.body, "    ")
	}
	for _, e := range s.Encryption {
		d.line(e.Range, "  encryption %s", e.Method)
		d.opt("    provider %s", e.Provider)
		d.flag("fallback", e.Fallback)
		d.providerBody(e.body, "    ")
	}
	if p := s.PolicyPack; p != nil {
		d.line(p.Range, "  policy_pack, production %s", strings.Join(p.Production, ", "))
		for _, r := range p.Rules {
			d.line(r.Range, "    rule %s, fail %t%s%s", r.Name, r.Fail, optional(", age %s", ageText(r.Age)), optional(", bits %s", bitsText(r.Bits)))
		}
	}
	for _, p := range cfg.Providers {
		d.line(p.Range, "provider %s", p.Ref())
		d.providerBody(p.body, "  ")
	}
	for _, name := range sortedKeys(cfg.Environments) {
		e := cfg.Environments[name]
		d.line(e.Range, "environment %s", name)
		d.opt("  store %s", e.Store)
		d.opt("  replicas %s", strings.Join(e.Replicas, ", "))
		d.flag("protect", e.Protect)
	}
	for _, s := range cfg.Secrets {
		d.secret(s)
	}
	for _, delivery := range cfg.Deliveries {
		d.delivery(delivery)
	}
	for _, p := range cfg.Policies {
		d.line(p.Range, "%s", p.Address)
		d.opt("  covers %s", joinAddresses(p.Secrets))
		for _, r := range p.Readers {
			d.line(r.Range, "  %s(%q)", r.Func, r.Args)
		}
	}
	for _, o := range cfg.Objects {
		d.line(o.Range, "%s", o.Address)
		d.opt("  provider %s", o.Provider)
		for _, a := range o.Arguments {
			fmt.Fprintf(d, "  %s = %#v\n", a.Name, a.Value)
		}
	}
	for _, i := range cfg.Imports {
		d.line(i.Range, "import %q to %s", i.ID, i.To)
		d.opt("  store %s", i.Store)
	}
	for _, m := range cfg.Moved {
		d.line(m.Range, "moved %s to %s", m.From, m.To)
	}
	for _, r := range cfg.Removed {
		d.line(r.Range, "removed %s, destroy %t", r.From, r.Destroy)
	}
	for _, c := range cfg.Checks {
		d.line(c.Range, "check %s, %d asserts", c.Name, len(c.Asserts))
	}
	return d.String()
}

func (d *dumper) providerBody(b providerBody, indent string) {
	for _, a := range b.arguments {
		if a.source != nil {
			fmt.Fprintf(d, "%s%s = %s\n", indent, a.name, a.source.Text())
			continue
		}
		fmt.Fprintf(d, "%s%s = %#v\n", indent, a.name, a.value)
	}
	for _, block := range b.blocks {
		fmt.Fprintf(d, "%s%s\n", indent, block.form())
		d.providerBody(block.body, indent+"  ")
	}
}

func (d *dumper) secret(s *Secret) {
	d.line(s.Range, "%s", s.Address)
	d.opt("  store %s", s.Store)
	d.opt("  replicas %s", strings.Join(s.Replicas, ", "))
	d.opt("  path %s", s.Path)
	d.opt("  key %s", s.Key)
	d.opt("  format %s", s.Format)
	for _, name := range sortedKeys(s.Labels) {
		fmt.Fprintf(d, "  label %s = %q\n", name, s.Labels[name])
	}
	d.opt("  description %q", s.Description)
	d.opt("  owner %s", s.Owner)
	if s.Generation != 0 {
		fmt.Fprintf(d, "  generation %d\n", s.Generation)
	}
	d.flag("protect", s.Protect)
	if s.OnOutsideChange != "stop" {
		d.opt("  on_outside_change %s", s.OnOutsideChange)
	}
	for _, f := range s.Fields {
		name := f.Name
		if s.Single {
			name = "value"
		}
		fmt.Fprintf(d, "  %s = %s\n", name, f.Source.Text())
	}
	d.form(s.Form)
	d.rollouts(s.Rollouts)
	d.rotation(s.Rotation)
}

func (d *dumper) form(f Form) {
	d.opt("  type %s", f.Type)
	d.flag("immutable", f.Immutable)
	for _, name := range sortedKeys(f.Annotations) {
		fmt.Fprintf(d, "  annotation %s = %q\n", name, f.Annotations[name])
	}
	d.opt("  scope %s", f.Scope)
}

func (d *dumper) rollouts(list []Workload) {
	for _, w := range list {
		d.line(w.Range, "  rollout %s %s/%s", w.Kind, w.Namespace, w.Name)
	}
}

func (d *dumper) delivery(x *Delivery) {
	d.line(x.Range, "%s", x.Address)
	d.opt("  provider %s", x.Provider)
	d.opt("  path %s", x.Path)
	for _, name := range sortedKeys(x.Labels) {
		fmt.Fprintf(d, "  label %s = %q\n", name, x.Labels[name])
	}
	d.opt("  description %q", x.Description)
	d.flag("protect", x.Protect)
	for _, i := range x.Items {
		fmt.Fprintf(d, "  %s = %s\n", i.Name, i.Source.Text())
	}
	d.form(x.Form)
	if x.Refresh != 0 {
		d.opt("  refresh %s", FormatDuration(x.Refresh))
	}
	d.opt("  deletion_policy %s", x.DeletionPolicy)
	d.opt("  creation_policy %s", x.CreationPolicy)
	d.line(x.Store.Range, "  store %s%s%s, auth %s", x.Store.Kind, optional(" %s", x.Store.Name), optional(" as %s", x.Store.ServiceAccount), x.Store.Auth)
	if x.Store.Existing {
		d.WriteString("    existing\n")
	}
	for _, a := range x.Store.Arguments {
		fmt.Fprintf(d, "    %s = %#v\n", a.Name, a.Value)
	}
	d.rollouts(x.Rollouts)
}

func (d *dumper) rotation(r Rotation) {
	if r.Never {
		d.WriteString("  rotation never\n")
	}
	if r.Every == 0 {
		return
	}
	d.WriteString("  rotation every " + FormatDuration(r.Every))
	for _, part := range []struct {
		name string
		d    time.Duration
	}{{"notify", r.NotifyBefore}, {"overlap", r.Overlap}} {
		if part.d != 0 {
			fmt.Fprintf(d, ", %s %s", part.name, FormatDuration(part.d))
		}
	}
	d.WriteString(optional(", strategy %s", r.Strategy) + optional(", window %s", r.Window) + "\n")
}

func ageText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return FormatDuration(d)
}

func bitsText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func optional(format, s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(format, s)
}

func (d *dumper) opt(format, s string) {
	if s != "" {
		fmt.Fprintf(d, format+"\n", s)
	}
}

func (d *dumper) flag(name string, on bool) {
	if on {
		d.WriteString("  " + name + "\n")
	}
}

func (d *dumper) line(at hcl.Range, format string, args ...any) {
	fmt.Fprintf(d, format, args...)
	if d.places && at.Filename != "" {
		fmt.Fprintf(d, "  (%s)", place(at))
	}
	d.WriteString("\n")
}

func joinAddresses(list []addr.Address) string {
	out := make([]string, 0, len(list))
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
