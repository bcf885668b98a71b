package plannertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// before and after are the two configurations around the saved plan that is
// forged: it creates, updates, rotates, renames, relocates, deletes, forgets
// and copies, beside things that it has no business with.
const (
	forgedBefore = `
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
  secret "labelled" {
    value = random_hex({ bytes = 8 })
  }
  secret "due" {
    value = random_hex({ bytes = 8 })
    rotation {
      every    = "30d"
      strategy = "regenerate"
    }
  }
  secret "supplied" {
    value = from_env("SUPPLIED")
  }
  secret "old_name" {
    path  = "fixed/place"
    value = random_hex({ bytes = 8 })
  }
  secret "movable" {
    value = random_hex({ bytes = 8 })
  }
  secret "goes" {
    value = random_hex({ bytes = 8 })
  }
  secret "forgotten" {
    value = random_hex({ bytes = 8 })
  }
}`
	forgedAfter = `
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
  secret "labelled" {
    value  = random_hex({ bytes = 8 })
    labels = { team = "a" }
  }
  secret "due" {
    value = random_hex({ bytes = 8 })
    rotation {
      every    = "30d"
      strategy = "regenerate"
    }
  }
  secret "supplied" {
    value = from_env("SUPPLIED")
  }
  secret "new_name" {
    path  = "fixed/place"
    value = random_hex({ bytes = 8 })
  }
  secret "movable" {
    path  = "other/place"
    value = random_hex({ bytes = 8 })
  }
  secret "added" {
    value = random_hex({ bytes = 8 })
  }
  secret "made" {
    value = "x-${secret.added}"
  }
}
moved {
  from = app.shop.secret.old_name
  to   = app.shop.secret.new_name
}
removed {
  from = app.shop.secret.forgotten
  lifecycle {
    destroy = false
  }
}
removed {
  from = app.gone
  lifecycle {
    destroy = true
  }
}`
)

// forgery is a world with a saved plan that is still to be applied.
type forgery struct {
	*World
	cfg  *lang.Config
	plan []byte
	was  map[string]string // every value by "store path" when the plan was made
}

func newForgery(t *testing.T) *forgery {
	w := New(t, memory.Full())
	w.AddStore("b", memory.Full())
	w.Environ["SUPPLIED"] = "v1"
	w.Configure(forgedBefore).Apply()
	for path, project := range map[string]string{"theirs": "another-1", "nobodys": ""} {
		w.Stores["memory"].Edit(path, secret.String(path), "mallory")
		w.Stores["memory"].SetMark(path, providers.Mark{Project: project})
	}
	w.Now = w.Now.Add(40 * 24 * time.Hour)
	w.Environ["SUPPLIED"] = "v2"
	w.Configure(forgedAfter)
	text, err := w.Plan().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &forgery{World: w, cfg: w.Load(), plan: text, was: w.values()}
}

// values returns everything that lives on the stores.
func (w *World) values() map[string]string {
	all := map[string]string{}
	for ref, store := range w.Stores {
		for _, path := range store.Paths() {
			if v, live := store.Value(path); live {
				all[ref+" "+path] = Text(v)
			}
		}
	}
	return all
}

// apply applies a plan file to a world and returns what came back.
func (f *forgery) apply(file []byte) (*planner.Result, error) {
	p, err := planner.DecodePlan(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	l := &Look{Snapshot: f.State.snapshot("test-1")}
	l.Stores = f.Connect(l.Snapshot)
	l.Desired, _ = planner.Desire(f.cfg, l.Stores)
	a := f.Applier(l)
	a.Saved = true
	return a.Apply(context.Background(), p)
}

// TestForgedPlan changes every field of a saved plan in every way, with the
// digest made anew, and applies it: it is refused, or what it does is part of
// what the honest plan does.
func TestForgedPlan(t *testing.T) {
	base := newForgery(t)
	honest := base.fork(t)
	if result, err := honest.apply(honest.plan); err != nil || result.Failed() {
		t.Fatalf("the honest plan is refused: %v", err)
	}
	var tree any
	if err := json.Unmarshal(inner(t, base.plan), &tree); err != nil {
		t.Fatal(err)
	}
	variants := forgeries(tree)
	variants = append(variants, base.aimed(tree)...)
	refused, harmless := 0, 0
	for _, v := range variants {
		f := base.fork(t)
		_, err := f.apply(sealed(t, v.tree))
		switch {
		case err != nil && !maps.Equal(f.values(), base.was):
			t.Errorf("%s: refused (%v), and yet something was written", v.name, err)
		case err != nil:
			refused++
		default:
			harmless++
			f.check(honest.values(), v.name)
		}
	}
	t.Logf("%d forged plans: %d refused, %d harmless", len(variants), refused, harmless)
	if len(variants) < 500 || refused == 0 {
		t.Errorf("%d variants, %d refused: this test looks at too little", len(variants), refused)
	}
}

// check compares what an apply did with what the honest plan does: each place
// is as it was, or as the honest plan leaves it.
func (f *forgery) check(honest map[string]string, name string) {
	f.Helper()
	now := f.values()
	for place, was := range f.was {
		want, stays := honest[place]
		got, is := now[place]
		switch {
		case got == was && is, !stays && !is:
		case !is:
			f.fail("%s: %s is gone", name, place)
		case stays && want == was:
			f.fail("%s: %s was changed", name, place)
		}
	}
	for place := range now {
		_, was := f.was[place]
		if _, wanted := honest[place]; !was && !wanted {
			f.fail("%s: something new is at %s", name, place)
		}
	}
	if v, ok := now["memory other/place"]; ok && v != f.was["memory shop/dev/movable"] {
		f.fail("%s: the relocated value is another", name)
	}
	if v, ok := now["memory shop/dev/made"]; ok && v != "x-"+now["memory shop/dev/added"] {
		f.fail("%s: the template is made of something else", name)
	}
	if v := now["memory shop/dev/supplied"]; v != "v1" && v != "v2" {
		f.fail("%s: the supplied value is another", name)
	}
}

func (f *forgery) fail(format string, args ...any) {
	f.Helper()
	f.TB.(*testing.T).Errorf(format, args...)
}

func inner(t *testing.T, file []byte) []byte {
	var saved struct {
		Plan json.RawMessage `json:"plan"`
	}
	if err := json.Unmarshal(file, &saved); err != nil {
		t.Fatal(err)
	}
	return saved.Plan
}

// sealed writes a forged tree as a plan file, with a digest that fits if it is
// a plan at all.
func sealed(t *testing.T, tree any) []byte {
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var p planner.Plan
	if err := json.Unmarshal(text, &p); err != nil {
		return text
	}
	file, err := p.Encode()
	if err != nil {
		return text
	}
	return file
}

// variant is one forged plan.
type variant struct {
	name string
	tree any
}

// forgeries replaces, removes and doubles every node of a JSON tree.
func forgeries(tree any) []variant {
	var all []variant
	var visit func(path []string, node any)
	replaceAt := func(path []string, how string, value any) {
		all = append(all, variant{strings.Join(path, ".") + " " + how, with(tree, path, value)})
	}
	visit = func(path []string, node any) {
		for _, other := range others(node) {
			replaceAt(path, fmt.Sprintf("= %.40v", other), other)
		}
		switch n := node.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(n)) {
				at := append(slices.Clone(path), key)
				replaceAt(at, "removed", remove{})
				visit(at, n[key])
			}
		case []any:
			for i := range n {
				at := append(slices.Clone(path), strconv.Itoa(i))
				replaceAt(at, "removed", remove{})
				replaceAt(path, "with "+strconv.Itoa(i)+" twice", append(slices.Clone(n), n[i]))
				visit(at, n[i])
			}
		}
	}
	visit(nil, tree)
	return all
}

// remove stands for a node that is taken out.
type remove struct{}

// with returns a copy of tree with another node at path.
func with(tree any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	switch n := tree.(type) {
	case map[string]any:
		c := maps.Clone(n)
		if _, gone := value.(remove); gone && len(path) == 1 {
			delete(c, path[0])
			return c
		}
		c[path[0]] = with(n[path[0]], path[1:], value)
		return c
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil {
			panic(err)
		}
		c := slices.Clone(n)
		if _, gone := value.(remove); gone && len(path) == 1 {
			return slices.Delete(c, i, i+1)
		}
		c[i] = with(n[i], path[1:], value)
		return c
	}
	panic("a path leads nowhere")
}

// others are values to try in the place of node.
func others(node any) []any {
	switch n := node.(type) {
	case string:
		out := []any{"", n + "x", "../" + n, "/" + n, "shop/dev/kept", "shop/dev/guarded", "theirs", `app.shop.secret.guarded["dev"]`, "memory.b"}
		for _, a := range []planner.Action{
			planner.Create, planner.Update, planner.Rotate, planner.Adopt, planner.Rename, planner.Relocate, planner.Restore,
			planner.Delete, planner.Forget, planner.Conflict, planner.Unknown,
		} {
			if n == string(a) {
				continue
			}
			if slices.Contains([]string{"create", "update", "rotate", "rename", "relocate", "delete", "forget", "adopt"}, n) {
				out = append(out, string(a))
			}
		}
		if at, err := time.Parse(time.RFC3339, n); err == nil {
			out = append(out, at.Add(-24*time.Hour).Format(time.RFC3339), at.AddDate(10, 0, 0).Format(time.RFC3339))
		}
		return out
	case float64:
		return []any{n + 1, n + 1000, -1, 0}
	case bool:
		return []any{!n}
	case nil:
		return nil
	}
	return []any{nil}
}
