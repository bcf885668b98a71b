package providertest_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/secret"
)

// broken is a driver with one defect: the functions that are set replace those
// of the sound driver it stands in front of.
type broken struct {
	*memory.Driver
	powers       providers.Powers
	capabilities func() providers.Capabilities
	identity     func(context.Context) (string, error)
	inspect      func(context.Context, []string) (map[string]providers.Meta, error)
	read         func(ctx context.Context, path, version string) (secret.Value, error)
	write        func(context.Context, providers.WriteRequest) (providers.Meta, error)
	delete       func(ctx context.Context, path, ifVersion string) error
}

func (b *broken) Powers() providers.Powers { return b.powers }

func (b *broken) Capabilities() providers.Capabilities {
	if b.capabilities != nil {
		return b.capabilities()
	}
	return b.Driver.Capabilities()
}

func (b *broken) Identity(ctx context.Context) (string, error) {
	if b.identity != nil {
		return b.identity(ctx)
	}
	return b.Driver.Identity(ctx)
}

func (b *broken) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	if b.inspect != nil {
		return b.inspect(ctx, paths)
	}
	return b.Driver.Inspect(ctx, paths)
}

func (b *broken) Read(ctx context.Context, path, version string) (secret.Value, error) {
	if b.read != nil {
		return b.read(ctx, path, version)
	}
	return b.Driver.Read(ctx, path, version)
}

func (b *broken) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	if b.write != nil {
		return b.write(ctx, req)
	}
	return b.Driver.Write(ctx, req)
}

func (b *broken) Delete(ctx context.Context, path, ifVersion string) error {
	if b.delete != nil {
		return b.delete(ctx, path, ifVersion)
	}
	return b.Driver.Delete(ctx, path, ifVersion)
}

// defect is one way of being broken, and the point that must notice.
type defect struct {
	name  string
	point int
	seed  func(b *broken, w *memory.World)
}

func defects() []defect {
	return slices.Concat(inspectDefects(), readDefects(), writeDefects(), otherDefects())
}

func inspectDefects() []defect {
	return []defect{
		{"inspect reads values", 17, func(b *broken, _ *memory.World) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				for _, path := range paths {
					_, _ = b.Driver.Read(ctx, path, "")
				}
				return b.Driver.Inspect(ctx, paths)
			}
		}},
		{"inspect answers for missing paths", 1, func(b *broken, _ *memory.World) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				found, err := b.Driver.Inspect(ctx, paths)
				for _, path := range paths {
					if _, ok := found[path]; !ok && err == nil {
						found[path] = providers.Meta{}
					}
				}
				return found, err
			}
		}},
		{"inspect takes a partial failure for absence", 25, func(b *broken, _ *memory.World) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				found, err := b.Driver.Inspect(ctx, paths)
				if _, partial := err.(*providers.PartialError); partial {
					err = nil
				}
				return found, err
			}
		}},
		{"inspect takes an outage for absence", 16, func(b *broken, _ *memory.World) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				found, err := b.Driver.Inspect(ctx, paths)
				if providers.CodeOf(err) == providers.Unavailable {
					return nil, nil
				}
				return found, err
			}
		}},
		{"inspect stops at 500 paths", 23, func(b *broken, _ *memory.World) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				return b.Driver.Inspect(ctx, paths[:min(500, len(paths))])
			}
		}},
		{"the version is the operation", 24, func(b *broken, _ *memory.World) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				found, err := b.Driver.Inspect(ctx, paths)
				for path, m := range found {
					m.ChangedBy = ""
					found[path] = m
				}
				return found, err
			}
		}},
		{"list stops after one page", 14, func(b *broken, _ *memory.World) {
			b.powers.Lister = lister(func(ctx context.Context) (map[string]providers.Meta, error) {
				found, err := providers.PowersOf(b.Driver).Lister.List(ctx)
				for _, path := range slices.Sorted(maps.Keys(found))[min(100, len(found)):] {
					delete(found, path)
				}
				return found, err
			})
		}},
	}
}

type lister func(context.Context) (map[string]providers.Meta, error)

func (l lister) List(ctx context.Context) (map[string]providers.Meta, error) { return l(ctx) }

func readDefects() []defect {
	change := func(f func([]byte) []byte) func(*broken, *memory.World) {
		return func(b *broken, _ *memory.World) {
			b.read = func(ctx context.Context, path, version string) (secret.Value, error) {
				v, err := b.Driver.Read(ctx, path, version)
				if err != nil || v.IsObject() {
					return v, err
				}
				return secret.New(f(plaintext(v))), nil
			}
		}
	}
	return []defect{
		{"read trims the last newline", 3, change(func(b []byte) []byte { return bytes.TrimSuffix(b, []byte("\n")) })},
		{"read ends at a zero byte", 3, change(func(b []byte) []byte { head, _, _ := bytes.Cut(b, []byte{0}); return head })},
		{"read repairs UTF-8", 3, change(func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("?")) })},
		{"read gives the current version for any", 11, func(b *broken, _ *memory.World) {
			b.read = func(ctx context.Context, path, _ string) (secret.Value, error) { return b.Driver.Read(ctx, path, "") }
		}},
		{"read of a missing secret is empty", 1, func(b *broken, _ *memory.World) {
			b.read = func(ctx context.Context, path, version string) (secret.Value, error) {
				v, err := b.Driver.Read(ctx, path, version)
				if providers.CodeOf(err) == providers.NotFound {
					err = nil
				}
				return v, err
			}
		}},
		{"read tells the value in its error", 18, func(b *broken, _ *memory.World) {
			b.read = func(ctx context.Context, path, version string) (secret.Value, error) {
				v, err := b.Driver.Read(ctx, path, version)
				if live, readErr := b.Driver.Read(ctx, path, ""); err != nil && readErr == nil {
					err = providers.Errorf(providers.NotFound, "no such version, the live one is %q", plaintext(live))
				}
				return v, err
			}
		}},
		{"denied looks like missing", 16, func(b *broken, _ *memory.World) {
			b.read = func(ctx context.Context, path, version string) (secret.Value, error) {
				v, err := b.Driver.Read(ctx, path, version)
				if providers.CodeOf(err) == providers.Denied {
					err = providers.Errorf(providers.NotFound, "no such secret")
				}
				return v, err
			}
		}},
	}
}

func writeDefects() []defect {
	return []defect{
		{"write ignores IfVersion", 7, func(b *broken, w *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				if m, ok := w.Meta(prefix + req.Path); ok {
					req.IfVersion = m.Version
				}
				return b.Driver.Write(ctx, req)
			}
		}},
		{"write answers without a version", 2, func(b *broken, _ *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				_, err := b.Driver.Write(ctx, req)
				return providers.Meta{}, err
			}
		}},
		{"write drops the attributes", 10, func(b *broken, _ *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				req.Attributes = providers.Attributes{}
				return b.Driver.Write(ctx, req)
			}
		}},
		{"write loses the owner's project", 21, func(b *broken, _ *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				if req.Attributes.Mark.Project != "" {
					req.Attributes.Mark.Project = "conformance"
				}
				return b.Driver.Write(ctx, req)
			}
		}},
		{"the same operation makes two versions", 9, func(b *broken, w *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				if m, ok := w.Meta(prefix + req.Path); ok && m.OpID == req.OpID {
					req.IfVersion = m.Version
					req.OpID += "-again"
				}
				return b.Driver.Write(ctx, req)
			}
		}},
		{"write goes on when cancelled", 15, func(b *broken, _ *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				return b.Driver.Write(context.WithoutCancel(ctx), req)
			}
		}},
		{"write tells the value it would replace", 18, func(b *broken, w *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				m, err := b.Driver.Write(ctx, req)
				if live, ok := w.Value(prefix + req.Path); ok && err != nil {
					err = providers.Errorf(providers.CodeOf(err), "will not replace %x", plaintext(live))
				}
				return m, err
			}
		}},
		{"paths fold to lower case", 20, func(b *broken, _ *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				req.Path = strings.ToLower(req.Path)
				return b.Driver.Write(ctx, req)
			}
			b.read = func(ctx context.Context, path, version string) (secret.Value, error) {
				return b.Driver.Read(ctx, strings.ToLower(path), version)
			}
		}},
		{"paths are cleaned", 20, func(b *broken, _ *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				req.Path = strings.ReplaceAll(req.Path, "//", "/")
				return b.Driver.Write(ctx, req)
			}
		}},
		{"a race is not seen", 8, func(b *broken, w *memory.World) {
			b.write = func(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
				m, err := b.Driver.Write(ctx, req)
				if now, ok := w.Meta(prefix + req.Path); ok && providers.CodeOf(err) == providers.Conflict {
					return now, nil
				}
				return m, err
			}
		}},
	}
}

func otherDefects() []defect {
	var calls atomic.Int64
	return []defect{
		{"delete of a missing secret is an error", 12, func(b *broken, w *memory.World) {
			b.delete = func(ctx context.Context, path, ifVersion string) error {
				if m, ok := w.Meta(prefix + path); !ok || m.IsDeleted() {
					return providers.Errorf(providers.NotFound, "no such secret")
				}
				return b.Driver.Delete(ctx, path, ifVersion)
			}
		}},
		{"delete ignores the version", 12, func(b *broken, w *memory.World) {
			b.delete = func(ctx context.Context, path, ifVersion string) error {
				if m, ok := w.Meta(prefix + path); ok {
					ifVersion = m.Version
				}
				return b.Driver.Delete(ctx, path, ifVersion)
			}
		}},
		{"delete is for good", 13, func(b *broken, w *memory.World) {
			b.delete = func(ctx context.Context, path, ifVersion string) error {
				err := b.Driver.Delete(ctx, path, ifVersion)
				w.Advance(memory.Full().SoftDelete)
				return err
			}
		}},
		{"delete says too late that it was denied", 16, func(b *broken, _ *memory.World) {
			b.delete = func(ctx context.Context, path, ifVersion string) error {
				err := b.Driver.Delete(ctx, path, ifVersion)
				if providers.CodeOf(err) == providers.Denied {
					return providers.Errorf(providers.Unavailable, "403")
				}
				return err
			}
		}},
		{"identity is the same everywhere", 22, func(b *broken, _ *memory.World) {
			b.identity = func(context.Context) (string, error) { return "here", nil }
		}},
		{"capabilities change", 19, func(b *broken, _ *memory.World) {
			b.capabilities = func() providers.Capabilities {
				c := b.Driver.Capabilities()
				c.MaxBytes = int(calls.Add(1)) << 20
				return c
			}
		}},
		{"versions are claimed and not kept", 11, func(b *broken, w *memory.World) {
			b.read = func(ctx context.Context, path, version string) (secret.Value, error) {
				if m, _ := w.Meta(prefix + path); version != "" && version != m.Version {
					return secret.Value{}, providers.Errorf(providers.NotFound, "no such version")
				}
				return b.Driver.Read(ctx, path, version)
			}
		}},
		{"a patch drops other fields", 26, func(b *broken, _ *memory.World) { b.powers.Patcher = overwriter{b} }},
		{"attributes make a version", 10, func(b *broken, w *memory.World) { b.powers.Attributer = rewriter{b, w} }},
	}
}

type overwriter struct{ b *broken }

func (o overwriter) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	return o.b.Driver.Write(ctx, req)
}

type rewriter struct {
	b *broken
	w *memory.World
}

func (r rewriter) SetAttributes(ctx context.Context, path, ifVersion string, a providers.Attributes) (providers.Meta, error) {
	v, _ := r.w.Value(prefix + path)
	return r.b.Driver.Write(ctx, providers.WriteRequest{Path: path, Value: v, IfVersion: ifVersion, Attributes: a})
}

const (
	prefix    = "ours/"
	forbidden = "conformance/test/forbidden"
)

// sound is a harness for the memory driver in front of which seed puts a
// defect.
func sound(seed func(*broken, *memory.World)) providertest.Harness {
	var instances atomic.Int64
	return providertest.Harness{New: func(providertest.T) *providertest.Instance {
		o := memory.Full()
		o.Prefix = prefix
		w := memory.NewWorld(fmt.Sprintf("memory-%d", instances.Add(1)))
		w.Inject(memory.Deny("", forbidden))
		open := func() providers.Driver {
			b := &broken{Driver: memory.New(w, o)}
			b.powers = b.Driver.Powers()
			seed(b, w)
			return b
		}
		return &providertest.Instance{
			Driver: open(), Reopen: open, Forbidden: forbidden, ValueReads: w.Reads, Editor: "mallory",
			Outage: func(down bool) {
				w.Heal()
				w.Inject(memory.Deny("", forbidden))
				if down {
					w.Heal()
					w.Inject(memory.Outage(0))
				}
			},
			FailInspect: func(path string) {
				w.Inject(memory.Fault{Op: "inspect", Path: path, Code: providers.Unavailable})
			},
			Edit:       func(path string, v secret.Value) { w.Edit(prefix+path, v, "mallory") },
			PassWindow: func() { w.Advance(o.SoftDelete) },
		}
	}}
}

func TestTheSoundDriverPasses(t *testing.T) {
	report := providertest.Verify(t.Context(), sound(func(*broken, *memory.World) {}))
	for _, f := range report.Failures {
		t.Error(f)
	}
	for _, want := range []string{"at rest", "the harness has no Blind"} {
		if !slices.ContainsFunc(report.Cannot, func(c string) bool { return strings.Contains(c, want) }) {
			t.Errorf("nothing says that %q cannot be shown: %q", want, report.Cannot)
		}
	}
}

// claimer takes whatever lives in the container for what was recorded.
type claimer struct {
	providers.BatchWriter
	d *memory.Driver
}

func (c claimer) WriteBatch(ctx context.Context, b providers.Batch) []providers.Result {
	found, err := providers.PowersOf(c.d).Lister.List(ctx)
	if err != nil {
		return make([]providers.Result, len(b.Ops))
	}
	b.Known = map[string]string{}
	for path, m := range found {
		b.Known[path] = m.Version
	}
	return c.BatchWriter.WriteBatch(ctx, b)
}

func TestClaimingOthersValuesIsCaught(t *testing.T) {
	for name, claims := range map[string]bool{"sound": false, "claims": true} {
		w, o := memory.NewWorld("memory-files"), memory.Files()
		b := &broken{Driver: memory.New(w, o)}
		b.powers = b.Driver.Powers()
		if claims {
			b.powers.BatchWriter = claimer{b.powers.BatchWriter, b.Driver}
		}
		report := providertest.Verify(t.Context(), providertest.Harness{New: func(providertest.T) *providertest.Instance {
			return &providertest.Instance{Driver: b, Rekey: func(path string) providers.ObjectRequest {
				return providers.ObjectRequest{
					Ref: providers.ObjectRef{Kind: memory.ObjectKind, Path: o.Container("secret", path)}, Document: "alice\n", OpID: "rekey",
				}
			}}
		}}, 31)
		if report.Failed(31) != claims || len(report.Cannot) > 0 {
			t.Errorf("%s: failures %q, cannot %q", name, report.Failures, report.Cannot)
		}
	}
}

// forgetful lists what can be read and leaves out the rest.
type forgetful struct{ broken bool }

func (f *forgetful) List(context.Context) (map[string]providers.Meta, error) { return nil, nil }

func TestDamageTakenForAbsenceIsCaught(t *testing.T) {
	for name, defect := range map[string]func(b *broken, f *forgetful){
		"sound": func(*broken, *forgetful) {},
		"list":  func(b *broken, f *forgetful) { b.powers.Lister = f },
		"inspect": func(b *broken, f *forgetful) {
			b.inspect = func(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
				if f.broken {
					return nil, nil
				}
				return b.Driver.Inspect(ctx, paths)
			}
		},
	} {
		w, f := memory.NewWorld("memory-files"), &forgetful{}
		b := &broken{Driver: memory.New(w, memory.Files())}
		b.powers = b.Driver.Powers()
		defect(b, f)
		report := providertest.Verify(t.Context(), providertest.Harness{New: func(providertest.T) *providertest.Instance {
			return &providertest.Instance{Driver: b, Damage: func(string) {
				f.broken = true
				w.Inject(memory.Fault{Op: "list", Code: providers.Invalid}, memory.Fault{Op: "inspect", Code: providers.Invalid})
			}}
		}}, 32)
		if report.Failed(32) != (name != "sound") || len(report.Cannot) > 0 {
			t.Errorf("%s: failures %q, cannot %q", name, report.Failures, report.Cannot)
		}
	}
}

// Each defect is seeded alone and must fail the point it breaks.
func TestEveryDefectIsCaught(t *testing.T) {
	t.Logf("%d defects", len(defects()))
	for _, d := range defects() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			report := providertest.Verify(t.Context(), sound(d.seed), d.point)
			if !report.Failed(d.point) {
				t.Errorf("point %d did not notice; the failures are %q", d.point, report.Failures)
			}
		})
	}
}

func plaintext(v secret.Value) []byte {
	var b []byte
	_ = v.Expose(func(plain []byte) error {
		b = bytes.Clone(plain)
		return nil
	})
	return b
}
