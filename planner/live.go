package planner

import (
	"slices"
	"sync"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// Live is what the stores told. It holds metadata only, in the form in which
// the stores gave it; [Live.At] answers for one location.
type Live struct {
	// Supplied compares the values at hand with the recorded fingerprints, by
	// location and field; a field that is not in it was not looked at.
	Supplied map[addr.Location]map[string]Comparison
	// Refreshed is false when the stores were not asked.
	Refreshed bool
	// Sealing is what secrets of a [providers.Sealer] are to be sealed with now, by
	// location.
	Sealing map[addr.Location]Sealing

	mu     sync.Mutex          // guards answers while stores are asked in parallel
	stores map[string]*answers // by provider identity
}

// answers is what one store told.
type answers struct {
	err     error // why nothing could be told of the secrets
	secrets map[string]providers.Meta
	failed  map[string]error // why something could not be told, by path
	// listed: secrets holds all there is, not only what was asked for.
	listed bool

	objectsErr    error
	objects       map[providers.ObjectRef]providers.Object
	failedObjects map[string]error
}

// Observation is what is known of one location.
type Observation struct {
	Meta   providers.Meta
	Object *providers.Object // of an object; nil for a secret
	Exists bool
	// Lacks is why an object that does not exist cannot be made; nil for another.
	Lacks *providers.Lack
	// Err is why it could not be told; the rest is then empty.
	Err error
}

// Reason returns why an observation could not be made.
func (o *Observation) Reason() Reason {
	if providers.CodeOf(o.Err) == providers.Denied {
		return ReasonForbidden
	}
	return ReasonUnreachable
}

// Version returns the live version of a secret or object.
func (o *Observation) Version() string {
	if o.Object != nil {
		return o.Object.Version
	}
	return o.Meta.Version
}

// document returns the text of an object as far as a recorded or declared one
// says anything of it.
func (o *Observation) document(like string) string {
	if o.Object == nil {
		return ""
	}
	return o.Object.Like(like)
}

// Attributes returns the attributes of a secret or object.
func (o *Observation) Attributes() providers.Attributes {
	if o.Object != nil {
		return o.Object.Attributes
	}
	return o.Meta.Attributes
}

// add files the answers of one store.
func (l *Live) add(identity string, a *answers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stores == nil {
		l.stores = map[string]*answers{}
	}
	l.stores[identity] = a
}

// At returns what is known of a location. What no store was asked about is
// missing.
func (l *Live) At(loc addr.Location) Observation {
	a := l.stores[loc.Provider]
	switch {
	case a == nil:
		return Observation{}
	case loc.Kind != addr.KindSecret:
		return a.object(providers.ObjectRef{Kind: loc.Kind, Path: loc.Path})
	case a.err != nil:
		return Observation{Err: a.err}
	case a.failed[loc.Path] != nil:
		return Observation{Err: a.failed[loc.Path]}
	}
	meta, exists := a.secrets[loc.Path]
	return Observation{Meta: meta, Exists: exists}
}

func (a *answers) object(ref providers.ObjectRef) Observation {
	switch {
	case a.objectsErr != nil:
		return Observation{Err: a.objectsErr}
	case a.failedObjects[ref.Path] != nil:
		return Observation{Err: a.failedObjects[ref.Path]}
	}
	if o, known := a.objects[ref]; known && o.Lacks != nil {
		return Observation{Lacks: o.Lacks}
	} else if known {
		return Observation{Object: &o, Exists: true, Meta: providers.Meta{ChangedBy: o.ChangedBy, Created: o.Changed}}
	}
	return Observation{}
}

// strangers returns the listed secrets that neither the configuration nor the
// state names, in order.
func (l *Live) strangers(d *Desired, s *state.Snapshot) []addr.Location {
	var out []addr.Location
	for identity, a := range l.stores {
		if !a.listed {
			continue
		}
		for path := range a.secrets {
			loc := addr.Location{Provider: identity, Kind: addr.KindSecret, Path: path}
			if d.byLocation[loc] == nil && s.Entries[loc] == nil {
				out = append(out, loc)
			}
		}
	}
	slices.SortFunc(out, addr.Location.Compare)
	return out
}

// Recorded returns what the state says as if it were live, for a plan that
// does not ask the stores.
func Recorded(s *state.Snapshot) *Live {
	live := &Live{}
	for loc, e := range s.Entries {
		a := live.stores[loc.Provider]
		if a == nil {
			a = &answers{secrets: map[string]providers.Meta{}, objects: map[providers.ObjectRef]providers.Object{}}
			live.add(loc.Provider, a)
		}
		attributes := providers.Attributes{
			Mark:   providers.Mark{Project: s.Project, Address: providers.AddressHash(e.Address.Primary().String()), Protected: e.Protect},
			Labels: e.Labels, Description: e.Description, Form: recordedForm(e),
		}
		switch {
		case e.Version == "":
		case e.Role == state.RoleObject:
			a.objects[providers.ObjectRef{Kind: loc.Kind, Path: loc.Path}] = providers.Object{
				Version: e.Version, Document: e.Document, Attributes: attributes, Settings: loc.Kind == kindRole || loc.Kind == kindMount,
			}
		default:
			a.secrets[loc.Path] = providers.Meta{Version: e.Version, Created: e.Created, Envelope: e.Envelope, Attributes: attributes}
		}
	}
	return live
}
