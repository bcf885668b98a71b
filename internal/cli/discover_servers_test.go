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

// 500 secrets that a mount has already are found by one scan, shown on one page
// and adopted by one write of a mark each. The server's own audit log holds no
// request for a value.
func TestDiscoverFiveHundred(t *testing.T) {
	const many = 500
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	for i := range many {
		server.Must(http.MethodPost, fmt.Sprintf("%s/data/found/app%d/dev/s%d", mount, i%10, i/10), map[string]any{"data": map[string]any{"value": "x"}})
	}
	dir := t.TempDir()
	hcl := fmt.Sprintf("coffer {\n  project = \"found-1a2b3c4d\"\n}\nprovider \"vault\" {\n  mount  = %q\n  prefix = \"found\"\n}\nenvironment \"dev\" {\n  store = vault\n}\n", mount)
	if err := os.WriteFile(filepath.Join(dir, "coffer.hcl"), []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := map[string]int{} // what the last command asked of the mount
	coffer := func(args ...string) string {
		t.Helper()
		var out, log bytes.Buffer
		environ := Environ{
			Vars: map[string]string{"VAULT_ADDR": server.Address, "VAULT_TOKEN": server.RootToken, "HOME": dir}, Now: time.Now, Random: rand.Reader,
		}
		before := len(server.AuditRequests())
		if got := Main(context.Background(), append([]string{"coffer", "-chdir", dir}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &log}, environ); got != ExitDone {
			t.Fatalf("coffer %s: exit %d\n%s%s", strings.Join(args, " "), got, last(out.String()), last(log.String()))
		}
		clear(asked)
		for _, r := range server.AuditRequests()[before:] {
			if rest, below := strings.CutPrefix(r.Path, mount+"/"); below {
				asked[wayOf(r.Operation, rest)]++
			}
		}
		if asked["value"] > 0 {
			t.Errorf("coffer %s asked for %d values", args[0], asked["value"])
		}
		return out.String()
	}

	coffer("discover", "vault", "-out", "found.hcl")
	if asked["look"] != 1 || asked["write"] > 0 {
		t.Errorf("discover asked %v, want one look and no write", asked)
	}
	plan := coffer("plan")
	if lines := strings.Count(plan, "\n"); !strings.Contains(plan, "500 to adopt") || lines > 60 {
		t.Errorf("a plan of %d lines:\n%s", lines, last(plan))
	}
	if asked["look"] != 1 || asked["write"] > 0 {
		t.Errorf("plan asked %v, want one look and no write", asked)
	}
	if out := coffer("apply", "-auto-approve"); !strings.Contains(out, "500 adopted") || !strings.Contains(out, "Values read: 0.") {
		t.Errorf("apply says\n%s", last(out))
	}
	if asked["write"] != many {
		t.Errorf("apply asked %v, want %d writes", asked, many)
	}
	coffer("plan", "-detailed-exitcode")
}

// wayOf says what a request to a mount is about: a value, a look at many
// secrets, a write beside a value, or something else.
func wayOf(operation, path string) string {
	switch {
	case strings.HasPrefix(path, "data/"):
		return "value"
	case operation == "list" || operation == "scan":
		return "look"
	case strings.HasPrefix(path, "metadata/") && operation != "read":
		return "write"
	}
	return "other"
}
