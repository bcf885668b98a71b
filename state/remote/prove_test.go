package remote_test

import (
	"errors"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func TestBlobsInMemory(t *testing.T) {
	statetest.Blobs(t, func(*testing.T) func() remote.Blobs {
		m := &statetest.Memory{}
		return func() remote.Blobs { return m }
	})
}

func TestProveRefusesWhatIsNotEnforced(t *testing.T) {
	for _, c := range []struct {
		ignore []string
		failed []string
	}{
		{nil, nil},
		{[]string{"delete"}, nil},
		{[]string{"create"}, []string{"create twice", "racing creators"}},
		{[]string{"replace"}, []string{"stale replace", "replace of nothing"}},
	} {
		m := &statetest.Memory{Ignore: c.ignore}
		_, err := remote.Prove(t.Context(), m, "1")
		var failed []string
		if unsafe, ok := errors.AsType[*remote.UnsafeError](err); ok {
			for _, check := range unsafe.Checks {
				failed = append(failed, check.Name)
			}
		} else if err != nil {
			t.Errorf("%v: %v", c.ignore, err)
		}
		if len(failed) != len(c.failed) {
			t.Errorf("%v: failed %q, want %q", c.ignore, failed, c.failed)
		}
		for _, call := range m.Calls() {
			if _, err := m.Get(t.Context(), call.Name); !errors.Is(err, remote.ErrNotFound) {
				t.Errorf("%v: %s is left", c.ignore, call.Name)
			}
		}
	}
}
