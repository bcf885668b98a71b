package state

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/internal/durable"
)

// backup keeps old, the state that is about to be replaced. Numbers rise, so
// that no backup ever replaces another and the highest is the newest.
func (f *File) backup(old []byte) error {
	if old == nil {
		return nil
	}
	numbers, err := f.backups()
	if err != nil {
		return err
	}
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	return durable.Replace(f.o.FS, f.backupPath(next), old, stateMode, f.at("backup."))
}

func (f *File) backupPath(number int) string {
	return fmt.Sprintf("%s.%d.backup", f.path, number)
}

// backups returns the numbers of the backups, rising.
func (f *File) backups() ([]int, error) {
	dir, base := filepath.Dir(f.path), filepath.Base(f.path)
	names, err := f.o.FS.ReadDir(dir)
	if err != nil {
		return nil, &durable.Error{Step: "list", Path: dir, Err: err}
	}
	var numbers []int
	for _, name := range names {
		middle, ok := strings.CutPrefix(name, base+".")
		if !ok {
			continue
		}
		if middle, ok = strings.CutSuffix(middle, ".backup"); !ok {
			continue
		}
		if n, err := strconv.Atoi(middle); err == nil && n > 0 && strconv.Itoa(n) == middle {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Backups returns the paths of the snapshots that are kept, oldest first.
func (f *File) Backups() ([]string, error) {
	numbers, err := f.backups()
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(numbers))
	for i, n := range numbers {
		paths[i] = f.backupPath(n)
	}
	return paths, nil
}

// prune removes all but the newest backups. One that cannot be removed only
// takes room.
func (f *File) prune() {
	numbers, err := f.backups()
	if err != nil {
		return
	}
	for i, n := range numbers {
		if i < len(numbers)-f.o.Backups {
			_ = f.o.FS.Remove(f.backupPath(n))
		}
	}
}

// clean removes the temporary files of killed saves, of backups too. They only
// take room: what cannot go may stay. Call it under the lock.
func (f *File) clean() {
	paths := []string{f.path, f.journalPath()}
	dir, base := filepath.Dir(f.path), filepath.Base(f.path)
	names, err := f.o.FS.ReadDir(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		rest, ours := strings.CutPrefix(name, "."+base+".")
		number, _, isBackup := strings.Cut(rest, ".backup.")
		if n, err := strconv.Atoi(number); ours && isBackup && err == nil {
			paths = append(paths, f.backupPath(n))
		}
	}
	for _, path := range paths {
		_ = durable.Clean(f.o.FS, path)
	}
}
