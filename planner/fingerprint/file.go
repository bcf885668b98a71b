package fingerprint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is more than any key with white space around it needs.
const maxFile = 4096

// Load reads the key in the file at path. The file must be a regular one with
// one name, of this user or root, that nobody else may read or write; symbolic
// links, hard links, pipes and looser modes are refused before anything is
// read, with an error that says how to mend it. A missing file is
// [fs.ErrNotExist], a file with other content [ErrKey].
func Load(path string) (Key, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return Key{}, pathError(path, err)
	}
	if err := trusted(before); err != nil {
		return Key{}, pathError(path, err)
	}
	f, err := openNoFollow(path)
	if err != nil {
		return Key{}, pathError(path, err)
	}
	defer f.Close()
	// Between the look and the opening the name may have been given to
	// another file: what counts is what was opened.
	after, err := f.Stat()
	if err != nil {
		return Key{}, pathError(path, err)
	}
	if !os.SameFile(before, after) {
		return Key{}, pathError(path, errors.New("it was replaced while it was opened: try again"))
	}
	if err := trusted(after); err != nil {
		return Key{}, pathError(path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Key{}, pathError(path, err)
	}
	if len(text) > maxFile {
		return Key{}, pathError(path, ErrKey)
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return Key{}, pathError(path, err)
	}
	return k, nil
}

// fix is a problem that a command with the path behind it mends.
type fix struct{ problem, command string }

func (f fix) Error() string { return f.problem }

func pathError(path string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var needs fix
	if errors.As(err, &needs) && needs.command != "" {
		err = fmt.Errorf("%s: run %s %s", needs.problem, needs.command, quote(path))
	}
	return fmt.Errorf("fingerprint key %s: %w", path, err)
}

// quote makes path one word of a shell.
func quote(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	plain := func(r rune) bool {
		return strings.ContainsRune("/._-+@%=:,", r) || ('a' <= r && r <= 'z') || ('A' <= r && r <= 'Z') || ('0' <= r && r <= '9')
	}
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// trusted says whether nobody else can have read or changed the file.
func trusted(info fs.FileInfo) error {
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link, which is not followed: name the file itself")
	case mode.IsDir():
		return errors.New("it is a folder: name the file")
	case !mode.IsRegular():
		return errors.New("it is not a regular file: put the key in one")
	}
	return trustedOwner(info)
}

// Create makes a key from r and writes it to a new file at path, mode 0600,
// durable when it returns. It never touches a file that exists: the error is
// then [fs.ErrExist]. After any other error there is no file.
func Create(path string, r io.Reader) (Key, error) {
	k, err := NewKey(r)
	if err != nil {
		return Key{}, err
	}
	line, err := k.text()
	if err != nil {
		return Key{}, pathError(path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Key{}, pathError(path, fs.ErrExist)
	}
	if err != nil {
		return Key{}, pathError(path, err)
	}
	if err := finish(f, line); err != nil {
		return Key{}, pathError(path, errors.Join(err, os.Remove(path)))
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return Key{}, pathError(path, errors.Join(err, os.Remove(path)))
	}
	return k, nil
}

// finish writes the content, makes it durable and closes f in any case.
func finish(f *os.File, content []byte) error {
	// The umask may have taken bits that the owner needs.
	err := f.Chmod(0o600)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
