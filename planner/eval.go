package planner

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/generate"
	"github.com/cofferhq/coffer/providers/secret"
)

// field returns one field of the step's own secret, made or read.
func (v *resolver) field(ctx context.Context, s *step, m *making, name string) (secret.Value, error) {
	m.mu.Lock()
	value, made := m.fields[name]
	m.mu.Unlock()
	if made {
		return value, nil
	}
	if s.change.Fields[name].Op != OpSet {
		return v.ownField(ctx, s, m, name)
	}
	for _, f := range s.res.Secret.Fields {
		if f.Name != name {
			continue
		}
		value, err := v.source(ctx, s, m, f)
		if err != nil {
			return secret.Value{}, err
		}
		if err := checkText(s, value); err != nil {
			return secret.Value{}, err
		}
		m.mu.Lock()
		m.fields[name] = value
		m.mu.Unlock()
		return value, nil
	}
	return secret.Value{}, fmt.Errorf("there is no field %q", name)
}

// ownField reads a field that stays as it is.
func (v *resolver) ownField(ctx context.Context, s *step, m *making, name string) (secret.Value, error) {
	m.mu.Lock()
	whole := m.whole
	m.mu.Unlock()
	if whole.IsZero() {
		read, err := v.read(ctx, s.res, s.change.VersionFrom)
		if err != nil {
			return secret.Value{}, err
		}
		whole = read
		m.mu.Lock()
		m.whole = read
		m.mu.Unlock()
	}
	return pick(whole, name, s.res.Address)
}

func pick(whole secret.Value, name string, a addr.Address) (secret.Value, error) {
	if name == "" {
		return whole, nil
	}
	value, ok := whole.Field(name)
	if !ok {
		return secret.Value{}, fmt.Errorf("%s has no field %q on its store", a, name)
	}
	return value, nil
}

// source evaluates the source of one field.
func (v *resolver) source(ctx context.Context, s *step, m *making, f lang.Field) (secret.Value, error) {
	if f.Source.Kind == lang.Manual {
		given := v.run.Manual[s.res.Address][f.Name]
		if given.IsZero() {
			return secret.Value{}, errors.New("nobody supplied it")
		}
		return given, nil
	}
	return v.eval(ctx, s, m, f.Source)
}

func (v *resolver) eval(ctx context.Context, s *step, m *making, src *lang.Source) (secret.Value, error) {
	env := generate.Env{Rand: v.run.Rand, Now: v.run.Now(), Counts: &v.counts}
	switch src.Kind {
	case lang.Generated:
		return generate.New(src.Func, src.Params, env)
	case lang.FromEnv, lang.FromFile, lang.FromDotenv, lang.FromSops:
		return v.supplied[src], nil
	case lang.Public, lang.Literal:
		return secret.String(src.Plain), nil
	case lang.Reference:
		return v.reference(ctx, s, m, src.Ref)
	}
	args := make([]secret.Value, len(src.Args))
	for i, a := range src.Args {
		value, err := v.eval(ctx, s, m, a)
		if err != nil {
			return secret.Value{}, err
		}
		args[i] = value
	}
	if src.Kind == lang.Template {
		return concat(args)
	}
	n := v.plain[src.Func] // such as the separator of join
	plain := make([]string, n)
	for i, a := range src.Args[:n] {
		plain[i] = a.Plain
	}
	return generate.Derive(src.Func, plain, src.Keys, args[n:], src.Params, env)
}

// reference follows a reference: to a value of this run, else to the store.
func (v *resolver) reference(ctx context.Context, s *step, m *making, ref lang.Ref) (secret.Value, error) {
	if ref.Address == s.res.Address.Primary() {
		return v.field(ctx, s, m, ref.Field)
	}
	other := v.of(ref.Address)
	other.mu.Lock()
	defer other.mu.Unlock()
	if value, ok := other.fields[ref.Field]; ok {
		return value, nil
	}
	if other.whole.IsZero() {
		r := v.run.Desired.At(ref.Address)
		if r == nil {
			return secret.Value{}, fmt.Errorf("%s is not in the configuration", ref.Address)
		}
		v.run.mu.Lock()
		e := v.run.Snapshot.Entries[r.Location]
		v.run.mu.Unlock()
		if e == nil || e.Version == "" {
			return secret.Value{}, fmt.Errorf("%s has no recorded version to read", ref.Address)
		}
		whole, err := v.read(ctx, r, e.Version)
		if err != nil {
			return secret.Value{}, err
		}
		other.whole = whole
	}
	return pick(other.whole, ref.Field, ref.Address)
}

// concat joins the parts of a template.
func concat(parts []secret.Value) (secret.Value, error) {
	var all []byte
	for _, p := range parts {
		if err := p.Expose(func(b []byte) error { all = append(all, b...); return nil }); err != nil {
			return secret.Value{}, err
		}
	}
	return secret.New(all), nil
}

// checkText refuses a binary value where only text can be kept.
func checkText(s *step, value secret.Value) error {
	if s.res.Address.Kind != addr.KindEnvFile {
		return nil
	}
	return value.Expose(func(b []byte) error {
		if !utf8.Valid(b) {
			return errors.New("an env_file holds text, and this value is binary: wrap it in base64encode()")
		}
		return nil
	})
}
