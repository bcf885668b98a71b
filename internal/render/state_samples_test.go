package render_test

import (
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state"
)

func entries() []*state.Entry {
	entry := func(app, env, name, version string) *state.Entry {
		return &state.Entry{
			Address:  addr.Secret(app, env, name),
			Location: addr.Location{Provider: "sops:/srv/payments/secrets", Kind: "secret", Path: env + "/" + app + "/" + name},
			Store:    "sops", Role: state.RolePrimary, Version: version, Created: noon, Generation: 1,
			Class: state.ClassGenerated, Op: "op-01", RotatedAt: noon,
		}
	}
	db := entry("checkout", "production", "db", "b0c4f1a29d3e77aa10c2d4")
	db.Generation, db.Protect, db.Description = 4, true, "The database of the checkout."
	db.Labels = map[string]string{"team": "payments"}
	db.Inputs = map[string]int{`app.checkout.secret.admin["production"]`: 2}
	db.Fields = map[string]state.Field{
		"password": {Source: "random_password({ length = 32 })"},
		"stripe":   {Source: `from_env("STRIPE_KEY")`, Fingerprint: "0011223344556677:FINGERPRINT"},
	}
	jwt := entry("checkout", "dev", "jwt", "7")
	jwt.Pending = &state.Intent{Op: "op-02", Action: "rotate", Base: "7", Started: noon.Add(time.Minute), Next: jwt}
	manual := entry("checkout", "production", "db_admin", "")
	manual.Class, manual.AcceptsOutside, manual.Created, manual.RotatedAt = state.ClassManual, true, time.Time{}, time.Time{}
	recipients := &state.Entry{
		Address:  addr.ProviderObject("sops", "recipients", "production/checkout.yaml"),
		Location: addr.Location{Provider: "sops:/srv/payments/secrets", Kind: "recipients", Path: "production/checkout.yaml"},
		Store:    "sops", Role: state.RoleObject, Version: "3", Document: "age1alice\nage1ci\n",
	}
	return []*state.Entry{db, jwt, manual, recipients}
}

func snapshot() *state.Snapshot {
	s := &state.Snapshot{
		Project: "payments-7c1f", Lineage: "5f0c", Serial: 7,
		Providers: map[string]string{"sops": "sops:/srv/payments/secrets"},
		Entries:   map[addr.Location]*state.Entry{},
		Holder:    &state.LockInfo{Operation: "apply", Who: "alice@build-1", Since: noon},
	}
	for _, e := range entries() {
		s.Entries[e.Location] = e
	}
	return s
}
