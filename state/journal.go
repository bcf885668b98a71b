package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// A journal is a file of lines, each a checksum, a space and JSON. The
// checksum covers the one before it, so that no line can be edited, dropped or
// moved. The first line is written atomically, with the file; each later one
// is one group commit: a crash can tear only the last.

// journalVersion is the format that is written and the newest that is read.
const journalVersion = 1

// journalHeader is the first line.
type journalHeader struct {
	Journal int    `json:"journal"` // the format
	Project string `json:"project"`
	Lineage string `json:"lineage"`
	Serial  uint64 `json:"serial"` // of the state that the records change
	// State is the digest of that state's file; "" where there was none.
	State string   `json:"state,omitempty"`
	Lock  LockInfo `json:"lock"`
}

// journalLine is every other line: records, a note that the state with all of
// them was about to be put in place, or who took the journal over.
type journalLine struct {
	Records []Record      `json:"records,omitempty"`
	Saved   *journalSaved `json:"saved,omitempty"`
	Sealed  *LockInfo     `json:"sealed,omitempty"`
}

type journalSaved struct {
	Serial uint64 `json:"serial"`
	State  string `json:"state"`
	By     string `json:"by,omitempty"` // the lock of whoever saved, on a shared state
}

// journalFile is a journal that was read.
type journalFile struct {
	header  journalHeader
	records []Record
	saved   *journalSaved
	sum     string // of the last whole line
	size    int64  // up to and with the last whole line
	text    []byte // its first size bytes
}

const sumLength = 16

// lineSum returns the checksum of a line behind the line with checksum before.
func lineSum(before string, text []byte) string {
	h := sha256.New()
	h.Write([]byte(before + "\n"))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))[:sumLength]
}

// encodeLine returns the line of v and its checksum.
func encodeLine(before string, v any) (line []byte, sum string, err error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, "", err
	}
	body := text.Bytes()[:text.Len()-1]
	sum = lineSum(before, body)
	return fmt.Appendf(nil, "%s %s\n", sum, body), sum, nil
}

// parseJournal reads a journal. A torn last line is dropped: one that was cut
// off, or parts of which never reached the disk and read as zeros. Anything
// else that does not fit was changed by somebody.
func parseJournal(data []byte) (*journalFile, error) {
	j := &journalFile{}
	all := data
	defer func() { j.text = all[:j.size:j.size] }()
	for number := 1; len(data) > 0; number++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole || !j.follows(line) {
			torn := !whole || bytes.IndexByte(line, 0) >= 0
			if torn && len(rest) == 0 && number > 1 {
				return j, nil
			}
			return nil, fmt.Errorf("line %d does not fit its checksum", number)
		}
		text := line[sumLength+1:]
		var err error
		if number == 1 {
			err = j.readHeader(text)
		} else {
			err = j.readLine(text)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		j.sum = string(line[:sumLength])
		j.size += int64(len(line) + 1)
		data = rest
	}
	if j.size == 0 {
		return nil, errors.New("it is empty")
	}
	return j, nil
}

// follows reports whether line is whole and stands behind what was read.
func (j *journalFile) follows(line []byte) bool {
	return len(line) > sumLength && line[sumLength] == ' ' &&
		lineSum(j.sum, line[sumLength+1:]) == string(line[:sumLength])
}

func (j *journalFile) readHeader(text []byte) error {
	var version struct {
		Journal int `json:"journal"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return err
	}
	if version.Journal > journalVersion {
		return &NewerError{What: "journal", Version: version.Journal, Reads: journalVersion}
	}
	if version.Journal < 1 {
		return errors.New("this is not a journal")
	}
	return strictly(text, &j.header)
}

func (j *journalFile) readLine(text []byte) error {
	if err := checkDepth(text); err != nil {
		return err
	}
	var line journalLine
	if err := strictly(text, &line); err != nil {
		return err
	}
	for _, r := range line.Records {
		if err := r.check(); err != nil {
			return err
		}
	}
	j.records = append(j.records, line.Records...)
	if line.Saved != nil {
		j.saved = line.Saved
	}
	return nil
}

func strictly(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("there is text behind the end")
	}
	return nil
}

// digest names a file's content.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
