package planner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// gen is a generated secret, the plainest configuration there is.
const gen = `
environment "dev" { store = memory }
app "shop" {
  environments = ["dev"]
  secret "key" { value = random_hex({ bytes = 16 }) }
}
`

// without is gen less its secret; another one keeps the configuration from
// being empty.
const without = `
environment "dev" { store = memory }
app "shop" {
  environments = ["dev"]
  secret "other" { value = random_hex() }
}
`

const replicated = `
environment "dev" {
  store    = memory
  replicas = [memory.b]
}
app "shop" {
  environments = ["dev"]
  secret "key" { value = random_hex({ bytes = 16 }) }
}
`

const key = `app.shop.secret.key["dev"]`

func with(hcl string, replace ...string) string {
	return strings.NewReplacer(replace...).Replace(hcl)
}

// lines prints a plan, one line a change, note or diagnostic.
func lines(p *planner.Plan) []string {
	var out []string
	for _, c := range p.Changes {
		line := fmt.Sprintf("%s %s %s", c.Action, c.Address, c.Reason)
		if c.ReadsValue {
			line += " reads"
		}
		if c.NewValue {
			line += " new-value"
		}
		out = append(out, line)
	}
	for _, n := range p.Notes {
		out = append(out, fmt.Sprintf("note %s %s", n.Address, n.Reason))
	}
	for _, d := range p.Diagnostics {
		out = append(out, "error "+d.Summary)
	}
	return out
}

func edit(w *plannertest.World) {
	w.Stores["memory"].Edit("shop/dev/key", secret.String("by hand"), "mallory")
}

// crashed leaves the intents of an apply in the journal and says whether the
// writes landed.
func crashed(w *plannertest.World, landed bool, opts ...plannertest.Option) {
	w.Helper()
	l := w.Look(opts...)
	dead := false
	w.State.Fail = func(step string) error {
		if dead {
			return fmt.Errorf("crashed")
		}
		dead = true // the intents are durable, nothing after them
		if !landed {
			w.Stores["memory"].Inject(memory.Outage(0))
		}
		return nil
	}
	_, _ = w.Applier(l).Apply(context.Background(), l.Plan)
	w.State.Fail = nil
	w.Stores["memory"].Heal()
}

var decisions = []struct {
	row   string // of the table; "" for rows about what the configuration no longer has
	name  string
	knobs *memory.Options
	do    func(w *plannertest.World) *planner.Plan
	want  []string
}{
	{
		row: "live state unknown", name: "denied",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].Inject(memory.Deny("list", ""), memory.Deny("inspect", "shop/dev/key"))
			return w.Plan()
		},
		want: []string{"unknown " + key + " forbidden"},
	},
	{
		row: "live state unknown", name: "unreachable",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].Inject(memory.Outage(0))
			return w.Plan()
		},
		want: []string{"unknown " + key + " unreachable"},
	},
	{
		row: "a rollout: restart what is to be", name: "a value changes",
		do: func(w *plannertest.World) *planner.Plan {
			withCluster(w)
			w.Configure(app(loginBlock + envBlock(restart))).Apply()
			return w.Plan(rotated()...)
		},
		want: []string{"update " + env + " source_changed", rotate, restarted},
	},
	{
		row: "a rollout: restart what is to be", name: "no value changes",
		do: func(w *plannertest.World) *planner.Plan {
			withCluster(w)
			w.Configure(app(loginBlock + envBlock())).Apply()
			return w.Configure(app(loginBlock + envBlock(restart, `labels = { a = "b" }`))).Plan()
		},
		want: []string{"update " + env + " metadata_changed"},
	},
	{
		row: "its place is another's: wait", name: "the other moves on in this plan",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(placesOf("a", "p/a", "b", "p/b")).Apply()
			return w.Configure(placesOf("a", "p/b", "b", "p/c")).Plan()
		},
		want: []string{`relocate app.shop.secret.b["dev"] moved reads`, `note app.shop.secret.a["dev"] moved`},
	},
	{
		row: "its place is another's: wait", name: "the other is to be deleted",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(placesOf("a", "p/a", "b", "p/b")).Apply()
			return w.Configure(placesOf("b", "p/a")).Plan()
		},
		want: []string{`delete app.shop.secret.a["dev"] removed`, `note app.shop.secret.b["dev"] moved`},
	},
	{
		row: "its place is another's: wait", name: "a circle",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(placesOf("a", "p/a", "b", "p/b")).Apply()
			return w.Configure(placesOf("a", "p/b", "b", "p/a")).Plan()
		},
		want: []string{
			`error app.shop.secret.a["dev"] is among those that change places in a circle`,
			`error app.shop.secret.b["dev"] is among those that change places in a circle`,
		},
	},
	{
		row: "pending: an intent without an outcome", name: "our write landed",
		do: func(w *plannertest.World) *planner.Plan {
			crashed(w.Configure(gen), true)
			return w.Plan()
		},
		want: []string{"adopt " + key + " interrupted"},
	},
	{
		row: "pending: an intent without an outcome", name: "our write did not land",
		do: func(w *plannertest.World) *planner.Plan {
			crashed(w.Configure(gen), false)
			return w.Plan()
		},
		want: []string{"create " + key + " interrupted"},
	},
	{
		row: "pending: an intent without an outcome", name: "another writer's version",
		do: func(w *plannertest.World) *planner.Plan {
			crashed(w.Configure(gen), false)
			edit(w)
			return w.Plan()
		},
		want: []string{"conflict " + key + " interrupted"},
	},
	{
		row: "pending: an intent without an outcome", name: "a rotation that did not land is taken up again",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			crashed(w, false, plannertest.Settle(key, planner.SettleRotate))
			return w.Plan()
		},
		want: []string{"rotate " + key + " interrupted new-value"},
	},
	{
		row: "pending: an intent without an outcome", name: "a delete that landed, and the block is back",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.Configure(without)
			crashed(w, true)
			w.Configure(both)
			return w.Plan()
		},
		want: []string{"restore " + key + " interrupted"},
	},
	{
		row: "pending: an intent without an outcome", name: "inside the settle window",
		knobs: &memory.Options{Versions: true, Attributes: true, OpID: true, Settle: 2 * time.Minute},
		do: func(w *plannertest.World) *planner.Plan {
			crashed(w.Configure(gen), false)
			w.Now = w.Now.Add(time.Minute)
			return w.Plan()
		},
		want: []string{"unknown " + key + " interrupted"},
	},
	{
		row: "pending: an intent without an outcome", name: "after the settle window",
		knobs: &memory.Options{Versions: true, Attributes: true, OpID: true, Settle: 2 * time.Minute},
		do: func(w *plannertest.World) *planner.Plan {
			crashed(w.Configure(gen), false)
			w.Now = w.Now.Add(3 * time.Minute)
			return w.Plan()
		},
		want: []string{"create " + key + " interrupted"},
	},
	{
		row: "soft-deleted", name: "our mark",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 24*time.Hour)
			return w.Plan()
		},
		want: []string{"restore " + key + " soft_deleted"},
	},
	{
		row: "soft-deleted", name: "not ours",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w.Configure(gen))
			w.Stores["memory"].Remove("shop/dev/key", 24*time.Hour)
			return w.Plan()
		},
		want: []string{"error the name of " + key + " is taken until 2026-01-02 00:00 UTC"},
	},
	{
		row: "a replica follows its primary", name: "missing: created from the primary",
		do: func(w *plannertest.World) *planner.Plan {
			b := w.AddStore("b", memory.Full())
			w.Configure(replicated).Apply()
			b.Remove("shop/dev/key", 0)
			return w.Plan()
		},
		want: []string{"create " + key + "@memory.b missing reads"},
	},
	{
		row: "a replica follows its primary", name: "new: the value comes from memory",
		do: func(w *plannertest.World) *planner.Plan {
			w.AddStore("b", memory.Full())
			return w.Configure(replicated).Plan()
		},
		want: []string{"create " + key + " new", "create " + key + "@memory.b new"},
	},
	{
		row: "a replica follows its primary", name: "changed outside: written again",
		do: func(w *plannertest.World) *planner.Plan {
			b := w.AddStore("b", memory.Full())
			w.Configure(replicated).Apply()
			b.Edit("shop/dev/key", secret.String("x"), "mallory")
			return w.Plan()
		},
		want: []string{"update " + key + "@memory.b changed_outside reads"},
	},
	{
		row: "a replica follows its primary", name: "behind",
		do: func(w *plannertest.World) *planner.Plan {
			b := w.AddStore("b", memory.Full())
			w.Configure(replicated).Apply()
			b.Inject(memory.Outage(0))
			_, _ = w.TryApply(plannertest.Settle(key, planner.SettleRotate))
			b.Heal()
			return w.Plan()
		},
		want: []string{"update " + key + "@memory.b replica_behind reads"},
	},
	{
		row: "a replica follows its primary", name: "nothing while the primary is in conflict",
		do: func(w *plannertest.World) *planner.Plan {
			b := w.AddStore("b", memory.Full())
			w.Configure(replicated).Apply()
			edit(w)
			b.Edit("shop/dev/key", secret.String("x"), "mallory")
			return w.Plan()
		},
		want: []string{"conflict " + key + " changed_outside"},
	},
	{
		row: "missing while a replica lives", name: "a person decides",
		do: func(w *plannertest.World) *planner.Plan {
			w.AddStore("b", memory.Full())
			w.Configure(replicated).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Plan()
		},
		want: []string{"conflict " + key + " missing"},
	},
	{
		row: "missing while a replica lives", name: "restore -from",
		do: func(w *plannertest.World) *planner.Plan {
			w.AddStore("b", memory.Full())
			w.Configure(replicated).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Plan(plannertest.RestoreFrom(key, "memory.b"))
		},
		want: []string{"restore " + key + " missing reads"},
	},
	{
		row: "not recorded and missing: create", name: "generated",
		do:   func(w *plannertest.World) *planner.Plan { return w.Configure(gen).Plan() },
		want: []string{"create " + key + " new"},
	},
	{
		row: "not recorded and missing: create", name: "manual: nothing, awaiting",
		do: func(w *plannertest.World) *planner.Plan {
			return w.Configure(with(gen, `random_hex({ bytes = 16 })`, `manual()`)).Plan()
		},
		want: []string{"note " + key + " awaiting_value"},
	},
	{
		row: "not recorded, our mark: adopt", name: "the state was lost",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.State.Lose()
			return w.Plan()
		},
		want: []string{"adopt " + key + " state_lost"},
	},
	{
		row: "not recorded, our mark: adopt", name: "a template: what it was made of is not known",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(plus(gen, urlSecret)).Apply()
			w.State.Lose()
			return w.Plan()
		},
		want: []string{"adopt " + key + " state_lost", "adopt " + at("url") + " state_lost", "note " + at("url") + " not_compared"},
	},
	{
		row: "recorded elsewhere: relocate", name: "the state was lost, and a template moves",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(plus(gen, urlSecret)).Apply()
			w.State.Lose()
			return w.Configure(plus(gen, with(urlSecret, "{ ", "{\n    path = \"moved/url\"\n    ", " }", "\n  }"))).Plan()
		},
		want: []string{"adopt " + key + " state_lost", "relocate " + at("url") + " moved reads", "note " + at("url") + " not_compared"},
	},
	{
		row: "import or manual, nobody's mark: adopt", name: "manual",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			return w.Configure(with(gen, `random_hex({ bytes = 16 })`, `manual()`)).Plan()
		},
		want: []string{"adopt " + key + " imported"},
	},
	{
		row: "import or manual, nobody's mark: adopt", name: "import",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			return w.Configure(gen + `import {
  to = app.shop.secret.key["dev"]
  id = "shop/dev/key"
}`).Plan()
		},
		want: []string{"adopt " + key + " imported"},
	},
	{
		row: "import or manual, nobody's mark: adopt", name: "another project's, taken over",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			w.Stores["memory"].SetMark("shop/dev/key", providers.Mark{Project: "theirs"})
			return w.Configure(gen + `import {
  to = app.shop.secret.key["dev"]
  id = "shop/dev/key"
}`).Plan(plannertest.TakeOver())
		},
		want: []string{"adopt " + key + " imported"},
	},
	{
		row: "not recorded, a stranger's: refuse", name: "nobody's",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			return w.Configure(gen).Plan()
		},
		want: []string{"error " + key + " exists already, managed by nobody"},
	},
	{
		row: "not recorded, a stranger's: refuse", name: "another project's",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			w.Stores["memory"].SetMark("shop/dev/key", providers.Mark{Project: "theirs"})
			return w.Configure(gen).Plan()
		},
		want: []string{"error " + key + ` exists already, managed by project "theirs"`},
	},
	{
		row: "recorded and missing: create again", name: "generated: a new value",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Plan()
		},
		want: []string{"create " + key + " missing new-value"},
	},
	{
		row: "accepted, and nothing is there: refuse", name: "recorded",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Plan(plannertest.Settle(key, planner.SettleAccept))
		},
		want: []string{"error " + key + " is not there, so there is nothing to accept"},
	},
	{
		row: "accepted, and nothing is there: refuse", name: "never made",
		do: func(w *plannertest.World) *planner.Plan {
			return w.Configure(gen).Plan(plannertest.Settle(key, planner.SettleAccept))
		},
		want: []string{"error " + key + " is not there, so there is nothing to accept"},
	},
	{
		row: "accepted, and nothing is there: refuse", name: "one of all below an app: the others are accepted",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			w.Stores["memory"].Edit("shop/dev/other", secret.String("by hand"), "mallory")
			return w.Plan(plannertest.Settle("app.shop", planner.SettleAccept))
		},
		want: []string{`adopt app.shop.secret.other["dev"] changed_outside`, "note " + key + " missing"},
	},
	{
		row: "import of what is marked for another: refuse", name: "after a lost state, two paths exchanged",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(placesOf("a", "p/a", "b", "p/b")).Apply()
			w.State.Lose()
			return w.Configure(placesOf("a", "p/b", "b", "p/a") + importing(at("a"), "p/b")).Plan()
		},
		want: []string{
			"error " + at("a") + " is to import the value of another secret",
			"error " + at("b") + " exists already, managed under another address",
		},
	},
	{
		row: "recorded and missing: create again", name: "rotation = never: conflict",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(never).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Plan()
		},
		want: []string{"conflict " + key + " missing"},
	},
	{
		row: "recorded and missing: create again", name: "manual: awaiting",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			w.Configure(with(gen, `random_hex({ bytes = 16 })`, `manual()`)).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Plan()
		},
		want: []string{"note " + key + " awaiting_value"},
	},
	{
		row: "our mark is gone", name: "nobody's",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].RemoveMark("shop/dev/key")
			return w.Plan()
		},
		want: []string{"conflict " + key + " mark_lost"},
	},
	{
		row: "our mark is gone", name: "another's",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].SetMark("shop/dev/key", providers.Mark{Project: "theirs"})
			return w.Plan(plannertest.Settle(key, planner.SettleAccept))
		},
		want: []string{"conflict " + key + " mark_lost"},
	},
	{
		row: "our mark is gone", name: "accepted",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].RemoveMark("shop/dev/key")
			return w.Plan(plannertest.Settle(key, planner.SettleAccept))
		},
		want: []string{"adopt " + key + " mark_lost"},
	},
	{
		row: "ours, newer than recorded: adopt", name: "an older state was put back",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			old := w.State.Remember()
			w.Apply(plannertest.Settle(key, planner.SettleRotate))
			w.State.Recall(old)
			return w.Plan()
		},
		want: []string{"adopt " + key + " state_behind"},
	},
	{
		row: "outside versions are accepted: adopt", name: "manual",
		do: func(w *plannertest.World) *planner.Plan {
			edit(w)
			w.Configure(with(gen, `random_hex({ bytes = 16 })`, `manual()`)).Apply()
			edit(w)
			return w.Plan()
		},
		want: []string{"adopt " + key + " changed_outside"},
	},
	{
		row: "outside versions are accepted: adopt", name: "bootstrap",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(bootstrap).Apply()
			edit(w)
			return w.Plan()
		},
		want: []string{"adopt " + key + " changed_outside"},
	},
	{
		row: "only re-encrypted, or not: cannot be told", name: "the whole container moved",
		knobs: files(),
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.Stores["memory"].Reencrypt(func(string) bool { return true })
			return w.Plan()
		},
		want: []string{"unknown " + key + " reencrypted", `unknown app.shop.secret.other["dev"] reencrypted`},
	},
	{
		row: "changed outside, value at hand: update", name: "template",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(plus(gen, urlSecret)).Apply()
			w.Stores["memory"].Edit("shop/dev/url", secret.String("x"), "mallory")
			return w.Plan()
		},
		want: []string{`update app.shop.secret.url["dev"] changed_outside reads`},
	},
	{
		row: "changed outside, value at hand: update", name: "supplied",
		do: func(w *plannertest.World) *planner.Plan {
			w.Environ["K"] = "v"
			w.Configure(with(gen, `random_hex({ bytes = 16 })`, `from_env("K")`)).Apply()
			edit(w)
			return w.Plan()
		},
		want: []string{"update " + key + " changed_outside"},
	},
	{
		row: "changed outside, generated: conflict", name: "stop",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			edit(w)
			return w.Plan()
		},
		want: []string{"conflict " + key + " changed_outside"},
	},
	{
		row: "changed outside, generated: conflict", name: "accept",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			edit(w)
			return w.Plan(plannertest.Settle(key, planner.SettleAccept))
		},
		want: []string{"adopt " + key + " changed_outside"},
	},
	{
		row: "changed outside, generated: conflict", name: "restore",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			edit(w)
			return w.Plan(plannertest.Settle(key, planner.SettleRestore))
		},
		want: []string{"restore " + key + " changed_outside reads"},
	},
	{
		row: "changed outside, generated: conflict", name: "rotate",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			edit(w)
			return w.Plan(plannertest.Settle(key, planner.SettleRotate))
		},
		want: []string{"rotate " + key + " rotation_requested new-value"},
	},
	{
		row: "changed outside, generated: conflict", name: "decided beforehand",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(outside("accept")).Apply()
			edit(w)
			return w.Plan()
		},
		want: []string{"adopt " + key + " changed_outside"},
	},
	{
		row: "same place, other name: rename", name: "moved, and the path stays",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(placed("key")).Apply()
			return w.Configure(placed("token") + `moved {
  from = app.shop.secret.key
  to   = app.shop.secret.token
}`).Plan()
		},
		want: []string{`rename app.shop.secret.token["dev"] moved`},
	},
	{
		row: "recorded elsewhere: relocate", name: "another path",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			return w.Configure(placed("key")).Plan()
		},
		want: []string{"relocate " + key + " moved reads"},
	},
	{
		row: "recorded elsewhere: relocate", name: "another app",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			return w.Configure(with(gen, `"shop"`, `"store"`) + `moved {
  from = app.shop
  to   = app.store
}`).Plan()
		},
		want: []string{`relocate app.store.secret.key["dev"] moved reads`},
	},
	{
		row: "recorded elsewhere: relocate", name: "the new place is taken",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Stores["memory"].Edit("fixed/place", secret.String("x"), "mallory")
			return w.Configure(placed("key")).Plan()
		},
		want: []string{"error the new place of " + key + " is taken"},
	},
	{
		row: "recorded elsewhere: relocate", name: "changed outside before it moves",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			edit(w)
			return w.Configure(placed("key")).Plan()
		},
		want: []string{"conflict " + key + " changed_outside"},
	},
	{
		row: "same version", name: "nothing to do",
		do:   func(w *plannertest.World) *planner.Plan { w.Configure(gen).Apply(); return w.Plan() },
		want: nil,
	},
	{
		row: "same version", name: "a parameter waits",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			return w.Configure(with(gen, "bytes = 16", "bytes = 32")).Plan()
		},
		want: []string{"note " + key + " source_changed"},
	},
	{
		row: "same version", name: "another supplied value",
		do: func(w *plannertest.World) *planner.Plan {
			w.Environ["K"] = "v"
			w.Configure(with(gen, `random_hex({ bytes = 16 })`, `from_env("K")`)).Apply()
			w.Environ["K"] = "w"
			return w.Plan()
		},
		want: []string{"update " + key + " source_changed"},
	},
	{
		row: "same version", name: "a supplied value that is not here",
		do: func(w *plannertest.World) *planner.Plan {
			w.Environ["K"] = "v"
			w.Configure(with(gen, `random_hex({ bytes = 16 })`, `from_env("K")`)).Apply()
			delete(w.Environ, "K")
			return w.Plan()
		},
		want: []string{"note " + key + " not_compared"},
	},
	{
		row: "same version", name: "due, with a strategy",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(due("regenerate")).Apply()
			w.Now = w.Now.Add(31 * 24 * time.Hour)
			return w.Plan()
		},
		want: []string{"rotate " + key + " rotation_due new-value"},
	},
	{
		row: "same version", name: "due, without a strategy",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(due("")).Apply()
			w.Now = w.Now.Add(31 * 24 * time.Hour)
			return w.Plan()
		},
		want: []string{"note " + key + " rotation_due"},
	},
	{
		row: "same version", name: "due, outside its window",
		do: func(w *plannertest.World) *planner.Plan { // Start is a Sunday at noon
			w.Configure(secretBlock("value = random_hex()", "rotation {\n      every = \"30d\"\n      strategy = \"regenerate\"\n      window = \"Sun 02:00-06:00 UTC\"\n    }")).Apply()
			w.Now = w.Now.Add(35 * 24 * time.Hour)
			return w.Plan()
		},
		want: []string{"note " + key + " rotation_due"},
	},
	{
		row: "same version", name: "labels",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			return w.Configure(labelled).Plan()
		},
		want: []string{"update " + key + " metadata_changed"},
	},
	{
		name: "gone from the configuration: delete",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			return w.Configure(without).Plan()
		},
		want: []string{"delete " + key + " removed"},
	},
	{
		name: "gone, changed outside: conflict",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			edit(w)
			return w.Configure(without).Plan()
		},
		want: []string{"conflict " + key + " changed_outside"},
	},
	{
		name: "gone, protected: refused",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(protected).Apply()
			return w.Configure(without).Plan()
		},
		want: []string{"error " + key + " is protected"},
	},
	{
		name: "gone, destroy = false: forget",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			return w.Configure(without + removed(false)).Plan()
		},
		want: []string{"forget " + key + " removed"},
	},
	{
		name: "gone from the configuration and from the store: forget",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.Stores["memory"].Remove("shop/dev/key", 0)
			return w.Configure(without).Plan()
		},
		want: []string{"forget " + key + " removed"},
	},
	{
		name: "gone, not our mark any more: forget",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.Stores["memory"].RemoveMark("shop/dev/key")
			return w.Configure(without).Plan()
		},
		want: []string{"forget " + key + " removed"},
	},
	{
		name: "the old place of a relocated secret: delete",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(gen).Apply()
			w.Configure(placed("key")).Apply()
			return w.Plan()
		},
		want: []string{"delete " + key + " moved"},
	},
	{
		name: "pending create, and the block is gone",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(without).Apply()
			crashed(w.Configure(both), true)
			return w.Configure(without).Plan()
		},
		want: []string{"delete " + key + " removed"},
	},
	{
		name: "pending create that did not land, and the block is gone",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(without).Apply()
			crashed(w.Configure(both), false)
			return w.Configure(without).Plan()
		},
		want: []string{"forget " + key + " removed"},
	},
	{
		name: "an orphan is reported",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.State.Lose()
			return w.Configure(without).Plan()
		},
		want: []string{`adopt app.shop.secret.other["dev"] state_lost`, `note provider.memory.secret["shop/dev/key"] orphan`},
	},
	{
		name: "an orphan that a removed block names: delete",
		do: func(w *plannertest.World) *planner.Plan {
			w.Configure(both).Apply()
			w.State.Lose()
			return w.Configure(without + removed(true)).Plan()
		},
		want: []string{"delete " + key + " orphan", `adopt app.shop.secret.other["dev"] state_lost`},
	},
}

// secretBlock is a configuration of one app with one more secret block.
func secretBlock(lines ...string) string {
	return with(without, `  secret "other" { value = random_hex() }`, "  secret \"key\" {\n    "+strings.Join(lines, "\n    ")+"\n  }")
}

// other is gen's app with a second secret, see plus.
func plus(hcl, secrets string) string {
	i := strings.LastIndex(hcl, "}")
	return hcl[:i] + secrets + "\n}\n"
}

const (
	otherSecret = `  secret "other" { value = random_hex() }`
	urlSecret   = `  secret "url" { value = "https://${secret.key}@example.org" }`
)

var (
	both      = plus(gen, otherSecret)
	never     = secretBlock("value = random_hex()", "rotation = never")
	bootstrap = secretBlock("value = random_hex()", `owner = "bootstrap"`)
	labelled  = secretBlock("value = random_hex({ bytes = 16 })", `labels = { team = "a" }`)
	protected = plus(secretBlock("value = random_hex()", "protect = true"), otherSecret)
)

func outside(what string) string {
	return secretBlock("value = random_hex()", `on_outside_change = "`+what+`"`)
}

// placed puts a secret of the given name at a path of its own.
func placed(name string) string {
	return with(secretBlock("value = random_hex({ bytes = 16 })", `path = "fixed/place"`), `"key"`, `"`+name+`"`)
}

// placesOf is a configuration of secrets at given paths: name, path, name, path, …
func placesOf(pairs ...string) string {
	hcl := "environment \"dev\" { store = memory }\napp \"shop\" {\n  environments = [\"dev\"]\n"
	for i := 0; i < len(pairs); i += 2 {
		hcl += fmt.Sprintf("  secret %q {\n    value = random_hex()\n    path = %q\n  }\n", pairs[i], pairs[i+1])
	}
	return hcl + "}\n"
}

// importing is an import block.
func importing(address, path string) string {
	return fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address, path)
}

func due(strategy string) string {
	if strategy != "" {
		strategy = "\n      strategy = \"" + strategy + "\""
	}
	return secretBlock("value = random_hex()", "rotation {\n      every = \"30d\""+strategy+"\n    }")
}

func removed(destroy bool) string {
	return fmt.Sprintf(`removed {
  from = app.shop.secret.key
  lifecycle {
    destroy = %v
  }
}
`, destroy)
}

func files() *memory.Options { o := memory.Files(); return &o }

func TestDecisionTable(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range decisions {
		seen[d.row] = true
		t.Run(strings.TrimSpace(d.row+": "+d.name), func(t *testing.T) {
			knobs := memory.Full()
			if d.knobs != nil {
				knobs = *d.knobs
			}
			w := plannertest.New(t, knobs)
			p := d.do(w)
			if diff := cmp.Diff(d.want, lines(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
				for _, c := range p.Changes {
					t.Logf("%s: %s", c.Address, c.Detail)
				}
			}
		})
	}
	for _, name := range planner.RowNames() {
		if !seen[name] {
			t.Errorf("no case for the row %q", name)
		}
	}
}
