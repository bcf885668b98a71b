package lang

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxFiles bounds one directory; it is far above what people can read.
const maxFiles = 10_000

// read opens the directory and reads its *.hcl files. It reports false where
// there is nothing to load.
func (l *loader) read() bool {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		l.diags.add(unplaced("Configuration folder cannot be opened", "%s: %s. Name another folder with -chdir.", l.dir, cause(err)))
		return false
	}
	l.root = root
	if !l.mayReadVarFiles() {
		return false
	}
	names, err := l.sourceNames()
	if err != nil {
		l.diags.add(unplaced("Configuration folder cannot be read", "%s: %s.", l.dir, cause(err)))
		return false
	}
	if len(names) == 0 {
		l.diags.add(unplaced("No configuration here", "There is no *.hcl file in %s. Run coffer init to write a first one, or name another folder with -chdir.", l.dir))
		return false
	}
	if len(names) > maxFiles {
		l.diags.add(unplaced("Too many files", "%s has %d *.hcl files; one configuration has at most %d. Split it into several projects.", l.dir, len(names), maxFiles))
		return false
	}
	for _, name := range names {
		src, err := readRooted(root, name)
		if err != nil {
			l.diags.add(unplaced("Configuration file cannot be read", "%s: %s.", name, fileCause(err)))
			continue
		}
		l.size += len(src)
		l.cfg.Files[name] = &hcl.File{Bytes: src}
	}
	return len(l.cfg.Files) > 0
}

func (l *loader) sourceNames() ([]string, error) {
	entries, err := fs.ReadDir(l.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		hidden := strings.HasPrefix(e.Name(), ".")
		if filepath.Ext(e.Name()) == ".hcl" && !hidden && !e.IsDir() && !l.isVarFile(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// isVarFile keeps a file of variables that lies beside the configuration from
// being read as a part of it.
func (l *loader) isVarFile(name string) bool {
	if len(l.opts.VarFiles) == 0 {
		return false
	}
	info, err := l.root.Stat(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(l.opts.VarFiles, func(path string) bool {
		other, err := os.Stat(path)
		return err == nil && os.SameFile(info, other)
	})
}

// mayReadVarFiles refuses files of variables before any is read: a message about
// a line shows it.
func (l *loader) mayReadVarFiles() bool {
	for _, path := range l.opts.VarFiles {
		if err := refuseGitFolder(l.dir, path); err != nil {
			l.diags.add(unplaced("Variable file cannot be read", "-var-file %s: %s.", path, err))
			return false
		}
	}
	return true
}

var errGitFolder = errors.New("it is in a folder .git: a repository's own folder holds credentials and is never read")

// MayRead returns an error for a name below a configuration's folder that is, as it
// is written or with its links followed, in the folder .git of a repository: a
// checkout leaves its credential there, and whoever proposes a change could show
// it. It does not say whether there is such a file.
func MayRead(dir, name string) error {
	// Not joined, which would take x/.. away where x is a link.
	return refuseGitFolder(dir, dir+string(filepath.Separator)+filepath.FromSlash(name))
}

// refuseGitFolder is [MayRead] for a path that is not relative to the folder. A
// folder that is itself below a .git, such as a work tree there, may read its own.
func refuseGitFolder(dir, path string) error {
	for _, pair := range [][2]string{{dir, path}, {WithoutLinks(dir), WithoutLinks(path)}} {
		rel, err := relativeTo(pair[0], pair[1])
		if err != nil {
			return err
		}
		for part := range strings.FieldsFuncSeq(rel, func(r rune) bool { return r == '/' || r == filepath.Separator }) {
			if strings.EqualFold(part, gitFolder) {
				return errGitFolder
			}
		}
	}
	return nil
}

// relativeTo returns a path as seen from a folder, and one that is not below the
// folder from the top.
func relativeTo(dir, path string) (string, error) {
	from, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	to, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(rel) {
		return rel, nil
	}
	return to, nil
}

var errNotRegular = errors.New("it is not a regular file")

// readRooted reads one regular file that lies below root, links resolved.
func readRooted(root *os.Root, name string) ([]byte, error) {
	if err := MayRead(root.Name(), name); err != nil {
		return nil, err
	}
	info, err := root.Stat(name) // before opening: opening a FIFO would wait
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// parse turns the files read into syntax trees, on all processors: it is half
// of the time that a plan takes without its stores.
func (l *loader) parse() {
	names := sortedKeys(l.cfg.Files)
	files := make([]*hcl.File, len(names))
	found := make([]hcl.Diagnostics, len(names))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(len(names), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				files[i], found[i] = parseSource(names[i], l.cfg.Files[names[i]].Bytes)
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	for i, name := range names {
		l.diags.add(found[i]...)
		l.cfg.Files[name] = files[i]
	}
}

// parseSource parses one hostile file. The file is never nil.
func parseSource(name string, src []byte) (*hcl.File, hcl.Diagnostics) {
	empty := &hcl.File{Bytes: src, Body: &hclsyntax.Body{}}
	if diags := guard(name, src); diags.HasErrors() {
		return empty, diags
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if file == nil || file.Body == nil {
		return empty, diags
	}
	for _, d := range diags {
		explainSingleLine(d, src)
	}
	return file, diags
}

// fileCause says why a configuration file cannot be read. os.Root has no error
// value for a link that leaves it.
func fileCause(err error) string {
	if strings.Contains(err.Error(), "escapes") {
		return "it is a link that leaves the configuration folder; put the file itself here"
	}
	return cause(err)
}

// cause strips the operation and path that package os puts before an error.
func cause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return fmt.Sprint(pathErr.Err)
	}
	return err.Error()
}
