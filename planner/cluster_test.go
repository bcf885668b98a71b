package planner_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// cluster is a world with a store that an operator can read and a cluster in
// which a workload shop-dev/deployment/api runs.
func cluster(t *testing.T) *plannertest.World {
	knobs := memory.Full()
	knobs.Exports, knobs.Bindings = true, true
	w := plannertest.New(t, knobs)
	withCluster(w)
	return w
}

func withCluster(w *plannertest.World) *memory.World {
	k := memory.NewWorld("k8s-1")
	w.Stores["kubernetes"], w.Knobs["kubernetes"] = k, memory.Cluster()
	k.Deploy("shop-dev/deployment/api", "shop-dev/shop-env", "shop-dev/shop-sealed", "shop-dev/shop-ext")
	return k
}

// way is a block of a kind that delivers DB.
func way(kind, name string, lines ...string) string {
	return "  " + kind + " \"" + name + "\" {\n    data = { DB = secret.login, LEVEL = \"info\" }\n    " + strings.Join(lines, "\n    ") + "\n  }\n"
}

const (
	login      = `app.shop.secret.login["dev"]`
	env        = `app.shop.kubernetes_secret.env["dev"]`
	sealed     = `app.shop.sealed_secret.sealed["dev"]`
	ext        = `app.shop.external_secret.ext["dev"]`
	operators  = `provider.memory.policy["shop.external_secret.ext-dev"]`
	rollout    = `provider.kubernetes.rollout["shop-dev/deployment/api"]`
	loginBlock = "  secret \"login\" { value = random_hex() }\n"
	restart    = `rollout = [deployment("shop-dev", "api")]`
)

func envBlock(lines ...string) string { return way("kubernetes_secret", "env", lines...) }

func sealedBlock(lines ...string) string { return way("sealed_secret", "sealed", lines...) }

func extBlock(lines ...string) string { return way("external_secret", "ext", lines...) }

var allWays = app(loginBlock + envBlock(restart) + sealedBlock(restart) + extBlock(restart))

// story is one configuration applied, then what others do, then another plan.
type story struct {
	start string
	do    func(w *plannertest.World, k *memory.World)
	hcl   string // "" is start
	opts  []plannertest.Option
	want  []string
	// says is a part of the detail of some change or note.
	says string
	// left is what the plan after its apply says; nil is nothing, and "-" is not
	// applied.
	left  []string
	check func(t *testing.T, w *plannertest.World, k *memory.World)
}

func (s story) run(t *testing.T) {
	w := cluster(t)
	k := w.Stores["kubernetes"]
	w.Configure(s.start)
	w.Apply()
	expect(t, w.Plan())
	if s.do != nil {
		s.do(w, k)
	}
	if s.hcl != "" {
		w.Configure(s.hcl)
	}
	p := w.Plan(s.opts...)
	expect(t, p, s.want...)
	if said := details(p); !strings.Contains(said, s.says) {
		t.Errorf("nothing says %q in %s", s.says, said)
	}
	if len(s.left) == 1 && s.left[0] == "-" {
		return
	}
	w.Apply(s.opts...)
	expect(t, w.Plan(), s.left...)
	if s.check != nil {
		s.check(t, w, k)
	}
}

func details(p *planner.Plan) string {
	out := notes(p)
	for _, c := range p.Changes {
		out += "\n" + c.Detail
	}
	for _, d := range p.Diagnostics {
		out += "\n" + d.Detail
	}
	return out
}

func rotated() []plannertest.Option {
	return []plannertest.Option{plannertest.Settle(login, planner.SettleRotate)}
}

const (
	rotate    = "rotate " + login + " rotation_requested new-value"
	restarted = "update " + rollout + " source_changed"
)

func TestRollouts(t *testing.T) {
	just := app(loginBlock + envBlock(restart))
	old := providers.ObjectRef{Kind: memory.KindRollout, Path: "shop-dev/deployment/api"}
	for name, s := range map[string]story{
		"a value changes": {
			start: just, opts: rotated(), says: "its programs are restarted",
			want: []string{"update " + env + " source_changed", rotate, restarted},
			check: func(t *testing.T, w *plannertest.World, k *memory.World) {
				if got := k.Document(old); got != env+" = 2\n" {
					t.Errorf("started with %q", got)
				}
			},
		},
		"all ways at once": {
			start: allWays, opts: rotated(),
			want: []string{"update " + ext + " source_changed", "update " + env + " source_changed", "update " + sealed + " source_changed", rotate, restarted},
		},
		"the operator is told first": {
			start: app(loginBlock + extBlock(restart)), opts: rotated(), says: "told to fetch anew",
			do:   func(_ *plannertest.World, k *memory.World) { k.ResetCalls() },
			want: []string{"update " + ext + " source_changed", rotate, restarted},
			check: func(t *testing.T, w *plannertest.World, k *memory.World) {
				if n := k.Calls("write_object"); n != 2 {
					t.Errorf("%d objects were written, not the external secret and the restart", n)
				}
			},
		},
		"labels change": {
			start: just, hcl: app(loginBlock + envBlock(restart, `labels = { team = "a" }`)),
			want: []string{"update " + env + " metadata_changed"},
		},
		"a lost restart": {
			start: just, do: func(_ *plannertest.World, k *memory.World) { k.SetDocument(old, env+" = 0\n") },
			want: []string{restarted}, says: "a restart was lost",
		},
		"others have noted what they restart for": {
			start: just, do: func(_ *plannertest.World, k *memory.World) { k.SetDocument(old, "other = 7\n"+env+" = 1\n") },
			opts: rotated(), want: []string{"update " + env + " source_changed", rotate, restarted},
			check: func(t *testing.T, w *plannertest.World, k *memory.World) {
				if got := k.Document(old); !strings.Contains(got, "other = 7\n") {
					t.Errorf("what others noted is gone: %q", got)
				}
			},
		},
		"the workload is not there": {
			start: just, do: func(_ *plannertest.World, k *memory.World) { k.Undeploy("shop-dev/deployment/api") }, opts: rotated(),
			want: []string{"update " + env + " source_changed", rotate},
		},
		"it was deployed anew": {
			start: just, do: func(_ *plannertest.World, k *memory.World) {
				k.Undeploy("shop-dev/deployment/api")
				k.Deploy("shop-dev/deployment/api")
			}, opts: rotated(), want: []string{"update " + env + " source_changed", rotate, "create " + rollout + " source_changed"},
		},
		"a rollout list where there was none": {start: app(loginBlock + envBlock()), hcl: just},
		"the list goes": {
			start: just, hcl: app(loginBlock + envBlock()), want: []string{"forget " + rollout + " removed"},
			check: func(t *testing.T, w *plannertest.World, k *memory.World) {
				if k.Document(old) == "" {
					t.Errorf("the workload was touched")
				}
			},
		},
		"one block of two is named": {
			start: app(loginBlock + envBlock(restart)), hcl: app(loginBlock + envBlock(restart, `labels = { a = "b" }`) + sealedBlock(restart)),
			opts: []plannertest.Option{plannertest.Target(env)}, want: []string{"update " + env + " metadata_changed"},
			left: []string{"create " + sealed + " new reads", restarted},
		},
		"only rotations": {
			start: just, hcl: app(sec("login", "value = random_hex()", "rotation {", "every = \"1d\"", "strategy = \"regenerate\"", "}") + envBlock(restart)),
			do: func(w *plannertest.World, k *memory.World) {
				w.Now = w.Now.AddDate(0, 0, 5)
				k.Undeploy("shop-dev/deployment/api")
				k.Deploy("shop-dev/deployment/api")
			},
			opts: []plannertest.Option{plannertest.Rotations(planner.RotationsOnly)},
			want: []string{"update " + env + " source_changed", "rotate " + login + " rotation_due new-value", "create " + rollout + " source_changed"},
		},
		"a secret that the operator fetches moves": {
			start: app(loginBlock + extBlock(restart)), hcl: app(sec("login", "value = random_hex()", `path = "other/place"`) + extBlock(restart)),
			want: []string{"update " + ext + " metadata_changed", "relocate " + login + " moved reads", "update " + operators + " metadata_changed"},
			left: []string{"delete " + login + " moved"},
		},
	} {
		t.Run(name, s.run)
	}
}

// TestARestartThatFailed is owed until it took place, also the first one, of which
// nothing in the cluster tells.
func TestARestartThatFailed(t *testing.T) {
	for name, broken := range map[string]memory.Fault{
		"denied":      memory.Deny("write_object", "shop-dev/deployment/api"),
		"unreachable": {Op: "write_object", Path: "shop-dev/deployment/api", Code: providers.Unavailable},
		"answer lost": {Op: "write_object", Path: "shop-dev/deployment/api", Effect: memory.LoseAnswer, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := cluster(t)
			k := w.Stores["kubernetes"]
			w.Configure(app(loginBlock + envBlock()))
			w.Apply()
			w.Configure(app(loginBlock + envBlock(restart)))
			k.Inject(broken)
			mustTry(t, w, rotated()...)
			k.Heal()
			again := "create "
			if name == "answer lost" {
				again = "adopt "
			}
			expect(t, w.Plan(), again+rollout+" interrupted")
			// also a saved plan takes it up
			if _, err := applySaved(w, saved(t, w.Plan())); err != nil {
				t.Fatal(err)
			}
			expect(t, w.Plan())
			if got := k.Document(providers.ObjectRef{Kind: memory.KindRollout, Path: "shop-dev/deployment/api"}); got != env+" = 2\n" {
				t.Errorf("started with %q", got)
			}
		})
	}
}

// TestARestartWaitsForItsSecrets: where one was not written nothing is restarted.
func TestARestartWaitsForItsSecrets(t *testing.T) {
	w := cluster(t)
	w.Configure(app(loginBlock + envBlock(restart)))
	w.Apply()
	w.Stores["kubernetes"].Inject(memory.Deny("write", "shop-dev/shop-env"), memory.Deny("patch", "shop-dev/shop-env"))
	expectEnd(t, mustTry(t, w, rotated()...), "update "+env+" failed", "rotate "+login,
		"update "+rollout+" skipped: it depends on "+env+", which was not done")
	w.Stores["kubernetes"].Heal()
	expect(t, w.Plan(), "update "+env+" source_changed reads", restarted)
	w.Apply()
	expect(t, w.Plan())
}

// TestASavedPlanOfACluster: a rollout's text is known only in a plan, so it is no
// part of what is compared, and is made anew.
func TestASavedPlanOfACluster(t *testing.T) {
	place := providers.ObjectRef{Kind: memory.KindRollout, Path: "shop-dev/deployment/api"}
	for name, c := range map[string]struct {
		start   string
		change  func(w *plannertest.World, k *memory.World)
		refused string
	}{
		"all of it": {},
		"an update": {start: allWays},
		"somebody restarted it meanwhile": {
			start: allWays, change: func(_ *plannertest.World, k *memory.World) { k.SetDocument(place, "by = hand\n") }, refused: rollout,
		},
		"somebody wrote the sealed one meanwhile": {
			start: allWays, change: func(_ *plannertest.World, k *memory.World) { k.Edit(sealedPath, secret.String("x"), "eve") }, refused: sealed,
		},
		"somebody made the external one meanwhile": {
			change: func(_ *plannertest.World, k *memory.World) {
				k.SetDocument(providers.ObjectRef{Kind: memory.KindExternalSecret, Path: "shop-dev/shop-ext"}, "x\n")
			}, refused: ext,
		},
		"another key to seal a new one with": {change: renewed, refused: "the plan seals it with key-1"},
		"another key to seal one item with":  {start: allWays, change: renewed, refused: "the plan seals it with key-1"},
		"another workload": {
			change: func(w *plannertest.World, k *memory.World) {
				w.Configure(app(loginBlock + envBlock(restart) + sealedBlock(restart) + extBlock(restart, `labels = { a = "b" }`, "immutable = true", `name = "x"`)))
			}, refused: ext,
		},
		"another secret to restart for": {
			change: func(w *plannertest.World, k *memory.World) {
				w.Configure(app(loginBlock + envBlock(restart) + sealedBlock() + extBlock(restart)))
			}, refused: rollout,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := cluster(t)
			k := w.Stores["kubernetes"]
			w.Configure(allWays)
			if c.start != "" {
				w.Configure(sourced(c.start))
				w.Environ["A"] = "one"
				w.Apply()
				w.Environ["A"] = "two"
			}
			p := saved(t, w.Plan())
			if len(p.Changes) < 4 {
				t.Fatalf("the plan is too poor: %q", lines(p))
			}
			if c.change != nil {
				c.change(w, k)
			}
			_, err := applySaved(w, p)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("not refused for %s: %v", c.refused, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			expect(t, w.Plan())
			if after := change(t, p, rollout).After; k.Document(place) != after {
				t.Errorf("started with %q, planned %q", k.Document(place), after)
			}
		})
	}
}

// sourced takes the login from the environment.
func sourced(hcl string) string { return with(hcl, "random_hex()", `from_env("A")`) }

// TestNotRestarted asks the cluster only where a value changes, and tells of what
// nothing restarts.
func TestNotRestarted(t *testing.T) {
	for name, c := range map[string]struct {
		hcl   string
		do    func(w *plannertest.World, k *memory.World)
		opts  []plannertest.Option
		want  string
		calls int
	}{
		"nothing changes":        {hcl: app(loginBlock + envBlock())},
		"labels change":          {hcl: app(loginBlock + envBlock(`labels = { a = "b" }`))},
		"the key is renewed":     {hcl: app(loginBlock + sealedBlock()), do: renewed},
		"a value changes":        {hcl: app(loginBlock + envBlock()), opts: rotated(), want: env + ": used by deployment shop-dev/api", calls: 1},
		"of a sealed one":        {hcl: app(loginBlock + sealedBlock()), opts: rotated(), want: sealed + ": used by deployment shop-dev/api", calls: 1},
		"of one that is fetched": {hcl: app(loginBlock + extBlock()), opts: rotated(), want: ext + ": used by deployment shop-dev/api", calls: 1},
		"one that is restarted":  {hcl: app(loginBlock + envBlock(restart)), opts: rotated(), calls: 1},
		"nobody may look": {
			hcl: app(loginBlock + envBlock()), opts: rotated(), want: "could not be told", calls: 1,
			do: func(_ *plannertest.World, k *memory.World) { k.Inject(memory.Deny("consumers", "")) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := cluster(t)
			w.Configure(with(c.hcl, `labels = { a = "b" }`, ""))
			w.Apply()
			w.Configure(c.hcl)
			if c.do != nil {
				c.do(w, w.Stores["kubernetes"])
			}
			l := w.Look(c.opts...)
			found := planner.NotRestarted(context.Background(), l.Plan, l.Desired, l.Stores)
			var said []string
			for _, n := range found {
				said = append(said, n.Address.String()+": "+n.Text)
			}
			if text := strings.Join(said, "\n"); !strings.Contains(text, c.want) || c.want == "" && text != "" {
				t.Errorf("notes %s", text)
			}
			if n := w.Stores["kubernetes"].Calls("consumers"); n != c.calls {
				t.Errorf("%d calls", n)
			}
		})
	}
}
