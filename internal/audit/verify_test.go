package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// sample returns the lines of a log of n records, each with its newline.
func sample(t testing.TB, n int) [][]byte {
	t.Helper()
	now := clock()
	l := &Log{opts: Options{Now: now, Project: "shop-1a2b", Who: "alice@laptop", Command: "apply"}}
	var lines [][]byte
	at := Anchor{}
	for i := range n {
		r := l.record(event(i), at, 0)
		lines = append(lines, r.seal())
		at = r.anchor()
	}
	return lines
}

func join(lines ...[]byte) []byte { return bytes.Join(lines, nil) }

// TestVerifyFindsEveryChange does to a log everything that somebody could do to
// its records, one thing at a time, and wants the place to be named.
func TestVerifyFindsEveryChange(t *testing.T) {
	const n = 12
	lines := sample(t, n)
	whole := Anchor{Seq: n, Hash: mustParse(t, lines[n-1]).Hash}
	cases := 0
	check := func(what string, text []byte, first, last int) {
		t.Helper()
		cases++
		r := verify(t, text, VerifyOptions{Anchor: whole})
		if r.OK() {
			t.Errorf("%s: not found", what)
			return
		}
		if line := r.Problems[0].Line; line < first || line > last {
			t.Errorf("%s: found at line %d, want %d to %d: %v", what, line, first, last, r.Problems)
		}
	}
	without := func(i int) [][]byte { return append(append([][]byte{}, lines[:i]...), lines[i+1:]...) }
	for i := range lines {
		check(fmt.Sprintf("drop %d", i+1), join(without(i)...), i+1, i+1)
		for j := range lines {
			if i != j {
				swapped := append([][]byte{}, lines...)
				swapped[i], swapped[j] = swapped[j], swapped[i]
				check(fmt.Sprintf("swap %d and %d", i+1, j+1), join(swapped...), min(i, j)+1, min(i, j)+1)
				moved := without(i)
				moved = append(moved[:j:j], append([][]byte{lines[i]}, moved[j:]...)...)
				check(fmt.Sprintf("move %d to %d", i+1, j+1), join(moved...), min(i, j)+1, max(i, j)+1)
			}
			doubled := append(append([][]byte{}, lines[:j:j]...), append([][]byte{lines[i]}, lines[j:]...)...)
			check(fmt.Sprintf("copy %d before %d", i+1, j+1), join(doubled...), j+1, j+2)
		}
		check(fmt.Sprintf("copy %d to the end", i+1), join(append(append([][]byte{}, lines...), lines[i])...), n+1, n+1)
		for j := i + 1; j < n; j++ {
			check(fmt.Sprintf("drop %d to %d", i+1, j+1), join(append(append([][]byte{}, lines[:i]...), lines[j+1:]...)...), i+1, i+1)
		}
	}
	t.Logf("%d changes of whole records", cases)
}

// TestVerifyFindsEveryEdit changes each byte of a record, each field by its
// meaning, and the spelling without the meaning.
func TestVerifyFindsEveryEdit(t *testing.T) {
	const n = 4
	lines := sample(t, n)
	for i := range lines {
		for b := range lines[i] {
			edited := bytes.Clone(lines[i])
			edited[b] ^= 1
			r := verify(t, join(append(append([][]byte{}, lines[:i]...), append([][]byte{edited}, lines[i+1:]...)...)...), VerifyOptions{})
			atEnd := i == n-1 && b == len(lines[i])-1 // the last newline: an incomplete line
			if r.OK() && (!atEnd || r.Torn == 0) || !r.OK() && r.Problems[0].Line != i+1 {
				t.Errorf("byte %d of line %d: %+v", b, i+1, r)
			}
		}
		// A clever editor also makes the record's own hash right. What follows
		// then betrays it; the last record needs the anchor.
		for f := range mustParse(t, lines[i]).fields() {
			r := mustParse(t, lines[i])
			anchor := Anchor{Seq: n, Hash: mustParse(t, lines[n-1]).Hash}
			*r.fields()[f] += "x"
			forged := append(append([][]byte{}, lines[:i]...), append([][]byte{r.seal()}, lines[i+1:]...)...)
			found := verify(t, join(forged...), VerifyOptions{Anchor: anchor})
			if found.OK() || found.Problems[0].Line != min(i+2, n) {
				t.Errorf("field %d of line %d, hash made right: %+v", f, i+1, found)
			}
		}
	}
	for name, edit := range map[string]func(string) string{
		"space":           func(s string) string { return strings.Replace(s, ":", ": ", 1) },
		"escape":          func(s string) string { return strings.Replace(s, "alice", `\u0061lice`, 1) },
		"unknown field":   func(s string) string { return strings.Replace(s, `{"v"`, `{"x":1,"v"`, 1) },
		"repeated field":  func(s string) string { return strings.Replace(s, `{"v":1`, `{"v":1,"v":1`, 1) },
		"other order":     func(s string) string { return strings.Replace(s, `"v":1,"seq":2`, `"seq":2,"v":1`, 1) },
		"other case":      func(s string) string { return strings.Replace(s, `"who"`, `"Who"`, 1) },
		"empty field":     func(s string) string { return strings.Replace(s, `"prev"`, `"group":0,"prev"`, 1) },
		"null":            func(s string) string { return strings.Replace(s, `"prev"`, `"group":null,"prev"`, 1) },
		"carriage return": func(s string) string { return strings.Replace(s, "\n", "\r\n", 1) },
		"time zone":       func(s string) string { return strings.Replace(s, `Z"`, `+00:00"`, 1) },
		"empty line":      func(s string) string { return "\n" + s },
		"garbage":         func(string) string { return "garbage\n" },
		"array":           func(string) string { return "[]\n" },
		"deep":            func(string) string { return strings.Repeat("[", MaxRecord-10) + "\n" },
		"too long":        func(string) string { return strings.Repeat("x", 5*MaxRecord) + "\n" },
		"just too long":   func(string) string { return strings.Repeat("x", MaxRecord+1) + "\n" },
		"no newline":      func(s string) string { return strings.TrimSuffix(s, "\n") },
		"hash away":       func(s string) string { return s[:strings.Index(s, `,"hash"`)] + "}\n" },
	} {
		r := verify(t, join(lines[0], []byte(edit(string(lines[1]))), lines[2], lines[3]), VerifyOptions{})
		if r.OK() || r.Problems[0].Line != 2 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestWhatTheChainCannotSee states the limits, and that an anchor moves them.
func TestWhatTheChainCannotSee(t *testing.T) {
	lines := sample(t, 5)
	anchor := Anchor{Seq: 4, Hash: mustParse(t, lines[3]).Hash}
	cut := join(lines[:3]...)
	if r := verify(t, cut, VerifyOptions{}); !r.OK() {
		t.Errorf("a cut end is visible after all: %+v", r)
	}
	if r := verify(t, cut, VerifyOptions{Anchor: anchor}); r.OK() || r.Problems[0].Kind != Cut || r.Problems[0].Line != 4 {
		t.Errorf("a cut end before the anchor: %+v", r)
	}
	if r := verify(t, nil, VerifyOptions{Anchor: anchor}); r.OK() {
		t.Error("an empty log passed for one with an anchor")
	}
	// A whole new chain, with another person in it.
	l := &Log{opts: Options{Now: clock(), Who: "mallory"}}
	var forged [][]byte
	at := Anchor{}
	for i := range 5 {
		r := l.record(event(i), at, 0)
		forged, at = append(forged, r.seal()), r.anchor()
	}
	if r := verify(t, join(forged...), VerifyOptions{}); !r.OK() {
		t.Errorf("a new chain is visible after all: %+v", r)
	}
	if r := verify(t, join(forged...), VerifyOptions{Anchor: anchor}); r.OK() || r.Problems[0].Kind != Replaced || r.Problems[0].Line != 4 {
		t.Errorf("a new chain against the anchor: %+v", r)
	}
	if r := verify(t, join(lines...), VerifyOptions{Anchor: anchor}); !r.OK() {
		t.Errorf("the true log against its anchor: %+v", r)
	}
}

func TestVerifyTornEnd(t *testing.T) {
	lines := sample(t, 3)
	for cutAt := 1; cutAt < len(lines[2]); cutAt += 7 {
		r := verify(t, join(lines[0], lines[1], lines[2][:cutAt]), VerifyOptions{})
		if !r.OK() || r.Torn != cutAt || r.Records != 2 {
			t.Fatalf("cut at %d: %+v", cutAt, r)
		}
	}
}

func TestVerifyReadError(t *testing.T) {
	_, err := Verify(io.MultiReader(bytes.NewReader(sample(t, 1)[0]), iotest.ErrReader(io.ErrClosedPipe)), VerifyOptions{})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestVerifyBoundsItsReport(t *testing.T) {
	r := verify(t, bytes.Repeat([]byte("x\n"), 5000), VerifyOptions{})
	if len(r.Problems) != 100 || r.Total != 5000 {
		t.Errorf("%d problems told of %d", len(r.Problems), r.Total)
	}
}

func TestProblemsHoldNoTextOfTheLog(t *testing.T) {
	for _, text := range []string{"canary-text\n", `{"v":1,"seq":1,"who":"canary-text"}` + "\n", strings.Repeat("canary-text", 3000) + "\n"} {
		if r := verify(t, []byte(text), VerifyOptions{}); r.OK() || strings.Contains(fmt.Sprint(r), "canary") {
			t.Errorf("%.20q: %+v", text, r)
		}
	}
}

func TestAnchor(t *testing.T) {
	a := Anchor{Seq: 7, Hash: strings.Repeat("0a", 32)}
	if back, err := ParseAnchor(" " + a.String() + "\n"); err != nil || back != a {
		t.Errorf("%v, %v", back, err)
	}
	for _, s := range []string{"", "7", ":", "0:" + a.Hash, "-1:" + a.Hash, "7:" + a.Hash[1:], "7:" + strings.ToUpper(a.Hash), "7:" + a.Hash + "0", "7:" + strings.Repeat("x", 64)} {
		if _, err := ParseAnchor(s); err == nil {
			t.Errorf("%q parses", s)
		}
	}
}

func mustParse(t testing.TB, line []byte) *record {
	t.Helper()
	r, err := parse(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzVerify(f *testing.F) {
	lines := sample(f, 3)
	f.Add(join(lines...))
	f.Add(join(lines[0], lines[2]))
	f.Add([]byte("\n\n{}\n"))
	f.Add(lines[0][:50])
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Verify(bytes.NewReader(text), VerifyOptions{})
		if err != nil || r.Total < len(r.Problems) {
			t.Fatalf("%+v, %v", r, err)
		}
		// Opening what verifies goes on from its last record.
		e, err := readEnd(bytes.NewReader(text), int64(len(text)))
		if r.OK() && r.Records > 0 && (err != nil || e.last != r.Anchor || e.size != int64(len(text)-r.Torn)) {
			t.Fatalf("end %+v, %v; report %+v", e, err, r)
		}
		if err == nil && (e.size < 0 || e.size > int64(len(text))) {
			t.Fatalf("end %+v of %d bytes", e, len(text))
		}
	})
}

// TestLongLog: only the end is read on opening.
func TestLongLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := mustOpen(t, path)
	keep(t, l, 0, 3)
	big := join(sample(t, 5000)...)
	e, err := readEnd(bytes.NewReader(big), int64(len(big)))
	if err != nil || e.size != int64(len(big)) || e.last.Seq != 5000 {
		t.Errorf("%+v, %v", e, err)
	}
	if len(big) < 2*window {
		t.Errorf("the log is too short for this test: %d", len(big))
	}
}
