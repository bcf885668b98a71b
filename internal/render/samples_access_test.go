package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// adopts is what discover found in a store: 470 secrets in four apps, and 30
// that have nothing in common.
func adopts() *planner.Plan {
	var changes []planner.Change
	add := func(app, env, name, path string) {
		c := change(planner.Adopt, planner.ReasonImported, app, env, name)
		c.Location = planner.Location{Provider: "vault", Kind: "secret", Path: path}
		c.VersionFrom = "1"
		changes = append(changes, c)
	}
	for i := range 470 {
		app := []string{"billing", "checkout", "reports", "shop"}[i%4]
		add(app, "production", fmt.Sprintf("key_%d", i), fmt.Sprintf("payments/%s/old/key-%d", app, i))
	}
	for i := range 30 {
		add(fmt.Sprintf("tool-%d", i), "production", fmt.Sprintf("token_%d", i), fmt.Sprintf("payments/tool-%d/token", i))
	}
	return newPlan(0, changes...)
}

// accessObjects is what a policy with two readers is on a vault: a new policy,
// grants that come and one that goes, and a role that changes.
func accessObjects() *planner.Plan {
	object := func(action planner.Action, a addr.Address, kind, path, before, after string) planner.Change {
		c := change(action, planner.ReasonNew, "", "", "")
		c.Address, c.Role, c.Before, c.After = a, "object", before, after
		c.Location = planner.Location{Provider: "vault", Kind: kind, Path: path}
		if action == planner.Update {
			c.Reason = planner.ReasonSourceChanged
		}
		c.Range = &planner.Range{File: "checkout.hcl", Line: 30}
		if action == planner.Delete {
			c.Reason, c.Range = planner.ReasonRemoved, nil
		}
		return c
	}
	grant := func(action planner.Action, holder, before, after string) planner.Change {
		path := holder + " payments-checkout-production-runtime"
		return object(action, addr.ProviderObject("vault", "binding", path), "binding", path, before, after)
	}
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "path \"secret/data/payments/checkout/production/s%d\" {\n  capabilities = [\"read\"]\n}\n", i)
	}
	policy := addr.Address{App: "checkout", Kind: addr.KindPolicy, Name: "runtime", Environment: "production"}
	return newPlan(40,
		object(planner.Create, policy, "policy", "payments-checkout-production-runtime", "", text.String()),
		grant(planner.Create, "approle/checkout-production", "", "attached\n"),
		grant(planner.Create, "kubernetes/checkout-api", "", "attached\n"),
		grant(planner.Delete, "approle/old", "attached\n", ""),
		object(planner.Update, addr.Beside("role", "approle", "checkout"), "role", "approle:approle/checkout",
			"secret_id_ttl = \"1h\"\ntoken_ttl = \"20m\"\n", "secret_id_ttl = \"30m\"\ntoken_ttl = \"20m\"\n"),
	)
}

// checkups is a project in order, a store with much that is, and one that is
// not reached.
func checkups() []render.Checkup {
	yes, no := true, false
	vault := render.Checkup{Of: "vault", Identity: "vault:5f0c/-/secret", Reached: &yes, Findings: []render.Finding{
		{Subject: "reached", Status: render.FindingOK, Text: "vault:5f0c/-/secret"},
		{Subject: "token", Status: render.FindingWarning, Text: "token of approle ci expires in 4m", Next: "It is renewed while it is used.\nA longer one: coffer help permissions"},
	}}
	for i := range 20 {
		vault.Findings = append(vault.Findings, render.Finding{Subject: fmt.Sprintf("secret/metadata/shop/s%d", i), Status: render.FindingOK, Text: "read"})
	}
	vault.Findings = append(vault.Findings, render.Finding{
		Subject: "secret/data/shop/s7", Status: render.FindingError, Text: "update is missing",
		Next: `its policies need: path "secret/data/shop/s7" { capabilities = ["create", "update"] }`,
	})
	return []render.Checkup{
		{Of: "project", Findings: []render.Finding{
			{Subject: "state", Status: render.FindingOK, Text: "coffer.state.json, serial 7, 12 entries"},
			{Subject: "lock", Status: render.FindingOK, Text: "free"},
		}},
		vault,
		{Of: "vault.eu", Reached: &no, Findings: []render.Finding{
			{Subject: "reached", Status: render.FindingError, Text: "vault.eu identity: sealed", Next: "Unseal it: bao operator unseal"},
		}},
	}
}

// TestDoctorHidesNothingWrong: only what is fine is ever left out.
func TestDoctorHidesNothingWrong(t *testing.T) {
	var c render.Checkup
	for i := range 40 {
		for _, status := range []string{render.FindingOK, render.FindingWarning, render.FindingError, "else"} {
			c.Findings = append(c.Findings, render.Finding{Subject: fmt.Sprintf("%s-%d", status, i), Status: status})
		}
	}
	var out strings.Builder
	if err := render.DoctorText(&out, []render.Checkup{c}, render.Style{}); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Findings {
		if f.Status != render.FindingOK && !strings.Contains(out.String(), f.Subject+":") {
			t.Errorf("%s is left out", f.Subject)
		}
	}
	if !strings.Contains(out.String(), "and 28 more") {
		t.Errorf("what is left out is not counted:\n%s", out.String())
	}
}

// TestOnlyHarmlessIsCounted: of very many changes those that hurt nothing are
// counted, and every other one is named, as is what has a story of its own.
func TestOnlyHarmlessIsCounted(t *testing.T) {
	for action, all := range map[planner.Action]bool{
		planner.Adopt: false, planner.Create: false, planner.Delete: true, planner.Rotate: true, planner.Update: true,
		planner.Conflict: true, planner.Unknown: true, planner.Restore: true, planner.Forget: true,
	} {
		var changes []planner.Change
		for i := range 200 {
			changes = append(changes, change(action, planner.ReasonImported, "shop", "dev", fmt.Sprintf("x%dx", i)))
			odd := change(action, planner.ReasonImported, fmt.Sprintf("a%d", i), "dev", fmt.Sprintf("y%dy", i))
			odd.Detail = fmt.Sprintf("story %d", i)
			changes = append(changes, odd)
		}
		var out strings.Builder
		if err := render.PlanText(&out, newPlan(0, changes...), render.Style{}); err != nil {
			t.Fatal(err)
		}
		named, told := 0, 0
		for i := range 200 {
			if strings.Contains(out.String(), fmt.Sprintf("x%dx", i)) {
				named++
			}
			if strings.Contains(out.String(), fmt.Sprintf("y%dy", i)) {
				told++
			}
		}
		if (named == 200) != all || named < 20 || told != 200 {
			t.Errorf("%s: %d of 200 are named, and %d of 200 with a story", action, named, told)
		}
		if !all && !strings.Contains(out.String(), "and 180 more; with -json all are listed") {
			t.Errorf("%s: what is left out is not counted:\n%s", action, out.String())
		}
	}
}

// TestFailuresAlikeAreTold: what failed for many alike is said once, with all
// their names.
func TestFailuresAlikeAreTold(t *testing.T) {
	var sum render.ApplySummary
	for i := range 30 {
		sum.Failed = append(sum.Failed, render.Outcome{
			Address: addr.Secret("shop", "dev", fmt.Sprintf("x%dx", i)), Action: planner.Create, Effect: render.EffectUnknown,
			Err: fmt.Sprintf("vault write shop/x%d: the answer was lost", i), Common: "vault write: the answer was lost", Next: "look at the network",
		})
	}
	var out strings.Builder
	if err := render.ApplyText(&out, sum, render.Style{}); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if !strings.Contains(out.String(), fmt.Sprintf("x%dx", i)) {
			t.Errorf("x%dx is not named", i)
		}
	}
	for _, want := range []string{"the answer was lost", "Next: look at the network", "It may have happened all the same"} {
		if n := strings.Count(out.String(), want); n != 1 {
			t.Errorf("%q is said %d times:\n%s", want, n, out.String())
		}
	}
}
