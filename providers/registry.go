package providers

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Env is what a driver may know of the machine. Nothing else is read.
type Env struct {
	Dir     string                   // the configuration directory; relative paths start here
	Getenv  func(name string) string // the process environment
	Now     func() time.Time
	Random  io.Reader
	Project string
	Phase   Phase // which identity to use where the configuration has several
	Person  Person
	// Locks are shared by all drivers of a run: what two of them change on one
	// server, they change one after the other.
	Locks *Locks
}

// Person is how to reach whoever runs the program. The zero Person is nobody.
type Person struct {
	// Show tells something at once, whatever else is printed.
	Show func(text string)
	// Open starts the person's browser on a page and returns.
	Open func(page string) error
}

// Factory makes drivers of one type from their configuration.
type Factory struct {
	// Type is the label of the provider block, e.g. "sops".
	Type string
	// NewConfig returns a pointer to a struct whose fields carry `hcl:"name"`
	// or `hcl:"name,optional"` tags. A field may be a string, bool, int,
	// []string, map[string]string, a [Credential] (with `credential:"plain"`
	// where plain text will do too), or a type with [ConfigDecoder]. A field
	// with the tag `hcl:"name,block"` is a slice whose elements' pointers have
	// [BlockDecoder]: the blocks of that name, in order.
	NewConfig func() any
	// Open makes the driver. It may read files below Env.Dir, and no network.
	Open func(ctx context.Context, env Env, config any) (Driver, error)
}

// ConfigDecoder lets a configuration field take several shapes without its
// driver knowing HCL: v is built of string, bool, float64, []any and
// map[string]any.
type ConfigDecoder interface {
	DecodeConfig(v any) error
}

// BlockDecoder lets a nested block with labels choose what its body decodes
// into: auth "approle" { … } has other arguments than auth "jwt".
type BlockDecoder interface {
	// DecodeBlock returns a pointer to a struct as [Factory].NewConfig does.
	DecodeBlock(labels []string) (any, error)
}

// Registry is the list of drivers that a program has. It is made once, in
// main's reach, and passed down.
type Registry struct {
	factories map[string]Factory
}

// NewRegistry returns a registry of the given factories.
func NewRegistry(factories ...Factory) *Registry {
	r := &Registry{factories: map[string]Factory{}}
	for _, f := range factories {
		r.factories[f.Type] = f
	}
	return r
}

// Types returns the known provider types in order.
func (r *Registry) Types() []string { return slices.Sorted(maps.Keys(r.factories)) }

// Lookup returns the factory of a provider type.
func (r *Registry) Lookup(typ string) (Factory, error) {
	f, ok := r.factories[typ]
	if !ok {
		return Factory{}, fmt.Errorf("provider %q is not built into this coffer; it has %v", typ, r.Types())
	}
	return f, nil
}
