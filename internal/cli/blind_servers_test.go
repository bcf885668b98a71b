//go:build servers

package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// A token with exactly `permissions -phase plan` sees everything of 1,000
// secrets and their readers, in plan and in drift. The server's own audit log
// holds no request for a value, and the token can write nothing.
func TestBlindPlanOfAThousand(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{Storage: vaulttest.File})
	server.Must(http.MethodPost, "sys/auth/approle", map[string]any{"type": "approle"})
	mount := server.KV()
	dir := t.TempDir()
	writeThousandOnVault(t, dir, mount)
	coffer := func(token string, want int, args ...string) string {
		t.Helper()
		var out, log bytes.Buffer
		environ := Environ{
			Vars: map[string]string{"VAULT_ADDR": server.Address, "VAULT_TOKEN": token, "HOME": dir}, Now: time.Now, Random: rand.Reader,
		}
		got := Main(context.Background(), append([]string{"coffer", "-chdir", dir}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &log}, environ)
		if got != want {
			t.Fatalf("coffer %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, want, last(out.String()), last(log.String()))
		}
		return out.String()
	}
	coffer(server.RootToken, ExitDone, "apply", "-auto-approve")
	server.Policy("plan", coffer("", ExitDone, "permissions", "-phase", "plan"))
	blind := server.TokenWith("plan")
	before := len(server.AuditRequests())

	plan := coffer(blind, ExitDone, "plan", "-detailed-exitcode")
	if !strings.Contains(plan, "No changes. 1000 secrets unchanged") {
		t.Errorf("the plan says\n%s", last(plan))
	}
	// Ten values, one policy and one grant change outside.
	for i := range 10 {
		server.Must(http.MethodPost, fmt.Sprintf("%s/data/blind/app3/dev/s%d", mount, i), map[string]any{"data": map[string]any{"value": "by hand"}})
	}
	by := len(server.AuditRequests())
	drift := coffer(blind, ExitChanges, "drift")
	if !strings.Contains(drift, "Drift: 10 changed") {
		t.Errorf("the drift says\n%s", last(drift))
	}
	for i, r := range server.AuditRequests()[before:] {
		byHand := before+i >= by-10 && before+i < by
		if !byHand && strings.Contains(r.Path, "/data/") {
			t.Errorf("a plan or drift asked for %s (%s)", r.Path, r.Operation)
		}
	}
	for _, path := range []string{"data", "metadata", "delete", "undelete", "destroy"} {
		status, _ := server.Do(http.MethodPost, mount+"/"+path+"/blind/app0/dev/s0", blind, map[string]any{"data": map[string]any{"value": "x"}, "versions": []int{1}})
		if status != http.StatusForbidden {
			t.Errorf("the plan's token may post to %s: status %d", path, status)
		}
	}
	if status, _ := server.Do(http.MethodGet, mount+"/data/blind/app0/dev/s0", blind, nil); status != http.StatusForbidden {
		t.Errorf("the plan's token may read a value: status %d", status)
	}
}

func last(text string) string { return text[max(0, len(text)-3000):] }

func writeThousandOnVault(t *testing.T, dir, mount string) {
	t.Helper()
	var hcl strings.Builder
	fmt.Fprintf(&hcl, "coffer {\n  project = \"blind-1a2b3c4d\"\n}\nprovider \"vault\" {\n  mount  = %q\n  prefix = \"blind\"\n}\nenvironment \"dev\" {\n  store = vault\n}\n", mount)
	for app := range 10 {
		fmt.Fprintf(&hcl, "app \"app%d\" {\n  environments = [\"dev\"]\n  policy \"run\" {\n    readers = [vault_approle(\"app%d\")]\n  }\n", app, app)
		for s := range 100 {
			fmt.Fprintf(&hcl, "  secret \"s%d\" {\n    value = random_hex()\n  }\n", s)
		}
		hcl.WriteString("}\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "coffer.hcl"), []byte(hcl.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
