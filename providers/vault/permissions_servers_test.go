//go:build servers

package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/acl"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// permitted is a configuration, its server, and a token without the policy
// default that has a policy of its own.
type permitted struct {
	t     *testing.T
	s     *vaulttest.Server
	mount string
	token string
	keep  string // delete_version_after
}

func newPermitted(t *testing.T) *permitted {
	t.Helper()
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	p := &permitted{t: t, s: s, mount: s.KV()}
	s.Policy("under-test", `path "x" {}`)
	status, answer := s.Do(http.MethodPost, "auth/token/create", s.RootToken,
		map[string]any{"policies": []string{"under-test"}, "no_default_policy": true, "ttl": "1h"})
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	p.token = answer["auth"].(map[string]any)["client_token"].(string)
	return p
}

// driver opens a driver anew, since one remembers what it may not do.
func (p *permitted) driver(address, token string) *Driver {
	return open(p.t, Config{Address: address, Mount: p.mount, Prefix: "shop", DeleteVersionAfter: p.keep, Token: plainCredential(token)})
}

func objectRefs() []providers.ObjectRef {
	return []providers.ObjectRef{
		{Kind: KindBinding, Path: "approle:approle/fresh p"},
		{Kind: KindBinding, Path: "entity:alice p"},
		{Kind: KindBinding, Path: "group:ops p"},
		{Kind: KindBinding, Path: "jwt:team/jwt/bound p"},
		{Kind: KindMount, Path: "kv:made"},
		{Kind: KindPolicy, Path: "made"},
		{Kind: KindRole, Path: "approle:approle/made"},
		{Kind: KindRole, Path: "kubernetes:kubernetes/made"},
	}
}

// The policy for a plan is enough to look at everything, and for nothing else.
// The server's own log says that no value was asked for.
func TestPlanPermissions(t *testing.T) {
	p := newPermitted(t)
	root := p.driver(p.s.Address, p.s.RootToken)
	req := providers.PermissionRequest{Phase: providers.PhasePlan, Objects: objectRefs()}
	var paths []string
	for i := range 30 {
		path := fmt.Sprintf("shop/app-%d/db", i)
		paths = append(paths, path)
		req.Secrets = append(req.Secrets, providers.Use{Path: path, Write: true, Reads: []string{"a template"}})
		p.s.Must(http.MethodPost, p.mount+"/data/"+path, map[string]any{"data": map[string]any{"value": "v"}})
	}
	for _, c := range objectCases() {
		if c.ref.Kind != KindMount {
			write(t, root, providers.ObjectSpec{Ref: c.ref, Document: c.first})
			req.Objects = append(req.Objects, c.ref)
		}
	}
	p.s.Policy("held", `path "`+p.mount+`/data/shop/*" { capabilities = ["read"] }`)
	for path, body := range map[string]map[string]any{
		"auth/approle/role/held":    {"token_policies": "held"},
		"auth/team/jwt/role/r":      {"role_type": "jwt", "user_claim": "sub", "bound_claims": map[string]any{"a": "b"}, "token_policies": "held"},
		"auth/userpass/users/alice": {"token_policies": "held"},
		"identity/entity":           {"name": "held", "policies": "held"},
		"identity/group":            {"name": "held", "policies": "held"},
	} {
		p.s.Must(http.MethodPost, path, body)
	}
	p.s.Policy("under-test", root.PermissionDocument(req, root.Permissions(req)))
	before := len(p.s.AuditRequests())
	proxied := newProxy(t, p.s.Address)
	for _, scan := range []bool{true, false} {
		if !scan {
			proxied.on(noScan)
		}
		d := p.driver(proxied.URL, p.token)
		found, err := d.Inspect(t.Context(), paths)
		if err != nil || len(found) != 30 {
			t.Errorf("inspect: %d found, %v", len(found), err)
		}
		if found, err = d.List(t.Context()); err != nil || len(found) != 30 {
			t.Errorf("list: %d found, %v", len(found), err)
		}
		objects, err := d.InspectObjects(t.Context(), req.Objects)
		maps.DeleteFunc(objects, func(_ providers.ObjectRef, o providers.Object) bool { return o.Lacks != nil })
		if err != nil || len(objects) != 4 {
			t.Errorf("objects: %d found, %v", len(objects), err)
		}
		held, err := d.UndeclaredAccess(t.Context(), []providers.Managed{{Path: paths[0]}}, []providers.ObjectRef{{Kind: KindPolicy, Path: "held"}})
		if err != nil || len(held.Undeclared) != 5 {
			t.Errorf("audit: %+v, %v", held, err)
		}
		for _, f := range d.Examine(t.Context(), d.Permissions(req)) {
			if f.Status == providers.FindingFail {
				t.Errorf("doctor: %+v", f)
			}
		}
	}
	for _, r := range p.s.AuditRequests()[before:] {
		if strings.Contains(r.Path, "/data/") || !slices.Contains([]string{"read", "list", "scan"}, r.Operation) && r.Path != "sys/capabilities-self" {
			t.Errorf("a plan asks for %s %s", r.Operation, r.Path)
		}
	}
	d := p.driver(p.s.Address, p.token)
	for name, do := range map[string]func() error{
		"write":  func() error { return writeSecret(t.Context(), d, "shop/new", "") },
		"update": func() error { return writeSecret(t.Context(), d, paths[0], "1") },
		"read":   func() error { _, err := d.Read(t.Context(), paths[0], ""); return err },
		"delete": func() error { return d.Delete(t.Context(), paths[0], "1") },
		"mark": func() error {
			_, err := d.SetAttributes(t.Context(), paths[0], "1", providers.Attributes{Description: "x"})
			return err
		},
		"policy": func() error {
			return writeObject(t.Context(), d, objectRefs()[5], acl.Render(nil)+"path \"a\" {}\n", "")
		},
		"role":  func() error { return writeObject(t.Context(), d, objectRefs()[6], "type = \"approle\"\n", "") },
		"bind":  func() error { return writeObject(t.Context(), d, objectRefs()[1], attached, "") },
		"mount": func() error { return writeObject(t.Context(), d, objectRefs()[4], "type = \"kv\"\n", "") },
	} {
		if err := do(); providers.CodeOf(err) != providers.Denied {
			t.Errorf("%s with the plan's policy: %v", name, err)
		}
	}
}

func writeSecret(ctx context.Context, d *Driver, path, ifVersion string) error {
	_, err := d.Write(ctx, providers.WriteRequest{
		Path: path, IfVersion: ifVersion, Value: secret.String("v"), Attributes: providers.Attributes{Mark: providers.Mark{Project: "test", Address: "a"}},
	})
	return err
}

func writeObject(ctx context.Context, d *Driver, ref providers.ObjectRef, document, ifVersion string) error {
	_, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: document, IfVersion: ifVersion})
	return err
}

// step is one thing that an apply does: prepare brings the server there as
// root.
type step struct {
	name    string
	prepare func()
	do      func(ctx context.Context, d *Driver) error
}

// The policy for an apply is enough for everything, and each capability of it is
// needed: without it something is refused, and the error names it.
func TestApplyPermissions(t *testing.T) {
	p := newPermitted(t)
	p.everyCapability(t, objectRefs())
	p.keep = "768h" // the settings of a secret are made before it is
	p.everyCapability(t, nil)
}

// leavingSecrets and leavingObjects are what the state has and the configuration
// does not.
func leavingSecrets() []providers.Leaving {
	leaving := func(path string, end providers.End, reads ...string) providers.Leaving {
		return providers.Leaving{ObjectRef: providers.ObjectRef{Kind: kindSecret, Path: path}, End: end, Reads: reads}
	}
	return []providers.Leaving{
		leaving("shop/gone", providers.EndDeleted), leaving("shop/let", providers.EndForgotten), leaving("shop/moved", providers.EndDeleted, "to move it"),
	}
}

func leavingObjects() []providers.Leaving {
	leaving := func(kind, path string, end providers.End) providers.Leaving {
		return providers.Leaving{ObjectRef: providers.ObjectRef{Kind: kind, Path: path}, End: end}
	}
	return []providers.Leaving{
		leaving(KindBinding, "approle:approle/left left", providers.EndDeleted), leaving(KindBinding, "group:ops left", providers.EndDeleted),
		leaving(KindMount, "kv:left", providers.EndNamed), leaving(KindPolicy, "left", providers.EndDeleted), leaving(KindPolicy, "let", providers.EndForgotten),
		leaving(KindRole, "approle:approle/kept", providers.EndDeleted), leaving(KindRole, "approle:approle/left-too", providers.EndNamed),
	}
}

func (p *permitted) everyCapability(t *testing.T, objects []providers.ObjectRef) {
	t.Helper()
	proxied := newProxy(t, p.s.Address)
	proxied.on(noScan)
	root := p.driver(p.s.Address, p.s.RootToken)
	req := providers.PermissionRequest{
		Phase: providers.PhaseApply, Objects: objects,
		Secrets: []providers.Use{{Path: "shop/manual"}, {Path: "shop/read", Reads: []string{"a template over it"}}, {Path: "shop/w", Write: true}},
	}
	req.Leaving = leavingSecrets()
	if objects != nil {
		req.Leaving = append(leavingObjects(), req.Leaving...)
	}
	list := root.Permissions(req)
	steps := p.steps(objects)
	for _, l := range req.Leaving {
		steps = append(steps, p.leavingSteps(l)...)
	}
	asks := map[string][]string{} // what each step asks for
	run := func(t *testing.T, list []providers.Permission, without *acl.Set, capability string) map[string]error {
		p.s.Policy("under-test", root.PermissionDocument(req, list))
		failed := map[string]error{}
		for _, s := range steps {
			if without != nil && !slices.ContainsFunc(asks[s.name], func(path string) bool {
				return without.Allows(path, capability) || without.Allows(path+"/", capability)
			}) {
				continue // it cannot notice
			}
			if s.prepare != nil {
				s.prepare()
			}
			if err := s.do(t.Context(), p.driver(proxied.URL, p.token)); err != nil {
				failed[s.name] = err
			}
			for _, r := range proxied.take() {
				_, path, _ := strings.Cut(r, " ")
				asks[s.name] = append(asks[s.name], path)
			}
		}
		return failed
	}
	for name, err := range run(t, list, nil, "") {
		t.Fatalf("with the whole policy: %s: %v\n%s", name, err, root.PermissionDocument(req, list))
	}
	for i, perm := range list {
		for _, capability := range perm.Capabilities {
			if capability == acl.Scan || perm.Path == "auth/token/revoke-self" {
				continue // these steps go the way without a scan, and revoking would end the test
			}
			t.Run(p.keep+" "+perm.Path+" "+capability, func(t *testing.T) {
				less := slices.Clone(list)
				less[i].Capabilities = slices.DeleteFunc(slices.Clone(perm.Capabilities), func(c string) bool { return c == capability })
				only := acl.NewSet(time.Time{}, []acl.Rule{{Path: perm.Path, Capabilities: []string{capability}}})
				failed := run(t, less, only, capability)
				if len(failed) == 0 {
					t.Errorf("is not needed")
				}
				for name, err := range failed {
					names(t, name, err, perm.Path, capability)
				}
			})
		}
	}
	p.purges(root, req, list)
}

// names checks that an error is a refusal that tells which rule is missing.
func names(t *testing.T, step string, err error, path, capability string) {
	t.Helper()
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		for _, err = range partial.Paths {
		}
	}
	texts := strings.Split(err.Error(), "its policies need: ")
	rules, parseErr := acl.Parse(texts[len(texts)-1])
	if providers.CodeOf(err) != providers.Denied && providers.CodeOf(err) != providers.Ambiguous || parseErr != nil || len(rules) != 1 {
		t.Errorf("%s: %v", step, err)
		return
	}
	missing := acl.NewSet(time.Time{}, []acl.Rule{{Path: path, Capabilities: []string{capability}}})
	if !slices.Contains(rules[0].Capabilities, capability) || !missing.Allows(rules[0].Path, capability) {
		t.Errorf("%s: the error asks for %s", step, rules[0])
	}
}

// purges checks that a purge needs more than an apply has, and no more than the
// document's last block says.
func (p *permitted) purges(root *Driver, req providers.PermissionRequest, list []providers.Permission) {
	p.t.Helper()
	document := root.PermissionDocument(req, list)
	p.s.Policy("under-test", document)
	p.secret("shop/w", true)
	if err := p.driver(p.s.Address, p.token).Purge(p.t.Context(), "shop/w", "1"); providers.CodeOf(err) != providers.Denied {
		p.t.Errorf("a purge with the apply's policy: %v", err)
	}
	main, more, _ := strings.Cut(document, "# `coffer purge`")
	_, more, _ = strings.Cut(more, "\n")
	p.s.Policy("under-test", main+strings.ReplaceAll("\n"+more, "\n# ", "\n"))
	if err := p.driver(p.s.Address, p.token).Purge(p.t.Context(), "shop/w", "1"); err != nil {
		p.t.Errorf("a purge with its own block: %v\n%s", err, more)
	}
}

// secret puts a secret of version 1 at a path, deleted or not.
func (p *permitted) secret(path string, deleted bool) {
	p.none(path)
	p.s.Must(http.MethodPost, p.mount+"/data/"+path, map[string]any{"data": map[string]any{"value": "v", "other": "o"}})
	if deleted {
		p.s.Must(http.MethodDelete, p.mount+"/data/"+path, nil)
	}
}

func (p *permitted) none(path string) {
	p.s.Must(http.MethodDelete, p.mount+"/metadata/"+path, nil)
}

func (p *permitted) steps(objects []providers.ObjectRef) []step {
	w := func(deleted bool) func() { return func() { p.secret("shop/w", deleted) } }
	steps := []step{
		{
			"walk", func() { p.secret("shop/w", false); p.secret("shop/w/below", false) },
			func(ctx context.Context, d *Driver) error { _, err := d.List(ctx); return err },
		},
		{"create", func() { p.none("shop/w") }, func(ctx context.Context, d *Driver) error { return writeSecret(ctx, d, "shop/w", "") }},
		{"update", w(false), func(ctx context.Context, d *Driver) error { return writeSecret(ctx, d, "shop/w", "1") }},
		{"over deleted", w(true), func(ctx context.Context, d *Driver) error { _, err := d.Undelete(ctx, "shop/w"); return err }},
		{"patch", w(false), func(ctx context.Context, d *Driver) error {
			_, err := d.Patch(ctx, providers.WriteRequest{Path: "shop/w", IfVersion: "1", Drop: []string{"other"}, Value: secret.Object(map[string]secret.Value{"value": secret.String("n")})})
			return err
		}},
		{"delete", w(false), func(ctx context.Context, d *Driver) error { return d.Delete(ctx, "shop/w", "1") }},
		{"read", func() { p.secret("shop/read", false) }, func(ctx context.Context, d *Driver) error { _, err := d.Read(ctx, "shop/read", ""); return err }},
	}
	for _, path := range []string{"shop/manual", "shop/read"} {
		steps = append(steps, step{"mark " + path, func() { p.secret(path, false) }, func(ctx context.Context, d *Driver) error {
			_, err := d.SetAttributes(ctx, path, "1", providers.Attributes{Mark: providers.Mark{Project: "test", Address: "a"}})
			return err
		}})
		steps = append(steps, step{"bring back " + path, func() { p.secret(path, true) }, func(ctx context.Context, d *Driver) error { _, err := d.Undelete(ctx, path); return err }})
		steps = append(steps, step{"walk below " + path, func() { p.secret(path, false); p.secret(path+"/below", false) }, func(ctx context.Context, d *Driver) error {
			_, err := d.List(ctx)
			return err
		}})
	}
	for path, method := range map[string]string{"auth/token/lookup-self": http.MethodGet, "auth/token/renew-self": http.MethodPost, "sys/capabilities-self": http.MethodPost} {
		steps = append(steps, step{path, nil, func(ctx context.Context, d *Driver) error {
			var body any
			if method == http.MethodPost {
				body = map[string]any{"paths": []string{"x"}}
			}
			return d.client.do(ctx, request{method: method, path: path, body: body})
		}})
	}
	for _, ref := range objects {
		steps = append(steps, p.objectSteps(ref)...)
	}
	return steps
}

// leavingSteps are what an apply does with what leaves.
func (p *permitted) leavingSteps(l providers.Leaving) []step {
	if l.Kind != kindSecret {
		return slices.DeleteFunc(p.objectSteps(l.ObjectRef), func(s step) bool {
			what, _, _ := strings.Cut(s.name, " ")
			deleted := l.End == providers.EndNamed || l.End == providers.EndDeleted && l.Kind != KindRole
			return what == "make" || what == "remove" && !deleted || what == "change" && l.End != providers.EndForgotten
		})
	}
	there := func() {
		p.secret(l.Path, false)
		p.s.Must(http.MethodPost, p.mount+"/metadata/"+l.Path, map[string]any{"custom_metadata": map[string]any{"coffer_project": "test", "coffer_address": "a"}})
	}
	walk := step{"walk below " + l.Path, func() { there(); p.secret(l.Path+"/below", false) }, func(ctx context.Context, d *Driver) error { _, err := d.List(ctx); return err }}
	if l.End == providers.EndForgotten {
		return []step{walk, {"let go of " + l.Path, there, func(ctx context.Context, d *Driver) error {
			_, err := d.SetAttributes(ctx, l.Path, "1", providers.Attributes{})
			return err
		}}}
	}
	steps := []step{walk, {"delete " + l.Path, there, func(ctx context.Context, d *Driver) error { return d.Delete(ctx, l.Path, "1") }}}
	if len(l.Reads) > 0 {
		steps = append(steps, step{"read " + l.Path, there, func(ctx context.Context, d *Driver) error { _, err := d.Read(ctx, l.Path, "1"); return err }})
	}
	return steps
}

// objectSteps make, look at, change and remove an object.
func (p *permitted) objectSteps(ref providers.ObjectRef) []step {
	root := p.driver(p.s.Address, p.s.RootToken)
	first, second := attached, ""
	switch ref.Kind {
	case KindPolicy:
		first, second = "path \"a\" {}\n", "path \"b\" {}\n"
	case KindMount:
		first, second = "type = \"kv\"\n", "type = \"kv\"\ndescription = \"x\"\nmax_versions = 3\n"
	case KindRole:
		c := objectCases()
		i := slices.IndexFunc(c, func(c objectCase) bool {
			return c.ref.Kind == KindRole && strings.HasPrefix(ref.Path, c.first[len("type = \""):strings.Index(c.first, "\"\n")])
		})
		first, second = c[i].first, c[i].second
	}
	version := "" // of what is there
	remove := func() {
		live, err := root.InspectObjects(p.t.Context(), []providers.ObjectRef{ref})
		if o, there := live[ref]; there && err == nil && ref.Kind == KindMount {
			p.s.Must(http.MethodDelete, "sys/mounts/"+strings.TrimPrefix(ref.Path, "kv:"), nil)
		} else if there && err == nil {
			err = writeObject(p.t.Context(), root, ref, "", o.Version)
		}
		if ref.Path == "approle:approle/fresh p" { // a role that the binding makes
			p.s.Must(http.MethodDelete, "auth/approle/role/fresh", nil)
		}
		if ref.Path == "jwt:team/jwt/bound p" {
			p.s.Must(http.MethodPost, "auth/team/jwt/role/bound", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_subject": "s", "token_policies": []string{}})
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	there := func() {
		remove()
		o, err := root.WriteObject(p.t.Context(), providers.ObjectRequest{Ref: ref, Document: first})
		if err != nil {
			p.t.Fatal(err)
		}
		version = o.Version
	}
	steps := []step{
		{"make " + ref.Path, remove, func(ctx context.Context, d *Driver) error { return writeObject(ctx, d, ref, first, "") }},
		{"look at " + ref.Path, there, func(ctx context.Context, d *Driver) error {
			_, err := d.InspectObjects(ctx, []providers.ObjectRef{ref})
			return err
		}},
	}
	if ref.Kind != KindMount { // that is left to people
		steps = append(steps, step{"remove " + ref.Path, there, func(ctx context.Context, d *Driver) error { return writeObject(ctx, d, ref, "", version) }})
	}
	if second != "" {
		steps = append(steps, step{"change " + ref.Path, there, func(ctx context.Context, d *Driver) error { return writeObject(ctx, d, ref, second, version) }})
	}
	return steps
}
