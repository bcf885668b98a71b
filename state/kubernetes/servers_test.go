//go:build servers

package kubernetes

import (
	"bytes"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// real is an API server, and a new namespace for each test on it.
type real struct {
	*servers.Cluster
	namespaces atomic.Int64
}

func (r *real) namespace() string {
	name := fmt.Sprintf("team-%d", r.namespaces.Add(1))
	r.Namespace(name)
	return name
}

// grant makes the objects of a text of YAML, as kubectl would.
func (r *real) grant(t *testing.T, namespace, text string) {
	t.Helper()
	paths := map[string]string{"Role": "roles", "RoleBinding": "rolebindings"}
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o map[string]any
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		r.Must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/"+namespace+"/"+paths[o["kind"].(string)], o)
	}
}

// as opens a state with a token.
func (r *real) as(t testing.TB, namespace, token string) func() *blobs {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(r.Kubeconfig(token)), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() *blobs {
		b, err := (&Config{Namespace: namespace, Name: "shop", Kubeconfig: file}).open(environment(), serviceAccountDir)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// permitted opens a state with the rights that Permissions prints, after edit.
func (r *real) permitted(t *testing.T, namespace string, write bool, edit func(string) string) func() *blobs {
	t.Helper()
	account := "shop-plan"
	if write {
		account = "shop-apply"
	}
	text := (&Config{Namespace: namespace, Name: "shop"}).Permissions(write)
	if edit != nil {
		text = edit(text)
	}
	token := r.ServiceAccountToken(namespace, account)
	r.grant(t, namespace, text)
	open := r.as(t, namespace, token)
	servers.Await(t, "the rights count", func() bool {
		_, err := open().Get(t.Context(), remote.LockBlob)
		return errors.Is(err, remote.ErrNotFound) || err == nil
	})
	return open
}

func TestOnTheServer(t *testing.T) {
	r := &real{Cluster: servers.Kube(t)}
	t.Run("blobs", func(t *testing.T) {
		statetest.Blobs(t, func(t *testing.T) func() remote.Blobs {
			open := r.permitted(t, r.namespace(), true, uncommented)
			return func() remote.Blobs { return open() }
		})
	})
	t.Run("store", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) func() state.Store {
			open := r.permitted(t, r.namespace(), true, nil)
			return func() state.Store {
				return remote.New(open(), remote.Options{Project: statetest.Project, Now: time.Now, Random: crand.Reader})
			}
		})
	})
	t.Run("prove", func(t *testing.T) {
		open := r.permitted(t, r.namespace(), true, uncommented)
		checks, err := remote.Prove(t.Context(), open(), "01JD")
		if err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			if !check.Held {
				t.Errorf("%+v", check)
			}
		}
	})
	t.Run("rights", func(t *testing.T) { rightsOnTheServer(t, r) })
	t.Run("large", func(t *testing.T) { largeOnTheServer(t, r) })
	t.Run("lease", func(t *testing.T) { leaseOnTheServer(t, r) })
	t.Run("others", func(t *testing.T) { othersOnTheServer(t, r) })
	t.Run("errors", func(t *testing.T) { errorsOnTheServer(t, r) })
}

// uncommented puts the rule for coffer init into force.
func uncommented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "  # "); ok && (strings.HasPrefix(rest, "- apiGroups") || strings.HasPrefix(rest, "  resources") || strings.HasPrefix(rest, "  verbs")) {
			lines[i] = "  " + rest
		}
	}
	return strings.Join(lines, "\n")
}

// withoutParts takes the last rule out, as the text says one may.
func withoutParts(text string) string {
	for _, verbs := range []string{"[get]", "[get, list, delete]"} {
		text = strings.Replace(text, "  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: "+verbs+"\n", "", 1)
	}
	return text
}

func rightsOnTheServer(t *testing.T, r *real) {
	namespace := r.namespace()
	r.Must("POST", "/api/v1/namespaces/"+namespace+"/secrets", map[string]any{"metadata": map[string]any{"name": "other"}})
	apply := r.permitted(t, namespace, true, withoutParts)
	plan := r.permitted(t, namespace, false, withoutParts)
	tag := put(t, apply(), remote.StateBlob, []byte("1"), "")
	tag = put(t, apply(), remote.StateBlob, []byte("2"), tag)
	put(t, apply(), remote.JournalBlob, []byte("1"), "")
	lock := put(t, apply(), remote.LockBlob, []byte("1"), "")
	put(t, apply(), remote.LockBlob, []byte("2"), lock)
	for _, blob := range []string{remote.StateBlob, remote.JournalBlob, remote.LockBlob} {
		if _, err := plan().Get(t.Context(), blob); err != nil {
			t.Error(err)
		}
		_, err := plan().Put(t.Context(), blob, []byte("x"), tag)
		wantError(t, err, remote.Denied, "verbs: [update]")
	}
	_, err := plan().Put(t.Context(), remote.StateBlob, []byte("x"), "")
	wantError(t, err, remote.Denied, "may not create secrets", "verbs: [create]")
	wantError(t, apply().Delete(t.Context(), remote.StateBlob, tag), remote.Denied, "verbs: [delete]")
	_, err = apply().Get(t.Context(), "probe-1")
	wantError(t, err, remote.Denied)
	status, _ := r.Do("GET", "/api/v1/namespaces/"+namespace+"/secrets/other", r.ServiceAccountToken(namespace, "shop-plan"), nil)
	if status != http.StatusForbidden {
		t.Errorf("without the rule for parts another Secret can be read: %d", status)
	}
	// A state that outgrows one Secret is written, and says what is missing for it.
	put(t, apply(), remote.StateBlob, incompressible(2*partBytes, 1), tag)
	_, err = plan().Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Denied, "resources: [secrets], verbs: [get]}")
}

// tenThousand is the size and the texture of a state of 10,000 entries.
func tenThousand(seed uint64) []byte {
	var b bytes.Buffer
	digests := incompressible(10_000*40, seed)
	for i := range 10_000 {
		fmt.Fprintf(&b, "{\"address\":\"app.service-%d.secret.password\",\n\"location\":{\"provider\":\"vault:%x\",\"kind\":\"secret\",\"path\":\"team/service-%d/password\"},\"store\":\"vault\",\"role\":\"primary\",\"version\":\"7\","+
			"\"created\":\"2026-11-01T12:00:00Z\",\"generation\":3,\"class\":\"generated\",\"op\":\"%x\",\"rotated_at\":\"2026-11-01T12:00:00Z\",\"fields\":{\"password\":{\"source\":\"random_password({ length = 32 })\",\"fingerprint\":\"%x\"}}},\n\n",
			i, digests[:8], i, digests[i*40:i*40+8], digests[i*40+8:i*40+40])
	}
	return b.Bytes()
}

func largeOnTheServer(t *testing.T, r *real) {
	namespace := r.namespace()
	apply, plan := r.permitted(t, namespace, true, nil), r.permitted(t, namespace, false, nil)
	put(t, apply(), remote.JournalBlob, incompressible(partBytes+1, 9), "")
	tag := ""
	for seed := range uint64(3) {
		data := tenThousand(seed)
		b := apply()
		begun := time.Now()
		tag = put(t, b, remote.StateBlob, data, tag)
		saved := time.Since(begun)
		begun = time.Now()
		got, err := plan().Get(t.Context(), remote.StateBlob)
		if err != nil || !bytes.Equal(got.Data, data) || got.Tag != tag {
			t.Fatalf("%d bytes came back, %v", len(got.Data), err)
		}
		t.Logf("%d bytes: saved in %s, loaded in %s", len(data), saved, time.Since(begun))
		if got.Age < 0 || got.Age > time.Minute {
			t.Errorf("age %s", got.Age)
		}
	}
	large := incompressible(5*partBytes, 1)
	tag = put(t, apply(), remote.StateBlob, large, tag)
	got, err := plan().Get(t.Context(), remote.StateBlob)
	if err != nil || !bytes.Equal(got.Data, large) {
		t.Fatal(err)
	}
	// Parts cannot be changed, and what a crash left behind goes.
	part := "/api/v1/namespaces/" + namespace + "/secrets/" + r.parts(namespace, "state")[0]
	if status, answer := r.Do("PATCH", part, r.AdminToken, map[string]any{"data": map[string]any{"part": ""}}); status != 422 {
		t.Errorf("a part can be changed: %d %v", status, answer)
	}
	left := apply()
	_, parts := split("shop", remote.StateBlob, tag, incompressible(2*partBytes, 2), false)
	if err := left.writeParts(t.Context(), remote.StateBlob, parts); err != nil {
		t.Fatal(err)
	}
	if n := len(r.parts(namespace, "state")); n != 5+2 {
		t.Fatalf("%d parts", n)
	}
	tag = put(t, apply(), remote.StateBlob, incompressible(2*partBytes, 3), tag)
	if n := len(r.parts(namespace, "state")); n != 2 {
		t.Errorf("%d parts", n)
	}
	put(t, apply(), remote.StateBlob, []byte("{}"), tag)
	if s, j := len(r.parts(namespace, "state")), len(r.parts(namespace, "journal")); s != 0 || j != 2 {
		t.Errorf("%d parts of the state, %d of the journal", s, j)
	}
}

// parts returns the names of a blob's parts.
func (r *real) parts(namespace, blob string) []string {
	var names []string
	query := "?labelSelector=coffer/part-of=shop,coffer/blob=" + blob
	for _, item := range r.Must("GET", "/api/v1/namespaces/"+namespace+"/secrets"+query, nil)["items"].([]any) {
		names = append(names, item.(map[string]any)["metadata"].(map[string]any)["name"].(string))
	}
	return names
}

func leaseOnTheServer(t *testing.T, r *real) {
	namespace := r.namespace()
	open := r.permitted(t, namespace, true, nil)
	lock := func(lease map[string]any) []byte {
		data, err := json.Marshal(lease)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	held := map[string]any{"lease": 1, "lock": statetest.Who("apply"), "heartbeat": time.Date(2026, 11, 24, 6, 51, 30, 123456789, time.UTC), "seconds": 60}
	path := "/apis/coordination.k8s.io/v1/namespaces/" + namespace + "/leases/shop.lock"
	put(t, open(), remote.LockBlob, lock(held), "")
	spec := r.Must("GET", path, nil)["spec"].(map[string]any)
	if spec["holderIdentity"] != "alice@laptop (apply, pid 4242)" || spec["leaseDurationSeconds"] != 60.0 ||
		spec["acquireTime"] != "2026-11-24T06:50:00.000000Z" || spec["renewTime"] != "2026-11-24T06:51:30.123456Z" {
		t.Errorf("%v", spec)
	}

	// The age is that of the write, not of what others do to the object.
	aged := func(seconds float64) {
		t.Helper()
		servers.Await(t, "the lock ages", func() bool {
			got, err := open().Get(t.Context(), remote.LockBlob)
			return err == nil && got.Age.Seconds() >= seconds
		})
	}
	aged(2)
	r.Must("PATCH", path, map[string]any{"metadata": map[string]any{"labels": map[string]any{"team": "shop"}}})
	got, err := open().Get(t.Context(), remote.LockBlob)
	if err != nil || got.Age < 2*time.Second {
		t.Errorf("a label makes the lock %s old, %v", got.Age, err)
	}
	held["released"] = true
	tag := put(t, open(), remote.LockBlob, lock(held), got.Tag)
	got, err = open().Get(t.Context(), remote.LockBlob)
	if err != nil || got.Age < 0 || got.Age > time.Second {
		t.Errorf("just written, and %s old, %v", got.Age, err)
	}
	if spec, ok := r.Must("GET", path, nil)["spec"].(map[string]any); ok && len(spec) > 0 {
		t.Errorf("released, and %v", spec)
	}
	for _, odd := range []string{"", "\xff\x00", "text\n\u2028", strings.Repeat("x", maxLock), `{"seconds":1e9,"lock":{"who":"a"}}`} {
		tag = put(t, open(), remote.LockBlob, []byte(odd), tag)
		if got, err := open().Get(t.Context(), remote.LockBlob); err != nil || string(got.Data) != odd {
			t.Errorf("%.20q came back as %.20q, %v", odd, got.Data, err)
		}
	}
}

// A controller that labels what it sees is not another run.
func othersOnTheServer(t *testing.T, r *real) {
	namespace := r.namespace()
	open := r.permitted(t, namespace, true, nil)
	b := open()
	path := "/api/v1/namespaces/" + namespace + "/secrets/shop"
	label := func(name string) {
		r.Must("PATCH", path, map[string]any{"metadata": map[string]any{"labels": map[string]any{name: "yes"}, "finalizers": []string{"example.com/keep"}}})
	}
	tag := put(t, b, remote.StateBlob, []byte("1"), "")
	label("first")
	tag = put(t, b, remote.StateBlob, []byte("2"), tag)
	label("second")
	if _, err := open().Put(t.Context(), remote.StateBlob, []byte("x"), tag); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("a process that never saw it: %v", err)
	}
	last := put(t, b, remote.StateBlob, []byte("3"), tag)
	meta := r.Must("GET", path, nil)["metadata"].(map[string]any)
	labels := meta["labels"].(map[string]any)
	if labels["first"] != "yes" || labels["second"] != "yes" || labels[labelManagedBy] != "coffer" || meta["finalizers"] == nil {
		t.Errorf("%v", meta)
	}
	other := open()
	got, err := other.Get(t.Context(), remote.StateBlob)
	if err != nil {
		t.Fatal(err)
	}
	next := put(t, other, remote.StateBlob, []byte("other"), got.Tag)
	put(t, other, remote.StateBlob, []byte("3"), next)
	if _, err := b.Put(t.Context(), remote.StateBlob, []byte("4"), last); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("on top of the same bytes of another write: %v", err)
	}
}

func errorsOnTheServer(t *testing.T, r *real) {
	namespace := r.namespace()
	admin := r.as(t, namespace, r.AdminToken)
	_, err := r.as(t, "none", r.AdminToken)().Put(t.Context(), remote.StateBlob, []byte("1"), "")
	wantError(t, err, remote.NoPlace, `no namespace "none"`)
	if _, err := r.as(t, "none", r.AdminToken)().Put(t.Context(), remote.StateBlob, []byte("1"), "uid/1"); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("replace in no namespace: %v", err)
	}
	_, err = r.as(t, namespace, "canary")().Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Denied, "401")
	_, err = r.as(t, namespace, r.ServiceAccountToken(namespace, "nobody"))().Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Denied, "403")

	r.Must("POST", "/api/v1/namespaces/"+namespace+"/secrets", map[string]any{"metadata": map[string]any{"name": "shop"}, "stringData": map[string]any{"password": "canary"}})
	_, err = admin().Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Invalid, "not one that Coffer wrote")
	meta := r.Must("GET", "/api/v1/namespaces/"+namespace+"/secrets/shop", nil)["metadata"].(map[string]any)
	_, err = admin().Put(t.Context(), remote.StateBlob, []byte("1"), fmt.Sprintf("%s/%s", meta["uid"], meta["resourceVersion"]))
	wantError(t, err, remote.Invalid, "not Coffer's")

	deleted := admin()
	put(t, deleted, remote.JournalBlob, []byte("1"), "")
	r.Must("DELETE", "/api/v1/namespaces/"+namespace, nil)
	_, err = admin().Put(t.Context(), remote.LockBlob, []byte("1"), "")
	wantError(t, err, remote.NoPlace, "is being deleted")

	r.Kill()
	_, err = admin().Put(t.Context(), remote.LockBlob, []byte("1"), "")
	if e := wantError(t, err, remote.Unreachable, "connection refused"); !e.Unchanged {
		t.Error("a write that was not sent may have landed")
	}
	r.Restart()
	if _, err := admin().Get(t.Context(), remote.JournalBlob); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}
