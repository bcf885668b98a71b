package vaulttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// deadline bounds every wait for the server to get somewhere.
const deadline = time.Minute

// await asks until done, again and again in short steps.
func (s *Server) await(what string, done func() (bool, error)) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for {
		ok, err := done()
		s.must(err)
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("openbao: waited %v for: %s\n%s", deadline, what, s.serverLog())
		}
	}
}

// send makes one call and returns whatever came back.
func (s *Server) send(method, path, token string, body any) (int, map[string]any, error) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, s.Address+"/v1/"+path, reader)
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	if s.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", s.Namespace)
	}
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer := map[string]any{}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if errors.Is(err, io.EOF) { // no body
		err = nil
	}
	return resp.StatusCode, answer, err
}

// Do makes one call below /v1/ and returns the status and the whole answer,
// errors of the server included. body is JSON, nil for none.
func (s *Server) Do(method, path, token string, body any) (status int, answer map[string]any) {
	s.t.Helper()
	status, answer, err := s.send(method, path, token, body)
	if err != nil {
		s.t.Fatalf("openbao: %s %s: %v", method, path, err)
	}
	return status, answer
}

// Must is Do as root for what has to succeed; it returns the answer's data.
func (s *Server) Must(method, path string, body any) map[string]any {
	s.t.Helper()
	status, answer := s.Do(method, path, s.RootToken, body)
	if status >= 300 {
		s.t.Fatalf("openbao: %s %s: status %d: %v", method, path, status, answer["errors"])
	}
	data, _ := answer["data"].(map[string]any)
	return data
}

func (s *Server) health() (int, error) {
	root := &Server{instance: s.instance}
	status, _, err := root.send(http.MethodGet, "sys/health", "", nil)
	return status, err
}

func (s *Server) initialise() {
	s.t.Helper()
	status, answer := s.Do(http.MethodPut, "sys/init", "", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	if status != http.StatusOK {
		s.t.Fatalf("openbao: init: status %d: %v", status, answer["errors"])
	}
	s.RootToken = answer["root_token"].(string)
	s.unsealKey = answer["keys_base64"].([]any)[0].(string)
}

// Unseal unseals the server and returns when it serves.
func (s *Server) Unseal() {
	s.t.Helper()
	root := &Server{instance: s.instance}
	if status, answer := root.Do(http.MethodPut, "sys/unseal", "", map[string]any{"key": s.unsealKey}); status != http.StatusOK {
		s.t.Fatalf("openbao: unseal: status %d: %v", status, answer["errors"])
	}
	s.await("the server is unsealed and active", func() (bool, error) {
		status, err := s.health()
		return status == http.StatusOK, err
	})
}

// Seal seals the server; it answers 503 until [Server.Unseal].
func (s *Server) Seal() {
	s.t.Helper()
	(&Server{instance: s.instance}).Must(http.MethodPut, "sys/seal", nil)
}

// In makes the namespace below this one and returns the server as seen from it.
func (s *Server) In(namespace string) *Server {
	s.t.Helper()
	s.Must(http.MethodPost, "sys/namespaces/"+namespace, map[string]any{})
	return &Server{instance: s.instance, Namespace: strings.TrimPrefix(s.Namespace+"/"+namespace, "/")}
}

// Policy writes an ACL policy.
func (s *Server) Policy(name, text string) {
	s.t.Helper()
	s.Must(http.MethodPut, "sys/policies/acl/"+name, map[string]any{"policy": text})
}

// TokenWith returns a new token of an hour with the given policies.
func (s *Server) TokenWith(policies ...string) string {
	s.t.Helper()
	status, answer := s.Do(http.MethodPost, "auth/token/create", s.RootToken,
		map[string]any{"policies": policies, "ttl": "1h", "no_parent": true})
	if status != http.StatusOK {
		s.t.Fatalf("openbao: token: status %d: %v", status, answer["errors"])
	}
	return answer["auth"].(map[string]any)["client_token"].(string)
}

// KV makes a mount of KV version 2 and returns its name, which no other has.
func (s *Server) KV() string { s.t.Helper(); return s.Mount("2") }

// Mount makes a mount of the given version of KV, "1" or "2".
func (s *Server) Mount(version string) string {
	s.t.Helper()
	name := fmt.Sprintf("kv-%d", s.names.Add(1))
	s.Must(http.MethodPost, "sys/mounts/"+name, map[string]any{"type": "kv", "options": map[string]string{"version": version}})
	if version != "2" {
		return name
	}
	s.await("the mount "+name+" is ready", func() (bool, error) {
		status, _ := s.Do(http.MethodGet, name+"/config", s.RootToken, nil)
		return status == http.StatusOK, nil
	})
	return name
}

// AuditRequest is one request as the server's audit log has it.
type AuditRequest struct {
	Operation string // "read", "list", "scan", "create", "update", "patch", "delete"
	Path      string // without /v1/ and namespace: "secret/data/shop/db"
	Namespace string // "" is the root
}

// AuditRequests returns every request so far that the audit log holds, in
// order: those that were refused too, not those that carried no valid path.
func (s *Server) AuditRequests() []AuditRequest {
	s.t.Helper()
	text, err := os.ReadFile(s.auditFile())
	s.must(err)
	// A line without its end is being written, of a request that has no answer yet.
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	var all []AuditRequest
	for line := range bytes.Lines(text) {
		var entry struct {
			Type    string
			Request struct {
				Operation, Path string
				Namespace       struct{ Path string }
			}
		}
		s.must(json.Unmarshal(line, &entry))
		if entry.Type == "request" {
			all = append(all, AuditRequest{
				entry.Request.Operation, entry.Request.Path, strings.TrimSuffix(entry.Request.Namespace.Path, "/"),
			})
		}
	}
	return all
}
