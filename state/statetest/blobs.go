package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
)

// Blobs checks what [remote.Blobs] promises. place makes an empty place and
// returns how to open it, each time as another process would.
func Blobs(t *testing.T, place func(t *testing.T) (open func() remote.Blobs)) {
	for _, c := range blobCases {
		t.Run(c.name, func(t *testing.T) { c.check(t, place(t)) })
	}
}

var blobCases = []struct {
	name  string
	check func(t *testing.T, open func() remote.Blobs)
}{
	{"what is not there", blobMissing},
	{"exact bytes come back", blobBytes},
	{"a stale tag writes nothing", blobStale},
	{"one of many racers wins", blobRace},
	{"another process sees a write at once", blobSeen},
	{"blobs do not mix", blobNames},
	{"a cancelled context changes nothing", blobCancelled},
	{"the place is named without a credential", blobPlace},
	{"age is by the store's clock", blobAge},
}

func blobMissing(t *testing.T, open func() remote.Blobs) {
	b := open()
	if _, err := b.Get(t.Context(), remote.StateBlob); !errors.Is(err, remote.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if _, err := b.Put(t.Context(), remote.StateBlob, []byte("x"), otherTag(t, b)); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("replace: %v", err)
	}
	if err := b.Delete(t.Context(), remote.StateBlob, otherTag(t, b)); !errors.Is(err, remote.ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
	if _, err := b.Get(t.Context(), remote.StateBlob); !errors.Is(err, remote.ErrNotFound) {
		t.Errorf("get after a refused replace: %v", err)
	}
}

// otherTag is a tag of the right form that no blob of a test has any more.
func otherTag(t *testing.T, b remote.Blobs) string {
	t.Helper()
	const name = remote.ProbePrefix + "tag"
	match := ""
	if now, err := b.Get(t.Context(), name); err == nil {
		match = now.Tag
	}
	stale, err := b.Put(t.Context(), name, []byte("a"+match), match)
	must(t, err)
	_, err = b.Put(t.Context(), name, []byte("b"+match), stale)
	must(t, err)
	return stale
}

func blobBytes(t *testing.T, open func() remote.Blobs) {
	b := open()
	tag := ""
	for _, data := range [][]byte{
		[]byte("{}\n"), {0}, {0xff, 0xfe, '\n', '\r', 0}, []byte("ü\u2028 \n\n"), []byte(strings.Repeat("entry ", 1<<19)), []byte("short again"),
	} {
		var err error
		tag, err = b.Put(t.Context(), remote.StateBlob, data, tag)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
		got, err := open().Get(t.Context(), remote.StateBlob)
		must(t, err)
		if !bytes.Equal(got.Data, data) || got.Tag != tag || tag == "" {
			t.Errorf("%d bytes, tag %q came back as %d bytes, tag %q", len(data), tag, len(got.Data), got.Tag)
		}
	}
}

func blobStale(t *testing.T, open func() remote.Blobs) {
	b := open()
	first, err := b.Put(t.Context(), remote.JournalBlob, []byte("1"), "")
	must(t, err)
	if _, err := b.Put(t.Context(), remote.JournalBlob, []byte("x"), ""); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("create twice: %v", err)
	}
	second, err := b.Put(t.Context(), remote.JournalBlob, []byte("2"), first)
	must(t, err)
	if first == second {
		t.Error("two contents have one tag")
	}
	if _, err := b.Put(t.Context(), remote.JournalBlob, []byte("x"), first); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("stale replace: %v", err)
	}
	got, err := b.Get(t.Context(), remote.JournalBlob)
	must(t, err)
	if string(got.Data) != "2" || got.Tag != second {
		t.Errorf("%q, tag %q, want 2, %q", got.Data, got.Tag, second)
	}
	must(t, b.Delete(t.Context(), remote.JournalBlob, second))
	if _, err := b.Get(t.Context(), remote.JournalBlob); !errors.Is(err, remote.ErrNotFound) {
		t.Errorf("get after delete: %v", err)
	}
	if _, err := b.Put(t.Context(), remote.JournalBlob, []byte("3"), ""); err != nil {
		t.Errorf("create after delete: %v", err)
	}
}

func blobRace(t *testing.T, open func() remote.Blobs) {
	b := open()
	tag := ""
	for round := range 3 {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			won  []string
			next string
		)
		for i := range 20 {
			wg.Go(func() {
				mine := fmt.Sprintf("round %d racer %d", round, i)
				got, err := open().Put(t.Context(), remote.LockBlob, []byte(mine), tag)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won, next = append(won, mine), got
				case !errors.Is(err, remote.ErrConflict):
					t.Errorf("racer: %v", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d racers won", round, len(won))
		}
		got, err := b.Get(t.Context(), remote.LockBlob)
		must(t, err)
		if string(got.Data) != won[0] || got.Tag != next {
			t.Fatalf("%q won, and %q is there", won[0], got.Data)
		}
		tag = next
	}
}

func blobSeen(t *testing.T, open func() remote.Blobs) {
	one, two := open(), open()
	tag := ""
	for i := range 10 {
		var err error
		tag, err = one.Put(t.Context(), remote.StateBlob, fmt.Append(nil, i), tag)
		must(t, err)
		got, err := two.Get(t.Context(), remote.StateBlob)
		must(t, err)
		if string(got.Data) != fmt.Sprint(i) || got.Tag != tag {
			t.Fatalf("write %d, and another reads %q", i, got.Data)
		}
	}
}

func blobNames(t *testing.T, open func() remote.Blobs) {
	b := open()
	names := []string{remote.StateBlob, remote.JournalBlob, remote.LockBlob, remote.ProbePrefix + "1a2b"}
	for _, name := range names {
		_, err := b.Put(t.Context(), name, []byte(name), "")
		must(t, err)
	}
	for _, name := range names {
		got, err := b.Get(t.Context(), name)
		must(t, err)
		if string(got.Data) != name {
			t.Errorf("%s holds %q", name, got.Data)
		}
	}
}

func blobCancelled(t *testing.T, open func() remote.Blobs) {
	b := open()
	tag, err := b.Put(t.Context(), remote.StateBlob, []byte("1"), "")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Put(ctx, remote.StateBlob, []byte("2"), tag); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := b.Get(ctx, remote.StateBlob); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	got, err := b.Get(t.Context(), remote.StateBlob)
	must(t, err)
	if string(got.Data) != "1" {
		t.Errorf("%q", got.Data)
	}
}

func blobPlace(t *testing.T, open func() remote.Blobs) {
	if s := open().String(); s == "" || strings.ContainsAny(s, "\n?#") {
		t.Errorf("the place is called %q", s)
	}
}

func blobAge(t *testing.T, open func() remote.Blobs) {
	b := open()
	_, err := b.Put(t.Context(), remote.LockBlob, []byte("1"), "")
	must(t, err)
	got, err := b.Get(t.Context(), remote.LockBlob)
	must(t, err)
	if got.Age.Minutes() > 1 {
		t.Errorf("written just now, and %s old", got.Age)
	}
}
