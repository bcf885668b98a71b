package render_test

import (
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// objectDrift is what drift finds of texts: a line in the middle of a long one,
// one setting, two policies with the same change, and what was not looked at.
func objectDrift() *planner.DriftReport {
	found := func(a addr.Address, kind, path, before, after string) planner.Drift {
		return planner.Drift{
			Address: a, Location: planner.Location{Provider: "vault", Kind: kind, Path: path}, Kind: planner.DriftDocument,
			Detail: "the text was changed", VersionRecorded: "a1b2c3d4e5f60718", VersionLive: "b2c3d4e5f6071829", Before: before, After: after,
		}
	}
	var long strings.Builder
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		long.WriteString("path \"secret/data/shop/" + name + "\" {\n  capabilities = [\"read\"]\n}\n")
	}
	runtime := addr.Address{App: "shop", Kind: addr.KindPolicy, Name: "runtime", Environment: "production"}
	wider := strings.Replace(long.String(), `shop/d" {`+"\n"+`  capabilities = ["read"]`, `shop/d" {`+"\n"+`  capabilities = ["read", "update"]`, 1)
	rule := "path \"sys/health\" {\n  capabilities = [\"read\"]\n}\n"
	sudo := strings.Replace(rule, `"read"`, `"read", "sudo"`, 1)
	r := emptyDrift()
	r.Drift = []planner.Drift{
		found(addr.Beside("mount", "kv", "shop"), "mount", "kv:shop", "type = \"kv\"\nmax_versions = 20\nversion = \"2\"\n", "type = \"kv\"\nmax_versions = 1\nversion = \"2\"\n"),
		found(addr.Beside("policy_document", "", "audit"), "policy", "audit", rule, sudo),
		found(addr.Beside("policy_document", "", "ops"), "policy", "ops", rule, sudo),
		found(addr.Beside("role", "approle", "web"), "role", "approle:approle/web", "type = \"approle\"\ntoken_ttl = \"20m\"\n", "type = \"approle\"\ntoken_ttl = \"768h\"\n"),
		found(runtime, "policy", "secret--shop-production-runtime", long.String(), wider),
	}
	r.Notes = []planner.Note{{
		Address: addr.Address{Provider: "vault"}, Reason: planner.ReasonNotChecked,
		Text: "who else can read there was looked for without the policies of namespace team and the root namespace, which the identity in use may not see",
	}}
	return r
}
