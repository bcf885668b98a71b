package sops

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cofferhq/coffer/internal/durable"
)

// errMerge is a file that git could not merge.
var errMerge = errors.New("git could not merge the file and left its marks; settle it as " + mergePage)

// clearError is a value in clear where the rules of its file want it encrypted.
type clearError struct {
	where string
	line  int // 0 where it is not known
}

func (e *clearError) Error() string {
	at := ""
	if e.line > 0 {
		at = fmt.Sprintf("line %d: ", e.line)
	}
	return at + e.where + " is in clear where the file's rules want it encrypted, so nobody can open the file"
}

// readFile returns a file's bytes and mode; a missing one is an error matching
// fs.ErrNotExist.
func (d *Driver) readFile(name string) ([]byte, fs.FileMode, error) {
	raw, mode, err := d.disk.read(name)
	var kind *durable.KindError
	var large *durable.TooLargeError
	switch {
	case errors.As(err, &kind):
		return nil, 0, misplaced(d.ruled(name), kind.What)
	case errors.As(err, &large):
		return nil, 0, d.damaged(name, errTooLarge)
	}
	return raw, mode, err
}

// parse reads a file's bytes. What sops could not open is an error, whichever
// of its secrets is meant: a file that is damaged in one place may lack what
// stood in another.
func (d *Driver) parse(name string, raw []byte) (*file, error) {
	f, err := decode(formatOf(name), raw)
	if err == nil && f.meta.rules.comments == "" {
		err = f.inClear()
	}
	if err != nil {
		return nil, d.damaged(name, err)
	}
	return f, nil
}

// damaged is the error for a file that is there and tells nothing: it names the
// file, where the damage is, and the way out.
func (d *Driver) damaged(name string, err error) error {
	file := d.ruled(name)
	e := invalid("%s: %w", file, err)
	var clear *clearError
	switch {
	case errors.Is(err, errMerge):
		return e
	case errors.As(err, &clear):
		return e.WithHint("that value must count as known: take the line away (`git checkout %s` brings an encrypted one back), then give it a new one with `sops edit %s`, `coffer secret set` or `coffer rotate`", file, file)
	case errors.Is(err, errNotSOPS):
		return e.WithHint("restore it with `git checkout %s` or from a backup; if it holds no secrets, move it elsewhere", file)
	}
	return e.WithHint("restore it with `git checkout %s` or from a backup", file)
}

// misplaced is the error for what stands where a file or folder of ours is due.
func misplaced(path, what string) error {
	return invalid("%s is %s: coffer opens plain files and folders alone, and follows no link", path, what).
		WithHint("take it away; `git checkout %s` or a backup brings back what belongs there", path)
}
