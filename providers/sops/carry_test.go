package sops

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// A new data key moves every version of the file. What somebody wrote by hand
// must not come out of that as ours, nor what no state ever recorded.
func TestHandEditedSiblingStaysTheirs(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient, secondRecipient))
	known := map[string]string{}
	for _, name := range []string{"edited", "gone", "refused", "same", "stale"} {
		known["dev/x/"+name] = b.write("dev/x/"+name, secret.String(name)).Version
	}
	b.write("dev/x/stranger", secret.String("1"))
	b.write("dev/x/edited", secret.String("by hand"))
	b.write("dev/x/refused", secret.String("by hand"))
	shown := b.version("dev/x/stale")
	before, err := b.d.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	delete(known, "dev/x/stale") // as where the plan rotates what is in conflict
	var promised map[string]string
	results := b.d.WriteBatch(ctx, providers.Batch{
		Container: "dev/x.yaml", Known: known,
		Ops: []providers.Operation{
			recipientsOp("dev/x.yaml", b.object("dev/x.yaml").Version, firstRecipient),
			writeOp("dev/x/refused", "2", known["dev/x/refused"]),
			writeOp("dev/x/new", "2", ""),
			{Write: &providers.WriteRequest{Path: "dev/x/stale", Value: secret.String("2"), IfVersion: shown}, Needs: []int{1}},
			{Delete: &providers.DeleteRequest{Path: "dev/x/gone", IfVersion: known["dev/x/gone"]}},
		},
		Promise: func(_ context.Context, versions map[string]string) error { promised = versions; return nil },
	})
	if results[0].Err != nil || results[2].Err != nil || results[4].Err != nil {
		t.Fatal(results)
	}
	mustCode(t, results[1].Err, providers.Conflict)
	mustCode(t, results[3].Err, providers.Cancelled)
	after, err := b.d.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"dev/x/new": after["dev/x/new"].Version, "dev/x/same": after["dev/x/same"].Version}
	if !maps.Equal(promised, want) {
		t.Errorf("promised %q, want %q", promised, want)
	}
	for i, r := range results {
		if got := slices.Collect(maps.Keys(r.Moved)); i == 0 && !slices.Equal(got, []string{"dev/x/same"}) || i > 0 && len(got) > 0 {
			t.Errorf("operation %d tells of %q as moved", i, got)
		}
	}
	if got := results[0].Moved["dev/x/same"]; got.Version != want["dev/x/same"] || got.Envelope != after["dev/x/same"].Envelope {
		t.Errorf("moved to %+v, is %+v", got, after["dev/x/same"])
	}
	for path, value := range map[string]string{
		"edited": "by hand", "refused": "by hand", "same": "same", "stale": "stale", "stranger": "1", "new": "2",
	} {
		path = "dev/x/" + path
		if got := text(t, b.read(path)); got != value {
			t.Errorf("%s reads %q, want %q", path, got, value)
		}
		if after[path].Version == before[path].Version {
			t.Errorf("%s is not under the new key", path)
		}
	}
}

// A second batch on the file, as where changes wait for each other in a circle,
// must follow what the first one told: the version that was planned is gone.
func TestASecondBatchFollowsWhatMoved(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient, secondRecipient))
	known := map[string]string{}
	for _, path := range []string{"dev/x/a", "dev/x/b", "dev/x/c"} {
		known[path] = b.write(path, secret.String("1")).Version
	}
	first := b.d.WriteBatch(ctx, providers.Batch{
		Container: "dev/x.yaml", Known: known,
		Ops: []providers.Operation{
			recipientsOp("dev/x.yaml", b.object("dev/x.yaml").Version, firstRecipient), writeOp("dev/x/a", "2", known["dev/x/a"]),
		},
	})
	if first[0].Err != nil || first[1].Err != nil {
		t.Fatal(first)
	}
	again := func(versions map[string]string) []providers.Result {
		return b.d.WriteBatch(ctx, providers.Batch{Container: "dev/x.yaml", Ops: []providers.Operation{
			writeOp("dev/x/b", "2", versions["dev/x/b"]),
			{Delete: &providers.DeleteRequest{Path: "dev/x/c", IfVersion: versions["dev/x/c"]}},
		}})
	}
	for _, r := range again(known) {
		mustCode(t, r.Err, providers.Conflict)
	}
	for path, m := range first[0].Moved {
		known[path] = m.Version
	}
	for _, r := range again(known) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if all, err := b.d.List(ctx); err != nil || len(all) != 2 {
		t.Errorf("%v, %v", all, err)
	}
}

// Whatever stops a batch between its promise and the rename is definite, and
// every operation says so: neither its own versions nor those that would have
// been carried along are there, nor will be.
func TestNothingOfABrokenPromiseIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		code    providers.Code
		at      string // the step that fails
		between func(b *bench, cancel func())
	}{
		"a full disk":   {code: providers.Unavailable, at: durable.Before(durable.StepWrite)},
		"before rename": {code: providers.Unavailable, at: durable.Before(durable.StepRename)},
		"a hand edit":   {code: providers.Conflict, between: func(b *bench, _ func()) { b.put("dev/x.yaml", []byte("# by hand\n"+b.get("dev/x.yaml"))) }},
		"emptied":       {code: providers.Conflict, between: func(b *bench, _ func()) { b.put("dev/x.yaml", nil) }},
		"an interrupt":  {code: providers.Cancelled, between: func(_ *bench, cancel func()) { cancel() }},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b := newBench(t, withRecipients(firstRecipient, secondRecipient))
			known := map[string]string{"dev/x/a": b.write("dev/x/a", secret.String("1")).Version, "dev/x/b": b.write("dev/x/b", secret.String("1")).Version}
			b.open(withRecipients(firstRecipient), func(_ *Config, o *Options) {
				o.At = func(point string) error {
					if point == c.at {
						return errors.New("no space left")
					}
					return nil
				}
			})
			var promised map[string]string
			results := b.d.WriteBatch(ctx, providers.Batch{
				Container: "dev/x.yaml", Known: known,
				Ops: []providers.Operation{
					recipientsOp("dev/x.yaml", b.object("dev/x.yaml").Version, firstRecipient), writeOp("dev/x/a", "2", known["dev/x/a"]),
				},
				Promise: func(_ context.Context, versions map[string]string) error {
					promised = versions
					if c.between != nil {
						c.between(b, cancel)
					}
					return nil
				},
			})
			if len(promised) != 2 {
				t.Fatalf("promised %q", promised)
			}
			for _, r := range results {
				mustCode(t, r.Err, c.code)
				if !providers.CodeOf(r.Err).Definite() || r.Moved != nil || r.Meta.Version != "" || r.Object.Version != "" {
					t.Errorf("%+v", r)
				}
			}
			if name == "emptied" {
				return
			}
			for path, version := range known {
				if got := b.version(path); got != version {
					t.Errorf("%s has version %s, want %s as before", path, got, version)
				}
			}
		})
	}
}

// Another reader changes the envelopes of a file and no version: that is told
// too, or a later change by hand would look like a new key.
func TestAnotherReaderTellsTheEnvelope(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	version := b.write("dev/x/a", secret.String("1")).Version
	promised := map[string]string{}
	results := b.d.WriteBatch(context.Background(), providers.Batch{
		Container: "dev/x.yaml", Known: map[string]string{"dev/x/a": version},
		Ops:     []providers.Operation{recipientsOp("dev/x.yaml", b.object("dev/x.yaml").Version, firstRecipient, secondRecipient)},
		Promise: func(_ context.Context, versions map[string]string) error { maps.Copy(promised, versions); return nil },
	})
	if results[0].Err != nil || len(promised) > 0 {
		t.Fatal(results[0].Err, promised)
	}
	after, err := b.d.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := results[0].Moved["dev/x/a"]
	if got.Version != version || got.Envelope == "" || got.Envelope != after["dev/x/a"].Envelope {
		t.Errorf("told %+v, is %+v", got, after["dev/x/a"])
	}
}
