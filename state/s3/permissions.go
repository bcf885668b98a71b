package s3

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

	"github.com/cofferhq/coffer/state/remote"
)

// policy is an IAM policy.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// Permissions implements [remote.Backend]: one IAM policy. JSON has no room for
// reasons, so they are in the names of its statements.
func (c *Config) Permissions(write bool) string {
	bucket := "arn:" + c.partition() + ":s3:::" + c.Bucket
	object := func(name string) string { return bucket + "/" + c.key(name) }
	state := []string{object(remote.StateBlob), object(remote.JournalBlob), object(remote.LockBlob)}
	probes := []string{object(remote.ProbePrefix + "*")}
	list := []statement{
		// Without it, a missing object looks like one that may not be read. A
		// condition on the prefix would take that away again.
		allow("CofferTellMissing", []string{"s3:ListBucket"}, bucket),
		{
			Sid: "CofferHistory", Effect: "Allow", Action: []string{"s3:ListBucketVersions"}, Resource: []string{bucket},
			Condition: map[string]map[string]string{"StringEquals": {"s3:prefix": c.Key}},
		},
		allow("CofferRead", []string{"s3:GetObject", "s3:GetObjectVersion"}, state...),
	}
	if write {
		list = append(list,
			allow("CofferWrite", []string{"s3:PutObject"}, state...),
			allow("CofferInitProbes", []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, probes...))
	}
	return render(append(list, c.keyRights(write)...))
}

func allow(sid string, actions []string, resources ...string) statement {
	return statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

func render(list []statement) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(policy{Version: "2012-10-17", Statement: list}) // plain strings
	return b.String()
}

// keyRights are those on the key of KMS, by whatever name the block gives it.
func (c *Config) keyRights(write bool) []statement {
	if c.KMSKeyID == "" {
		return nil
	}
	s := allow("CofferKey", []string{"kms:Decrypt"}, c.KMSKeyID)
	if write {
		s.Action = append(s.Action, "kms:GenerateDataKey")
	}
	if strings.HasPrefix(c.KMSKeyID, "arn:") && !strings.Contains(c.KMSKeyID, ":alias/") {
		return []statement{s}
	}
	keys := "arn:" + c.partition() + ":kms:" + cmp.Or(c.Region, "*") + ":" + cmp.Or(c.ExpectedBucketOwner, "*") + ":key/"
	at := strings.LastIndex(c.KMSKeyID, "alias/")
	if at < 0 {
		s.Resource = []string{keys + c.KMSKeyID}
		return []statement{s}
	}
	s.Resource = []string{keys + "*"}
	s.Condition = map[string]map[string]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": c.KMSKeyID[at:]}}
	return []statement{s}
}

// partition is the part of AWS that the region is in.
func (c *Config) partition() string {
	switch {
	case strings.HasPrefix(c.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(c.Region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
