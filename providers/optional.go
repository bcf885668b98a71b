package providers

import (
	"context"
	"time"
)

// This file holds what a Provider does where its driver has the power for it,
// beyond secrets and objects themselves: see powers.go.

// CanPurge reports whether [Provider.Purge] works.
func (p *Provider) CanPurge() bool { return p.powers.Purger != nil }

// Purge destroys for good what a delete left behind; [Unsupported] where
// CanPurge is false, [Conflict] where the secret is live or another.
func (p *Provider) Purge(ctx context.Context, path, ifVersion string) error {
	c := call{op: "purge", path: path}
	if p.powers.Purger == nil {
		return p.unsupported(c, "the platform keeps nothing of what was deleted")
	}
	return p.do(ctx, c, func(ctx context.Context) error { return p.powers.Purger.Purge(ctx, path, ifVersion) })
}

// VersionCreated returns when a version was made, zero where the platform does
// not tell of versions that are not the current one.
func (p *Provider) VersionCreated(ctx context.Context, path, version string) (time.Time, error) {
	if p.powers.Dater == nil {
		return time.Time{}, nil
	}
	var created time.Time
	err := p.do(ctx, call{op: "inspect", path: path, pure: true}, func(ctx context.Context) (err error) {
		created, err = p.powers.Dater.VersionCreated(ctx, path, version)
		return err
	})
	return created, err
}

// ObjectScope returns where the objects of an identity are: the same for two
// providers that share them.
func (p *Provider) ObjectScope(identity string) string {
	if p.powers.ObjectScoper == nil {
		return identity
	}
	return p.powers.ObjectScoper.ObjectScope(identity)
}

// Probe answers like Inspect, but never from a list.
func (p *Provider) Probe(ctx context.Context, paths []string) (map[string]Meta, error) {
	ask := p.driver.Inspect
	if p.powers.Prober != nil {
		ask = p.powers.Prober.Probe
	}
	q := question[string, Meta]{p: p, op: "inspect", path: func(s string) string { return s }, ask: ask}
	return q.answer(ctx, paths)
}

// HasIncarnations reports whether the platform keeps secrets in a container that
// may be missing, or made again.
func (p *Provider) HasIncarnations() bool { return p.powers.Incarnator != nil }

// Incarnation tells a container from another of the same name, "" where the
// platform makes no difference or the container does not exist.
func (p *Provider) Incarnation(ctx context.Context) (string, error) {
	return take(p, func(e *prefetched) **early[string] { return &e.incarnation }, func() (string, error) { return p.askIncarnation(ctx) })
}

func (p *Provider) askIncarnation(ctx context.Context) (string, error) {
	if p.powers.Incarnator == nil {
		return "", nil
	}
	var made string
	err := p.do(ctx, call{op: "identity", pure: true}, func(ctx context.Context) (err error) {
		made, err = p.powers.Incarnator.Incarnation(ctx)
		return err
	})
	return made, err
}

// WhoNow asks anew who the instance is and, where there is a container, which
// one: time has passed since [Provider.Identity], and something else may answer
// at the same address.
func (p *Provider) WhoNow(ctx context.Context) (identity, incarnation string, err error) {
	if identity, err = p.askIdentity(ctx); err != nil {
		return "", "", err
	}
	if incarnation, err = p.askIncarnation(ctx); err != nil {
		return "", "", err
	}
	return identity, incarnation, nil
}

// UndeclaredAccess returns what gives access to managed secrets and is not in
// declared; nothing where the platform cannot tell.
func (p *Provider) UndeclaredAccess(ctx context.Context, managed []Managed, declared []ObjectRef) (AccessAudit, error) {
	if p.powers.AccessAuditor == nil {
		return AccessAudit{}, nil
	}
	var found AccessAudit
	err := p.do(ctx, call{op: "audit access", pure: true}, func(ctx context.Context) (err error) {
		found, err = p.powers.AccessAuditor.UndeclaredAccess(ctx, managed, declared)
		return err
	})
	return found, err
}

// Examine looks at the instance for a person; nothing where the driver has
// nothing to tell beyond whether it is reached.
func (p *Provider) Examine(ctx context.Context, needed []Permission) []Finding {
	if p.powers.Examiner == nil {
		return nil
	}
	found := p.powers.Examiner.Examine(ctx, needed)
	for i := range found {
		f := &found[i]
		if len(f.Sent) == 0 {
			continue
		}
		texts := scrub([]string{f.Text, f.Next}, f.Sent)
		f.Text, f.Next, f.Sent = texts[0], texts[1], nil
	}
	return found
}

// Lease says how long the identity in use lasts; zero where it does not end.
func (p *Provider) Lease(ctx context.Context) (Lease, error) {
	if p.powers.Leaser == nil {
		return Lease{}, nil
	}
	var lease Lease
	err := p.do(ctx, call{op: "look at the lease", pure: true}, func(ctx context.Context) (err error) {
		lease, err = p.powers.Leaser.Lease(ctx)
		return err
	})
	return lease, err
}

// Close gives back what the driver obtained for this run, best effort.
func (p *Provider) Close(ctx context.Context) error {
	if p.powers.Closer == nil {
		return nil
	}
	return p.do(ctx, call{op: "sign out"}, p.powers.Closer.Close)
}
