package vault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// Why a permission is needed, for people.
const (
	whyLook     = "which secrets exist and which version lives, and no value"
	whyScan     = "the same in one request. Only OpenBao has scan: leave this block out of a policy for HashiCorp Vault, which refuses it"
	whyAudit    = "drift: whether a policy that nobody declared can read these secrets"
	whyHolders  = "so that drift can tell who else holds a policy of ours"
	whyOwner    = "whether a policy that is taken off somebody is ours"
	whyObject   = "what policies, roles and mounts say"
	whyChange   = "makes and changes policies, roles and mounts"
	whyWrite    = "writes values"
	whyMark     = "owner mark, labels and description"
	whyDelete   = "deletes, which can be undone"
	whyUndelete = "brings back what was deleted"
	whyGone     = "deletes what the configuration has no more"
	whyLetGo    = "takes our mark off what the configuration lets go of"
	whySerial   = "the highest serial of the shared state, so that a restored one is noticed"
	whyOpen     = "opens the encrypted state"
	whySeal     = "encrypts the state"
	whyToken    = "what the policy default gives as well"
)

// needs gathers permissions by path.
type needs map[string]*need

type need struct {
	capabilities []string
	why          []string
}

func (n needs) add(path, why string, capabilities ...string) {
	p := n[path]
	if p == nil {
		p = &need{}
		n[path] = p
	}
	if !slices.Contains(p.why, why) {
		p.why = append(p.why, why)
	}
	p.capabilities = acl.Sorted(append(p.capabilities, capabilities...))
}

// longestDocument bounds the policy that [Driver.PermissionDocument] makes:
// servers keep one as an entry of their storage, and refuse those of a mebibyte
// or less.
const longestDocument = 256 << 10

// Permissions implements [providers.Permitter]. What is only looked at is
// allowed for everything below the prefix; what is changed, path by path, or by
// folder where that would make too long a policy.
func (d *Driver) Permissions(req providers.PermissionRequest) []providers.Permission {
	return d.gather(req, d.foldings(req)).list()
}

// gather returns what req needs, with the rules of secrets folded.
func (d *Driver) gather(req providers.PermissionRequest, f folding) needs {
	n := needs{}
	if len(req.Secrets) > 0 || slices.ContainsFunc(req.Leaving, func(l providers.Leaving) bool { return l.Kind == kindSecret }) {
		d.lookPermissions(n, req.Phase)
	}
	if req.Phase == providers.PhaseApply {
		for _, use := range req.Secrets {
			d.usePermissions(n, use, f)
		}
	}
	if req.Watermark != "" {
		d.watermarkPermissions(n, req)
	}
	for _, key := range req.Keys {
		keyPermissions(n, key, req.Phase)
	}
	for _, ref := range req.Objects {
		d.objectPermissions(n, ref, req.Phase == providers.PhaseApply)
	}
	for _, l := range req.Leaving {
		switch {
		case l.Kind != kindSecret:
			d.leavingObjectPermissions(n, l)
		case req.Phase == providers.PhaseApply:
			d.leavingPermissions(n, l, f)
		}
	}
	if len(req.Secrets) > 0 && req.Phase == providers.PhasePlan {
		d.holderPermissions(n, req.Objects)
	}
	n.add("auth/token/lookup-self", whyToken, acl.Read)
	n.add("auth/token/renew-self", whyToken, acl.Update)
	n.add("auth/token/revoke-self", whyToken, acl.Update)
	n.add("sys/capabilities-self", whyToken, acl.Update)
	return n
}

// list returns the permissions in path order. A rule with a wildcard says
// nothing on a path that has a rule of its own, so that one repeats it.
func (n needs) list() []providers.Permission {
	var list []providers.Permission
	for _, path := range sortedNames(n) {
		list = append(list, providers.Permission{Path: path, Capabilities: n.all(path), Why: strings.Join(n[path].why, "; ")})
	}
	return list
}

// all returns what is needed on a path by itself and by every folder around it.
func (n needs) all(path string) []string {
	var capabilities []string
	if p := n[path]; p != nil {
		capabilities = p.capabilities
	}
	folder := strings.TrimSuffix(path, "/*")
	for i := strings.LastIndex(folder, "/"); i >= 0; i = strings.LastIndex(folder, "/") {
		folder = folder[:i]
		if p := n[folder+"/*"]; p != nil {
			capabilities = slices.Concat(capabilities, p.capabilities)
		}
	}
	return acl.Sorted(capabilities)
}

// below is the rule path of everything below the prefix, in one part of the API.
func (d *Driver) below(part string) string {
	if d.config.AllowValueRead { // KV version 1 has no parts
		part = ""
	}
	path := d.config.Mount
	for _, p := range []string{part, d.config.Prefix} {
		if p != "" {
			path += "/" + p
		}
	}
	return path + "/*"
}

func (d *Driver) lookPermissions(n needs, phase providers.Phase) {
	if d.config.AllowValueRead {
		n.add(d.below(""), "which secrets exist", acl.List)
	} else {
		n.add(d.below("metadata"), whyLook, acl.Read, acl.List)
		n.add(d.below("detailed-metadata"), whyScan, acl.Scan)
	}
	if phase == providers.PhasePlan {
		n.add("sys/policies/acl", whyAudit, acl.List)
		n.add("sys/policies/acl/*", whyAudit, acl.Read)
	}
}

// holderPermissions let a plan look at all that policies can be attached to.
func (d *Driver) holderPermissions(n needs, objects []providers.ObjectRef) {
	if !slices.ContainsFunc(objects, func(ref providers.ObjectRef) bool { return ref.Kind == KindPolicy }) {
		return
	}
	lists := []string{"auth/+/role", "auth/+/users", "identity/entity/id", "identity/group/id"}
	for _, ref := range objects {
		if ref.Kind == KindBinding || ref.Kind == KindRole { // a + stands for one part only
			if h, err := holderOf(ref); err == nil && strings.Contains(h.mount, "/") {
				lists = append(lists, h.listPath())
			}
		}
	}
	n.add("sys/auth", whyHolders, acl.Read)
	for _, path := range lists {
		n.add(path, whyHolders, acl.List)
		n.add(path+"/+", whyHolders, acl.Read) // and nothing below it
	}
}

func (d *Driver) usePermissions(n needs, use providers.Use, f folding) {
	value := f.rule(d, d.valuePath, use.Path)
	if len(use.Reads) > 0 {
		n.add(value, whyReads(use.Reads), acl.Read)
	}
	if d.config.AllowValueRead {
		if use.Write {
			n.add(value, whyWrite, acl.Create, acl.Update, acl.Delete)
		}
		return
	}
	metadata := d.partRule("metadata", use.Path, f)
	n.add(metadata, whyMark, acl.Read, acl.Patch)
	n.add(d.partRule("undelete", use.Path, f), whyUndelete, acl.Update)
	if !use.Write {
		return
	}
	n.add(value, whyWrite, acl.Update, acl.Patch)
	if d.config.DeleteVersionAfter != "" { // the metadata is made first, and a value then updates it
		n.add(metadata, "how long versions are kept, before the first is made", acl.Create)
	} else {
		n.add(value, whyWrite, acl.Create)
	}
	n.add(d.partRule("delete", use.Path, f), whyDelete, acl.Update)
}

func whyReads(reasons []string) string { return "reads the value: " + strings.Join(reasons, "; ") }

// partRule is the path of the rule for a secret in one part of the API.
func (d *Driver) partRule(part, path string, f folding) string {
	return f.rule(d, func(p string) string { return d.api(part, p) }, path)
}

// rulePath is a path as the path of a rule. One that a policy cannot name is
// given with the whole folder that it lies in.
func rulePath(path string) string {
	for wide := path; ; {
		if acl.Literal(wide) {
			if wide != path {
				wide += "/*"
			}
			return wide
		}
		i := strings.LastIndex(wide, "/")
		if i < 0 {
			return path
		}
		wide = wide[:i]
	}
}

// PermissionDocument implements [providers.Permitter]: a policy to be given to
// `vault policy write NAME -`.
func (d *Driver) PermissionDocument(req providers.PermissionRequest, list []providers.Permission) string {
	return d.document(req, list, d.foldings(req))
}

func (d *Driver) document(req providers.PermissionRequest, list []providers.Permission, f folding) string {
	var b strings.Builder
	where := d.config.Mount
	if d.config.Prefix != "" {
		where += ", below " + d.config.Prefix
	}
	if d.config.Namespace != "" {
		where += ", in namespace " + d.config.Namespace
	}
	b.WriteString(acl.Comment(fmt.Sprintf("The least that `coffer %s` needs on mount %s.", req.Phase, where)))
	if f.depth > 0 {
		b.WriteString(acl.Comment("These are too many secrets for a rule each: secrets that share a folder have one for all that lies in it, so it gives\nmore than the least."))
	}
	for _, group := range byReason(list) {
		b.WriteString("\n" + acl.Comment(group[0].Why+"."))
		b.WriteString(acl.Render(rules(group)))
	}
	if req.Phase == providers.PhaseApply && len(req.Secrets) > 0 {
		b.WriteString("\n" + acl.Comment(d.byPeople()))
	}
	if purge := d.purgePermissions(req, f); len(purge) > 0 {
		b.WriteString("\n" + acl.Comment("`coffer purge` destroys for good and is left to people. Whoever may do it needs this as well:"))
		b.WriteString(acl.Comment(acl.Render(rules(purge))))
	}
	return b.String()
}

// byPeople says what commands on single secrets need, which most applies do not:
// a rule for each would give every apply the right to read.
func (d *Driver) byPeople() string {
	value := func(path string) string { return d.valuePath(strings.TrimPrefix(d.config.Prefix+"/"+path, "/")) }
	set := fmt.Sprintf("`coffer secret set` of a value that people write needs capabilities = [\"create\", \"update\"%%s] on path %q.", value("SECRET"))
	if d.config.AllowValueRead {
		return fmt.Sprintf(set, "")
	}
	return fmt.Sprintf(set, `, "patch"`) + fmt.Sprintf("\n`coffer restore` of a secret reads its recorded version: it needs \"read\" on path %q as well.", value("SECRET"))
}

// byReason groups permissions with the same reason, in the order of their first
// path.
func byReason(list []providers.Permission) [][]providers.Permission {
	var groups [][]providers.Permission
	at := map[string]int{}
	for _, p := range list {
		i, known := at[p.Why]
		if !known {
			i = len(groups)
			at[p.Why] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}

func rules(list []providers.Permission) []acl.Rule {
	out := make([]acl.Rule, len(list))
	for i, p := range list {
		out[i] = acl.Rule{Path: p.Path, Capabilities: p.Capabilities}
	}
	return out
}

// purgePermissions is what a purge needs beyond an apply. A path with a rule of
// its own gets one here too, since the wildcard would say nothing of it.
func (d *Driver) purgePermissions(req providers.PermissionRequest, f folding) []providers.Permission {
	n := needs{}
	if req.Phase != providers.PhaseApply || d.config.AllowValueRead {
		return nil
	}
	everywhere := func() {
		n.add(d.below("destroy"), "", acl.Update)
		n.add(d.below("metadata"), "", acl.Delete)
	}
	for _, use := range req.Secrets {
		if use.Write {
			everywhere()
			n.add(d.partRule("metadata", use.Path, f), "", acl.Delete)
		}
	}
	for _, l := range req.Leaving {
		if l.Kind == kindSecret && l.End == providers.EndDeleted {
			everywhere()
		}
	}
	return n.list()
}
