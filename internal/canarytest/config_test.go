//go:build unix

package canarytest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferhq/coffer/internal/dotenv"
	"github.com/cofferhq/coffer/providers/providertest/canary"
)

// valueSet is the canaries in the order in which the secrets have them; it is
// turned by one for each new version of the supplied values.
type valueSet struct{ list []canary.Canary }

func (s valueSet) at(i, turn int) canary.Canary { return s.list[(i+turn)%len(s.list)] }

// fitsEnv reports whether a value can be in an environment variable or a .env
// file in every turn.
func fitsEnv(v []byte) bool { return utf8.Valid(v) && !bytes.ContainsRune(v, 0) }

// texts are the canaries that fit an environment variable.
func (s valueSet) texts() valueSet {
	return valueSet{slices.DeleteFunc(slices.Clone(s.list), func(c canary.Canary) bool { return !fitsEnv(c.Value) })}
}

// generators are the sources of generated secrets, by the secret's name.
func generators() map[string]string {
	return map[string]string{
		"gen_password":   `random_password({ length = 40 })`,
		"gen_uuid":       `random_uuid()`,
		"gen_hex":        `random_hex({ bytes = 24 })`,
		"gen_b64":        `random_base64({ bytes = 33 })`,
		"gen_bytes":      `random_bytes({ bytes = 48 })`,
		"gen_passphrase": `random_passphrase({ words = 6 })`,
		"gen_ed25519":    `ed25519({ format = "jwk" })`,
		"gen_ecdsa":      `ecdsa({ format = "raw" })`,
		"gen_ssh":        `ssh_key()`,
		"gen_cert":       `self_signed_cert({ common_name = "shop.example" })`,
	}
}

// derived are fields made of one generated and one supplied value.
func derived() []string {
	return []string{
		`url = "postgres://shop:${urlencode(self.password)}@db/shop"`,
		`hash = bcrypt(self.password, { cost = 10 })`,
		`htpasswd = htpasswd("shop", self.password, { cost = 10 })`,
		`encoded = base64encode(secret.file_0)`,
		`hex = hexencode(secret.file_0)`,
		`joined = join(":", [self.password, secret.env_0])`,
		`json = jsonencode({ user = "shop", password = self.password })`,
		`sum = sha256(secret.file_0)`,
		`trimmed = trimspace(secret.env_0)`,
	}
}

// isDense tells values whose every piece is random from those whose pieces also
// stand elsewhere: in hex digests by chance, and in all keys of one form.
func isDense(name string) bool {
	return slices.Contains([]string{"gen_password", "gen_b64", "gen_bytes", "gen_ecdsa", "made.password"}, name)
}

// settings are the blocks that every configuration here begins with.
const settings = `
coffer {
  project = "canary-1"
  audit {
    path = "audit.log"
  }
}
provider "sops" {
  path = "secrets"
}
provider "sops" {
  alias = "copy"
  path  = "copies"
}
environment "dev" {
  store    = sops
  replicas = [sops.copy]
}
`

// shop is the configuration with every role of a value.
func shop(values valueSet, manual int) string {
	var b strings.Builder
	b.WriteString(settings + "app \"shop\" {\n  environments = [\"dev\"]\n")
	one := func(name, source string) {
		fmt.Fprintf(&b, "  secret %q {\n    value = %s\n  }\n", name, source)
	}
	for i := range values.list {
		one(fmt.Sprintf("file_%d", i), fmt.Sprintf(`from_file("inputs/file_%d")`, i))
		one(fmt.Sprintf("sops_%d", i), fmt.Sprintf(`from_sops("inputs/source.yaml", %q)`, sopsKey(fmt.Sprintf("file_%d", i), values.at(i, 0).Value)))
		one(fmt.Sprintf("tmpl_%d", i), fmt.Sprintf(`"before-${secret.file_%d}-after"`, i))
	}
	for i := range values.texts().list {
		one(fmt.Sprintf("env_%d", i), fmt.Sprintf(`from_env("CANARY_%d")`, i))
		one(fmt.Sprintf("dot_%d", i), fmt.Sprintf(`from_dotenv("inputs/vars.env", "CANARY_%d")`, i))
	}
	for i := range manual {
		one(fmt.Sprintf("manual_%d", i), "manual()")
	}
	for name, source := range generators() {
		one(name, source)
	}
	b.WriteString("  secret \"made\" {\n    fields = {\n      password = random_password()\n      " + strings.Join(derived(), "\n      ") + "\n    }\n  }\n")
	b.WriteString("  env_file \"web\" {\n    provider = sops\n    path     = \"web.env\"\n    data = {\n      FILE      = secret.tmpl_0\n      GENERATED = secret.gen_password\n      LEVEL     = \"info\"\n    }\n  }\n}\n")
	return b.String()
}

// sopsKey is the key of a value in a SOPS file, where bytes that are no text
// have another.
func sopsKey(name string, value []byte) string {
	if fitsEnv(value) {
		return name
	}
	return name + "_base64"
}

// supply gives all supplied values, turned to their version turn.
func (w *world) supply(values valueSet, turn int) {
	w.t.Helper()
	for i := range values.list {
		w.plant(fmt.Sprintf("inputs/file_%d", i), values.at(i, turn).Value)
	}
	var vars bytes.Buffer
	for i := range values.texts().list {
		v := values.texts().at(i, turn).Value
		w.env[fmt.Sprintf("CANARY_%d", i)] = string(v)
		fmt.Fprintf(&vars, "CANARY_%d=%s\n", i, dotenv.Quote(v))
	}
	w.plant("inputs/vars.env", vars.Bytes())
}
