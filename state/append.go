package state

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/cofferhq/coffer/internal/durable"
)

// appender writes lines to an open journal.
type appender struct {
	path string
	file durable.File
	sum  string // of the last line
	size int64  // with the last line
}

// clean makes durable what was replayed from a journal that a crash left, and
// cuts off what is torn.
func (a *appender) clean() error {
	if err := a.file.Truncate(a.size); err != nil {
		return &durable.Error{Step: durable.StepWrite, Path: a.path, Err: err}
	}
	if err := a.file.Sync(); err != nil {
		return &durable.Error{Step: durable.StepSync, Path: a.path, Err: err}
	}
	return nil
}

// write adds one line and makes it durable. When the line cannot be written
// the journal is as before; when it cannot be synced, nothing is known.
func (a *appender) write(at func(point string) error, v journalLine) error {
	line, sum, err := encodeLine(a.sum, v)
	if err != nil {
		return err
	}
	err = durable.Step(at, durable.StepWrite, func() error {
		_, err := a.file.Write(line)
		return err
	})
	if err != nil {
		if undo := a.file.Truncate(a.size); undo != nil {
			return &durable.Error{Step: durable.StepSync, Path: a.path, Err: errors.Join(err, undo)}
		}
		return &durable.Error{Step: durable.StepWrite, Path: a.path, Err: err}
	}
	if err := durable.Step(at, durable.StepSync, a.file.Sync); err != nil {
		return &durable.Error{Step: durable.StepSync, Path: a.path, Err: err}
	}
	a.sum, a.size = sum, a.size+int64(len(line))
	return nil
}

// GroupCommit joins the records of concurrent appends into one write: while one
// is under way, those that come wait, and the first of them writes for all.
type GroupCommit struct {
	mu   sync.Mutex
	next *batch // collects what comes

	writing sync.Mutex
}

type batch struct {
	records []Record
	done    bool // this and err are guarded by GroupCommit.writing
	err     error
}

// Do returns when write has returned for a batch with records in it.
func (g *GroupCommit) Do(records []Record, write func([]Record) error) error {
	g.mu.Lock()
	if g.next == nil {
		g.next = &batch{}
	}
	mine := g.next
	mine.records = append(mine.records, records...)
	g.mu.Unlock()

	g.writing.Lock()
	defer g.writing.Unlock()
	if mine.done {
		return mine.err
	}
	g.mu.Lock()
	g.next = nil // it was mine: whoever takes a batch is done with it before it lets go of writing
	g.mu.Unlock()
	mine.err = write(mine.records)
	mine.done = true
	return mine.err
}

// readIfThere returns nil where there is no file.
func readIfThere(fsys durable.FS, path string) ([]byte, fs.FileInfo, error) {
	data, info, err := durable.Read(fsys, path, maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	return data, info, err
}
