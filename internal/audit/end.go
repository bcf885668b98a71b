package audit

import (
	"bytes"
	"errors"
	"io"
)

// end is where a log stands: its last good record and the size up to there.
type end struct {
	last Anchor
	size int64
}

// window is how much of the end of a log is read. It holds a whole group, the
// record before it and what may be left of one more.
const window = (group + 3) * MaxRecord

var errNoLog = errors.New("its end is not an audit log; move it away and keep it, a new one is then started")

// readEnd finds the last record. What a crash can leave behind it, it does not
// count: records become durable in groups, so at most the last group can be
// incomplete, in any of its parts, because a disk writes blocks in any order.
// Damage before that group is not from a crash; it is kept for [Verify] to find.
func readEnd(f io.Reader, size int64) (end, error) {
	start := max(0, size-window)
	tail, err := readFrom(f, start, size)
	if err != nil {
		return end{}, err
	}
	if start > 0 { // the first line is not whole
		i := bytes.IndexByte(tail, '\n') + 1
		if i == 0 {
			return end{}, errNoLog
		}
		tail, start = tail[i:], start+int64(i)
	}
	lines := splitLines(tail)
	good := len(lines)
	for {
		for good > 0 && lines[good-1].record == nil {
			good-- // incomplete
		}
		if good == 0 {
			break
		}
		first := good - 1 - lines[good-1].record.Group
		broken := brokenIn(lines, max(first, 0), good)
		if broken < 0 {
			break
		}
		good = broken
	}
	switch {
	case len(lines)-good > group+1:
		return end{}, errNoLog
	case good > 0:
		l := lines[good-1]
		return end{last: l.record.anchor(), size: start + l.end}, nil
	case start > 0 || len(lines) > 0 && !plausible(lines[0].text):
		return end{}, errNoLog
	}
	return end{}, nil
}

type line struct {
	text   []byte
	record *record // nil where it is damaged
	end    int64   // offset behind its newline
}

// splitLines cuts text into lines; one without a newline is damaged.
func splitLines(text []byte) []line {
	var lines []line
	offset := int64(0)
	for len(text) > 0 {
		content, rest, found := bytes.Cut(text, []byte("\n"))
		offset += int64(len(content)) + 1
		l := line{text: content, end: offset}
		if found {
			if r, err := parse(content); err == nil {
				l.record = r
			}
		}
		lines = append(lines, l)
		text = rest
	}
	return lines
}

// brokenIn returns the first line of a group that is damaged or does not follow
// the one before it, -1 where all is well.
func brokenIn(lines []line, first, end int) int {
	for i := first; i < end; i++ {
		r := lines[i].record
		if r == nil {
			return i
		}
		if i > first && (r.Prev != lines[i-1].record.Hash || r.Group != lines[i-1].record.Group+1) {
			return i
		}
	}
	return -1
}

// plausible reports whether text can be what is left of a first record: a
// beginning of one, up to a block that was never written.
// Anything else is a file that somebody named by mistake.
func plausible(text []byte) bool {
	const head = `{"v":1,"seq":1,`
	text, _, _ = bytes.Cut(text, []byte{0})
	n := min(len(text), len(head))
	return string(text[:n]) == head[:n]
}

// readFrom returns the bytes from start to size.
func readFrom(f io.Reader, start, size int64) ([]byte, error) {
	if at, ok := f.(io.ReaderAt); ok {
		tail := make([]byte, size-start)
		n, err := at.ReadAt(tail, start)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return tail[:n], err
	}
	all, err := io.ReadAll(io.LimitReader(f, size))
	return all[min(start, int64(len(all))):], err
}
