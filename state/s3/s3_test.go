package s3_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/s3"
	"github.com/cofferhq/coffer/state/statetest"
)

// surroundings gives the SDK an environment with keys and nothing else.
func surroundings(t testing.TB, more ...string) remote.Env {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // to have it back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	for _, kv := range append([]string{
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=aSecretKeyOfTests", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(dir, "credentials"),
	}, more...) {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	return remote.Env{Getenv: os.Getenv, Now: time.Now, UserAgent: "coffer/1.2.3"}
}

// compatible starts a server that enforces the conditions of writes.
func compatible(t testing.TB, versioning bool) s3.Config {
	t.Helper()
	backend := s3mem.New(s3mem.WithTimeSource(&steps{start: time.Now()}))
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	if versioning {
		var v gofakes3.VersioningConfiguration
		v.SetEnabled(true)
		if err := backend.SetVersioningConfiguration("bucket", v); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return s3.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: server.URL}
}

// steps is a clock on which every write has a time of its own.
type steps struct {
	start time.Time
	taken atomic.Int64
}

func (s *steps) Now() time.Time {
	return s.start.Add(time.Duration(s.taken.Add(1)) * time.Millisecond)
}

func (s *steps) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

func open(t testing.TB, c s3.Config, env remote.Env) remote.Blobs {
	t.Helper()
	b, err := c.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBlobs(t *testing.T) {
	env := surroundings(t)
	for _, versioning := range []bool{false, true} {
		statetest.Blobs(t, func(t *testing.T) func() remote.Blobs {
			c := compatible(t, versioning)
			return func() remote.Blobs { return open(t, c, env) }
		})
	}
}

func TestProveNoticesADeleteWithoutCondition(t *testing.T) {
	b := open(t, compatible(t, false), surroundings(t))
	checks, err := remote.Prove(t.Context(), b, "1a2b")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Held == (c.Name == "stale delete") {
			t.Errorf("%s: held %t: %s", c.Name, c.Held, c.Detail)
		}
	}
}

func TestHistory(t *testing.T) {
	env := surroundings(t)
	for _, versioning := range []bool{true, false} {
		b := open(t, compatible(t, versioning), env)
		historian := b.(remote.Historian)
		tags := map[string]string{}
		contents := []string{"one", "two, longer", "three"}
		for _, data := range contents {
			for _, name := range []string{remote.StateBlob, remote.JournalBlob, remote.LockBlob} {
				tag, err := b.Put(t.Context(), name, []byte(data), tags[name])
				if err != nil {
					t.Fatal(err)
				}
				tags[name] = tag
			}
		}
		versions, err := historian.History(t.Context(), remote.StateBlob)
		if err != nil {
			t.Fatal(err)
		}
		if !versioning {
			if len(versions) != 0 {
				t.Errorf("nothing is kept, and there are %v", versions)
			}
			continue
		}
		if len(versions) != len(contents) {
			t.Fatalf("%d versions, want %d: %v", len(versions), len(contents), versions)
		}
		for i, v := range versions {
			want := contents[len(contents)-1-i]
			data, err := historian.GetVersion(t.Context(), remote.StateBlob, v.ID)
			if err != nil || string(data) != want || v.Bytes != int64(len(want)) || v.Latest != (i == 0) || time.Since(v.Written) > time.Minute {
				t.Errorf("version %d: %q, %v, %+v, want %q", i, data, err, v, want)
			}
		}
		if _, err := historian.GetVersion(t.Context(), remote.StateBlob, "3/nothing"); err == nil {
			t.Error("a version that never was is there")
		}
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	good := func() s3.Config { return s3.Config{Bucket: "bucket", Key: "team/coffer", Region: "eu-west-1"} }
	for _, c := range []struct {
		name   string
		change func(*s3.Config)
		want   string // "" opens
	}{
		{"good", func(*s3.Config) {}, ""},
		{"no bucket", func(c *s3.Config) { c.Bucket = "" }, "bucket"},
		{"an address as bucket", func(c *s3.Config) { c.Bucket = "s3://bucket" }, "bucket"},
		{"no key", func(c *s3.Config) { c.Key = "" }, "key"},
		{"key that begins with a slash", func(c *s3.Config) { c.Key = "/coffer" }, "key"},
		{"key that climbs", func(c *s3.Config) { c.Key = "team/../coffer" }, "key"},
		{"key that a policy reads as a pattern", func(c *s3.Config) { c.Key = "team/*" }, "key"},
		{"key of another state's lock", func(c *s3.Config) { c.Key = "team/coffer.lock" }, "choose another"},
		{"key of another state's probe", func(c *s3.Config) { c.Key = "team/coffer.probe-1a2b" }, "choose another"},
		{"no region", func(c *s3.Config) { c.Region = "" }, "AWS_REGION"},
		{"region with a dot", func(c *s3.Config) { c.Region = "evil.example.com" }, "region"},
		{"owner", func(c *s3.Config) { c.ExpectedBucketOwner = "4711" }, "expected_bucket_owner"},
		{"key of KMS", func(c *s3.Config) { c.KMSKeyID = "alias/*" }, "kms_key_id"},
		{"profile that is not there", func(c *s3.Config) { c.Profile = "nobody" }, "profile"},
		{"two roles", func(c *s3.Config) { c.AssumeRole = []s3.AssumeRole{{RoleARN: "arn:a"}, {RoleARN: "arn:b"}} }, "assume_role"},
		{"no role", func(c *s3.Config) { c.AssumeRole = []s3.AssumeRole{{RoleARN: "admin"}} }, "role_arn"},
		{"endpoint without a scheme", func(c *s3.Config) { c.Endpoint = "minio.example.com" }, "endpoint"},
		{"endpoint with a password", func(c *s3.Config) { c.Endpoint = "https://me:hunter2@minio.example.com" }, "endpoint"},
		{"endpoint without TLS", func(c *s3.Config) { c.Endpoint = "http://minio.example.com" }, "allow_http"},
		{"endpoint without TLS, allowed", func(c *s3.Config) { c.Endpoint, c.AllowHTTP = "http://minio.example.com", true }, ""},
		{"endpoint without TLS on this machine", func(c *s3.Config) { c.Endpoint = "http://[::1]:9000" }, ""},
		{"endpoint without a region", func(c *s3.Config) { c.Endpoint, c.Region = "https://minio.example.com", "" }, ""},
		{"bucket as host of nothing", func(c *s3.Config) { c.VirtualHosted = true }, "virtual_hosted"},
	} {
		config := good()
		c.change(&config)
		_, err := config.Open(t.Context(), surroundings(t))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		refused, ok := errors.AsType[*remote.Error](err)
		if !ok || refused.Code != remote.Invalid || !refused.Unchanged || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want one about %s", c.name, err, c.want)
		}
	}
}

func TestEndpointOfTheEnvironmentIsCheckedToo(t *testing.T) {
	env := surroundings(t, "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_S3=http://minio.example.com")
	c := s3.Config{Bucket: "bucket", Key: "coffer"}
	if _, err := c.Open(t.Context(), env); err == nil || !strings.Contains(err.Error(), "allow_http") {
		t.Errorf("%v", err)
	}
}

func TestAssumeRoleBlockHasNoLabel(t *testing.T) {
	var block s3.AssumeRole
	if into, err := block.DecodeBlock(nil); err != nil || into != &block {
		t.Errorf("%v, %v", into, err)
	}
	if _, err := block.DecodeBlock([]string{"x"}); err == nil {
		t.Error("a label is taken")
	}
}

func TestPermissions(t *testing.T) {
	c := s3.Config{Bucket: "bucket", Key: "team/coffer", Region: "cn-north-1", KMSKeyID: "alias/coffer", ExpectedBucketOwner: "123456789012"}
	read, write := c.Permissions(false), c.Permissions(true)
	for _, action := range []string{"s3:PutObject", "s3:DeleteObject", "kms:GenerateDataKey", "probe"} {
		if strings.Contains(read, action) || !strings.Contains(write, action) {
			t.Errorf("%s: not the difference between reading and writing:\n%s\n%s", action, read, write)
		}
	}
	const want = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "CofferTellMissing",
      "Effect": "Allow",
      "Action": [
        "s3:ListBucket"
      ],
      "Resource": [
        "arn:aws-cn:s3:::bucket"
      ]
    },
    {
      "Sid": "CofferHistory",
      "Effect": "Allow",
      "Action": [
        "s3:ListBucketVersions"
      ],
      "Resource": [
        "arn:aws-cn:s3:::bucket"
      ],
      "Condition": {
        "StringEquals": {
          "s3:prefix": "team/coffer"
        }
      }
    },
    {
      "Sid": "CofferRead",
      "Effect": "Allow",
      "Action": [
        "s3:GetObject",
        "s3:GetObjectVersion"
      ],
      "Resource": [
        "arn:aws-cn:s3:::bucket/team/coffer",
        "arn:aws-cn:s3:::bucket/team/coffer.journal",
        "arn:aws-cn:s3:::bucket/team/coffer.lock"
      ]
    },
    {
      "Sid": "CofferKey",
      "Effect": "Allow",
      "Action": [
        "kms:Decrypt"
      ],
      "Resource": [
        "arn:aws-cn:kms:cn-north-1:123456789012:key/*"
      ],
      "Condition": {
        "ForAnyValue:StringEquals": {
          "kms:ResourceAliases": "alias/coffer"
        }
      }
    }
  ]
}
`
	if read != want {
		t.Errorf("%s", read)
	}
	if !strings.Contains(write, "arn:aws-cn:s3:::bucket/team/coffer.probe-*") {
		t.Errorf("no probes:\n%s", write)
	}
	if !json.Valid([]byte(read)) || !json.Valid([]byte(write)) {
		t.Errorf("not one document of JSON each:\n%s\n%s", read, write)
	}
}

func TestStore(t *testing.T) {
	env := surroundings(t)
	statetest.Run(t, func(t *testing.T) func() state.Store {
		c := compatible(t, true)
		return func() state.Store {
			return remote.New(open(t, c, env), remote.Options{Project: statetest.Project, Now: time.Now, Random: rand.Reader})
		}
	})
}
