//go:build unix

package canarytest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/canary"
)

// TestKeyFiles puts the files that hold or protect secrets into every state in
// which others may read or replace them: each is refused with a way on, before
// anything is written.
func TestKeyFiles(t *testing.T) {
	w := newWorld(t, newSinks(), "")
	w.begin(valueSet{canary.Values()[:1]})
	w.write("coffer.hcl", settings+"app \"shop\" {\n  environments = [\"dev\"]\n  secret \"gen_hex\" {\n    value = random_hex()\n  }\n}\n")
	w.run(0, "apply", "-auto-approve")
	rotate := []string{"rotate", secretAddress("gen_hex"), "-auto-approve"}
	w.run(0, "plan", "-out", "empty.plan")
	cases := 0
	for file, command := range map[string][]string{
		"../xdg-config/sops/age/keys.txt": rotate,
		"coffer.fingerprint.key":          rotate,
		"audit.log":                       rotate,
		"empty.plan":                      {"apply", "empty.plan"},
	} {
		for name, spoil := range spoils() {
			if file == "empty.plan" && (name == "mode 0644" || name == "mode 0640") {
				continue // it holds no secret
			}
			cases++
			restore := w.aside(file)
			spoil(t, w.file(file))
			before := w.read("secrets/dev/shop.yaml")
			r := w.run(failing, command...)
			said := bytes.Join([][]byte{r.stdout, r.stderr}, nil)
			if !bytes.Equal(w.read("secrets/dev/shop.yaml"), before) {
				t.Errorf("%s, %s: a secret was written", file, name)
			}
			if bytes.Contains(said, []byte("goroutine")) || !bytes.Contains(said, []byte(filepath.Base(file))) {
				t.Errorf("%s, %s: the error does not name the file: %s", file, name, said)
			}
			if name[:4] == "mode" && !bytes.Contains(said, []byte("chmod")) {
				t.Errorf("%s, %s: the error does not say how to mend it: %s", file, name, said)
			}
			restore()
		}
	}
	w.run(0, rotate...)
	t.Logf("%d states of files, all refused", cases)
}

// aside keeps a file and returns what puts it back.
func (w *world) aside(name string) (restore func()) {
	w.t.Helper()
	data := w.read(name)
	return func() {
		if err := os.RemoveAll(w.file(name)); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(w.file(name), data, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// spoils are the states to put a file into.
func spoils() map[string]func(t *testing.T, path string) {
	check := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]func(t *testing.T, path string){
		"a symlink": func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"))
			t.Cleanup(func() { _ = os.Remove(path + ".real") })
			check(t, os.Symlink(path+".real", path))
		},
		"a dangling symlink": func(t *testing.T, path string) {
			check(t, os.Remove(path))
			check(t, os.Symlink(path+".nowhere", path))
		},
		"a FIFO": func(t *testing.T, path string) {
			check(t, os.Remove(path))
			check(t, syscall.Mkfifo(path, 0o600))
		},
		"a folder": func(t *testing.T, path string) {
			check(t, os.Remove(path))
			check(t, os.Mkdir(path, 0o700))
		},
	}
	for _, mode := range []os.FileMode{0o640, 0o644, 0o606, 0o660, 0o666} {
		all[fmt.Sprintf("mode %04o", mode)] = func(t *testing.T, path string) { check(t, os.Chmod(path, mode)) }
	}
	return all
}
