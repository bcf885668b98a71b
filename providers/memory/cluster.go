package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// This file is what a platform with [Options].Cluster has: Secrets of a form at
// NAMESPACE/NAME, sealed ones below sealedsecrets/, an operator that fetches, and
// workloads that use Secrets.

// Kinds of the objects of a cluster.
const (
	KindRollout        = "rollout"
	KindExternalSecret = "externalsecret"
	KindSecretStore    = "secretstore"
	KindServiceAccount = "serviceaccount"
	KindRoleBinding    = "rolebinding"
)

const sealedPrefix = "sealedsecrets/"

type clusterPlacer struct{}

func (clusterPlacer) DefaultPath(at providers.Place) (string, error) {
	path := at.App + "-" + at.Environment + "/" + at.App + "-" + strings.ReplaceAll(at.Name, "_", "-")
	if at.Kind == "sealed_secret" {
		path = sealedPrefix + path
	}
	return path, nil
}

func (clusterPlacer) Resolve(kind, written string) (string, error) {
	if !strings.Contains(written, "/") {
		written = "default/" + written
	}
	if kind == "sealed_secret" {
		written = sealedPrefix + written
	}
	return written, checkPath(written)
}

func (clusterPlacer) Written(path string) string { return strings.TrimPrefix(path, sealedPrefix) }

type forms struct{}

func (forms) NormalForm(f providers.Form) providers.Form {
	if f.Scope == "strict" {
		f.Scope = ""
	}
	return f
}

func (forms) CheckForm(kind string, f providers.Form, fields []string) error {
	switch {
	case f.Scope != "" && kind != "sealed_secret":
		return providers.Errorf(providers.Invalid, "scope is for a sealed_secret")
	case f.Type == "kubernetes.io/tls" && (!slices.Contains(fields, "tls.crt") || !slices.Contains(fields, "tls.key")):
		return providers.Errorf(providers.Invalid, "a tls Secret needs tls.crt and tls.key")
	}
	return nil
}

type sealer struct{ d *Driver }

func (s sealer) Sealing(ctx context.Context, path string, a providers.Attributes) (is providers.Sealing, err error) {
	if !strings.HasPrefix(path, sealedPrefix) {
		return is, nil
	}
	err = s.d.call(ctx, "sealing", path, step{commit: func() {
		is = s.d.w.sealing
		is.Envelope += " " + a.Form.Scope
	}})
	return is, err
}

// SetSealing is what secrets are to be sealed with from now on.
func (w *World) SetSealing(s providers.Sealing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealing = s
}

func (c *change) sealing() string { return c.d.w.sealing.Envelope + " " + c.req.Attributes.Form.Scope }

// checkCluster refuses what no cluster does: to change the value of an immutable
// Secret, and to seal some fields to one key and leave others sealed to another.
func (c *change) checkCluster(r *record) error {
	switch {
	case !c.d.o.Cluster || r == nil:
		return nil
	case strings.HasPrefix(c.req.Path, sealedPrefix):
		if c.patch && r.sealed != c.sealing() {
			return providers.Errorf(providers.Invalid, "its other fields are sealed to another key")
		}
	case r.attrs.Form.Immutable:
		return providers.Errorf(providers.Invalid, "the Secret is immutable")
	}
	return nil
}

type exporter struct{}

func (exporter) SecretStore(a providers.StoreAccess) (map[string]any, error) {
	if a.Method != "kubernetes" && a.Method != "token" {
		return nil, &providers.ArgumentError{Err: providers.Errorf(providers.Invalid, "no auth %q here", a.Method)}
	}
	return map[string]any{"method": a.Method, "as": a.Namespace + "/" + a.ServiceAccount}, nil
}

func (exporter) StoreReader(a providers.StoreAccess) (r providers.Reader, ours bool, err error) {
	return providers.Reader{Func: ReaderFunc, Args: []string{a.Namespace + "-" + a.ServiceAccount}}, a.Method == "kubernetes", nil
}

func (exporter) Remote(path, field string) providers.Remote {
	return providers.Remote{Key: path, Property: field}
}

type deliverer struct{}

func (deliverer) at(d providers.Delivery) (string, error) {
	if d.Written != "" {
		return clusterPlacer{}.Resolve("external_secret", d.Written)
	}
	return clusterPlacer{}.DefaultPath(providers.Place{App: d.Place.App, Environment: d.Place.Environment, Name: d.Place.Name})
}

func (l deliverer) DeliveryAccess(d providers.Delivery) (providers.StoreAccess, error) {
	at, err := l.at(d)
	a := d.Store.Access
	namespace, name, _ := strings.Cut(at, "/")
	a.Namespace = namespace
	if a.ServiceAccount == "" {
		a.ServiceAccount = name
		if d.Store.Name != "" {
			a.ServiceAccount = d.Store.Name
		}
	}
	return a, err
}

// CompileDelivery makes the external secret, its store and the service account.
func (l deliverer) CompileDelivery(d providers.Delivery) ([]providers.ObjectSpec, error) {
	at, err := l.at(d)
	if err != nil {
		return nil, err
	}
	access, err := l.DeliveryAccess(d)
	if err != nil {
		return nil, err
	}
	namespace, name, _ := strings.Cut(at, "/")
	store := name
	if d.Store.Name != "" {
		store = d.Store.Name
	}
	text := "store: " + store + "\n"
	for _, item := range d.Items {
		text += item.Name + ":" + partsText(item.Parts) + "\n"
	}
	specs := []providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindExternalSecret, Path: at}, Document: text}}
	if d.Store.Existing {
		return specs, nil
	}
	section, err := d.Store.Provider(access)
	if err != nil {
		return nil, err
	}
	account := providers.ObjectRef{Kind: KindServiceAccount, Path: namespace + "/" + access.ServiceAccount}
	made := providers.ObjectSpec{
		Ref:      providers.ObjectRef{Kind: KindSecretStore, Path: namespace + "/" + store},
		Document: fmt.Sprintf("signs in by: %s\nas: %s\n", section["method"], section["as"]), Needs: []providers.ObjectRef{account},
	}
	specs[0].Needs = []providers.ObjectRef{made.Ref}
	return append(specs, made, providers.ObjectSpec{Ref: account, Document: "account: " + account.Path + "\n"}), nil
}

func partsText(parts []providers.DeliveryPart) string {
	out := ""
	for _, p := range parts {
		switch {
		case p.Remote != nil:
			out += " " + p.Remote.Key + "#" + p.Remote.Property
		case p.Func != "":
			out += " " + p.Func + "(" + partsText(p.Args) + ")"
		default:
			out += " " + p.Text
		}
	}
	return out
}

func (deliverer) Delivers(_, path string) string { return strings.TrimPrefix(path, sealedPrefix) }

type roller struct{ d *Driver }

func (roller) Rollout(w providers.Workload) providers.ObjectRef {
	return providers.ObjectRef{Kind: KindRollout, Path: w.Namespace + "/" + w.Kind + "/" + w.Name}
}

func (r roller) Consumers(ctx context.Context, paths []string) (map[string][]providers.Workload, error) {
	found := map[string][]providers.Workload{}
	err := r.d.call(ctx, "consumers", "", step{whole: true, commit: func() {
		for _, at := range slices.Sorted(maps.Keys(r.d.w.workloads)) {
			parts := strings.Split(at, "/")
			for _, path := range paths {
				if slices.Contains(r.d.w.workloads[at], path) {
					found[path] = append(found[path], providers.Workload{Namespace: parts[0], Kind: parts[1], Name: parts[2]})
				}
			}
		}
	}})
	return found, err
}

// Deploy runs a workload NAMESPACE/KIND/NAME that uses the Secrets at paths; what
// it was started with is forgotten.
func (w *World) Deploy(workload string, paths ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workloads[workload] = append([]string{}, paths...)
}

// Undeploy takes a workload away.
func (w *World) Undeploy(workload string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.workloads, workload)
	delete(w.objects, providers.ObjectRef{Kind: KindRollout, Path: workload})
}

type conditions struct{ d *Driver }

func (c conditions) Conditions(ctx context.Context, refs []providers.ObjectRef, sealed []string) ([]providers.Condition, error) {
	var found []providers.Condition
	err := c.d.call(ctx, "conditions", "", step{whole: true, commit: func() {
		for _, said := range c.d.w.said {
			if slices.Contains(refs, providers.ObjectRef{Kind: said.Kind, Path: said.Path}) || said.Kind == "secret" && slices.Contains(sealed, said.Path) {
				found = append(found, said)
			}
		}
	}})
	return found, err
}

// SetConditions is what controllers say from now on.
func (w *World) SetConditions(said ...providers.Condition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = said
}

type clusterAccess struct{}

func (clusterAccess) Readers() []string {
	return []string{"kubernetes_service_account", "kubernetes_group"}
}

// CompileAccess makes a role and its binding for each policy.
func (clusterAccess) CompileAccess(_ []providers.Managed, grants []providers.Grant) ([]providers.ObjectSpec, error) {
	reads, who := map[string][]string{}, map[string][]string{}
	for _, g := range grants {
		reads[g.Policy] = append(reads[g.Policy], g.Paths...)
		who[g.Policy] = append(who[g.Policy], strings.Join(g.Reader.Args, "/"))
	}
	var specs []providers.ObjectSpec
	for _, policy := range slices.Sorted(maps.Keys(reads)) {
		name := strings.NewReplacer("app.", "", ".policy.", "-", `["`, "-", `"]`, "").Replace(policy)
		list := func(names []string) string {
			slices.Sort(names)
			return strings.Join(slices.Compact(names), " ")
		}
		role := providers.ObjectRef{Kind: KindRole, Path: "all/" + name}
		specs = append(specs,
			providers.ObjectSpec{Ref: role, Document: "get: " + list(reads[policy]) + "\n", Policy: policy},
			providers.ObjectSpec{Ref: providers.ObjectRef{Kind: KindRoleBinding, Path: "all/" + name}, Document: "bind: " + list(who[policy]) + "\n", Needs: []providers.ObjectRef{role}})
	}
	return specs, nil
}
