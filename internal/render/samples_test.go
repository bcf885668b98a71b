package render_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newPlan(unchanged int, changes ...planner.Change) *planner.Plan {
	return &planner.Plan{
		FormatVersion: planner.FormatVersion, Project: "payments-7c1f", Lineage: "5f0c", Serial: 7,
		CreatedAt: noon, ExpiresAt: noon.Add(24 * time.Hour), Refreshed: true,
		Changes: changes, Unchanged: unchanged, Live: unchanged,
	}
}

// change returns one change of app.APP.secret.NAME["ENV"] on sops.
func change(action planner.Action, reason planner.Reason, app, env, name string) planner.Change {
	return planner.Change{
		Address:  addr.Secret(app, env, name),
		Location: planner.Location{Provider: "sops", Kind: "secret", Path: env + "/" + app + "/" + name},
		Action:   action, Reason: reason, Role: "primary",
		Range: &planner.Range{File: app + ".hcl", Line: 12},
	}
}

func set(source string) planner.FieldChange { return planner.FieldChange{Op: "set", Source: source} }

func threeChanges() *planner.Plan {
	db := change(planner.Create, planner.ReasonNew, "checkout", "production", "db")
	db.Fields = map[string]planner.FieldChange{
		"username": {Op: "set", Source: `public("checkout")`, After: "checkout"},
		"password": set("random_password({ length = 32, symbols = false })"),
		"dsn":      set(`"postgres://${self.username}:${urlencode(self.password)}@db.production/checkout"`),
	}
	stripe := change(planner.Update, planner.ReasonSourceChanged, "checkout", "production", "stripe")
	stripe.VersionFrom, stripe.Entry, stripe.Generation = "b0c4f1a29d3e", "b0c4f1a29d3e", 3
	stripe.Fields = map[string]planner.FieldChange{"": set(`from_env("STRIPE_KEY_PRODUCTION")`)}
	jwt := change(planner.Rotate, planner.ReasonRotationDue, "checkout", "production", "jwt")
	jwt.VersionFrom, jwt.Entry, jwt.Generation, jwt.NewValue = "7", "7", 4, true
	jwt.Detail = "Due since 2026-11-18; every 30d."
	jwt.Fields = map[string]planner.FieldChange{"": set(`ed25519({ format = "jwk" })`)}
	return newPlan(41, db, stripe, jwt)
}

// manyChanges is a first apply: 3 apps in 4 environments with 25 secrets each.
func manyChanges() *planner.Plan {
	var changes []planner.Change
	for _, app := range []string{"checkout", "reports", "shop"} {
		for _, env := range []string{"dev", "production", "staging", "test"} {
			for i := range 25 {
				name := []string{"api_key", "db", "jwt", "session", "webhook_signing_key"}[i%5]
				c := change(planner.Create, planner.ReasonNew, app, env, fmt.Sprintf("%s_%d", name, i))
				c.Fields = map[string]planner.FieldChange{"": set("random_password({ length = 32 })")}
				changes = append(changes, c)
			}
		}
	}
	return newPlan(0, changes...)
}

// manyApps is one secret in each of 40 apps, which have nothing else in common.
func manyApps() *planner.Plan {
	var changes []planner.Change
	for i := range 40 {
		changes = append(changes, change(planner.Create, planner.ReasonNew, fmt.Sprintf("service-%02d", i), "production", "sentry_dsn"))
	}
	odd := change(planner.Create, planner.ReasonNew, "billing", "production", "vat_key")
	odd.Fields = map[string]planner.FieldChange{"": set("random_hex({ bytes = 16 })")}
	return newPlan(12, append(changes, odd)...)
}

func dangerousMix() *planner.Plan {
	conflict := change(planner.Conflict, planner.ReasonChangedOutside, "checkout", "production", "db")
	conflict.VersionFrom, conflict.Entry = "7", "6"
	a := conflict.Address.String()
	conflict.Detail = "changed outside by alice at 2026-11-20 11:58:03 UTC; `coffer accept '" + a +
		"'` keeps the live value, `coffer restore '" + a + "'` writes the recorded one again, `coffer rotate '" + a + "'` makes a new one"
	lost := change(planner.Conflict, planner.ReasonMarkLost, "checkout", "production", "api_key")
	lost.VersionFrom, lost.Entry = "3", "3"
	lost.Detail = "our mark is gone: somebody replaced it. `coffer accept '" + lost.Address.String() + "'` makes it ours again"
	plain := change(planner.Conflict, planner.ReasonChangedOutside, "reports", "dev", "token")
	plain.VersionFrom, plain.Entry = "8", "6"
	missing := change(planner.Conflict, planner.ReasonMissing, "checkout", "production", "encryption_key")
	missing.Entry = "1"
	missing.Detail = "gone, and rotation = never forbids a new value: put the old one back, or start anew with `coffer state rm '" +
		missing.Address.String() + "'`"
	unknown := change(planner.Unknown, planner.ReasonUnreachable, "reports", "warehouse", "rds")
	unknown.Location.Provider, unknown.Entry = "vault", "12"
	unknown.Detail = "vault: connection refused at http://127.0.0.1:8200; is it running?"
	gone := change(planner.Delete, planner.ReasonRemoved, "old", "dev", "token")
	gone.VersionFrom, gone.Entry, gone.Confirmed, gone.Range = "2", "2", true, nil
	again := change(planner.Create, planner.ReasonMissing, "checkout", "dev", "cache")
	again.Entry, again.NewValue, again.Generation = "4", true, 2
	again.Fields = map[string]planner.FieldChange{"": set("random_hex({ bytes = 16 })")}
	fields := change(planner.Update, planner.ReasonSourceChanged, "reports", "dev", "db")
	fields.VersionFrom, fields.Entry, fields.Generation = "9", "9", 5
	fields.Fields = map[string]planner.FieldChange{
		"host":  {Op: "set", Source: "public", Before: "db-1.internal", After: "db-2.internal"},
		"user":  {Op: "set", Source: "rotation_user()", Before: "reports_a", After: "reports_b"},
		"old":   {Op: "drop"},
		"cache": {Op: "set", Source: `"redis://${self.host}/1"`, Before: `"redis://${self.host}/0"`},
	}
	forget := change(planner.Forget, planner.ReasonRemoved, "old", "dev", "seen")
	forget.VersionFrom, forget.Entry, forget.Range = "2", "2", nil
	p := newPlan(30, plain, conflict, lost, missing, unknown, gone, again, fields, forget)
	p.Diagnostics = []planner.Diagnostic{{
		Severity: planner.SeverityWarning, Summary: "regenerate without a target",
		Detail:  "Nothing tells the program that uses this secret about a new value. Write a target, or restart the program yourself.",
		Address: &fields.Address, Range: &planner.Range{File: "reports.hcl", Line: 31, Column: 5},
	}}
	p.Checks = []planner.CheckState{
		{Name: "rotation_slo", Message: "A production secret is overdue for rotation.", Range: &planner.Range{File: "coffer.hcl", Line: 40}},
		{Name: "protected", Holds: true},
	}
	return p
}

func nothing() *planner.Plan { return newPlan(45) }

func replicas() *planner.Plan {
	var changes []planner.Change
	for _, store := range []string{"aws.eu", "gcp"} {
		c := change(planner.Update, planner.ReasonReplicaBehind, "checkout", "production", "db")
		c.Address = c.Address.At(store)
		c.Location.Provider, c.Role, c.ReadsValue = store, "replica", true
		c.VersionFrom, c.Entry = "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE", "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"
		c.GenerationLive, c.Generation = 3, 4
		changes = append(changes, c)
	}
	fresh := change(planner.Create, planner.ReasonNew, "checkout", "production", "jwt")
	fresh.Address = fresh.Address.At("gcp")
	fresh.Location.Provider, fresh.Role, fresh.ReadsValue, fresh.Generation = "gcp", "replica", true, 1
	return newPlan(8, append(changes, fresh)...)
}

func relocations() *planner.Plan {
	moved := change(planner.Relocate, planner.ReasonMoved, "checkout", "production", "db")
	moved.From = &planner.From{
		Address:  addr.Secret("shop", "production", "db"),
		Location: planner.Location{Provider: "sops", Kind: "secret", Path: "production/shop/db"}, Version: "3",
	}
	moved.VersionFrom, moved.Entry, moved.ReadsValue = "3", "3", true
	renamed := change(planner.Rename, planner.ReasonMoved, "checkout", "production", "cache")
	renamed.From = &planner.From{Address: addr.Secret("shop", "production", "cache"), Location: renamed.Location, Version: "5"}
	renamed.VersionFrom, renamed.Entry = "5", "5"
	return newPlan(8, moved, renamed)
}

func objects() *planner.Plan {
	c := planner.Change{
		Address:  addr.ProviderObject("sops", "recipients", "production/checkout.yaml"),
		Location: planner.Location{Provider: "sops", Kind: "recipients", Path: "production/checkout.yaml"},
		Action:   planner.Update, Reason: planner.ReasonSourceChanged, Role: "object",
		VersionFrom: "sha256:9f86d081884c7d659a2f", Entry: "sha256:9f86d081884c7d659a2f",
		Range:  &planner.Range{File: "coffer.hcl", Line: 9},
		Before: "age1alice\nage1bob\nage1ci\n", After: "age1alice\nage1carol\nage1ci\n",
	}
	long := c
	long.Address.Key, long.Location.Path = "production/shop.yaml", "production/shop.yaml"
	var lines []string
	for i := range 30 {
		lines = append(lines, fmt.Sprintf("path \"secret/data/shop/%02d\" {\n\tcapabilities = [\"read\"]\n}", i))
	}
	long.Before = strings.Join(lines, "\n") + "\n"
	long.After = strings.Replace(long.Before, "shop/14\" {\n\tcapabilities = [\"read\"]", "shop/14\" {\n\tcapabilities = [\"read\", \"list\"]", 1)
	return newPlan(12, c, long)
}

func notesOnly() *planner.Plan {
	p := newPlan(45)
	for i := range 42 {
		p.Notes = append(p.Notes, planner.Note{
			Address: addr.Secret(fmt.Sprintf("service-%02d", i), "production", "stripe"), Reason: planner.ReasonNotCompared,
			Text: fmt.Sprintf("STRIPE_KEY_%02d is not set here", i),
		})
	}
	p.Notes = append(p.Notes,
		planner.Note{Reason: planner.ReasonNotChecked, Text: "what belongs to no secret has no address"},
		planner.Note{
			Address: addr.Secret("checkout", "production", "db_admin"), Reason: planner.ReasonAwaitingValue,
			Text: `nobody has written it yet: coffer secret set 'app.checkout.secret.db_admin["production"]'`,
		},
		planner.Note{
			Address: addr.Secret("checkout", "dev", "db_admin"), Reason: planner.ReasonAwaitingValue,
			Text: `nobody has written it yet: coffer secret set 'app.checkout.secret.db_admin["dev"]'`,
		},
		planner.Note{Address: addr.Secret("checkout", "dev", "jwt"), Reason: planner.ReasonSourceChanged, Text: "waits for the next rotation"},
		planner.Note{Address: addr.Secret("checkout", "production", "jwt"), Reason: planner.ReasonSourceChanged, Text: "waits for the next rotation"},
	)
	return p
}

func outage() *planner.Plan {
	p := manyChanges()
	for i := range p.Changes {
		c := &p.Changes[i]
		c.Action, c.Reason, c.Location.Provider, c.Entry = planner.Unknown, planner.ReasonUnreachable, "vault", "3"
		c.Detail = "vault: connection refused at http://127.0.0.1:8200; is it running? Else: `coffer state rm '" + c.Address.String() + "'`"
		c.Fields = nil
	}
	p.Partial = true
	return p
}

// manyConflicts is what somebody's script may leave.
func manyConflicts() *planner.Plan {
	p := manyApps()
	for i := range p.Changes {
		c := &p.Changes[i]
		a := "'" + c.Address.String() + "'"
		c.Action, c.Reason, c.VersionFrom, c.Entry, c.Fields = planner.Conflict, planner.ReasonChangedOutside, "2", "1", nil
		c.Detail = "changed outside at 2026-11-20 11:58:03 UTC; `coffer accept " + a + "` keeps the live value, `coffer rotate " + a + "` makes a new one"
	}
	return p
}

func driftReport() *planner.DriftReport {
	at := func(kind planner.DriftKind, app, env, name string) planner.Drift {
		c := change(planner.Conflict, "", app, env, name)
		return planner.Drift{Address: c.Address, Location: c.Location, Kind: kind, Range: c.Range}
	}
	changed := at(planner.DriftChanged, "checkout", "production", "db")
	changed.VersionRecorded, changed.VersionLive, changed.ChangedAt, changed.ChangedBy = "6", "7", noon, "alice"
	other := at(planner.DriftChanged, "checkout", "dev", "db")
	other.VersionRecorded, other.VersionLive = "b0c4f1a29d3e77aa10c2d4", "c99d01aa29d3e77aa10c2d"
	other.Detail = "The ciphertext of this key is another one."
	gone := at(planner.DriftMissing, "reports", "dev", "token")
	gone.VersionRecorded = "4"
	unknown := at(planner.DriftUnknown, "reports", "production", "token")
	unknown.VersionRecorded, unknown.Detail = "4", "The file was encrypted anew; coffer drift -verify-values tells."
	r := emptyDrift()
	r.Drift = []planner.Drift{changed, other, gone, unknown}
	r.Unchanged = 42
	return r
}

func emptyDrift() *planner.DriftReport {
	return &planner.DriftReport{
		FormatVersion: planner.FormatVersion, Project: "payments-7c1f", Lineage: "5f0c", Serial: 7, CreatedAt: noon, Unchanged: 45,
	}
}
