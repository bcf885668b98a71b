package servers

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// Client returns a client that trusts this cluster and shows the given
// certificates, if any, see [Cluster.ClientCertificate].
func (c *Cluster) Client(certificates ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.CA)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}, ForceAttemptHTTP2: true,
	}}
	c.life.Cleanup(client.CloseIdleConnections)
	return client
}

// Do makes one call, "/api/v1/namespaces?limit=1", and returns the status and
// the whole answer, errors of the server included; what is not JSON is in
// "message". body is JSON, nil for none.
// A PATCH is a merge patch; with a fieldManager it is a server-side apply.
func (c *Cluster) Do(method, path, token string, body any) (status int, answer map[string]any) {
	c.life.Helper()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		must(c.life, "kube-apiserver", err)
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, c.Address+path, reader)
	must(c.life, "kube-apiserver", err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	switch {
	case method == http.MethodPatch && strings.Contains(path, "fieldManager="):
		req.Header.Set("Content-Type", "application/apply-patch+yaml")
	case method == http.MethodPatch:
		req.Header.Set("Content-Type", "application/merge-patch+json")
	default:
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	must(c.life, fmt.Sprintf("kube-apiserver: %s %s", method, path), err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(c.life, fmt.Sprintf("kube-apiserver: %s %s", method, path), err)
	if json.Unmarshal(text, &answer) != nil { // a path that nothing serves
		answer = map[string]any{"message": string(text)}
	}
	return resp.StatusCode, answer
}

// Must is Do as the administrator for what has to succeed.
func (c *Cluster) Must(method, path string, body any) map[string]any {
	c.life.Helper()
	status, answer := c.Do(method, path, c.AdminToken, body)
	if status >= http.StatusMultipleChoices {
		c.life.Fatalf("kube-apiserver: %s %s: status %d: %v", method, path, status, answer["message"])
	}
	return answer
}

// Namespace makes a namespace.
func (c *Cluster) Namespace(name string) {
	c.life.Helper()
	c.Must(http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name}})
}

// ServiceAccountToken makes the service account unless it is there, and returns
// a token of an hour for it, for the audiences given or, without, the server's.
func (c *Cluster) ServiceAccountToken(namespace, name string, audiences ...string) string {
	c.life.Helper()
	accounts := "/api/v1/namespaces/" + namespace + "/serviceaccounts"
	account := map[string]any{"metadata": map[string]any{"name": name}}
	status, answer := c.Do(http.MethodPost, accounts, c.AdminToken, account)
	if status != http.StatusCreated && status != http.StatusConflict {
		c.life.Fatalf("kube-apiserver: service account %s/%s: status %d: %v", namespace, name, status, answer["message"])
	}
	answer = c.Must(http.MethodPost, accounts+"/"+name+"/token", map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": map[string]any{"audiences": audiences, "expirationSeconds": 3600},
	})
	return answer["status"].(map[string]any)["token"].(string)
}

// Webhook serves h with a certificate of the cluster's authority until l ends,
// and returns what an admission webhook's clientConfig wants.
func (c *Cluster) Webhook(l Life, h http.Handler) (url string, caBundle []byte) {
	l.Helper()
	cert, key := c.authority.sign(l, serverTemplate())
	pair, err := tls.X509KeyPair(cert, key)
	must(l, "webhook", err)
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	l.Cleanup(server.Close)
	return server.URL, c.CA
}
