package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
)

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
		{"many", incompressible(5*partBytes, 3), 6},
		{"other many", incompressible(5*partBytes, 4), 6},
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
