package sops

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func (b *bench) object(file string) providers.Object {
	b.t.Helper()
	ref := providers.ObjectRef{Kind: KindRecipients, Path: file}
	found, err := b.d.InspectObjects(context.Background(), []providers.ObjectRef{ref})
	if err != nil {
		b.t.Fatal(err)
	}
	return found[ref]
}

func recipientsOp(file, ifVersion string, recipients ...string) providers.Operation {
	doc := ""
	if len(recipients) > 0 {
		doc = document(recipients)
	}
	return providers.Operation{Object: &providers.ObjectRequest{
		Ref: providers.ObjectRef{Kind: KindRecipients, Path: file}, Document: doc, IfVersion: ifVersion,
	}}
}

func writeOp(path, value, ifVersion string) providers.Operation {
	return providers.Operation{Write: &providers.WriteRequest{Path: path, Value: secret.String(value), IfVersion: ifVersion}}
}

func (b *bench) opensWith(key, file, name string) error {
	_, err := Decrypt([]byte(b.get(file)), FormatOf(file), name, getenv(key))
	return err
}

func TestBatchCreatesWithRecipients(t *testing.T) {
	b := newBench(t)
	results := b.d.WriteBatch(context.Background(), providers.Batch{Container: "dev/x.yaml", Ops: []providers.Operation{
		writeOp("dev/x/b", "2", ""), recipientsOp("dev/x.yaml", "", secondRecipient, firstRecipient), writeOp("dev/x/a", "1", ""),
	}})
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	live := b.object("dev/x.yaml")
	if live.Version != results[1].Object.Version || live.Document != document([]string{firstRecipient, secondRecipient}) {
		t.Errorf("live %+v, told %+v", live, results[1].Object)
	}
	if raw := b.get("dev/x.yaml"); strings.Index(raw, "a: ENC") > strings.Index(raw, "b: ENC") {
		t.Error("new keys are not in order")
	}
	for _, key := range []string{firstKey, secondKey} {
		if err := b.opensWith(key, "dev/x.yaml", "a"); err != nil {
			t.Error(err)
		}
	}
}

// TestBatchCreatesAnEnvFile: its recipients and its one secret share a path.
func TestBatchCreatesAnEnvFile(t *testing.T) {
	b := newBench(t)
	write := func(value, secretVersion, objectVersion string, recipients ...string) []providers.Result {
		results := b.d.WriteBatch(context.Background(), providers.Batch{Container: "dev/x.env", Ops: []providers.Operation{
			recipientsOp("dev/x.env", objectVersion, recipients...),
			{Write: &providers.WriteRequest{Path: "dev/x.env", Value: fields("A", value), IfVersion: secretVersion}, Needs: []int{0}},
		}})
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		return results
	}
	first := write("1", "", "", firstRecipient, secondRecipient)
	write("2", first[1].Meta.Version, first[0].Object.Version, firstRecipient)
	if got := text(t, b.read("dev/x.env")); got != "A=2" {
		t.Errorf("reads %q", got)
	}
	mustCode(t, b.opensWith(secondKey, "dev/x.env", "A"), providers.Denied)

	twice := recipientsOp("dev/x.env", b.object("dev/x.env").Version, firstRecipient)
	results := b.d.WriteBatch(context.Background(), providers.Batch{Container: "dev/x.env", Ops: []providers.Operation{twice, twice}})
	if results[0].Err != nil {
		t.Error(results[0].Err)
	}
	mustCode(t, results[1].Err, providers.Invalid)
}

// TestNeeds: what is made of a value that was not written is not written.
func TestNeeds(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	made := writeOp("dev/x/b", "2", "")
	made.Needs = []int{0}
	results := b.d.WriteBatch(context.Background(), providers.Batch{Container: "dev/x.yaml", Ops: []providers.Operation{
		writeOp("dev/x/a", "1", "stale"), made, writeOp("dev/x/c", "3", ""),
	}})
	mustCode(t, results[0].Err, providers.Conflict)
	mustCode(t, results[1].Err, providers.Cancelled)
	if results[2].Err != nil || b.version("dev/x/b") != "" || b.version("dev/x/c") == "" {
		t.Errorf("%v", results[2].Err)
	}
}

func TestNobodyCouldOpen(t *testing.T) {
	b := newBench(t)
	_, err := b.d.Write(context.Background(), providers.WriteRequest{Path: "dev/x/a", Value: secret.String("1")})
	mustCode(t, err, providers.Invalid)
	if !strings.Contains(err.Error(), "recipients") {
		t.Error(err)
	}
}

func TestAddRecipientKeepsCiphertext(t *testing.T) {
	for _, file := range []string{"dev/x.yaml", "dev/x.env"} {
		b := newBench(t, withRecipients(firstRecipient))
		path := "dev/x/a"
		if file == "dev/x.env" {
			path = file
		}
		b.write(path, map[bool]secret.Value{true: fields("a", "1"), false: secret.String("1")}[path == file])
		before, version := b.get(file), b.version(path)
		envelope := func() string {
			found, err := b.d.Inspect(context.Background(), []string{path})
			if err != nil {
				t.Fatal(err)
			}
			return found[path].Envelope
		}
		old := envelope()
		results := b.d.WriteBatch(context.Background(), providers.Batch{
			Container: file, Ops: []providers.Operation{recipientsOp(file, b.object(file).Version, firstRecipient, secondRecipient)},
			Promise: func(context.Context, map[string]string) error { t.Error("no version changes"); return nil },
		})
		if results[0].Err != nil || results[0].Moved != nil {
			t.Fatalf("%v, moved %v", results[0].Err, results[0].Moved)
		}
		if b.version(path) != version || envelope() == old {
			t.Error("the version moved, or the envelope did not")
		}
		for _, line := range strings.Split(before, "\n") {
			if key := lineKey(line); !strings.HasSuffix(key, "mac") && !strings.HasSuffix(key, "lastmodified") && !strings.Contains(b.get(file), line) {
				t.Errorf("the line %q is gone", line)
			}
		}
		if err := b.opensWith(secondKey, file, "a"); err != nil {
			t.Error(err)
		}
	}
}

func TestRemoveRecipientMakesANewKey(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient, secondRecipient))
	b.write("dev/x/a", secret.String("1"))
	b.write("dev/x/b", fields("u", "2"))
	b.write("dev/x/c", secret.String("3"))
	oldFile := b.get("dev/x.yaml")
	before, err := b.d.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var promised map[string]string
	results := b.d.WriteBatch(ctx, providers.Batch{
		Container: "dev/x.yaml",
		Ops: []providers.Operation{
			writeOp("dev/x/a", "new", before["dev/x/a"].Version),
			recipientsOp("dev/x.yaml", b.object("dev/x.yaml").Version, firstRecipient),
			{Delete: &providers.DeleteRequest{Path: "dev/x/c", IfVersion: before["dev/x/c"].Version}},
			writeOp("dev/x/d", "4", ""),
			writeOp("dev/x/b", "no", "stale"),
		},
		Promise: func(_ context.Context, versions map[string]string) error { promised = versions; return nil },
		Known:   map[string]string{"dev/x/b": before["dev/x/b"].Version},
	})
	for i, r := range results[:4] {
		if r.Err != nil {
			t.Fatal(i, r.Err)
		}
	}
	mustCode(t, results[4].Err, providers.Conflict)
	after, err := b.d.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(promised)); !slices.Equal(got, []string{"dev/x/a", "dev/x/b", "dev/x/d"}) {
		t.Errorf("promised %q", got)
	}
	for path, version := range promised {
		if after[path].Version != version || before[path].Version == version {
			t.Errorf("%s: promised %q, is %q", path, version, after[path].Version)
		}
	}
	told := 0
	for _, r := range results {
		for path, m := range r.Moved {
			told++
			if path != "dev/x/b" || m.Version != after[path].Version {
				t.Errorf("moved %s to %q", path, m.Version)
			}
		}
	}
	if told != 1 {
		t.Errorf("%d secrets told as moved", told)
	}
	if got := text(t, b.read("dev/x/b")); got != "u=2" {
		t.Errorf("reads %q", got)
	}
	mustCode(t, b.opensWith(secondKey, "dev/x.yaml", "a"), providers.Denied)
	// Whoever left has the old data key: it must open nothing new.
	old, err := decode(formatYAML, []byte(oldFile))
	if err != nil {
		t.Fatal(err)
	}
	oldKey, err := dataKey(old, "", getenv(secondKey))
	if err != nil {
		t.Fatal(err)
	}
	now, err := decode(formatYAML, []byte(b.get("dev/x.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range now.leaves {
		if _, err := open(oldKey, additional(l.path), l.text()); err == nil {
			t.Errorf("%v opens with the old data key", l.path)
		}
	}
}

func TestUnsettledRecipientsStopWrites(t *testing.T) {
	b := newBench(t, withRecipients(firstRecipient))
	b.write("dev/x/a", secret.String("1"))
	before := b.get("dev/x.yaml")
	results := b.d.WriteBatch(context.Background(), providers.Batch{Container: "dev/x.yaml", Ops: []providers.Operation{
		recipientsOp("dev/x.yaml", "stale", firstRecipient, secondRecipient), writeOp("dev/x/b", "2", ""),
	}})
	mustCode(t, results[0].Err, providers.Conflict)
	mustCode(t, results[1].Err, providers.Conflict)
	if b.get("dev/x.yaml") != before {
		t.Error("the file changed")
	}
}

func TestObjectRequests(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, withRecipients(firstRecipient))
	ref := providers.ObjectRef{Kind: KindRecipients, Path: "dev/x.yaml"}
	made, err := b.d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: document([]string{firstRecipient})})
	if err != nil || made.Version != b.object("dev/x.yaml").Version {
		t.Fatalf("%+v, %v", made, err)
	}
	same, err := b.d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: made.Document, IfVersion: made.Version})
	if err != nil || same.Version != made.Version {
		t.Errorf("%+v, %v", same, err)
	}
	b.write("dev/x/a", secret.String("1"))
	for name, c := range map[string]struct {
		req  providers.ObjectRequest
		code providers.Code
	}{
		"exists":     {providers.ObjectRequest{Ref: ref, Document: made.Document}, providers.Conflict},
		"gone":       {providers.ObjectRequest{Ref: providers.ObjectRef{Kind: KindRecipients, Path: "dev/y.yaml"}, Document: made.Document, IfVersion: "v"}, providers.Conflict},
		"kind":       {providers.ObjectRequest{Ref: providers.ObjectRef{Kind: "policy", Path: "dev/x.yaml"}, Document: "x"}, providers.Unsupported},
		"path":       {providers.ObjectRequest{Ref: providers.ObjectRef{Kind: KindRecipients, Path: "../x.yaml"}, Document: "x"}, providers.Invalid},
		"not a key":  {providers.ObjectRequest{Ref: ref, Document: "age1nope\n" + made.Document, IfVersion: made.Version}, providers.Invalid},
		"nobody":     {providers.ObjectRequest{Ref: ref, Document: "\n", IfVersion: made.Version}, providers.Invalid},
		"a pgp key":  {providers.ObjectRequest{Ref: ref, Document: made.Document + "pgp:ABCD\n", IfVersion: made.Version}, providers.Unsupported},
		"new, a pgp": {providers.ObjectRequest{Ref: providers.ObjectRef{Kind: KindRecipients, Path: "dev/y.yaml"}, Document: "pgp:ABCD\n"}, providers.Unsupported},
	} {
		_, err := b.d.WriteObject(ctx, c.req)
		if providers.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	// No longer looked after: the file keeps its recipients.
	if _, err := b.d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, IfVersion: made.Version}); err != nil {
		t.Fatal(err)
	}
	if b.object("dev/x.yaml").Document != made.Document {
		t.Error("the recipients changed")
	}
	results := b.d.WriteBatch(ctx, providers.Batch{Container: "dev/x.yaml", Ops: []providers.Operation{
		recipientsOp("dev/x.yaml", made.Version), {Delete: &providers.DeleteRequest{Path: "dev/x/a", IfVersion: b.version("dev/x/a")}},
	}})
	if err := errors.Join(results[0].Err, results[1].Err); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.path("dev/x.yaml")); !os.IsNotExist(err) {
		t.Error("the file is left")
	}
	if b.object("dev/x.yaml").Version != "" {
		t.Error("there is still an object")
	}
}

func TestShamirKeepsItsRecipients(t *testing.T) {
	b := newBench(t)
	b.put("dev/shamir.yaml", golden(t, "shamir.yaml"))
	live := b.object("dev/shamir.yaml")
	if live.Document != document([]string{firstRecipient, secondRecipient}) {
		t.Errorf("document %q", live.Document)
	}
	_, err := b.d.WriteObject(context.Background(), providers.ObjectRequest{
		Ref: providers.ObjectRef{Kind: KindRecipients, Path: "dev/shamir.yaml"}, Document: document([]string{firstRecipient}), IfVersion: live.Version,
	})
	mustCode(t, err, providers.Unsupported)
}
