//go:build unix

package canarytest

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/canary"
)

// leakFiles are files of a world to leak into, by the kind of place they are.
func leakFiles() map[string]string {
	return map[string]string{
		"state": "project/coffer.state.json", "backup": "project/coffer.state.json.7.backup", "journal": "project/coffer.state.json.journal",
		"lock": "project/coffer.state.json.lock", "plan file": "project/first.plan", "audit log": "project/audit.log",
		"configuration": "project/found.hcl", "encrypted file": "project/secrets/dev/shop.yaml", "project folder": "project/notes.txt",
		"home": "home/.cache/x", "tmp": "tmp/coffer-1/x", "xdg-config": "xdg-config/coffer/x", "xdg-cache": "xdg-cache/x",
		"xdg-data": "xdg-data/x", "xdg-state": "xdg-state/x", "xdg-runtime": "xdg-runtime/x",
	}
}

// control seeds one leak in every kind of place and every form, each of a value
// of its own, and counts those that the same search finds. Every kind of place
// that the suite looked at must be among them.
func control(t *testing.T, kinds []string) (planted, found int) {
	t.Helper()
	s := newSinks()
	w := newWorld(t, s, "")
	want := map[string]bool{} // by place and form
	// seed returns leaks of every form that a place can hold.
	seed := func(sink string, holds func([]byte) bool) [][]byte {
		value := func(form string) []byte {
			sum := sha512.Sum512([]byte(sink + form))
			return []byte(base64.RawURLEncoding.EncodeToString(sum[:]))
		}
		var samples [][]byte
		forms := slices.Sorted(maps.Keys(canary.Encodings(value(""))))
		for _, form := range forms { // "zip" is last: the end of an archive is the end of the text
			sample := canary.Encodings(value(form))[form]
			if holds(sample) {
				want[sink+" as "+form] = true
				s.secret(canary.Of(sink+" as "+form, value(form), true))
				samples = append(samples, sample)
			}
		}
		return samples
	}
	w.leakFiles(seed)
	w.leakStreams(seed)
	w.leakProcess(seed)

	seen := map[string]bool{}
	s.leaks(func(x text, hit canary.Hit) {
		if strings.HasPrefix(hit.Canary, x.sink+" as ") {
			seen[hit.Canary] = true
		}
	})
	places := map[string]bool{}
	for leak := range want {
		place, _, _ := strings.Cut(leak, " as ")
		places[place] = true
		if !seen[leak] {
			t.Errorf("a seeded leak is not found: %s", leak)
		}
	}
	for _, kind := range kinds {
		if !places[kind] {
			t.Errorf("no leak was seeded in %s", kind)
		}
	}
	return len(want), len(seen)
}

type seeder func(sink string, holds func([]byte) bool) [][]byte

func anything([]byte) bool { return true }

func noNUL(b []byte) bool { return !bytes.Contains(b, []byte{0}) }

func (w *world) leakFiles(seed seeder) {
	w.t.Helper()
	put := func(name string, data []byte) {
		path := filepath.Join(w.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	for sink, name := range leakFiles() {
		put(name, bytes.Join(seed(sink, anything), []byte("\n")))
	}
	isName := func(b []byte) bool { return noNUL(b) && !bytes.Contains(b, []byte("/")) && len(b) < 250 }
	for i, sample := range seed("file names", isName) {
		put(fmt.Sprintf("tmp/%d/%s", i, sample), nil)
	}
	w.tree("a leak")
}

func (w *world) leakStreams(seed seeder) {
	w.t.Helper()
	file := func(sink string) string {
		name := w.file("inputs/" + sink)
		w.plant("inputs/"+sink, bytes.Join(seed(sink, anything), []byte("\n")))
		return name
	}
	w.env = map[string]string{leakOut: file("stdout")}
	w.run(anyCode)
	w.env = map[string]string{leakErr: file("stderr")}
	cmd := w.command("x")
	w.finish(anyCode, nil, cmd)
	w.env = map[string]string{}
}

// leakProcess leaks into the arguments and the environment of a process, and
// into the trace that ends it.
func (w *world) leakProcess(seed seeder) {
	w.t.Helper()
	join := func(samples [][]byte) string { return string(bytes.Join(samples, []byte(" "))) }
	w.plant("inputs/trace", bytes.Join(seed("goroutine trace", anything), []byte("\n")))
	w.env = map[string]string{leakWait: "1", leakErr: w.file("inputs/trace")}
	r := &running{Cmd: w.command(join(seed("cmdline", noNUL))), w: w, description: "a leak"}
	r.passed = slices.Clone(r.Env)
	r.Env = append(r.Env, "LEAK="+join(seed("environ", noNUL)))
	r.Stderr = &r.errs
	out, err := r.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := r.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		w.t.Fatal(err)
	}
	r.process()
	if err := r.Process.Signal(syscall.SIGQUIT); err != nil {
		w.t.Fatal(err)
	}
	r.end(2, "goroutine trace")
}
