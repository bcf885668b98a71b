package vault

import (
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

func (d *Driver) objectPermissions(n needs, ref providers.ObjectRef, apply bool) {
	grant := func(path string, more ...string) {
		n.add(rulePath(path), whyObject, acl.Read)
		if apply {
			n.add(rulePath(path), whyChange, more...)
		}
	}
	switch ref.Kind {
	case KindPolicy:
		grant(policyPath(ref.Path), acl.Update, acl.Delete)
	case KindBinding, KindRole:
		h, err := holderOf(ref)
		if policy := boundPolicy(ref); apply && policy != "" {
			n.add(policyPath(policy), whyOwner, acl.Read)
		}
		switch {
		case err != nil:
		case ref.Kind == KindRole:
			grant(h.api(), acl.Create, acl.Update, acl.Delete)
		case h.typ == typeAppRole:
			grant(h.api(), acl.Create, acl.Update)
		default:
			grant(h.api(), acl.Update)
		}
	case KindMount:
		_, at, err := parseMountRef(ref.Path)
		if err != nil {
			return
		}
		grant("sys/mounts/"+at, acl.Update)
		grant(at+"/config", acl.Update)
		if apply {
			n.add("sys/mounts/"+at+"/tune", whyChange, acl.Update)
		}
	}
}

// boundPolicy is the policy that a binding is about, "" for anything else.
func boundPolicy(ref providers.ObjectRef) string {
	h, err := holderOf(ref)
	if err != nil || ref.Kind != KindBinding {
		return ""
	}
	_, policy, _ := strings.Cut(ref.Path, h.String()+" ")
	return policy
}

// leavingPermissions are for a secret that the configuration has no more. Where
// it lies is looked at with all that is below the prefix; outside of it nothing
// is done.
func (d *Driver) leavingPermissions(n needs, l providers.Leaving, f folding) {
	if d.within(l.Path) != nil {
		return
	}
	value := f.rule(d, d.valuePath, l.Path)
	if len(l.Reads) > 0 {
		n.add(value, whyReads(l.Reads), acl.Read)
	}
	switch v1 := d.config.AllowValueRead; {
	case l.End == providers.EndDeleted && v1:
		n.add(value, whyGone, acl.Delete)
	case l.End == providers.EndDeleted:
		n.add(d.partRule("delete", l.Path, f), whyGone, acl.Update)
	case l.End == providers.EndForgotten && !v1:
		n.add(d.partRule("metadata", l.Path, f), whyLetGo, acl.Read, acl.Patch)
	}
}

// leavingObjectPermissions are for an object that the configuration has no
// more. A role is Kept, so only a block that names one deletes it; a mount is deleted
// by hand alone.
func (d *Driver) leavingObjectPermissions(n needs, l providers.Leaving) {
	deleted := l.End == providers.EndDeleted || l.End == providers.EndNamed
	look := func(path string) { n.add(rulePath(path), whyObject, acl.Read) }
	switch l.Kind {
	case KindPolicy:
		path := policyPath(l.Path)
		look(path)
		switch {
		case deleted:
			n.add(rulePath(path), whyGone, acl.Delete)
		case l.End == providers.EndForgotten:
			n.add(rulePath(path), whyLetGo, acl.Update)
		}
	case KindBinding, KindRole:
		h, err := holderOf(l.ObjectRef)
		if err != nil {
			return
		}
		look(h.api())
		switch {
		case l.Kind == KindBinding && deleted:
			n.add(rulePath(h.api()), whyGone, acl.Update)
			n.add(policyPath(boundPolicy(l.ObjectRef)), whyOwner, acl.Read)
		case l.Kind == KindRole && l.End == providers.EndNamed:
			n.add(rulePath(h.api()), whyGone, acl.Delete)
		}
	case KindMount:
		_, at, err := parseMountRef(l.Path)
		if err != nil {
			return
		}
		look("sys/mounts/" + at)
		look(at + "/config")
	}
}
