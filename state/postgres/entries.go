package postgres

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
)

// The parts of a state's text, see docs/state.md: a head that ends with
// entriesBegin, then every entry followed by entryEnd, then entriesEnd.
const (
	headBegin    = "{\n\"version\": 1,\n"
	entriesBegin = "\"entries\": [\n\n"
	entryEnd     = ",\n\n"
	entriesEnd   = "null\n]\n}\n"
)

// entry is a row of a state: the text of an entry, and what gives it its place
// among the others.
type entry struct {
	id       string // the SHA-256 of the text
	text     []byte
	address  addr.Address
	location addr.Location
}

// split takes a state apart so that join makes the same bytes of the parts.
// What is not laid out as [state.Encode] does, such as a state that is
// encrypted, is not split. The entries are only looked at as far as their order
// needs: most of them are in the database already.
func split(data []byte) (head []byte, entries []entry, ok bool) {
	begin := bytes.Index(data, []byte(entriesBegin))
	if begin < 0 || !bytes.HasPrefix(data, []byte(headBegin)) {
		return nil, nil, false
	}
	head, rest := data[:begin+len(entriesBegin)], data[begin+len(entriesBegin):]
	rest, ok = bytes.CutSuffix(rest, []byte(entriesEnd))
	entries = make([]entry, 0, bytes.Count(rest, []byte(entryEnd)))
	for ok && len(rest) > 0 {
		var text []byte
		if text, rest, ok = bytes.Cut(rest, []byte(entryEnd)); !ok {
			break
		}
		e := entry{text: text}
		if e.address, ok = addressOf(text); !ok {
			break
		}
		ok = len(entries) == 0 || inOrder(&entries[len(entries)-1], &e)
		id := sha256.Sum256(text)
		e.id = string(id[:])
		entries = append(entries, e)
	}
	return head, entries, ok
}

// addressOf reads the first line of an entry.
func addressOf(text []byte) (addr.Address, bool) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line, begins := bytes.CutPrefix(line, []byte(`{"address":`))
	line, ends := bytes.CutSuffix(line, []byte(","))
	var said string
	if !begins || !ends || json.Unmarshal(line, &said) != nil {
		return addr.Address{}, false
	}
	a, err := addr.Parse(said)
	return a, err == nil
}

// inOrder reports whether b comes behind a. Their locations are read where the
// addresses are the same.
func inOrder(a, b *entry) bool {
	if c := a.address.Compare(b.address); c != 0 {
		return c < 0
	}
	for _, e := range []*entry{a, b} {
		said, err := read(e.text)
		if err != nil {
			return false
		}
		e.location = said.Location
	}
	return compare(*a, *b) < 0
}

// said is what a row says of an entry in columns of their own.
type said struct {
	Address  string        `json:"address"`
	Location addr.Location `json:"location"`
	Store    string        `json:"store"`
	Role     string        `json:"role"`
	Version  string        `json:"version"`
}

func read(text []byte) (s said, err error) {
	err = json.Unmarshal(text, &s)
	return s, err
}

// compare orders entries as the state does.
func compare(a, b entry) int {
	if c := a.address.Compare(b.address); c != 0 {
		return c
	}
	return a.location.Compare(b.location)
}

var errRows = errors.New("its rows are not the ones that were written: a table was edited, or restored without the others")

// join puts a state together again. sum is what its bytes have to add up to.
func join(head []byte, entries []entry, sum []byte) ([]byte, error) {
	slices.SortFunc(entries, compare)
	size := len(head) + len(entriesEnd)
	for _, e := range entries {
		size += len(e.text) + len(entryEnd)
	}
	data := append(make([]byte, 0, size), head...)
	for _, e := range entries {
		data = append(append(data, e.text...), entryEnd...)
	}
	data = append(data, entriesEnd...)
	if digest := sha256.Sum256(data); !bytes.Equal(digest[:], sum) {
		return nil, errRows
	}
	return data, nil
}

// columns are the arguments of sqlAdd.
func columns(entries []entry) ([]arg, error) {
	ids, texts, rows := make([]string, len(entries)), make([][]byte, len(entries)), make([]said, len(entries))
	for i, e := range entries {
		var err error
		if rows[i], err = read(e.text); err != nil {
			return nil, err
		}
		ids[i], texts[i] = e.id, e.text
	}
	column := func(of func(said) string) arg {
		items := make([]string, len(rows))
		for i, row := range rows {
			items[i] = of(row)
		}
		return list(oidTextArray, oidText, items)
	}
	return []arg{
		list(oidByteaArray, oidBytea, ids),
		column(func(s said) string { return s.Address }),
		column(func(s said) string { return s.Location.Provider }),
		column(func(s said) string { return s.Location.Kind }),
		column(func(s said) string { return s.Location.Path }),
		column(func(s said) string { return s.Store }),
		column(func(s said) string { return s.Role }),
		column(func(s said) string { return s.Version }),
		list(oidJSONArray, oidJSON, texts),
	}, nil
}
