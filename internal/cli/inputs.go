package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cofferhq/coffer/internal/dotenv"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/sops"
)

// maxInput is the largest file that a value is taken from.
const maxInput = 16 << 20

// inputs reads the values that people supply: environment variables, and files
// below the configuration directory, which no path leaves.
type inputs struct {
	dir  string
	vars map[string]string
}

func (in inputs) getenv(name string) string { return in.vars[name] }

// Supply implements planner.Inputs. A value that is there and empty is an
// error: it is a mistake more often than a wish.
func (in inputs) Supply(s *lang.Source) (v secret.Value, found bool, err error) {
	switch s.Kind {
	case lang.FromEnv:
		var text string
		if text, found = in.vars[s.Plain]; found {
			v = secret.String(text)
		}
	case lang.FromFile:
		var data []byte
		if data, found, err = in.file(s.Plain); found {
			v = secret.New(data)
		}
	case lang.FromDotenv:
		v, found, err = in.variable(s.Plain, s.Key)
	case lang.FromSops:
		var data []byte
		if data, found, err = in.file(s.Plain); found {
			v, err = sops.Decrypt(data, sops.FormatOf(s.Plain), s.Key, in.getenv)
		}
	default:
		err = fmt.Errorf("a source of kind %d cannot be supplied", s.Kind)
	}
	if err == nil && found {
		err = v.Expose(func(b []byte) error {
			if len(b) == 0 {
				return errors.New("it is there, but empty")
			}
			return nil
		})
	}
	return v, found, err
}

// variable reads one variable of a .env file.
func (in inputs) variable(name, key string) (v secret.Value, found bool, err error) {
	data, found, err := in.file(name)
	if err != nil || !found {
		return v, false, err
	}
	file, err := dotenv.Parse(bytes.NewReader(data))
	if err != nil {
		return v, false, fmt.Errorf("%s: %w", name, err)
	}
	for _, variable := range file.Variables {
		if variable.Name == key {
			return variable.Value, true, nil
		}
	}
	return v, false, nil
}

// file reads a file below the configuration directory.
func (in inputs) file(name string) (data []byte, found bool, err error) {
	if err := lang.MayRead(in.dir, name); err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	root, err := os.OpenRoot(in.dir)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = root.Close() }() // only read from
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("%s is not a regular file", name)
	case info.Size() > maxInput:
		return nil, false, fmt.Errorf("%s is larger than %d bytes", name, maxInput)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, false, err
	}
	data, err = io.ReadAll(io.LimitReader(f, maxInput))
	return data, err == nil, errors.Join(err, f.Close())
}
