package render_test

import (
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// review is a plan with something of everything, as a reviewer may get it.
func review() *planner.Plan {
	p := dangerousMix()
	p.Changes = append(p.Changes, threeChanges().Changes...)
	p.Changes = append(p.Changes, relocations().Changes...)
	access := accessObjects().Changes
	access[0].Secrets = []addr.Address{
		addr.Secret("checkout", "production", "db"), addr.Secret("checkout", "production", "jwt"), addr.Secret("checkout", "production", "stripe"),
	}
	p.Changes = append(p.Changes, access...)
	recipients := objects().Changes[0]
	recipients.Secrets = []addr.Address{addr.Secret("checkout", "production", "stripe"), addr.Secret("checkout", "production", "webhook")}
	p.Changes = append(p.Changes, recipients)
	jwt := addr.Secret("reports", "production", "signing_key")
	late := addr.Secret("shop", "production", "smtp")
	p.Notes = []planner.Note{
		{Address: jwt, Reason: planner.ReasonRotationDue, Text: "due since 2026-11-19, made 2026-08-21, every 90d, waits for Sat 02:00-04:00 UTC"},
		{Address: late, Reason: planner.ReasonRotationDue, Text: "due since 2026-10-02, made 2026-04-05, every 180d: its value comes from a person"},
		{Address: addr.Secret("shop", "dev", "db_admin"), Reason: planner.ReasonAwaitingValue, Text: "nobody has written it yet: `coffer secret set 'app.shop.secret.db_admin[\"dev\"]'`"},
	}
	p.Providers = map[string]string{"sops": "sops:payments-7c1f", "vault": "vault:5f0c/-/secret"}
	return p
}
