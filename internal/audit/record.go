package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ActionTorn is the action of a record that stands where a crash left an
// incomplete one.
const ActionTorn = "torn"

const (
	// MaxRecord is the length of the longest line, its newline included
	// (RELIABILITY.md, rule 9: a long record must not stop the work).
	MaxRecord = 16 << 10
	// longest is what a field may have, in bytes, before it is cut.
	longest = 1024
)

// genesis is the hash before the first record.
const genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// record is one line, with its fields in the order of the line:
//
//	{"v":1,"seq":7,"time":"2026-01-02T03:04:05Z","project":"shop-1a2b","op":"…","action":"write",
//	 "address":"app.shop.secret.db[\"dev\"]","provider":"sops:…","kind":"secret","path":"dev/shop/db","version":"…",
//	 "who":"alice@laptop","command":"apply","prev":"<64 hex>","hash":"<64 hex>"}
//
// Empty fields are left out. hash is the SHA-256 of the line without its hash
// field, that is of the bytes up to ,"hash": and the closing brace; prev is the
// hash of the line before. There is one way to write a record: any other
// spelling of the same content counts as an edit.
type record struct {
	V        int       `json:"v"`
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Group    int       `json:"group,omitempty"` // position among the records that became durable together
	Project  string    `json:"project,omitempty"`
	Op       string    `json:"op,omitempty"`
	Action   string    `json:"action"`
	Address  string    `json:"address,omitempty"`
	Provider string    `json:"provider,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Path     string    `json:"path,omitempty"`
	Version  string    `json:"version,omitempty"`
	Who      string    `json:"who,omitempty"`
	Command  string    `json:"command,omitempty"`
	Note     string    `json:"note,omitempty"`
	Prev     string    `json:"prev"`
	Hash     string    `json:"hash,omitempty"`
}

func (r *record) anchor() Anchor { return Anchor{Seq: r.Seq, Hash: r.Hash} }

// seal cuts what is too long, sets the hash and returns the line.
func (r *record) seal() []byte {
	if year := r.Time.Year(); year < 1 || year > 9999 {
		r.Time = time.Time{} // what JSON cannot write; the order is in seq
	}
	for most := longest; ; most /= 2 {
		for _, field := range r.fields() {
			*field = cut(*field, most)
		}
		r.Hash = r.sum()
		if line := append(r.encode(), '\n'); len(line) <= MaxRecord {
			return line
		}
	}
}

func (r *record) fields() []*string {
	return []*string{&r.Project, &r.Op, &r.Action, &r.Address, &r.Provider, &r.Kind, &r.Path, &r.Version, &r.Who, &r.Command, &r.Note}
}

// cut shortens s to about most bytes and says how many are gone.
func cut(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most+len("…(cut 1048576 bytes)") {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s…(cut %d bytes)", s[:end], len(s)-end)
}

// encode returns the record as JSON. It cannot fail: a record has only numbers,
// text and a time that seal has checked.
func (r *record) encode() []byte {
	line, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	return line
}

// sum returns what hash must be.
func (r *record) sum() string {
	bare := *r
	bare.Hash = ""
	sum := sha256.Sum256(bare.encode())
	return hex.EncodeToString(sum[:])
}

var (
	errUnreadable = errors.New("it is not a record")
	errEdited     = errors.New("its content does not match its hash")
)

// parse reads one line, without its newline, and checks its hash.
func parse(line []byte) (*record, error) {
	var r record
	if len(line) >= MaxRecord || json.Unmarshal(line, &r) != nil || r.V != 1 || r.Seq == 0 {
		return nil, errUnreadable
	}
	if !bytes.Equal(r.encode(), line) || r.sum() != r.Hash {
		return &r, errEdited
	}
	return &r, nil
}
