package sops

import (
	"slices"

	"github.com/cofferhq/coffer/providers"
)

// change is one write or patch, checked and encoded.
type change struct {
	place  place
	patch  bool
	single *written           // nil for a value with fields
	fields map[string]written // by name
	drop   []string
}

// newChange encodes a request for the format of its file.
func newChange(p place, req *providers.WriteRequest, patch bool) (*change, error) {
	c := &change{place: p, patch: patch, drop: req.Drop}
	f := p.format()
	switch {
	case req.Value.IsObject() || patch:
		if !req.Value.IsObject() && !req.Value.IsZero() {
			return nil, invalid("%s: a patch changes fields, not a single value", req.Path)
		}
		fields, err := encodeFields(f, req.Value)
		if err != nil {
			return nil, err
		}
		c.fields = fields
	case req.Value.IsZero():
		return nil, invalid("%s: there is no value to write", req.Path)
	case f == formatDotenv:
		return nil, invalid("%s: a file ending in %s holds variables, not a single value; write them as fields", req.Path, dotenvSuffix)
	default:
		w, err := encode(f, req.Value)
		if err != nil {
			return nil, invalid("%s: %w", req.Path, err)
		}
		c.single = &w
	}
	if c.single == nil && !patch && len(c.fields) == 0 {
		return nil, invalid("%s: a secret with no field cannot be stored", req.Path)
	}
	return c, nil
}

// fits says why a change cannot go over what is there.
func (c *change) fits(s *located) error {
	if err := s.shape(); err != nil {
		return invalid("%s in %s: %w", c.place.key, c.place.file, err)
	}
	if !c.patch {
		return nil
	}
	if s.entry.kind != mapEntry {
		return invalid("%s in %s is a single value and has no fields to change", c.place.key, c.place.file)
	}
	if len(c.fields) == 0 && !slices.ContainsFunc(s.entry.children, func(e *entry) bool { return !c.drops(e) }) {
		return invalid("%s in %s would be left without a field; delete the secret instead", c.place.key, c.place.file)
	}
	return nil
}

func (c *change) drops(e *entry) bool {
	name, _ := fieldName(c.place.format(), e.key)
	return slices.Contains(c.drop, name)
}

// allowed checks what apply relies on, so that apply leaves no half.
func (c *change) allowed(f *file, s *located) error {
	paths := [][]string{{c.place.key}}
	if c.single != nil {
		paths[0][0] += c.single.suffix
	} else {
		paths = paths[:0]
		for name, w := range c.fields {
			path := []string{c.place.key, name + w.suffix}
			if f.format == formatDotenv {
				path = path[1:]
			}
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		if !f.meta.rules.encrypted(path) {
			return invalid("%s: the file's own rules (encrypted_regex, unencrypted_suffix, …) would leave this in clear; name it otherwise, or change the rules with the sops tool", c.place.file)
		}
	}
	if s == nil && c.single == nil && len(c.fields) == 0 {
		return invalid("%s in %s: there is no secret to drop a field of", c.place.key, c.place.file)
	}
	if s == nil || c.single != nil {
		return nil
	}
	for name := range c.fields {
		if _, err := findNamed(f.format, s.entry.child, name); err != nil {
			return err
		}
	}
	if c.patch && !c.inPlace(s) {
		return invalid("%s in %s is not written in lines; run `sops edit` on the file once", c.place.key, c.place.file)
	}
	return nil
}

// inPlace reports whether fields can be changed line by line.
func (c *change) inPlace(s *located) bool {
	return s.entry.kind == mapEntry && s.entry.grow != nil &&
		!slices.ContainsFunc(s.entry.children, func(e *entry) bool { return e.lines.isZero() })
}

// apply notes the edits.
func (c *change) apply(ed *editor, s *located) error {
	var old *entry
	if s != nil {
		old = s.entry
	}
	top := ed.file.top()
	switch {
	case c.single != nil:
		return ed.put(old, top, c.single.text, c.place.key+c.single.suffix)
	case ed.file.format == formatDotenv:
		if s == nil {
			s = &located{entry: ed.file.whole()}
		}
		return c.applyFields(ed, s.entry, nil)
	case s != nil && c.inPlace(s):
		return c.applyFields(ed, old, []string{c.place.key})
	}
	lines := map[string][]byte{}
	for name, w := range c.fields {
		lines[name+w.suffix] = w.text
	}
	return ed.block(old, top, lines, c.place.key)
}

// applyFields changes the fields of a map one by one.
func (c *change) applyFields(ed *editor, in *entry, parent []string) error {
	for _, name := range sortedKeys(c.fields) {
		w := c.fields[name]
		old, err := findNamed(ed.file.format, in.child, name)
		if err != nil {
			return err
		}
		path := append(parent[:len(parent):len(parent)], name+w.suffix)
		if err := ed.put(old, *in.grow, w.text, path...); err != nil {
			return err
		}
	}
	for _, e := range in.children {
		name, _ := fieldName(ed.file.format, e.key)
		if _, set := c.fields[name]; !set && (!c.patch || c.drops(e)) {
			ed.remove(e, parent...)
		}
	}
	return nil
}
