package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// release is one run.
type release struct {
	source
	root, out    string
	goTool, tags string
	platforms    []platform
	host         platform // the machine that builds
	progress     io.Writer
}

// file is one file of an archive, a package or an image.
type file struct {
	name  string // with slashes, relative
	mode  int64
	data  []byte
	owner int // the user and the group; 0 is root
}

// at returns the file under another name.
func (f file) at(name string) file {
	f.name = name
	return f
}

// build makes the folder anew and returns the text of the checksums file. Until
// all of it is there the old folder stays as it is.
func (r *release) build() (sums string, err error) {
	staging := r.out + ".new"
	for _, dir := range []string{staging, filepath.Join(staging, "work")} {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	defer func() { _ = os.RemoveAll(staging) }() // it is gone when all went well
	work := filepath.Join(staging, "work")

	programs, docs, err := r.programs(work)
	if err != nil {
		return "", err
	}
	for _, step := range []func(string, []program, documents) error{r.archives, r.packages, r.image, r.sbom} {
		if err := step(staging, programs, docs); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	if sums, err = r.checksums(staging); err != nil {
		return "", err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return "", err
	}
	return sums, os.Rename(staging, r.out)
}

// programs builds for every platform, and asks the program for this machine
// for its version and its documents.
func (r *release) programs(work string) ([]program, documents, error) {
	var programs []program
	for _, p := range r.platforms {
		built, err := r.program(work, p)
		if err != nil {
			return nil, documents{}, err
		}
		programs = append(programs, built)
	}
	i := slices.IndexFunc(programs, func(p program) bool { return p.platform == r.host })
	var own program
	if i >= 0 {
		own = programs[i]
	} else {
		var err error
		if own, err = r.program(work, r.host); err != nil {
			return nil, documents{}, err
		}
	}
	if err := r.askVersion(own.path); err != nil {
		return nil, documents{}, err
	}
	r.say("version %s, commit %s, time %s", r.version, r.commit, r.time.Format("2006-01-02 15:04:05"))
	docs, err := r.documents(work, own.path, programs)
	return programs, docs, err
}

func (r *release) say(format string, args ...any) { fmt.Fprintf(r.progress, format+"\n", args...) }

// name returns the name of one of the release's files.
func (r *release) name(rest string) string { return "coffer_" + r.version + "_" + rest }

// checksums writes the sums of all that is in dir, in the format of sha256sum.
func (r *release) checksums(dir string) (string, error) {
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, e := range entries {
		sum, err := sumOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, e.Name())
	}
	return b.String(), write(filepath.Join(dir, r.name("checksums.txt")), []byte(b.String()))
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// write writes a file of the release; its mode is not the umask's.
func write(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}
