package lang

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Loaded is a configuration and the folder that it was read from.
type Loaded struct {
	Dir    string
	Config *Config
}

// PinDifference is the Extra of a diagnostic of [ComparePinned]: what differs
// from the trusted copy.
type PinDifference struct {
	// Block names it for people: "provider vault.eu", "policy_pack", "local.address".
	Block string
	// Trusted and Proposed are its canonical text, "" where it does not exist.
	// They hold no value and no credential.
	Trusted, Proposed string
}

// LoadPinned reads of the configuration in dir what [ComparePinned] compares: the
// coffer block, the providers, and the variables and locals that these are made
// of. Nothing else has to be right. The Config is good for nothing but that.
//
// Variables that are given and that no block declares are left alone: they may be
// new where this is compared with. The rest is as in [Load].
func LoadPinned(dir string, o Options) (*Config, hcl.Diagnostics) {
	l := newLoader(dir, o)
	l.pinned = true
	if !l.read() {
		return nil, l.diags.sorted()
	}
	if diag := within(o.Deadline, memoryLimit(l.size), l.loadPinned); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	for name, file := range l.cfg.Files {
		l.cfg.Files[name] = &hcl.File{Bytes: file.Bytes}
	}
	return l.cfg, l.diags.sorted()
}

func (l *loader) loadPinned() {
	defer func() { _ = l.root.Close() }() // nothing reads files later
	l.parse()
	if l.diags.hasErrors() {
		return
	}
	l.sortBlocks()
	if !l.checkVersion() {
		return
	}
	l.loadSettings()
	l.functions = functions(l.root)
	l.words = l.vocabulary()
	l.loadVariables()
	l.loadLocals()
	l.loadProviders()
	l.loadStateKeeping()
}

// ComparePinned returns one error for each block of proposed that decides where
// credentials or values go, or which rules judge, and that is not the one of
// trusted: another text, another value that it comes to, one more or one less.
// How it is formatted, in which file and in which order it stands, and what the
// comments say, is no difference. Both configurations have been loaded without
// an error.
//
// Compared are the coffer block with all in it, the providers, the variables and
// locals that these use, and the files below the folder that they name. A
// credential is compared by where it comes from; it is not read.
func ComparePinned(trusted, proposed Loaded) hcl.Diagnostics {
	before, now := collectPins(trusted.Config), collectPins(proposed.Config)
	var out hcl.Diagnostics
	for _, key := range sortedKeys(before.units) {
		was, is := before.units[key], now.units[key]
		switch {
		case is == nil:
			out = append(out, pinMissing(was))
		case !slices.EqualFunc(was.lines, is.lines, pinLine.same):
			out = append(out, pinChanged(was, is))
		}
	}
	for _, key := range sortedKeys(now.units) {
		if before.units[key] == nil {
			out = append(out, pinAdded(now.units[key]))
		}
	}
	for _, name := range sortedKeys(before.uses) {
		was, is := before.uses[name], now.uses[name]
		if is != nil && !slices.EqualFunc(was.lines, is.lines, pinLine.same) {
			out = append(out, pinChanged(was, is))
		}
	}
	out = append(out, compareFiles(trusted, proposed, before, now)...)
	slices.SortStableFunc(out, func(a, b *hcl.Diagnostic) int {
		x, y := subjectOf(a), subjectOf(b)
		return cmp.Or(strings.Compare(x.Filename, y.Filename), cmp.Compare(x.Start.Byte, y.Start.Byte))
	})
	return out[:min(len(out), maxFindings)]
}

// What a block decides, for the sentence that says why it is pinned.
const (
	decidesProject = "It decides which project and which state this is"
	decidesRules   = "It holds the rules that every plan is held to"
	decidesWhere   = "It decides where credentials and values go"
	decidesReads   = "It decides who can read the files of a store"
	decidesMade    = "What decides where credentials and values go is made of it"
)

const pinnedAdvice = "so nothing is planned against it. Take the change out, or have it merged on its own, by people who may say where credentials go."

func pinChanged(was, is *pinUnit) *hcl.Diagnostic {
	d := diffPins(was, is)
	at := is.at
	if d.at != nil {
		at = *d.at
	}
	about := "it differs"
	if len(d.names) > 0 {
		about = wordList(d.names) + " " + map[bool]string{true: "differs", false: "differ"}[len(d.names) == 1]
	}
	diag := errorAt(at, "Another "+is.name+" than the trusted copy has",
		"%s is not the one at %s of the trusted copy: %s. %s, %s\n\n%s", is.name, place(was.at), about, is.decides, pinnedAdvice, d.text)
	diag.Extra = PinDifference{is.name, was.text(), is.text()}
	return diag
}

func pinAdded(is *pinUnit) *hcl.Diagnostic {
	diag := errorAt(is.at, "A "+is.name+" that the trusted copy does not have", "%s, %s\n\n%s", is.decides, pinnedAdvice, diffPins(&pinUnit{}, is).text)
	diag.Extra = PinDifference{Block: is.name, Proposed: is.text()}
	return diag
}

// pinMissing has no place: what is gone stands nowhere.
func pinMissing(was *pinUnit) *hcl.Diagnostic {
	diag := unplaced("No "+was.name+", which the trusted copy has", "It stands there at %s. %s, %s\n\n%s",
		place(was.at), was.decides, pinnedAdvice, diffPins(was, &pinUnit{}).text)
	diag.Extra = PinDifference{Block: was.name, Trusted: was.text()}
	return diag
}

// PinnedLine is a line of a file that is compared by its lines, in canonical form.
type PinnedLine struct {
	Text string
	Line int
}

// ComparePinnedLines returns how a file beside the configuration differs from that
// of the trusted copy, nil where it does not. No lines at all are no file.
func ComparePinnedLines(file string, trusted, proposed []PinnedLine) *hcl.Diagnostic {
	unit := func(list []PinnedLine) *pinUnit {
		u := &pinUnit{name: file, decides: decidesReads, at: hcl.Range{Filename: file, Start: hcl.Pos{Line: 1, Byte: -1}, End: hcl.Pos{Line: 1, Byte: -1}}}
		for _, l := range list {
			at := u.at
			at.Start.Line, at.End.Line = l.Line, l.Line
			u.lines = append(u.lines, pinLine{text: l.Text, at: at})
		}
		return u
	}
	was, is := unit(trusted), unit(proposed)
	switch {
	case slices.EqualFunc(was.lines, is.lines, pinLine.same):
		return nil
	case len(is.lines) == 0:
		return pinMissing(was)
	case len(was.lines) == 0:
		return pinAdded(is)
	}
	return pinChanged(was, is)
}
