package lang

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

const (
	// maxPinnedFile is the largest file that is compared.
	maxPinnedFile = 16 << 20
	// maxPinnedWords is in how many words of one text the name of a file is
	// looked for.
	maxPinnedWords = 10_000
)

// compareFiles compares the files that pinned blocks name: a list of clusters or
// of trusted certificates says where credentials go, too.
func compareFiles(trusted, proposed Loaded, before, now *pins) hcl.Diagnostics {
	c := fileComparison{trusted: trusted.Dir, proposed: proposed.Dir, seen: map[string]bool{}}
	var out hcl.Diagnostics
	for _, p := range []*pins{now, before} {
		for _, text := range sortedKeys(p.named) {
			for _, d := range c.named(text, true) {
				diag := errorAt(p.named[text].at, "Another file than the trusted copy has", "%s names %s, and that file is %s. %s, %s",
					p.named[text].name, quoted(d.name), d.how, decidesWhere, pinnedAdvice)
				if p == before {
					diag.Subject = nil
				}
				diag.Extra = PinDifference{Block: d.name}
				out = append(out, diag)
			}
		}
	}
	return out
}

// CompareNamed compares the files of a configuration that a text names which
// comes from elsewhere, such as a variable of the environment: a path, or several
// in a list. what names the text for people. A file that the trusted copy does not
// have is one that the job made, as it chose the name.
func CompareNamed(trusted, proposed, what, text string) hcl.Diagnostics {
	c := fileComparison{trusted: trusted, proposed: proposed, made: true, seen: map[string]bool{}}
	var out hcl.Diagnostics
	for _, d := range c.named(text, true) {
		diag := unplaced("Another file than the trusted copy has", "%s names %s, and that file is %s. %s, %s", what, quoted(d.name), d.how, decidesWhere, pinnedAdvice)
		diag.Extra = PinDifference{Block: d.name}
		out = append(out, diag)
	}
	return out
}

type fileComparison struct {
	trusted, proposed string
	made              bool // the job may have made what the trusted copy lacks
	seen              map[string]bool
}

// fileDifference is a file by the name that it has in the text, and how it
// differs.
type fileDifference struct{ name, how string }

// named compares what text names, and with deep what is named in such a file:
// a list of clusters names certificates.
func (c *fileComparison) named(text string, deep bool) []fileDifference {
	var out []fileDifference
	for i, word := range wordsOf(text) {
		for _, name := range c.relative(word, i > 0) {
			if c.seen[name] {
				continue
			}
			c.seen[name] = true
			content, how := c.compare(name)
			if how != "" {
				out = append(out, fileDifference{word, how})
			}
			if deep && how == "" && content != nil && bytes.IndexByte(content, 0) < 0 {
				out = append(out, c.inside(filepath.Dir(name), string(content))...)
			}
		}
	}
	return out
}

// inside compares the files that the text of a file in a folder names.
func (c *fileComparison) inside(folder, text string) []fileDifference {
	var out []fileDifference
	for _, word := range wordsOf(text) {
		name := filepath.Join(folder, word)
		if filepath.IsAbs(word) || c.seen[name] {
			continue
		}
		c.seen[name] = true
		if _, how := c.compare(name); how != "" {
			out = append(out, fileDifference{name, how})
		}
	}
	return out
}

// wordsOf returns the text and, where it is made of several, its words: what
// stands between spaces, separators and quotes.
func wordsOf(text string) []string {
	out := []string{text}
	if len(text) > maxPinnedFile {
		return nil
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n&?,;:='\"(){}[]<>|", r) }) {
		if len(out) == maxPinnedWords {
			break
		}
		if word != text {
			out = append(out, word)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" || len(s) > 4096 || strings.ContainsAny(s, "\x00\n") })
}

// relative returns the paths that a word may be, relative to the folder of the
// configuration. A word of a longer text, such as a connection, may also start
// where the command runs. What nobody can change with the configuration is none.
func (c *fileComparison) relative(word string, part bool) []string {
	var out []string
	if !filepath.IsAbs(word) {
		out = append(out, filepath.Clean(word))
		if !part {
			return out
		}
	}
	abs, err := filepath.Abs(word)
	if err != nil {
		return out
	}
	if rel, ok := seenFrom(c.proposed, abs); ok && !slices.Contains(out, rel) {
		out = append(out, rel)
	}
	return out
}

// TrustedPath returns where a trusted copy has what a path names that is seen from
// the folder of the proposed configuration. It is false, with the path itself, for
// one that nobody can change with the configuration: an absolute path that leads
// out of the git checkout around it.
func TrustedPath(trusted, proposed, path string) (string, bool) {
	abs := path
	if !filepath.IsAbs(path) {
		here, err := filepath.Abs(proposed)
		if err != nil {
			return filepath.Join(trusted, path), true
		}
		abs = filepath.Join(here, path)
	}
	if rel, ok := seenFrom(proposed, abs); ok {
		return filepath.Join(trusted, rel), true
	}
	if filepath.IsAbs(path) {
		return path, false
	}
	return filepath.Join(trusted, path), true
}

// seenFrom returns an absolute path as seen from a folder, where it lies below the
// git checkout around that. By its name first: behind a link may be whatever a
// change wants.
func seenFrom(folder, path string) (string, bool) {
	here, err := filepath.Abs(folder)
	if err != nil {
		return "", false
	}
	for _, pair := range [][2]string{{here, path}, {WithoutLinks(here), path}, {WithoutLinks(here), WithoutLinks(path)}} {
		if rel, err := filepath.Rel(cmp.Or(Checkout(pair[0]), pair[0]), pair[1]); err == nil && filepath.IsLocal(rel) {
			rel, err = filepath.Rel(pair[0], pair[1])
			return rel, err == nil
		}
	}
	return "", false
}

// compare says how a file differs between the two folders, "" where it does not.
// It returns the content where both have the same.
func (c *fileComparison) compare(name string) (content []byte, how string) {
	trusted, proposed := filepath.Join(c.trusted, name), filepath.Join(c.proposed, name)
	was, wasErr := regularFile(trusted)
	is, isErr := regularFile(proposed)
	switch {
	case isErr == nil && refuseGitFolder(c.proposed, proposed) != nil:
		return nil, "in a folder .git: a repository's own folder holds credentials and is never read"
	case wasErr == nil && isErr == nil && sameFile(trusted, proposed):
		return nil, "one for both, so that nothing says whether it may be trusted: name a trusted copy that has a file of its own there"
	case errors.Is(wasErr, errNoFile) && (c.made || errors.Is(isErr, errNoFile)):
		return nil, ""
	case errors.Is(wasErr, errNoFile):
		return nil, "not in the trusted copy"
	case errors.Is(isErr, errNoFile):
		return nil, "only in the trusted copy"
	case wasErr != nil || isErr != nil:
		return nil, "one that cannot be compared with that of the trusted copy: " + cause(errors.Join(wasErr, isErr))
	case !bytes.Equal(was, is):
		return nil, "another one than in the trusted copy"
	}
	return is, ""
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && os.SameFile(first, second)
}

var errNoFile = errors.New("no file")

// regularFile reads a file, links followed; what is no regular file is none.
func regularFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before opening: opening a FIFO would wait
	if err != nil || !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	if info.Size() > maxPinnedFile {
		return nil, errors.New("it is too large")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	return io.ReadAll(io.LimitReader(f, maxPinnedFile))
}
