package memory_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/secret"
)

// harness tests one setting of the knobs.
func harness(o memory.Options) providertest.Harness {
	const forbidden = "conformance/test/forbidden"
	o.Prefix = "ours/"
	var instances atomic.Int64
	h := providertest.Harness{Refuses: map[string]string{}}
	if o.ForbidEmpty {
		h.Refuses["empty"] = "the knob ForbidEmpty is on"
	}
	h.New = func(providertest.T) *providertest.Instance {
		w := memory.NewWorld(fmt.Sprintf("memory-%d", instances.Add(1)))
		w.Inject(memory.Deny("", forbidden))
		blind := o
		blind.Blind = true
		rekey := func(path string) providers.ObjectRequest {
			return providers.ObjectRequest{
				Ref: providers.ObjectRef{Kind: memory.ObjectKind, Path: o.Container("secret", path)}, Document: "alice\n", OpID: "rekey",
			}
		}
		if !o.Envelopes {
			rekey = nil
		}
		return &providertest.Instance{
			Rekey: rekey,
			Damage: func(path string) {
				w.Inject(memory.Fault{Op: "list", Code: providers.Invalid, Text: "cut short"})
				w.Inject(memory.Fault{Op: "inspect", Code: providers.Invalid, Text: "cut short: " + path})
			},
			Driver:    memory.New(w, o),
			Reopen:    func() providers.Driver { return memory.New(w, o) },
			Blind:     func() providers.Driver { return memory.New(w, blind) },
			Settle:    w.Settle,
			Forbidden: forbidden,
			Outage: func(down bool) {
				w.Heal()
				if down {
					w.Inject(memory.Outage(0))
				} else {
					w.Inject(memory.Deny("", forbidden))
				}
			},
			FailInspect: func(path string) {
				w.Inject(memory.Fault{Op: "inspect", Path: path, Code: providers.Unavailable})
			},
			Edit:       func(path string, v secret.Value) { w.Edit(o.Prefix+path, v, "mallory") },
			Editor:     "mallory",
			Elsewhere:  func() { w.Edit("theirs/x", secret.String("x"), "mallory") },
			PassWindow: func() { w.Advance(o.SoftDelete) },
			ValueReads: w.Reads,
			Object: func() providers.ObjectRequest {
				return providers.ObjectRequest{
					Ref: providers.ObjectRef{Kind: memory.ObjectKind, Path: "conformance/test"}, Document: "alice\nbob\n", OpID: "object",
				}
			},
		}
	}
	return h
}

func TestConformance(t *testing.T) {
	small := memory.Full()
	small.MaxBytes, small.Concurrency = 4<<10, 1
	reuse := memory.Full()
	reuse.SoftDelete, reuse.ReuseVersions, reuse.Restore = 0, true, false
	batched := memory.Full()
	batched.Container, batched.Promises = memory.Files().Container, true
	for name, o := range map[string]memory.Options{
		"nothing": {}, "full": memory.Full(), "versioned": memory.Versioned(), "eventual": memory.Eventual(), "files": memory.Files(),
		"counting": memory.Counting(), "small": small, "reuse": reuse, "batched": batched,
	} {
		t.Run(name, func(t *testing.T) { providertest.Run(t, harness(o)) })
	}
}
