package s3_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/s3"
)

// recorder keeps requests and answers them well.
type recorder struct {
	requests []*http.Request
	date     string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
	r.requests = append(r.requests, req)
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Etag": {`"1"`}, "Date": {r.date}}, Body: http.NoBody, Request: req,
	}, nil
}

func recorded(t *testing.T, c s3.Config, env remote.Env) []*http.Request {
	t.Helper()
	r := &recorder{}
	b, err := c.OpenOver(t.Context(), env, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range []string{"", `"0"`} {
		if _, err := b.Put(t.Context(), remote.LockBlob, []byte("x"), match); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), remote.LockBlob, `"0"`); err != nil {
		t.Fatal(err)
	}
	return r.requests
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name   string
		config s3.Config
		url    string
		region string
		header http.Header // of writes; nil values are headers that may not be there
	}{
		{
			"AWS",
			s3.Config{Bucket: "bucket", Key: "team/coffer", Region: "eu-west-1", KMSKeyID: "alias/coffer", ExpectedBucketOwner: "123456789012"},
			"https://bucket.s3.eu-west-1.amazonaws.com/team/coffer.lock", "eu-west-1",
			http.Header{
				"X-Amz-Server-Side-Encryption": {"aws:kms"}, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": {"alias/coffer"},
				"X-Amz-Checksum-Sha256": {"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="}, "X-Amz-Expected-Bucket-Owner": {"123456789012"}, "Content-Encoding": nil,
			},
		},
		{
			"compatible",
			s3.Config{Bucket: "bucket", Key: "coffer", Endpoint: "https://minio.example.com:9000"},
			"https://minio.example.com:9000/bucket/coffer.lock", "us-east-1",
			http.Header{
				"X-Amz-Checksum-Sha256": nil, "X-Amz-Checksum-Crc32": nil, "X-Amz-Sdk-Checksum-Algorithm": nil, "X-Amz-Trailer": nil,
				"Content-Encoding": nil, "X-Amz-Server-Side-Encryption": nil, "X-Amz-Expected-Bucket-Owner": nil,
			},
		},
		{
			"bucket as host",
			s3.Config{Bucket: "bucket", Key: "coffer", Region: "cn-hangzhou", Endpoint: "https://oss.example.com", VirtualHosted: true},
			"https://bucket.oss.example.com/coffer.lock", "cn-hangzhou", nil,
		},
	} {
		requests := recorded(t, c.config, surroundings(t))
		if len(requests) != 4 {
			t.Fatalf("%s: %d requests", c.name, len(requests))
		}
		for i, want := range []struct{ method, condition, value string }{
			{"PUT", "If-None-Match", "*"}, {"PUT", "If-Match", `"0"`}, {"GET", "", ""}, {"DELETE", "If-Match", `"0"`},
		} {
			r := requests[i]
			where := *r.URL
			where.RawQuery = ""
			if r.Method != want.method || where.String() != c.url {
				t.Errorf("%s: request %d is %s %s", c.name, i, r.Method, where.String())
			}
			signed(t, r, c.region, strings.ToLower(want.condition))
			if got := r.Header.Get(want.condition); got != want.value {
				t.Errorf("%s: %s has %s: %q, want %q", c.name, want.method, want.condition, got, want.value)
			}
			if !strings.Contains(r.UserAgent(), "coffer/1.2.3") {
				t.Errorf("%s: user agent %q", c.name, r.UserAgent())
			}
			for name, values := range c.header {
				if got := r.Header.Get(name); want.method == "PUT" && got != strings.Join(values, "") {
					t.Errorf("%s: %s has %s: %q, want %q", c.name, want.method, name, got, values)
				}
			}
		}
	}
}

// signed checks the form of a signature of version 4, and that the condition is
// part of what it signs.
func signed(t *testing.T, r *http.Request, region, condition string) {
	t.Helper()
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	parts := map[string]string{}
	for part := range strings.SplitSeq(text, ", ") {
		name, value, _ := strings.Cut(part, "=")
		parts[name] = value
	}
	date := r.Header.Get("X-Amz-Date")
	headers := strings.Split(parts["SignedHeaders"], ";")
	if !ok || len(date) != len("20261124T120000Z") || len(parts["Signature"]) != 64 ||
		parts["Credential"] != "AKIDEXAMPLE/"+date[:8]+"/"+region+"/s3/aws4_request" {
		t.Errorf("%s is signed with %v at %s", r.Method, parts["Credential"], date)
	}
	for _, name := range []string{"host", "x-amz-date", "x-amz-content-sha256", condition} {
		if name != "" && !strings.Contains(";"+strings.Join(headers, ";")+";", ";"+name+";") {
			t.Errorf("%s does not sign %s: %v", r.Method, name, headers)
		}
	}
}

func TestARoleIsTakenOn(t *testing.T) {
	var asked url.Values
	token := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.PostForm
		_, _ = io.WriteString(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
			<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>another</SecretAccessKey><SessionToken>session</SessionToken>
			<Expiration>`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	}))
	t.Cleanup(token.Close)
	role := s3.AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/coffer", ExternalID: "corner"}
	c := s3.Config{Bucket: "bucket", Key: "coffer", Region: "eu-west-1", AssumeRole: []s3.AssumeRole{role}}
	requests := recorded(t, c, surroundings(t, "AWS_ENDPOINT_URL_STS="+token.URL))
	if asked.Get("RoleArn") != role.RoleARN || asked.Get("ExternalId") != "corner" || asked.Get("RoleSessionName") != "coffer" {
		t.Errorf("asked for %v", asked)
	}
	for _, r := range requests {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=ASIAROLE/") || r.Header.Get("X-Amz-Security-Token") != "session" {
			t.Errorf("%s is not signed as the role", r.Method)
		}
	}
}

// A clock that is wrong costs one request: the next is signed by the store's.
func TestWrongClock(t *testing.T) {
	env := surroundings(t)
	ahead := time.Now().Add(3 * time.Hour).UTC()
	var dates []string
	b := open(t, server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dates = append(dates, r.Header.Get("X-Amz-Date"))
		w.Header().Set("Date", ahead.Format(http.TimeFormat))
		answer{403, nil, refusal("RequestTimeTooSkewed")}.ServeHTTP(w, r)
	})), env)
	for range 2 {
		_, _ = b.Get(t.Context(), remote.StateBlob)
	}
	second, err := time.Parse("20060102T150405Z", dates[1])
	if err != nil || ahead.Sub(second).Abs() > time.Minute {
		t.Errorf("signed at %v, want about %s", dates, ahead)
	}
}
