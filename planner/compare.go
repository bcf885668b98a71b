package planner

import (
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/state"
)

// Comparison is what is known of a supplied value beside the recorded one.
type Comparison struct {
	Result CompareResult
	// Why says in words why the two were not compared.
	Why string
}

// CompareResult is a closed list.
type CompareResult int

const (
	// NotCompared: the value is not here, or no fingerprint can be had.
	NotCompared CompareResult = iota
	Same
	Different
	// Unusable: the input is here and cannot be used, e.g. it is empty.
	Unusable
)

// Inputs reads the values that people supply. A driver's value never comes
// this way.
type Inputs interface {
	// Supply returns the value of a from_… source. found is false when it is
	// not here; where says what was looked for ("STRIPE_KEY", "keys/tls.pem").
	// An error means that it is here and cannot be used.
	Supply(s *lang.Source) (v secret.Value, found bool, err error)
}

// Comparer compares supplied values with recorded fingerprints.
type Comparer struct {
	Inputs Inputs
	Key    fingerprint.Key // the zero Key compares nothing
}

// all compares every supplied field that the state has recorded, or that an
// interrupted run is seen to have written.
func (c *Comparer) all(d *Desired, s *state.Snapshot, live *Live) map[addr.Location]map[string]Comparison {
	out := map[addr.Location]map[string]Comparison{}
	for _, r := range d.Resources {
		e := s.Entries[r.Location]
		if r.Secret == nil || r.IsReplica() || e == nil {
			continue
		}
		if o := live.At(r.Location); e.Pending != nil && e.Pending.Next != nil && landed(e.Pending, &o) {
			e = e.Pending.Next
		}
		for _, f := range r.Secret.Fields {
			if !isSupplied(f.Source) {
				continue
			}
			if out[r.Location] == nil {
				out[r.Location] = map[string]Comparison{}
			}
			out[r.Location][f.Name] = c.one(f.Source, r.Location, f.Name, e.Fields[f.Name].Fingerprint)
		}
	}
	return out
}

func isSupplied(s *lang.Source) bool {
	switch s.Kind {
	case lang.FromEnv, lang.FromFile, lang.FromDotenv, lang.FromSops:
		return true
	}
	return false
}

// notHere says of a supplied source that its input is not at hand.
func notHere(s *lang.Source) string {
	if s.Kind == lang.FromEnv {
		return s.Text() + " is not set here"
	}
	return s.Text() + " is not here"
}

func (c *Comparer) one(s *lang.Source, at addr.Location, field, recorded string) Comparison {
	v, found, err := c.Inputs.Supply(s)
	switch {
	case err != nil:
		return Comparison{Unusable, err.Error()}
	case !found:
		return Comparison{NotCompared, notHere(s)}
	case recorded == "":
		return Comparison{NotCompared, "no fingerprint was recorded"}
	case c.Key.IsZero():
		return Comparison{NotCompared, "there is no fingerprint key here"}
	}
	result, err := c.Key.Compare(recorded, at, field, v)
	switch {
	case err != nil:
		return Comparison{Unusable, err.Error()}
	case result == fingerprint.Same:
		return Comparison{Result: Same}
	case result == fingerprint.Different:
		return Comparison{Result: Different}
	}
	return Comparison{NotCompared, "the fingerprint was made with another key"}
}
