package sops

import "github.com/cofferhq/coffer/providers"

// moved returns the new version of every secret that an operation changes, and
// of those that are carried along.
func (w *batch) moved(next *file) (map[string]string, error) {
	versions := map[string]string{}
	if next == nil {
		return versions, nil
	}
	before, err := versionsOf(w.base, w.name)
	if err != nil {
		return nil, err
	}
	after, err := versionsOf(next, w.name)
	own := w.own()
	for path, version := range after {
		if before[path] != version && (own[path] || w.carries(path, before[path])) {
			versions[path] = version
		}
	}
	return versions, err
}

// own returns the paths that an operation wrote.
func (w *batch) own() map[string]bool {
	own := map[string]bool{}
	for i, op := range w.ops {
		switch {
		case w.results[i].Err != nil:
		case op.Write != nil:
			own[op.Write.Path] = true
		case op.Patch != nil:
			own[op.Patch.Path] = true
		}
	}
	return own
}

// carries reports whether a secret that lived at version before the batch, and
// that no operation wrote, is the recorded one. Any other is somebody else's
// value: telling its new version would make it ours.
func (w *batch) carries(path, before string) bool {
	return before != "" && w.known[path] == before
}

func versionsOf(f *file, name string) (map[string]string, error) {
	versions := map[string]string{}
	if f == nil {
		return versions, nil
	}
	all, err := f.secrets(name)
	for path, m := range all {
		versions[path] = m.Version
	}
	return versions, err
}

// report fills in what became of every operation that went well.
func (w *batch) report(next *file) {
	all := map[string]providers.Meta{}
	if next != nil {
		all, _ = next.secrets(w.name) // moved has reported any error
	}
	moved := w.others(all)
	for i, op := range w.ops {
		r := &w.results[i]
		if r.Err != nil {
			continue
		}
		switch {
		case op.Object != nil:
			if next != nil && op.Object.Document != "" {
				r.Object = recipientsObject(next)
			}
		case op.Write != nil:
			r.Meta = w.remember(op.Write, all)
		case op.Patch != nil:
			r.Meta = w.remember(op.Patch, all)
		}
		if moved != nil {
			r.Moved, moved = moved, nil
		}
	}
}

func (w *batch) remember(req *providers.WriteRequest, all map[string]providers.Meta) providers.Meta {
	m := all[req.Path]
	w.d.mu.Lock()
	w.d.written[req.Path] = writtenBy{req.OpID, m.Version}
	w.d.mu.Unlock()
	return m
}

// others returns the secrets that were carried along, nil where there are none:
// those with another version, and those whose file got other envelopes only.
func (w *batch) others(all map[string]providers.Meta) map[string]providers.Meta {
	if w.base == nil {
		return nil
	}
	own := w.own()
	before, _ := w.base.secrets(w.name) // moved has reported any error
	var moved map[string]providers.Meta
	for path, m := range all {
		was := before[path]
		same := was.Version == m.Version && was.Envelope == m.Envelope
		if own[path] || same || !w.carries(path, was.Version) {
			continue
		}
		if moved == nil {
			moved = map[string]providers.Meta{}
		}
		moved[path] = m
	}
	return moved
}
