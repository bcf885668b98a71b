package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link finds the target of a Markdown link, without its anchor.
var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// TestLinksResolve holds every relative link in the documentation to a file
// that exists.
func TestLinksResolve(t *testing.T) {
	pages := 0
	walkFiles(t, ".md", func(p string, text []byte) {
		pages++
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := string(m[1])
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(p), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which does not exist", p, target)
			}
		}
	})
	if pages < 5 {
		t.Fatalf("found only %d pages", pages)
	}
}

var (
	namedTest    = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// TestNamedTestsExist holds the documentation to its evidence: a test that it
// names is there.
func TestNamedTestsExist(t *testing.T) {
	exists := map[string]bool{}
	walkFiles(t, "_test.go", func(_ string, text []byte) {
		for _, m := range declaredTest.FindAllSubmatch(text, -1) {
			exists[string(m[1])] = true
		}
	})
	named := 0
	walkFiles(t, ".md", func(p string, text []byte) {
		for _, m := range namedTest.FindAllSubmatch(text, -1) {
			named++
			if !exists[string(m[1])] {
				t.Errorf("%s names %s, which does not exist", p, m[1])
			}
		}
	})
	if named < 10 {
		t.Fatalf("found only %d tests named in the documentation", named)
	}
}

// walkFiles calls f for every file of the module whose name ends in suffix.
func walkFiles(t *testing.T, suffix string, f func(path string, text []byte)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipDir(root, p, d):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, suffix):
			return nil
		}
		text, err := os.ReadFile(p)
		if err == nil {
			f(p, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
