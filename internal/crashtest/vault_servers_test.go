//go:build unix && servers

package crashtest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// onVault is a configuration whose store is one prefix of a mount.
func onVault(server *vaulttest.Server, mount, prefix, blocks string) string {
	return settings + fmt.Sprintf(`
provider "vault" {
  address = %q
  mount   = %q
  prefix  = %q
  token   = from_env("VAULT_TOKEN")
}
environment "dev" {
  store = vault
}
`, server.Address, mount, prefix) + shopApp(blocks)
}

const linkBlock = "  secret \"link\" {\n    value = \"x-${secret.key}\"\n  }\n"

// TestEveryPointOnVault kills the program at every point of an apply on a real
// server, and runs it again: the plan is empty, and every secret was written
// once.
func TestEveryPointOnVault(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	mount, prefixes, total := server.KV(), 0, 0
	labelled := strings.Replace(keyBlock, "  }\n", "    labels = { team = \"a\" }\n  }\n", 1)
	for _, s := range []struct {
		name, start, blocks string
		command             []string
		key, link           int // versions at the end
	}{
		{name: "create", blocks: keyBlock + linkBlock, command: apply, key: 1, link: 1},
		{name: "rotate", start: keyBlock + linkBlock, blocks: keyBlock + linkBlock, command: rotating, key: 2, link: 2},
		{name: "relabel", start: keyBlock + linkBlock, blocks: labelled + linkBlock, command: apply, key: 1, link: 1},
	} {
		t.Run(s.name, func(t *testing.T) {
			for at := 1; ; at++ {
				prefixes++
				prefix := fmt.Sprintf("p%d", prefixes)
				f := newFolder(t, map[string]string{"VAULT_TOKEN": server.RootToken})
				if s.start != "" {
					f.configure(t, onVault(server, mount, prefix, s.start))
					if r := f.run(apply...); r.code != 0 {
						t.Fatalf("first apply: %s", r)
					}
				}
				f.configure(t, onVault(server, mount, prefix, s.blocks))
				r := f.start(t, strconv.Itoa(at), s.command)
				if !r.killed {
					if r.code != 0 || r.passed >= at {
						t.Fatalf("point %d: %s", at, r)
					}
					if at < 20 {
						t.Errorf("only %d points", at-1)
					}
					return
				}
				total++
				if again := f.run(apply...); again.code != 0 {
					t.Fatalf("killed at point %d, %s: %s", at, r.at, again)
				}
				changes, orphans, err := f.planned()
				if err != nil || len(changes)+len(orphans) > 0 {
					t.Fatalf("killed at point %d, %s: %v %v %v", at, r.at, changes, orphans, err)
				}
				must(t, f.settled())
				// A command that was killed before its first effect asked for nothing.
				for name, want := range map[string]int{"key": s.key, "link": s.link} {
					data := server.Must(http.MethodGet, mount+"/metadata/"+prefix+"/shop/dev/"+name, nil)
					if got := int(data["current_version"].(float64)); got > want || got < want && s.start == "" {
						t.Fatalf("killed at point %d, %s: %s has version %d, want %d", at, r.at, name, got, want)
					}
				}
			}
		})
	}
	t.Logf("%d points", total)
}
