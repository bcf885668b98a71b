package kubernetes

import (
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// Why a permission is needed, for people.
const (
	whyIdentity    = "which cluster this is: the uid of a namespace that every cluster has"
	whyLook        = "which Secrets exist and who changed them. Kubernetes has one right for metadata and values: Coffer asks for metadata alone"
	whyRead        = "reads values"
	whyMake        = "makes Secrets: Kubernetes cannot limit that by name"
	whyWrite       = "writes values, and the owner mark, labels and description beside them"
	whyMark        = "owner mark, labels and description"
	whyDelete      = "deletes what the configuration has no more, and what moves"
	whyLetGo       = "takes our mark off what the configuration lets go of"
	whyObject      = "which of these objects exist, and what is in them"
	whyApply       = "makes and changes these objects"
	whyRestart     = "what its programs were last started with, and whether they run"
	whyRestarts    = "restarts its programs: it may change the whole workload, Kubernetes has no smaller right"
	whyGive        = "to give a right with a Role one has to have it: that of the readers of a policy"
	whyToken       = "to give a right with a Role one has to have it: that of the operator, to tokens of this service account"
	whyCertificate = "the certificate that values are sealed with"
	whyUsers       = "which programs use a Secret that changes; without it the plan does not say"
	whyReaders     = "who else can read the Secrets, for drift; without it drift does not say"
)

// target is what a permission is about.
type target struct {
	namespace string // "" for what lies in none
	group     string
	resource  string // "secrets", "serviceaccounts/token"
	name      string // "" for all
}

// path is [namespaces/NAMESPACE/]RESOURCE[.GROUP][/SUBRESOURCE][/NAME].
func (t target) path() string {
	main, sub, split := strings.Cut(t.resource, "/")
	if t.group != "" {
		main += "." + t.group
	}
	if split {
		main += "/" + sub
	}
	if t.namespace != "" {
		main = "namespaces/" + t.namespace + "/" + main
	}
	if t.name != "" {
		main += "/" + t.name
	}
	return main
}

// targetOf takes a path apart. One with a subresource has a name too.
func targetOf(path string) target {
	var t target
	parts := strings.Split(path, "/")
	if parts[0] == "namespaces" && len(parts) > 2 {
		t.namespace, parts = parts[1], parts[2:]
	}
	t.resource, t.group, _ = strings.Cut(parts[0], ".")
	if len(parts) > 1 {
		t.name = parts[len(parts)-1]
	}
	if len(parts) > 2 {
		t.resource += "/" + parts[1]
	}
	return t
}

// needs gathers what is needed by the path of its target.
type needs map[string]*need

type need struct {
	verbs []verb
	why   []string
}

func (n needs) add(t target, why string, verbs ...verb) {
	path := t.path()
	p := n[path]
	if p == nil {
		p = &need{}
		n[path] = p
	}
	if !slices.Contains(p.why, why) {
		p.why = append(p.why, why)
	}
	for _, v := range verbs {
		if !slices.Contains(p.verbs, v) {
			p.verbs = append(p.verbs, v)
		}
	}
}

// of is a resource in a namespace, all names.
func (r resource) in(namespace string) target {
	return target{namespace: namespace, group: r.group, resource: r.plural}
}

func (t target) named(name string) target {
	t.name = name
	return t
}

// Permissions implements [providers.Permitter].
func (d *Driver) Permissions(req providers.PermissionRequest) []providers.Permission {
	n := needs{}
	n.add(namespaces.in("").named("kube-system"), whyIdentity, get)
	if d.namespace != "" {
		n.add(secrets.in(d.namespace), whyLook, get, list)
	}
	used := map[string]bool{} // namespaces where the Secrets lie that programs read
	for _, use := range req.Secrets {
		n.use(req.Phase, use)
		namespace, _ := split(use.Path)
		used[namespace] = true
	}
	for _, ref := range req.Objects {
		n.object(req, ref)
		if ref.Kind == delivery.KindExternalSecret {
			namespace, _ := split(ref.Path)
			used[namespace] = true
		}
	}
	for _, l := range req.Leaving {
		if l.Kind == kindSecret {
			n.leave(req.Phase, l)
		} else {
			n.leaveObject(req, l)
		}
	}
	n.around(req.Phase, used)
	if slices.ContainsFunc(req.Secrets, func(u providers.Use) bool { return isSealed(u.Path) }) {
		d.certify(n)
	}
	var out []providers.Permission
	for _, path := range sortedKeys(n) {
		p := providers.Permission{Path: path, Why: strings.Join(n[path].why, "; ")}
		for _, v := range n[path].verbs {
			p.Capabilities = append(p.Capabilities, string(v))
		}
		out = append(out, p)
	}
	return out
}

// around is what a plan tells of besides: who uses the Secrets, and who reads them.
func (n needs) around(phase providers.Phase, used map[string]bool) {
	for namespace := range used {
		for _, res := range consumers() {
			n.add(res.in(namespace), whyUsers, list)
		}
		if phase != providers.PhasePlan {
			continue
		}
		for _, k := range objectKinds() {
			if k.kind == delivery.KindRole || k.kind == delivery.KindRoleBinding {
				n.add(k.resource.in(namespace), whyReaders, list)
			}
		}
		n.add(clusterRoles.resource.in(""), whyReaders, list)
		n.add(clusterBinds.resource.in(""), whyReaders, list)
	}
}

// certify is what it takes to ask the controller for its certificate.
func (d *Driver) certify(n needs) {
	if c := d.keys.config; c.Certificate == "" {
		n.add(target{namespace: c.ControllerNamespace, resource: "services/proxy", name: "http:" + c.ControllerName + ":"}, whyCertificate, get)
	}
}

func isSealed(path string) bool { return strings.HasPrefix(path, sealedPrefix) }

// keptAs returns the resource that a path names.
func keptAs(path string) target {
	namespace, name := split(strings.TrimPrefix(path, sealedPrefix))
	if isSealed(path) {
		return sealedKind.resource.in(namespace).named(name)
	}
	return secrets.in(namespace).named(name)
}

func (n needs) use(phase providers.Phase, use providers.Use) {
	one := keptAs(use.Path)
	all := one.named("")
	n.add(all, whyLook, get, list)
	if phase != providers.PhaseApply {
		return
	}
	if len(use.Reads) > 0 && !isSealed(use.Path) {
		n.add(all, whyRead, get)
	}
	if !use.Write {
		n.add(one, whyMark, patch)
		return
	}
	n.add(all, whyMake, create)
	n.add(one, whyWrite, patch)
	n.add(one, whyDelete, remove)
}

func (n needs) leave(phase providers.Phase, l providers.Leaving) {
	one := keptAs(l.Path)
	n.add(one.named(""), whyLook, get, list)
	if phase != providers.PhaseApply {
		return
	}
	switch l.End {
	case providers.EndDeleted, providers.EndNamed:
		n.add(one, whyDelete, remove)
	case providers.EndForgotten:
		n.add(one, whyLetGo, patch)
	}
	if len(l.Reads) > 0 {
		n.add(one.named(""), whyRead, get)
	}
}

// targetOfRef is what a reference is in the API; false where it is no object of it.
func targetOfRef(ref providers.ObjectRef) (target, bool) {
	if ref.Kind == kindRollout {
		namespace, rest, _ := strings.Cut(ref.Path, "/")
		kind, name, _ := strings.Cut(rest, "/")
		res, ok := workloads()[kind]
		return res.in(namespace).named(name), ok
	}
	for _, k := range objectKinds() {
		if k.kind == ref.Kind {
			namespace, name := k.place(ref.Path)
			return k.resource.in(namespace).named(name), true
		}
	}
	return target{}, false
}

// look is what it takes to see an object: of a namespace all of its kind, since
// many are told by one list.
func (n needs) look(ref providers.ObjectRef, one target) {
	switch {
	case ref.Kind == kindRollout:
		n.add(one, whyRestart, get)
	case one.namespace == "":
		n.add(one, whyObject, get)
	default:
		n.add(one.named(""), whyObject, get, list)
	}
}

func (n needs) object(req providers.PermissionRequest, ref providers.ObjectRef) {
	one, ok := targetOfRef(ref)
	if !ok {
		return
	}
	n.look(ref, one)
	switch {
	case req.Phase != providers.PhaseApply:
	case ref.Kind == kindRollout:
		n.add(one, whyRestarts, patch)
	default:
		// Server-side apply names what it makes, so that create can be limited.
		n.add(one, whyApply, create, patch)
		if ref.Kind != delivery.KindServiceAccount { // others may use it
			n.add(one, whyDelete, remove)
		}
		n.give(req, ref)
	}
}

func (n needs) leaveObject(req providers.PermissionRequest, l providers.Leaving) {
	one, ok := targetOfRef(l.ObjectRef)
	if !ok {
		return
	}
	n.look(l.ObjectRef, one)
	switch {
	case req.Phase != providers.PhaseApply, l.Kind == kindRollout:
	case l.End == providers.EndForgotten:
		n.add(one, whyLetGo, patch)
		n.give(req, l.ObjectRef)
	case l.End == providers.EndNamed, l.End == providers.EndDeleted && l.Kind != delivery.KindServiceAccount:
		n.add(one, whyDelete, remove)
	}
}

// tokenRole ends the name of the Role that package delivery makes for a service
// account.
const tokenRole = "-token"

// give is what one has to have to write a Role or its binding: the API server lets
// nobody give more than that
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
func (n needs) give(req providers.PermissionRequest, ref providers.ObjectRef) {
	if ref.Kind != delivery.KindRole && ref.Kind != delivery.KindRoleBinding {
		return
	}
	namespace, name := split(ref.Path)
	account, token := strings.CutSuffix(name, tokenRole)
	is := func(o providers.ObjectRef) bool {
		return o == providers.ObjectRef{Kind: delivery.KindServiceAccount, Path: namespace + "/" + account}
	}
	if token && (slices.ContainsFunc(req.Objects, is) || slices.ContainsFunc(req.Leaving, func(l providers.Leaving) bool { return is(l.ObjectRef) })) {
		n.add(target{namespace: namespace, resource: "serviceaccounts/token", name: account}, whyToken, create)
		return
	}
	n.add(secrets.in(namespace), whyGive, get)
}
