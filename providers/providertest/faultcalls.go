package providertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/canary"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/providers/secret"
)

// faultCall is one kind of call, and the state that it starts from.
type faultCall struct {
	name  string
	named bool // it is about one path
	able  func(r *faultRun) bool
	// setUp brings c.path into the starting state, past the proxy.
	setUp func(c *faultCell)
	do    func(c *faultCell, p *providers.Provider) (string, error)
	// done says, past the proxy, whether what the call was to do is done; nil
	// is a call that changes nothing.
	done func(c *faultCell) bool
	// again finishes what the call left undone.
	again func(c *faultCell, p *providers.Provider) error
	makes int // versions

	requests []netfault.Request // without a fault
	result   string
}

func always(*faultRun) bool { return true }

func hasObjects(r *faultRun) bool { return r.direct.HasObjects() && r.h.Object != nil }

// The values of the suite are canaries: a user and his password, and the next
// password.
func faultCanaries() []canary.Canary {
	return []canary.Canary{
		canary.Of("first password", []byte("qR7wXk2ZpT9vLm4NhB8sYd3JgFc6VuEa"), true),
		canary.Of("second password", []byte("Hn5tQz8WfK3xCj6MrP1yGv9DbSa4LeUo"), true),
	}
}

func login(n int) secret.Value {
	return secret.Object(map[string]secret.Value{"user": secret.String("app"), "password": secret.New(faultCanaries()[n].Value)})
}

// faultLabels are the attributes before and after a call.
func faultLabels(after bool) providers.Attributes {
	a := someAttributes()
	a.Labels = maps.Clone(a.Labels)
	if after {
		a.Labels["tier"], a.Labels["zone"] = "2", "eu"
		delete(a.Labels, "team")
	}
	return a
}

// prepare brings the place into the starting state and looks at it.
func (c *faultCell) prepare() {
	c.Helper()
	if c.call.setUp != nil {
		c.call.setUp(c)
	}
	if m, ok := c.meta(); ok {
		c.base = m.Version
	}
	c.versions = c.h.Versions(c.path)
	c.before = c.snapshot()
}

func (c *faultCell) create() {
	c.Helper()
	req := providers.WriteRequest{Path: c.path, Value: login(0), OpID: c.op("start"), Attributes: faultLabels(false)}
	if _, err := c.direct.Write(c.Context(), req); err != nil {
		c.Fatalf("past the proxy: %v", err)
	}
}

func (c *faultCell) remove() {
	c.Helper()
	c.create()
	m, _ := c.meta()
	if err := c.direct.Delete(c.Context(), c.path, m.Version); err != nil {
		c.Fatalf("past the proxy: %v", err)
	}
}

func (c *faultCell) op(name string) string { return fmt.Sprintf("fault-%d-%s", c.number, name) }

// meta is what is at the path, past the proxy.
func (c *faultCell) meta() (providers.Meta, bool) {
	c.Helper()
	found, err := c.direct.Inspect(c.Context(), []string{c.path})
	if err != nil {
		c.Fatalf("past the proxy: %v", err)
	}
	m, ok := found[c.path]
	return m, ok
}

// snapshot is everything that a call could change, as text without a value.
func (c *faultCell) snapshot() string {
	c.Helper()
	if c.call.name == "write object" {
		return fmt.Sprintf("%q", c.document())
	}
	m, ok := c.meta()
	return fmt.Sprintf("there %v, version %s of %d, deleted %v, %v", ok, m.Version, c.h.Versions(c.path), m.IsDeleted(), m.Attributes)
}

func (c *faultCell) holds(want secret.Value) bool {
	c.Helper()
	got, err := c.direct.Read(c.Context(), c.path, "")
	return err == nil && differ(got, want) == ""
}

func (c *faultCell) labelled(after bool) bool {
	c.Helper()
	m, _ := c.meta()
	return !c.direct.KeepsAttributes() || sameAttributes(m.Attributes, faultLabels(after))
}

func (c *faultCell) document() string {
	c.Helper()
	req := c.h.Object(c.number)
	found, err := c.direct.InspectObjects(c.Context(), []providers.ObjectRef{req.Ref})
	if err != nil {
		c.Fatalf("past the proxy: %v", err)
	}
	return found[req.Ref].Document
}

func (c *faultCell) request(value secret.Value) providers.WriteRequest {
	return providers.WriteRequest{Path: c.path, Value: value, OpID: c.op("change"), IfVersion: c.base, Attributes: faultLabels(true)}
}

func faultCalls() []*faultCall { return append(pureCalls(), changingCalls()...) }

// pureCalls change nothing; each result is text that says what was answered.
func pureCalls() []*faultCall {
	// Versions need not be numbers, so that two secrets never share one.
	describe := func(c *faultCell, m providers.Meta, ok bool) string {
		return fmt.Sprintf("%v %v %v %v", ok, m.Version == c.base, m.IsDeleted(), m.Attributes)
	}
	return []*faultCall{
		{name: "identity", able: always, do: func(c *faultCell, p *providers.Provider) (string, error) {
			return timed(c, p.Identity)
		}},
		{name: "inspect", able: always, setUp: (*faultCell).create, do: func(c *faultCell, p *providers.Provider) (string, error) {
			missing := c.path + "-missing"
			return timed(c, func(ctx context.Context) (string, error) {
				found, err := p.Inspect(ctx, []string{c.path, missing})
				m, ok := found[c.path]
				_, there := found[missing]
				return fmt.Sprint(describe(c, m, ok), there), firstOf(err, c.path, missing)
			})
		}},
		{
			name: "list", able: func(r *faultRun) bool { return r.direct.CanList() }, setUp: (*faultCell).create,
			do: func(c *faultCell, p *providers.Provider) (string, error) {
				return timed(c, func(ctx context.Context) (string, error) {
					found, err := p.List(ctx)
					m, ok := found[c.path]
					return describe(c, m, ok), err
				})
			},
		},
		{name: "read", able: always, named: true, setUp: (*faultCell).create, do: func(c *faultCell, p *providers.Provider) (string, error) {
			return timed(c, func(ctx context.Context) (string, error) {
				v, err := p.Read(ctx, c.path, "")
				if err != nil {
					return "", err
				}
				return "read " + differ(v, login(0)), nil
			})
		}},
		{
			name: "inspect objects", able: hasObjects, setUp: func(c *faultCell) {
				if _, err := c.direct.WriteObject(c.Context(), c.h.Object(c.number)); err != nil {
					c.Fatalf("past the proxy: %v", err)
				}
			},
			do: func(c *faultCell, p *providers.Provider) (string, error) {
				ref := c.h.Object(c.number).Ref
				return timed(c, func(ctx context.Context) (string, error) {
					found, err := p.InspectObjects(ctx, []providers.ObjectRef{ref})
					_, ok := found[ref]
					return fmt.Sprint(ok), firstOf(err, ref.Path)
				})
			},
		},
	}
}

// firstOf returns the first error that a partial answer has for the paths.
func firstOf(err error, paths ...string) error {
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		for _, path := range paths {
			if partial.Paths[path] != nil {
				return partial.Paths[path]
			}
		}
	}
	return err
}

func timed(c *faultCell, ask func(context.Context) (string, error)) (string, error) {
	ctx, cancel := c.context()
	defer cancel()
	return ask(ctx)
}

// effect makes a call that only succeeds or fails.
func effect(ask func(ctx context.Context, c *faultCell, p *providers.Provider) error) func(*faultCell, *providers.Provider) (string, error) {
	return func(c *faultCell, p *providers.Provider) (string, error) {
		ctx, cancel := c.context()
		defer cancel()
		return "", ask(ctx, c, p)
	}
}

// rewrite finishes a write: the value if it is not there, else what travels
// beside it.
func rewrite(value secret.Value) func(c *faultCell, p *providers.Provider) error {
	return func(c *faultCell, p *providers.Provider) error {
		if !c.holds(value) {
			_, err := c.call.do(c, p)
			return err
		}
		if c.labelled(true) {
			return nil
		}
		m, _ := c.meta()
		_, err := p.SetAttributes(c.Context(), c.path, m.Version, faultLabels(true))
		return err
	}
}

func retry(c *faultCell, p *providers.Provider) error {
	if c.call.done(c) {
		return nil
	}
	_, err := c.call.do(c, p)
	return err
}

func changingCalls() []*faultCall {
	written := func(c *faultCell) bool { return c.holds(login(1)) && c.labelled(true) }
	write := effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
		_, err := p.Write(ctx, c.request(login(1)))
		return err
	})
	return slices.Concat([]*faultCall{
		{name: "write create", able: always, named: true, do: write, done: written, again: rewrite(login(1)), makes: 1},
		{name: "write update", able: always, named: true, setUp: (*faultCell).create, do: write, done: written, again: rewrite(login(1)), makes: 1},
		{
			name: "patch", able: func(r *faultRun) bool { return r.direct.CanPatch() }, named: true, setUp: (*faultCell).create,
			done: written, again: rewrite(login(1)), makes: 1,
			do: effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
				password, _ := login(1).Field("password")
				_, err := p.Patch(ctx, c.request(secret.Object(map[string]secret.Value{"password": password})))
				return err
			}),
		},
		{
			name: "set attributes", able: func(r *faultRun) bool { return r.direct.KeepsAttributes() }, named: true, setUp: (*faultCell).create,
			done: func(c *faultCell) bool { return c.holds(login(0)) && c.labelled(true) }, again: retry,
			do: effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
				_, err := p.SetAttributes(ctx, c.path, c.base, faultLabels(true))
				return err
			}),
		},
	}, removals(), []*faultCall{{
		name: "write object", able: hasObjects, named: true,
		done: func(c *faultCell) bool { return c.document() == c.h.Object(c.number).Document }, again: retry,
		do: effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
			_, err := p.WriteObject(ctx, c.h.Object(c.number))
			return err
		}),
	}})
}

func removals() []*faultCall {
	return []*faultCall{
		{
			name: "delete", able: always, named: true, setUp: (*faultCell).create, again: retry,
			done: func(c *faultCell) bool { m, ok := c.meta(); return !ok || m.IsDeleted() },
			do: effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
				return p.Delete(ctx, c.path, c.base)
			}),
		},
		{
			name: "undelete", able: func(r *faultRun) bool { return r.direct.CanUndelete() }, named: true, setUp: (*faultCell).remove,
			done: func(c *faultCell) bool { return c.holds(login(0)) }, again: retry,
			do: effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
				_, err := p.Undelete(ctx, c.path)
				return err
			}),
		},
		{
			name: "purge", able: func(r *faultRun) bool { return r.direct.CanPurge() }, named: true, setUp: (*faultCell).remove,
			done: func(c *faultCell) bool { _, ok := c.meta(); return !ok }, again: retry,
			do: effect(func(ctx context.Context, c *faultCell, p *providers.Provider) error {
				return p.Purge(ctx, c.path, c.base)
			}),
		},
	}
}
