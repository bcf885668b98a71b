//go:build unix

package canarytest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/sops"
)

// TestCanaries runs every command with values in every role, at every level of
// the log, when it succeeds and when it fails, and finds none of them anywhere.
func TestCanaries(t *testing.T) {
	all := newSinks()
	values := valueSet{canary.Values()}
	all.secret(values.list...)
	t.Run("runs", func(t *testing.T) {
		for _, level := range levels() {
			t.Run("log="+level, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, all, level)
				w.begin(values)
				w.story(values)
				w.interrupted(values)
				w.failures(values)
				w.surgery() // takes fingerprints away, so it comes last
			})
			t.Run("servers log="+level, func(t *testing.T) {
				t.Parallel()
				newWorld(t, all, level).servers(values)
			})
		}
	})
	found := 0
	size := all.leaks(func(x text, hit canary.Hit) {
		found++
		t.Errorf("%s %s after %s: %s", x.sink, x.file, x.where, hit)
	})
	for _, kind := range []string{
		"stdout", "stderr", "file names", "state", "backup", "journal", "lock", "plan file", "audit log", "configuration",
		"encrypted file", "project folder", "goroutine trace",
	} {
		if !slices.Contains(all.kinds(), kind) {
			t.Errorf("nothing was collected of the kind %q", kind)
		}
	}
	planted, seen := control(t, all.kinds())
	t.Logf("%d runs, %d bytes searched for %d values in %d kinds of places, %d found; positive control %d of %d found",
		all.runs, size, len(all.values), len(all.kinds()), found, seen, planted)
}

// begin makes an identity, keys, and an encrypted file whose values come from
// elsewhere.
func (w *world) begin(values valueSet) {
	w.t.Helper()
	type report struct{ Recipient string }
	w.recipient = decode[report](w.t, w.run(0, "init", "-json")).Recipient
	w.knowKeys()
	w.write(".sops.yaml", "creation_rules:\n  - path_regex: ^(secrets|copies)/\n    age: "+w.recipient+"\n")
	w.supply(values, 0)

	var source strings.Builder
	source.WriteString(settings + "app \"source\" {\n  environments = [\"dev\"]\n")
	for i := range values.list {
		fmt.Fprintf(&source, "  secret \"file_%d\" {\n    value = from_file(\"inputs/file_%d\")\n  }\n", i, i)
	}
	w.write("coffer.hcl", source.String()+"}\n")
	w.run(0, "apply", "-auto-approve")
	w.write("inputs/source.yaml", string(w.read("secrets/dev/source.yaml")))
	for _, gone := range []string{"coffer.state.json", "secrets", "copies"} {
		if err := os.RemoveAll(w.file(gone)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// knowKeys adds the tool's own credentials to what must not be found.
func (w *world) knowKeys() {
	w.t.Helper()
	err := filepath.WalkDir(w.root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "keys.txt" && filepath.Base(path) != "coffer.fingerprint.key" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w.excuse(w.name(path), data)
		if m := regexp.MustCompile(`AGE-SECRET-KEY-1([A-Z0-9]+)`).FindSubmatch(data); m != nil {
			w.identity = cmp.Or(w.identity, string(m[0]))
			w.sinks.secret(canary.Of("age identity", m[1], true))
		}
		// Behind the prefix and the id, which stands in the state.
		if m := regexp.MustCompile(`coffer-fp1:[A-Za-z0-9+/]{11}([A-Za-z0-9+/]+)=*`).FindSubmatch(data); m != nil {
			w.fingerprintKey = cmp.Or(w.fingerprintKey, string(m[0]))
			w.sinks.secret(canary.Of("fingerprint key", m[1], true))
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func secretAddress(name string) string { return fmt.Sprintf(`app.shop.secret.%s["dev"]`, name) }

// story is a life of a project: planned, applied, looked at, changed.
func (w *world) story(values valueSet) {
	w.t.Helper()
	w.write("coffer.hcl", shop(values, manuals))
	w.run(0, "validate")
	w.run(0, "fmt")
	w.run(0, "fmt", "-check", "-diff")
	w.run(0, "plan")
	w.run(2, "plan", "-json", "-detailed-exitcode")
	w.run(0, "plan", "-out", "first.plan")
	w.run(0, "show", "first.plan")
	w.run(0, "show", "-json", "first.plan")
	w.run(0, "apply", "first.plan")
	w.learn()
	for i := range manuals {
		w.give(0, values.at(i, 0).Value, "secret", "set", secretAddress(fmt.Sprintf("manual_%d", i)))
	}
	w.look(0)
	w.checkValues(values, 0)

	// New supplied values: what was current is previous.
	w.supply(values, 1)
	w.run(0, "plan")
	w.run(0, "apply", "-auto-approve", "-json")
	w.checkValues(values, 1)
	w.run(0, "drift", "-verify-values")

	// New generated values, and an old file put back by hand.
	old := w.read("secrets/dev/shop.yaml")
	w.run(0, "rotate", secretAddress("gen_password"), secretAddress("gen_bytes"), secretAddress("gen_cert"),
		"-reason", "canary", "-auto-approve", "-confirm-rotations", "3")
	w.learn()
	w.run(0, "apply", "-auto-approve")
	w.write("secrets/dev/shop.yaml", string(old))
	w.look(2)
	w.run(1, "apply", "-auto-approve")
	w.run(2, "drift", "-verify-values", "-json")
	w.run(0, "accept", secretAddress("gen_password"), "-auto-approve")
	w.run(1, "restore", secretAddress("gen_bytes"), "-auto-approve")
	w.run(0, "accept", "app.shop", "-auto-approve")
	w.run(0, "apply", "-auto-approve")
	w.learn()
	w.run(0, "drift")
}

// look runs every command that only looks.
func (w *world) look(drift int) {
	w.t.Helper()
	w.run(0, "plan")
	w.run(drift, "drift")
	w.run(drift, "drift", "-json")
	w.run(0, "show")
	w.run(0, "show", "-json")
	w.run(0, "state", "list")
	w.run(0, "state", "show", "app.shop")
	w.run(0, "state", "show", "-json", "app.shop")
	w.run(0, "state", "pull")
	for _, format := range []string{"text", "dot", "mermaid"} {
		w.run(0, "graph", "-format", format)
	}
	w.run(0, "graph", "-reads", secretAddress("made"))
	w.formats(drift)
	w.run(0, "audit", "verify")
	w.run(0, "doctor")
	w.run(0, "doctor", "-phase", "apply", "-json")
	w.run(0, "permissions", "-phase", "plan")
	w.run(0, "permissions", "-phase", "apply", "-json")
	w.run(1, "purge", "sops", "dev/shop/gen_password", "-auto-approve")
	w.run(1, "secret", "get", secretAddress("gen_password")) // stdout is no terminal
	w.run(1, "secret", "get", secretAddress("gen_password"), "-raw", "-json")
}

// formats runs every command that has them with every format, on stdout and in
// files, and against a trusted copy that differs.
func (w *world) formats(drift int) {
	w.t.Helper()
	review := []string{"text", "json", "markdown", "html", "github", "gitlab", "sarif", "junit"}
	for i, c := range []struct {
		want    int
		command []string
		formats []string
	}{
		{0, []string{"plan"}, review},
		{0, []string{"plan", "-rotations", "none", "-out", "published.plan"}, review},
		{0, []string{"plan", "-at", "2199-01-31"}, review},
		{drift, []string{"drift"}, review},
		{drift, []string{"drift", "-verify-values"}, review},
		{0, []string{"validate"}, review},
		{0, []string{"rotation"}, append(review, "prometheus")},
	} {
		var files []string
		for _, format := range c.formats {
			files = append(files, fmt.Sprintf("%s=report-%d.%s", format, i, format))
		}
		w.run(c.want, append(c.command, "-format", strings.Join(files, ","))...)
		w.run(c.want, append(c.command, "-format", c.formats[2+i%(len(c.formats)-2)])...)
	}
	w.run(0, "show", "published.plan")
	text := string(w.read("coffer.hcl"))
	for name, other := range map[string]string{"trusted/coffer.hcl": text, "another/coffer.hcl": strings.Replace(text, `path = "audit.log"`, `path = "other.log"`, 1)} {
		w.write(name, other)
	}
	for _, dir := range []string{"trusted", "another"} {
		w.write(dir+"/.sops.yaml", string(w.read(".sops.yaml")))
	}
	w.run(0, "plan", "-pin", "trusted")
	w.run(1, "plan", "-pin", "another", "-format", "markdown=pinned.markdown,html=pinned.html,sarif=pinned.sarif")
}

// learn reads the generated and derived values, which must not be found either.
func (w *world) learn() {
	w.t.Helper()
	for _, file := range []string{"secrets/dev/shop.yaml", "secrets/elsewhere.yaml"} {
		data, err := os.ReadFile(w.file(file))
		if err != nil { // not yet, or not any more
			continue
		}
		for name, value := range w.decrypt(data) {
			w.sinks.secret(canary.Of(name, value, isDense(name)))
		}
	}
}

// decrypt returns the generated and derived values of an encrypted file.
func (w *world) decrypt(data []byte) map[string][]byte {
	w.t.Helper()
	found := map[string][]byte{}
	values := data[:bytes.Index(data, []byte("\nsops:"))+1]
	for _, m := range regexp.MustCompile(`(?m)^( *)([a-z0-9_]+): ENC\[`).FindAllSubmatch(values, -1) {
		key := string(m[2])
		name := strings.TrimSuffix(key, "_base64")
		switch _, generated := generators()[name]; {
		case len(m[1]) > 0:
			key, name = "made."+key, "made."+name
		case !generated:
			continue
		}
		v, err := sops.Decrypt(data, sops.FormatYAML, key, func(name string) string {
			return map[string]string{"SOPS_AGE_KEY": w.identity}[name]
		})
		if err != nil {
			w.t.Fatalf("%s: %v", key, err)
		}
		_ = v.Expose(func(p []byte) error {
			if name != key && !strings.HasPrefix(name, "made.") {
				p, err = base64.StdEncoding.DecodeString(string(p))
			}
			found[name] = bytes.Clone(p)
			return err
		})
	}
	if len(found) == 0 {
		w.t.Fatal("the file has no generated value")
	}
	return found
}

// checkValues makes sure that the values are where they belong: a suite that
// stores nothing finds nothing.
func (w *world) checkValues(values valueSet, turn int) {
	w.t.Helper()
	texts := values.texts()
	for i := range values.list {
		want := map[string]canary.Canary{fmt.Sprintf("file_%d", i): values.at(i, turn)}
		if i < manuals {
			want[fmt.Sprintf("manual_%d", i)] = values.at(i, 0)
		}
		if fitsEnv(values.at(i, 0).Value) {
			want[fmt.Sprintf("sops_%d", i)] = values.at(i, 0)
		}
		if i < len(texts.list) {
			want[fmt.Sprintf("env_%d", i)], want[fmt.Sprintf("dot_%d", i)] = texts.at(i, turn), texts.at(i, turn)
		}
		if i%4 != 0 { // each takes a process
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got := w.reveal("secret", "get", secretAddress(name), "-raw"); !bytes.Equal(got, want[name].Value) {
				w.t.Errorf("%s is not %s", name, want[name].Name)
			}
		}
	}
}

// surgery moves, forgets, adopts and removes.
func (w *world) surgery() {
	w.t.Helper()
	w.run(0, "state", "rm", secretAddress("gen_hex"))
	w.run(0, "apply", "-auto-approve")
	w.run(0, "state", "mv", secretAddress("file_1"), secretAddress("renamed"))
	w.run(0, "state", "mv", secretAddress("renamed"), secretAddress("file_1"), "-json")
	w.run(0, "state", "rm", secretAddress("gen_uuid"))
	w.run(0, "import", secretAddress("gen_uuid"), "dev/shop/gen_uuid", "-auto-approve")
	if err := os.Remove(w.file("coffer.state.json")); err != nil {
		w.t.Fatal(err)
	}
	w.run(0, "state", "rebuild", "-auto-approve")
	w.run(0, "apply", "-auto-approve")
	w.run(0, "drift", "-verify-values")

	// One secret lives elsewhere now, another is gone, a third is found.
	text := string(w.read("coffer.hcl"))
	text = strings.Replace(text, `value = random_base64({ bytes = 33 })`, "value = random_base64({ bytes = 33 })\n    path  = \"elsewhere/gen_b64\"", 1)
	text = regexp.MustCompile(`(?s)  secret "gen_passphrase" \{.*?\n  \}\n`).ReplaceAllString(text, "")
	w.write("coffer.hcl", text)
	w.run(0, "plan")
	w.run(0, "apply", "-auto-approve", "-confirm-deletes", "2")
	w.run(0, "apply", "-auto-approve", "-confirm-deletes", "1")
	w.write("secrets/dev/found.yaml", string(w.read("inputs/source.yaml")))
	w.run(0, "discover", "sops", "-out", "found.hcl")
	w.run(0, "plan")
	w.run(0, "apply", "-auto-approve")
	w.run(0, "discover", "dotenv", "inputs/vars.env", "-out", "migrated.hcl", "-map", "CANARY_(.*)=migrated/dev/v$1")
	w.run(0, "apply", "-auto-approve")

	// The primary loses a value that the copy has.
	if err := os.Remove(w.file("secrets/elsewhere.yaml")); err != nil {
		w.t.Fatal(err)
	}
	w.run(0, "plan")
	w.run(1, "apply", "-auto-approve")
	w.run(0, "restore", secretAddress("gen_b64"), "-from", "sops.copy", "-auto-approve")
	w.run(0, "apply", "-auto-approve")
	w.learn()
}

// interrupted looks at applies in the middle: at their process, the journal and
// the lock, at what Ctrl-C leaves, and at the trace of a SIGQUIT.
func (w *world) interrupted(values valueSet) {
	w.t.Helper()
	const journal = "coffer.state.json.journal"
	started := func() bool { info, err := os.Stat(w.file(journal)); return err == nil && info.Size() > 0 }
	rotate := []string{"rotate", secretAddress("gen_password"), secretAddress("gen_bytes"), "-auto-approve", "-confirm-rotations", "2"}

	r := w.block("copies/.coffer.lock", w.contains(journal, `"entry"`), rotate...)
	r.release(0)
	w.learn()
	w.run(0, "apply", "-auto-approve")

	w.supply(values, 2)
	r = w.block("secrets/.coffer.lock", started, "apply", "-auto-approve")
	if err := r.Process.Signal(syscall.SIGQUIT); err != nil {
		w.t.Fatal(err)
	}
	quit := r.end(2, "goroutine trace")
	if !bytes.Contains(quit.stderr, []byte("goroutine ")) {
		w.t.Errorf("SIGQUIT gives no trace: %s", quit.stderr)
	}
	if err := r.lock.Unlock(); err != nil {
		w.t.Fatal(err)
	}
	w.run(0, "plan")
	w.run(0, "apply", "-auto-approve")

	w.supply(values, 3)
	r = w.block("secrets/.coffer.lock", started, "apply", "-auto-approve")
	if err := r.Process.Signal(os.Interrupt); err != nil {
		w.t.Fatal(err)
	}
	r.release(130)
	w.run(0, "apply", "-auto-approve")
}
