package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
)

// Version 1 is laid out for git, which joins two branches only where a line
// that neither touched lies between their changes. An entry is its address on
// one line, all else on a second, then an empty line. What changes is nearly
// always the second line; the first keeps it apart from an entry that comes or
// goes before it, the empty line from one behind it. Every entry ends with a
// comma and null closes the list, so the last entry is like any other. See
// docs/state.md.

func encodeV1(s *Snapshot) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out) // ends every value with a newline
	enc.SetEscapeHTML(false)
	cut := func() { out.Truncate(out.Len() - 1) }
	value := func(v any) error {
		err := enc.Encode(v)
		if err == nil {
			cut()
		}
		return err
	}

	out.WriteString("{\n\"version\": 1,\n\"project\": ")
	err := value(s.Project)
	out.WriteString(",\n\"lineage\": ")
	err = errors.Join(err, value(s.Lineage))
	fmt.Fprintf(&out, ",\n\"serial\": %d,\n\n", s.Serial)
	if s.MovedTo != "" {
		out.WriteString("\"moved_to\": ")
		err = errors.Join(err, value(s.MovedTo))
		out.WriteString(",\n\n")
	}
	byRef := func(name string, of map[string]string) {
		fmt.Fprintf(&out, "%q: {", name)
		for i, ref := range slices.Sorted(maps.Keys(of)) {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteByte('\n')
			err = errors.Join(err, value(ref))
			out.WriteString(": ")
			err = errors.Join(err, value(of[ref]))
		}
		out.WriteString("\n},\n\n")
	}
	byRef("providers", s.Providers)
	if len(s.Incarnations) > 0 {
		byRef("incarnations", s.Incarnations)
	}
	out.WriteString("\"entries\": [\n\n")
	if err == nil {
		err = checkHeader(s)
	}
	for _, e := range s.Sorted() {
		if err != nil {
			return nil, err
		}
		if err = checkEntry(e); err == nil {
			start := out.Len()
			err = value(inUTC(e))
			breakAfterAddress(&out, start)
		}
		out.WriteString(",\n\n")
	}
	out.WriteString("null\n]\n}\n")
	return out.Bytes(), err
}

// breakAfterAddress begins a new line behind the address of the entry that
// stands in out from start on. Quotes inside an address are escaped.
func breakAfterAddress(out *bytes.Buffer, start int) {
	const second = `,"location":`
	text := out.Bytes()[start:]
	if i := bytes.Index(text, []byte(second)); i >= 0 {
		rest := bytes.Clone(text[i+1:])
		out.Truncate(start + i + 1)
		out.WriteByte('\n')
		out.Write(rest)
	}
}

// inUTC returns e with every time in UTC, so that the zone of whoever ran does
// not show as a change.
func inUTC(e *Entry) *Entry {
	c := *e
	c.Created, c.RotatedAt = utc(e.Created), utc(e.RotatedAt)
	if e.Pending != nil {
		p := *e.Pending
		p.Started, p.Alive = utc(p.Started), utc(p.Alive)
		if p.Next != nil {
			p.Next = inUTC(p.Next)
		}
		c.Pending = &p
	}
	return &c
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func decodeV1(data []byte) (*Snapshot, error) {
	if s := quickV1(data); s != nil {
		return s, nil
	}
	d := newDecoderV1(data)
	err := d.file()
	if err == nil {
		return d.s, nil
	}
	if isTruncated(err) {
		return nil, &TruncatedError{Line: lineAt(data, len(data))}
	}
	at := d.at
	if at == 0 {
		at = int(d.dec.InputOffset())
	}
	bad := &FormatError{Line: lineAt(data, d.begin(at)), Problem: strings.TrimPrefix(err.Error(), "json: ")}
	if twice, ok := errors.AsType[*twiceError](err); ok {
		bad.Next = twice.next
	}
	return nil, bad
}

// twiceError is about something that stands in the file twice, as after a
// merge that kept too much.
type twiceError struct{ what, next string }

func (e *twiceError) Error() string { return e.what }

type decoderV1 struct {
	data []byte
	dec  *json.Decoder
	s    *Snapshot
	at   int // where the value being looked at begins; 0 is where the decoder is
}

func newDecoderV1(data []byte) *decoderV1 {
	d := &decoderV1{data: data, dec: json.NewDecoder(bytes.NewReader(data)), s: New("", "")}
	d.dec.DisallowUnknownFields()
	return d
}

// begin returns where the value behind at begins.
func (d *decoderV1) begin(at int) int {
	for at < len(d.data) && strings.IndexByte(", \r\n\t", d.data[at]) >= 0 {
		at++
	}
	return at
}

func (d *decoderV1) file() error {
	if _, err := d.dec.Token(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.dec.More() {
		token, err := d.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("%q stands here twice", key)
		}
		seen[key] = true
		d.at = int(d.dec.InputOffset())
		if err := d.value(key); err != nil {
			if key == "entries" || key == "providers" || key == "incarnations" || isTruncated(err) {
				return err
			}
			return fmt.Errorf("%.40q: %s", key, strings.TrimPrefix(err.Error(), "json: "))
		}
		d.at = 0
	}
	if _, err := d.dec.Token(); err != nil {
		return err
	}
	for _, key := range []string{"version", "project", "lineage", "serial", "providers", "entries"} {
		if !seen[key] {
			return fmt.Errorf("%q is missing", key)
		}
	}
	if len(bytes.TrimSpace(d.data[d.dec.InputOffset():])) > 0 {
		return errors.New("there is text behind the end")
	}
	return checkHeader(d.s)
}

func (d *decoderV1) value(key string) error {
	switch key {
	case "version":
		var version int
		return d.dec.Decode(&version)
	case "project":
		return d.dec.Decode(&d.s.Project)
	case "lineage":
		return d.dec.Decode(&d.s.Lineage)
	case "serial":
		return d.dec.Decode(&d.s.Serial)
	case "moved_to":
		return d.dec.Decode(&d.s.MovedTo)
	case "providers":
		return d.byRef(d.s.Providers, "keep the line of the identity that its entries name")
	case "incarnations":
		d.s.Incarnations = map[string]string{}
		return d.byRef(d.s.Incarnations, "keep the one that is not in the state before the merge")
	case "entries":
		return d.entries()
	default:
		return errors.New("does not belong here")
	}
}

// byRef reads an object of one text for each provider reference.
func (d *decoderV1) byRef(into map[string]string, next string) error {
	if err := d.open('{'); err != nil {
		return err
	}
	d.at = 0
	for d.dec.More() {
		token, err := d.dec.Token()
		if err != nil {
			return err
		}
		ref, _ := token.(string)
		if _, twice := into[ref]; twice {
			return &twiceError{fmt.Sprintf("provider %.40q stands here twice", ref), next}
		}
		var text string
		if err := d.dec.Decode(&text); err != nil {
			return err
		}
		into[ref] = text
	}
	_, err := d.dec.Token()
	return err
}

func (d *decoderV1) open(want json.Delim) error {
	token, err := d.dec.Token()
	if err == nil && token != want {
		err = fmt.Errorf("want %q here", want.String())
	}
	return err
}

// entries reads the list; its last element is null.
func (d *decoderV1) entries() error {
	if err := d.open('['); err != nil {
		return err
	}
	d.s.Entries = make(map[addr.Location]*Entry, bytes.Count(d.data, []byte(`{"address":`)))
	lines := map[addr.Location]int{}
	ended := false
	for d.dec.More() {
		d.at = int(d.dec.InputOffset())
		var e *Entry
		if err := d.dec.Decode(&e); err != nil {
			return err
		}
		if ended {
			return errors.New("null, which closes the list of entries, is not at its end")
		}
		if ended = e == nil; ended {
			continue
		}
		if err := checkEntry(e); err != nil {
			return err
		}
		if first, twice := lines[e.Location]; twice {
			return &twiceError{
				fmt.Sprintf("%s has two entries, the first on line %d", e.Location, lineAt(d.data, d.begin(first))),
				"keep the one with the higher generation, or at equal generations the later rotated_at",
			}
		}
		lines[e.Location] = d.at
		d.s.Entries[e.Location] = e
	}
	d.at = 0
	if _, err := d.dec.Token(); err != nil {
		return err
	}
	if !ended {
		return errors.New("the list of entries does not end with null")
	}
	return nil
}
