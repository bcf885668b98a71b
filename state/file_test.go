package state_test

import (
	"path/filepath"
	"testing"

	"github.com/cofferhq/coffer/internal/durable/crashfs"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/statetest"
)

const project = statetest.Project

func TestFile(t *testing.T) {
	statetest.Run(t, func(t *testing.T) func() state.Store {
		path := filepath.Join(t.TempDir(), "coffer.state.json")
		return func() state.Store { return state.OpenFile(path, state.FileOptions{Project: project}) }
	})
}

// The same on a disk in memory, as the crash tests use it.
func TestFileInMemory(t *testing.T) {
	statetest.Run(t, func(t *testing.T) func() state.Store {
		disk, locks := crashfs.New(), state.MemoryLocks()
		return func() state.Store { return onDisk(disk, locks) }
	})
}

func TestFileSurvivesCrash(t *testing.T) {
	statetest.Crash(t, func(disk *crashfs.FS) state.Store { return onDisk(disk, state.MemoryLocks()) })
}

func onDisk(disk *crashfs.FS, locks state.Locker) *state.File {
	return state.OpenFile("dir/coffer.state.json", state.FileOptions{Project: project, FS: disk, Locks: locks})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
