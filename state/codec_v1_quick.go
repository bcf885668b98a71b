package state

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferhq/coffer/lang/addr"
)

// quickV1 reads a file that is written exactly as [encodeV1] writes it, in a
// third of the time. It returns nil for any other: whether that is a state,
// and what is wrong with it on which line, decoderV1 says.
//
// No text of JSON has a newline in it. So what stands between the newlines of
// encodeV1 is one entry, and the rest a file without entries, for decoderV1.
func quickV1(data []byte) *Snapshot {
	const begin, end = "\"entries\": [\n\n", "null\n]\n}\n"
	head, list, ok := strings.Cut(string(data), begin)
	list, ended := strings.CutSuffix(list, end)
	if !ok || !ended || !utf8.ValidString(list) {
		return nil
	}
	rest := []byte(head + begin + end)
	d := newDecoderV1(rest)
	if d.file() != nil {
		return nil
	}
	d.s.Entries = make(map[addr.Location]*Entry, strings.Count(list, "\n\n"))
	for list != "" {
		var text string
		if text, list, ok = strings.Cut(list, ",\n\n"); !ok {
			return nil
		}
		e := entryV1(text)
		if e == nil || checkEntry(e) != nil || d.s.Entries[e.Location] != nil {
			return nil
		}
		d.s.Entries[e.Location] = e
	}
	return d.s
}

// entryV1 reads one entry, nil where it is none. Entries that hold what few
// have are read by encoding/json.
func entryV1(text string) *Entry {
	r := quickReader{rest: text, ok: true}
	if e := r.entry(); r.ok && r.rest == "" {
		return e
	}
	var e *Entry
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if dec.Decode(&e) != nil {
		return nil
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil
	}
	return e
}

// quickReader reads what encodeV1 wrote, members in its order. ok is false from
// the first thing that is otherwise.
type quickReader struct {
	rest string
	ok   bool
}

func (r *quickReader) entry() *Entry {
	e := &Entry{}
	r.want(`{"address":`)
	r.ok = r.ok && e.Address.UnmarshalText([]byte(r.text())) == nil
	r.want(",\n\"location\":{\"provider\":")
	e.Location.Provider = r.text()
	r.want(`,"kind":`)
	e.Location.Kind = r.text()
	r.want(`,"path":`)
	e.Location.Path = r.text()
	r.want(`},"store":`)
	e.Store = r.text()
	r.want(`,"role":`)
	e.Role = r.text()
	if r.have(`,"version":`) {
		e.Version = r.text()
	}
	if r.have(`,"created":`) {
		e.Created = r.time()
	}
	if r.have(`,"envelope":`) {
		e.Envelope = r.text()
	}
	if r.have(`,"generation":`) {
		e.Generation = r.number()
	}
	if r.have(`,"class":`) {
		e.Class = r.text()
	}
	if r.have(`,"op":`) {
		e.Op = r.text()
	}
	if r.have(`,"rotated_at":`) {
		e.RotatedAt = r.time()
	}
	if r.have(`,"fields":`) {
		e.Fields = r.fields()
	}
	if r.have(`,"labels":`) {
		e.Labels = map[string]string{}
		r.object(func(name string) bool {
			_, twice := e.Labels[name]
			e.Labels[name] = r.text()
			return !twice
		})
	}
	if r.have(`,"description":`) {
		e.Description = r.text()
	}
	e.Protect = r.have(`,"protect":true`)
	e.AcceptsOutside = r.have(`,"accepts_outside":true`)
	r.want(`}`)
	return e
}

func (r *quickReader) fields() map[string]Field {
	fields := map[string]Field{}
	r.object(func(name string) bool {
		var f Field
		r.want(`{"source":`)
		f.Source = r.text()
		if r.have(`,"class":`) {
			f.Class = r.text()
		}
		if r.have(`,"fingerprint":`) {
			f.Fingerprint = r.text()
		}
		r.want(`}`)
		_, twice := fields[name]
		fields[name] = f
		return !twice
	})
	return fields
}

// have passes over literal if it stands here.
func (r *quickReader) have(literal string) bool {
	rest, ok := strings.CutPrefix(r.rest, literal)
	if ok = ok && r.ok; ok {
		r.rest = rest
	}
	return ok
}

func (r *quickReader) want(literal string) { r.ok = r.have(literal) }

// object calls value, which reads it, for each member until it returns false.
func (r *quickReader) object(value func(name string) bool) {
	r.want("{")
	for more := true; more && r.ok; more = r.have(",") {
		name := r.text()
		r.want(":")
		r.ok = value(name) && r.ok
	}
	r.want("}")
}

// text reads a text. Of escapes it knows those of one letter that encodeV1
// writes.
func (r *quickReader) text() string {
	const letters, meant = `"\nrt`, "\"\\\n\r\t"
	r.want(`"`)
	var unescaped []byte
	for i := 0; r.ok && i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			text := r.rest[:i]
			if unescaped != nil {
				text = string(append(unescaped, text...))
			}
			r.rest = r.rest[i+1:]
			return text
		case c < ' ':
			r.ok = false
		case c == '\\' && i+1 < len(r.rest):
			letter := strings.IndexByte(letters, r.rest[i+1])
			if letter < 0 {
				r.ok = false
				break
			}
			unescaped = append(append(unescaped, r.rest[:i]...), meant[letter])
			r.rest = r.rest[i+2:]
			i = -1
		}
	}
	r.ok = false
	return ""
}

func (r *quickReader) number() int {
	end := 0
	for end < len(r.rest) && '0' <= r.rest[end] && r.rest[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(r.rest[:end])
	r.ok = r.ok && err == nil && (end == 1 || r.rest[0] != '0')
	r.rest = r.rest[end:]
	return n
}

func (r *quickReader) time() time.Time {
	var t time.Time
	r.ok = t.UnmarshalText([]byte(r.text())) == nil && r.ok
	return t
}
