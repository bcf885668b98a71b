package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/state"
)

// seenFile keeps the highest serials that this user saw of the states of one
// project, by the place of each. The zero value keeps none.
type seenFile struct{ path, project, place string }

// seenSerials is what the file holds.
type seenSerials struct {
	Project string            `json:"project"`
	Places  map[string]uint64 `json:"places"`
}

// seenFile returns that of the state, none for one that is not shared or where
// the user has no place for it.
func (w *workspace) seenFile() seenFile {
	if !w.shared() {
		return seenFile{}
	}
	base := w.inv.Getenv("XDG_STATE_HOME")
	if base == "" {
		home := w.inv.Getenv("HOME")
		if home == "" {
			return seenFile{}
		}
		base = filepath.Join(home, ".local", "state")
	}
	project := w.cfg.Settings.Project
	return seenFile{filepath.Join(base, "coffer", "seen", state.Lineage(project)+".json"), project, w.backend.Path()}
}

// highest returns the highest serial seen at this place, 0 for none.
func (f seenFile) highest() (uint64, error) {
	s, err := f.load()
	return s.Places[f.place], err
}

func (f seenFile) load() (seenSerials, error) {
	var s seenSerials
	if f.path == "" {
		return s, nil
	}
	data, _, err := durable.Read(durable.OS(), f.path, maxInput)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(data, &s)
	for _, serial := range s.Places {
		if serial >= state.MaxSerial {
			err = fmt.Errorf("serial %d", serial)
		}
	}
	if err != nil {
		return seenSerials{}, fmt.Errorf("%s is not what coffer wrote there: remove it", f.path)
	}
	return s, nil
}

// raise keeps the serial as seen. It never goes down.
func (f seenFile) raise(serial uint64) error {
	s, err := f.load()
	if err != nil || f.path == "" || s.Places[f.place] >= serial {
		return err
	}
	if s.Places == nil {
		s.Places = map[string]uint64{}
	}
	s.Project, s.Places[f.place] = f.project, serial
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	return durable.Replace(durable.OS(), f.path, append(data, '\n'), 0o600, nil)
}
