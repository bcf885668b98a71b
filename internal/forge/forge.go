// Package forge speaks to the place where a run of continuous integration
// happens: it finds out what GitHub Actions or GitLab CI say about the run, keeps
// one comment on a pull request up to date, and opens and closes one issue.
//
// Read [Detect] first, then [Forge]. The package knows no plan: what a comment
// says is made elsewhere, and found again by its first line. It speaks plain
// REST: the vendors' own clients are megabytes for the dozen requests made here,
// and neither lets one say which request may be sent twice.
//
// # Which comment is ours
//
// The marker alone does not say: whoever may comment can write it. A comment or
// an issue is ours if it starts with the marker and its author is who the token
// belongs to. GET /user says who that is. An app's token, which the token of a
// GitHub job is, may not ask that; GitHub then tells by GraphQL's "viewer". That
// the author is some bot is not enough: a bot that quotes what people write would
// do. Without knowing who we are nothing is written.
//
// # Two runs at once
//
// Neither forge has a conditional write, so two runs that both find no comment
// both make one. The next run repairs that: it keeps the oldest, gives it the
// wanted text and deletes the others of ours (an issue it closes, for which no
// right to delete is needed). Which of two runs writes last is not decided here:
// a workflow that minds lets one run wait for the other.
//
// # A lost answer
//
// Reading and changing are repeated; making is not. After a POST whose outcome
// nobody knows, the list is read again, and only what is not in it is made.
package forge

import "context"

// Kind is where a run happens.
type Kind string

const (
	GitHub Kind = "github" // GitHub Actions, also of GitHub Enterprise
	GitLab Kind = "gitlab" // GitLab CI
	Plain  Kind = "plain"  // anywhere else: nothing is posted
)

// Run is what the place tells about one run. What it does not tell is zero.
//
// Of a Run from [Detect] each field has a form that is safe in an address and as
// an argument of git: commits are hexadecimal, a branch is a name that git takes
// and starts with no dash.
type Run struct {
	Kind       Kind
	Repository string // "owner/name", or the id of a GitLab project
	API        string // base address of the REST API, without a slash at the end
	Web        string // where a person sees the repository, without a slash at the end
	Change     int    // the number of the pull or merge request; 0 is none
	Fork       bool   // the pull request comes from another repository
	Base       string // commit that a pull request or a merge queue starts from; what is trusted
	Head       string // commit that is looked at
	Branch     string // that a pull request goes to, or that the run is of; "" is a tag
	Default    string // the repository's own branch
	Page       string // where a person sees the run
	Summary    string // file that the summary of the job is added to; "" is none
	Outputs    string // file that the outputs of the step are added to; "" is none
}

// Done is what became of a comment or an issue.
type Done struct {
	What string // "created", "updated", "unchanged", "closed", "none"
	Page string // where a person sees it, "" where there is none
}

const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
	Closed    = "closed"
	None      = "none" // there was nothing to close or to say
)

// Forge is a place that comments and issues can be kept on. Each method is safe
// to repeat, and what has the wanted content already is not touched: a difference
// in line ends or in blanks at either end is none. So a body that shows the time
// or the address of the run is written by every run.
//
// Errors are [*Error]. A context that has ended is found in them by errors.Is.
type Forge interface {
	// Comment makes the one comment of change whose first line is marker say body,
	// which starts with that line. Without create, one that is not there yet is
	// not made: nothing to say is no news.
	Comment(ctx context.Context, change int, marker, body string, create bool) (Done, error)
	// OpenIssue makes the one open issue whose text starts with marker have the
	// title and body.
	OpenIssue(ctx context.Context, marker, title, body string) (Done, error)
	// CloseIssue closes that issue with a last comment, and is None where none is
	// open.
	CloseIssue(ctx context.Context, marker, comment string) (Done, error)
	// ChangeOf returns the number of the merged pull request that brought commit
	// into the branch of the run, 0 where there is none.
	ChangeOf(ctx context.Context, commit string) (int, error)
	// Limit is how many bytes a comment or an issue may have. More is Refused
	// before any request.
	Limit() int
}

// nowhere is the forge of a plain run.
type nowhere struct{}

func (nowhere) Comment(context.Context, int, string, string, bool) (Done, error) {
	return Done{What: None}, nil
}

func (nowhere) OpenIssue(context.Context, string, string, string) (Done, error) {
	return Done{What: None}, nil
}

func (nowhere) CloseIssue(context.Context, string, string) (Done, error) {
	return Done{What: None}, nil
}

func (nowhere) ChangeOf(context.Context, string) (int, error) { return 0, nil }

// Limit is that of GitHub, so that what is printed there is what a comment shows.
func (nowhere) Limit() int { return gitHubLimit }
