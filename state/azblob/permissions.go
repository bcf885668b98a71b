package azblob

import (
	"fmt"
	"strings"
)

// Permissions implements [remote.Backend]: a role and how to give it, for az.
func (c *Config) Permissions(write bool) string {
	const blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
	name, actions := "Coffer plan "+c.Container, []string{blobs + "read"}
	if write {
		name = "Coffer apply " + c.Container
		actions = append(actions, blobs+"write", blobs+"add/action")
	}
	scope := fmt.Sprintf("/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/%s/blobServices/default/containers/%s",
		c.accountOr("ACCOUNT"), c.Container)
	var out strings.Builder
	if write {
		fmt.Fprintf(&out, "# \"coffer init\" removes the probes that it makes: whoever runs it needs %sdelete as well.\n", blobs)
	}
	fmt.Fprintf(&out, "az role definition create --role-definition '{\n  \"Name\": %q,\n  \"Description\": \"The state of coffer in the container %s\",\n  \"Actions\": [],\n  \"DataActions\": [\"%s\"],\n  \"AssignableScopes\": [\"/subscriptions/SUBSCRIPTION\"]\n}'\n",
		name, c.Container, strings.Join(actions, "\", \""))
	fmt.Fprintf(&out, "az role assignment create --role %q --assignee PRINCIPAL \\\n  --scope %s\n", name, scope)
	return out.String()
}

func (c *Config) accountOr(unknown string) string {
	if c.Account == "" {
		return unknown
	}
	return c.Account
}
