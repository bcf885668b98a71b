package plannertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/durable/crashfs"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/state"
)

// A throw-away identity, made for these tests.
const (
	ageIdentity  = "AGE-SECRET-KEY-12FN3ACL97QTYYKY7MZD3E0XGS865T55ERU2Q7LK38UMATGUP5S8Q63T2JL"
	ageRecipient = "age1zrarw0mlrfdfmv9gh7azwpgnv0tsv3mx0clrx2cn33cdwtw0h5kqezagku"
	ageOther     = "age17jc3wctflfc8snele4r0nx43y8dndcse79euxqpdwgxehxy8ee2qk8fkc9"
)

// foldersFS gives the crash file system folders: what has no extension is one.
type foldersFS struct{ *crashfs.FS }

type folderInfo struct{ name string }

func (i folderInfo) Name() string     { return i.name }
func (folderInfo) Size() int64        { return 0 }
func (folderInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (folderInfo) ModTime() time.Time { return time.Time{} }
func (folderInfo) IsDir() bool        { return true }
func (folderInfo) Sys() any           { return nil }

func (f foldersFS) Lstat(path string) (fs.FileInfo, error) {
	if filepath.Ext(path) == "" {
		return folderInfo{filepath.Base(path)}, nil
	}
	return f.FS.Lstat(path)
}

func (f foldersFS) ReadDir(dir string) ([]string, error) {
	names, err := f.FS.ReadDir(dir)
	for _, path := range f.Names() {
		rest, below := strings.CutPrefix(path, dir+"/")
		if folder, _, deep := strings.Cut(rest, "/"); below && deep && !slices.Contains(names, folder) {
			names = append(names, folder)
		}
	}
	slices.Sort(names)
	return names, err
}

// machine is a computer with one disk: state, journal and sops files.
type machine struct {
	disk       *crashfs.FS
	cfg        *lang.Config
	recipients []string
	env        map[string]string
}

func loadText(t *testing.T, hcl string) *lang.Config {
	t.Helper()
	dir := t.TempDir()
	text := "coffer {\n  project = \"test-1\"\n}\nprovider \"sops\" {}\n" + hcl
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, diags := lang.Load(dir, lang.Options{ProviderTypes: []string{"sops"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return cfg
}

func (m *machine) driver() (*sops.Driver, error) {
	getenv := func(name string) string { return map[string]string{"SOPS_AGE_KEY": ageIdentity}[name] }
	return sops.Open(providers.Env{Dir: "/project", Getenv: getenv, Now: time.Now, Random: rand.Reader, Project: "test-1"},
		sops.Config{Recipients: sops.Recipients{All: m.recipients}}, sops.Options{FS: foldersFS{m.disk}})
}

func (m *machine) state() *state.File {
	return state.OpenFile("/project/coffer.state.json", state.FileOptions{Project: "test-1", FS: m.disk, Locks: state.MemoryLocks()})
}

// look plans from a snapshot.
func (m *machine) look(s *state.Snapshot, settle ...planner.Settlement) (*Look, error) {
	ctx := context.Background()
	d, err := m.driver()
	if err != nil {
		return nil, err
	}
	l := &Look{Snapshot: s, Options: planner.DiffOptions{Now: Start, Settle: settle}}
	var diags []planner.Diagnostic
	p := providers.New("sops", d, providers.Options{Now: time.Now, Sleep: noSleep})
	if l.Stores, diags = planner.Connect(ctx, []*providers.Provider{p}, s); len(diags) > 0 {
		return nil, fmt.Errorf("connect: %s: %s", diags[0].Summary, diags[0].Detail)
	}
	if l.Desired, diags = planner.Desire(m.cfg, l.Stores); len(diags) > 0 {
		return nil, fmt.Errorf("desire: %s: %s", diags[0].Summary, diags[0].Detail)
	}
	in := inputs{&World{Environ: m.env}}
	refresher := &planner.Refresher{Stores: l.Stores, Wait: noSleep, Compare: &planner.Comparer{Inputs: in}}
	if l.Live, err = refresher.Refresh(ctx, l.Desired, s); err != nil {
		return nil, err
	}
	l.Plan = planner.Diff(l.Desired, s, l.Live, l.Stores, l.Options)
	return l, nil
}

func orNew(s *state.Snapshot, err error) (*state.Snapshot, error) {
	if errors.Is(err, state.ErrNotExist) {
		return state.New("test-1", state.Lineage("test-1")), nil
	}
	return s, err
}

// apply is one run of the program.
func (m *machine) apply(settle ...planner.Settlement) (err error) {
	ctx := context.Background()
	session, err := m.state().Lock(ctx, state.LockInfo{Operation: "apply", Who: "alice@laptop", PID: 1, Since: Start})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Unlock(ctx)) }()
	s, err := orNew(session.Load(ctx))
	if err != nil {
		return err
	}
	l, err := m.look(s, settle...)
	if err != nil {
		return err
	}
	a := planner.Applier{
		Desired: l.Desired, Stores: l.Stores, Session: session, Snapshot: s, Inputs: inputs{&World{Environ: m.env}},
		Rand: rand.Reader, Now: func() time.Time { return Start }, Parallelism: 1,
	}
	result, err := a.Apply(ctx, l.Plan)
	if err == nil && result.Failed() {
		err = errors.New("something was not done")
	}
	return err
}

// planned returns what the plan has left to do.
func (m *machine) planned() ([]string, error) {
	s, err := orNew(m.state().Read(context.Background()))
	if err != nil {
		return nil, err
	}
	l, err := m.look(s)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, c := range l.Plan.Changes {
		left = append(left, fmt.Sprintf("%s %s %s %s", c.Action, c.Address, c.Reason, c.Detail))
	}
	for _, n := range l.Plan.Notes {
		if n.Reason == planner.ReasonOrphan {
			left = append(left, "orphan "+n.Address.String())
		}
	}
	return left, nil
}

func (m *machine) values() (map[string]string, error) {
	d, err := m.driver()
	if err != nil {
		return nil, err
	}
	found, err := d.List(context.Background())
	all := map[string]string{}
	for path := range found {
		v, readErr := d.Read(context.Background(), path, "")
		err = errors.Join(err, readErr)
		if readErr == nil {
			all[path] = Text(v)
		}
	}
	return all, err
}

// on is the same machine with a copy of another disk.
func (m *machine) on(disk *crashfs.FS) *machine {
	c := *m
	c.disk = crashfs.New()
	for _, name := range disk.Names() {
		data, _ := disk.Content(name)
		c.disk.Put(name, data)
	}
	return &c
}

// TestEverySurvivorIsRecovered stops the machine before every change of the
// disk on which state, journal and sops files lie, takes every content that the
// disk may then have, and applies again: the plan is empty, and no value that
// was live on that disk is lost or another one.
func TestEverySurvivorIsRecovered(t *testing.T) {
	file := func(blocks ...string) string {
		return "environment \"dev\" {\n  store = sops\n}\napp \"shop\" {\n  environments = [\"dev\"]\n" + strings.Join(blocks, "") + "}\n"
	}
	key, url := block("key", "value = random_hex({ bytes = 8 })"), block("url", `value = "x-${secret.key}"`)
	pair := block("pair", "fields = {\n      a = random_hex({ bytes = 8 })\n      b = random_hex({ bytes = 8 })\n    }")
	whole := file(key, url, pair)
	for _, c := range []struct {
		name, start, hcl string
		recipients       []string // from then on
		settle           []planner.Settlement
		replaces, gone   []string
	}{
		{name: "create", hcl: whole},
		{name: "add beside others", start: file(key), hcl: whole},
		{
			name: "rotate", start: whole, hcl: whole, replaces: []string{"dev/shop/key", "dev/shop/url"},
			settle: []planner.Settlement{{Address: addr.Secret("shop", "dev", "key"), Kind: planner.SettleRotate}},
		},
		{name: "delete", start: whole, hcl: file(key), gone: []string{"dev/shop/url", "dev/shop/pair"}},
		{name: "another data key", start: whole, hcl: whole, recipients: []string{ageRecipient, ageOther}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base := &machine{disk: crashfs.New(), recipients: []string{ageRecipient}}
			if c.start != "" {
				base.cfg = loadText(t, c.start)
				if err := base.apply(); err != nil {
					t.Fatal(err)
				}
			}
			before, err := base.values()
			if err != nil {
				t.Fatal(err)
			}
			base.cfg = loadText(t, c.hcl)
			if c.recipients != nil {
				base.recipients = c.recipients
			}
			points, survivors := 0, 0
			for n := 1; ; n++ {
				m := base.on(base.disk)
				m.disk.CrashBefore(n)
				err := m.apply(c.settle...)
				if !m.disk.Crashed() {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				points++
				for _, disk := range m.disk.Survivors() {
					survivors++
					if err := m.on(disk).recovers(before, c.replaces, c.gone); err != nil {
						t.Fatalf("crash before change %d, a survivor of %d files: %v", n, len(disk.Names()), err)
					}
				}
			}
			t.Logf("%d points, %d survivors", points, survivors)
			if points < 15 || survivors < points {
				t.Error("these are too few to mean anything")
			}
		})
	}
}

// recovers applies again and compares with what was live before and on this
// disk.
func (m *machine) recovers(before map[string]string, replaces, gone []string) error {
	after, err := m.values()
	if err != nil {
		return fmt.Errorf("the files do not open: %w", err)
	}
	if err := m.apply(); err != nil {
		return fmt.Errorf("the next apply: %w", err)
	}
	left, err := m.planned()
	if err != nil || len(left) > 0 {
		return fmt.Errorf("the plan is not empty: %q, %w", left, err)
	}
	end, err := m.values()
	if err != nil {
		return fmt.Errorf("the files do not open at the end: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		switch now, lives := end[path]; {
		case slices.Contains(gone, path):
		case !lives:
			return fmt.Errorf("%s is lost", path)
		case now != before[path] && !slices.Contains(replaces, path):
			return fmt.Errorf("%s has another value", path)
		}
	}
	for path, made := range after {
		if made != before[path] && end[path] != made {
			return fmt.Errorf("%s was live after the crash and is another one now", path)
		}
	}
	for _, name := range m.disk.Names() {
		if strings.HasSuffix(name, ".journal") || strings.HasSuffix(name, ".tmp") {
			return fmt.Errorf("%s was left", name)
		}
	}
	return nil
}
