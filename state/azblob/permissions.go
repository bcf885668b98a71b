package azblob

import (
	"fmt"
	"net/url"
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
	account, put := c.accountFor(), "SUBSCRIPTION, GROUP (that of the storage account)"
	if account == "" {
		account, put = "ACCOUNT", put+", ACCOUNT (the storage account that answers at "+c.Endpoint+")"
	}
	scope := fmt.Sprintf("/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/%s/blobServices/default/containers/%s",
		account, c.Container)
	var out strings.Builder
	fmt.Fprintf(&out, "# Put in: %s and PRINCIPAL (who signs in: az ad sp list).\n", put)
	if write {
		fmt.Fprintf(&out, "# \"coffer init\" removes the probes that it makes: whoever runs it needs %sdelete as well.\n", blobs)
	}
	fmt.Fprintf(&out, "az role definition create --role-definition '{\n  \"Name\": %q,\n  \"Description\": \"The state of coffer in the container %s\",\n  \"Actions\": [],\n  \"DataActions\": [\"%s\"],\n  \"AssignableScopes\": [\"/subscriptions/SUBSCRIPTION\"]\n}'\n",
		name, c.Container, strings.Join(actions, "\", \""))
	fmt.Fprintf(&out, "az role assignment create --role %q --assignee PRINCIPAL \\\n  --scope %s\n", name, scope)
	return out.String()
}

// accountFor returns the storage account, "" where the block does not say.
func (c *Config) accountFor() string {
	if c.Account != "" {
		return c.Account
	}
	if u, err := url.Parse(c.Endpoint); err == nil {
		if account, rest, _ := strings.Cut(u.Hostname(), "."); strings.HasPrefix(rest, "blob.") {
			return account
		}
	}
	return ""
}
