package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/cofferhq/coffer/internal/forge"
	"github.com/cofferhq/coffer/internal/render"
)

// ciDocument is what -json prints of a job.
type ciDocument struct {
	FormatVersion int    `json:"format_version"`
	Job           string `json:"job"`
	Place         string `json:"place"`
	Project       string `json:"project"`
	// Change is the pull or merge request that the job is about; 0 is none.
	Change   int `json:"change"`
	ExitCode int `json:"exit_code"`
	// Digest is that of the plan that was saved, or applied.
	Digest string `json:"digest,omitempty"`
	// Files are those that were written, by format; "plan" is the saved plan.
	Files   map[string]string `json:"files"`
	Comment *ciPost           `json:"comment,omitempty"`
	Issue   *ciPost           `json:"issue,omitempty"`
	Commit  *ciCommitted      `json:"commit,omitempty"`
	// Result is the document of the command with the name of the job.
	Result json.RawMessage `json:"result"`
}

// ciPost is what became of a comment or an issue.
type ciPost struct {
	What    string `json:"what"` // those of [forge.Done], or muted, failed
	Page    string `json:"page,omitempty"`
	Because string `json:"because,omitempty"`
}

// comment keeps the comment of the job on the pull request up to date; end is what
// it says last. Without create, one that is not there is not made.
func (j *ciJob) comment(ctx context.Context, r *result, create bool, end string) {
	change, err := j.change(ctx)
	switch {
	case j.project == "" || r.comment == nil || err == nil && change == 0:
	case j.forge == nil:
		if create && j.mute != "" {
			j.muted("comment")
			j.doc.Comment = &ciPost{What: "muted", Because: j.mute}
		}
	default:
		var done forge.Done
		var body bytes.Buffer
		if err == nil {
			err = r.comment(&body, j.forge.Limit()-len(end))
		}
		if err == nil {
			done, err = j.forge.Comment(ctx, change, render.Marker(j.project, j.name), body.String()+end, create)
		}
		j.doc.Comment = j.posted("Comment on "+changeName(j.run.Kind, change), done, err)
	}
}

// change returns the pull request that the job is about, 0 for none. An apply is
// about the one that its commit came with.
func (j *ciJob) change(ctx context.Context) (int, error) {
	if j.doc.Change != 0 || j.name != "apply" || j.forge == nil || j.run.Head == "" {
		return j.doc.Change, nil
	}
	change, err := j.forge.ChangeOf(ctx, j.run.Head)
	j.doc.Change = change
	return change, err
}

// posted says on stderr what became of a comment or an issue, and keeps an error
// for the end of the job.
func (j *ciJob) posted(what string, done forge.Done, err error) *ciPost {
	if err != nil {
		j.failed = errors.Join(j.failed, err)
		return &ciPost{What: "failed", Because: err.Error()}
	}
	switch {
	case done.What == forge.None || done.What == "":
	case done.Page == "":
		j.inv.say("%s: %s.", what, done.What)
	default:
		j.inv.say("%s: %s, %s", what, done.What, done.Page)
	}
	return &ciPost{What: done.What, Page: done.Page}
}

func changeName(place forge.Kind, change int) string {
	if place == forge.GitLab {
		return "merge request " + strconv.Itoa(change)
	}
	return "pull request " + strconv.Itoa(change)
}

// end shows an error in the formats, writes the outputs of the step, prints the
// document, and returns how the job ends: an error beats what could not be told,
// that beats changes, and what could not be posted is an error.
func (j *ciJob) end(ctx context.Context, err error) error {
	err = j.showError(ctx, err)
	err = worse(err, j.unposted(err))
	code := exitCode(ctx, err)
	if code == ExitDone {
		code = j.found
	}
	j.output("exitcode", strconv.Itoa(code))
	err = worse(err, j.writeOutputs())
	if !j.inv.json || j.doc.Result == nil {
		return err
	}
	j.doc.FormatVersion, j.doc.Project, j.doc.ExitCode = 1, j.project, exitCode(ctx, err)
	return worse(err, j.inv.printJSON(j.doc))
}

// unposted returns the error of what could not be posted. It says first that the
// job has done its work, if it has with err: who reads it need not do that again.
func (j *ciJob) unposted(err error) error {
	if j.failed == nil {
		return nil
	}
	done, what := "", "comment"
	switch {
	case j.name == "plan" && j.doc.Digest != "" && !isFailure(err):
		done = "the plan was made and saved; "
	case j.name == "apply" && err == nil && j.doc.Commit != nil && j.doc.Commit.Pushed:
		done = "everything was applied and pushed; "
	case j.name == "apply" && err == nil:
		done = "everything was applied; "
	case j.name == "drift":
		what = "issue"
		if !isFailure(err) {
			done = "the drift was reported; "
		}
	}
	return fmt.Errorf("%sthe %s could not be posted: %w", done, what, j.failed)
}

// worse returns how a command ends that ends with err, and for which something
// else failed or not.
func worse(err, failed error) error {
	switch {
	case failed == nil:
		return err
	case isFailure(err):
		return errors.Join(err, failed)
	}
	return failed
}
