package kubernetes

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(pluginVariable); how != "" {
		os.Exit(beThePlugin(how))
	}
	os.Exit(m.Run())
}

func TestBlobs(t *testing.T) {
	statetest.Blobs(t, func(t *testing.T) func() remote.Blobs {
		open := newCluster(t).opener(t, "shop")
		return func() remote.Blobs { return open() }
	})
}

func TestStore(t *testing.T) {
	statetest.Run(t, func(t *testing.T) func() state.Store {
		open := newCluster(t).opener(t, "shop")
		return func() state.Store {
			return remote.New(open(), remote.Options{Project: statetest.Project, Now: time.Now, Random: crand.Reader})
		}
	})
}

func TestProve(t *testing.T) {
	c := newCluster(t)
	checks, err := remote.Prove(t.Context(), c.opener(t, "shop")(), "01JD")
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range checks {
		if !check.Held {
			t.Errorf("%+v", check)
		}
	}
	if left := c.names(); len(left) > 0 {
		t.Errorf("the probes stay: %v", left)
	}
}

// incompressible is content of n bytes that gzip does not make smaller.
func incompressible(n int, seed uint64) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(data)
	return data
}

func TestLargeBlobs(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	b := open()
	tag := ""
	sizes := []struct {
		name    string
		data    []byte
		objects int
	}{
		{"small", []byte("{}"), 1},
		{"compresses into one", bytes.Repeat([]byte("entry of a state, "), 1<<18), 1},
		{"just one", incompressible(partBytes, 1), 1},
		{"one byte more", incompressible(partBytes+1, 2), 3},
		{"many", incompressible(9*partBytes, 3), 10},
		{"other many", incompressible(9*partBytes, 4), 10},
		{"repeats itself", bytes.Repeat(incompressible(partBytes, 5), 3), 2},
		{"small again", []byte("{}"), 1},
	}
	for _, size := range sizes {
		tag = put(t, b, remote.StateBlob, size.data, tag)
		got, err := open().Get(t.Context(), remote.StateBlob)
		if err != nil || !bytes.Equal(got.Data, size.data) || got.Tag != tag {
			t.Fatalf("%s: %d bytes of %d came back, %v", size.name, len(got.Data), len(size.data), err)
		}
		if there := c.names(); len(there) != size.objects {
			t.Errorf("%s: %d objects, want %d: %v", size.name, len(there), size.objects, there)
		}
		b = open()
	}
	_, err := b.Put(t.Context(), remote.StateBlob, make([]byte, remote.MaxBytes+1), tag)
	wantError(t, err, remote.Invalid, "are the most")
}

// A small state costs one request a read and one a write.
func TestRequests(t *testing.T) {
	c := newCluster(t)
	b := c.opener(t, "shop")()
	tag := put(t, b, remote.StateBlob, []byte("1"), "")
	tag = put(t, b, remote.StateBlob, []byte("2"), tag)
	put(t, b, remote.LockBlob, []byte("{}"), "")
	if _, err := b.Get(t.Context(), remote.StateBlob); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), remote.StateBlob, tag); err != nil {
		t.Fatal(err)
	}
	want := []string{"POST secrets ", "PUT secrets shop", "POST leases ", "GET secrets shop", "DELETE secrets shop"}
	if got := c.called(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

// What a write that stopped halfway left behind is removed by the next one, and
// the parts of another state or blob are let alone.
func TestLeftoverParts(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	put(t, c.opener(t, "shop2")(), remote.StateBlob, incompressible(2*partBytes, 1), "")
	put(t, open(), remote.JournalBlob, incompressible(2*partBytes, 2), "")
	before := c.names()
	first := put(t, open(), remote.StateBlob, incompressible(2*partBytes, 3), "")

	heads := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		say(w, 500, status{Reason: "InternalError"})
		return true
	}
	c.intercept(heads)
	_, err := open().Put(t.Context(), remote.StateBlob, incompressible(3*partBytes, 4), first)
	e := wantError(t, err, remote.Busy)
	if e.Unchanged {
		t.Error("a write whose outcome is open is called undone")
	}
	c.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			say(w, 503, status{})
			return true
		}
		return false
	})
	_, err = open().Put(t.Context(), remote.StateBlob, incompressible(3*partBytes, 5), first)
	if e := wantError(t, err, remote.Busy); !e.Unchanged {
		t.Error("a part alone is called a write")
	}
	c.intercept(nil)
	if n := len(c.names()); n != len(before)+1+2+3 {
		t.Fatalf("%d objects: nothing is left over", n)
	}
	put(t, open(), remote.StateBlob, incompressible(partBytes+1, 6), first)
	if n := len(c.names()); n != len(before)+1+2 {
		t.Errorf("%d objects, want %d", n, len(before)+1+2)
	}
	for _, blob := range []string{remote.StateBlob, remote.JournalBlob} {
		if _, err := open().Get(t.Context(), blob); err != nil {
			t.Error(err)
		}
	}
}

// Two writers on top of one head: whoever loses, and however late, takes no
// part away from who won, and what the loser made goes with the next write.
func TestRacingParts(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	first := put(t, open(), remote.StateBlob, incompressible(2*partBytes, 1), "")
	slow, fast := open(), open()
	same := incompressible(2*partBytes, 2)
	arrived, release := make(chan bool), make(chan bool)
	held := false
	c.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && !held {
			held = true
			arrived <- true
			<-release
		}
		return false
	})
	lost := make(chan error)
	go func() {
		_, err := slow.Put(context.Background(), remote.StateBlob, same, first)
		lost <- err
	}()
	<-arrived
	second := put(t, fast, remote.StateBlob, same, first)
	third := put(t, fast, remote.StateBlob, incompressible(2*partBytes, 3), second)
	release <- true
	if err := <-lost; !errors.Is(err, remote.ErrConflict) {
		t.Errorf("the late one: %v", err)
	}
	got, err := open().Get(t.Context(), remote.StateBlob)
	if err != nil || got.Tag != third {
		t.Fatal(err)
	}
	if n := len(c.names()); n != 3 {
		t.Errorf("%d objects, want 3: %v", n, c.names())
	}
}

// A read whose parts vanish because of a write reads the head again; one whose
// parts are gone for good says so.
func TestVanishingParts(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	writer := open()
	tag := put(t, writer, remote.StateBlob, incompressible(2*partBytes, 1), "")
	last := incompressible(2*partBytes, 2)
	done := false
	c.following(func(r *http.Request) {
		if !done && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/shop") {
			done = true
			tag = put(t, writer, remote.StateBlob, last, tag)
		}
	})
	got, err := open().Get(t.Context(), remote.StateBlob)
	if err != nil || !bytes.Equal(got.Data, last) || got.Tag != tag {
		t.Fatalf("%v", err)
	}
	n := uint64(2)
	c.following(func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/shop") {
			n++
			tag = put(t, writer, remote.StateBlob, incompressible(2*partBytes, n), tag)
		}
	})
	_, err = open().Get(t.Context(), remote.StateBlob)
	wantError(t, err, remote.Busy, "again and again")

	c.following(nil)
	for _, damage := range []struct {
		name, says string
		edit       func(name string)
	}{
		{"changed", "damaged", func(name string) { c.edit(name, func(o *object) { o.Data[keyPart][0]++ }) }},
		{"gone", "a part that is not there", func(name string) { c.mu.Lock(); delete(c.objects, name); c.mu.Unlock() }},
		{"no list", "damaged", func(string) { c.edit("secrets/shop", func(o *object) { o.Data[keyParts] = []byte(`{"parts":[]}`) }) }},
		{"another path", "damaged", func(string) {
			c.edit("secrets/shop", func(o *object) { o.Data[keyParts] = []byte(`{"parts":["shop.part-../../../pods"]}`) })
		}},
		{"bad gzip", "damaged", func(string) {
			c.edit("secrets/shop", func(o *object) { o.Data = map[string][]byte{keyGzip: []byte("x")} })
		}},
		{"not ours", "not one that Coffer wrote", func(string) {
			c.edit("secrets/shop", func(o *object) { o.Data = map[string][]byte{"password": []byte("x")} })
		}},
	} {
		damage.edit(c.names()[1])
		_, err = open().Get(t.Context(), remote.StateBlob)
		wantError(t, err, remote.Invalid, damage.says)
	}
}

// Labels of others survive, and someone who adds one meanwhile is not another
// run; someone who writes the same bytes again is.
func TestOthersMetadata(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	for blob, key := range map[string]string{remote.StateBlob: "secrets/shop", remote.LockBlob: "leases/shop.lock"} {
		b := open()
		tag := put(t, b, blob, []byte("1"), "")
		touch := func(label string) {
			c.edit(key, func(o *object) {
				o.Metadata.Labels[label] = "yes"
				o.Metadata.Finalizers = []string{"example.com/keep"}
			})
		}
		touch("first")
		tag = put(t, b, blob, []byte("2"), tag)
		touch("second")
		got, err := b.Get(t.Context(), blob)
		if err != nil {
			t.Fatal(err)
		}
		touch("third")
		put(t, b, blob, []byte("3"), got.Tag)
		o := c.objects[key]
		for _, label := range []string{"first", "second", "third", labelPartOf, labelManagedBy} {
			if o.Metadata.Labels[label] == "" {
				t.Errorf("%s: the label %s is gone", key, label)
			}
		}
		if len(o.Metadata.Finalizers) != 1 {
			t.Errorf("%s: the finalizer is gone", key)
		}
		if _, err := open().Put(t.Context(), blob, []byte("4"), tag); !errors.Is(err, remote.ErrConflict) {
			t.Errorf("%s: on top of an old content: %v", key, err)
		}

		mine := o.Metadata.tag()
		other := put(t, open(), blob, []byte("4"), mine)
		put(t, open(), blob, []byte("3"), other)
		if _, err := b.Put(t.Context(), blob, []byte("5"), mine); !errors.Is(err, remote.ErrConflict) {
			t.Errorf("%s: the same bytes of another write are taken for the old ones: %v", key, err)
		}
	}
}

func TestDeletedAndMadeAgain(t *testing.T) {
	c := newCluster(t)
	b := c.opener(t, "shop")()
	tag := put(t, b, remote.StateBlob, []byte("1"), "")
	if err := b.Delete(t.Context(), remote.StateBlob, tag); err != nil {
		t.Fatal(err)
	}
	put(t, b, remote.StateBlob, []byte("1"), "")
	c.edit("secrets/shop", func(*object) {})
	uid, _, _ := strings.Cut(tag, "/")
	stale := uid + "/" + fmt.Sprint(c.version)
	if _, err := b.Put(t.Context(), remote.StateBlob, []byte("2"), stale); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("replace: %v", err)
	}
	if err := b.Delete(t.Context(), remote.StateBlob, stale); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("delete: %v", err)
	}
	for _, odd := range []string{"x", "/", uid + "/", "/1"} {
		if _, err := b.Put(t.Context(), remote.StateBlob, []byte("2"), odd); !errors.Is(err, remote.ErrConflict) {
			t.Errorf("tag %q: %v", odd, err)
		}
	}
}

func TestLease(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	since := time.Date(2026, 11, 24, 6, 50, 0, 0, time.UTC)
	full, err := json.Marshal(map[string]any{
		"lease": 1, "lock": statetest.Who("apply"), "heartbeat": since.Add(90 * time.Second), "seconds": 60,
	})
	if err != nil {
		t.Fatal(err)
	}
	tag := ""
	for name, test := range map[string]struct {
		data string
		want leaseSpec
	}{
		"held":            {string(full), leaseSpec{"alice@laptop (apply, pid 4242)", 60, "2026-11-24T06:50:00.000000Z", "2026-11-24T06:51:30.000000Z"}},
		"released":        {`{"lock":{"who":"alice"},"seconds":60,"released":true}`, leaseSpec{}},
		"half":            {`{"lock":{"who":"alice"},"heartbeat":"yesterday","seconds":-1}`, leaseSpec{Holder: "alice"}},
		"other types":     {`{"lock":{"who":7},"heartbeat":7,"seconds":60.5}`, leaseSpec{Seconds: 60}},
		"no number":       {`{"lock":{"who":"a"},"seconds":"60"}`, leaseSpec{}},
		"too many":        {`{"seconds":1e300}`, leaseSpec{}},
		"no JSON":         {"round 1 racer 2\n", leaseSpec{}},
		"nothing":         {"", leaseSpec{}},
		"no text":         {"\xff\x00\xfe", leaseSpec{}},
		"odd characters":  {"\u2028 <&> \x00\r\n", leaseSpec{}},
		"a very long who": {`{"lock":{"who":"` + strings.Repeat("ü", 300) + `"}}`, leaseSpec{Holder: strings.Repeat("ü", 100)}},
	} {
		t.Run(name, func(t *testing.T) {
			tag = put(t, open(), remote.LockBlob, []byte(test.data), tag)
			got, err := open().Get(t.Context(), remote.LockBlob)
			if err != nil || string(got.Data) != test.data || got.Tag != tag {
				t.Errorf("%q came back, %v", got.Data, err)
			}
			if spec := c.objects["leases/shop.lock"].Spec; *spec != test.want {
				t.Errorf("%+v", *spec)
			}
		})
	}
	_, err = open().Put(t.Context(), remote.LockBlob, make([]byte, maxLock+1), tag)
	wantError(t, err, remote.Invalid)
	c.edit("leases/shop.lock", func(o *object) { o.Metadata.Annotations = nil })
	_, err = open().Get(t.Context(), remote.LockBlob)
	wantError(t, err, remote.Invalid, "this Lease is not one that Coffer wrote")
}

func TestAge(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	date := http.Header{"Date": {at.Format(http.TimeFormat)}}
	ours := managedFields{manager, "Update", at.Add(-time.Minute)}
	for name, test := range map[string]struct {
		header http.Header
		fields []managedFields
		want   time.Duration
	}{
		"ours":          {date, []managedFields{{"kubectl-label", "Update", at}, ours}, time.Minute},
		"by others":     {date, []managedFields{{"kubectl-label", "Update", at}, {manager, "Apply", at}}, -1},
		"no fields":     {date, nil, -1},
		"no date":       {http.Header{}, []managedFields{ours}, -1},
		"no time":       {date, []managedFields{{Manager: manager, Operation: "Update"}}, -1},
		"clocks differ": {date, []managedFields{{manager, "Update", at.Add(time.Second)}}, 0},
	} {
		if got := (metadata{ManagedFields: test.fields}).age(test.header); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// wantError checks an error's code and text, and that no credential is in it.
func wantError(t *testing.T, err error, code remote.Code, texts ...string) *remote.Error {
	t.Helper()
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	if e.Code != code {
		t.Errorf("code %s: %v", e.Code, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, e, e.Err), "canary") {
		t.Errorf("a credential or a body is in: %v", err)
	}
	return e
}

func TestArguments(t *testing.T) {
	good := kubeconfig(t, "https://c.example.com:6443/k8s/clusters/c-1/?x=1", "", "    token: "+token+"\n")
	open := func(c Config, env remote.Env) (*blobs, error) { return c.open(env, t.TempDir()) }
	for _, bad := range []string{"", "A", "a.b", "a/b", "-a", "a-", "ä", strings.Repeat("a", 64), "a\nb", "a?b"} {
		_, err := open(Config{Namespace: bad, Name: "a", Kubeconfig: good}, environment())
		wantError(t, err, remote.Invalid, "namespace")
		_, err = open(Config{Namespace: "a", Name: bad, Kubeconfig: good}, environment())
		wantError(t, err, remote.Invalid, "name")
	}
	dir := filepath.Dir(good)
	write(t, filepath.Join(dir, "text"), "canary: [")
	write(t, filepath.Join(dir, "empty"), "apiVersion: v1\nkind: Config\n")
	t.Chdir(dir)
	for name, test := range map[string]struct {
		config Config
		env    remote.Env
		says   string
	}{
		"no file":         {Config{Kubeconfig: "/none"}, environment(), "kubeconfig: there is no file /none"},
		"no KUBECONFIG":   {Config{}, environment("KUBECONFIG", "/none"+string(filepath.ListSeparator)+"/nor this"), "KUBECONFIG: there is no file /none, /nor this"},
		"no kubeconfig":   {Config{Kubeconfig: filepath.Join(dir, "text")}, environment(), "kubeconfig: it cannot be read"},
		"empty":           {Config{Kubeconfig: filepath.Join(dir, "empty")}, environment(), "no current context: write context"},
		"no context":      {Config{Kubeconfig: good, Context: "prod"}, environment(), `it has no context "prod"`},
		"no user":         {Config{Kubeconfig: good, Context: "nobody"}, environment(), `no user "missing", which its context "nobody" names`},
		"no authority":    {Config{Kubeconfig: kubeconfig(t, "https://c", "canary", "    token: a\n")}, environment(), "cannot be used"},
		"no cluster":      {Config{}, environment("HOME", t.TempDir()), "no cluster is known"},
		"context in none": {Config{Context: "prod"}, environment("KUBERNETES_SERVICE_HOST", "10.0.0.1"), `context "prod": there is no kubeconfig`},
		"no account":      {Config{}, environment("KUBERNETES_SERVICE_HOST", "10.0.0.1", "KUBERNETES_SERVICE_PORT", "443"), "a pod without a service account"},
	} {
		t.Run(name, func(t *testing.T) {
			test.config.Namespace, test.config.Name = "team", "shop"
			_, err := open(test.config, test.env)
			if e := wantError(t, err, remote.Invalid, test.says, "/team/shop: cannot open"); !e.Unchanged {
				t.Error("not unchanged")
			}
		})
	}
	for name, test := range map[string]struct {
		config Config
		env    remote.Env
	}{
		"relative":   {Config{Kubeconfig: "config"}, remote.Env{Dir: dir, Getenv: environment().Getenv}},
		"KUBECONFIG": {Config{Context: "main"}, environment("KUBECONFIG", "/none"+string(filepath.ListSeparator)+good)},
		"home":       {Config{Kubeconfig: "~/config"}, environment("HOME", dir)},
		"absolute":   {Config{Kubeconfig: good}, environment("KUBERNETES_SERVICE_HOST", "10.0.0.1")},
	} {
		test.config.Namespace, test.config.Name = "team", "shop"
		b, err := open(test.config, test.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := b.String(); got != "kubernetes://c.example.com:6443/k8s/clusters/c-1/team/shop" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// In a pod nothing need be written, and a replaced token is noticed.
func TestInCluster(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), token)
	write(t, filepath.Join(dir, "ca.crt"), c.ca())
	host, port, _ := strings.Cut(strings.TrimPrefix(c.URL, "https://"), ":")
	env := environment("KUBERNETES_SERVICE_HOST", host, "KUBERNETES_SERVICE_PORT", port, "HOME", t.TempDir())
	b, err := (&Config{Namespace: namespace, Name: "shop"}).open(env, dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, remote.StateBlob, []byte("1"), "")
}

// Whoever removes old parts late takes none away from a write that came after,
// even one of the same content, and even one that has only its parts yet.
func TestLateRemoval(t *testing.T) {
	c := newCluster(t)
	open := c.opener(t, "shop")
	old := incompressible(2*partBytes, 1)
	first := put(t, open(), remote.StateBlob, old, "")
	writer, next := open(), open()
	early := incompressible(2*partBytes, 3)
	var begun map[string][]byte
	second := ""
	c.following(func(r *http.Request) {
		if r.Method != http.MethodPut || second != "" {
			return
		}
		now, err := open().Get(context.Background(), remote.StateBlob)
		if err != nil {
			t.Error(err)
		}
		second = now.Tag
		_, begun = split("shop", remote.StateBlob, second, early, false)
		if err := next.writeParts(context.Background(), remote.StateBlob, begun); err != nil {
			t.Error(err)
		}
		if _, err := next.Put(context.Background(), remote.StateBlob, old, second); err != nil {
			t.Error(err)
		}
		if err := next.writeParts(context.Background(), remote.StateBlob, begun); err != nil {
			t.Error(err)
		}
	})
	put(t, writer, remote.StateBlob, incompressible(2*partBytes, 2), first)
	got, err := open().Get(t.Context(), remote.StateBlob)
	if err != nil || !bytes.Equal(got.Data, old) {
		t.Errorf("a part of the later write is gone: %v", err)
	}
	for name := range begun {
		if !slices.Contains(c.names(), "secrets/"+name) {
			t.Error("a part of a write that was under way is gone")
		}
	}
}
