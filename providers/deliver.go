package providers

import "context"

// This file holds what a Provider does of the contract in delivery.go.

// HasForms reports whether the platform keeps a [Form].
func (p *Provider) HasForms() bool { return p.powers.FormDriver != nil }

// NormalForm returns f without the platform's own standards.
func (p *Provider) NormalForm(f Form) Form {
	if p.powers.FormDriver == nil {
		return f
	}
	return p.powers.FormDriver.NormalForm(f)
}

// CheckForm says why a thing of a kind cannot have a form with these fields.
// Without a [FormDriver] only the zero form of a secret or env_file can be kept.
func (p *Provider) CheckForm(kind string, f Form, fields []string) error {
	if p.powers.FormDriver != nil {
		return p.powers.FormDriver.CheckForm(kind, f, fields)
	}
	switch {
	case kind == "kubernetes_secret" || kind == "sealed_secret":
		return Errorf(Unsupported, "provider %s keeps no %s", p.ref, kind).WithHint("name a kubernetes provider")
	case !f.IsZero():
		return Errorf(Unsupported, "provider %s has no type, annotations or immutable secrets", p.ref).WithHint("take them out; they are for a kubernetes provider")
	}
	return nil
}

// IsZero reports whether f is an ordinary secret.
func (f Form) IsZero() bool {
	return f.Type == "" && !f.Immutable && len(f.Annotations) == 0 && f.Scope == ""
}

// Seals reports whether the platform has secrets that only it can read.
func (p *Provider) Seals() bool { return p.powers.Sealer != nil }

// Sealing returns what a secret is to be sealed with; the zero value is not
// sealed.
func (p *Provider) Sealing(ctx context.Context, path string, a Attributes) (s Sealing, err error) {
	if p.powers.Sealer == nil {
		return s, nil
	}
	err = p.do(ctx, call{op: "inspect", path: path, pure: true}, func(ctx context.Context) (err error) {
		s, err = p.powers.Sealer.Sealing(ctx, path, a)
		return err
	})
	return s, err
}

// Exporter returns how the External Secrets operator reads the store, nil where
// it cannot.
func (p *Provider) Exporter() Exporter { return p.powers.Exporter }

// Deliverer returns what makes objects of deliveries, nil where the platform is
// no cluster.
func (p *Provider) Deliverer() Deliverer { return p.powers.Deliverer }

// Rollout returns the reference of the rollout of w, false where the platform
// runs no programs.
func (p *Provider) Rollout(w Workload) (ObjectRef, bool) {
	if p.powers.Roller == nil {
		return ObjectRef{}, false
	}
	return p.powers.Roller.Rollout(w), true
}

// Consumers returns which workloads use the secrets at paths, none where the
// platform runs no programs.
func (p *Provider) Consumers(ctx context.Context, paths []string) (found map[string][]Workload, err error) {
	if p.powers.Roller == nil || len(paths) == 0 {
		return nil, nil
	}
	err = p.do(ctx, call{op: "list", pure: true}, func(ctx context.Context) (err error) {
		found, err = p.powers.Roller.Consumers(ctx, paths)
		return err
	})
	return found, err
}

// Conditions returns what controllers say of the given things, none where the
// platform has none.
func (p *Provider) Conditions(ctx context.Context, refs []ObjectRef, sealed []string) (found []Condition, err error) {
	if p.powers.ConditionReader == nil || len(refs)+len(sealed) == 0 {
		return nil, nil
	}
	err = p.do(ctx, call{op: "inspect", pure: true}, func(ctx context.Context) (err error) {
		found, err = p.powers.ConditionReader.Conditions(ctx, refs, sealed)
		return err
	})
	return found, err
}
