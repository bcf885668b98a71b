package memory

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cofferhq/coffer/providers/secret"
)

// file is an append-only log of events, one JSON line each, durable line by
// line.
type file struct{ f *os.File }

// OpenWorld returns the World kept in the file name, which is made if it is
// missing, so that a process that is killed and started again finds what its
// effects were. A torn last line is an effect that did not happen. Values
// stand in the file in clear: it is for tests only. One process at a time may
// have it open. Close it.
func OpenWorld(name, identity string) (*World, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	w := NewWorld(identity)
	good, err := w.replay(f)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open world: %w", err), f.Close())
	}
	w.file = &file{f}
	return w, nil
}

// Close closes the file of a World and returns the first error of writing it.
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.fileError, w.file.f.Close())
	w.file = nil
	return err
}

// replay applies the whole lines of r and returns where they end.
func (w *World) replay(r io.Reader) (int64, error) {
	lines := bufio.NewReader(r)
	var good int64
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return good, nil
		}
		if err != nil {
			return good, err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return good, fmt.Errorf("the line at byte %d is damaged", good)
		}
		e.restore()
		w.apply(e)
		good += int64(len(line))
	}
}

func (l *file) append(e event) error {
	e.expose()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := l.f.Write(append(line, '\n')); err != nil {
		return err
	}
	return l.f.Sync()
}

func (e *event) expose() {
	if e.value.IsObject() {
		e.Fields = map[string][]byte{}
		for _, name := range e.value.Names() {
			field, _ := e.value.Field(name)
			e.Fields[name] = plaintext(field)
		}
		return
	}
	e.Value = plaintext(e.value)
}

func (e *event) restore() {
	if e.Fields == nil {
		e.value = secret.New(e.Value)
		return
	}
	fields := map[string]secret.Value{}
	for name, b := range e.Fields {
		fields[name] = secret.New(b)
	}
	e.value = secret.Object(fields)
}

func plaintext(v secret.Value) []byte {
	var b []byte
	_ = v.Expose(func(plain []byte) error {
		b = append(b, plain...)
		return nil
	})
	return b
}
