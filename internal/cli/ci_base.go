package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
)

// A pull request is somebody else's file. What decides where credentials go is
// held to the commit that the pull request starts from, which its author did not
// write: git writes a copy of that commit into a private folder.

const (
	maxBaseFiles = 200_000
	maxBaseFile  = 16 << 20 // a larger one is there, but empty: nothing reads it
	maxBaseBytes = 1 << 30
)

// trust finds the trusted copy: that of -pin, or on a pull request its base
// commit. The function that it returns removes the copy.
func (j *ciJob) trust(ctx context.Context) (done func(), err error) {
	inv := j.inv
	done = func() {}
	if inv.trusted == "" && j.run.Base != "" {
		if err := j.trustsBranch(); err != nil {
			return nil, err
		}
		if inv.trusted, done, err = j.copyBase(ctx); err != nil {
			return nil, err
		}
		j.base = inv.trusted
	}
	if inv.trusted != "" {
		o, err := inv.loadOptions()
		if err != nil {
			return done, err
		}
		if cfg, _ := inv.loadTrusted(inv.path(inv.trusted), o); cfg != nil {
			j.project = cfg.Settings.Project // else the comparison says what is wrong
		}
	}
	return done, nil
}

// trustsBranch refuses a branch that anybody may have made: whoever opens a pull
// request chooses where it goes.
func (j *ciJob) trustsBranch() error {
	r := j.run
	if r.Default == "" || r.Branch == "" || r.Branch == r.Default || slices.Contains(j.bases, r.Branch) {
		return nil
	}
	return fmt.Errorf("the pull request goes to the branch %s, and its author chose that: the trusted copy is one of %s. "+
		"Where only people whom you trust can push to %s, say so with -base %s", r.Branch, r.Default, r.Branch, r.Branch)
}

// copyBase writes the base commit into a folder of its own and returns that of
// the configuration in it.
func (j *ciJob) copyBase(ctx context.Context) (dir string, remove func(), err error) {
	here, err := j.checkout(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("%w; %s", err, j.pinAdvice())
	}
	files, err := here.list(ctx, j.run.Base)
	if err != nil {
		return "", nil, fmt.Errorf("%w; %s", err, j.pinAdvice())
	}
	if !hasConfiguration(files, here.prefix) {
		return "", nil, fmt.Errorf("commit %s, which the pull request starts from, has no configuration in %s, so nothing says yet where credentials may go: "+
			"look at this one by hand, merge it, and the next pull request is planned", briefly(j.run.Base), here.where())
	}
	top, err := os.MkdirTemp(j.inv.Getenv("TMPDIR"), "coffer-base-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(top) } // it is private, and holds what the repository does
	if err := here.write(ctx, files, top); err != nil {
		remove()
		return "", nil, fmt.Errorf("commit %s could not be laid out beside the checkout: %w", briefly(j.run.Base), err)
	}
	return filepath.Join(top, filepath.FromSlash(here.prefix)), remove, nil
}

func (j *ciJob) pinAdvice() string {
	return exampleOfFetch(j.run.Kind) + ", or name a copy of the base branch with -pin DIR"
}

// nameBase names the copy in an error as what it is: its folder is another one in
// every run.
func (j *ciJob) nameBase(err error) error {
	var config *diagnosticsError
	if j.base == "" || !errors.As(err, &config) {
		return err
	}
	for _, d := range config.diags {
		if d.Severity == hcl.DiagError {
			d.Summary = strings.ReplaceAll(d.Summary, j.base, "commit "+briefly(j.run.Base))
			d.Detail = strings.ReplaceAll(d.Detail, j.base, "commit "+briefly(j.run.Base))
		}
	}
	return err
}

func briefly(id string) string { return id[:min(len(id), 12)] }

// checkout is the repository around the configuration.
type checkout struct {
	git
	top    string
	prefix string // of the configuration below top, with slashes; "" is top itself
}

func (c checkout) where() string {
	if c.prefix == "" {
		return "its root"
	}
	return c.prefix
}

// checkout finds the repository and makes sure that it has the base commit.
func (j *ciJob) checkout(ctx context.Context) (checkout, error) {
	c, err := j.inv.repository(ctx)
	if err != nil || j.run.Base == "" {
		return c, err
	}
	if _, err := c.run(ctx, "cat-file", "-e", j.run.Base+"^{commit}"); err == nil {
		return c, nil
	}
	j.inv.say("Fetching commit %s, which the pull request starts from.", briefly(j.run.Base))
	_, err = c.run(ctx, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--depth=1", "origin", j.run.Base)
	if err != nil {
		return c, fmt.Errorf("the checkout has not the commit that the pull request starts from, and it could not be fetched: %w", err)
	}
	return c, nil
}

// repository finds the one that the configuration lies in.
func (inv *invocation) repository(context.Context) (checkout, error) {
	top := lang.Checkout(resolved(inv.dir()))
	if top == "" {
		return checkout{}, fmt.Errorf("%s is in no git checkout", inv.dir())
	}
	prefix, err := filepath.Rel(top, resolved(inv.dir()))
	if err != nil {
		return checkout{}, err
	}
	prefix = strings.TrimPrefix(filepath.ToSlash(prefix), ".")
	if link := linkBelow(inv.dir(), top); link != "" {
		return checkout{}, fmt.Errorf("%s is a link, and whoever may change it chooses the configuration: name the folder itself with -chdir", link)
	}
	return checkout{git: inv.git(top), top: top, prefix: prefix}, nil
}

// linkBelow returns the first link on the way from top down to dir, "" where
// there is none.
func linkBelow(dir, top string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	top, link := resolved(top), ""
	for at := abs; filepath.Dir(at) != at; at = filepath.Dir(at) {
		if rel, err := filepath.Rel(top, resolved(filepath.Dir(at))); err != nil || !filepath.IsLocal(rel) {
			break
		}
		if info, err := os.Lstat(at); err == nil && info.Mode()&os.ModeSymlink != 0 {
			link = at
		}
	}
	return link
}

// treeFile is one file of a commit.
type treeFile struct {
	path string // with slashes
	id   string
	size int64
	link bool
}

// list returns the files of a commit; submodules are none.
func (c checkout) list(ctx context.Context, commit string) ([]treeFile, error) {
	out, err := c.run(ctx, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	var files []treeFile
	var total int64
	for entry := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		about, name, _ := strings.Cut(string(entry), "\t")
		fields := strings.Fields(about) // mode, type, id, size
		if len(fields) != 4 || fields[1] != "blob" {
			continue
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil || !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("git ls-tree answers what is not understood for %q", name)
		}
		files = append(files, treeFile{path: name, id: fields[2], size: size, link: fields[0] == "120000"})
		if size <= maxBaseFile {
			total += size
		}
	}
	if len(files) > maxBaseFiles || total > maxBaseBytes || len(out) >= maxGitOutput {
		return nil, fmt.Errorf("commit %s has %d files with %d MiB, too much to lay out", briefly(commit), len(files), total>>20)
	}
	return files, nil
}

// hasConfiguration reports whether there is a *.hcl file in a folder.
func hasConfiguration(files []treeFile, folder string) bool {
	for _, f := range files {
		dir := path.Dir(f.path)
		if dir == "." {
			dir = ""
		}
		if dir == folder && path.Ext(f.path) == ".hcl" {
			return true
		}
	}
	return false
}

// write lays the files out below dir, which nothing in them leads out of while it
// is written.
func (c checkout) write(ctx context.Context, files []treeFile, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var wanted []treeFile
	made := map[string]bool{".": true}
	for _, f := range files {
		if folder := path.Dir(f.path); !made[folder] {
			made[folder] = true
			if err := root.MkdirAll(folder, 0o700); err != nil {
				return err
			}
		}
		if f.size <= maxBaseFile {
			wanted = append(wanted, f)
			continue
		}
		if err := emptyFile(root, f); err != nil {
			return err
		}
	}
	return c.contents(ctx, wanted, func(f treeFile, content []byte) error {
		if f.link {
			return root.Symlink(string(content), f.path)
		}
		return root.WriteFile(f.path, content, 0o600)
	})
}

// emptyFile makes a file that is as large as another and holds nothing.
func emptyFile(root *os.Root, f treeFile) error {
	out, err := root.Create(f.path)
	if err != nil {
		return err
	}
	return errors.Join(out.Truncate(f.size), out.Close())
}

// contents calls each with every file and what is in it.
func (c checkout) contents(ctx context.Context, files []treeFile, each func(treeFile, []byte) error) error {
	var ids strings.Builder
	for _, f := range files {
		ids.WriteString(f.id + "\n")
	}
	answers, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := c.stream(ctx, strings.NewReader(ids.String()), out, "cat-file", "--batch")
		_ = out.CloseWithError(err)
		ended <- err
	}()
	in := bufio.NewReaderSize(answers, 64<<10)
	var err error
	for _, f := range files {
		var content []byte
		if content, err = readBlob(in, f); err == nil {
			err = each(f, content)
		}
		if err != nil {
			break
		}
	}
	_ = answers.CloseWithError(io.ErrClosedPipe)
	if gitErr := <-ended; err == nil {
		err = gitErr
	}
	return err
}

// readBlob reads one answer of git cat-file --batch.
func readBlob(in *bufio.Reader, f treeFile) ([]byte, error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if want := fmt.Sprintf("%s blob %d\n", f.id, f.size); head != want {
		return nil, fmt.Errorf("git cat-file has no %s", f.path)
	}
	content := make([]byte, f.size+1) // and a line end
	if _, err := io.ReadFull(in, content); err != nil {
		return nil, err
	}
	return content[:f.size], nil
}
