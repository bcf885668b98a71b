package lang

import (
	"io/fs"
	"os"
	"path/filepath"
)

// WithoutLinks returns a path without links, as far as it exists.
func WithoutLinks(path string) string {
	for rest, head := "", path; ; {
		if found, err := filepath.EvalSymlinks(head); err == nil {
			return filepath.Join(found, rest)
		}
		up := filepath.Dir(head)
		if up == head {
			return path
		}
		head, rest = up, filepath.Join(filepath.Base(head), rest)
	}
}

// gitFolder is what makes a folder a checkout: no commit can have it.
const gitFolder = ".git"

// Checkout returns the nearest folder at or above an absolute path that is a git
// checkout, "" where there is none. A folder that only looks like a repository is
// none: a commit can bring one.
func Checkout(path string) string {
	for at := path; ; at = filepath.Dir(at) {
		if info, err := os.Lstat(filepath.Join(at, gitFolder)); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return at
		}
		if filepath.Dir(at) == at {
			return ""
		}
	}
}
