package gcs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/remote"
)

// environment returns an environment with these variables and no others.
func environment(more ...string) remote.Env {
	return remote.Env{
		Getenv: func(name string) string {
			for _, kv := range more {
				if value, ok := strings.CutPrefix(kv, name+"="); ok {
					return value
				}
			}
			return ""
		},
		Now:       time.Now,
		UserAgent: "coffer/1.2.3",
	}
}

func open(t testing.TB, c gcs.Config, env remote.Env) remote.Blobs {
	t.Helper()
	b, err := c.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "odd.json"), []byte(`{"type":"external_account","credential_source":{"file":"`+secretText+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other.json"), []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	good := func() gcs.Config { return gcs.Config{Bucket: "bucket", Key: "team/coffer"} }
	for _, c := range []struct {
		name   string
		change func(*gcs.Config)
		env    []string
		want   string // "" opens
	}{
		{"good", func(*gcs.Config) {}, nil, ""},
		{"no bucket", func(c *gcs.Config) { c.Bucket = "" }, nil, "bucket"},
		{"an address as bucket", func(c *gcs.Config) { c.Bucket = "gs://bucket" }, nil, "bucket"},
		{"no key", func(c *gcs.Config) { c.Key = "" }, nil, "key"},
		{"key that ends with a slash", func(c *gcs.Config) { c.Key = "team/" }, nil, "key"},
		{"key that climbs", func(c *gcs.Config) { c.Key = "../coffer" }, nil, "key"},
		{"key with a quote", func(c *gcs.Config) { c.Key = `team"` }, nil, "key"},
		{"key of another state's journal", func(c *gcs.Config) { c.Key = "team/coffer.journal" }, nil, "choose another"},
		{"account", func(c *gcs.Config) { c.ImpersonateServiceAccount = "deploy/../x@y" }, nil, "impersonate_service_account"},
		{"key of KMS", func(c *gcs.Config) { c.KMSKeyName = "coffer" }, nil, "kms_key_name"},
		{"file that is not there", func(c *gcs.Config) { c.CredentialsFile = "none.json" }, nil, "credentials_file"},
		{"file of something else", func(c *gcs.Config) { c.CredentialsFile = "other.json" }, nil, "credentials_file"},
		{"file without what it needs", func(*gcs.Config) {}, []string{"GOOGLE_APPLICATION_CREDENTIALS=" + filepath.Join(dir, "odd.json")}, "GOOGLE_APPLICATION_CREDENTIALS"},
		{"endpoint without a scheme", func(c *gcs.Config) { c.Endpoint = "gcs.example.com" }, nil, "endpoint"},
		{"endpoint with a password", func(c *gcs.Config) { c.Endpoint = "https://me:" + secretText + "@gcs.example.com" }, nil, "endpoint"},
		{"endpoint without TLS", func(c *gcs.Config) { c.Endpoint = "http://gcs.example.com" }, nil, "allow_http"},
		{"endpoint without TLS, allowed", func(c *gcs.Config) { c.Endpoint, c.AllowHTTP = "http://gcs:4443", true }, nil, ""},
		{"emulator elsewhere", func(*gcs.Config) {}, []string{"STORAGE_EMULATOR_HOST=gcs:4443"}, "allow_http"},
		{"emulator here", func(*gcs.Config) {}, []string{"STORAGE_EMULATOR_HOST=localhost:4443"}, ""},
	} {
		config, env := good(), environment(c.env...)
		env.Dir = dir
		c.change(&config)
		_, err := config.Open(t.Context(), env)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		refused, ok := errors.AsType[*remote.Error](err)
		if !ok || refused.Code != remote.Invalid || !refused.Unchanged || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secretText) {
			t.Errorf("%s: %v, want one about %s", c.name, err, c.want)
		}
	}
}

func TestPermissions(t *testing.T) {
	c := gcs.Config{Bucket: "bucket", Key: "team/coffer", KMSKeyName: "projects/p/locations/eu/keyRings/r/cryptoKeys/k"}
	const wantRead = `# The least for reading the state. With this in role.yaml:
#   gcloud iam roles create cofferStateRead --project PROJECT --file role.yaml
#   gcloud storage buckets add-iam-policy-binding gs://bucket --member MEMBER --role projects/PROJECT/roles/cofferStateRead \
#     --condition='title=cofferStateRead,expression=resource.name == "projects/_/buckets/bucket" || resource.name == "projects/_/buckets/bucket/objects/team/coffer" || resource.name.startsWith("projects/_/buckets/bucket/objects/team/coffer.")'
# With storage.buckets.get as well, ` + "`coffer state history`" + ` can tell a bucket that keeps no versions.
title: Coffer, reading the state
stage: GA
includedPermissions:
- storage.objects.get
- storage.objects.list   # else a missing object looks like one that may not be read
`
	if read := c.Permissions(false); read != wantRead {
		t.Errorf("%s", read)
	}
	write := c.Permissions(true)
	for _, want := range []string{"- storage.objects.create\n", "- storage.objects.delete #", "coffer init", "team/coffer.probe-", "authorize-cmek projects/p/"} {
		if !strings.Contains(write, want) {
			t.Errorf("%q is not in\n%s", want, write)
		}
	}
}
