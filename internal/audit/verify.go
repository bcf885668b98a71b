package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Anchor names one record. Whoever keeps an anchor away from the log can prove
// with it that the log was neither cut before it nor written anew.
type Anchor struct {
	Seq  uint64
	Hash string // 64 hexadecimal digits
}

// String returns SEQ:HASH, which [ParseAnchor] reads.
func (a Anchor) String() string { return strconv.FormatUint(a.Seq, 10) + ":" + a.Hash }

// ParseAnchor reads an anchor as [Anchor.String] writes it.
func ParseAnchor(s string) (Anchor, error) {
	number, hash, _ := strings.Cut(strings.TrimSpace(s), ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || len(hash) != len(genesis) || strings.Trim(hash, "0123456789abcdef") != "" {
		return Anchor{}, errors.New("an anchor is NUMBER:HASH, as coffer audit verify prints it")
	}
	return Anchor{Seq: seq, Hash: hash}, nil
}

// Kinds of problems.
const (
	Unreadable = "unreadable" // the line is no record
	Edited     = "edited"     // the record does not match its own hash
	Missing    = "missing"    // records before this line are gone
	Misplaced  = "misplaced"  // a record that was before already: repeated, moved or inserted
	Broken     = "broken"     // the record before is not the one this follows
	Cut        = "cut"        // the log ends before the anchor
	Replaced   = "replaced"   // the anchor's record is another one
)

// Problem is one place where a log is not as it was written.
type Problem struct {
	Line int    // counted from 1; of the end for [Cut]
	Kind string // one of the constants above
	Text string // for people; holds none of the log's text
}

// Report is what [Verify] found.
type Report struct {
	Records     int
	First, Last time.Time
	// Anchor is the last record, to be kept elsewhere; zero for an empty log.
	Anchor Anchor
	// Torn are bytes behind the last line: what a crash left, or a record that
	// is just being written. The next command cuts and notes them.
	Torn int
	// Crashes counts the notes of such cuts.
	Crashes  int
	Problems []Problem // the first hundred, in order
	// Total counts all problems.
	Total int
}

// OK reports whether no problem was found.
func (r Report) OK() bool { return r.Total == 0 }

// VerifyOptions are what is known from elsewhere.
type VerifyOptions struct {
	// Anchor is zero or a record that the log must hold.
	Anchor Anchor
}

// Verify reads a whole log and reports every record that was edited, dropped,
// inserted, repeated or moved, by line. It cannot see that the end was cut off,
// nor that somebody wrote the whole chain anew from some record on; with an
// anchor it sees both, up to the anchor. The error is that of r.
func Verify(r io.Reader, opts VerifyOptions) (Report, error) {
	v := verifier{next: 1, hash: genesis, anchor: opts.Anchor}
	in := bufio.NewReaderSize(r, MaxRecord+1)
	for {
		text, err := in.ReadSlice('\n')
		if err == nil {
			v.line++
			v.check(text[:len(text)-1])
			continue
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			v.line++
			v.problem(Unreadable, "it is longer than any record")
			if err = skipLine(in); err == nil {
				continue
			}
			text = nil
		}
		if !errors.Is(err, io.EOF) {
			return v.report, fmt.Errorf("read the audit log: %w", err)
		}
		v.report.Torn = len(text)
		break
	}
	if v.anchor.Seq != 0 && !v.anchored {
		v.line++
		v.problem(Cut, fmt.Sprintf("the log ends before record %d, the anchor", v.anchor.Seq))
	}
	return v.report, nil
}

func skipLine(in *bufio.Reader) error {
	for {
		_, err := in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

type verifier struct {
	report   Report
	line     int
	next     uint64 // the number and the hash that the next record must have
	hash     string
	anchor   Anchor
	anchored bool
}

func (v *verifier) problem(kind, text string) {
	v.report.Total++
	if len(v.report.Problems) < 100 {
		v.report.Problems = append(v.report.Problems, Problem{Line: v.line, Kind: kind, Text: text})
	}
}

func (v *verifier) check(text []byte) {
	r, err := parse(text)
	if r == nil {
		v.problem(Unreadable, err.Error())
		return
	}
	v.report.Records++
	switch {
	case err != nil:
		v.problem(Edited, fmt.Sprintf("record %d: %v", r.Seq, err))
	case r.Seq > v.next && r.Seq == v.next+1:
		v.problem(Missing, fmt.Sprintf("record %d is missing before record %d", v.next, r.Seq))
	case r.Seq > v.next:
		v.problem(Missing, fmt.Sprintf("records %d to %d are missing before record %d", v.next, r.Seq-1, r.Seq))
	case r.Seq < v.next:
		v.problem(Misplaced, fmt.Sprintf("record %d stands behind record %d", r.Seq, v.next-1))
	case r.Prev != v.hash:
		v.problem(Broken, fmt.Sprintf("record %d does not follow the record before it: that one was replaced, or this one inserted", r.Seq))
	}
	if v.anchor.Seq != 0 && r.Seq == v.anchor.Seq {
		v.anchored = true
		if r.Hash != v.anchor.Hash {
			v.problem(Replaced, fmt.Sprintf("record %d is not the one of the anchor", r.Seq))
		}
	}
	if r.Action == ActionTorn {
		v.report.Crashes++
	}
	if v.report.First.IsZero() {
		v.report.First = r.Time
	}
	v.report.Last, v.report.Anchor = r.Time, r.anchor()
	v.hash = r.Hash
	if err == nil {
		v.next = r.Seq
	}
	v.next++
}
