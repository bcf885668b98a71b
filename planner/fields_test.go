package planner_test

import (
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// db is a secret with the given fields.
func db(lines ...string) string {
	return app(sec("db", "fields = {", "  "+strings.Join(lines, "\n      "), "}"))
}

const dbPath = "shop/dev/db"

// field returns one field of the db secret.
func field(w *plannertest.World, name string) string {
	w.Helper()
	for line := range strings.Lines(w.Value("memory", dbPath)) {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); ok {
			return v
		}
	}
	w.Fatalf("there is no field %s", name)
	return ""
}

func TestANewFieldIsTheOnlyOneGenerated(t *testing.T) {
	patching, reading := memory.Full(), memory.Full()
	reading.Patch = false
	for name, tt := range map[string]struct {
		knobs memory.Options
		want  string
		reads int
	}{
		"patched":          {patching, "update " + at("db") + " source_changed", 0},
		"read and written": {reading, "update " + at("db") + " source_changed reads", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, tt.knobs).Configure(db("user = random_hex()"))
			w.Apply()
			user := field(w, "user")
			w.Configure(db("user = random_hex()", "password = random_hex()"))
			expect(t, w.Plan(), tt.want)
			if r := w.Apply(); r.ValuesRead != tt.reads {
				t.Errorf("%d values read, want %d", r.ValuesRead, tt.reads)
			}
			if field(w, "user") != user || field(w, "password") == "" {
				t.Errorf("the field that was there is not the same any more")
			}
			expect(t, w.Plan())
		})
	}
}

func TestADroppedFieldCountsAsADelete(t *testing.T) {
	w := full(t).Configure(db("user = random_hex()", "old = random_hex()", "older = random_hex()"))
	w.Apply()
	user := field(w, "user")
	w.Configure(db("user = random_hex()"))
	p := w.Plan()
	expect(t, p, "update "+at("db")+" source_changed")
	if f := change(t, p, at("db")).Fields["old"]; f.Op != planner.OpDrop || f.Before != "random_hex()" {
		t.Errorf("the dropped field is shown as %+v", f)
	}
	if r := w.Apply(); r.ValuesRead != 0 {
		t.Errorf("%d values read", r.ValuesRead)
	}
	if w.Value("memory", dbPath) != "user="+user {
		t.Errorf("the container holds more than the field that stays")
	}
	expect(t, w.Plan())
}

func TestAProtectedFieldIsNotDropped(t *testing.T) {
	block := func(fields ...string) string {
		return app(sec("db", append(append([]string{"protect = true", "fields = {"}, fields...), "}")...))
	}
	w := full(t).Configure(block("user = random_hex()", "a = random_hex()", "b = random_hex()"))
	w.Apply()
	w.Configure(block("user = random_hex()"))
	first := w.Plan()
	summary := "error " + at("db") + " is protected"
	expect(t, first, summary, summary)
	for range 20 { // and the two diagnostics stand in one order
		again := w.Plan()
		for i := range again.Diagnostics {
			if again.Diagnostics[i].Detail != first.Diagnostics[i].Detail {
				t.Fatalf("the order of diagnostics is an accident")
			}
		}
	}
}

func TestSelfTemplatesFollow(t *testing.T) {
	fields := []string{"password = random_hex()", "user = random_hex()", `dsn = "pg://${self.user}:${self.password}@db"`}
	w := full(t).Configure(db(fields...))
	w.Apply()
	follows := func() {
		t.Helper()
		if got := field(w, "dsn"); got != "pg://"+field(w, "user")+":"+field(w, "password")+"@db" {
			t.Errorf("dsn does not follow its fields")
		}
	}
	follows()
	was := field(w, "password")
	w.Apply(plannertest.Settle(at("db"), planner.SettleRotate))
	if follows(); field(w, "password") == was {
		t.Errorf("the password was not rotated")
	}
	// Another template over fields that stay: they are read, not made again.
	was = field(w, "password")
	fields[2] = `dsn = "pg://${self.user}:${self.password}@other"`
	w.Configure(db(fields...))
	expect(t, w.Plan(), "update "+at("db")+" source_changed reads")
	w.Apply()
	if field(w, "password") != was || !strings.HasSuffix(field(w, "dsn"), was+"@other") {
		t.Errorf("a changed template made new values")
	}
	expect(t, w.Plan())
}

func TestASuppliedFieldTakesItsTemplatesAlong(t *testing.T) {
	w := full(t)
	w.Environ["P"] = "one"
	w.Configure(db(`password = from_env("P")`, "user = random_hex()", `dsn = "${self.user}:${self.password}"`))
	w.Apply()
	user := field(w, "user")
	w.Environ["P"] = "two"
	p := w.Plan()
	expect(t, p, "update "+at("db")+" source_changed reads")
	if c := change(t, p, at("db")); len(c.Fields) != 2 || c.Fields["dsn"].Op != planner.OpSet {
		t.Errorf("the change sets %v", c.Fields)
	}
	w.Apply()
	if field(w, "dsn") != user+":two" {
		t.Errorf("dsn does not follow")
	}
	expect(t, w.Plan())
}

func TestManualParts(t *testing.T) {
	w := full(t).Configure(db("user = random_hex()", "password = manual()", `dsn = "${self.user}:${self.password}"`))
	p := w.Plan()
	expect(t, p, "create "+at("db")+" new", "note "+at("db")+" awaiting_value", "note "+at("db")+" awaiting_value")
	for _, want := range []string{"coffer secret set '" + at("db") + "' -field password", "self.password"} {
		if !strings.Contains(notes(p), want) {
			t.Errorf("the notes do not say %q: %s", want, notes(p))
		}
	}
	w.Apply()
	user := field(w, "user")
	if p := w.Plan(); len(p.Changes) != 0 || len(p.Notes) != 2 {
		t.Fatalf("waiting is no change: %q", lines(p))
	}
	set := give(t, w, at("db"), map[string]string{"password": "from a person"})
	expect(t, w.Plan(set), "update "+at("db")+" source_changed reads")
	w.Apply(set)
	if field(w, "dsn") != user+":from a person" {
		t.Errorf("dsn is not made of what the person wrote")
	}
	expect(t, w.Plan())
	w.Apply(give(t, w, at("db"), map[string]string{"password": "again"}))
	if field(w, "dsn") != user+":again" || field(w, "user") != user {
		t.Errorf("a second secret set")
	}
	expect(t, w.Plan())
}

func TestSecretSetOnASingleValue(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	w.Configure(copies(app(sec("key", "value = manual()") + sec("url", `value = "u-${secret.key}"`))))
	url, urlB := at("url"), at("url")+"@memory.b"
	expect(t, w.Plan(), "note "+key+" awaiting_value", "note "+url+" awaiting_value")
	set := give(t, w, key, map[string]string{"": "s3cret"})
	expect(t, w.Plan(set), "create "+key+" new", "create "+keyB+" new", "create "+url+" new", "create "+urlB+" new")
	if r := w.Apply(set); r.ValuesRead != 0 {
		t.Errorf("%d values read", r.ValuesRead)
	}
	if alike(t, w); w.Value("memory.b", "shop/dev/url") != "u-s3cret" {
		t.Errorf("the value did not reach everything")
	}
	expect(t, w.Plan())
}

func TestSecretSetWithoutAValueFails(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = manual()")))
	r := mustTry(t, w, plannertest.Settle(key, planner.SettleSet, ""))
	expectEnd(t, r, "create "+key+" failed")
	if !strings.Contains(r.Outcomes[0].Err.Error(), "nobody supplied it") {
		t.Errorf("error: %v", r.Outcomes[0].Err)
	}
}

func TestSingleToFieldsWaits(t *testing.T) {
	w := full(t).Configure(app(sec("db", "value = random_hex()")))
	w.Apply()
	was := w.Value("memory", dbPath)
	w.Configure(db("user = random_hex()", "password = random_hex()"))
	p := w.Plan()
	expect(t, p, "note "+at("db")+" source_changed")
	if !strings.Contains(notes(p), "between a single value and fields") {
		t.Errorf("note: %s", notes(p))
	}
	w.Apply()
	if w.Value("memory", dbPath) != was {
		t.Fatalf("the value was replaced")
	}
	w.Apply(plannertest.Settle(at("db"), planner.SettleRotate))
	if field(w, "user") == "" || field(w, "password") == "" {
		t.Errorf("rotate did not make the fields")
	}
	expect(t, w.Plan())
	w.Configure(app(sec("db", "value = random_hex()")))
	expect(t, w.Plan(), "note "+at("db")+" source_changed")
	w.Apply(plannertest.Settle(at("db"), planner.SettleRotate))
	if strings.Contains(w.Value("memory", dbPath), "=") {
		t.Errorf("rotate did not make a single value")
	}
	expect(t, w.Plan())
}

// A field that may have come with an accepted version is not generated, and the
// plan says so where the store does not tell.
func TestFieldsThatCannotBeSeen(t *testing.T) {
	for name, want := range map[string]string{
		"counting": "its fields are taken to be there, as memory does not tell their names", "full": "",
	} {
		knobs := map[string]memory.Options{"counting": memory.Counting(), "full": memory.Full()}[name]
		w := plannertest.New(t, knobs).Configure(db("user = random_hex()"))
		w.Apply()
		w.Stores["memory"].Edit(dbPath, secret.Object(map[string]secret.Value{"user": secret.String("u"), "password": secret.String("p")}), "a person")
		w.Configure(db("user = random_hex()", "password = random_hex()"))
		accept := plannertest.Settle(at("db"), planner.SettleAccept)
		if got := notes(w.Plan(accept)); got != want {
			t.Errorf("%s: the plan notes %q", name, got)
		}
		w.Apply(accept)
		expect(t, w.Plan())
		if got := w.Value("memory", dbPath); got != "password=p\nuser=u" {
			t.Errorf("%s: it holds %q", name, got)
		}
	}
}

// Somebody added a field by hand and the change is accepted: the field is in
// the container, so it is not generated.
func TestAnAcceptedVersionBringsItsFields(t *testing.T) {
	w := full(t).Configure(db("user = random_hex()"))
	w.Apply()
	w.Stores["memory"].Edit(dbPath, secret.Object(map[string]secret.Value{"user": secret.String("u"), "password": secret.String("p")}), "a person")
	w.Apply(plannertest.Settle(at("db"), planner.SettleAccept))
	w.Configure(db("user = random_hex()", "password = random_hex()"))
	w.Apply()
	if got := w.Value("memory", dbPath); !strings.Contains(got, "user=u") {
		t.Errorf("the accepted field was replaced")
	}
	expect(t, w.Plan())
}
