package providertest

import (
	"bytes"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// missing: a path where nothing is has no answer, and that is no error.
func missing(s *session) {
	path := s.path()
	if m, ok := s.find(path); ok {
		s.Errorf("inspect %s: version %q, want no answer", path, m.Version)
	}
	if _, err := s.p.Read(s.ctx, path, ""); err == nil {
		s.Errorf("read %s: no error for a missing secret", path)
	} else {
		s.wantCode(err, path, providers.NotFound)
	}
	s.spy.Reset()
	if found, err := s.p.Inspect(s.ctx, nil); err != nil || len(found) > 0 {
		s.Errorf("inspect of no paths: %d answers, error %v", len(found), err)
	}
	if n := s.spy.Calls(""); n > 0 {
		s.Errorf("inspect of no paths made %d calls", n)
	}
}

// writeNew: a write returns the new version, and inspect tells the same.
func writeNew(s *session) {
	path, v := s.path(), s.value()
	op := s.op()
	m := s.write(providers.WriteRequest{Path: path, Value: v, OpID: op})
	seen := s.live(path)
	if seen.Version != m.Version {
		s.Errorf("inspect says version %q, the write made %q", seen.Version, m.Version)
	}
	if seen.OpID != "" && seen.OpID != op {
		s.Errorf("inspect says operation %q, want %q or none", seen.OpID, op)
	}
	if m.OpID != seen.OpID {
		s.Errorf("the write says operation %q, inspect %q", m.OpID, seen.OpID)
	}
	if !m.Created.IsZero() && !m.Created.Equal(seen.Created) {
		s.Errorf("the write says created %v, inspect %v", m.Created, seen.Created)
	}
	if again := s.live(path); again.Version != seen.Version || !again.Created.Equal(seen.Created) {
		s.Errorf("two inspects differ: %q and %q", seen.Version, again.Version)
	}
	if names := v.Names(); seen.Fields != nil && !slices.Equal(seen.Fields, fieldNames(names)) {
		s.Errorf("fields are %q, want %q", seen.Fields, fieldNames(names))
	}
}

func fieldNames(names []string) []string {
	if names == nil {
		return []string{""}
	}
	return names
}

// Shape is one kind of value.
type Shape struct {
	Name  string
	Value secret.Value
}

// Shapes returns every shape of value that a driver must keep to the byte, or
// refuse by name in [Harness.Refuses]. A name is "single" or "fields", or a
// single value's or field's content: "empty", "binary", "zero byte", "newline
// at the end", "utf-8", "many lines", "not utf-8".
func Shapes() []Shape {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	contents := []struct{ name, text string }{
		{"single", "plain text"},
		{"newline at the end", "ends with a newline\n"},
		{"newline at the end", "ends with two\r\n\r\n"},
		{"many lines", "one\n  two\n\n\tthree: # not a comment"},
		{"utf-8", "pässwörd 日本語 🔑 \u2028 e\u0301"},
		{"utf-8", " spaces around "},
		{"utf-8", "null"},
		{"utf-8", "0123"},
		{"utf-8", "ENC[AES256_GCM,data:x,type:str]"},
		{"utf-8", "\"quoted\" 'twice' \\ ${x} %{y} {{z}} $HOME `id` & < >"},
		{"zero byte", "a\x00b\x00"},
		{"not utf-8", "\xff\xfe\x80"},
		{"binary", string(all)},
		{"empty", ""},
	}
	var shapes []Shape
	fields := map[string]secret.Value{}
	for i, c := range contents {
		shapes = append(shapes, Shape{c.name, secret.String(c.text)})
		one := secret.String(c.text)
		shapes = append(shapes, Shape{c.name, secret.Object(map[string]secret.Value{"field": one})})
		fields["field_"+string(rune('a'+i))] = secret.String("content of " + c.name)
	}
	return append(shapes, Shape{"fields", secret.Object(fields)})
}

// refused returns why the platform takes no such value.
func (s *session) refused(shape Shape) string {
	kind := "single"
	if shape.Value.IsObject() {
		kind = "fields"
	}
	if reason := s.h.Refuses[kind]; reason != "" {
		return reason
	}
	return s.h.Refuses[shape.Name]
}

// exactBytes: what was written is what is read, to the last byte.
func exactBytes(s *session) {
	told := map[string]bool{}
	for _, shape := range Shapes() {
		path := s.path()
		reason := s.refused(shape)
		if reason == "" {
			s.create(path, shape.Value)
			s.wantValue(path, "", shape.Value)
			continue
		}
		if !told[reason] {
			s.cannot("%s values: %s", shape.Name, reason)
			told[reason] = true
		}
		_, err := s.p.Write(s.ctx, providers.WriteRequest{Path: path, Value: shape.Value, OpID: s.op()})
		s.wantCode(err, path+" ("+shape.Name+")", providers.Invalid)
		s.settle()
		s.wantGone(path)
	}
	path, largest := s.path(), s.shaped(bytes.Repeat([]byte("0123456789abcde\n"), 1+s.largest()/16)[:s.largest()])
	s.create(path, largest)
	s.wantValue(path, "", largest)
}

// largest is the size of the largest value to try; a field's name counts too.
func (s *session) largest() int {
	size := s.h.Largest
	if limit := s.caps.MaxBytes; limit > 0 && limit <= size {
		size = limit
		if s.h.Refuses["single"] != "" {
			size -= len("value")
		}
	}
	return size
}

// overLimit: a value that is too large costs no call.
func overLimit(s *session) {
	if s.caps.MaxBytes == 0 {
		s.cannot("the platform has no limit")
		return
	}
	path := s.path()
	s.spy.Reset()
	_, err := s.p.Write(s.ctx, providers.WriteRequest{
		Path: path, Value: s.shaped(make([]byte, s.caps.MaxBytes+1)), OpID: s.op(),
	})
	s.wantCode(err, path, providers.Invalid)
	if n := s.spy.Calls(""); n > 0 {
		s.Errorf("%d calls were made, want none", n)
	}
	s.wantGone(path)
}

// createOver: IfVersion "" means that nothing may be there.
func createOver(s *session) {
	path, v := s.path(), s.value()
	m := s.create(path, v)
	_, err := s.p.Write(s.ctx, providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op()})
	s.wantCode(err, path, providers.Conflict)
	s.wantUntouched(path, m, v)
}

// update: with the live version a write makes a new one.
func update(s *session) {
	path, first := s.path(), s.create
	m := first(path, s.value())
	versions := map[string]bool{m.Version: true}
	for range 3 {
		v := s.value()
		next := s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: m.Version})
		if versions[next.Version] {
			s.Errorf("version %q was there before", next.Version)
		}
		versions[next.Version] = true
		s.wantUntouched(path, next, v)
		m = next
	}
	// The same value again is a version of its own or the same one, never an error.
	v := s.value()
	m = s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: m.Version})
	m = s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: m.Version})
	s.wantUntouched(path, m, v)
}

// staleWrite: whoever knows only an older version changes nothing.
func staleWrite(s *session) {
	path, v := s.path(), s.value()
	old := s.create(path, s.value())
	m := s.write(providers.WriteRequest{Path: path, Value: v, OpID: s.op(), IfVersion: old.Version})
	_, err := s.p.Write(s.ctx, providers.WriteRequest{Path: path, Value: s.value(), OpID: s.op(), IfVersion: old.Version})
	s.wantCode(err, path, providers.Conflict)
	s.wantUntouched(path, m, v)

	never := s.path()
	_, err = s.p.Write(s.ctx, providers.WriteRequest{Path: never, Value: s.value(), OpID: s.op(), IfVersion: old.Version})
	s.wantCode(err, never+" (missing, with a version)", providers.Conflict)
	s.wantGone(never)
}
