package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// printJSON writes doc as the one JSON document of this run.
func (inv *invocation) printJSON(doc any) error {
	return inv.document(func(w io.Writer) error { return render.JSON(w, doc) })
}

// document writes the one JSON document of this run with write.
func (inv *invocation) document(write func(io.Writer) error) error {
	inv.wroteJSON = true
	return write(inv.Out)
}

// diagnosticsError is a configuration that cannot be used.
type diagnosticsError struct {
	diags hcl.Diagnostics
	files map[string]*hcl.File
}

func (e *diagnosticsError) Error() string { return e.diags.Error() }

// finish reports err and returns the exit code. With -json an error is a JSON
// document too, unless the command already printed its own.
func (inv *invocation) finish(ctx context.Context, err error) int {
	var done outcome
	switch {
	case err == nil || errors.As(err, &done):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		inv.report(ctx, errors.New("interrupted"))
	default:
		inv.report(ctx, err)
	}
	return exitCode(ctx, err)
}

// codeOf says what kind of error err is; docs/schema/diagnostics.schema.json
// lists the words, which are a contract.
func codeOf(ctx context.Context, err error) string {
	var (
		usage  usageError
		config *diagnosticsError
		locked *state.LockedError
		guard  *planner.GuardError
	)
	switch {
	case ctx.Err() != nil:
		return "interrupted"
	case errors.As(err, &usage):
		return "usage"
	case errors.As(err, &config):
		return "configuration"
	case errors.As(err, &locked):
		return "locked"
	case errors.As(err, &guard):
		return "unconfirmed"
	}
	return "error"
}

func (inv *invocation) report(ctx context.Context, err error) {
	var d *diagnosticsError
	if !errors.As(err, &d) {
		text, next := apart(err)
		d = &diagnosticsError{diags: hcl.Diagnostics{{Severity: hcl.DiagError, Summary: text, Detail: next}}}
		if _, ok := errors.AsType[*providers.Error](err); ok && !inv.json {
			inv.reportStore(text, next)
			return
		}
	}
	switch {
	case inv.json && !inv.wroteJSON:
		_ = inv.document(func(w io.Writer) error {
			return render.ErrorJSON(w, codeOf(ctx, err), append(inv.warnings, d.diags...))
		})
	case len(d.files) == 0 && len(d.diags) == 1 && d.diags[0].Subject == nil && d.diags[0].Detail == "":
		inv.say("coffer: %s", d.diags[0].Summary)
	default:
		inv.printDiagnostics(d.diags, d.files)
	}
}

// apart splits an error into what went wrong and what to do about it, which is
// "" where no provider knows.
func apart(err error) (text, next string) {
	text = err.Error()
	if e, ok := errors.AsType[*providers.Error](err); ok && e.Hint != "" {
		text = strings.Replace(text, "; "+e.Hint, "", 1)
		next = e.Hint
	}
	return text, next
}

// nothingChanged is what a person wants to know after an error.
const nothingChanged = "Nothing was changed."

// reportStore says what a store did not do, what to do about it, and what
// became of the command.
func (inv *invocation) reportStore(text, next string) {
	inv.say("coffer: %s", text)
	if next != "" {
		inv.say("  Next: %s", strings.ReplaceAll(next, "\n", "\n  "))
	}
	if !inv.began {
		inv.say("  %s", nothingChanged)
	}
}

// warnOfConfig shows warnings of the configuration where somebody looks at what
// it means; repeated by every other command they would only be skipped.
func (inv *invocation) warnOfConfig(diags hcl.Diagnostics, files map[string]*hcl.File) {
	switch inv.command {
	case "validate", "plan", "apply":
		inv.warn(diags, files)
	}
}

// warn shows diagnostics that stop nothing: on stderr, or in the document.
func (inv *invocation) warn(diags hcl.Diagnostics, files map[string]*hcl.File) {
	inv.noted = append(inv.noted, diags...)
	switch {
	case len(diags) == 0:
	case inv.json:
		inv.warnings = append(inv.warnings, diags...)
	default:
		inv.printDiagnostics(diags, files)
	}
}

func (inv *invocation) printDiagnostics(diags hcl.Diagnostics, files map[string]*hcl.File) {
	_ = render.DiagnosticsText(inv.Err, diags, files, inv.style(inv.Err))
}

// planWarnings returns the warnings for a plan's document.
func (inv *invocation) planWarnings() []planner.Diagnostic {
	var out []planner.Diagnostic
	for _, d := range inv.warnings {
		out = append(out, render.PlanDiagnostic(d))
	}
	return out
}

// fromPlanner turns diagnostics of the planner into those of the
// configuration, so that they are shown with the lines of files that they are
// about.
func fromPlanner(list []planner.Diagnostic, files map[string]*hcl.File) hcl.Diagnostics {
	var out hcl.Diagnostics
	for _, d := range list {
		h := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: d.Summary, Detail: d.Detail}
		if d.Severity == planner.SeverityWarning {
			h.Severity = hcl.DiagWarning
		}
		if d.Range != nil {
			h.Subject = subject(d.Range, files[d.Range.File])
		}
		if d.Address != nil && !strings.HasPrefix(d.Summary, d.Address.String()+" ") {
			h.Summary += ": " + d.Address.String()
		}
		h.Extra = fromPlan{d}
		out = append(out, h)
	}
	return out
}

// fromPlan is the Extra of a diagnostic that the planner found: documents show
// it as it was.
type fromPlan struct{ planner.Diagnostic }

// Found is asked by whoever makes a document.
func (f fromPlan) Found() planner.Diagnostic { return f.Diagnostic }

// subject finds the word that stands at a place of a file. Where the file has no
// such place, nothing of it is shown: its bytes are before the file.
func subject(r *planner.Range, f *hcl.File) *hcl.Range {
	at := hcl.Pos{Line: r.Line, Column: r.Column, Byte: -1}
	found := &hcl.Range{Filename: r.File, Start: at, End: at}
	if f == nil {
		return found
	}
	start := hcl.Pos{Line: 1, Column: 1}
	for line := range bytes.Lines(f.Bytes) {
		if start.Line < r.Line {
			start.Line++
			start.Byte += len(line)
			continue
		}
		tokens, _ := hclsyntax.LexConfig(line, r.File, start) // what is wrong with it was said before
		for _, t := range tokens {
			from, to := t.Range.Start, t.Range.End // of a comment, in the next line
			if from.Line == r.Line && from.Column >= r.Column || to.Line == r.Line && to.Column > r.Column {
				found.Start.Byte, found.End = from.Byte, to
				break
			}
		}
		break
	}
	return found
}

// style returns how text looks on a stream.
func (inv *invocation) style(stream any) render.Style {
	return render.Style{Color: inv.colored(stream), Width: width(stream)}
}

// say writes a line for people to stderr; what could disturb a terminal or a
// CI system is escaped.
func (inv *invocation) say(format string, args ...any) {
	fmt.Fprintf(render.NewWriter(inv.Err, render.Style{}), format+"\n", args...)
}

// noArguments refuses arguments of a command that takes none.
func (inv *invocation) noArguments(c *cli.Context) error { return inv.arguments(c, 0, 0) }

// arguments refuses fewer than least or more than most arguments; most < 0 is
// no limit.
func (inv *invocation) arguments(c *cli.Context, least, most int) error {
	switch n := c.Args().Len(); {
	case most == 0 && n > 0:
		return usagef("coffer %s takes no arguments, and %q is one; coffer help %s says more",
			inv.command, c.Args().First(), inv.command)
	case n < least:
		return usagef("coffer %s needs %s; coffer help %s says more", inv.command, c.Command.ArgsUsage, inv.command)
	case most > 0 && n > most:
		return usagef("coffer %s takes %s, and %q is one too many; coffer help %s says more",
			inv.command, c.Command.ArgsUsage, c.Args().Get(most), inv.command)
	}
	return nil
}
