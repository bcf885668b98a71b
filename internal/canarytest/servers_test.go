//go:build unix

package canarytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// unreached is a configuration of servers, with a credential from every kind of
// input. Nothing listens at port 1.
const unreached = `
coffer {
  project = "canary-2"
  audit {
    path = "audit.log"
  }
}
provider "vault" {
  address = "https://127.0.0.1:1"
}
provider "vault" {
  alias   = "env"
  address = "https://127.0.0.1:1"
  prefix  = "b/"
  token   = from_env("CANARY_1")
}
provider "vault" {
  alias   = "dotenv"
  address = "https://127.0.0.1:1"
  prefix  = "c/"
  token   = from_dotenv("inputs/vars.env", "CANARY_2")
}
provider "vault" {
  alias   = "approle"
  address = "https://127.0.0.1:1"
  prefix  = "d/"
  auth "approle" {
    role_id   = "canary"
    secret_id = from_file("inputs/file_0")
  }
}
environment "dev" {
  store    = vault
  replicas = [vault.env, vault.dotenv, vault.approle]
}
app "shop" {
  environments = ["dev"]
  secret "supplied" {
    value = from_env("CANARY_3")
  }
  policy "web" {
    secrets = [secret.supplied]
    readers = [vault_approle("shop-web")]
  }
}
`

// servers runs what destroys, asks for permissions and looks at servers, with
// every value as the token: the first where a server repeats what it was sent,
// the others where none answers.
func (w *world) servers(values valueSet) {
	w.t.Helper()
	hostile := httptest.NewServer(http.HandlerFunc(repeat))
	defer hostile.Close()
	repeating := strings.ReplaceAll(unreached, "https://127.0.0.1:1", hostile.URL)
	for i, v := range values.texts().list {
		w.supply(values, i)
		w.env["VAULT_TOKEN"] = string(v.Value)
		w.write("coffer.hcl", repeating)
		w.run(failing, "purge", "vault", "shop/dev/supplied", "-auto-approve")
		w.each(i,
			func() { w.run(failing, "purge", "vault.env", "shop/dev/supplied", "-auto-approve", "-json") },
			func() { w.run(failing, "purge", "vault.approle", "shop/dev/supplied", "-auto-approve") },
			func() { w.run(failing, "doctor") },
			func() { w.run(failing, "doctor", "-phase", "apply", "-json") })
		w.write("coffer.hcl", unreached)
		w.run(0, "permissions", "-phase", "plan")
		w.each(i,
			func() { w.run(0, "permissions", "-phase", "apply") },
			func() { w.run(0, "permissions", "-phase", "apply", "-json") },
			func() { w.run(0, "permissions", "-phase", "apply", "-provider", "vault.env") })
		if i%6 == 0 || long { // each of these waits for the servers
			w.each(i/6, func() { w.doctor("-phase", "plan") }, func() { w.doctor("-phase", "apply", "-json") })
		}
	}
	delete(w.env, "VAULT_TOKEN")
	w.plant("inputs/vars.env", fmt.Appendf(nil, "CANARY_2='%s\n", values.list[0].Value))
	w.doctor()
}

// doctor runs a doctor that must have looked at every server, in vain.
func (w *world) doctor(args ...string) {
	w.t.Helper()
	r := w.run(anyCode, append([]string{"doctor"}, args...)...)
	for _, ref := range []string{"vault", "vault.env", "vault.dotenv", "vault.approle"} {
		if !bytes.Contains(r.stdout, []byte(ref)) {
			w.t.Errorf("a doctor does not look at %s:\n%s\n%s", ref, r.stdout, r.stderr)
		}
	}
	if !bytes.Contains(r.stdout, []byte("127.0.0.1:1 is not reached")) || r.code != 1 && r.code != 3 {
		w.t.Errorf("a doctor of nothing ends with %d:\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

// repeat says who it is, and answers all else with an error that holds the token
// and the body of the request.
func repeat(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/sys/health") {
		_, _ = io.WriteString(w, `{"initialized":true,"sealed":false,"version":"1.0.0","cluster_id":"canary"}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	text, _ := json.Marshal(map[string][]string{"errors": {r.Header.Get("X-Vault-Token") + " is not welcome: " + string(body)}})
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(text)
}
