package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// documents is what goes with every binary.
type documents struct {
	readme, license file
	thirdParty      file // the licences of all that is linked in
	man             []file
	completions     map[string]file // by shell
}

// completionFiles are the names under which shells look for completions.
var completionFiles = map[string]string{"bash": "coffer.bash", "zsh": "_coffer", "fish": "coffer.fish"}

// shells returns the shells in a fixed order.
func shells() []string { return []string{"bash", "fish", "zsh"} }

// documents collects them; the program makes its manual and its completions.
func (r *release) documents(work, program string, programs []program) (documents, error) {
	d := documents{completions: map[string]file{}}
	for name, into := range map[string]*file{"README.md": &d.readme, "LICENSE": &d.license} {
		data, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return d, err
		}
		*into = file{name: name, mode: 0o644, data: data}
	}
	man := filepath.Join(work, "man")
	if _, err := output(program, "help", "-man", man); err != nil {
		return d, err
	}
	entries, err := os.ReadDir(man) // by name
	if err != nil {
		return d, err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(man, e.Name()))
		if err != nil {
			return d, err
		}
		d.man = append(d.man, file{name: e.Name(), mode: 0o644, data: data})
	}
	for _, shell := range shells() {
		script, err := output(program, "completion", shell)
		if err != nil {
			return d, err
		}
		d.completions[shell] = file{name: completionFiles[shell], mode: 0o644, data: script}
	}
	d.thirdParty, err = r.thirdParty(programs)
	return d, err
}

// output runs the program in an environment of its own.
func output(program string, args ...string) ([]byte, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("coffer %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// licenceFile fits the files in which a module says what it allows.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-._].*)?$`)

// thirdParty puts the licences of every module that is linked in into one file,
// as they ask of whoever passes their code on in binary form.
func (r *release) thirdParty(programs []program) (file, error) {
	args := []string{"list", "-m", "-json=Path,Version,Dir"}
	for _, m := range linked(programs) {
		args = append(args, m.path)
	}
	var b strings.Builder
	b.WriteString("The binary holds parts of the following modules, each under its own licence.\n")
	root, err := r.goOutput("env", "GOROOT")
	if err != nil {
		return file{}, err
	}
	if err := appendLicences(&b, "Go", "https://go.dev", strings.TrimSpace(string(root))); err != nil {
		return file{}, err
	}
	if len(args) > 3 {
		out, err := r.goOutput(args...)
		if err != nil {
			return file{}, err
		}
		dec := json.NewDecoder(strings.NewReader(string(out)))
		for dec.More() {
			var m struct{ Path, Version, Dir string }
			if err := dec.Decode(&m); err != nil {
				return file{}, fmt.Errorf("go list: %w", err)
			}
			if err := appendLicences(&b, m.Path+" "+m.Version, "https://pkg.go.dev/"+m.Path+"@"+m.Version, m.Dir); err != nil {
				return file{}, err
			}
		}
	}
	return file{name: "THIRD-PARTY.txt", mode: 0o644, data: []byte(b.String())}, nil
}

// goOutput runs the go command in the source.
func (r *release) goOutput(args ...string) ([]byte, error) {
	cmd := exec.Command(r.goTool, args...)
	cmd.Dir, cmd.Stderr = r.root, r.progress
	cmd.Env = buildEnvironment(os.Environ(), r.host)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s %s: %w", args[0], args[1], err)
	}
	return out, nil
}

func appendLicences(b *strings.Builder, name, url, dir string) error {
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return e.IsDir() || !licenceFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go")
	})
	if len(entries) == 0 {
		return fmt.Errorf("%s has no licence file, so it must not be passed on", name)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n%s\n%s\n%s: %s\n%[1]s\n\n", strings.Repeat("=", 80), url, name, e.Name())
		b.WriteString(strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")) + "\n")
	}
	return nil
}
