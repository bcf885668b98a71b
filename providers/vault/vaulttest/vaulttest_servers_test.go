//go:build servers

package vaulttest

import (
	"net/http"
	"slices"
	"testing"
)

func TestServer(t *testing.T) {
	for name, o := range map[string]Options{
		"memory": {}, "file": {Storage: File}, "raft": {Storage: Raft},
		"tls": {TLS: true, RequireClientCert: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, o)
			mount := s.KV()
			s.Policy("reader", `path "`+mount+`/data/*" { capabilities = ["read"] }`)
			token := s.TokenWith("reader")
			secret := map[string]any{"data": map[string]string{"value": "x"}}
			s.Must(http.MethodPost, mount+"/data/a", secret)
			read := func(s *Server, want int) {
				t.Helper()
				if status, answer := s.Do(http.MethodGet, mount+"/data/a", token, nil); status != want {
					t.Errorf("read: status %d, want %d: %v", status, want, answer)
				}
			}
			read(s, http.StatusOK)
			if status, _ := s.Do(http.MethodPost, mount+"/data/a", token, secret); status != http.StatusForbidden {
				t.Errorf("write without permission: status %d", status)
			}
			s.Seal()
			read(s, http.StatusServiceUnavailable)
			s.Unseal()
			read(s, http.StatusOK)
			if o.Storage == File || o.Storage == Raft {
				s.Restart()
				read(s, http.StatusOK)
			}
			team := s.In("team")
			inside := team.KV()
			team.Must(http.MethodPost, inside+"/data/b", secret)
			for _, want := range []AuditRequest{
				{"read", mount + "/data/a", ""}, {"update", mount + "/data/a", ""}, {"create", inside + "/data/b", "team"},
			} {
				if !slices.Contains(s.AuditRequests(), want) {
					t.Errorf("the audit log has no %+v", want)
				}
			}
		})
	}
}
