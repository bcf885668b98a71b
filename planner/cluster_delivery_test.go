package planner_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
)

const (
	extStore   = `provider.kubernetes.secretstore["shop-dev/shop-ext"]`
	extAccount = `provider.kubernetes.serviceaccount["shop-dev/shop-ext"]`
	tie        = `provider.memory.binding["shop-dev-shop-ext shop.external_secret.ext-dev"]`
	webRole    = `app.shop.policy.web["dev"]`
)

// made are the changes that make an external_secret, in a plan's order.
func made(action, reason string) []string {
	var out []string
	for _, a := range []string{ext, extStore, extAccount, tie, operators} {
		out = append(out, action+" "+a+" "+reason)
	}
	return out
}

// TestDeliveriesInOrder: what an operator reads is there before it is told to
// read, and what restarts programs comes last.
func TestDeliveriesInOrder(t *testing.T) {
	w := cluster(t)
	w.Configure(app(loginBlock + extBlock(restart)))
	did := func(opts ...plannertest.Option) (order []string) {
		l := w.Look(opts...)
		a := w.Applier(l)
		a.Parallelism = 1
		a.Events = func(e planner.Event) { order = append(order, e.Change.Address.String()) }
		if _, err := a.Apply(context.Background(), l.Plan); err != nil {
			t.Fatal(err)
		}
		return order
	}
	before := func(order []string, addresses ...string) {
		t.Helper()
		at := -1
		for _, a := range addresses {
			i := slices.Index(order, a)
			if i <= at {
				t.Errorf("%s is at %d of %q", a, i, order)
			}
			at = i
		}
	}
	order := did()
	before(order, login, ext, rollout)
	before(order, operators, tie, extStore, ext)
	before(order, extAccount, extStore)
	w.Configure(app(loginBlock))
	gone := made("delete", "removed")
	expect(t, w.Plan(), slices.Insert(gone, 1, "forget "+rollout+" removed")...)
	order = did()
	before(order, ext, extStore, extAccount)
	before(order, tie, operators)
	expect(t, w.Plan())
	if k := w.Stores["kubernetes"]; k.Document(providers.ObjectRef{Kind: memory.KindSecretStore, Path: "shop-dev/shop-ext"}) != "" {
		t.Errorf("the store is left")
	}
}

func TestExternalSecrets(t *testing.T) {
	just := app(loginBlock + extBlock())
	for name, s := range map[string]story{
		"the target of a plan takes all it brings along": {
			start: app(loginBlock + sec("x", "value = random_hex()")), hcl: app(loginBlock + sec("x", "value = random_hex()") + sec("y", "value = random_hex()") + extBlock(restart)),
			opts: []plannertest.Option{plannertest.Target(ext)}, want: made("create", "new"), left: []string{`create app.shop.secret.y["dev"] new`},
		},
		"what is excluded takes it along, too": {
			start: app(loginBlock), hcl: app(loginBlock + extBlock(restart) + sec("y", "value = random_hex()")),
			opts: []plannertest.Option{plannertest.Exclude(ext)}, want: []string{`create app.shop.secret.y["dev"] new`}, left: made("create", "new"),
		},
		"it is named otherwise, and stays where it is": {
			start: app(loginBlock + extBlock(`name = "fixed"`)),
			hcl:   app(loginBlock+way("external_secret", "ext2", `name = "fixed"`)) + "moved {\n  from = app.shop.external_secret.ext\n  to = app.shop.external_secret.ext2\n}\n",
			want: []string{
				`rename app.shop.external_secret.ext2["dev"] moved`,
				`delete provider.memory.binding["default-fixed shop.external_secret.ext-dev"] removed`,
				`create provider.memory.binding["default-fixed shop.external_secret.ext2-dev"] new`,
				`delete provider.memory.policy["shop.external_secret.ext-dev"] removed`,
				`create provider.memory.policy["shop.external_secret.ext2-dev"] new`,
			},
		},
		"another namespace": {
			start: just, hcl: app(loginBlock + extBlock(`namespace = "other"`)),
			want: []string{
				"create " + ext + " new", "delete " + ext + " removed", "create " + with(extStore, "shop-dev/", "other/") + " new", "delete " + extStore + " removed",
				"create " + with(extAccount, "shop-dev/", "other/") + " new", "delete " + extAccount + " removed",
				"create " + with(tie, "shop-dev-", "other-") + " new", "delete " + tie + " removed",
			},
		},
		"somebody changed its text": {
			start: just, do: func(_ *plannertest.World, k *memory.World) {
				k.SetDocument(providers.ObjectRef{Kind: memory.KindExternalSecret, Path: "shop-dev/shop-ext"}, "mine\n")
			}, want: []string{"update " + ext + " changed_outside"},
		},
		"somebody changed its text, and the block goes": {
			start: just, do: func(_ *plannertest.World, k *memory.World) {
				k.SetDocument(providers.ObjectRef{Kind: memory.KindExternalSecret, Path: "shop-dev/shop-ext"}, "mine\n")
			}, hcl: app(loginBlock), says: "is still made of it", want: []string{
				"conflict " + ext + " changed_outside", "delete " + tie + " removed", "delete " + operators + " removed", "note " + extStore + " removed", "note " + extAccount + " removed",
			}, left: []string{"-"},
		},
		"protected": {
			start: app(loginBlock + extBlock("protect = true")), hcl: app(loginBlock),
			want: append(made("delete", "removed")[1:], "error "+ext+" is protected"), left: []string{"-"},
		},
		"a store of its own name for two blocks": {
			start: app(loginBlock), hcl: app(loginBlock + extBlock("store {\n name = \"shared\"\n}") + way("external_secret", "two", "store {\n name = \"shared\"\n}")),
			want: []string{
				"create " + ext + " new", "create " + with(ext, "secret.ext", "secret.two") + " new",
				"create " + with(extStore, "shop-ext", "shared") + " new", "create " + with(extAccount, "shop-ext", "shared") + " new",
				"create " + with(tie, "-shop-ext ", "-shared ") + " new", "create " + with(tie, "-shop-ext ", "-shared ", "secret.ext", "secret.two") + " new",
				"create " + operators + " new", "create " + with(operators, "secret.ext", "secret.two") + " new",
			},
		},
		"somebody else's store": {
			start: app(loginBlock), hcl: app(loginBlock + extBlock("store {\n name = \"theirs\"\n existing = true\n}")), want: []string{"create " + ext + " new"},
		},
		"a way to sign in that brings no reader": {
			start: app(loginBlock), hcl: app(loginBlock + extBlock("store {\n auth \"token\" {\n}\n}")),
			want: []string{"create " + ext + " new", "create " + extStore + " new", "create " + extAccount + " new"},
		},
	} {
		t.Run(name, s.run)
	}
}

// TestReadersOfACluster: a policy lets its readers into the Secrets that are made
// of nothing but what it covers.
func TestReadersOfACluster(t *testing.T) {
	w := cluster(t)
	policy := func(secrets string) string {
		return "  policy \"web\" {\n    secrets = [" + secrets + "]\n    readers = [kubernetes_service_account(\"shop\", \"web\")]\n  }\n"
	}
	both := loginBlock + sec("other", "value = random_hex()")
	mixed := with(way("kubernetes_secret", "mixed"), "LEVEL", "OTHER = secret.other, LEVEL")
	ways := envBlock() + sealedBlock() + extBlock() + mixed
	for name, c := range map[string]struct{ secrets, want string }{
		"one":       {"secret.login", "get: shop-dev/shop-env shop-dev/shop-ext shop-dev/shop-sealed\n"},
		"both":      {"secret.login, secret.other", "get: shop-dev/shop-env shop-dev/shop-ext shop-dev/shop-mixed shop-dev/shop-sealed\n"},
		"the other": {"secret.other", ""},
		// whose Secret the operator only adds to is not known
		"one, added to another's": {"secret.login", "get: shop-dev/shop-env shop-dev/shop-sealed\n"},
	} {
		made := ways
		if strings.Contains(name, "added") {
			made = envBlock() + sealedBlock() + extBlock(`creation_policy = "Merge"`) + mixed
		}
		w.Configure(app(both + made + policy(c.secrets)))
		cfg := w.Load()
		d, diags := planner.Desire(cfg, w.Connect(nil))
		if c.want == "" {
			if len(diags) != 1 || !strings.Contains(diags[0].Summary, "applies nowhere") {
				t.Errorf("%s: %+v", name, diags)
			}
			continue
		}
		if r := d.At(address(t, webRole).At("kubernetes")); len(diags) > 0 || r == nil || r.Document != c.want {
			t.Errorf("%s: %+v, %+v", name, r, diags)
		}
	}
	w.Configure(app(both + ways + policy("secret.login")))
	w.Apply()
	expect(t, w.Plan())
}

// TestWhatCannotBeDelivered is refused at its block.
func TestWhatCannotBeDelivered(t *testing.T) {
	w := cluster(t)
	plain := memory.Full() // no operator reads it
	w.AddStore("b", plain)
	there := "  secret \"there\" {\n    value = random_hex()\n  }\n"
	for name, c := range map[string]struct{ hcl, want string }{
		"over two stores": {with(extBlock(), "LEVEL", "THERE = secret.there, LEVEL"), "one external_secret reads one store"},
		"over a store that the operator cannot read": {with(extBlock(), "secret.login", "secret.there"), "does not read memory.b"},
		"of no secret": {with(extBlock(), "secret.login", `"plain"`), "names no secret"},
		"a way to sign in that the store has not": {extBlock("store {\n auth \"jwt\" {\n}\n}"), `no auth "jwt" here`},
		"two at one place":                        {extBlock(`name = "same"`) + way("external_secret", "two", `name = "same"`), "the same thing"},
		"two ways to one Secret":                  {envBlock(`namespace = "a"`, `name = "same"`) + extBlock(`namespace = "a"`, `name = "same"`), `both make the Secret "a/same"`},
		"sealed and plain":                        {envBlock(`namespace = "a"`, `name = "same"`) + sealedBlock(`namespace = "a"`, `name = "same"`), `both make the Secret "a/same"`},
		"one that adds to another":                {envBlock(`namespace = "a"`, `name = "same"`) + extBlock(`namespace = "a"`, `name = "same"`, `creation_policy = "Merge"`), ""},
		"a tls Secret without keys":               {envBlock(`type = "kubernetes.io/tls"`), "needs tls.crt and tls.key"},
		"a type on a store without":               {"  secret \"typed\" {\n    value = random_hex()\n    type = \"x/y\"\n  }\n", "has no type, annotations or immutable"},
	} {
		t.Run(name, func(t *testing.T) {
			w.Configure(app(loginBlock + there + c.hcl))
			cfg := w.Load()
			for _, secret := range cfg.Secrets {
				if secret.Address.Name == "there" { // no block names a store of its own
					secret.Store = "memory.b"
				}
			}
			_, diags := planner.Desire(cfg, w.Connect(nil))
			var said []string
			for _, d := range diags {
				if d.Range == nil {
					t.Errorf("no place: %+v", d)
				}
				said = append(said, d.Summary+": "+d.Detail)
			}
			if text := strings.Join(said, "\n"); !strings.Contains(text, c.want) || c.want == "" && text != "" {
				t.Errorf("got %s", text)
			}
		})
	}
}

func TestForms(t *testing.T) {
	just := app(loginBlock + envBlock())
	fixed := app(loginBlock + envBlock("immutable = true"))
	for name, s := range map[string]story{
		"annotations": {start: just, hcl: app(loginBlock + envBlock(`annotations = { a = "b" }`)), want: []string{"update " + env + " metadata_changed"}},
		"a type": {
			start: just, hcl: app(loginBlock + envBlock(`type = "example.com/x"`)), want: []string{"conflict " + env + " metadata_changed"},
			says: "give it another name", left: []string{"conflict " + env + " metadata_changed"},
		},
		"immutable": {start: just, hcl: fixed, want: []string{"update " + env + " metadata_changed"}},
		"an immutable one whose value changes": {
			start: fixed, opts: rotated(), want: []string{"conflict " + env + " source_changed", rotate},
			says: "give it another name", left: []string{"conflict " + env + " source_changed"},
		},
		"an immutable one with another name": {
			start: fixed, hcl: app(loginBlock + envBlock("immutable = true", `name = "next"`)), opts: rotated(),
			want: []string{"relocate " + env + " moved reads", rotate}, left: []string{"delete " + env + " moved"},
		},
		"an immutable one that was deleted by hand": {
			start: fixed, do: func(_ *plannertest.World, k *memory.World) { k.Remove("shop-dev/shop-env", 0) }, opts: rotated(),
			want: []string{"create " + env + " missing", rotate},
		},
	} {
		t.Run(name, s.run)
	}
}

// TestACopyWithoutForm: a store that keeps no forms has the same secret without.
func TestACopyWithoutForm(t *testing.T) {
	w := cluster(t)
	w.Configure("environment \"dev\" {\n  store = kubernetes\n  replicas = [memory]\n}\napp \"shop\" {\n  environments = [\"dev\"]\n" +
		sec("key", "value = random_hex()", `type = "example.com/x"`, `annotations = { a = "b" }`) + "}\n")
	w.Apply()
	expect(t, w.Plan())
	if got := w.Drift().Drift; len(got) > 0 {
		t.Errorf("drift: %+v", got)
	}
}
