package vault

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
)

// Kinds of objects. The path of a policy is its name, that of a binding is
// "HOLDER POLICY", that of a role "TYPE:MOUNT/NAME" and that of a mount
// "TYPE:PATH".
const (
	KindPolicy  = "policy"
	KindBinding = "binding"
	KindRole    = "role"
	KindMount   = "mount"
)

// Types of roles and mounts, and kinds of identities.
const (
	typeAppRole    = "approle"
	typeKubernetes = "kubernetes"
	typeJWT        = "jwt"
	typeKV         = "kv"
	typeEntity     = "entity"
	typeGroup      = "group"
	typeUser       = "userpass" // only found, never declared
)

// holder is what policies can be attached to: a role of an auth method, an
// entity or a group.
type holder struct {
	typ   string
	mount string // of the auth method; "" for an entity or a group
	name  string
}

// String is how the path of an object names it: "approle:approle/checkout",
// "entity:web".
func (h holder) String() string {
	if h.mount == "" {
		return h.typ + ":" + h.name
	}
	return h.typ + ":" + h.mount + "/" + h.name
}

// label names it for people.
func (h holder) label() string {
	text := h.typ + " " + h.name
	if h.mount != "" && h.mount != h.typ {
		text += " of auth/" + h.mount
	}
	return text
}

// isRole reports whether it is a role of an auth method.
func (h holder) isRole() bool { return h.mount != "" }

// api is its path in the API.
func (h holder) api() string {
	switch {
	case h.typ == typeUser:
		return "auth/" + h.mount + "/users/" + h.name
	case h.isRole():
		return "auth/" + h.mount + "/role/" + h.name
	}
	return "identity/" + h.typ + "/name/" + h.name
}

// argument is where its policies stand.
func (h holder) argument() string {
	if h.isRole() {
		return "token_policies"
	}
	return "policies"
}

// ref is the role as an object.
func (h holder) ref() providers.ObjectRef {
	return providers.ObjectRef{Kind: KindRole, Path: h.String()}
}

// binding is a policy attached to it as an object.
func (h holder) binding(policy string) providers.ObjectRef {
	return providers.ObjectRef{Kind: KindBinding, Path: h.String() + " " + policy}
}

func (h holder) check() error {
	if h.isRole() {
		if err := checkPath(h.mount); err != nil {
			return fmt.Errorf("the auth mount: %w", err)
		}
		if strings.Contains(h.name, "/") {
			return providers.Errorf(providers.Invalid, "the role %q has a / in its name", h.name)
		}
	}
	if err := checkPath(h.name); err != nil {
		return fmt.Errorf("the name of the %s: %w", h.typ, err)
	}
	return nil
}

// parseHolder is the inverse of [holder.String]. The servers make small letters
// of the names of roles and find entities and groups by either, so that two
// spellings are one holder.
func parseHolder(text string) (holder, error) {
	h := holder{}
	typ, rest, ok := strings.Cut(text, ":")
	h.typ, h.name = typ, rest
	switch typ {
	case typeEntity, typeGroup:
	case typeAppRole, typeKubernetes, typeJWT:
		i := strings.LastIndex(rest, "/")
		ok = ok && i > 0
		if ok {
			h.mount, h.name = rest[:i], rest[i+1:]
		}
	default:
		ok = false
	}
	if !ok {
		return h, providers.Errorf(providers.Invalid, "%q is no holder of policies", text)
	}
	h.name = strings.ToLower(h.name)
	return h, h.check()
}

// parseBinding splits the path of a binding.
func parseBinding(path string) (h holder, policy string, err error) {
	i := strings.LastIndex(path, " ")
	if i < 0 {
		return h, "", providers.Errorf(providers.Invalid, "%q is no binding: want HOLDER POLICY", path)
	}
	if h, err = parseHolder(path[:i]); err == nil {
		err = checkPolicyName(path[i+1:])
	}
	return h, path[i+1:], err
}

// parseMountRef splits the path of a mount: "kv:secret".
func parseMountRef(path string) (typ, at string, err error) {
	typ, at, ok := strings.Cut(path, ":")
	if !ok || typ != typeKV {
		return "", "", providers.Errorf(providers.Invalid, "%q is no mount: want kv:PATH", path)
	}
	return typ, at, checkPath(at)
}

// checkPolicyName says why a policy cannot be called so. The servers make small
// letters of large ones, which would then be another name.
func checkPolicyName(name string) error {
	if err := checkPath(name); err != nil {
		return fmt.Errorf("the name of the policy: %w", err)
	}
	if name != strings.ToLower(name) || strings.ContainsAny(name, " /,*+") {
		return providers.Errorf(providers.Invalid, "the policy name %q has large letters, blanks or one of /,*+ in it", name)
	}
	if name == "root" {
		return providers.Errorf(providers.Invalid, "the policy root cannot be changed")
	}
	return nil
}

// policyName names the ACL policy of a policy block in one environment:
// MOUNT--PREFIX--APP-ENVIRONMENT-NAME. Each part of the mount and the prefix
// stands for itself, so that two mounts or prefixes of one server do not write
// each other's; two blocks below one prefix that share a name are refused.
func (d *Driver) policyName(address string) (string, error) {
	a, err := addr.Parse(address)
	if err != nil {
		return "", err
	}
	var parts []string
	for part := range strings.SplitSeq(d.config.Mount+"/"+d.config.Prefix, "/") {
		if part == "" {
			continue
		}
		word := policyWord(part)
		if word != part { // another part may become the same
			sum := sha256.Sum256([]byte(part))
			word += "-" + hex.EncodeToString(sum[:3])
		}
		parts = append(parts, word)
	}
	var words []string
	for _, word := range []string{a.App, a.AppKey, a.Environment, a.Key, a.Name} {
		if word != "" {
			words = append(words, word)
		}
	}
	if a.Kind != addr.KindPolicy { // an external_secret may have the name of a policy
		words = append(words, strings.ReplaceAll(a.Kind, "_", "-"))
	}
	name := strings.Join(append(parts, policyWord(strings.Join(words, "-"))), "--")
	return name, checkPolicyName(name)
}

// policyWord is text as a part of a policy's name, without "--", which stands
// between the parts.
func policyWord(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune("-/ ,*+", r) })
	return strings.Join(words, "-")
}

// versionOf is the version of an object: its text decides, which is public.
func versionOf(kind, document string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + document))
	return hex.EncodeToString(sum[:8])
}

// suggest names the known word that is nearest, in the form " (did you mean
// x?)", or nothing where none is near.
func suggest(word string, known []string) string {
	best, distance := "", 4
	for _, k := range known {
		if d := levenshtein.Distance(word, k, nil); d < distance && d < len(word) {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// compareRefs orders references by kind and path.
func compareRefs(a, b providers.ObjectRef) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Path, b.Path))
}

// sortedPolicies returns policy names as the servers compare them, once each.
func sortedPolicies(names []string) []string {
	var out []string
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSpace(n)); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
