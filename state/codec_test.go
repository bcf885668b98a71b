package state_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

var update = flag.Bool("update", false, "write the golden file of the current version")

// full has something in every place that a state has.
func full() *state.Snapshot {
	day := func(d int) time.Time { return time.Date(2026, 11, d, 8, 30, 0, 123456789, time.UTC) }
	s := state.New("shop-7f3a", state.Lineage("shop-7f3a"))
	s.Serial = 7
	s.Providers["sops"] = "sops:1f0e"
	s.Providers["sops.eu"] = "sops:77aa"
	s.Providers["vault"] = "vault:c1/-/kv"
	s.Incarnations = map[string]string{"vault": "kv_9a1b"}
	at := func(path string) addr.Location {
		return addr.Location{Provider: "sops:1f0e", Kind: "secret", Path: path}
	}
	put := func(e *state.Entry) { s.Entries[e.Location] = e }
	db := &state.Entry{
		Address: addr.Secret("checkout", "production", "db"), Location: at("production/checkout.yaml#db"), Store: "sops",
		Role: state.RolePrimary, Version: "sha256:9f2c", Created: day(2), Envelope: "sha256:01aa", Generation: 3,
		Class: state.ClassGenerated, Op: "op-5", RotatedAt: day(3),
		Fields: map[string]state.Field{
			"password": {Source: "random_password({ length = 32 })"},
			"username": {Source: `public("checkout & <co>")`},
		},
		Labels: map[string]string{"team": "payments"}, Description: "the \"main\" database\nof the shop", Protect: true,
	}
	put(db)
	replica := db.Clone()
	replica.Address = replica.Address.At("sops.eu")
	replica.Location.Provider, replica.Store, replica.Role, replica.Generation = "sops:77aa", "sops.eu", state.RoleReplica, 2
	put(replica)
	put(&state.Entry{
		Address: addr.Secret("checkout", "production", "smtp"), Location: at("production/checkout.yaml#smtp"), Store: "sops",
		Role: state.RolePrimary, Version: "sha256:77e0", Created: day(4), Generation: 1, Class: state.ClassSupplied,
		Op: "op-6", RotatedAt: day(4), Fields: map[string]state.Field{"": {Source: `from_env("SMTP")`, Fingerprint: "0a1b2c3d:QUJD"}}, Requested: 2,
	})
	put(&state.Entry{
		Address: addr.Secret("checkout", "production", "api"), Location: at("production/checkout.yaml#api"), Store: "sops",
		Role: state.RolePrimary, Class: state.ClassManual, AcceptsOutside: true,
		Fields: map[string]state.Field{"": {Source: "manual()"}},
	})
	next := db.Clone()
	next.Address, next.Location = addr.Secret("checkout", "dev", "db"), at("dev/checkout.yaml#db")
	next.Version, next.Inputs = "", map[string]int{`app.checkout.secret.smtp["production"]`: 1}
	put(&state.Entry{
		Address: next.Address, Location: next.Location, Store: "sops", Role: state.RolePrimary,
		Pending: &state.Intent{Op: "op-7", Action: "create", Promised: "sha256:3c3c", Begins: []string{"begun\n"}, Started: day(5), Alive: day(6), Next: next},
	})
	put(&state.Entry{
		Address:  addr.ProviderObject("sops", "recipients", "production/checkout.yaml"),
		Location: addr.Location{Provider: "sops:1f0e", Kind: "recipients", Path: "production/checkout.yaml"},
		Store:    "sops", Role: state.RoleObject, Version: "sha256:aa01", Document: "age1one\nage1two\n",
	})
	in := func(kind, path string) addr.Location {
		return addr.Location{Provider: "vault:c1/-/kv", Kind: kind, Path: path}
	}
	put(&state.Entry{
		Address: addr.Secret("store", "production", "db"), Location: in("secret", "store/production/db"), Store: "vault",
		Role: state.RolePrimary, Version: "1", Generation: 1, Class: state.ClassGenerated, Key: "password",
	})
	put(&state.Entry{
		Address: addr.Beside("mount", "kv", "kv"), Location: in("mount", "kv:kv"), Store: "vault",
		Role: state.RoleObject, Version: "m1", Document: "type = kv\n", Holds: true,
	})
	put(&state.Entry{
		Address: addr.ProviderObject("vault", "binding", "approle:approle/shop shop-web"), Location: in("binding", "approle:approle/shop shop-web"),
		Store: "vault", Role: state.RoleObject, Version: "b1", Document: "attached\n", Needs: []string{"policy shop-web", "role approle:approle/shop"},
	})
	return s
}

func encode(t *testing.T, s *state.Snapshot) []byte {
	t.Helper()
	data, err := state.Encode(s)
	must(t, err)
	return data
}

// The golden file of every version there ever was decodes for ever.
func TestGolden(t *testing.T) {
	const v1 = "testdata/v1.json"
	if *update {
		must(t, os.WriteFile(v1, encode(t, full()), 0o644))
	}
	golden, err := os.ReadFile(v1)
	must(t, err)
	got, err := state.Decode(golden)
	must(t, err)
	if want := encode(t, full()); !bytes.Equal(encode(t, got), want) {
		t.Errorf("%s decodes to\n%s\nwant\n%s", v1, encode(t, got), want)
	}
	if !bytes.Equal(golden, encode(t, full())) {
		t.Errorf("version %d is written in another form than %s: that needs a new version", state.Version, v1)
	}
}

// The zone of a clock and what made a map do not show.
func TestEncodeIsStable(t *testing.T) {
	want := encode(t, full())
	for range 20 {
		s := full()
		s.Entries = maps.Clone(s.Entries)
		for _, e := range s.Entries {
			if !e.Created.IsZero() {
				e.Created = e.Created.In(time.FixedZone("CET", 3600))
			}
		}
		if !bytes.Equal(encode(t, s), want) {
			t.Fatal("the same content gives other bytes")
		}
	}
}

// Line ends that git converts are no difference.
func TestDecodeTakesCRLF(t *testing.T) {
	data := encode(t, full())
	got, err := state.Decode(bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")))
	must(t, err)
	if !bytes.Equal(encode(t, got), data) {
		t.Error("not the same")
	}
}

// Whatever is cut off, it is a truncated state and nothing else.
func TestDecodeTruncated(t *testing.T) {
	data := encode(t, full())
	end := len(data) - len("\n") // the last newline may be missing
	for n := range end {
		_, err := state.Decode(data[:n])
		if _, ok := errors.AsType[*state.TruncatedError](err); !ok {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
	_, err := state.Decode(data[:end])
	must(t, err)
}

func TestDecodeNewer(t *testing.T) {
	_, err := state.Decode([]byte(`{"version": 2, "anything": {"new": [1]}}`))
	e, ok := errors.AsType[*state.NewerError](err)
	if !ok || e.Version != 2 || e.Reads != state.Version || !strings.Contains(err.Error(), "upgrade coffer") {
		t.Error(err)
	}
}

// An edit that coffer would not write is named with its line.
func TestDecodeEdited(t *testing.T) {
	good := string(encode(t, full()))
	lineOf := func(s string) int { return 1 + strings.Count(good[:strings.Index(good, s)], "\n") }
	entry := `{"address":"app.checkout.secret.smtp[\"production\"]"`
	in := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the example has no %q", old)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	line := strings.Join(strings.Split(good, "\n")[lineOf(entry)-1:][:2], "\n")
	for name, c := range map[string]struct {
		text string
		line int
		says string
	}{
		"no JSON":           {in(entry, entry+"oops"), lineOf(entry), "invalid character"},
		"not a state":       {`{"a": 1}`, 1, "begins with its version"},
		"a list":            {`[]`, 1, "begins with its version"},
		"version text":      {`{"version": "1"}`, 1, "not a positive number"},
		"version zero":      {`{"version": 0}`, 1, "not a positive number"},
		"unknown key":       {in(`"serial": 7`, `"serial": 7, "extra": 1`), 5, `"extra": does not belong here`},
		"key twice":         {in(`"serial": 7`, `"serial": 7, "serial": 8`), 5, "twice"},
		"key missing":       {in("\"serial\": 7,\n", ""), 0, `"serial" is missing`},
		"provider twice":    {in(`"sops": "sops:1f0e"`, `"sops": "sops:1f0e", "sops": "x"`), 8, "twice"},
		"negative serial":   {in(`"serial": 7`, `"serial": -7`), 5, `"serial": cannot unmarshal`},
		"field unknown":     {in(entry, entry+`,"value":"x"`), lineOf(entry), `unknown field "value"`},
		"no address":        {in(`"address":"app.checkout.secret.smtp[\"production\"]"`, `"address":"App!"`), lineOf(entry), "is not a name"},
		"an app":            {in(`"address":"app.checkout.secret.smtp[\"production\"]"`, `"address":"app.checkout"`), lineOf(entry), "no address"},
		"role":              {strings.Replace(good, line, strings.Replace(line, "primary", "boss", 1), 1), lineOf(entry), "no role"},
		"path escapes":      {strings.Replace(good, line, strings.Replace(line, "production/checkout.yaml#", "../../", 1), 1), lineOf(entry), "leads out"},
		"control character": {strings.Replace(good, line, strings.Replace(line, "checkout.yaml#", `\u001b[2J`, 1), 1), lineOf(entry), "control character"},
		"twice":             {strings.Replace(good, line, line+"\n\n"+line, 1), lineOf(entry) + 3, fmt.Sprintf("the first on line %d", lineOf(entry))},
		"generation":        {strings.Replace(good, line, strings.Replace(line, `"generation":1`, `"generation":-1`, 1), 1), lineOf(entry), "negative generation"},
		"no end":            {in("null\n", `{"address":"app.a.secret.b","location":{"provider":"p","kind":"k","path":"x"},"store":"s","role":"primary"}`+"\n"), 0, "does not end with null"},
		"text behind":       {good + "{}", 0, "behind the end"},
		"deep":              {in(entry, strings.Repeat("[", 200)+entry), lineOf(entry), "nested deeper"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := state.Decode([]byte(c.text))
			e, ok := errors.AsType[*state.FormatError](err)
			if !ok || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "backup") && !strings.Contains(err.Error(), "keep the") {
				t.Fatalf("%v, want %q", err, c.says)
			}
			if c.line > 0 && e.Line != c.line {
				t.Errorf("line %d, want %d: %v", e.Line, c.line, err)
			}
		})
	}
}

// A key that opens deep brackets cannot exhaust the stack.
func TestDecodeBombs(t *testing.T) {
	for _, unit := range []string{"[", `{"a":`, `{"version":1,"entries":[`, `"\`} {
		_, err := state.Decode([]byte(strings.Repeat(unit, 1<<20/len(unit))))
		if err == nil {
			t.Errorf("%q was taken", unit)
		}
	}
}

// Ten thousand entries; see the benchmarks for the figures.
func many(n int) *state.Snapshot {
	s := state.New("shop-7f3a", state.Lineage("shop-7f3a"))
	template := full()
	var e *state.Entry
	for _, e = range template.Sorted() {
		if e.Generation == 3 {
			break
		}
	}
	for i := range n {
		c := e.Clone()
		c.Address.App = fmt.Sprintf("app%d", i/10)
		c.Address.Name = fmt.Sprintf("secret-%d", i)
		c.Location.Path = fmt.Sprintf("production/app%d.yaml#secret-%d", i/10, i)
		s.Entries[c.Location] = c
	}
	return s
}

func BenchmarkEncode10k(b *testing.B) {
	s := many(10_000)
	for b.Loop() {
		if _, err := state.Encode(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode10k(b *testing.B) {
	data, err := state.Encode(many(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := state.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
