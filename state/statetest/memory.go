package statetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

// Memory is a store of blobs in memory that does what a test asks for. The zero
// value is a store that enforces everything. It is safe for concurrent use.
type Memory struct {
	// Ignore are conditions that it does not enforce: "create", "replace",
	// "delete".
	Ignore []string
	// Fault, when not nil, is called before and after the effect of each call;
	// an error from it is the answer.
	Fault func(call Call, after bool) error
	// Now is the store's clock; nil tells no age.
	Now func() time.Time
	// Keep keeps every content that was replaced.
	Keep bool

	mu    sync.Mutex
	blobs map[string]memoryBlob
	past  map[string][]memoryBlob // the oldest first
	made  int
	calls []Call
}

// Call is one request.
type Call struct{ Op, Name string }

func (c Call) String() string { return c.Op + " " + c.Name }

type memoryBlob struct {
	data    []byte
	tag     string
	written time.Time
}

var (
	_ remote.Blobs     = (*Memory)(nil)
	_ remote.Historian = (*Memory)(nil)
)

// Calls returns the requests made so far.
func (m *Memory) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Set puts data into a blob past every condition, as an operator would.
func (m *Memory) Set(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(name, data)
}

func (m *Memory) String() string { return "memory" }

// Get implements [remote.Blobs].
func (m *Memory) Get(ctx context.Context, name string) (got remote.Blob, err error) {
	err = m.call(ctx, Call{"get", name}, func() error {
		b, ok := m.blobs[name]
		if !ok {
			return remote.ErrNotFound
		}
		got = remote.Blob{Data: slices.Clone(b.data), Tag: b.tag, Age: -1}
		if m.Now != nil {
			got.Age = m.Now().Sub(b.written)
		}
		return nil
	})
	return got, err
}

// Put implements [remote.Blobs].
func (m *Memory) Put(ctx context.Context, name string, data []byte, match string) (tag string, err error) {
	err = m.call(ctx, Call{"put", name}, func() error {
		b := m.blobs[name]
		condition := "replace"
		if match == "" {
			condition = "create"
		}
		if b.tag != match && !slices.Contains(m.Ignore, condition) {
			return remote.ErrConflict
		}
		tag = m.put(name, data)
		return nil
	})
	return tag, err
}

func (m *Memory) put(name string, data []byte) string {
	if m.blobs == nil {
		m.blobs = map[string]memoryBlob{}
	}
	m.made++
	b := memoryBlob{data: slices.Clone(data), tag: fmt.Sprint(m.made)}
	if m.Now != nil {
		b.written = m.Now()
	}
	m.blobs[name] = b
	if m.Keep {
		if m.past == nil {
			m.past = map[string][]memoryBlob{}
		}
		m.past[name] = append(m.past[name], b)
	}
	return b.tag
}

// History implements [remote.Historian].
func (m *Memory) History(ctx context.Context, name string) (list []remote.Version, err error) {
	err = m.call(ctx, Call{"history", name}, func() error {
		for i, b := range m.past[name] {
			list = append([]remote.Version{{ID: b.tag, Written: b.written, Bytes: int64(len(b.data)), Latest: i == len(m.past[name])-1}}, list...)
		}
		return nil
	})
	return list, err
}

// GetVersion implements [remote.Historian].
func (m *Memory) GetVersion(ctx context.Context, name, id string) (data []byte, err error) {
	err = m.call(ctx, Call{"get version", name}, func() error {
		for _, b := range m.past[name] {
			if b.tag == id {
				data = slices.Clone(b.data)
				return nil
			}
		}
		return remote.ErrNotFound
	})
	return data, err
}

// Delete implements [remote.Blobs].
func (m *Memory) Delete(ctx context.Context, name, match string) error {
	return m.call(ctx, Call{"delete", name}, func() error {
		switch b, ok := m.blobs[name]; {
		case !ok:
			return remote.ErrNotFound
		case b.tag != match && !slices.Contains(m.Ignore, "delete"):
			return remote.ErrConflict
		}
		delete(m.blobs, name)
		return nil
	})
}

func (m *Memory) call(ctx context.Context, c Call, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Fault != nil {
		if err := m.Fault(c, false); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.calls = append(m.calls, c)
	err := do()
	m.mu.Unlock()
	if m.Fault != nil && err == nil {
		err = m.Fault(c, true)
	}
	return err
}
