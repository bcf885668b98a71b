package forge

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Detect finds out what the environment says about the run. readFile reads the
// file of the event that GitHub writes.
//
// A run that the environment says is of a pull request, and whose pull request
// cannot be made out, is an error: what is trusted depends on it. So is a commit,
// branch or address that is not one. Errors are [*Error], Refused.
func Detect(getenv func(string) string, readFile func(string) ([]byte, error)) (Run, error) {
	var run Run
	var err error
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		run, err = detectGitHub(getenv, readFile)
	case getenv("GITLAB_CI") == "true":
		run, err = detectGitLab(getenv)
	default:
		return Run{Kind: Plain}, nil
	}
	if err == nil {
		err = run.check()
	}
	if err != nil {
		return Run{}, err
	}
	return run, nil
}

const opDetect = "find out what this run is of"

// unclear is the error of an environment that does not fit together.
func unclear(detail, hint string) *Error {
	return &Error{Why: Refused, Op: opDetect, Detail: detail, Hint: hint}
}

// name and hint of a field, for the error about it
type field struct {
	name string
	ok   bool
}

// check refuses a field that is not of the form that [Run] promises. The value is
// not shown: it may be anything.
func (r Run) check() error {
	repository := isRepository(r.Repository)
	if r.Kind == GitLab {
		repository = isProjectID(r.Repository)
	}
	for _, f := range []field{
		{"name of the repository", repository},
		{"address of the API", isAddress(r.API)},
		{"address of the repository", r.Web == "" || isAddress(r.Web)},
		{"address of the run", r.Page == "" || isAddress(r.Page)},
		{"number of the pull request", r.Change >= 0},
		{"base commit", r.Base == "" || isCommit(r.Base)},
		{"commit", r.Head == "" || isCommit(r.Head)},
		{"branch", r.Branch == "" || isBranch(r.Branch)},
		{"default branch", r.Default == "" || isBranch(r.Default)},
	} {
		if !f.ok {
			return unclear("the "+f.name+" that the environment or its event file gives has not the form of one",
				"look for a step or variable that overwrites what the runner sets")
		}
	}
	return nil
}

var (
	repositoryForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)
	projectForm    = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
	commitForm     = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

func isRepository(s string) bool {
	owner, name, _ := strings.Cut(s, "/")
	dots := func(s string) bool { return s == "." || s == ".." }
	return repositoryForm.MatchString(s) && !dots(owner) && !dots(name)
}

func isProjectID(s string) bool { return projectForm.MatchString(s) }

func isCommit(s string) bool { return commitForm.MatchString(s) }

// isBranch holds a name to the rules of git check-ref-format.
func isBranch(s string) bool {
	if len(s) > 1024 || strings.ContainsAny(s, `~^:?*[\`) || s == "@" || strings.ContainsFunc(s, func(r rune) bool {
		return r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.IsSpace(r)
	}) {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return s[0] != '-' && !strings.Contains(s, "..") && !strings.Contains(s, "@{") && !strings.HasSuffix(s, ".")
}

// isAddress reports whether s is an http address that holds no credential and
// that a path can be added to.
func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && !strings.HasSuffix(s, "/") && !strings.ContainsFunc(s, noAddress)
}

// noAddress reports whether r may not stand in an address (RFC 3986, 2).
func noAddress(r rune) bool {
	return r <= ' ' || r >= unicode.MaxASCII || strings.ContainsRune("\"<>\\^`{|}", r)
}

// number reads a positive number, 0 for any other text.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
