package plannertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// crashStory is one apply on platforms of some shape, and how it must end
// wherever it was cut.
type crashStory struct {
	name  string
	knobs memory.Options
	other *memory.Options // of the store memory.b, where there is one
	// cluster: there is one, with a workload that is restarted.
	cluster bool
	start   string
	// byHand is what others did after the first apply.
	byHand func(w *World)
	hcl    string // "" is start
	env    string // what SMTP is set to from then on
	// before and after are the objects beside it; nil after is before.
	before, after []*lang.Object
	opts          []Option
	// replaces change on purpose, removes go; "store path", as prefixes.
	replaces, removes []string
	// want are values at the end, by the name of a value before.
	want  map[string]string
	check func(v map[string]string) error
	// passing is a value of somebody else's that may be live on the way.
	passing string
	// version is the highest that the key has at the end, where versions count:
	// each value is written once, whatever was cut off it.
	version string
}

var errCut = errors.New("crashed")

const (
	mKey, mURL, mSMTP = "memory shop/dev/key", "memory shop/dev/url", "memory shop/dev/smtp"
	bKey, bURL, bSMTP = "memory.b shop/dev/key", "memory.b shop/dev/url", "memory.b shop/dev/smtp"
)

func shop(environment string, blocks ...string) string {
	return "environment \"dev\" {\n" + environment + "\n}\napp \"shop\" {\n  environments = [\"dev\"]\n" + strings.Join(blocks, "") + "}\n"
}

func block(name, body string) string {
	return fmt.Sprintf("  secret %q {\n    %s\n  }\n", name, body)
}

const onlyHere, withCopy, elsewhere = "  store = memory", "  store = memory\n  replicas = [memory.b]", "  store = memory.b"

// three are a generated value, a supplied one, and one made of both.
func three(key string) string {
	return block("key", "value = random_hex({ bytes = 8 })"+key) + block("smtp", `value = from_env("SMTP")`) +
		block("url", `value = "${secret.key}:${secret.smtp}"`)
}

func made(store, path string) func(map[string]string) error {
	return func(v map[string]string) error {
		if v[store+" shop/dev/url"] != v[store+" "+path]+":"+v[store+" shop/dev/smtp"] {
			return errors.New("the url is not made of the key and the password")
		}
		return nil
	}
}

func copied(v map[string]string) error {
	for _, path := range []string{"shop/dev/key", "shop/dev/smtp", "shop/dev/url"} {
		if v["memory "+path] != v["memory.b "+path] {
			return fmt.Errorf("the copy of %s is another value", path)
		}
	}
	return made("memory", "shop/dev/key")(v)
}

func deletedByOthers(w *World) {
	w.Stores["memory"].Edit("shop/dev/key", secret.String("by hand"), "mallory")
	w.Stores["memory"].Remove("shop/dev/key", 7*24*time.Hour)
}

func crashStories() []crashStory {
	full, eventual := memory.Full(), memory.Eventual()
	key := "app.shop.secret.key[\"dev\"]"
	edited := func(w *World) { w.Stores["memory"].Edit("shop/dev/key", secret.String("by hand"), "mallory") }
	here := made("memory", "shop/dev/key")
	plain := shop(onlyHere, three(""))
	counting := memory.Counting()
	stories := []crashStory{
		{
			name: "rotate with copies, counting", knobs: counting, other: &counting, start: shop(withCopy, three("")), check: copied,
			opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{mKey, mURL, bKey, bURL},
		},
		{
			name: "relocate, counting", knobs: counting, start: plain, hcl: shop(onlyHere, three("\n    path = \"at/key\"\n    labels = { team = \"a\" }")),
			removes: []string{mKey}, want: map[string]string{"memory at/key": mKey}, check: made("memory", "at/key"),
		},
		{
			name: "restore what was deleted, counting", knobs: counting, start: plain, check: here, hcl: shop(onlyHere, three("\n    labels = { team = \"a\" }")),
			byHand: func(w *World) { w.Stores["memory"].Remove("shop/dev/key", 7*24*time.Hour) },
		},
		{
			name: "accept what others deleted, counting", knobs: counting, start: plain, check: here, replaces: []string{mKey, mURL},
			byHand: deletedByOthers, opts: []Option{Settle(key, planner.SettleAccept)},
		},
		{
			name: "rotate what others deleted, counting", knobs: counting, start: plain, check: here, replaces: []string{mKey, mURL},
			byHand: deletedByOthers, opts: []Option{Settle(key, planner.SettleRotate)}, passing: "by hand",
		},
		{
			name: "restore what others deleted, counting", knobs: counting, start: plain, check: here, replaces: []string{mKey, mURL},
			byHand: deletedByOthers, opts: []Option{Settle(key, planner.SettleRestore)}, passing: "by hand",
		},
		{
			name: "a supplied one that others deleted, counting", knobs: counting, start: plain, check: here, passing: "by hand",
			byHand: func(w *World) {
				w.Stores["memory"].Edit("shop/dev/smtp", secret.String("by hand"), "mallory")
				w.Stores["memory"].Remove("shop/dev/smtp", 7*24*time.Hour)
			},
		},
		{
			name: "delete what remains, counting", knobs: counting, start: plain, env: "second", removes: []string{mSMTP, mURL},
			byHand: func(w *World) {
				w.Stores["memory"].Edit("shop/dev/key", secret.String("other"), "")
				w.Stores["memory"].RemoveCurrent("shop/dev/smtp", 7*24*time.Hour)
			},
			hcl: shop(onlyHere, block("key", "value = random_hex({ bytes = 8 })")), replaces: []string{mKey},
			opts: []Option{Settle(key, planner.SettleAccept)},
		},
		{
			name: "the key is renamed, counting", knobs: counting, start: plain, check: func(v map[string]string) error {
				if !strings.HasPrefix(v[mKey], "token=") {
					return errors.New("it is not kept under its key")
				}
				return nil
			},
			hcl: shop(onlyHere, three("\n    key = \"token\"")), replaces: []string{mKey},
		},
		{
			name: "restore what was deleted", knobs: full, start: plain, check: here,
			byHand: func(w *World) { w.Stores["memory"].Remove("shop/dev/key", 7*24*time.Hour) },
		},
		{
			name: "accept a lost mark", knobs: full, start: plain, check: here,
			byHand: func(w *World) { w.Stores["memory"].RemoveMark("shop/dev/key") }, opts: []Option{Settle(key, planner.SettleAccept)},
		},
		{
			name: "rename", knobs: full, start: plain, check: here,
			hcl: strings.NewReplacer("secret.key", "secret.master", `secret "key"`, `secret "master"`).Replace(
				shop(onlyHere, three("\n    path = \"shop/dev/key\""))) +
				"moved {\n  from = app.shop.secret.key\n  to = app.shop.secret.master\n}\n",
		},
		{
			name: "restore a version", knobs: full, start: plain, byHand: edited, check: here, replaces: []string{mKey, mURL},
			opts: []Option{Settle(key, planner.SettleRestore)}, want: map[string]string{mKey: mKey},
		},
		{
			name: "accept", knobs: full, start: plain, byHand: edited, check: here, replaces: []string{mURL},
			opts: []Option{Settle(key, planner.SettleAccept)},
		},
		{
			name: "relocate", knobs: full, start: plain, hcl: shop(onlyHere, three("\n    path = \"at/key\"")),
			removes: []string{mKey}, want: map[string]string{"memory at/key": mKey}, check: made("memory", "at/key"),
		},
		{
			name: "relocate between stores", knobs: full, other: &full, start: plain, hcl: shop(elsewhere, three("")),
			removes: []string{"memory "}, want: map[string]string{bKey: mKey, bSMTP: mSMTP, bURL: mURL}, check: made("memory.b", "shop/dev/key"),
		},
		{name: "copies are added", knobs: full, other: &full, start: plain, hcl: shop(withCopy, three("")), check: copied},
		{name: "create with copies", knobs: full, other: &full, hcl: shop(withCopy, three("")), check: copied},
		{name: "create with copies, eventual", knobs: eventual, other: &eventual, hcl: shop(withCopy, three("")), check: copied},
		{
			name: "rotate with copies", knobs: full, other: &full, start: shop(withCopy, three("")), check: copied,
			opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{mKey, mURL, bKey, bURL},
		},
		{
			name: "rotate with copies, eventual", knobs: eventual, other: &eventual, start: shop(withCopy, three("")), check: copied,
			opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{mKey, mURL, bKey, bURL},
		},
		{
			name: "a lost primary comes back from its copy", knobs: memory.Versioned(), other: &full, start: shop(withCopy, three("")), check: copied,
			byHand: func(w *World) { w.Stores["memory"].Remove("shop/dev/key", 0) },
			opts:   []Option{RestoreFrom(key, "memory.b")}, want: map[string]string{mKey: bKey},
		},
		{
			name: "import takes over", knobs: full, start: plain, opts: []Option{TakeOver()}, check: here,
			byHand: func(w *World) {
				w.Stores["memory"].Edit("shop/dev/old", secret.String("old"), "other")
				w.Stores["memory"].SetMark("shop/dev/old", providers.Mark{Project: "other-1"})
			},
			hcl: shop(onlyHere, three(""), block("old", "value = random_hex({ bytes = 8 })")) +
				"import {\n  to = app.shop.secret.old[\"dev\"]\n  id = \"shop/dev/old\"\n}\n",
		},
		{name: "relabel", knobs: full, start: plain, hcl: shop(onlyHere, three("\n    labels = { team = \"a\" }")), check: here},
	}
	inMount := counting
	inMount.Mount = "kv"
	inStages := inMount
	inStages.Staged = true
	around := []*lang.Object{
		beside("mount", "memory", "kv"), beside("role", "memory", "web", "policies", []any{"ops"}), beside("policy_document", "", "ops", "document", "read"),
	}
	stories = append(stories,
		crashStory{name: "objects and what lies in them", knobs: inMount, hcl: plain, after: around, check: here, version: "1"},
		crashStory{name: "a mount made in two calls, and what lies in it", knobs: inStages, hcl: plain, after: around, check: here, version: "1"},
		crashStory{
			name: "objects change", knobs: inMount, start: plain, before: around, check: here,
			after: []*lang.Object{around[0], beside("role", "memory", "web", "ttl", "1h"), beside("policy_document", "", "ops", "document", "write")},
		},
		crashStory{name: "objects go", knobs: counting, start: plain, before: around[1:], after: []*lang.Object{}, check: here},
		crashStory{
			name: "objects are found", knobs: counting, start: plain, after: around[1:], check: here,
			byHand: func(w *World) {
				w.Stores["memory"].SetDocument(providers.ObjectRef{Kind: memory.KindRole, Path: "web"}, "name = web\n")
			},
		},
	)
	for name, knobs := range map[string]memory.Options{"full": full, "versioned": memory.Versioned(), "counting": memory.Counting(), "files": memory.Files(), "eventual": eventual} {
		stories = append(stories,
			crashStory{name: "create, " + name, knobs: knobs, hcl: plain, check: here, version: "1"},
			crashStory{
				name: "rotate, " + name, knobs: knobs, start: plain, check: here,
				opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{mKey, mURL}, version: "2",
			},
			crashStory{name: "update, " + name, knobs: knobs, start: plain, env: "second", check: here, replaces: []string{mSMTP, mURL}},
			crashStory{
				name: "delete, " + name, knobs: knobs, start: plain, hcl: shop(onlyHere, block("key", "value = random_hex({ bytes = 8 })")),
				removes: []string{mSMTP, mURL},
			},
		)
	}
	return append(stories, clusterStories()...)
}

// beside is an object that a block beside the apps declares.
func beside(kind, typ, name string, arguments ...any) *lang.Object {
	o := &lang.Object{Address: addr.Beside(kind, typ, name), Provider: "memory"}
	for i := 0; i < len(arguments); i += 2 {
		o.Arguments = append(o.Arguments, lang.Argument{Name: arguments[i].(string), Value: arguments[i+1]})
	}
	return o
}

// TestEveryPoint cuts each story before and after every call of a platform and
// before every durable step of the state, and runs it again.
func TestEveryPoint(t *testing.T) {
	var points, stories atomic.Int64
	t.Run("stories", func(t *testing.T) {
		for _, s := range crashStories() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				n := 0
				for s.cut(t, n+1) {
					n++
				}
				if n < 6 {
					t.Errorf("only %d points", n)
				}
				points.Add(int64(n))
				stories.Add(1)
			})
		}
	})
	t.Logf("%d points over %d stories", points.Load(), stories.Load())
}

// cut runs the story, stopped at a point, and again until nothing is left. It
// returns false when the story ended before that point.
func (s crashStory) cut(t *testing.T, at int) bool {
	t.Helper()
	var passed atomic.Int64
	armed := false
	where := ""
	cut := func(point string) error {
		if !armed {
			return nil
		}
		n := int(passed.Add(1))
		if n == at {
			where = point
		}
		if n >= at { // the process is dead, for every platform
			return errCut
		}
		return nil
	}
	w := s.world(t, cut)
	before := w.everything()
	l := w.Look(s.opts...)
	applier := w.Applier(l)
	applier.Parallelism = 1
	armed = true
	_, err := applier.Apply(context.Background(), l.Plan)
	armed = false
	if int(passed.Load()) < at {
		if err != nil {
			t.Fatalf("without a crash: %v", err)
		}
		return false
	}
	after := w.everything()
	if err := errors.Join(s.settle(w), s.counted(w), s.restarted(w), s.survived(before, after, w.everything())); err != nil {
		t.Fatalf("cut at point %d, %s: %v\nbefore %v\nafter %v\nend %v", at, where, err, before, after, w.everything())
	}
	return true
}

func (s crashStory) world(t *testing.T, cut func(string) error) *World {
	knobs := s.knobs
	knobs.At = cut
	w := New(t, knobs)
	w.Environ["SMTP"] = "first"
	w.State.Fail = cut
	if s.other != nil {
		other := *s.other
		other.At = cut
		w.AddStore("b", other)
	}
	if s.cluster {
		s.withCluster(w, cut)
	}
	w.Objects = s.before
	if s.start != "" {
		w.Configure(s.start)
		w.Apply()
		w.settled()
	}
	if s.byHand != nil {
		s.byHand(w)
	}
	if s.after != nil {
		w.Objects = s.after
	}
	if s.hcl != "" {
		w.Configure(s.hcl)
	}
	if s.env != "" {
		w.Environ["SMTP"] = s.env
	}
	return w
}

// settled lets the time pass that a platform needs until it tells the truth.
func (w *World) settled() {
	for _, store := range w.Stores {
		store.Settle()
	}
	w.Now = w.Now.Add(5 * time.Minute)
}

// everything returns all values that are live, by store and path.
func (w *World) everything() map[string]string {
	all := map[string]string{}
	for ref, store := range w.Stores {
		for _, path := range store.Paths() {
			v, _ := store.Value(path)
			all[ref+" "+path] = Text(v)
		}
	}
	return all
}

// settle plans and applies until nothing is left to do. The person says again
// what they had said as long as the plan asks for it.
func (s crashStory) settle(w *World) error {
	for range 8 {
		p := w.Plan()
		asks := func(c planner.Change) bool { return c.Action == planner.Conflict }
		var opts []Option
		if slices.ContainsFunc(p.Changes, asks) || len(p.Diagnostics) > 0 {
			opts = s.opts
			p = w.Plan(opts...)
		}
		for _, n := range p.Notes {
			if n.Reason == planner.ReasonOrphan {
				return fmt.Errorf("%s is an orphan", n.Address)
			}
		}
		if len(p.Diagnostics) > 0 {
			return fmt.Errorf("%s: %s", p.Diagnostics[0].Summary, p.Diagnostics[0].Detail)
		}
		if len(p.Changes) == 0 {
			return s.recorded(w)
		}
		_, err := w.TryApply(opts...)
		// What a lagging platform told before may no longer fit: plan again.
		if refused := new(planner.RefusedError); err != nil && !(s.knobs.Lag > 0 && errors.As(err, &refused)) {
			return err
		}
		w.settled()
	}
	var left []string
	for _, c := range w.Plan().Changes {
		left = append(left, fmt.Sprintf("%s %s %s %s", c.Action, c.Address, c.Reason, c.Detail))
	}
	return fmt.Errorf("the plan does not become empty: %s", strings.Join(left, "; "))
}

// recorded makes sure that the state has no journal and no open intent, and
// that everything it has carries our mark.
func (s crashStory) recorded(w *World) error {
	w.Apply() // with nothing to do, it still saves what was replayed
	if len(w.State.journal) > 0 {
		return errors.New("a journal is left")
	}
	objects := 0
	for _, e := range w.State.snapshot("test-1").Sorted() {
		if e.Pending != nil {
			return fmt.Errorf("%s is pending", e.Address)
		}
		if e.Role == state.RoleObject {
			objects++
			store := w.Stores[e.Store] // nil is one of the others, which look for themselves
			if store != nil && store.Document(providers.ObjectRef{Kind: e.Location.Kind, Path: e.Location.Path}) != e.Document {
				return fmt.Errorf("%s is not what the state says", e.Address)
			}
			continue
		}
		for ref, store := range w.Stores {
			meta, live := store.Meta(e.Location.Path)
			if e.Store == ref && (!live || w.Knobs[ref].Attributes && meta.Attributes.Mark.Project != "test-1") {
				return fmt.Errorf("%s on %s does not carry our mark", e.Address, ref)
			}
		}
	}
	if objects < len(w.Objects) {
		return fmt.Errorf("the state has %d objects", objects)
	}
	return nil
}

func (s crashStory) counted(w *World) error {
	meta, _ := w.Stores["memory"].Meta("shop/dev/key")
	if s.knobs.Counts && s.version != "" && meta.Version > s.version {
		return fmt.Errorf("the key has version %s, more than %s", meta.Version, s.version)
	}
	return nil
}

func (s crashStory) survived(before, after, end map[string]string) error {
	has := func(prefixes []string, name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		now, lives := end[name]
		switch {
		case has(s.removes, name):
			if lives {
				return fmt.Errorf("%s was to go", name)
			}
		case !lives:
			return fmt.Errorf("%s is lost", name)
		case now != before[name] && !has(s.replaces, name):
			return fmt.Errorf("%s has another value", name)
		}
	}
	for name, made := range after {
		if made != before[name] && made != s.passing && !has(s.removes, name) && end[name] != made {
			return fmt.Errorf("%s was live after the crash and is another one now", name)
		}
	}
	for name, from := range s.want {
		if v, known := before[from]; known && end[name] != v && !has(s.replaces, from) {
			return fmt.Errorf("%s is not what %s was", name, from)
		}
	}
	if s.check == nil {
		return nil
	}
	return s.check(end)
}
