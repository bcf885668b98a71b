package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/cofferhq/coffer/internal/durable/crashfs"
)

const logPath = "/d/audit.log"

func openOn(disk *crashfs.FS) (*Log, error) {
	opts := options()
	opts.FS, opts.Lock = disk, noLock
	return Open(logPath, opts)
}

// TestCrashAnywhere stops the machine before every change of the disk while a
// log is opened and written, alone and in groups, and looks at everything that
// may survive: each record that was acknowledged is there, the log opens, a cut
// is noted, and the whole verifies.
func TestCrashAnywhere(t *testing.T) {
	points, survivors := 0, 0
	for stop := 1; ; stop++ {
		disk := crashfs.New()
		disk.CrashBefore(stop)
		var acknowledged []string
		if l, err := openOn(disk); err == nil {
			acknowledged = work(l)
		}
		if !disk.Crashed() {
			break
		}
		points++
		for _, after := range disk.Survivors() {
			survivors++
			checkSurvivor(t, fmt.Sprintf("crash before change %d", stop), after, acknowledged)
		}
	}
	if points < 10 {
		t.Errorf("only %d points", points)
	}
	t.Logf("%d crash points, %d survivors", points, survivors)
}

// work writes single records, then a group, and returns the operations that
// were acknowledged.
func work(l *Log) []string {
	var mu sync.Mutex
	var acknowledged []string
	one := func(i int) {
		if e := event(i); l.Record(context.Background(), e) == nil {
			mu.Lock()
			acknowledged = append(acknowledged, e.Op)
			mu.Unlock()
		}
	}
	one(0)
	one(1)
	// A group, without leaving it to chance that calls meet.
	events := []Event{event(2), event(3), event(4)}
	if l.write(events) == nil {
		for _, e := range events {
			acknowledged = append(acknowledged, e.Op)
		}
	}
	one(5)
	return acknowledged
}

func checkSurvivor(t *testing.T, what string, disk *crashfs.FS, acknowledged []string) {
	t.Helper()
	before, _ := disk.Content(logPath)
	l, err := openOn(disk)
	if err != nil {
		t.Errorf("%s: does not open: %v\n%q", what, err, before)
		return
	}
	if err := l.Record(context.Background(), event(9)); err != nil {
		t.Errorf("%s: does not go on: %v", what, err)
		return
	}
	text, _ := disk.Content(logPath)
	r := verify(t, text, VerifyOptions{Anchor: l.Anchor()})
	if !r.OK() || r.Torn != 0 {
		t.Errorf("%s: %+v\n%q", what, r, text)
	}
	for _, op := range acknowledged {
		if !bytes.Contains(text, []byte(`"op":"`+op+`"`)) {
			t.Errorf("%s: %s was acknowledged and is lost", what, op)
		}
	}
	common := 0
	for common < min(len(before), len(text)) && before[common] == text[common] {
		common++
	}
	if common < len(before) && r.Crashes == 0 {
		t.Errorf("%s: %d bytes went silently", what, len(before)-common)
	}
}

// TestTornAnywhere cuts a log at every byte, and fills what a disk did not
// write with zeros, block by block.
func TestTornAnywhere(t *testing.T) {
	l := &Log{opts: options()}
	var lines [][]byte
	at := Anchor{}
	for i, position := range []int{0, 0, 0, 1, 2} { // two alone, then a group
		r := l.record(event(i), at, position)
		lines, at = append(lines, r.seal()), r.anchor()
	}
	whole := join(lines...)
	durable := len(lines[0]) + len(lines[1])
	check := func(what string, text []byte) {
		t.Helper()
		disk := crashfs.New()
		disk.Put(logPath, text)
		checkSurvivor(t, what, disk, []string{"op-0", "op-1"})
	}
	for size := durable; size < len(whole); size++ {
		check(fmt.Sprintf("cut at %d", size), whole[:size])
		for _, block := range []int{64, 512} {
			torn := bytes.Clone(whole)
			clear(torn[size:min(size+block, len(torn))])
			check(fmt.Sprintf("%d zeros at %d", block, size), torn)
		}
	}
	for size := 0; size < len(lines[0]); size++ {
		disk := crashfs.New()
		disk.Put(logPath, lines[0][:size])
		checkSurvivor(t, fmt.Sprintf("first record cut at %d", size), disk, nil)
	}
}

// TestOldDamageIsNoCrash: what cannot come from a crash is not cut off, so that
// Verify still finds it.
func TestOldDamageIsNoCrash(t *testing.T) {
	lines := sample(t, 6)
	lines[3][10] ^= 1
	text := join(lines...)
	disk := crashfs.New()
	disk.Put(logPath, text)
	l, err := openOn(disk)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, l, 6, 7)
	after, _ := disk.Content(logPath)
	if !bytes.HasPrefix(after, text) {
		t.Error("the log was changed")
	}
	if r := verify(t, after, VerifyOptions{}); r.OK() || r.Problems[0].Line != 4 || r.Crashes != 0 {
		t.Errorf("report %+v", r)
	}
}

// TestFullDisk: a write that fails is an error, leaves no half record, and the
// next record goes on; an fsync that fails is final.
func TestFullDisk(t *testing.T) {
	disk := crashfs.New()
	l, err := openOn(disk)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, l, 0, 2)
	before, _ := disk.Content(logPath)
	fail := func(kind string, cause error) {
		disk.Fault(func(op crashfs.Op) error {
			if op.Kind == kind {
				return cause
			}
			return nil
		})
	}
	fail("write", syscall.ENOSPC)
	if err := l.Record(context.Background(), event(2)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	disk.Fault(nil)
	if after, _ := disk.Content(logPath); !bytes.Equal(after, before) {
		t.Errorf("half a record is left: %q", after[len(before):])
	}
	keep(t, l, 2, 3)
	fail("sync", syscall.EIO)
	if err := l.Record(context.Background(), event(3)); !errors.Is(err, syscall.EIO) {
		t.Errorf("failed fsync: %v", err)
	}
	disk.Fault(nil)
	if err := l.Record(context.Background(), event(4)); !errors.Is(err, syscall.EIO) {
		t.Errorf("after a failed fsync: %v", err)
	}
	for _, kind := range []string{"open", "stat", "read", "create"} {
		disk := crashfs.New()
		disk.Put(logPath, before)
		if kind == "create" {
			disk = crashfs.New()
		}
		fails := func(op crashfs.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		}
		disk.Fault(fails)
		if _, err := openOn(disk); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
