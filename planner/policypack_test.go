package planner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
)

const policyPage = "../docs/policy-pack.md"

// found prints findings as "severity rule address file:line".
func found(list []planner.Diagnostic) []string {
	var out []string
	for _, d := range list {
		at := "nowhere"
		if d.Range != nil {
			at = fmt.Sprintf("%s:%d", d.Range.File, d.Range.Line)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", d.Severity, d.Rule, d.Address, at))
	}
	return out
}

// judged loads a configuration; what it does not declare it gets from here.
func judged(t testing.TB, hcl string) *lang.Config {
	t.Helper()
	dir := t.TempDir()
	for head, block := range map[string]string{
		`environment "dev"`:        "environment \"dev\" {\n  store = sops\n}\n",
		`environment "production"`: "environment \"production\" {\n  store = sops\n}\n",
		`app "`:                    "app \"checkout\" {\n  environments = [\"dev\"]\n  secret \"db\" {\n    value = manual()\n  }\n}\n",
	} {
		if !strings.Contains(hcl, head) {
			hcl += block
		}
	}
	hcl += "provider \"sops\" {\n}\nprovider \"vault\" {\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, diags := lang.Load(dir, lang.Options{ProviderTypes: []string{"sops", "vault"}})
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, hcl)
	}
	return cfg
}

// TestPolicyPackPage: the page has a section for every rule, whose example that
// rule finds fault with, once and at one place.
func TestPolicyPackPage(t *testing.T) {
	page, err := os.ReadFile(policyPage)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^(?:## `([a-z_]+)`$.*?)?^```hcl\n(.*?)^```\n").FindAllStringSubmatch(string(page), -1)
	var rules []string
	for _, block := range blocks {
		cfg := judged(t, block[2])
		if block[1] == "" { // the example of everything
			if names := lang.PolicyRuleNames(); len(cfg.Settings.PolicyPack.Rules) != len(names)-1 {
				t.Errorf("the first example has %d rules that are on, want all but one of %v", len(cfg.Settings.PolicyPack.Rules), names)
			}
			continue
		}
		rules = append(rules, block[1])
		places := map[string]bool{}
		for _, d := range planner.PolicyFindings(cfg) {
			if d.Rule != block[1] || d.Range == nil || d.Address == nil {
				t.Errorf("%s: %+v", block[1], d)
				continue
			}
			places[fmt.Sprint(d.Address, d.Range.Line)] = true
		}
		if want := 1 + strings.Count(block[1], "reader_wider"); len(places) != want {
			t.Errorf("%s: findings at %v, want %d", block[1], places, want)
		}
	}
	if !slices.Equal(rules, lang.PolicyRuleNames()) {
		t.Errorf("the page has the rules %v, want %v", rules, lang.PolicyRuleNames())
	}
}

func pack(rules ...string) string {
	text := "coffer {\n  project = \"p\"\n  policy_pack {\n"
	for _, r := range rules {
		text += "    rule " + r + "\n"
	}
	return text + "  }\n}\n"
}

const shopHead = "app \"shop\" {\n  environments = [\"dev\", \"production\"]\n"

// What each rule finds and what it leaves alone. The pack comes first, so lines
// count from there.
func TestPolicyFindings(t *testing.T) {
	const prod = `["production"]`
	for name, tt := range map[string]struct {
		rule, body string
		want       []string
	}{
		"max_age": {
			"\"max_age\" {\n level = \"fail\"\n age = \"30d\"\n }",
			shopHead + sec("in_time", "value = random_hex()", monthly("")) + sec("late", "value = random_hex()", "rotation {", `  every = "31d"`, "}") +
				sec("never", "value = random_hex()", "rotation = never") + sec("none", "value = manual()") + sec("made", `value = "x${secret.none}"`) + "}\n",
			[]string{
				"error max_age app.shop.secret.late", "error max_age app.shop.secret.never", "error max_age app.shop.secret.none",
			},
		},
		"min_entropy": {
			"\"min_entropy\" {\n level = \"warn\"\n bits = 64\n }",
			shopHead + sec("short", "value = random_hex({ bytes = 7 })") + sec("enough", "value = random_hex({ bytes = 8 })") +
				sec("words", "value = random_passphrase({ words = 5 })") + sec("wrapped", "value = sha256(secret.short)") +
				sec("db", "fields = {", `  user = public("a")`, "  password = random_password({ length = 8 })", "}") +
				sec("supplied", `value = from_env("X")`) + "}\n",
			[]string{
				"warning min_entropy app.shop.secret.db", "warning min_entropy app.shop.secret.short", "warning min_entropy app.shop.secret.words",
			},
		},
		"production_protected": {
			`"production_protected" { level = "fail" }`,
			shopHead + sec("open", "value = random_hex()") + sec("shut", "value = random_hex()", "protect = true") +
				"env_file \"web\" {\n data = { A = secret.open }\n }\n}\n",
			[]string{
				"error production_protected app.shop.env_file.web" + prod, "error production_protected app.shop.secret.open" + prod,
			},
		},
		"production_replica": {
			`"production_replica" { level = "fail" }`,
			"environment \"production\" {\n store = sops\n}\nenvironment \"prod-eu\" {\n store = sops\n replicas = [vault]\n}\n" +
				"app \"shop\" {\n  environments = [\"dev\", \"production\", \"prod-eu\"]\n" + sec("key", "value = random_hex()") +
				"env_file \"web\" {\n data = { A = secret.key }\n }\n}\n",
			[]string{"error production_replica app.shop.secret.key" + prod},
		},
		"production_source_shared": {
			`"production_source_shared" { level = "fail" }`,
			shopHead + sec("same", `value = from_env("SAME")`) + sec("own", `value = from_env("OWN_${each.environment}")`) +
				sec("inside", "fields = {", `  a = public("x")`, `  b = from_file("a.txt")`, "}") + sec("again", `value = from_env("OWN_dev")`, `environments = ["production"]`) +
				sec("alone", `value = from_env("ALONE")`, `environments = ["production"]`) + sec("twice", `value = from_env("ALONE")`, `environments = ["production"]`) + "}\n",
			[]string{
				"error production_source_shared app.shop.secret.again" + prod, "error production_source_shared app.shop.secret.inside" + prod,
				"error production_source_shared app.shop.secret.same" + prod,
			},
		},
		"reader_wider_than_app": {
			`"reader_wider_than_app" { level = "warn" }`,
			shopHead + sec("key", "value = random_hex()") + "policy \"run\" {\n readers = [vault_approle(\"own\"), vault_approle(\"both\")]\n }\n}\n" +
				"app \"other\" {\n environments = [\"dev\"]\n" + sec("key", "value = random_hex()") +
				"policy \"run\" {\n readers = [vault_approle(\"both\"), vault_approle(\"own\", \"elsewhere\")]\n }\n}\n",
			[]string{
				"warning reader_wider_than_app app.other.policy.run", "warning reader_wider_than_app app.shop.policy.run",
			},
		},
		"secret_without_reader": {
			`"secret_without_reader" { level = "warn" }`,
			shopHead + sec("deep", "value = random_hex()") + sec("middle", `value = "x${secret.deep}"`) + sec("unused", `value = "x${secret.deep}"`) +
				"env_file \"web\" {\n data = { A = secret.middle }\n }\npolicy \"run\" {\n secrets = [env_file.web]\n readers = [vault_approle(\"a\")]\n }\n}\n",
			[]string{"warning secret_without_reader app.shop.secret.unused"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := judged(t, pack(tt.rule)+tt.body)
			var got []string
			for _, d := range planner.PolicyFindings(cfg) {
				text := fmt.Sprintf("%s %s %s", d.Severity, d.Rule, d.Address)
				if d.Range == nil || !strings.HasPrefix(d.Summary, d.Address.String()+" ") || !strings.Contains(d.Detail, "Rule "+name) {
					t.Errorf("not whole: %+v", d)
				}
				if !slices.Contains(tt.want, text) { // of every environment
					text = strings.TrimSuffix(strings.TrimSuffix(text, `["dev"]`), prod)
				}
				if !slices.Contains(got, text) {
					got = append(got, text)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q\nwant  %q", got, tt.want)
			}
		})
	}
	if got := planner.PolicyFindings(judged(t, "coffer {\n  project = \"p\"\n}\n")); got != nil {
		t.Errorf("without a pack: %v", got)
	}
}

// A finding stands where its cause does.
func TestPolicyFindingsHavePlaces(t *testing.T) {
	cfg := judged(t, pack("\"min_entropy\" {\n level = \"warn\"\n bits = 64\n }")+"app \"shop\" {\n  environments = [\"dev\"]\n"+
		"secret \"db\" {\n fields = {\n  a = random_uuid()\n  b = random_hex({ bytes = 4 })\n }\n}\n}\n")
	got := planner.PolicyFindings(cfg)
	if len(got) != 1 || got[0].Range.Line != 15 || !strings.Contains(got[0].Summary, "field b") || !strings.Contains(got[0].Detail, "32.0 bits") {
		t.Errorf("%+v", got)
	}
}

const packOfAge = "policy_pack {\n rule \"max_age\" {\n level = \"fail\"\n age = \"30d\"\n }\n}\n"

func judge(o *planner.DiffOptions) { o.Judge = true }

// policy returns the findings of a plan.
func policy(p *planner.Plan) []string {
	var list []planner.Diagnostic
	for _, d := range p.Diagnostics {
		if d.Rule != "" {
			list = append(list, d)
		}
	}
	var out []string
	for i, d := range list {
		out = append(out, strings.Fields(found(list[i : i+1])[0])[2]+strings.TrimPrefix(d.Summary, d.Address.String()))
	}
	return out
}

// A plan is judged by how old its values will be when it is done, so that
// rotating is never what a rule on age forbids.
func TestPolicyOfAge(t *testing.T) {
	w := full(t)
	w.Settings = packOfAge
	w.Environ["K"] = "a"
	shop := app(sec("key", "value = random_hex()", monthly("regenerate")) + sec("given", `value = from_env("K")`, monthly("")) + sec("by_hand", `value = random_hex()`, monthly("manual")))
	w.Configure(shop).Apply()
	if got := policy(w.Plan(judge)); got != nil {
		t.Errorf("fresh: %v", got)
	}
	w.Now = w.Now.Add(40 * day)
	key, given, hand := at("key"), at("given")+" is older than 30d", at("by_hand")+" is older than 30d"
	for name, tt := range map[string]struct {
		opts []plannertest.Option
		want []string
	}{
		"rotates":              {nil, []string{hand, given}},
		"does not rotate":      {[]plannertest.Option{plannertest.Rotations(planner.RotationsNone)}, []string{hand, given, key + " is older than 30d"}},
		"about one":            {[]plannertest.Option{plannertest.Target(at("given"))}, []string{given}},
		"not about it":         {[]plannertest.Option{plannertest.Exclude(at("given"))}, []string{hand}},
		"rotated by a person":  {[]plannertest.Option{plannertest.Settle(at("by_hand"), planner.SettleRotate)}, []string{given}},
		"as of a day to come":  {[]plannertest.Option{func(o *planner.DiffOptions) { o.At = o.Now.Add(90 * day) }}, []string{hand, given}},
		"as of the first days": {[]plannertest.Option{func(o *planner.DiffOptions) { o.At = plannertest.Start.Add(day) }}, nil},
	} {
		p := w.Plan(append(tt.opts, judge)...)
		if got := policy(p); !slices.Equal(got, tt.want) {
			t.Errorf("%s: found %v, want %v", name, got, tt.want)
		}
		if got := policy(w.Plan(tt.opts...)); got != nil {
			t.Errorf("%s: judged without being asked: %v", name, got)
		}
	}
	if _, err := w.TryApply(judge); err == nil || !strings.Contains(err.Error(), "is older than 30d") {
		t.Errorf("a plan that a rule fails is applied: %v", err)
	}
	w.Environ["K"] = "b"
	w.Apply(judge, plannertest.Settle(at("by_hand"), planner.SettleRotate))
	if got := policy(w.Plan(judge)); got != nil {
		t.Errorf("after new values: %v", got)
	}
	// A moved block gives no new age.
	w.Now = w.Now.Add(40 * day)
	w.Configure(strings.ReplaceAll(shop, "\"by_hand\"", "\"hand\"") + "moved {\n from = app.shop.secret.by_hand\n to = app.shop.secret.hand\n}\n")
	if got := policy(w.Plan(judge)); !slices.Contains(got, at("hand")+" is older than 30d") {
		t.Errorf("moved: %v", got)
	}
}

// Two thousand secrets with every rule.
func BenchmarkPolicyFindings(b *testing.B) {
	var body strings.Builder
	body.WriteString("app \"shop\" {\n  environments = [\"dev\", \"production\"]\n")
	for i := range 1000 {
		fmt.Fprintf(&body, "secret \"s%d\" {\n value = random_password({ length = %d })\n}\n", i, 8+i%5)
	}
	body.WriteString("}\n")
	var rules []string
	for _, name := range lang.PolicyRuleNames() {
		switch name {
		case lang.RuleMaxAge:
			rules = append(rules, `"max_age" {`+"\n level = \"warn\"\n age = \"30d\"\n }")
		case lang.RuleMinEntropy:
			rules = append(rules, `"min_entropy" {`+"\n level = \"warn\"\n bits = 128\n }")
		default:
			rules = append(rules, fmt.Sprintf("%q { level = \"warn\" }", name))
		}
	}
	cfg := judged(b, pack(rules...)+body.String())
	for b.Loop() {
		if n := len(planner.PolicyFindings(cfg)); n != 8000 {
			b.Fatalf("%d findings", n)
		}
	}
}
