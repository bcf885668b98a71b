package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/forge"
)

// placeFiles are the formats that a place makes something of, and their files.
// How an apply ended has fewer.
func placeFiles(place forge.Kind, name string) []formatFile {
	all := []formatFile{{formatMarkdown, name + ".md"}, {formatJSON, name + ".json"}}
	sarif, junit := formatFile{formatSARIF, name + ".sarif"}, formatFile{formatJUnit, name + ".xml"}
	switch {
	case name == "apply" && place == forge.GitHub:
		return all
	case name == "apply":
		return append(all, junit)
	}
	all = append(all, formatFile{formatHTML, name + ".html"})
	switch place {
	case forge.GitHub:
		return append(all, sarif)
	case forge.GitLab:
		return append(all, formatFile{formatGitLab, "gl-code-quality-report.json"}, junit)
	}
	return append(all, sarif, junit)
}

// chooseFiles takes the formats of the place, unless -format asks for others.
func (j *ciJob) chooseFiles() {
	f := &j.formats
	if j.standard || len(f.files) > 0 || f.stdout != "" && f.stdout != formatJSON {
		return
	}
	j.standard = true
	for _, file := range placeFiles(j.run.Kind, j.name) {
		f.files = append(f.files, formatFile{file.format, filepath.Join(j.dir, file.path)})
	}
}

// show writes a result in every format, and what the place itself shows: on
// GitHub annotations and the summary of the job.
func (j *ciJob) show(r *result) error {
	inv := j.inv
	if err := j.makeDir(); err != nil {
		return err
	}
	if inv.json {
		var doc bytes.Buffer
		if err := r.json(&doc); err != nil {
			return err
		}
		j.doc.Result = doc.Bytes()
		inv.wroteJSON = true // the document of the job is printed at its end
		defer func() { inv.wroteJSON = false }()
	}
	if err := j.formats.show(r); err != nil {
		return err
	}
	for _, f := range j.formats.files {
		if !r.lacks(f.format) {
			j.doc.Files[f.format] = inv.path(f.path)
		}
	}
	if j.run.Kind != forge.GitHub || !j.standard {
		return nil
	}
	if !inv.json {
		if err := formatWriters()[formatGitHub](r, inv.Out); err != nil {
			return err
		}
	}
	if j.run.Summary != "" && r.markdown != nil {
		if err := r.appendSummary(j.run.Summary); err != nil {
			inv.say("coffer: the summary of the job could not be written: %v", err)
		}
	}
	return nil
}

// showError shows why there is no plan or report, where a reviewer looks, and
// returns it.
func (j *ciJob) showError(ctx context.Context, err error) error {
	var usage usageError
	if !isFailure(err) || errors.As(err, &usage) || ctx.Err() != nil || j.doc.Result != nil || j.formats.shown {
		return err
	}
	j.chooseFiles()
	if held := j.formats.mayHold(&workspace{inv: j.inv}); held != nil {
		j.formats.files = nil // it may be the error itself
	}
	r := j.inv.errorResult(j.name, codeOf(ctx, err), j.project, j.inv.diagnosticsOf(err))
	if showErr := j.show(r); showErr != nil {
		j.inv.say("coffer: %v", showErr)
	}
	j.doc.Result = nil // the document is that of the error
	switch {
	case j.name == "plan":
		j.comment(ctx, r, true, "")
	case j.name == "apply" && !j.inv.began:
		j.comment(ctx, r, true, "\n"+nothingChanged+" The plan was "+"`"+j.doc.Digest+"`.\n")
	case j.name == "apply":
		j.comment(ctx, r, true, "")
	}
	return err
}

// isFailure reports whether err still has to be told.
func isFailure(err error) bool {
	var done outcome
	return err != nil && !errors.As(err, &done)
}

// output is one output of the step.
type output struct{ name, value string }

// output keeps one for the end of the job; the last of a name counts.
func (j *ciJob) output(name, value string) {
	for i := range j.outputs {
		if j.outputs[i].name == name {
			j.outputs[i].value = value
			return
		}
	}
	j.outputs = append(j.outputs, output{name, value})
}

// writeOutputs hands the outputs to the steps and jobs that follow. No value has
// a line break.
func (j *ciJob) writeOutputs() error {
	var b strings.Builder
	switch {
	case j.run.Kind == forge.GitHub && j.run.Outputs != "":
		for _, o := range j.outputs {
			b.WriteString(o.name + "=" + o.value + "\n")
		}
		return appendTo(j.run.Outputs, b.String())
	case j.run.Kind == forge.GitLab:
		for _, o := range j.outputs {
			b.WriteString("COFFER_" + strings.ToUpper(o.name) + "=" + o.value + "\n")
		}
		if err := j.makeDir(); err != nil {
			return err
		}
		return durable.Replace(durable.OS(), j.inv.path(filepath.Join(j.dir, "coffer.env")), []byte(b.String()), 0o644, nil)
	}
	return nil
}

// appendTo adds text to a file of the runner, where other steps write too.
func appendTo(file, text string) error {
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = out.WriteString(text)
	return errors.Join(err, out.Close())
}
