package memory

import (
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Kinds of event.
const (
	eventPut        = "put"
	eventAttributes = "attributes"
	eventDelete     = "delete"
	eventUndelete   = "undelete"
	eventEnvelope   = "envelope"
	eventObject     = "object"
	eventIdentity   = "identity"
	eventAdvance    = "advance"
)

// event is one effect. A World is the sum of its events, so a file of them is
// the World.
type event struct {
	Kind       string               `json:"kind"`
	Path       string               `json:"path,omitempty"`
	Value      []byte               `json:"value,omitempty"` // only in the file
	Fields     map[string][]byte    `json:"fields"`          // only in the file
	OpID       string               `json:"op,omitempty"`
	By         string               `json:"by,omitempty"`
	Attributes providers.Attributes `json:"attributes,omitzero"`
	Ref        providers.ObjectRef  `json:"ref,omitzero"`
	Text       string               `json:"text,omitempty"`
	Duration   time.Duration        `json:"duration,omitempty"`
	// Setting is what the attributes were written with.
	Setting string `json:"setting,omitempty"`
	// Sealed is what the value is sealed with.
	Sealed string `json:"sealed,omitempty"`
	// KeepAttributes leaves those of the version before; KeepOld keeps the
	// version itself, or leaves it out of a delete.
	KeepAttributes bool `json:"keep_attributes,omitempty"`
	KeepOld        bool `json:"keep_old,omitempty"`
	// Reuse starts the numbers of a new secret at 1 again.
	Reuse bool `json:"reuse,omitempty"`

	value secret.Value
}

// commit makes e durable where the World has a file, then true.
func (w *World) commit(e event) {
	if w.file != nil && w.fileError == nil {
		w.fileError = w.file.append(e)
	}
	w.apply(e)
}

func (w *World) apply(e event) {
	switch e.Kind {
	case eventAdvance:
		w.clock += int64(e.Duration)
		return
	case eventIdentity:
		w.identity = e.Text
		return
	}
	w.clock += int64(time.Second)
	switch e.Kind {
	case eventPut:
		w.put(e)
	case eventObject:
		w.putObject(e)
	case eventAttributes:
		w.secrets[e.Path].attrs, w.secrets[e.Path].setting = e.Attributes, e.Setting
	case eventEnvelope:
		w.secrets[e.Path].envelope++
	case eventUndelete:
		m := w.secrets[e.Path].more
		m.deleted, m.purged, m.remains = 0, 0, false
	case eventDelete:
		r := w.secrets[e.Path]
		if e.Duration != 0 {
			m := r.extra()
			m.deleted, m.purged, m.remains = w.clock, w.clock+int64(e.Duration), e.KeepOld
			if e.Duration < 0 {
				m.purged = 0
			}
			return
		}
		w.used[e.Path] = r.number
		delete(w.secrets, e.Path)
	}
}

func (w *World) put(e event) {
	was := w.get(e.Path)
	r := &record{number: w.next(e), value: e.value, op: e.OpID, created: w.clock, attrs: e.Attributes, setting: e.Setting, sealed: e.Sealed}
	if was != nil {
		r.envelope = was.envelope
		if e.KeepAttributes {
			r.attrs, r.setting = was.attrs, was.setting
		}
		if e.KeepOld {
			m := r.extra()
			if was.more != nil {
				m.old = was.more.old
			}
			m.old = append(m.old, version{was.version(), was.value})
		}
	}
	if e.By != "" {
		r.extra().by = e.By
	}
	w.secrets[e.Path] = r
}

// next is the number of the version that e makes. A number is not used again
// unless e says so, as some platforms do after a delete.
func (w *World) next(e event) uint64 {
	if r := w.get(e.Path); r != nil {
		return r.number + 1
	}
	if e.Reuse {
		return 1
	}
	return w.used[e.Path] + 1
}

func (w *World) putObject(e event) {
	o := w.objects[e.Ref]
	if e.Text == "" {
		delete(w.objects, e.Ref)
		if e.Ref.Kind == KindMount && o != nil {
			clear(w.secrets) // a container goes with all that is in it
			clear(w.used)
		}
		return
	}
	if o == nil {
		o = &object{}
		w.objects[e.Ref] = o
		if e.Ref.Kind == KindMount {
			w.mounts++
			o.made = w.mounts
		}
	}
	o.number++
	o.text = e.Text
	if !e.KeepAttributes {
		o.attrs = e.Attributes
	}
}
