package forge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// site is what differs between the forges: one method, one kind of request.
type site interface {
	// whoami says whom the token belongs to.
	whoami(ctx context.Context) (author, error)
	// comments returns the comments of a thread that keep wants.
	comments(ctx context.Context, on thread, keep func(post) bool) ([]post, error)
	addComment(ctx context.Context, on thread, body string) (post, error)
	editComment(ctx context.Context, on thread, p post, body string) error
	dropComment(ctx context.Context, on thread, p post) error
	// issues returns the open issues by an author that keep wants.
	issues(ctx context.Context, by author, keep func(post) bool) ([]post, error)
	addIssue(ctx context.Context, title, body string) (post, error)
	editIssue(ctx context.Context, p post, title, body string) error
	// shutIssue closes an issue: its matter is done, or is that of another issue.
	shutIssue(ctx context.Context, p post, done bool) error
	changeOf(ctx context.Context, commit string) (int, error)
	// plain returns a text without what the forge would act upon, its lines ended
	// by one character.
	plain(text string) string
	limit() int
}

// author is who wrote something: the id where it is known, since a name can be
// given up and taken by somebody else.
type author struct {
	id    int64
	login string
}

func (a author) is(other author) bool {
	if a.id != 0 {
		return a.id == other.id
	}
	return a.login != "" && strings.EqualFold(a.login, other.login)
}

// post is a comment or an issue.
type post struct {
	id     int64 // of an issue, its number
	author author
	title  string // of an issue
	body   string
	page   string
}

// startsWith reports whether the first line of the post is marker.
func (p post) startsWith(marker string) bool { return firstLine(p.body) == marker }

// thread is what comments stand on: a pull request or an issue.
type thread struct {
	issue  bool
	number int
}

// keeper implements [Forge] on any site.
type keeper struct {
	site
	client *client

	mu sync.Mutex
	me *author // once it is known
}

func (k *keeper) Limit() int { return k.limit() }

func (k *keeper) Comment(ctx context.Context, change int, marker, body string, create bool) (Done, error) {
	on := thread{number: change}
	op := "comment on " + on.name(k.client.run.Kind)
	if change <= 0 {
		return Done{}, &Error{Why: Refused, Op: op, Detail: "there is no pull request of that number"}
	}
	body, err := k.text(op, marker, body)
	if err != nil {
		return Done{}, err
	}
	return k.settle(ctx, func(me author) (Done, error) {
		ours, err := k.comments(ctx, on, func(p post) bool { return me.is(p.author) && p.startsWith(marker) })
		switch {
		case err != nil:
			return Done{}, err
		case len(ours) == 0 && !create:
			return Done{What: None}, nil
		case len(ours) == 0:
			p, err := k.addComment(ctx, on, body)
			return Done{What: Created, Page: p.page}, asMade(err)
		}
		oldest, extra := split(ours)
		done := Done{What: Unchanged, Page: oldest.page}
		if !same(oldest.body, body) {
			if err := k.editComment(ctx, on, oldest, body); err != nil {
				return Done{}, asEdited(err)
			}
			done.What = Updated
		}
		for _, p := range extra {
			if err := k.dropComment(ctx, on, p); err != nil && !isGone(err) { // another run was faster
				return Done{}, err
			}
			done.What = Updated
		}
		return done, nil
	})
}

func (k *keeper) OpenIssue(ctx context.Context, marker, title, body string) (Done, error) {
	const op = "write the issue"
	title = strings.TrimSpace(title)
	if n := len([]rune(title)); n == 0 || n > titleLimit || strings.ContainsFunc(title, unicode.IsControl) {
		return Done{}, &Error{Why: Refused, Op: op, Detail: fmt.Sprintf("a title has one line of 1 to %d characters", titleLimit)}
	}
	body, err := k.text(op, marker, body)
	if err != nil {
		return Done{}, err
	}
	return k.settle(ctx, func(me author) (Done, error) {
		ours, err := k.ourIssues(ctx, me, marker)
		if err != nil {
			return Done{}, err
		}
		if len(ours) == 0 {
			p, err := k.addIssue(ctx, title, body)
			return Done{What: Created, Page: p.page}, asMade(err)
		}
		oldest, extra := split(ours)
		done := Done{What: Unchanged, Page: oldest.page}
		if !same(oldest.body, body) || !same(oldest.title, title) {
			if err := k.editIssue(ctx, oldest, title, body); err != nil {
				return Done{}, asEdited(err)
			}
			done.What = Updated
		}
		for _, p := range extra {
			if err := k.shutIssue(ctx, p, false); err != nil && !isGone(err) {
				return Done{}, err
			}
			done.What = Updated
		}
		return done, nil
	})
}

// CloseIssue comments first: an issue that is closed is not found again, and its
// comment would be lost with a connection.
func (k *keeper) CloseIssue(ctx context.Context, marker, comment string) (Done, error) {
	const op = "close the issue"
	comment, err := k.text(op, firstLine(comment), comment)
	if err != nil {
		return Done{}, err
	}
	return k.settle(ctx, func(me author) (Done, error) {
		ours, err := k.ourIssues(ctx, me, marker)
		if err != nil || len(ours) == 0 {
			return Done{What: None}, err
		}
		oldest, extra := split(ours)
		on := thread{issue: true, number: int(oldest.id)}
		said, err := k.comments(ctx, on, func(p post) bool { return me.is(p.author) && same(p.body, comment) })
		if err != nil {
			return Done{}, err
		}
		if len(said) == 0 {
			if _, err := k.addComment(ctx, on, comment); err != nil {
				return Done{}, asMade(err)
			}
		}
		for i, p := range append([]post{oldest}, extra...) {
			if err := k.shutIssue(ctx, p, i == 0); err != nil && !isGone(err) {
				return Done{}, err
			}
		}
		return Done{What: Closed, Page: oldest.page}, nil
	})
}

func (k *keeper) ChangeOf(ctx context.Context, commit string) (int, error) {
	if !isCommit(commit) {
		return 0, &Error{Why: Refused, Op: "look for the pull request of a commit", Detail: "a commit is named by 40 or 64 hexadecimal digits"}
	}
	return k.changeOf(ctx, commit)
}

func (k *keeper) ourIssues(ctx context.Context, me author, marker string) ([]post, error) {
	return k.issues(ctx, me, func(p post) bool { return me.is(p.author) && p.startsWith(marker) })
}

// text returns body as it is sent, or refuses what could not be found again or is
// too long.
func (k *keeper) text(op, marker, body string) (string, error) {
	if strings.TrimSpace(marker) != marker || marker == "" || firstLine(body) != marker {
		return "", &Error{Why: Refused, Op: op, Detail: "the text does not start with the line that it is found by"}
	}
	body = strings.ToValidUTF8(k.plain(body), "\uFFFD")
	if len(body) > k.limit() {
		return "", &Error{Why: Refused, Op: op, Detail: fmt.Sprintf("the text has %d bytes, and %d are allowed", len(body), k.limit())}
	}
	return body, nil
}

// whoAmI asks once.
func (k *keeper) whoAmI(ctx context.Context) (author, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.me == nil {
		me, err := k.whoami(ctx)
		if err != nil {
			return author{}, err
		}
		k.me = &me
	}
	return *k.me, nil
}

// stale is an error of a step after which all is to be looked at again.
type stale struct {
	cause *Error
	made  bool // it may have made what it was to make
}

func (s stale) Error() string { return s.cause.Error() }

// asMade wraps the error of making something whose outcome nobody knows.
func asMade(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Why == Unreachable && e.ended == nil {
		return stale{e, true}
	}
	return err
}

// asEdited wraps the error of changing something that somebody took away since it
// was looked at.
func asEdited(err error) error {
	var e *Error
	if errors.As(err, &e) && e.gone() {
		return stale{e, false}
	}
	return err
}

// settle runs step until what it did is known. A step looks at what is there and
// does what is missing, so running it again does nothing twice.
func (k *keeper) settle(ctx context.Context, step func(me author) (Done, error)) (Done, error) {
	me, err := k.whoAmI(ctx)
	if err != nil {
		return Done{}, err
	}
	made := false
	for try := 1; ; try++ {
		done, err := step(me)
		again, ok := err.(stale)
		switch {
		case err == nil:
			if made && done.What == Unchanged {
				done.What = Created
			}
			return done, nil
		case !ok:
			return Done{}, err
		}
		made = made || again.made
		// what is taken away twice is not: a forge answers so where a right is missing
		if try == tries || !again.made && try > 1 || !k.client.rest(ctx, backoff<<(try-1)) {
			return Done{}, again.cause.orEnded(ctx)
		}
	}
}

// split returns the oldest and the others. Ids grow, so no clock is asked.
func split(posts []post) (oldest post, extra []post) {
	slices.SortFunc(posts, func(a, b post) int {
		switch {
		case a.id < b.id:
			return -1
		case a.id > b.id:
			return 1
		}
		return 0
	})
	// a page that moved while it was read shows an entry twice
	posts = slices.CompactFunc(posts, func(a, b post) bool { return a.id == b.id })
	return posts[0], posts[1:]
}

// same reports whether two texts differ in nothing but their line ends and the
// blanks around them, which a forge or a browser changes.
func same(a, b string) bool {
	return strings.TrimSpace(oneLineEnd(a)) == strings.TrimSpace(oneLineEnd(b))
}

func oneLineEnd(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

func firstLine(text string) string {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		text = text[:i]
	}
	return strings.TrimRight(text, " \t")
}

// name says what a thread is, for errors.
func (t thread) name(kind Kind) string {
	what := "pull request"
	switch {
	case t.issue:
		what = "issue"
	case kind == GitLab:
		what = "merge request"
	}
	return fmt.Sprintf("%s %d", what, t.number)
}
