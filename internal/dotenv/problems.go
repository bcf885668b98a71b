package dotenv

import (
	"bytes"
	"errors"
)

// maxProblems is how many errors [Problems] returns at most.
const maxProblems = 20

// Problems returns the errors of a file that [Parse] refuses, so that a person
// mends them all at once; the first is the one of Parse. It goes on behind a
// line with an error only where that line has no quote: else the lines after it
// may belong to a value.
func Problems(text []byte) []*Error {
	_, err := Parse(bytes.NewReader(text))
	first, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	var all []*Error
	p := parser{rest: bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), line: 1, seen: map[string]int{}}
	for len(p.rest) > 0 && len(all) < maxProblems {
		line, rest, _ := bytes.Cut(p.rest, []byte("\n"))
		number := p.line
		problem, ok := errors.AsType[*Error](p.statement())
		if !ok {
			continue
		}
		all = append(all, problem)
		if bytes.ContainsAny(line, "'\"`") {
			break
		}
		p.rest, p.line = rest, number+1
	}
	if len(all) == 0 || *all[0] != *first { // the file as a whole is refused
		return []*Error{first}
	}
	return all
}
