//go:build peers

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tofu measures OpenTofu on the same secrets, where TOFU names the program and
// TOFU_PLUGIN_DIR a folder with its vault and random providers.
func (b *bench) tofu() []row {
	program, plugins := os.Getenv("TOFU"), os.Getenv("TOFU_PLUGIN_DIR")
	if program == "" || plugins == "" {
		fmt.Println("TOFU and TOFU_PLUGIN_DIR are not set: OpenTofu is not in the table")
		return nil
	}
	dir := b.tofuWorkspace(b.server.KV())
	b.program(dir, b.server.Address, 0, program, "init", "-plugin-dir="+plugins, "-no-color")
	p := newProxy(b.t, b.server.Address, false)
	apply, plan := row{name: "OpenTofu apply, all new"}, row{name: "OpenTofu plan, no changes"}
	apply.add(b.program(dir, p.address, 0, program, "apply", "-auto-approve", "-no-color"))
	apply.requests = p.count()
	p.reset()
	plan.add(b.program(dir, p.address, 0, program, "plan", "-detailed-exitcode", "-no-color"))
	plan.requests = p.count()
	return []row{apply, plan}
}

func (b *bench) tofuWorkspace(mount string) string {
	dir := b.t.TempDir()
	var text strings.Builder
	text.WriteString("terraform {\n  required_providers {\n    vault  = { source = \"hashicorp/vault\" }\n    random = { source = \"hashicorp/random\" }\n  }\n}\nprovider \"vault\" {}\n")
	fmt.Fprintf(&text, "resource \"random_password\" \"s\" {\n  count  = %d\n  length = 32\n}\nresource \"vault_kv_secret_v2\" \"s\" {\n  count = %d\n  mount = %q\n  name  = \"peers/app${floor(count.index / 100)}/dev/s${count.index %% 100}\"\n  data_json = jsonencode({ value = random_password.s[count.index].result })\n}\n", b.size, b.size, mount)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text.String()), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return dir
}
