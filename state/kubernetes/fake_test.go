package kubernetes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

// token is what a test must never find in an error.
const token = "canary-token-3c9f"

// cluster is the part of an API server that a state needs: Secrets and Leases
// of one namespace, under their conditions. What it does was compared with the
// real one, see servers_test.go.
type cluster struct {
	*httptest.Server
	t *testing.T

	// before may answer instead of the server; after is told what was done.
	before atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	after  atomic.Pointer[func(r *http.Request)]

	mu      sync.Mutex
	version int
	objects map[string]*object // by plural/name
	calls   []string
}

const namespace = "team-state"

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, objects: map[string]*object{}}
	mux := http.NewServeMux()
	for _, r := range []resource{secrets, leases} {
		path := "/" + strings.Join(r.segments, "/") + "/namespaces/{namespace}/" + r.plural
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) { c.serve(w, req, r) })
		mux.HandleFunc(path+"/{name}", func(w http.ResponseWriter, req *http.Request) { c.serve(w, req, r) })
	}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			say(w, 401, status{Reason: "Unauthorized", Message: "Unauthorized"})
			return
		}
		if before := c.before.Load(); before != nil && (*before)(w, r) {
			return
		}
		mux.ServeHTTP(w, r)
		if after := c.after.Load(); after != nil {
			(*after)(r)
		}
	}))
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

// intercept answers instead of the server where it returns true; nil ends that.
func (c *cluster) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	if f == nil {
		f = func(http.ResponseWriter, *http.Request) bool { return false }
	}
	c.before.Store(&f)
}

// following is told of each request that was done; nil ends that.
func (c *cluster) following(f func(r *http.Request)) {
	if f == nil {
		f = func(*http.Request) {}
	}
	c.after.Store(&f)
}

func say(w http.ResponseWriter, code int, s status) {
	s.Kind = "Status"
	answer(w, code, s)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func refusal(kind, reason string) status {
	s := status{Reason: reason}
	s.Details.Kind = kind
	return s
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request, kind resource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := r.PathValue("name")
	c.calls = append(c.calls, r.Method+" "+kind.plural+" "+name)
	if r.PathValue("namespace") != namespace {
		say(w, 404, refusal("namespaces", "NotFound"))
		return
	}
	var in object
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Query().Get("fieldManager") != manager {
			say(w, 400, refusal(kind.plural, "BadRequest"))
			return
		}
		size := 0
		for _, v := range in.Data {
			size += len(v)
		}
		if size > 1<<20 || in.Spec != nil && in.Spec.Seconds < 0 {
			say(w, 422, refusal(kind.plural, "Invalid"))
			return
		}
	}
	switch r.Method {
	case http.MethodPost:
		c.post(w, kind, &in)
	case http.MethodPut:
		c.put(w, kind, &in)
	case http.MethodDelete:
		c.drop(w, r, kind, name)
	default:
		c.get(w, r, kind, name)
	}
}

func (c *cluster) post(w http.ResponseWriter, kind resource, in *object) {
	key := kind.plural + "/" + in.Metadata.Name
	if c.objects[key] != nil {
		say(w, 409, refusal(kind.plural, "AlreadyExists"))
		return
	}
	c.store(key, in, fmt.Sprintf("uid-%d", c.version))
	answer(w, 201, in)
}

func (c *cluster) put(w http.ResponseWriter, kind resource, in *object) {
	key := kind.plural + "/" + in.Metadata.Name
	old := c.objects[key]
	switch {
	case old == nil:
		say(w, 404, refusal(kind.plural, "NotFound"))
	case in.Metadata.UID != old.Metadata.UID || in.Metadata.ResourceVersion != old.Metadata.ResourceVersion:
		say(w, 409, refusal(kind.plural, "Conflict"))
	case old.Immutable || in.Type != old.Type:
		say(w, 422, refusal(kind.plural, "Invalid"))
	default:
		c.store(key, in, old.Metadata.UID)
		answer(w, 200, in)
	}
}

func (c *cluster) store(key string, in *object, uid string) {
	c.version++
	in.Metadata.UID, in.Metadata.ResourceVersion = uid, fmt.Sprint(c.version)
	in.Metadata.ManagedFields = []managedFields{{manager, "Update", time.Now().UTC().Truncate(time.Second)}}
	c.objects[key] = in
}

func (c *cluster) drop(w http.ResponseWriter, r *http.Request, kind resource, name string) {
	var p preconditions
	_ = json.NewDecoder(r.Body).Decode(&p)
	o := c.objects[kind.plural+"/"+name]
	switch want := p.Preconditions; {
	case o == nil:
		say(w, 404, refusal(kind.plural, "NotFound"))
	case want.UID != "" && want.UID != o.Metadata.UID, want.ResourceVersion != "" && want.ResourceVersion != o.Metadata.ResourceVersion:
		say(w, 409, refusal(kind.kind, "Conflict"))
	default:
		delete(c.objects, kind.plural+"/"+name)
		say(w, 200, status{})
	}
}

func (c *cluster) get(w http.ResponseWriter, r *http.Request, kind resource, name string) {
	if name != "" {
		if o := c.objects[kind.plural+"/"+name]; o != nil {
			answer(w, 200, o)
		} else {
			say(w, 404, refusal(kind.plural, "NotFound"))
		}
		return
	}
	items := []object{}
	for key, o := range c.objects {
		fits := strings.HasPrefix(key, kind.plural+"/")
		for term := range strings.SplitSeq(r.URL.Query().Get("labelSelector"), ",") {
			label, value, _ := strings.Cut(term, "=")
			fits = fits && o.Metadata.Labels[label] == value
		}
		if fits {
			items = append(items, object{Metadata: o.Metadata})
		}
	}
	answer(w, 200, map[string]any{"kind": "PartialObjectMetadataList", "items": items})
}

// names returns the objects that are there, as plural/name.
func (c *cluster) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for key := range c.objects {
		names = append(names, key)
	}
	slices.Sort(names)
	return names
}

// called returns the calls since the last time.
func (c *cluster) called() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// edit changes an object as another tool would.
func (c *cluster) edit(key string, change func(o *object)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := *c.objects[key]
	data, err := json.Marshal(o)
	if err == nil {
		o = object{}
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		c.t.Error(err)
	}
	change(&o)
	c.version++
	o.Metadata.ResourceVersion = fmt.Sprint(c.version)
	c.objects[key] = &o
}

func (c *cluster) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
}

// kubeconfig writes a kubeconfig with a user of the given YAML lines.
func kubeconfig(t *testing.T, server, ca, user string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.crt"), ca)
	file := filepath.Join(dir, "config")
	write(t, file, `apiVersion: v1
kind: Config
current-context: main
clusters:
- name: c
  cluster: {server: "`+server+`", certificate-authority: ca.crt}
contexts:
- name: main
  context: {cluster: c, user: u}
- name: nobody
  context: {cluster: c, user: missing}
users:
- name: u
  user:
`+user)
	return file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environment is one with these variables and nothing else.
func environment(pairs ...string) remote.Env {
	return remote.Env{UserAgent: "coffer/test", Now: time.Now, Getenv: func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}}
}

// opener returns what opens the state of a cluster as another process would.
func (c *cluster) opener(t *testing.T, name string) func() *blobs {
	t.Helper()
	config := &Config{Namespace: namespace, Name: name, Kubeconfig: kubeconfig(t, c.URL, c.ca(), "    token: "+token+"\n")}
	return func() *blobs {
		b, err := config.open(environment(), serviceAccountDir)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func put(t *testing.T, b *blobs, blob string, data []byte, match string) string {
	t.Helper()
	tag, err := b.Put(context.Background(), blob, data, match)
	if err != nil {
		t.Fatalf("%s: %v", blob, err)
	}
	return tag
}

// selfSigned is the certificate of an authority that signed nothing.
func selfSigned(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
