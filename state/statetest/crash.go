package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/durable/crashfs"
	"github.com/cofferhq/coffer/state"
)

// Crash stops the machine before every change that an apply makes to its disk,
// and looks at every content that the disk may then have: each reads as the
// state before or after some record, never before one whose append or save had
// returned; recovering from there ends at the same state; and the same again
// for a crash inside the recovery. open opens a store on a disk.
func Crash(t *testing.T, open func(disk *crashfs.FS) state.Store) {
	for _, first := range []bool{true, false} {
		name := "a later apply"
		if first {
			name = "the first apply"
		}
		t.Run(name, func(t *testing.T) {
			c := crash{t: t, open: open, first: first, seen: map[string]bool{}}
			c.steps()
			c.run()
			t.Logf("%d crashes, %d survivors; inside the recovery %d crashes, %d survivors",
				c.crashes, c.survivors, c.nestedCrashes, c.nestedSurvivors)
			if c.survivors < 100 || c.nestedSurvivors < 1000 {
				t.Error("these are too few to mean anything")
			}
		})
	}
}

type crash struct {
	t       *testing.T
	open    func(*crashfs.FS) state.Store
	first   bool
	batches [][]state.Record
	after   []string // the state as text, after so many batches
	rank    map[string]int
	seen    map[string]bool // contents of disks that were recovered from

	crashes, survivors, nestedCrashes, nestedSurvivors int
}

// steps makes the apply: batches of records, and the state after each.
func (c *crash) steps() {
	drop := state.Record{Kind: state.RecordDrop, Location: At("old")}
	c.batches = [][]state.Record{
		{Intent("a", "op-2", "v1"), Intent("b", "op-2", ""), Intent("old", "op-2", "v1")},
		{Outcome("a", "v2")},
		{Outcome("b", "v1"), drop},
	}
	s := c.start()
	c.after = []string{text(s)}
	if c.first {
		c.after[0] = "nothing"
	}
	for _, batch := range c.batches {
		for _, r := range batch {
			must(c.t, s.Apply(r))
		}
		c.after = append(c.after, text(s))
	}
	c.rank = map[string]int{}
	for i, s := range c.after {
		c.rank[s] = i
	}
	if c.first { // an empty journal says so much: there is a project
		c.rank[text(state.New(Project, state.Lineage(Project)))] = 0
	}
}

// start is the state before the apply.
func (c *crash) start() *state.Snapshot {
	if c.first {
		return state.New(Project, state.Lineage(Project))
	}
	s := Snapshot("a", "old", "other")
	return s
}

func (c *crash) disk() *crashfs.FS {
	disk := crashfs.New()
	if !c.first {
		data, err := state.Encode(c.start())
		must(c.t, err)
		store := c.open(disk)
		must(c.t, pushTo(store, data))
	}
	return disk
}

func pushTo(store state.Store, data []byte) error {
	ctx := context.Background()
	session, err := store.Lock(ctx, Who("state push"))
	if err != nil {
		return err
	}
	_, err = state.Push(ctx, session, Project, data)
	return errors.Join(err, session.Unlock(ctx))
}

// apply runs the apply and returns how many batches are acknowledged.
func (c *crash) apply(store state.Store) (done int, err error) {
	ctx := context.Background()
	session, err := store.Lock(ctx, Who("apply"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Unlock(ctx)) }()
	s, err := session.Load(ctx)
	if errors.Is(err, state.ErrNotExist) {
		s, err = c.start(), nil
	}
	if err != nil {
		return 0, err
	}
	for _, batch := range c.batches {
		if err := session.Append(ctx, batch...); err != nil {
			return done, err
		}
		done++
		for _, r := range batch {
			if err := s.Apply(r); err != nil {
				return done, err
			}
		}
	}
	return done, session.Save(ctx, s)
}

func (c *crash) run() {
	for n := 1; ; n++ {
		disk := c.disk()
		disk.CrashBefore(n)
		done, err := c.apply(c.open(disk))
		if err == nil && !disk.Crashed() {
			return
		}
		c.crashes++
		for _, left := range disk.Survivors() {
			c.survivors++
			c.recoverFrom(left, c.look(left, done))
		}
	}
}

// recoverFrom stops the recovery from a disk that knows found batches before
// every change.
func (c *crash) recoverFrom(left *crashfs.FS, found int) {
	key := contentOf(left)
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	for m := 1; ; m++ {
		disk := copyOf(left)
		disk.CrashBefore(m)
		if err := c.recover(c.open(disk)); err != nil && !disk.Crashed() {
			c.t.Fatalf("recovery: %v", err)
		}
		c.nestedCrashes++
		for _, later := range disk.Survivors() {
			c.nestedSurvivors++
			if now := c.look(later, found); now != found {
				c.t.Fatalf("a crash in the recovery went from %d to %d batches", found, now)
			}
		}
		if !disk.Crashed() {
			return
		}
	}
}

func contentOf(disk *crashfs.FS) string {
	var b strings.Builder
	for _, name := range disk.Names() {
		data, _ := disk.Content(name)
		fmt.Fprintf(&b, "%q %q\n", name, data)
	}
	return b.String()
}

// look reads the disk and returns how many batches it knows, at least done.
func (c *crash) look(disk *crashfs.FS, done int) int {
	s, err := c.open(disk).Read(context.Background())
	if err != nil && !errors.Is(err, state.ErrNotExist) {
		c.t.Fatalf("a survivor cannot be read after %d batches: %v\n%q", done, err, disk.Names())
	}
	found, known := c.rank[text(s)]
	if !known {
		c.t.Fatalf("a survivor after %d batches is a mixture:\n%s", done, text(s))
	}
	if found < done {
		c.t.Fatalf("%d batches were acknowledged, a survivor knows %d", done, found)
	}
	return found
}

// recover does what the next apply does first: it loads, goes on with the
// journal and saves.
func (c *crash) recover(store state.Store) error {
	ctx := context.Background()
	session, err := store.Lock(ctx, Who("apply"))
	if err != nil {
		return err
	}
	defer func() { _ = session.Unlock(ctx) }()
	s, err := session.Load(ctx)
	if errors.Is(err, state.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// A record that changes nothing, so that the journal is gone on with.
	if err := session.Append(ctx, state.Record{Kind: state.RecordRefused, Location: At("nobody")}); err != nil {
		return err
	}
	return session.Save(ctx, s)
}

func copyOf(disk *crashfs.FS) *crashfs.FS {
	c := crashfs.New()
	for _, name := range disk.Names() {
		data, _ := disk.Content(name)
		c.Put(name, data)
	}
	return c
}
