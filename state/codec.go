package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Version is the format that [Encode] writes.
const Version = 1

// Encode returns the file of s: the same bytes for the same content. An error
// means that something in s could not be read back, and names it.
func Encode(s *Snapshot) ([]byte, error) { return encodeV1(s) }

// MaxSerial is the highest serial that is read or written: JSON readers of every
// kind count up to it without error.
const MaxSerial = 1<<53 - 1

// EncodeNext returns the file of s with the serial of the next save.
func (s *Snapshot) EncodeNext() ([]byte, error) {
	next := *s
	next.Serial++
	return Encode(&next)
}

// Decode reads a file of any version ever written. What it accepts is safe to
// use as a snapshot but is still somebody's claim about the world: nothing is
// written on its word alone.
//
// Errors: [*MergeConflictError], [*NewerError], [*TruncatedError],
// [*FormatError].
func Decode(data []byte) (*Snapshot, error) {
	if err := findConflict(data); err != nil {
		return nil, err
	}
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	version, err := sniff(data)
	if err != nil {
		return nil, err
	}
	switch version {
	case 1:
		return decodeV1(data)
	default:
		return nil, &NewerError{What: "state", Version: version, Reads: Version}
	}
}

// sniff returns the value of the first key, which every version calls
// "version".
func sniff(data []byte) (int, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for _, want := range []any{json.Delim('{'), "version"} {
		got, err := dec.Token()
		if isTruncated(err) {
			return 0, &TruncatedError{Line: lineAt(data, len(data))}
		}
		if err != nil || got != want {
			return 0, &FormatError{Line: lineAt(data, int(dec.InputOffset())), Problem: "this is not a coffer state, which begins with its version"}
		}
	}
	got, err := dec.Token()
	if isTruncated(err) {
		return 0, &TruncatedError{Line: lineAt(data, len(data))}
	}
	number, _ := got.(json.Number)
	version, convErr := number.Int64()
	if err != nil || convErr != nil || version < 1 || version > 1<<30 {
		return 0, &FormatError{Line: lineAt(data, int(dec.InputOffset())), Problem: "the version is not a positive number"}
	}
	return int(version), nil
}

// checkDepth refuses deep nesting before anything recurses into it.
func checkDepth(data []byte) error {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return &FormatError{Line: lineAt(data, i), Problem: fmt.Sprintf("nested deeper than %d", maxDepth)}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func isTruncated(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(offset, len(data))], []byte("\n"))
}
