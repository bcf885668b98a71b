//go:build unix

package crashtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// loose is what a crash leaves and nobody reads: temporary files and backups.
var loose = regexp.MustCompile(`\.tmp$|\.backup$`)

// random is what differs in the name of a temporary file.
var random = regexp.MustCompile(`\.\d+\.tmp$`)

// digest names all files with their content, but for who held the lock.
func (f *folder) digest(t *testing.T) string {
	t.Helper()
	sum := sha256.New()
	must(t, f.each(func(name string, data []byte) {
		if strings.HasSuffix(name, ".json.lock") {
			data = nil
		}
		fmt.Fprintf(sum, "%s %d %x\n", random.ReplaceAllString(name, ".tmp"), len(data), sha256.Sum256(data))
	}))
	return string(sum.Sum(nil))
}

// each calls do for every file.
func (f *folder) each(do func(name string, data []byte)) error {
	return filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			do(strings.TrimPrefix(path, f.dir), data)
		}
		return err
	})
}

// kind describes what a crash left but for what is random in it: which files
// there are and how many lines they have, which values are new.
func (f *folder) kind(t *testing.T, before map[string]string) string {
	t.Helper()
	var b strings.Builder
	must(t, f.each(func(name string, data []byte) {
		if !loose.MatchString(name) {
			fmt.Fprintln(&b, name, bytes.Count(data, []byte("\n")))
		}
	}))
	now, err := f.values()
	must(t, err)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		fmt.Fprintln(&b, name, now[name] == before[name])
	}
	return b.String()
}
