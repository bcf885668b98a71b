package render_test

import (
	"fmt"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// recipients is one recipient less in each of twelve files, one more in
// another, and the first list of two.
func recipients() *planner.Plan {
	of := func(file, before, after string) planner.Change {
		c := objects().Changes[0]
		c.Address.Key, c.Location.Path, c.Before, c.After = file, file, before, after
		c.Reason = planner.ReasonMetadataChanged
		return c
	}
	var changes []planner.Change
	for i := range 12 {
		changes = append(changes, of(fmt.Sprintf("production/s%d.yaml", i), "age1alice\nage1bob\n", "age1alice\n"))
	}
	changes = append(changes, of("dev/s1.yaml", "age1alice\n", "age1alice\nage1carol\n"))
	for _, file := range []string{"test/a.yaml", "test/b.yaml"} {
		c := of(file, "", "age1alice\n")
		c.Action, c.Reason, c.VersionFrom, c.Entry = planner.Create, planner.ReasonNew, "", ""
		changes = append(changes, c)
	}
	return newPlan(12, changes...)
}

// sources is what looks alike by name only: as many supplied secrets as
// generated ones, and one with a path of its own.
func sources() *planner.Plan {
	var changes []planner.Change
	for i := range 7 {
		for _, env := range []string{"dev", "production"} {
			made := change(planner.Create, planner.ReasonNew, "mastodon", env, fmt.Sprintf("key_%d", i+5))
			made.Fields = map[string]planner.FieldChange{"": set("random_hex({ bytes = 64 })")}
			given := change(planner.Create, planner.ReasonNew, "mastodon", env, fmt.Sprintf("smtp_%d", i))
			given.Fields = map[string]planner.FieldChange{"login": set(`from_env("SMTP_LOGIN")`), "password": set(`from_env("SMTP_PASSWORD")`)}
			changes = append(changes, made, given)
		}
	}
	for _, env := range []string{"dev", "production"} {
		db := change(planner.Create, planner.ReasonNew, "mastodon", env, "db")
		db.Fields = map[string]planner.FieldChange{
			"password": set("random_password()"), "url": set(`"postgres://mastodon:${self.password}@localhost"`),
		}
		changes = append(changes, db)
	}
	odd := change(planner.Create, planner.ReasonNew, "mastodon", "dev", "key_1")
	odd.Fields, odd.Location.Path = changes[0].Fields, "shared/key"
	return newPlan(0, append(changes, odd)...)
}

// renamed is a secret under a new name in two environments, and in another app
// two that nobody can match.
func renamed() *planner.Plan {
	var changes []planner.Change
	for _, env := range []string{"dev", "production"} {
		gone := change(planner.Delete, planner.ReasonRemoved, "shop", env, "z")
		gone.VersionFrom, gone.Entry, gone.Range = "2", "2", nil
		changes = append(changes, gone, change(planner.Create, planner.ReasonNew, "shop", env, "zz"))
	}
	gone := change(planner.Delete, planner.ReasonRemoved, "till", "dev", "a")
	gone.VersionFrom, gone.Entry, gone.Range = "2", "2", nil
	changes = append(changes, gone, change(planner.Create, planner.ReasonNew, "till", "dev", "b"),
		change(planner.Create, planner.ReasonNew, "till", "dev", "c"))
	return newPlan(9, changes...)
}

// protected is a plan that nobody may apply, and files that nobody can read.
func protected() *planner.Plan {
	var changes []planner.Change
	for _, name := range []string{"db", "jwt"} {
		c := change(planner.Unknown, planner.ReasonUnreachable, "shop", "dev", name)
		c.Entry, c.Detail = "3", "sops inspect dev/shop/"+name+": secrets/dev/shop.yaml: git left its markers in line 12"
		changes = append(changes, c)
	}
	list := objects().Changes[0]
	list.Action, list.Reason, list.Before = planner.Unknown, planner.ReasonUnreachable, ""
	list.Address.Key, list.Location.Path = "dev/shop.yaml", "dev/shop.yaml"
	list.Detail = "sops inspect objects dev/shop.yaml: secrets/dev/shop.yaml: git left its markers in line 12"
	p := newPlan(9, append(changes, list)...)
	for _, i := range []int{1, 10, 2} {
		a := addr.Secret("old", "production", fmt.Sprintf("s%d", i))
		p.Diagnostics = append(p.Diagnostics, planner.Diagnostic{
			Severity: planner.SeverityError, Summary: a.String() + " is protected", Address: &a,
			Detail: "It would be deleted, because the configuration no longer has it. Put it back, or apply protect = false first.",
		})
	}
	return p
}
