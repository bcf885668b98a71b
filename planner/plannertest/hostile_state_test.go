package plannertest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// untouchable are secrets on the store that are not this project's: nobody's,
// another project's, and what lies beside the provider's prefix.
var untouchable = map[string]providers.Mark{
	"p/theirs":         {Project: "another-1", Address: "x"},
	"p/shop/dev/alien": {Project: "another-1", Address: providers.AddressHash(`app.shop.secret.goes["dev"]`)},
	"p/nobodys":        {},
	"outside":          {},
	"q/shop/dev/kept":  {Project: "test-1", Address: providers.AddressHash(`app.shop.secret.kept["dev"]`)},
}

const hostileConfig = `
environment "dev" {
  store    = memory
  replicas = [memory.b]
}
app "shop" {
  environments = ["dev"]
  secret "kept" {
    value = random_hex({ bytes = 8 })
  }
  secret "guarded" {
    value   = random_hex({ bytes = 8 })
    protect = true
  }
  secret "fields" {
    fields = {
      a = random_hex({ bytes = 8 })
      b = "x-${self.a}"
    }
  }
  secret "supplied" {
    value = from_env("SUPPLIED")
  }
%s}
`

// besieged is a world with a valid state, before anybody edits it.
func besieged(t *testing.T, knobs memory.Options) *World {
	t.Helper()
	knobs.Prefix = "p/"
	w := New(t, knobs)
	w.AddStore("b", knobs)
	w.Environ["SUPPLIED"] = "v1"
	gone := ""
	if knobs.Bindings {
		w.Objects, gone = append(keptObjects(), goneObjects()...), goneBlocks
	}
	w.Configure(fmt.Sprintf(hostileConfig, "  secret \"goes\" {\n    value = random_hex({ bytes = 8 })\n  }\n")).Apply()
	for ref := range w.Stores {
		for path, mark := range untouchable {
			w.Stores[ref].Edit(path, secret.String("untouched "+path), "mallory")
			if knobs.Attributes {
				w.Stores[ref].SetMark(path, mark)
			}
		}
	}
	if knobs.Bindings {
		w.loose()
		w.Objects = keptObjects()
	}
	return w.Configure(fmt.Sprintf(hostileConfig, "") + gone)
}

// TestHostileStates edits a valid state in every way, plans and applies it:
// nothing that is not ours, or not inside, is written or deleted, and nothing
// panics. What comes back is a plan, a diagnostic or an error.
func TestHostileStates(t *testing.T) {
	states, refused, applied := 0, 0, 0
	for name, shape := range map[string]struct {
		knobs memory.Options
		every int // takes one of so many states
	}{"full": {memory.Full(), 2}, "versioned": {memory.Versioned(), 5}, "counting": {memory.Counting(), 5}} {
		base := besieged(t, shape.knobs)
		base.Load()
		for i, v := range hostileStates(t, string(base.State.Remember())) {
			if i%shape.every != 0 {
				continue
			}
			w := (&forgery{World: base}).fork(t).World
			w.State.Recall([]byte(v.text))
			before := w.generated()
			states++
			if err := w.attack(); err != nil {
				refused++
			} else {
				applied++
			}
			w.checkUntouched(v.name)
			if after := w.generated(); after != before {
				t.Errorf("%s, %s: a generated value is not what it was", name, v.name)
			}
		}
	}
	t.Logf("%d hostile states: %d refused, %d applied, 0 forbidden calls", states, refused, applied)
	if states < 300 || refused == 0 || applied == 0 {
		t.Errorf("%d states, %d refused, %d applied: this test looks at too little", states, refused, applied)
	}
}

// attack plans and applies with the state as it stands.
func (w *World) attack() error {
	snapshot, err := w.State.Load(context.Background())
	if err != nil {
		return err
	}
	if err := snapshot.CheckProject("test-1"); err != nil {
		return err
	}
	stores, diags := planner.Connect(context.Background(), w.Providers(), snapshot)
	if len(diags) > 0 {
		return fmt.Errorf("%s", diags[0].Summary)
	}
	desired, diags := planner.Desire(w.Load(), stores)
	if len(diags) > 0 {
		return fmt.Errorf("%s", diags[0].Summary)
	}
	refresher := &planner.Refresher{Stores: stores, Wait: noSleep, Compare: &planner.Comparer{Inputs: inputs{w}, Key: w.Key}}
	live, err := refresher.Refresh(context.Background(), desired, snapshot)
	if err != nil {
		return err
	}
	l := &Look{Desired: desired, Snapshot: snapshot, Live: live, Stores: stores, Options: planner.DiffOptions{Now: w.Now}}
	l.Plan = planner.Diff(desired, snapshot, live, stores, l.Options)
	for _, d := range l.Plan.Diagnostics {
		if d.Severity == planner.SeverityError {
			return fmt.Errorf("%s", d.Summary)
		}
	}
	_, err = w.Applier(l).Apply(context.Background(), l.Plan)
	return err
}

// generated returns the generated values of the primary, which nothing but a
// rotation replaces, whatever the state says.
func (w *World) generated() string {
	w.Helper()
	return w.Value("memory", "p/shop/dev/kept") + w.Value("memory", "p/shop/dev/guarded") + w.Value("memory", "p/shop/dev/fields")
}

func (w *World) checkUntouched(name string) {
	w.Helper()
	for _, what := range w.objectsUntouched() {
		w.TB.(*testing.T).Errorf("%s: the object %s was touched", name, what)
	}
	for ref, store := range w.Stores {
		for path, mark := range untouchable {
			v, live := store.Value(path)
			meta, _ := store.Meta(path)
			if !live || Text(v) != "untouched "+path || meta.Attributes.Mark != mark {
				w.TB.(*testing.T).Errorf("%s: %s on %s was touched", name, path, ref)
			}
		}
	}
}

type hostileState struct{ name, text string }

// hostileStates changes every field of every entry, adds and copies entries,
// and opens intents that nobody had.
func hostileStates(t *testing.T, file string) []hostileState {
	valid, err := state.Decode([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	var all []hostileState
	add := func(name string, edit func(*state.Snapshot)) {
		s := valid.Clone()
		edit(s)
		text, err := state.Encode(s)
		if err != nil { // not even the writer takes it: write it past the checks
			text = []byte(unchecked(file, valid, s))
		}
		all = append(all, hostileState{name, string(text)})
	}
	for _, e := range valid.Sorted() {
		edits := entryEdits()
		if e.Role == state.RoleObject {
			maps.Copy(edits, objectEdits())
		}
		for _, name := range slices.Sorted(maps.Keys(edits)) {
			edit := edits[name]
			add(e.Address.String()+": "+name, func(s *state.Snapshot) {
				c := s.Entries[e.Location]
				delete(s.Entries, e.Location)
				edit(c)
				s.Entries[c.Location] = c
			})
			add(e.Address.String()+" again: "+name, func(s *state.Snapshot) {
				c := s.Entries[e.Location].Clone()
				edit(c)
				s.Entries[c.Location] = c
			})
		}
	}
	add("another project", func(s *state.Snapshot) { s.Project = "another-1" })
	add("another lineage", func(s *state.Snapshot) { s.Lineage = "x" })
	add("a high serial", func(s *state.Snapshot) { s.Serial = 1 << 60 })
	for _, identity := range []string{"mem-b", "mem-9", ""} {
		add("memory is "+identity, func(s *state.Snapshot) { s.Providers["memory"] = identity })
	}
	add("no providers", func(s *state.Snapshot) { clear(s.Providers) })
	add("a provider more", func(s *state.Snapshot) { s.Providers["vault"] = "mem-1" })
	for _, text := range []string{
		"", "{}", "null", strings.Replace(file, `"version": 1`, `"version": 99`, 1), file + file, file[:len(file)/2],
		strings.ReplaceAll(file, "mem-1", "../mem-1"), strings.ReplaceAll(file, `"primary"`, `"replica"`), strings.ReplaceAll(file, "shop/dev", ".."),
		strings.ReplaceAll(file, `"protect":true`, `"protect":false`), strings.ReplaceAll(file, `"entries"`, `"entrees"`),
	} {
		all = append(all, hostileState{fmt.Sprintf("a file of %d bytes", len(text)), text})
	}
	return all
}

// unchecked writes what the encoder refuses: the JSON of the hostile entry in
// the place of the last of the file.
func unchecked(file string, valid, hostile *state.Snapshot) string {
	var lines []string
	for _, e := range hostile.Entries {
		text, err := json.Marshal(e)
		if err == nil {
			lines = append(lines, string(text)+",\n")
		}
	}
	slices.Sort(lines)
	head := file[:strings.Index(file, `"entries": [`)]
	return head + "\"entries\": [\n" + strings.Join(lines, "\n") + "null\n]\n}\n"
}

// entryEdits are the ways to edit one entry.
func entryEdits() map[string]func(*state.Entry) {
	edits := map[string]func(*state.Entry){
		"unprotected": func(e *state.Entry) { e.Protect = false },
		"protected":   func(e *state.Entry) { e.Protect = true },
		"no version":  func(e *state.Entry) { e.Version = "" },
		"no class":    func(e *state.Entry) { e.Class = "" },
		"accepts":     func(e *state.Entry) { e.AcceptsOutside = true },
		"no fields":   func(e *state.Entry) { e.Fields = nil },
		"more fields": func(e *state.Entry) {
			e.Fields = map[string]state.Field{"": {}, "a": {Source: "manual()", Class: state.ClassManual}, "z": {}}
		},
		"generation":  func(e *state.Entry) { e.Generation += 1000 },
		"rotated":     func(e *state.Entry) { e.RotatedAt = time.Time{} },
		"future":      func(e *state.Entry) { e.RotatedAt, e.Created = Start.AddDate(99, 0, 0), Start.AddDate(99, 0, 0) },
		"envelope":    func(e *state.Entry) { e.Envelope = "another" },
		"operation":   func(e *state.Entry) { e.Op = "another" },
		"fingerprint": func(e *state.Entry) { e.Fields = map[string]state.Field{"": {Source: "x", Fingerprint: "x:y"}} },
		"document":    func(e *state.Entry) { e.Document = "x" },
		"inputs":      func(e *state.Entry) { e.Inputs = map[string]int{`app.shop.secret.guarded["dev"]`: 99, "x": 1} },
	}
	for _, v := range []string{"2", "99", "../1", "\x00", strings.Repeat("9", 5000)} {
		edits[fmt.Sprintf("version %.8q", v)] = func(e *state.Entry) { e.Version = v }
	}
	for _, role := range []string{state.RolePrimary, state.RoleReplica, state.RoleObject, "king"} {
		edits["role "+role] = func(e *state.Entry) { e.Role = role }
	}
	for _, class := range []string{state.ClassManual, state.ClassSupplied, state.ClassTemplate} {
		edits["class "+class] = func(e *state.Entry) { e.Class = class }
	}
	for _, store := range []string{"memory.b", "vault", "", "../memory"} {
		edits["store "+store] = func(e *state.Entry) { e.Store = store }
	}
	for _, text := range []string{
		`app.shop.secret.guarded["dev"]`, `app.shop.secret.gone["dev"]`, `app.gone.secret.kept["dev"]`, `app.shop.secret.kept["dev"]@memory.b`,
		`app.shop.policy.kept["dev"]`,
	} {
		a, err := addr.Parse(text)
		if err == nil {
			edits["address "+text] = func(e *state.Entry) { e.Address = a }
		}
	}
	maps.Copy(edits, placeEdits())
	return edits
}

// placeEdits lead an entry to where it has no business, with versions that are
// true there and with intents that claim to have been there.
func placeEdits() map[string]func(*state.Entry) {
	edits := map[string]func(*state.Entry){}
	paths := []string{"theirs", "shop/dev/alien", "nobodys", "../outside", "../q/shop/dev/kept", "/outside", "shop/../../outside", "outside", "shop/dev/guarded", ""}
	for _, path := range paths {
		for _, version := range []string{"", "1", "2"} {
			at := func(e *state.Entry) { e.Location.Path, e.Version = path, version }
			edits[fmt.Sprintf("at %s version %q", path, version)] = at
			for _, action := range []string{"create", "update", "delete", "rotate", "relocate", state.ActionCarried} {
				edits[fmt.Sprintf("%s of %s version %q under way", action, path, version)] = func(e *state.Entry) {
					at(e)
					e.Pending = &state.Intent{Op: "cof-x", Action: action, Base: version, Promised: "1", Started: Start}
					if action != "delete" {
						next := e.Clone()
						next.Pending, next.Version = nil, ""
						e.Pending.Next = next
					}
				}
			}
		}
	}
	for _, provider := range []string{"mem-b", "mem-9", "../mem-1", ""} {
		edits["on "+provider] = func(e *state.Entry) { e.Location.Provider = provider }
	}
	for _, kind := range []string{"policy", "recipients", ""} {
		edits["kind "+kind] = func(e *state.Entry) { e.Location.Kind = kind }
	}
	return edits
}
