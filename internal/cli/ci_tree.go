package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What an apply changed is committed without git add and git commit: they run what
// the configuration of a machine and the attributes of the repository name, which
// can put something else into the commit than the file, or keep it from being made.
// Blobs, tree and commit are written one by one, and none of that runs anything.

// treeEntry is a file of the commit.
type treeEntry struct {
	file string // below top, with slashes
	mode string // "100644", or "100755"; "0" where the file is gone
	id   string
}

// indexInfo is what git update-index is told of the entries.
func indexInfo(entries []treeEntry) *strings.Reader {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.mode + " " + e.id + "\t" + e.file + "\x00")
	}
	return strings.NewReader(b.String())
}

// ask is run for a command that reads.
func (g git) ask(ctx context.Context, in *strings.Reader, args ...string) (string, error) {
	var out bytes.Buffer
	err := g.stream(ctx, in, &limitedBuffer{&out, maxGitOutput}, args...)
	return out.String(), err
}

// writeCommit writes the commit that follows parent, in which the files are as they
// are here. The checkout does not move. It returns "" where nothing differs.
func (k *keeper) writeCommit(ctx context.Context, temp, parent, message string, files []string) (id string, entries []treeEntry, err error) {
	dir, err := os.MkdirTemp(temp, "coffer-index-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	index := k.git
	index.env = append(slices.Clone(k.env), "GIT_INDEX_FILE="+filepath.Join(dir, "index"))
	if _, err := index.run(ctx, "read-tree", parent); err != nil {
		return "", nil, err
	}
	modes, err := k.modes(ctx, index)
	if err != nil {
		return "", nil, err
	}
	if entries, err = k.entries(ctx, modes, files, len(parent)); err != nil {
		return "", nil, err
	}
	if _, err := index.ask(ctx, indexInfo(entries), "update-index", "-z", "--index-info"); err != nil {
		return "", nil, err
	}
	tree, err := index.line(ctx, "write-tree")
	if err != nil {
		return "", nil, err
	}
	if old, err := k.line(ctx, "rev-parse", "--verify", parent+"^{tree}"); err != nil || old == tree {
		return "", nil, err
	}
	// It signs nothing, whatever the configuration says.
	id, err = k.line(ctx, append(k.identity(ctx), "commit-tree", "--no-gpg-sign", "-p", parent, "-m", message, tree)...)
	return id, entries, err
}

// modes returns the modes of the files below the paths that an index has.
func (k *keeper) modes(ctx context.Context, index git) (map[string]string, error) {
	out, err := index.run(ctx, append([]string{"--literal-pathspecs", "ls-files", "-z", "--stage", "--"}, k.paths...)...)
	if err != nil {
		return nil, err
	}
	modes := map[string]string{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		if about, file, ok := strings.Cut(entry, "\t"); ok {
			modes[file], _, _ = strings.Cut(about, " ")
		}
	}
	return modes, nil
}

// entries writes the files into the repository, byte for byte. A file keeps its
// mode; a new one is not executable.
func (k *keeper) entries(ctx context.Context, modes map[string]string, files []string, idLength int) ([]treeEntry, error) {
	var gone, there []treeEntry
	var names strings.Builder
	for _, file := range files {
		info, err := os.Lstat(filepath.Join(k.top, filepath.FromSlash(file)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, treeEntry{file, "0", strings.Repeat("0", idLength)})
			continue
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is a link or a folder of its own, and no file", file)
		}
		mode := "100644"
		if modes[file] == "100755" {
			mode = "100755"
		}
		there = append(there, treeEntry{file: file, mode: mode})
		names.WriteString(quotedForGit(file) + "\n")
	}
	if len(there) == 0 {
		return gone, nil
	}
	out, err := k.ask(ctx, strings.NewReader(names.String()), "hash-object", "-w", "--no-filters", "--stdin-paths")
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(out)
	if len(ids) != len(there) {
		return nil, fmt.Errorf("git hash-object wrote %d of %d files", len(ids), len(there))
	}
	for i := range there {
		there[i].id = ids[i]
	}
	return append(gone, there...), nil // a file can stand where a folder was
}

// quotedForGit is a path as a line that git reads.
func quotedForGit(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(path) + `"`
}

// advance moves the checkout from the commit that the apply was of to the one that
// holds what it changed. What else the index has stays.
func (k *keeper) advance(ctx context.Context) error {
	if _, err := k.run(ctx, "update-ref", "-m", "coffer: state after an apply", "HEAD", k.made, k.parent); err != nil {
		return err
	}
	_, err := k.ask(ctx, indexInfo(k.entriesMade), "update-index", "-z", "--index-info")
	return err
}

// refuseFiltered refuses files that git would store in another form: what is pushed
// is the file itself, and a clone would make something else of it. It looks at
// files that are there, and at those that the configuration leads to expect.
func (k *keeper) refuseFiltered(ctx context.Context) error {
	out, err := k.run(ctx, append([]string{"--literal-pathspecs", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, k.paths...)...)
	if err != nil {
		return err
	}
	asked := strings.NewReader(string(out) + strings.Join(k.expected, "\x00") + "\x00")
	answer, err := k.ask(ctx, asked, "check-attr", "-z", "--stdin", "filter", "working-tree-encoding")
	if err != nil {
		return err
	}
	fields := strings.Split(answer, "\x00")
	for ; len(fields) > 3; fields = fields[3:] {
		file, attribute, value := fields[0], fields[1], fields[2]
		if value == "unspecified" || value == "unset" || isStoreLock(file) {
			continue
		}
		return fmt.Errorf("%s has the attribute %s=%s, so git would store something else than the file, and what the apply writes there could be lost with this machine; "+
			"nothing was changed: end .gitattributes with the line %q, run git add --renormalize ., and commit that", file, attribute, value, file+" -"+attribute)
	}
	return nil
}

// isStoreLock reports whether a file is the lock of a folder of secrets.
func isStoreLock(file string) bool { return filepath.Base(file) == ".coffer.lock" }
