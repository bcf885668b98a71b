package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
)

// MergeConflictError means that git left its conflict markers in the file.
type MergeConflictError struct {
	// Conflicts are all of them, in order.
	Conflicts []Conflict
}

// Conflict is one pair of sides that git could not join.
type Conflict struct {
	Line int      // of its <<<<<<<
	Keep []string // what to keep, in sentences for people
}

func (e *MergeConflictError) Error() string {
	var b strings.Builder
	b.WriteString("git could not merge the state by itself: ")
	for _, c := range e.Conflicts {
		fmt.Fprintf(&b, "\n  line %d: %s", c.Line, strings.Join(c.Keep, "; "))
	}
	b.WriteString("\nthen delete the lines that begin with <<<<<<<, |||||||, ======= and >>>>>>>, leave an empty line between entries, " +
		"and run coffer plan: it shows whatever the stores hold that the state does not say")
	return b.String()
}

// side is what one branch has between two markers.
type side struct {
	name    string // what stands behind the marker
	lines   []string
	above   string // the line before the first marker
	serial  uint64
	entries map[addr.Location]claim
	order   []addr.Location
	pins    map[string]string
	refs    []string
}

// claim is what decides between two lines of one entry.
type claim struct {
	Address    addr.Address  `json:"address"`
	Location   addr.Location `json:"location"`
	Generation int           `json:"generation"`
	RotatedAt  time.Time     `json:"rotated_at"`
	Pending    *struct{}     `json:"pending"`
}

// findConflict returns a [*MergeConflictError] if git's markers are there. A
// line of a state never begins like one of them.
func findConflict(data []byte) error {
	if !bytes.Contains(data, []byte("<<<<<<<")) && !bytes.Contains(data, []byte(">>>>>>>")) {
		return nil
	}
	var conflicts []Conflict
	var ours, theirs, base side
	var into *side
	line, above := 0, ""
	for text := range strings.Lines(string(data)) {
		line++
		text = strings.TrimRight(text, "\r\n")
		switch {
		case strings.HasPrefix(text, "<<<<<<<"):
			conflicts = append(conflicts, Conflict{Line: line})
			ours, theirs, base = side{name: markerName(text, "the first"), above: above}, side{above: above}, side{}
			into = &ours
		case into == nil:
			above = text
		case strings.HasPrefix(text, "|||||||"):
			into = &base
		case strings.HasPrefix(text, "======="):
			into = &theirs
		case strings.HasPrefix(text, ">>>>>>>"):
			theirs.name = markerName(text, "the second")
			conflicts[len(conflicts)-1].Keep = settle(&ours, &theirs)
			into = nil
		default:
			into.lines = append(into.lines, text)
		}
	}
	if len(conflicts) == 0 {
		return nil
	}
	if into != nil {
		conflicts[len(conflicts)-1].Keep = []string{"its end is missing: take the file from git again"}
	}
	return &MergeConflictError{Conflicts: conflicts}
}

func markerName(marker, otherwise string) string {
	if name := strings.TrimSpace(marker[7:]); name != "" {
		return name
	}
	return otherwise
}

// read finds the entries, whose two lines may be apart, and the rest.
func (s *side) read() {
	s.entries, s.pins = map[addr.Location]claim{}, map[string]string{}
	first := s.above
	for _, text := range s.lines {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, `{"address":`) {
			first = text
			continue
		}
		text = strings.TrimSuffix(text, ",")
		var c claim
		if strings.HasPrefix(text, `"location":`) && json.Unmarshal([]byte(first+text), &c) == nil {
			s.entries[c.Location] = c
			s.order = append(s.order, c.Location)
			continue
		}
		if n, err := fmt.Sscanf(text, `"serial": %d`, &s.serial); n == 1 && err == nil {
			continue
		}
		var pin map[string]string
		if json.Unmarshal([]byte("{"+text+"}"), &pin) == nil {
			for ref, identity := range pin {
				s.pins[ref] = identity
				s.refs = append(s.refs, ref)
			}
		}
	}
}

// settle says what to keep of two sides. Keeping an entry too many is safe:
// a plan looks at the store and forgets what is not there.
func settle(ours, theirs *side) []string {
	ours.read()
	theirs.read()
	var keep []string
	if ours.serial > 0 || theirs.serial > 0 {
		keep = append(keep, fmt.Sprintf(`keep "serial": %d, the higher number`, max(ours.serial, theirs.serial)))
	}
	var onlyOne []string
	for _, l := range ours.order {
		a := ours.entries[l]
		if b, both := theirs.entries[l]; both {
			keep = append(keep, settleEntry(ours, theirs, a, b))
		} else {
			onlyOne = append(onlyOne, a.Address.String())
		}
	}
	for _, l := range theirs.order {
		if _, both := ours.entries[l]; !both {
			onlyOne = append(onlyOne, theirs.entries[l].Address.String())
		}
	}
	if len(onlyOne) > 0 {
		keep = append(keep, "keep the lines of "+strings.Join(onlyOne, " and "))
	}
	keep = append(keep, settlePins(ours, theirs)...)
	if len(keep) == 0 {
		keep = append(keep, "keep either side")
	}
	return keep
}

func settleEntry(ours, theirs *side, a, b claim) string {
	from := func(s *side, why string) string {
		return fmt.Sprintf("%s is on both sides: keep the line of %s, %s", a.Address, s.name, why)
	}
	later, earlier := func(x, y claim) bool { return x.RotatedAt.After(y.RotatedAt) }, "whose rotated_at is later"
	switch {
	case a.Generation > b.Generation:
		return from(ours, fmt.Sprintf("with generation %d", a.Generation))
	case b.Generation > a.Generation:
		return from(theirs, fmt.Sprintf("with generation %d", b.Generation))
	case later(a, b):
		return from(ours, earlier)
	case later(b, a):
		return from(theirs, earlier)
	case a.Pending != nil:
		return from(ours, "which knows of an apply that is not finished")
	default:
		return from(theirs, "or the other: they are of the same age")
	}
}

func settlePins(ours, theirs *side) []string {
	var keep []string
	for _, ref := range ours.refs {
		switch identity, both := theirs.pins[ref]; {
		case !both:
			keep = append(keep, fmt.Sprintf("keep the line of %q", ref))
		case identity != ours.pins[ref]:
			keep = append(keep, fmt.Sprintf("%q is on both sides: keep the line whose value the entries name as their provider", ref))
		default: // only its comma differs
			keep = append(keep, fmt.Sprintf("keep one line of %q", ref))
		}
	}
	for _, ref := range theirs.refs {
		if _, both := ours.pins[ref]; !both {
			keep = append(keep, fmt.Sprintf("keep the line of %q", ref))
		}
	}
	if len(keep) > 0 {
		keep = append(keep, "a comma stands between two of these lines and none behind the last")
	}
	return keep
}
