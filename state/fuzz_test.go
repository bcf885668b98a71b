package state_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/durable/crashfs"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

// Whatever is in the file, Decode ends with an error or with a snapshot that
// is written and read back as itself.
func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	for _, seed := range []string{
		"", "{}", `{"version": 1}`, `{"version": 99}`, `{"version": 1, "entries": [null, null]}`, "<<<<<<< a\n=======\n>>>>>>> b\n",
		strings.Repeat("[", 100), `{"version":1,"project":"p","lineage":"l","serial":1,"providers":{},"entries":[null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := state.Decode(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		encoded, err := state.Encode(s)
		if err != nil {
			t.Fatalf("decoded and cannot be encoded: %v", err)
		}
		again, err := state.Decode(encoded)
		if err != nil {
			t.Fatalf("encoded and cannot be decoded: %v", err)
		}
		if twice, err := state.Encode(again); err != nil || !bytes.Equal(twice, encoded) {
			t.Fatalf("not stable: %v", err)
		}
	})
}

const (
	statePath   = "dir/coffer.state.json"
	journalPath = statePath + ".journal"
)

// journal returns a state and a journal on it, as an interrupted apply leaves
// them.
func journal(t testing.TB) (stateFile, journalFile []byte) {
	t.Helper()
	disk := crashfs.New()
	session, err := onDisk(disk, state.MemoryLocks()).Lock(t.Context(), statetest.Who("apply"))
	if err == nil {
		err = session.Save(t.Context(), statetest.Snapshot("db"))
	}
	for _, r := range []state.Record{statetest.Intent("db", "op-2", "v1"), statetest.Intent("api", "op-2", ""), statetest.Outcome("db", "v2")} {
		if err == nil {
			err = session.Append(t.Context(), r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	stateFile, _ = disk.Content(statePath)
	journalFile, _ = disk.Content(journalPath)
	return stateFile, journalFile
}

// Whatever is in the journal, with checksums that fit and with those that are
// there, a reader gets an error or a state that can be saved.
func FuzzJournal(f *testing.F) {
	stateFile, journalFile := journal(f)
	f.Add(journalFile)
	f.Add([]byte{})
	f.Add([]byte("0000000000000000 {}\n"))
	f.Add(append(bytes.Clone(journalFile), journalFile...))
	f.Add(journalFile[:len(journalFile)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, state.SealJournal(data)} {
			disk := crashfs.New()
			disk.Put(statePath, stateFile)
			disk.Put(journalPath, file)
			s, err := onDisk(disk, state.MemoryLocks()).Read(t.Context())
			if err != nil {
				continue
			}
			if _, err := state.Encode(s); err != nil {
				t.Fatalf("replayed and cannot be saved: %v", err)
			}
		}
	})
}
