//go:build servers

package cli

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// TestVaultScripts runs the scripts that need a real server. Each has a
// namespace of its own with a KV mount in it, and a token that may do all
// there; those that break the server have one to themselves.
func TestVaultScripts(t *testing.T) {
	shared := vaulttest.Start(t, vaulttest.Options{})
	t.Run("shared", func(t *testing.T) { runScripts(t, "testdata/vault", atVault(shared), vaultCommands()) })
}

func TestVaultOutageScripts(t *testing.T) {
	fragile := vaulttest.Start(t, vaulttest.Options{Storage: vaulttest.File})
	t.Run("fragile", func(t *testing.T) { runScripts(t, "testdata/outage", atVault(fragile), vaultCommands()) })
}

// vaultOf is where a script's commands find its server.
type vaultOf struct{}

func atVault(s *vaulttest.Server) func(*testscript.Env) error {
	return func(env *testscript.Env) error {
		mine := s.In(filepath.Base(env.WorkDir)) // the name of the script
		env.Values[vaultOf{}] = mine
		env.Setenv("VAULT_ADDR", mine.Address)
		env.Setenv("VAULT_NAMESPACE", mine.Namespace)
		env.Setenv("VAULT_TOKEN", mine.RootToken)
		env.Setenv("COFFER_VAR_mount", mine.KV())
		env.Setenv("MOUNT", env.Getenv("COFFER_VAR_mount"))
		return nil
	}
}

// vaultCommands are what scripts do to the server by hand.
func vaultCommands() scriptCommands {
	return scriptCommands{
		"api": callVault, "token": vaultToken, "approle": vaultAppRole, "server": vaultServer, "calls": vaultCalls,
	}
}

func vaultServerOf(ts *testscript.TestScript) *vaulttest.Server {
	s, ok := ts.Value(vaultOf{}).(*vaulttest.Server)
	if !ok {
		ts.Fatalf("this script has no server")
	}
	return s
}

// callVault makes a call as root: [!] api METHOD PATH [JSON]
func callVault(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: api METHOD PATH [JSON]")
	}
	s := vaultServerOf(ts)
	var body any
	if len(args) == 3 {
		ts.Check(json.Unmarshal([]byte(args[2]), &body))
	}
	status, answer := s.Do(args[0], args[1], s.RootToken, body)
	text, err := json.Marshal(answer)
	ts.Check(err)
	ts.Logf("%d %s", status, text)
	if failed := status >= http.StatusBadRequest; failed != neg {
		ts.Fatalf("status %d", status)
	}
}

// vaultToken makes VAULT_TOKEN a token with the policy in FILE alone: token FILE
func vaultToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: token FILE")
	}
	s := vaultServerOf(ts)
	s.Policy("script-"+args[0], ts.ReadFile(args[0]))
	ts.Setenv("VAULT_TOKEN", s.TokenWith("script-"+args[0]))
}

// vaultAppRole makes a role with the policy in FILE alone and puts what signs in
// with it into ROLE_NAME and ID_NAME: approle NAME FILE
func vaultAppRole(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: approle NAME FILE")
	}
	s := vaultServerOf(ts)
	role := "auth/approle/role/" + args[0]
	s.Policy("script-"+args[0], ts.ReadFile(args[1]))
	s.Must(http.MethodPost, role, map[string]any{"token_policies": "script-" + args[0], "token_ttl": "1h"})
	ts.Setenv("ROLE_"+args[0], s.Must(http.MethodGet, role+"/role-id", nil)["role_id"].(string))
	ts.Setenv("ID_"+args[0], s.Must(http.MethodPost, role+"/secret-id", map[string]any{})["secret_id"].(string))
}

// vaultServer breaks the server or mends it: server seal|unseal|kill|restart|tick
func vaultServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: server seal|unseal|kill|restart|tick")
	}
	s := vaultServerOf(ts)
	switch args[0] {
	case "seal":
		s.Seal()
	case "unseal":
		s.Unseal()
	case "kill":
		s.Kill()
	case "restart":
		s.Restart()
	case "tick": // until its clock, which tells seconds, shows another
		root := *s
		root.Namespace = ""
		now := func() any {
			_, answer := root.Do(http.MethodGet, "sys/health", "", nil)
			return answer["server_time_utc"]
		}
		for first := now(); now() == first; {
		}
	default:
		ts.Fatalf("server: %q is not known", args[0])
	}
}

// vaultCalls makes sure that no request so far read a value in the script's
// mount: calls blind
func vaultCalls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "blind" {
		ts.Fatalf("usage: calls blind")
	}
	for _, r := range vaultServerOf(ts).AuditRequests() {
		if strings.HasPrefix(r.Path, ts.Getenv("MOUNT")+"/data/") && r.Operation == "read" {
			ts.Fatalf("%s was read", r.Path)
		}
	}
}
