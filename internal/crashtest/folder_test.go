//go:build unix

package crashtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/audit"
	"github.com/cofferhq/coffer/internal/cli"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/state"
)

// Throw-away identities, made for these tests.
const (
	aliceKey = "AGE-SECRET-KEY-12FN3ACL97QTYYKY7MZD3E0XGS865T55ERU2Q7LK38UMATGUP5S8Q63T2JL"
	alice    = "age1zrarw0mlrfdfmv9gh7azwpgnv0tsv3mx0clrx2cn33cdwtw0h5kqezagku"
	bob      = "age17jc3wctflfc8snele4r0nx43y8dndcse79euxqpdwgxehxy8ee2qk8fkc9"

	fingerprintKey = "coffer-fp1:gT6+jhCob9DLH2jyBj/rfBaEHYc3LObzw4wRSJGcK8jos7NzXBqs0Q=="
)

// stores are the folders that the provider blocks of all scenarios name.
var stores = []string{"secrets", "copies"}

// folder is a configuration directory with the environment that it is used in.
type folder struct {
	dir   string
	env   map[string]string
	stdin string
}

func newFolder(t *testing.T, env map[string]string) *folder {
	t.Helper()
	f := &folder{dir: t.TempDir(), env: map[string]string{
		"SOPS_AGE_KEY": aliceKey, "COFFER_FINGERPRINT_KEY": fingerprintKey, "USER": "alice", "SHOP_USER": "shop", "SMTP": "first", "HOME": "/nonexistent",
	}}
	maps.Copy(f.env, env)
	return f
}

// copy returns a folder with the same files.
func (f *folder) copy(t *testing.T, dir string) *folder {
	t.Helper()
	c := &folder{dir: dir, env: f.env, stdin: f.stdin}
	must(t, os.RemoveAll(dir))
	must(t, filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, strings.TrimPrefix(path, f.dir))
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, info.Mode().Perm())
	}))
	return c
}

func (f *folder) configure(t *testing.T, hcl string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(f.dir, "coffer.hcl"), []byte(hcl), 0o644))
}

func (f *folder) environ() []string {
	var list []string
	for name, value := range f.env {
		list = append(list, name+"="+value)
	}
	return list
}

// line is a command line for this folder, one call after the other.
func (f *folder) line(command []string) []string {
	return append([]string{"-chdir", f.dir, "-parallelism", "1"}, command...)
}

// run runs a command in this process, as main does.
func (f *folder) run(command ...string) ran {
	var out, stderr bytes.Buffer
	code := cli.Main(context.Background(), append([]string{"coffer", "-chdir", f.dir}, command...),
		cli.Streams{In: strings.NewReader(f.stdin), Out: &out, Err: &stderr},
		cli.Environ{Vars: f.env, Now: time.Now, Random: rand.Reader})
	return ran{code: code, out: out.String(), stderr: stderr.String()}
}

func (r ran) String() string {
	return fmt.Sprintf("exit %d\n%s%s", r.code, r.out, r.stderr)
}

// values decrypts and verifies every file, and returns each value by
// store/path or store/path#field.
func (f *folder) values() (map[string]string, error) {
	all := map[string]string{}
	for _, store := range stores {
		d, err := f.driver(store)
		if err != nil {
			return nil, err
		}
		found, err := d.List(context.Background())
		if err != nil {
			return nil, err
		}
		for path := range found {
			v, err := d.Read(context.Background(), path, "")
			if err != nil {
				return nil, fmt.Errorf("%s in %s: %w", path, store, err)
			}
			flatten(store+"/"+path, v, all)
		}
	}
	return all, nil
}

func (f *folder) driver(store string) (*sops.Driver, error) {
	return sops.Open(providers.Env{
		Dir: f.dir, Getenv: func(name string) string { return f.env[name] }, Now: time.Now, Random: rand.Reader,
	}, sops.Config{Path: store, Recipients: sops.Recipients{All: []string{alice}}}, sops.Options{})
}

func flatten(at string, v secret.Value, into map[string]string) {
	if v.IsObject() {
		for _, name := range v.Names() {
			field, _ := v.Field(name)
			flatten(at+"#"+name, field, into)
		}
		return
	}
	_ = v.Expose(func(p []byte) error { into[at] = string(p); return nil })
}

// edit writes a value by hand, as a person does with the sops tool.
func (f *folder) edit(t *testing.T, path, text string) {
	t.Helper()
	d, err := f.driver("secrets")
	must(t, err)
	found, err := d.Inspect(context.Background(), []string{path})
	must(t, err)
	_, err = d.Write(context.Background(), providers.WriteRequest{Path: path, Value: secret.String(text), IfVersion: found[path].Version})
	must(t, err)
}

// remove deletes a value by hand.
func (f *folder) remove(t *testing.T, path string) {
	t.Helper()
	d, err := f.driver("secrets")
	must(t, err)
	found, err := d.Inspect(context.Background(), []string{path})
	must(t, err)
	must(t, d.Delete(context.Background(), path, found[path].Version))
}

func (f *folder) state() *state.File {
	return state.OpenFile(filepath.Join(f.dir, "coffer.state.json"), state.FileOptions{Project: "crash-1"})
}

// planned returns what the plan still has to do, and what is there that nobody
// declares, as text.
func (f *folder) planned() (changes, orphans []string, err error) {
	r := f.run("plan", "-detailed-exitcode", "-json")
	var plan struct {
		Changes []struct{ Address, Action, Reason, Detail string }
		Notes   []struct{ Address, Reason, Text string }
		Values  int `json:"values_read"`
	}
	if jsonErr := json.Unmarshal([]byte(r.out), &plan); jsonErr != nil || r.code != 0 && r.code != 2 {
		return nil, nil, fmt.Errorf("plan: %v\n%s", jsonErr, r)
	}
	for _, c := range plan.Changes {
		changes = append(changes, c.Action+" "+c.Address+" "+c.Reason+" "+c.Detail)
	}
	for _, n := range plan.Notes {
		if n.Reason == "orphan" {
			orphans = append(orphans, n.Address+" "+n.Reason)
		}
	}
	if plan.Values != 0 || (r.code == 2) != (len(plan.Changes) > 0) {
		return nil, nil, fmt.Errorf("the plan read %d values, exit code %d", plan.Values, r.code)
	}
	return changes, orphans, nil
}

// belongs are the files that may lie in a folder where nothing is under way.
var belongs = regexp.MustCompile(`^(coffer\.hcl|coffer\.state\.json(\.\d+\.backup)?|audit\.log(\.lock)?|` +
	`(secrets|copies)/(\.coffer\.lock|[a-z0-9/]+\.(yaml|env)))$`)

// settled returns what is wrong with a folder where nothing is under way: a
// journal, a temporary file, a lock, an open intent, a broken audit log.
func (f *folder) settled() error {
	var wrong []error
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, f.dir+"/")
		if err == nil && !d.IsDir() && !belongs.MatchString(name) {
			wrong = append(wrong, fmt.Errorf("%s was left", name))
		}
		return err
	})
	wrong = append(wrong, err)
	s, err := f.state().Read(context.Background())
	if err != nil {
		return errors.Join(append(wrong, err)...)
	}
	if s.Holder != nil {
		wrong = append(wrong, fmt.Errorf("the state is locked by %s", s.Holder.Operation))
	}
	for _, e := range s.Sorted() {
		if e.Pending != nil {
			wrong = append(wrong, fmt.Errorf("%s is pending", e.Address))
		}
	}
	return errors.Join(append(wrong, f.audited())...)
}

// audited verifies the audit log, where the configuration has one.
func (f *folder) audited() error {
	hcl, err := os.ReadFile(filepath.Join(f.dir, "coffer.hcl"))
	if err != nil || !bytes.Contains(hcl, []byte("audit {")) {
		return err
	}
	log, err := os.Open(filepath.Join(f.dir, "audit.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	report, err := audit.Verify(log, audit.VerifyOptions{})
	if err == nil && (!report.OK() || report.Torn != 0) {
		err = fmt.Errorf("audit log: %+v", report)
	}
	return err
}

// text shows values by name, for a failed test: these are no secrets.
func text(values map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "  %s = %s\n", name, values[name])
	}
	return b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
