package cli

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/render"
)

const (
	formatText     = "text"
	formatJSON     = "json"
	formatMarkdown = "markdown"
	formatHTML     = "html"
	formatGitHub   = "github"
	formatGitLab   = "gitlab"
	formatSARIF    = "sarif"
	formatJUnit    = "junit"
	// formatPrometheus is of rotation alone.
	formatPrometheus = "prometheus"
)

// formatWriters say how a result is written in each format.
func formatWriters() map[string]func(*result, io.Writer) error {
	return map[string]func(*result, io.Writer) error{
		formatText:     func(r *result, w io.Writer) error { return r.text(w, render.Style{}) },
		formatJSON:     func(r *result, w io.Writer) error { return r.json(w) },
		formatMarkdown: func(r *result, w io.Writer) error { return r.markdown(w, r.inv.commentLimit()) },
		formatHTML:     func(r *result, w io.Writer) error { return r.html(w) },
		formatGitHub:   func(r *result, w io.Writer) error { return render.GitHub(w, r.found, r.options) },
		formatGitLab:   func(r *result, w io.Writer) error { return render.GitLab(w, r.found, r.options) },
		formatSARIF:    func(r *result, w io.Writer) error { return render.SARIF(w, r.found, r.options) },
		formatJUnit:    func(r *result, w io.Writer) error { return render.JUnit(w, r.found, r.options) },

		formatPrometheus: func(r *result, w io.Writer) error { return r.prometheus(w) },
	}
}

// formats are what -format asks for.
type formats struct {
	has     []string
	stdout  string // "" is the text, or the document of -json
	files   []formatFile
	command string
	shown   bool // or refused: an error is not shown in the formats
}

type formatFile struct{ format, path string }

// reviewFormats are those of a plan and of a drift report.
func reviewFormats() []string {
	return []string{formatText, formatJSON, formatMarkdown, formatHTML, formatGitHub, formatGitLab, formatSARIF, formatJUnit}
}

// flag returns -format of a command that has the named formats.
func (f *formats) flag(has ...string) cli.Flag {
	f.has = has
	return &cli.StringSliceFlag{
		Name: "format", Usage: "show the result as `F[=FILE]`, several with commas between them; F is " + strings.Join(has, ", "),
	}
}

// collect takes -format from c. Formats that the command does not have, two for
// stdout and one file for two formats are refused.
func (f *formats) collect(c *cli.Context, inv *invocation) error {
	f.command = inv.command
	for _, part := range strings.Split(strings.Join(c.StringSlice("format"), ","), ",") {
		if part == "" {
			continue
		}
		name, file, toFile := strings.Cut(part, "=")
		switch {
		case !slices.Contains(f.has, name):
			return usagef("coffer %s has no format %q; it has %s", inv.command, name, strings.Join(f.has, ", "))
		case toFile && file == "":
			return usagef("-format %s= names no file; write -format %s=FILE, or -format %s for stdout", name, name, name)
		case toFile && f.writes(file):
			return usagef("-format writes %s twice: give each format a file of its own", file)
		case toFile:
			f.files = append(f.files, formatFile{name, file})
		case f.stdout != "":
			return usagef("-format %s and %s both go to stdout: give one a file, as in -format %s=FILE", f.stdout, name, name)
		case inv.json && name != formatJSON:
			return usagef("-json and -format %s both go to stdout: write -format %s=FILE", name, name)
		default:
			f.stdout = name
		}
	}
	inv.json = inv.json || f.stdout == formatJSON
	return nil
}

// writes reports whether one of the formats goes to file.
func (f *formats) writes(file string) bool {
	return slices.ContainsFunc(f.files, func(out formatFile) bool { return filepath.Clean(out.path) == filepath.Clean(file) })
}

// mayHold refuses files that are something else: what is there is replaced only
// where it is such a report. w may lack what is not known yet.
func (f *formats) mayHold(w *workspace) error {
	for _, out := range f.files {
		what := w.reserved(out.path)
		if what == "" {
			data, _, err := durable.Read(durable.OS(), resolved(w.inv.path(out.path)), maxPlanFile)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				f.shown = true
				return err
			case isReport(out.format, data):
				continue
			}
			what = "there already and no report of that format"
		}
		f.shown = true
		return fmt.Errorf("-format %s does not write to %s, which is %s; name another file", out.format, out.path, what)
	}
	return nil
}

// isReport reports whether data is what an earlier run wrote in a format.
func isReport(format string, data []byte) bool {
	begins := func(text string) bool { return bytes.HasPrefix(data, []byte(text)) }
	switch {
	case len(data) == 0:
		return true
	case format == formatJSON:
		return begins("{\n  \"format_version\": ")
	case format == formatMarkdown:
		return begins("<!-- coffer:")
	case format == formatHTML:
		return begins("<!doctype html>") && bytes.Contains(data[:min(len(data), 4<<10)], []byte("<title>Coffer "))
	case format == formatGitHub:
		return begins("::error ") || begins("::warning ") || begins("::notice ")
	case format == formatGitLab:
		return begins("[]\n") || begins("[\n  {\n    \"description\": ")
	case format == formatSARIF:
		return begins("{\n  \"$schema\": \"https://docs.oasis-open.org/sarif/")
	case format == formatJUnit:
		return begins(xml.Header + "<testsuites name=\"coffer ")
	case format == formatPrometheus:
		return begins("# HELP coffer_")
	}
	last := data[bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n')+1:]
	return bytes.HasPrefix(last, []byte("The configuration is valid: ")) || bytes.HasPrefix(last, []byte("Rotation: ")) ||
		bytes.Contains(last, []byte(". Values read: "))
}

// result is what a command found, in every form that it has; a nil form is one
// that there is none of.
type result struct {
	inv      *invocation
	found    *render.Report
	options  render.ReportOptions
	text     func(io.Writer, render.Style) error
	json     func(io.Writer) error
	markdown func(w io.Writer, limit int) error
	// comment is markdown without what differs from run to run.
	comment func(w io.Writer, limit int) error
	html    func(io.Writer) error

	prometheus func(io.Writer) error
	// shown says that stdout has the text already.
	shown bool
}

func (r *result) lacks(format string) bool {
	return format == formatMarkdown && r.markdown == nil || format == formatHTML && r.html == nil ||
		format == formatText && r.text == nil || format == formatPrometheus && r.prometheus == nil
}

// show writes a result to stdout and to the files, and with the format github
// to the summary of the job.
func (f *formats) show(r *result) error {
	f.shown = true
	if err := f.toStdout(r); err != nil {
		return err
	}
	summary := f.stdout == formatGitHub
	for _, out := range f.files {
		summary = summary || out.format == formatGitHub
		if r.lacks(out.format) {
			r.inv.say("%s is not written: there is nothing to show as %s.", out.path, out.format)
			continue
		}
		var data bytes.Buffer
		if err := formatWriters()[out.format](r, &data); err != nil {
			return fmt.Errorf("format %s: %w", out.format, err)
		}
		if err := durable.Replace(durable.OS(), r.inv.path(out.path), data.Bytes(), 0o644, nil); err != nil {
			return err
		}
	}
	if file := r.inv.Getenv("GITHUB_STEP_SUMMARY"); summary && file != "" && r.markdown != nil {
		if err := r.appendSummary(file); err != nil {
			r.inv.say("coffer: the summary of the job could not be written: %v", err)
		}
	}
	return nil
}

func (f *formats) toStdout(r *result) error {
	inv := r.inv
	switch {
	case inv.json && inv.wroteJSON:
		return nil
	case inv.json:
		return inv.document(r.json)
	case f.stdout == "" || f.stdout == formatText:
		if r.text == nil || r.shown {
			return nil
		}
		return r.text(inv.Out, inv.style(inv.Out))
	case r.lacks(f.stdout):
		return nil
	}
	return formatWriters()[f.stdout](r, inv.Out)
}

// summaryLimit is what GitHub takes of one step, less what another may add.
const summaryLimit = 1<<20 - 64<<10

// appendSummary adds the Markdown to the file that GitHub shows on the page of
// the run; other steps of the job write there too.
func (r *result) appendSummary(file string) error {
	var data bytes.Buffer
	if err := r.markdown(&data, summaryLimit); err != nil {
		return err
	}
	return appendTo(file, data.String()+"\n")
}

// commentLimit is how large a comment may be where this run goes on.
func (inv *invocation) commentLimit() int {
	if inv.Getenv("GITLAB_CI") != "" {
		return 1_000_000
	}
	return 65_536
}

// orError shows an error in the formats too, so that it stands where a reviewer
// looks, and returns it: what could not begin has no other result.
func (f *formats) orError(ctx context.Context, inv *invocation, err error) error {
	var done outcome
	var usage usageError
	if err == nil || f.shown || errors.As(err, &done) || errors.As(err, &usage) || ctx.Err() != nil || f.stdout == "" && len(f.files) == 0 {
		return err
	}
	if held := f.mayHold(&workspace{inv: inv}); held != nil {
		return err // it may be the error itself
	}
	r := inv.errorResult(f.command, codeOf(ctx, err), inv.project, inv.diagnosticsOf(err))
	inv.wroteJSON = inv.json // finish prints the document
	if showErr := f.show(r); showErr != nil {
		inv.say("coffer: %v", showErr)
	}
	inv.wroteJSON = false
	return err
}

// diagnosticsOf returns an error and what was warned of before it.
func (inv *invocation) diagnosticsOf(err error) hcl.Diagnostics {
	var config *diagnosticsError
	if errors.As(err, &config) {
		return append(slices.Clip(inv.noted), config.diags...)
	}
	text, next := apart(err)
	if first, rest, several := strings.Cut(text, "\n"); several { // one line for each of many things
		text, next = first, strings.TrimSpace(rest+"\n"+next)
	}
	return append(slices.Clip(inv.noted), &hcl.Diagnostic{Severity: hcl.DiagError, Summary: text, Detail: next})
}
