//go:build servers

package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// cutter stands between the backend and a server, and does something to the
// nth round of messages over all connections: what a client sends up to a Sync,
// and the answers to it.
type cutter struct {
	server   string
	listener net.Listener

	mu    sync.Mutex
	fault string // "before": the round does not arrive; "after": its answer does not; "slow"
	nth   int    // 0 hits none
	only  bool   // the ones after it are left alone
	seen  int
}

func newCutter(t *testing.T, s *server) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	c := &cutter{server: net.JoinHostPort(s.host, s.port), listener: listener}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c
}

func (c *cutter) port() string {
	_, port, _ := net.SplitHostPort(c.listener.Addr().String())
	return port
}

func (c *cutter) set(fault string, nth int, only bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.nth, c.only, c.seen = fault, nth, only, 0
}

// rounds is how many there were since set.
func (c *cutter) rounds() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// round counts one and returns what happens to it.
func (c *cutter) round() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen++
	if c.nth > 0 && (c.seen == c.nth || c.seen > c.nth && !c.only) {
		return c.fault
	}
	return ""
}

func (c *cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	first := make([]byte, 4) // the start has no type
	if _, err := io.ReadFull(client, first); err != nil {
		return
	}
	rest := make([]byte, binary.BigEndian.Uint32(first)-4)
	if _, err := io.ReadFull(client, rest); err != nil {
		return
	}
	if _, err := server.Write(append(first, rest...)); err != nil {
		return
	}
	var answers sync.Mutex // held while those of a round are kept back
	go func() {
		defer func() { _ = client.Close() }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			answers.Lock()
			_, wrote := client.Write(buffer[:n])
			answers.Unlock()
			if err != nil || wrote != nil {
				return
			}
		}
	}()
	var round []byte
	for {
		message, err := frontend(client)
		if err != nil {
			return
		}
		// The server begins with what it has: a round goes there whole, or not.
		round = append(round, message...)
		what := ""
		switch message[0] {
		case 'S':
			what = c.round()
		case 'p', 'X': // a password, a farewell
		default:
			continue
		}
		switch what {
		case "before":
			return
		case "after":
			answers.Lock()
			_, _ = server.Write(append(round, 'X', 0, 0, 0, 4))
			_, _ = io.Copy(io.Discard, server) // until it has done all
			_ = client.Close()
			answers.Unlock()
			return
		case "slow":
			<-time.After(200 * time.Millisecond)
		}
		if _, err := server.Write(round); err != nil {
			return
		}
		round = round[:0]
	}
}

// frontend reads one message.
func frontend(client net.Conn) ([]byte, error) {
	header := make([]byte, 5)
	if _, err := io.ReadFull(client, header); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
	_, err := io.ReadFull(client, body)
	return append(header, body...), err
}

// TestFaults cuts the connection before and after every round of a whole run,
// of which one holds the COMMIT, makes every round slow, and refuses
// connections: nothing is lost, doubled or waited for without end, and the next
// run finds its way.
func TestFaults(t *testing.T) {
	s := startServer(t)
	cut := newCutter(t, s)
	_, c := s.place()
	through := c
	through.Connection = strings.Replace(c.Connection, "port="+s.port, "port="+cut.port(), 1)
	if err := applied(t, through, "first", time.Minute); err != nil {
		t.Fatal(err)
	}
	cut.set("", 0, false)
	if err := applied(t, through, "second", time.Minute); err != nil {
		t.Fatal(err)
	}
	rounds, runs := cut.rounds(), 0
	if rounds < 8 {
		t.Fatalf("only %d rounds", rounds)
	}
	for _, fault := range []string{"before", "after", "slow"} {
		for nth := 1; nth <= rounds; nth++ {
			for _, only := range []bool{true, false} {
				if fault == "slow" && (only || nth > 1) {
					continue
				}
				runs++
				name := fmt.Sprintf("f%d", runs)
				cut.set(fault, nth, only)
				began := time.Now()
				err := applied(t, through, name, time.Second)
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("%s, round %d: it took %s", fault, nth, took)
				}
				cut.set("", 0, false)
				if fault == "slow" && err != nil {
					t.Errorf("slow: %v", err)
				}
				told(t, s, fmt.Sprintf("%s, round %d", fault, nth), err)
				found(t, c, runs, name, err)
			}
		}
	}
	_ = cut.listener.Close()
	err := applied(t, through, "refused", time.Second)
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || !e.Unchanged {
		t.Errorf("refused: %v", err)
	}
	told(t, s, "refused", err)
	t.Logf("%d rounds, %d runs", rounds, runs)
}

// told checks that an error is typed and holds no password.
func told(t *testing.T, s *server, where string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	_, of := errors.AsType[*remote.Error](err)
	_, lost := errors.AsType[*state.LostLockError](err)
	if !of && !lost || strings.Contains(err.Error(), s.password) {
		t.Errorf("%s: %v", where, err)
	}
}

// applied is a run that makes one secret.
func applied(t *testing.T, c Config, name string, patience time.Duration) (err error) {
	t.Helper()
	store := remote.New(open(t, c), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader, Patience: patience})
	defer func() { _ = store.Blobs().(io.Closer).Close() }()
	who := statetest.Who("apply")
	who.ID = "lock-of-" + name
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	session, err := store.Lock(ctx, who)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Unlock(t.Context())) }()
	snapshot, err := session.Load(t.Context())
	if errors.Is(err, state.ErrNotExist) {
		snapshot, err = statetest.Snapshot(), nil
	}
	if err != nil {
		return err
	}
	if err := session.Append(t.Context(), statetest.Intent(name, "op-1", "")); err != nil {
		return err
	}
	snapshot.Entries[statetest.At(name)] = statetest.Entry(name, "v1")
	return session.Save(t.Context(), snapshot)
}

// found looks at what a run left, and lets the next one go on from there.
func found(t *testing.T, c Config, runs int, name string, err error) {
	t.Helper()
	store := remote.New(open(t, c), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
	defer func() { _ = store.Blobs().(io.Closer).Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	session, lockErr := store.Lock(ctx, statetest.Who("import"))
	if lockErr != nil {
		t.Fatal(lockErr)
	}
	snapshot, loadErr := session.Load(t.Context())
	if loadErr != nil {
		t.Fatal(loadErr)
	}
	if e := snapshot.Entries[statetest.At(name)]; err == nil && (e == nil || e.Pending != nil) {
		t.Errorf("%s was saved, and the entry is %+v", name, e)
	}
	snapshot.Entries[statetest.At(name)] = statetest.Entry(name, "v1")
	if err := errors.Join(session.Save(t.Context(), snapshot), session.Unlock(t.Context())); err != nil {
		t.Fatal(err)
	}
	for n := range runs {
		if snapshot.Entries[statetest.At(fmt.Sprintf("f%d", n+1))] == nil {
			t.Fatalf("f%d is lost", n+1)
		}
	}
}

// What one call did is what it says, wherever its connection is cut.
func TestFaultsOfOneCall(t *testing.T) {
	s := startServer(t)
	cut := newCutter(t, s)
	_, c := s.place()
	through := c
	through.Connection = strings.Replace(c.Connection, "port="+s.port, "port="+cut.port(), 1)
	direct := open(t, c)
	n := 0
	for _, blob := range []string{remote.StateBlob, remote.JournalBlob} {
		was := someState(t, 20, 1, nil)
		tag := put(t, direct, was, "")
		if blob == remote.JournalBlob {
			var err error
			if tag, err = direct.Put(t.Context(), blob, was, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, fault := range []string{"before", "after"} {
			for nth := 1; ; nth++ {
				n++
				b := open(t, through)
				next := someState(t, 20+n, uint64(n)+1, nil)
				cut.set(fault, nth, true)
				_, err := b.Put(t.Context(), blob, next, tag)
				hit := cut.rounds() >= nth
				cut.set("", 0, false)
				got, readErr := direct.Get(t.Context(), blob)
				if readErr != nil {
					t.Fatal(readErr)
				}
				e, typed := errors.AsType[*remote.Error](err)
				switch changed := got.Tag != tag; {
				case hit && !typed:
					t.Errorf("%s, %s round %d: %v", blob, fault, nth, err)
				case hit && e.Unchanged && changed, changed && !bytes.Equal(got.Data, next), !changed && !bytes.Equal(got.Data, was):
					t.Errorf("%s, %s round %d: changed %t, and it says %v", blob, fault, nth, changed, err)
				}
				tag, was = got.Tag, got.Data
				if !hit {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
			}
		}
		if blob == remote.StateBlob {
			_, c = s.place()
			through.Schema, direct = c.Schema, open(t, c)
		}
	}
}
