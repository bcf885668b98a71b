package state_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

func apply(t *testing.T, s *state.Snapshot, records ...state.Record) {
	t.Helper()
	for _, r := range records {
		must(t, s.Apply(r))
	}
}

func TestLineage(t *testing.T) {
	a := state.Lineage("shop-7f3a")
	if a != state.Lineage("shop-7f3a") || a == state.Lineage("shop-7f3b") || len(a) != 32 {
		t.Errorf("lineage %q", a)
	}
}

func TestApplyIntent(t *testing.T) {
	s := statetest.Snapshot("db")
	apply(t, s, statetest.Intent("new", "op-2", ""), statetest.Intent("db", "op-2", "v1"))
	made := s.Entries[statetest.At("new")]
	if made.Version != "" || made.Generation != 0 || made.Pending == nil || made.Address.Name != "new" ||
		made.Store != "sops" || made.Role != state.RolePrimary {
		t.Errorf("the entry that an intent makes is %+v", made)
	}
	if db := s.Entries[statetest.At("db")]; db.Version != "v1" || db.Pending.Op != "op-2" {
		t.Errorf("the entry that was there is %+v", db)
	}

	refused := state.Record{Kind: state.RecordRefused, Location: statetest.At("new")}
	apply(t, s, refused, refused)
	refused.Location = statetest.At("db")
	apply(t, s, refused)
	if s.Entries[statetest.At("new")] != nil || s.Entries[statetest.At("db")].Pending != nil {
		t.Error("a refused intent is not gone")
	}
}

// A value that a person still has to write is an entry without a version; a
// refusal leaves it.
func TestApplyRefusedKeepsAwaiting(t *testing.T) {
	s := statetest.Snapshot()
	e := statetest.Entry("smtp", "")
	e.Class, e.Generation = state.ClassManual, 0
	apply(t, s, state.Record{Kind: state.RecordEntry, Location: e.Location, Entry: e}, statetest.Intent("smtp", "op-2", ""),
		state.Record{Kind: state.RecordRefused, Location: e.Location})
	if got := s.Entries[e.Location]; got == nil || got.Pending != nil {
		t.Errorf("%+v", got)
	}
}

// A delete of what the state does not know names it in the record.
func TestApplyIntentToDelete(t *testing.T) {
	s := statetest.Snapshot("db")
	r := state.Record{Kind: state.RecordIntent, Location: statetest.At("db"), Intent: &state.Intent{Op: "op-2", Action: "delete", Base: "v1"}}
	apply(t, s, r)
	r.Location = statetest.At("orphan")
	if err := s.Apply(r); err == nil || len(s.Entries) != 1 {
		t.Errorf("an intent without identity: %v, %d entries", err, len(s.Entries))
	}
	r.Entry = statetest.Entry("orphan", "v4")
	apply(t, s, r)
	if e := s.Entries[r.Location]; e.Address.Name != "orphan" || e.Version != "" || e.Pending == nil {
		t.Errorf("%+v", e)
	}
	apply(t, s, state.Record{Kind: state.RecordDrop, Location: r.Location}, state.Record{Kind: state.RecordDrop, Location: r.Location})
	if s.Entries[r.Location] != nil {
		t.Error("dropped and still there")
	}
}

func TestApplyPromise(t *testing.T) {
	s := statetest.Snapshot("db", "smtp", "elsewhere")
	elsewhere := s.Entries[statetest.At("elsewhere")]
	delete(s.Entries, elsewhere.Location)
	elsewhere.Location.Provider = "sops:other"
	s.Entries[elsewhere.Location] = elsewhere
	apply(t, s, statetest.Intent("db", "op-2", "v1"))
	apply(t, s, state.Record{
		Kind:     state.RecordPromise,
		Location: addr.Location{Provider: "sops:files", Kind: "secret"},
		Versions: map[string]string{
			statetest.At("db").Path: "v2", statetest.At("smtp").Path: "v1b", statetest.At("nobody").Path: "v1",
			elsewhere.Location.Path: "v9",
		},
		Intent: &state.Intent{Op: "op-2", Started: statetest.Who("apply").Since},
	})
	if p := s.Entries[statetest.At("db")].Pending; p.Promised != "v2" || p.Action != "create" {
		t.Errorf("the open intent is %+v", p)
	}
	carried := s.Entries[statetest.At("smtp")]
	p := carried.Pending
	if p == nil || p.Action != state.ActionCarried || p.Base != "v1" || p.Promised != "v1b" || p.Op != "op-2" || p.Next.Version != "v1" || p.Next.Pending != nil {
		t.Errorf("what moves along is %+v", p)
	}
	if len(s.Entries) != 3 || elsewhere.Pending != nil {
		t.Error("a promise reached what it does not name")
	}
	encode(t, s)
}

// An intent says when its own apply was last heard of, also where a journal holds
// a later one, and keeps saying so in the state.
func TestReplayTellsWhenAnApplyWasAlive(t *testing.T) {
	began := statetest.Who("apply").Since
	at := func(r state.Record, minutes int) state.Record {
		r.At = began.Add(time.Duration(minutes) * time.Minute)
		return r
	}
	later := statetest.Intent("smtp", "op-3", "")
	later.Intent.Started = began.Add(time.Hour)
	back := statetest.Intent("db", "op-2", "v1") // the later apply leaves it as it was
	promise := state.Record{
		Kind: state.RecordPromise, Location: addr.Location{Provider: "sops:files", Kind: "secret"},
		Versions: map[string]string{statetest.At("moves").Path: "v2"},
	}
	s := statetest.Snapshot("db", "moves")
	must(t, s.Replay([]state.Record{
		at(statetest.Intent("db", "op-2", "v1"), 0), at(statetest.Intent("api", "op-2", ""), 0), at(statetest.Outcome("mail", "v1"), 20),
		at(later, 60), at(back, 61), at(promise, 62), at(statetest.Outcome("more", "v1"), 90),
	}))
	for name, minutes := range map[string]int{"db": 20, "api": 20, "smtp": 90, "moves": 62} {
		p := s.Entries[statetest.At(name)].Pending
		if got := p.Heard().Sub(began).Minutes(); int(got) != minutes {
			t.Errorf("the apply of %s was heard of after %v minutes, want %d", name, got, minutes)
		}
	}
	saved, err := state.Decode(encode(t, s))
	must(t, err)
	if p := saved.Entries[statetest.At("api")].Pending; p.Heard() != began.Add(20*time.Minute) {
		t.Errorf("saved as %v", p.Heard())
	}
	quiet := statetest.Snapshot("db")
	must(t, quiet.Replay([]state.Record{statetest.Intent("db", "op-2", "v1")}))
	if p := quiet.Entries[statetest.At("db")].Pending; p.Heard() != began || !p.Alive.IsZero() {
		t.Errorf("never heard of, and still %+v", p)
	}
	if err := s.Replay([]state.Record{{Kind: "surprise"}}); err == nil || !strings.Contains(err.Error(), "record 1") {
		t.Errorf("a record of no kind: %v", err)
	}
}

// Whoever made a record may change it afterwards.
func TestApplyAndCloneShareNothing(t *testing.T) {
	s := statetest.Snapshot()
	r := statetest.Outcome("db", "v1")
	r.Entry.Labels = map[string]string{"a": "b"}
	i := statetest.Intent("api", "op-2", "")
	apply(t, s, r, i)
	before := string(encode(t, s))
	c := s.Clone()
	r.Entry.Version, r.Entry.Labels["a"], r.Entry.Fields[""] = "x", "x", state.Field{}
	i.Intent.Op, i.Intent.Next.Op = "x", "x"
	if string(encode(t, s)) != before {
		t.Error("a record is shared")
	}
	c.Providers["sops"], c.Entries[statetest.At("db")].Labels["a"] = "x", "x"
	c.Entries[statetest.At("api")].Pending.Next.Fields[""] = state.Field{}
	delete(c.Entries, statetest.At("db"))
	if string(encode(t, s)) != before {
		t.Error("a clone is shared")
	}
}

func TestSorted(t *testing.T) {
	s := full()
	names := make([]string, 0, len(s.Entries))
	for _, e := range s.Sorted() {
		names = append(names, e.Address.String())
	}
	want := []string{
		`mount.kv.kv`, `app.checkout.secret.api["production"]`, `app.checkout.secret.db["dev"]`, `app.checkout.secret.db["production"]`,
		`app.checkout.secret.db["production"]@sops.eu`, `app.checkout.secret.smtp["production"]`,
		`app.store.secret.db["production"]`, `provider.sops.recipients["production/checkout.yaml"]`,
		`provider.vault.binding["approle:approle/shop shop-web"]`,
	}
	if !slices.Equal(names, want) {
		t.Errorf("order %q", names)
	}
	if p := s.Pending(); len(p) != 1 || p[0].Address.Environment != "dev" {
		t.Errorf("pending %v", p)
	}
}

func parse(t *testing.T, s string) addr.Address {
	t.Helper()
	a, err := addr.Parse(s)
	must(t, err)
	return a
}

func TestMove(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"app.checkout.secret.db", "app.checkout.secret.database", `app.checkout.secret.database["production"] app.checkout.secret.database["production"]@sops.eu`},
		{"app.checkout", "app.shop", `app.shop.secret.db["production"] app.shop.secret.db["production"]@sops.eu`},
		{`app.checkout.secret.db["production"]`, `app.checkout.secret.db["eu"]["production"]`, `app.checkout.secret.db["eu"]["production"] app.checkout.secret.db["eu"]["production"]@sops.eu`},
		{"app.checkout", `app.checkout["eu"]`, `app.checkout["eu"].secret.db["production"] app.checkout["eu"].secret.db["production"]@sops.eu`},
		{`app.checkout.secret.db["production"]`, `app.checkout.secret.db["prod"]`, `app.checkout.secret.db["prod"] app.checkout.secret.db["prod"]@sops.eu`},
	} {
		s := full()
		for l, e := range s.Entries { // the two copies of db["production"], and a reader of them
			if e.Address.Name != "db" || e.Pending != nil {
				delete(s.Entries, l)
			}
		}
		reader := statetest.Entry("url", "v1")
		reader.Address.App, reader.Inputs = "reader", map[string]int{`app.checkout.secret.db["production"]`: 3, "app.x.secret.y": 1}
		s.Entries[reader.Location] = reader
		moved, err := s.Move(parse(t, c.from), parse(t, c.to))
		if err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
			continue
		}
		var names []string
		for _, e := range moved {
			names = append(names, e.Address.String())
			if s.Entries[e.Location] != e {
				t.Errorf("%s moved its location", e.Address)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s to %s: %s", c.from, c.to, got)
		}
		if reader.Inputs[names[0]] != 3 || reader.Inputs["app.x.secret.y"] != 1 || len(reader.Inputs) != 2 {
			t.Errorf("inputs %v", reader.Inputs)
		}
		encode(t, s)
	}
}

func TestSurgeryRefuses(t *testing.T) {
	move := func(from, to string) func(*state.Snapshot) error {
		return func(s *state.Snapshot) error {
			_, err := s.Move(parse(t, from), parse(t, to))
			return err
		}
	}
	repin := func(ref, identity string) func(*state.Snapshot) error {
		return func(s *state.Snapshot) error {
			_, err := s.Repin(ref, identity)
			return err
		}
	}
	for _, c := range []struct {
		name string
		do   func(*state.Snapshot) error
		says string
	}{
		{"taken", move(`app.checkout.secret.smtp["production"]`, `app.checkout.secret.api["production"]`), "in the state already"},
		{"nothing there", move("app.nobody", "app.somebody"), "coffer state list"},
		{"other kinds", move("app.checkout", "app.checkout.secret.db"), "same kind of thing"},
		{"another copy", move(`app.checkout.secret.db["production"]@sops.eu`, `app.checkout.secret.db["production"]@sops.us`), "same kind of thing"},
		{"open intent", move("app.checkout", "app.shop"), "open intent"},
		{"remove nothing", func(s *state.Snapshot) error { _, err := s.Remove(parse(t, "app.nobody")); return err }, "coffer state list"},
		{"remove all by mistake", func(s *state.Snapshot) error { _, err := s.Remove(addr.Address{}); return err }, "name an address"},
		{"unknown provider", repin("aws", "x"), "pins no provider"},
		{"same identity", repin("sops.eu", "sops:77aa"), "already"},
		{"no identity", repin("sops.eu", ""), "name the provider"},
		{"pinned onto what is there", repin("sops.eu", "sops:1f0e"), "entry at"},
		{"repin open intent", repin("sops", "sops:new"), "open intent"},
	} {
		s := full()
		before := string(encode(t, s))
		if err := c.do(s); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if string(encode(t, s)) != before {
			t.Errorf("%s: refused and changed", c.name)
		}
	}
}

func TestRepin(t *testing.T) {
	s := full()
	moved, err := s.Repin("sops.eu", "sops:new")
	must(t, err)
	if len(moved) != 1 || moved[0].Location.Provider != "sops:new" || s.Entries[moved[0].Location] != moved[0] ||
		s.Providers["sops.eu"] != "sops:new" || s.Providers["sops"] != "sops:1f0e" || len(s.Entries) != len(full().Entries) {
		t.Errorf("moved %v, pins %v", moved, s.Providers)
	}
	encode(t, s)
	if _, err := s.Repin("vault", "vault:c2/-/kv"); err != nil || s.Incarnations["vault"] != "" {
		t.Errorf("another instance keeps the incarnation %q: %v", s.Incarnations["vault"], err)
	}
}

func TestReincarnate(t *testing.T) {
	s := full()
	there, err := s.Reincarnate("vault", "kv_new")
	must(t, err)
	if len(there) != 3 || s.Incarnations["vault"] != "kv_new" || full().Incarnations["vault"] == "kv_new" {
		t.Errorf("%d entries, %v", len(there), s.Incarnations)
	}
	_, again := s.Reincarnate("vault", "kv_new")
	_, unknown := s.Reincarnate("vaults", "kv_new")
	if again == nil || unknown == nil {
		t.Errorf("accepted: %v, %v", again, unknown)
	}
	if _, err := s.Reincarnate("vault", ""); err != nil || bytes.Contains(encode(t, s), []byte("incarnations")) {
		t.Errorf("still recorded: %v", err)
	}
	there[0].Pending = &state.Intent{Op: "x", Action: "create"}
	if _, err := s.Reincarnate("vault", "kv_3"); err == nil {
		t.Error("accepted over an open intent")
	}
	c := full()
	c.Clone().Incarnations["vault"] = "x"
	if c.Incarnations["vault"] != "kv_9a1b" {
		t.Error("a clone shares the incarnations")
	}
}

// genText draws what a person or a platform may have put into a text.
func genText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", "<<<<<<< HEAD", "\x1b[2J", "\u2028", "a\x00b", "\ufffd", `\ufffd`, `","location":{`, "</script>", "\r\n", "\U000e0041",
	}))
}

func genEntry() *rapid.Generator[*state.Entry] {
	name := rapid.StringMatching(`[a-z][a-z0-9_-]{0,8}`)
	path := rapid.StringMatching(`[A-Za-z0-9 _.{}",:\\-]{1,12}`).Filter(func(s string) bool { return s != "." && s != ".." })
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	return rapid.Custom(func(t *rapid.T) *state.Entry {
		e := &state.Entry{
			Address:  addr.Address{App: name.Draw(t, "app"), Kind: "secret", Name: name.Draw(t, "name"), Key: genText().Draw(t, "key")},
			Location: addr.Location{Provider: name.Draw(t, "identity"), Kind: "secret", Path: path.Draw(t, "path")},
			Store:    name.Draw(t, "store"), Role: rapid.SampledFrom([]string{state.RolePrimary, state.RoleReplica, state.RoleObject}).Draw(t, "role"),
			Version: genText().Draw(t, "version"), Created: when.Draw(t, "created"), Generation: rapid.IntRange(0, 1000).Draw(t, "generation"),
			Class: rapid.SampledFrom([]string{"", state.ClassManual, state.ClassTemplate}).Draw(t, "class"), RotatedAt: when.Draw(t, "rotated"),
			Description: genText().Draw(t, "description"), Protect: rapid.Bool().Draw(t, "protect"), Document: genText().Draw(t, "document"),
			Labels: rapid.MapOfN(genText(), genText(), 0, 3).Draw(t, "labels"),
		}
		if e.Address.Key != "" {
			e.Address.Environment = "dev"
		}
		for _, field := range rapid.SliceOfN(genText(), 0, 3).Draw(t, "fields") {
			if e.Fields == nil {
				e.Fields = map[string]state.Field{}
			}
			e.Fields[field] = state.Field{Source: genText().Draw(t, "source")}
		}
		return e
	})
}

func genSnapshot() *rapid.Generator[*state.Snapshot] {
	return rapid.Custom(func(t *rapid.T) *state.Snapshot {
		s := state.New("p", state.Lineage("p"))
		s.Serial = rapid.Uint64Range(0, state.MaxSerial).Draw(t, "serial")
		for ref := range rapid.MapOfN(rapid.StringMatching(`[a-z]{1,4}`), rapid.Just(0), 0, 3).Draw(t, "providers") {
			s.Providers[ref] = "identity of " + ref
			if rapid.Bool().Draw(t, "incarnation") {
				if s.Incarnations == nil {
					s.Incarnations = map[string]string{}
				}
				s.Incarnations[ref] = genText().Filter(func(s string) bool { return s != "" }).Draw(t, "made")
			}
		}
		for _, e := range rapid.SliceOfN(genEntry(), 0, 5).Draw(t, "entries") {
			s.Entries[e.Location] = e
			if rapid.Bool().Draw(t, "pending") {
				next := genEntry().Draw(t, "next")
				e.Pending = &state.Intent{Op: "op", Action: genText().Draw(t, "action"), Next: next}
			}
		}
		return s
	})
}

// What is written is read back, byte for byte, and decodes to the same
// content. The seed of a failure is printed by rapid.
func TestRoundTrip(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		s := genSnapshot().Draw(t, "snapshot")
		data, err := state.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := state.Decode(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		again, err := state.Encode(got)
		if err != nil || string(again) != string(data) {
			t.Fatalf("%v\n%s\n%s", err, data, again)
		}
		if !maps.EqualFunc(got.Entries, s.Entries, func(a, b *state.Entry) bool { return show(a) == show(b) }) {
			t.Fatalf("other content in\n%s", data)
		}
	})
}

func show(e *state.Entry) string {
	pending := ""
	c := *e
	if e.Pending != nil {
		p := *e.Pending
		pending = show(p.Next)
		p.Next, c.Pending = nil, nil
		pending += fmt.Sprintf("%#v", p)
	}
	times := fmt.Sprint(c.Created.UnixNano(), c.RotatedAt.UnixNano())
	c.Created, c.RotatedAt = time.Time{}, time.Time{}
	return fmt.Sprintf("%q %s %s", fmt.Sprintf("%+v", c), times, pending)
}
