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

var errNotRegular = errors.New("it is not a regular file")

// readRooted reads one regular file that lies below root, links resolved.
func readRooted(root *os.Root, name string) ([]byte, error) {
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
