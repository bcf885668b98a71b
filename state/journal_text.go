package state

// Journal is a journal as one text, for a store that keeps it whole.
type Journal struct {
	sum  string
	text []byte
}

// Journal returns the journal that a crash left, to go on with, or begins one
// for who. project is that of a state that does not exist yet. What a misfit
// announced is announced anew.
func (l *Loaded) Journal(project string, who LockInfo) (*Journal, error) {
	if l.misfit {
		return l.announced(project, who)
	}
	if l.journal != nil {
		return &Journal{sum: l.journal.sum, text: l.journal.text}, nil
	}
	header, err := l.header(project, who)
	if err != nil {
		return nil, err
	}
	j := &Journal{}
	return j, j.add(header)
}

// announced is a journal that begins on the state as it is, with the open
// intents of the one that does not fit it.
func (l *Loaded) announced(project string, who LockInfo) (*Journal, error) {
	header, err := l.header(project, who)
	if err != nil {
		return nil, err
	}
	var open []Record
	for _, e := range l.pending {
		open = append(open, Record{Kind: RecordIntent, Location: e.Location, Intent: e.Pending, Entry: withoutPending(e)})
	}
	j := &Journal{}
	if err := j.add(header); err != nil || len(open) == 0 {
		return j, err
	}
	return j.Add(open...)
}

func withoutPending(e *Entry) *Entry {
	c := e.Clone()
	c.Pending = nil
	return c
}

// Bytes returns the text, which is not to be changed.
func (j *Journal) Bytes() []byte { return j.text }

// Add returns the journal with records behind it. Malformed ones are refused.
func (j *Journal) Add(records ...Record) (*Journal, error) {
	if err := CheckRecords(records); err != nil {
		return nil, err
	}
	next := &Journal{sum: j.sum, text: j.text}
	return next, next.add(journalLine{Records: records})
}

// Seal returns the journal with a line that only says who took it away from
// whoever writes it: another content, so that a write on top of the old one
// fails.
func (j *Journal) Seal(by LockInfo) (*Journal, error) {
	next := &Journal{sum: j.sum, text: j.text}
	return next, next.add(journalLine{Sealed: &by})
}

// Saved returns the journal with the note that data, a state of that serial, is
// about to be put in place by the holder of a lock: once both are written, the
// journal has done its work.
func (j *Journal) Saved(serial uint64, data []byte, by string) (*Journal, error) {
	next := &Journal{sum: j.sum, text: j.text}
	return next, next.add(journalLine{Saved: &journalSaved{Serial: serial, State: digest(data), By: by}})
}

// Spend returns the journal with the note that all of it is in the state that
// was loaded.
func (j *Journal) Spend(l *Loaded) (*Journal, error) {
	spent := &Journal{sum: j.sum, text: j.text}
	return spent, spent.add(journalLine{Saved: &journalSaved{Serial: l.serial, State: l.state}})
}

func (j *Journal) add(v any) error {
	line, sum, err := encodeLine(j.sum, v)
	if err != nil {
		return err
	}
	j.sum = sum
	j.text = append(j.text[:len(j.text):len(j.text)], line...)
	return nil
}
