package sops

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/durable/crashfs"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// foldersFS gives the crash file system folders: every parent of dir/x.yaml.
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

func crashDriver(t *testing.T, disk *crashfs.FS) *Driver {
	t.Helper()
	d, err := Open(providers.Env{Dir: t.TempDir(), Getenv: getenv(firstKey), Now: func() time.Time { return testTime }, Random: rand.Reader},
		Config{Recipients: Recipients{All: []string{firstRecipient}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.disk.tree = durable.Folder{Base: "/project", FS: foldersFS{disk}}
	return d
}

// TestEverySurvivorIsOldOrNew stops the machine before each change that a
// batch makes on the disk, and looks at all that can be left: the old file or
// the promised one, whole, and another run settles it.
func TestEverySurvivorIsOldOrNew(t *testing.T) {
	const file = "/project/secrets/dev/x.yaml"
	ctx := context.Background()
	for name, c := range map[string]struct {
		start []string // secrets that are there
		ops   func(versions map[string]string, object providers.Object) []providers.Operation
	}{
		"create": {nil, func(map[string]string, providers.Object) []providers.Operation {
			return []providers.Operation{recipientsOp("dev/x.yaml", "", firstRecipient), writeOp("dev/x/a", "1", "")}
		}},
		"update beside others": {[]string{"a", "b"}, func(v map[string]string, _ providers.Object) []providers.Operation {
			return []providers.Operation{writeOp("dev/x/a", "2", v["dev/x/a"])}
		}},
		"delete the last": {[]string{"a"}, func(v map[string]string, _ providers.Object) []providers.Operation {
			return []providers.Operation{{Delete: &providers.DeleteRequest{Path: "dev/x/a", IfVersion: v["dev/x/a"]}}}
		}},
		"another data key": {[]string{"a", "b"}, func(_ map[string]string, o providers.Object) []providers.Operation {
			return []providers.Operation{recipientsOp("dev/x.yaml", o.Version, firstRecipient, secondRecipient)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			points, survivors := 0, 0
			for n := 1; ; n++ {
				disk := crashfs.New()
				d := crashDriver(t, disk)
				for _, s := range c.start {
					if _, err := d.Write(ctx, providers.WriteRequest{Path: "dev/x/" + s, Value: secret.String("0")}); err != nil {
						t.Fatal(err)
					}
				}
				before, versions, object := look(t, d)
				old, _ := disk.Content(file)
				var promised map[string]string
				disk.CrashBefore(n)
				results := d.WriteBatch(ctx, providers.Batch{
					Container: "dev/x.yaml", Ops: c.ops(versions, object),
					Promise: func(_ context.Context, v map[string]string) error { promised = v; return nil },
				})
				if !disk.Crashed() {
					for _, r := range results {
						if r.Err != nil {
							t.Fatal(r.Err)
						}
					}
					break
				}
				points++
				for _, after := range disk.Survivors() {
					survivors++
					left := crashDriver(t, after)
					found, now, _ := look(t, left)
					content, _ := after.Content(file)
					switch {
					case string(content) == string(old):
					case name == "delete the last" && content == nil:
					default:
						for path, version := range promised {
							if now[path] != version {
								t.Errorf("point %d: %s has a version that is neither old nor promised", n, path)
							}
						}
						if len(content) == 0 {
							t.Errorf("point %d: an empty file is left", n)
						}
					}
					if len(found) < len(before) && name != "delete the last" {
						t.Errorf("point %d: a secret is lost", n)
					}
					again := c.ops(now, objectOf(t, left))
					for _, r := range left.WriteBatch(ctx, providers.Batch{Container: "dev/x.yaml", Ops: again}) {
						if r.Err != nil && providers.CodeOf(r.Err) != providers.Conflict {
							t.Errorf("point %d: the next run: %v", n, r.Err)
						}
					}
					for _, name := range after.Names() {
						if strings.HasSuffix(name, ".tmp") && string(content) == string(old) {
							t.Errorf("point %d: the next run left %s", n, name)
						}
					}
				}
			}
			t.Logf("%d points, %d survivors", points, survivors)
			if points < 2 {
				t.Errorf("only %d points", points)
			}
		})
	}
}

func look(t *testing.T, d *Driver) (map[string]providers.Meta, map[string]string, providers.Object) {
	t.Helper()
	found, err := d.Inspect(context.Background(), []string{"dev/x/a", "dev/x/b"})
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for path, m := range found {
		versions[path] = m.Version
		if _, err := d.Read(context.Background(), path, ""); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	return found, versions, objectOf(t, d)
}

func objectOf(t *testing.T, d *Driver) providers.Object {
	t.Helper()
	ref := providers.ObjectRef{Kind: KindRecipients, Path: "dev/x.yaml"}
	objects, err := d.InspectObjects(context.Background(), []providers.ObjectRef{ref})
	if err != nil {
		t.Fatal(err)
	}
	return objects[ref]
}

// TestDiskFaults fails each call once: nothing is lost and the code says
// whether the write may have happened.
func TestDiskFaults(t *testing.T) {
	ctx := context.Background()
	for kind, want := range map[string]providers.Code{
		"create": providers.Unavailable, "write": providers.Unavailable, "sync": providers.Unavailable,
		"rename": providers.Unavailable, "syncdir": providers.Ambiguous, "read": providers.Unavailable,
	} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
			disk := crashfs.New()
			d := crashDriver(t, disk)
			m, err := d.Write(ctx, providers.WriteRequest{Path: "dev/x/a", Value: secret.String("0")})
			if err != nil {
				t.Fatal(err)
			}
			old, _ := disk.Content("/project/secrets/dev/x.yaml")
			disk.Fault(func(op crashfs.Op) error {
				if op.Kind == kind {
					return &fs.PathError{Op: kind, Path: op.Path, Err: cause}
				}
				return nil
			})
			_, err = d.Write(ctx, providers.WriteRequest{Path: "dev/x/a", Value: secret.String("1"), IfVersion: m.Version})
			mustCode(t, err, want)
			if !errors.Is(err, cause) {
				t.Errorf("%s: %v does not tell %v", kind, err, cause)
			}
			disk.Fault(nil)
			now, _ := disk.Content("/project/secrets/dev/x.yaml")
			if want.Definite() != (string(now) == string(old)) {
				t.Errorf("%s: code %s, and the file changed: %t", kind, want, string(now) != string(old))
			}
			if _, err := d.Read(ctx, "dev/x/a", ""); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

// TestStopAtEachPoint uses the hook that the crash tests of the whole program
// use.
func TestStopAtEachPoint(t *testing.T) {
	var points []string
	b := newBench(t, withRecipients(firstRecipient), func(_ *Config, o *Options) {
		o.At = func(point string) error { points = append(points, point); return nil }
	})
	b.write("dev/x/a", secret.String("0"))
	if got, want := strings.Join(points, " "), strings.Join(durable.Points(), " "); got != want {
		t.Errorf("points %s, want %s", got, want)
	}
	for _, stop := range durable.Points() {
		b.open(withRecipients(firstRecipient), func(_ *Config, o *Options) {
			o.At = func(point string) error {
				if point == stop {
					return os.ErrDeadlineExceeded
				}
				return nil
			}
		})
		version := b.version("dev/x/a")
		_, err := b.d.Write(context.Background(), providers.WriteRequest{Path: "dev/x/a", Value: secret.String(stop), IfVersion: version})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", stop, err)
		}
		if moved := b.version("dev/x/a") != version; moved == providers.CodeOf(err).Definite() {
			t.Errorf("%s: code %s, and the version moved: %t", stop, providers.CodeOf(err), moved)
		}
	}
}
