package kubernetes

import (
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
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
