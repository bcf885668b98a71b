package gcs

import (
	"fmt"
	"strings"
)

// Permissions implements [remote.Backend]: a role in the form that gcloud takes,
// below the commands that make it and bind it to the state's objects.
func (c *Config) Permissions(write bool) string {
	role, what := "cofferStateRead", "reading"
	rights := []string{
		"storage.objects.get",
		"storage.objects.list   # else a missing object looks like one that may not be read",
	}
	if write {
		role, what = "cofferStateWrite", "changing"
		rights = append(rights,
			"storage.objects.create",
			"storage.objects.delete # to replace an object is to delete what was there")
	}
	bucket := "projects/_/buckets/" + c.Bucket
	object := bucket + "/objects/" + c.Key // behind it, with a dot: journal, lock, probes
	var b strings.Builder
	fmt.Fprintf(&b, "# The least for %s the state. With this in role.yaml:\n", what)
	fmt.Fprintf(&b, "#   gcloud iam roles create %s --project PROJECT --file role.yaml\n", role)
	fmt.Fprintf(&b, "#   gcloud storage buckets add-iam-policy-binding gs://%s --member MEMBER --role projects/PROJECT/roles/%s \\\n", c.Bucket, role)
	fmt.Fprintf(&b, "#     --condition='title=%s,expression=resource.name == \"%s\" || resource.name == \"%s\" || resource.name.startsWith(\"%s.\")'\n", role, bucket, object, object)
	b.WriteString("# With storage.buckets.get as well, `coffer state history` can tell a bucket that keeps no versions.\n")
	if write {
		fmt.Fprintf(&b, "# `coffer init` needs no more: its probes are objects %s.probe-…, which it removes.\n", c.Key)
		if c.KMSKeyName != "" {
			fmt.Fprintf(&b, "# The key is used by Google's own account for the bucket's project, which needs a right of its own:\n"+
				"#   gcloud storage service-agent --project PROJECT --authorize-cmek %s\n", c.KMSKeyName)
		}
	}
	fmt.Fprintf(&b, "title: Coffer, %s the state\nstage: GA\nincludedPermissions:\n", what)
	for _, r := range rights {
		b.WriteString("- " + r + "\n")
	}
	return b.String()
}
