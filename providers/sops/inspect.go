package sops

import (
	"context"
	"errors"
	"io/fs"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// located is one secret of a file: an entry of a YAML file, or all of a dotenv
// file.
type located struct {
	entry  *entry
	suffix string // of a single binary value
	parent []string
}

func (s *located) version() string { return s.entry.version(s.suffix) }

// secret finds the secret at p, nil where there is none.
func (f *file) secret(p place) (*located, error) {
	if f.format == formatDotenv {
		if len(f.entries) == 0 {
			return nil, nil
		}
		return &located{entry: f.whole()}, nil
	}
	e, err := findNamed(f.format, func(key string) *entry { return f.byKey[key] }, p.key)
	if e == nil || err != nil {
		return nil, err
	}
	_, suffix := fieldName(f.format, e.key)
	return &located{e, suffix, []string{e.key}}, nil
}

// whole is a dotenv file as one secret.
func (f *file) whole() *entry {
	top := f.top()
	return &entry{kind: mapEntry, children: f.entries, texts: mapTexts(f.entries), grow: &top}
}

// meta tells about a secret without opening it.
func (f *file) secretMeta(s *located) (providers.Meta, error) {
	m := providers.Meta{Version: s.version(), Envelope: f.meta.envelope}
	switch s.entry.kind {
	case scalarEntry:
		m.Fields = []string{""}
	case mapEntry:
		m.Fields = []string{}
		for _, c := range s.entry.children {
			name, _ := fieldName(f.format, c.key)
			m.Fields = append(m.Fields, name)
		}
	}
	return m, nil
}

// secrets returns every secret that a path can name, by path.
func (f *file) secrets(name string) (map[string]providers.Meta, error) {
	all := map[string]providers.Meta{}
	if f.format == formatDotenv {
		s, err := f.secret(place{file: name})
		if s == nil || err != nil {
			return all, err
		}
		all[name], err = f.secretMeta(s)
		return all, err
	}
	base := name[:len(name)-len(yamlSuffix)]
	for _, e := range f.entries {
		key, _ := fieldName(f.format, e.key)
		p, err := locate(base + "/" + key)
		if err != nil || p.file != name || p.key != key {
			continue
		}
		s, err := f.secret(p)
		if err == nil {
			all[base+"/"+key], err = f.secretMeta(s)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// shape refuses what is nested deeper than a secret with fields.
func (s *located) shape() error {
	if s.entry.kind == otherEntry {
		return errors.New("it is a list, which coffer shows and does not read or write; make it a text or a map of texts")
	}
	for _, c := range s.entry.children {
		if c.kind != scalarEntry {
			return errors.New("it is nested deeper than fields, which coffer shows and does not read or write")
		}
	}
	return nil
}

// value returns the plaintext of a secret out of an opened file.
func (f *file) value(s *located, o opened) (secret.Value, error) {
	if err := s.shape(); err != nil {
		return secret.Value{}, err
	}
	plains := map[string]plain{}
	depth := len(s.parent)
	for i, l := range f.leaves {
		if l.comment || depth > 0 && l.path[0] != s.parent[0] {
			continue
		}
		if len(l.path) == depth {
			return o.plains[i].value(s.suffix)
		}
		plains[l.path[depth]] = o.plains[i]
	}
	fields := map[string]secret.Value{}
	for _, c := range s.entry.children {
		name, suffix := fieldName(f.format, c.key)
		if _, twice := fields[name]; twice {
			return secret.Value{}, invalid("it has both %s and %s%s; remove one with `sops unset`", name, name, base64Suffix)
		}
		v, err := plains[c.key].value(suffix)
		if err != nil {
			return secret.Value{}, invalid("field %s: %w", name, err)
		}
		fields[name] = v
	}
	return secret.Object(fields), nil
}

// Inspect reads each file once, needs no identity and opens no value. Of a file
// that is there and cannot be read, no path is known.
func (d *Driver) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	found := map[string]providers.Meta{}
	partial := &providers.PartialError{Paths: map[string]error{}}
	byFile := map[string]map[string]place{}
	for _, path := range paths {
		p, err := locate(path)
		if err != nil {
			partial.Paths[path] = err
			continue
		}
		if byFile[p.file] == nil {
			byFile[p.file] = map[string]place{}
		}
		byFile[p.file][path] = p
	}
	for _, name := range sortedKeys(byFile) {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		f, err := d.load(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for path, p := range byFile[name] {
			if err != nil {
				partial.Paths[path] = err
				continue
			}
			s, err := f.secret(p)
			if s != nil && err == nil {
				found[path], err = f.secretMeta(s)
			}
			if err != nil {
				delete(found, path)
				partial.Paths[path] = err
			}
		}
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, nil
}

// List returns every secret below the folder. What no path can name (a key
// with a slash, a hidden file) is left out. A file that cannot be read, or
// something else in the place of one, is an error that names it: left out, its
// secrets would count as gone. Inspect then answers for all other files.
func (d *Driver) List(ctx context.Context) (map[string]providers.Meta, error) {
	names, err := d.disk.walk()
	if err != nil {
		return nil, err
	}
	all := map[string]providers.Meta{}
	for _, name := range names {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		f, err := d.load(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted just now
		}
		if err != nil {
			return nil, err
		}
		secrets, err := f.secrets(name)
		if err != nil {
			return nil, err
		}
		for path, m := range secrets {
			all[path] = m
		}
	}
	return all, nil
}
