//go:build unix

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
)

const settings = `
coffer {
  project = "crash-1"
}
`

// audited is a configuration with an audit log.
func audited(hcl string) string {
	return strings.Replace(hcl, settings, strings.Replace(settings, "}\n", "  audit {\n    path = \"audit.log\"\n  }\n}\n", 1), 1)
}

const plainStore = `
provider "sops" {
  recipients = ["` + alice + `"]
}
environment "dev" {
  store = sops
}
`

const keyBlock = `
  secret "key" {
    value = random_hex({ bytes = 16 })
  }
`

const tokenBlock = `
  secret "token" {
    fields = {
      user     = from_env("SHOP_USER")
      password = random_password({ length = 24 })
      dsn      = "db://${self.user}:${urlencode(self.password)}@db"
    }
  }
`

const mailApp = `
app "mail" {
  environments = ["dev"]
  secret "smtp" {
    value = from_env("SMTP")
  }
  secret "url" {
    value = "smtp://${app.shop.secret.key}:${secret.smtp}@mail"
  }
  env_file "web" {
    provider = sops
    path     = "${each.environment}.env"
    data = {
      KEY   = app.shop.secret.key
      URL   = secret.url
      LEVEL = "info"
    }
  }
}
`

func shopApp(blocks ...string) string {
	return "app \"shop\" {\n  environments = [\"dev\"]\n" + strings.Join(blocks, "") + "}\n"
}

// base is two files, values of every class, a template across the files, and
// an environment file.
const (
	key, token, smtp, url, env = "secrets/dev/shop/key", "secrets/dev/shop/token", "secrets/dev/mail/smtp", "secrets/dev/mail/url", "secrets/dev.env"
)

func base() string { return settings + plainStore + shopApp(keyBlock, tokenBlock) + mailApp }

// small is one file with a value and one made of it.
func small() string {
	return settings + plainStore + shopApp(keyBlock, "  secret \"link\" {\n    value = \"x-${secret.key}\"\n  }\n")
}

const link = "secrets/dev/shop/link"

func made(v map[string]string) error {
	if v[key] == "" || v[link] != "x-"+v[key] {
		return errors.New("the link is not made of the key")
	}
	return nil
}

var rotating = []string{"rotate", "app.shop.secret.key", "-auto-approve"}

// agree makes sure that everything is made of what it is made of, in the base
// configuration.
func agree(v map[string]string) error { return agreeOn(v, key) }

func agreeOn(v map[string]string, key string) error {
	want := map[string]string{
		url:          "smtp://" + v[key] + ":" + v[smtp] + "@mail",
		env + "#KEY": v[key], env + "#URL": v[url], env + "#LEVEL": "info",
	}
	for name, text := range want {
		if v[name] != text {
			return fmt.Errorf("%s is %q and should be %q", name, v[name], text)
		}
	}
	if dsn := v[token+"#dsn"]; !strings.HasPrefix(dsn, "db://"+v[token+"#user"]+":") {
		return fmt.Errorf("the dsn %q is of another user", dsn)
	}
	return nil
}

// holds adds values that must be there to a check.
func holds(want map[string]string, check func(map[string]string) error) func(map[string]string) error {
	return func(v map[string]string) error {
		for name, text := range want {
			if v[name] != text {
				return fmt.Errorf("%s is %q and should be %q", name, v[name], text)
			}
		}
		return check(v)
	}
}

func same(a, b string) func(map[string]string) error {
	return func(v map[string]string) error {
		if v[a] != v[b] {
			return fmt.Errorf("%s and %s differ", a, b)
		}
		return nil
	}
}

func both(checks ...func(map[string]string) error) func(map[string]string) error {
	return func(v map[string]string) error {
		var all []error
		for _, check := range checks {
			all = append(all, check(v))
		}
		return errors.Join(all...)
	}
}

func scenarios() []*scenario {
	all := writing()
	all = append(all, moving()...)
	all = append(all, sharing()...)
	return append(all, byPerson()...)
}

// writing are the scenarios that make, change and delete values.
func writing() []*scenario {
	return []*scenario{
		{name: "create", hcl: audited(base()), check: agree, least: 100},
		{name: "create, and in the recovery", hcl: small(), check: made, nested: true, least: 50},
		{
			name: "rotate, and in the recovery", start: small(), command: rotating, replaces: []string{key, link},
			check: made, nested: true, least: 50,
		},
		{
			name: "update one field beside others", start: base(), env: map[string]string{"SHOP_USER": "other"},
			replaces: []string{token + "#user", token + "#dsn"}, least: 50,
			check: holds(map[string]string{token + "#user": "other"}, agree),
		},
		{
			name: "a field is added", start: base(),
			hcl:   strings.Replace(base(), "      user ", "      pepper = random_hex({ bytes = 8 })\n      user ", 1),
			check: agree, least: 50,
		},
		{
			name: "a supplied value changed", start: base(), env: map[string]string{"SMTP": "second"},
			replaces: []string{smtp, url, env + "#URL"}, least: 60,
			check: holds(map[string]string{smtp: "second"}, agree),
		},
		{
			name: "rotate", start: audited(base()), command: rotating,
			replaces: []string{key, url, env}, check: agree, least: 50,
		},
		{
			name: "delete", start: audited(base()),
			hcl: audited(settings+plainStore+shopApp(keyBlock)) + `
removed {
  from = app.mail
  lifecycle {
    destroy = true
  }
}
removed {
  from = app.shop.secret.token
  lifecycle {
    destroy = true
  }
}
`, removes: []string{token, smtp, url, env}, least: 60,
		},
		{
			name: "forget", start: base(), hcl: settings + plainStore + shopApp(keyBlock, tokenBlock) + `
removed {
  from = app.mail
  lifecycle {
    destroy = false
  }
}
`, forgets: true, least: 20,
		},
		{
			name: "env_file output", start: base(),
			hcl:   strings.Replace(base(), `LEVEL = "info"`, "LEVEL = \"info\"\n      USER = app.shop.secret.token.user", 1),
			check: holds(map[string]string{env + "#USER": "shop"}, agree), least: 50,
		},
	}
}

// moving are the scenarios in which a place or a name changes.
func moving() []*scenario {
	return []*scenario{
		{
			name: "relocate", start: base(),
			hcl:   strings.Replace(base(), keyBlock, strings.Replace(keyBlock, "  }\n", "    path  = \"dev/other/key\"\n  }\n", 1), 1),
			moves: map[string]string{key: "secrets/dev/other/key"}, left: 1, least: 50,
			check: func(v map[string]string) error { return agreeOn(v, "secrets/dev/other/key") },
		},
		{
			name: "rename", start: base(), hcl: renamed() + movedKey, check: agree, least: 20,
		},
		{
			name: "state mv", start: base(), hcl: renamed(),
			command: []string{"state", "mv", "app.shop.secret.key", "app.shop.secret.master"},
			again:   []again{{[]string{"state", "mv", "app.shop.secret.key", "app.shop.secret.master"}, true}, {apply, false}},
			check:   agree, least: 20,
		},
		{
			name: "state rm", start: base(), command: []string{"state", "rm", "app.shop.secret.key"},
			again: []again{{[]string{"state", "rm", "app.shop.secret.key"}, true}, {apply, false}}, check: agree, least: 20,
		},
	}
}

const movedKey = `
moved {
  from = app.shop.secret.key
  to   = app.shop.secret.master
}
`

// renamed is the base with another name at the same place.
func renamed() string {
	hcl := strings.Replace(base(), "  secret \"key\" {\n", "  secret \"master\" {\n    path  = \"dev/shop/key\"\n", 1)
	return strings.ReplaceAll(hcl, "app.shop.secret.key", "app.shop.secret.master")
}

// sharing are the scenarios about who can read and where copies are.
func sharing() []*scenario {
	two := strings.Replace(base(), `["`+alice+`"]`, `["`+alice+`", "`+bob+`"]`, 1)
	copies := strings.Replace(base(), "environment \"dev\" {\n  store = sops\n", `
provider "sops" {
  alias      = "copies"
  path       = "copies"
  recipients = ["`+alice+`"]
}
environment "dev" {
  store    = sops
  replicas = [sops.copies]
`, 1)
	copied := both(same(key, "copies/dev/shop/key"), same(token+"#password", "copies/dev/shop/token#password"),
		same(smtp, "copies/dev/mail/smtp"), same(url, "copies/dev/mail/url"), agree)
	return []*scenario{
		{name: "a recipient is added", start: base(), hcl: two, check: agree, least: 60},
		{name: "a recipient is removed", start: two, hcl: base(), check: agree, least: 60},
		{
			name: "a recipient is removed while values and names change", start: two,
			hcl: renamed() + movedKey, env: map[string]string{"SMTP": "second"}, replaces: []string{smtp, url, env + "#URL"},
			check: holds(map[string]string{smtp: "second"}, agree), least: 60,
		},
		{name: "replica fan-out", start: base(), hcl: copies, check: copied, least: 60},
		{name: "create with copies", hcl: copies, check: copied, least: 80},
		{
			name: "rotate with copies", start: copies, command: rotating,
			replaces: []string{key, url, env, "copies/dev/shop/key", "copies/dev/mail/url"}, check: copied, least: 60,
		},
		{
			name: "restore from a copy", start: audited(copies), byHand: func(t *testing.T, f *folder) { f.remove(t, "dev/shop/key") },
			command: []string{"restore", "app.shop.secret.key", "-from", "sops.copies", "-auto-approve"},
			again:   []again{{[]string{"restore", "app.shop.secret.key", "-from", "sops.copies", "-auto-approve"}, true}, {apply, false}},
			check:   copied, least: 40,
		},
	}
}

// byPerson are the scenarios in which a person says what shall be.
func byPerson() []*scenario {
	manual := settings + plainStore + shopApp(keyBlock, tokenBlock, "  secret \"stripe\" {\n    value = manual()\n  }\n") + mailApp
	imported := settings + plainStore + shopApp(keyBlock, tokenBlock, "  secret \"old\" {\n    value = random_hex({ bytes = 8 })\n  }\n") + mailApp
	importing := []string{"import", `app.shop.secret.old["dev"]`, "dev/shop/old", "-auto-approve"}
	accepting := []string{"accept", "app.shop.secret.key", "-auto-approve"}
	setting := []string{"secret", "set", `app.shop.secret.stripe["dev"]`}
	return []*scenario{
		{
			name: "import", start: base(), byHand: func(t *testing.T, f *folder) { f.edit(t, "dev/shop/old", "old value") },
			hcl: imported, command: importing, again: []again{{importing, true}, {apply, false}}, least: 20,
			check: holds(map[string]string{"secrets/dev/shop/old": "old value"}, agree),
		},
		{
			name: "import block", start: base(), byHand: func(t *testing.T, f *folder) { f.edit(t, "dev/shop/old", "old value") },
			hcl: imported + "import {\n  to = app.shop.secret.old[\"dev\"]\n  id = \"dev/shop/old\"\n}\n", least: 20,
			check: holds(map[string]string{"secrets/dev/shop/old": "old value"}, agree),
		},
		{
			name: "accept", start: base(), byHand: func(t *testing.T, f *folder) { f.edit(t, "dev/shop/key", "by hand") },
			command: accepting, again: []again{{accepting, true}, {apply, false}}, replaces: []string{url, env}, least: 20,
			check: holds(map[string]string{key: "by hand"}, agree),
		},
		{
			name: "secret set", start: manual, command: setting, again: []again{{setting, false}, {apply, false}},
			byHand: func(_ *testing.T, f *folder) { f.stdin = "supplied" },
			check:  holds(map[string]string{"secrets/dev/shop/stripe": "supplied"}, agree), least: 40,
		},
		{
			name: "lock break", start: base(), command: []string{"state", "unlock", holderID},
			again: []again{{[]string{"state", "unlock", holderID}, true}, {apply, false}}, during: hold,
			replaces: []string{key, url, env}, check: agree, least: 10, // a rotation that hung is resumed
		},
	}
}

const holderID = "42-c0ffee"

// hold is an apply that hangs: it has the lock and has announced a change.
func hold(t *testing.T, f *folder) func() {
	t.Helper()
	ctx := context.Background()
	session, err := f.state().Lock(ctx, state.LockInfo{ID: holderID, Operation: "apply", Who: "bob@build", PID: 42, Since: time.Now()})
	must(t, err)
	s, err := session.Load(ctx)
	must(t, err)
	for loc, e := range s.Entries {
		if e.Location.Path == "dev/shop/key" {
			must(t, session.Append(ctx, state.Record{Kind: state.RecordIntent, Location: loc, Intent: &state.Intent{
				Op: "op-hanging", Action: "rotate", Base: e.Version, Started: time.Now(), Next: e.Clone(),
			}}))
		}
	}
	return func() { must(t, session.Unlock(ctx)) }
}
