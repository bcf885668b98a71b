// Package s3 keeps the blobs of a state in a bucket of Amazon S3, or of a store
// that speaks its protocol and enforces conditional writes.
//
// Requests go through AWS's own SDK, which signs, finds credentials and knows
// the endpoints; its retries, its redirects and its log are switched off. What a
// write may replace is told by the ETag: If-Match, and If-None-Match: * for what
// must not exist.
//
// Read [Config] first, then blobs. The package knows nothing of a state: see
// package remote for what it must promise.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/cofferhq/coffer/state/remote"
)

// Config is the body of a backend "s3" block.
type Config struct {
	Bucket string `hcl:"bucket"`
	// Key names the state's object; its journal, lock and probes lie beside it.
	Key    string `hcl:"key"`
	Region string `hcl:"region,optional"`
	// Profile is one of the shared AWS files.
	Profile    string       `hcl:"profile,optional"`
	AssumeRole []AssumeRole `hcl:"assume_role,block"`
	KMSKeyID   string       `hcl:"kms_key_id,optional"`
	// ExpectedBucketOwner is the account that the bucket must belong to.
	ExpectedBucketOwner string `hcl:"expected_bucket_owner,optional"`

	// Endpoint is the address of a compatible store.
	Endpoint string `hcl:"endpoint,optional"`
	// VirtualHosted: the endpoint wants the bucket as a part of the host's name,
	// not of the path.
	VirtualHosted bool `hcl:"virtual_hosted,optional"`
	// AllowHTTP permits an endpoint without TLS that is not on this machine.
	AllowHTTP bool `hcl:"allow_http,optional"`
}

// AssumeRole is the role that is taken on for every request.
type AssumeRole struct {
	RoleARN     string `hcl:"role_arn"`
	ExternalID  string `hcl:"external_id,optional"`
	SessionName string `hcl:"session_name,optional"`
}

// DecodeBlock takes an assume_role block, which has no label.
func (a *AssumeRole) DecodeBlock(labels []string) (any, error) {
	if len(labels) > 0 {
		return nil, errors.New("it takes no label")
	}
	return a, nil
}

var _ remote.Backend = (*Config)(nil)

// Open implements [remote.Backend]. It makes no request.
func (c *Config) Open(ctx context.Context, env remote.Env) (remote.Blobs, error) {
	return c.open(ctx, env, func(t http.RoundTripper) http.RoundTripper { return t })
}

// open is Open with something between the SDK and the network.
func (c *Config) open(ctx context.Context, env remote.Env, between func(http.RoundTripper) http.RoundTripper) (*blobs, error) {
	b := &blobs{config: *c, now: env.Now}
	if err := c.check(); err != nil {
		return nil, b.invalid(err, "")
	}
	sdk, err := c.load(ctx)
	if err != nil {
		return nil, b.invalid(errors.New("the AWS configuration of this machine cannot be used"),
			"see that the shared config file is well-formed and has the profile, and that AWS_* variables hold what they should: `aws configure list`")
	}
	c.assumeRole(&sdk)
	b.credentials = sdk.Credentials
	client := httpClient(sdk.HTTPClient, between)
	b.client = s3.NewFromConfig(sdk, func(o *s3.Options) {
		o.HTTPClient = client
		o.Retryer = aws.NopRetryer{}
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
		}
		o.UsePathStyle = o.BaseEndpoint != nil && !c.VirtualHosted
		b.endpoint = aws.ToString(o.BaseEndpoint)
		if b.endpoint != "" {
			o.Region = cmp.Or(o.Region, "us-east-1")
		}
		b.region = o.Region
		// Compatible stores refuse the checksums that the SDK adds by itself.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		if name, version, ok := strings.Cut(env.UserAgent, "/"); ok {
			o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKeyValue(name, version))
		}
	})
	if err := b.reachable(); err != nil {
		return nil, err
	}
	return b, nil
}

// reachable checks where requests would go: the endpoint may also come from
// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or a profile.
func (b *blobs) reachable() error {
	if b.endpoint == "" {
		if b.region == "" {
			return b.invalid(errors.New("the region of the bucket is not known"), "write region, or set AWS_REGION")
		}
		return nil
	}
	u, err := url.Parse(b.endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return b.invalid(errors.New("endpoint is no address"), "write it like https://minio.example.com:9000")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return b.invalid(errors.New("endpoint holds more than an address"), "write it like https://minio.example.com:9000")
	case u.Scheme == "http" && !b.config.AllowHTTP && !loopback(u.Hostname()):
		return b.invalid(fmt.Errorf("the endpoint %s has no TLS", u.Host), "write https://, or allow_http = true if everybody on the way may read and change the state")
	}
	b.at = " at " + u.Host
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (b *blobs) invalid(err error, hint string) error {
	return &remote.Error{Code: remote.Invalid, Place: b.String(), Op: "open", Unchanged: true, Err: err, Hint: hint}
}

// load is the SDK's own chain of configuration and credentials.
func (c *Config) load(ctx context.Context) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	if c.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.Profile))
	}
	return config.LoadDefaultConfig(ctx, options...)
}

func (c *Config) assumeRole(sdk *aws.Config) {
	for _, role := range c.AssumeRole {
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(*sdk), role.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = cmp.Or(role.SessionName, "coffer")
			if role.ExternalID != "" {
				o.ExternalID = &role.ExternalID
			}
		})
		sdk.Credentials = aws.NewCredentialsCache(provider)
	}
}

// check looks at the arguments alone.
func (c *Config) check() error {
	switch {
	case len(c.Bucket) < 3 || strings.Trim(c.Bucket, letters+digits+".-_") != "":
		return errors.New("bucket is no name of a bucket: letters, digits, dots and hyphens")
	case !goodKey(c.Key):
		return errors.New(`key is no name for an object: letters, digits and / - _ . = @, such as "team/coffer"`)
	case remote.OwnName(c.Key):
		return errors.New("key ends like what coffer keeps beside a state (.lock, .journal, .probe-…): choose another")
	case strings.Trim(c.Region, letters+digits+"-") != "":
		return errors.New("region is no name of a region")
	case c.ExpectedBucketOwner != "" && (len(c.ExpectedBucketOwner) != 12 || strings.Trim(c.ExpectedBucketOwner, digits) != ""):
		return errors.New("expected_bucket_owner is no number of an account: it has 12 digits")
	case strings.Trim(c.KMSKeyID, letters+digits+":/-_") != "":
		return errors.New("kms_key_id is no ARN, id or alias of a key")
	case len(c.AssumeRole) > 1:
		return errors.New("there is more than one assume_role block")
	case c.VirtualHosted && c.Endpoint == "":
		return errors.New("virtual_hosted goes with endpoint")
	}
	if len(c.AssumeRole) == 1 && !strings.HasPrefix(c.AssumeRole[0].RoleARN, "arn:") {
		return errors.New("role_arn of assume_role is no ARN of a role")
	}
	return nil
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// goodKey refuses what a policy, an address or a path would read as something
// else.
func goodKey(key string) bool {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return len(key) <= 900 && strings.Trim(key, letters+digits+"/-_.=@") == ""
}

// httpClient returns the SDK's connections (with its proxies and AWS_CA_BUNDLE)
// without what follows a redirect, and with an end to what is read.
func httpClient(sdk aws.HTTPClient, between func(http.RoundTripper) http.RoundTripper) *http.Client {
	builder, ok := sdk.(*awshttp.BuildableClient)
	if !ok {
		builder = awshttp.NewBuildableClient()
	}
	transport := builder.GetTransport()
	transport.ResponseHeaderTimeout = time.Minute
	transport.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Transport:     bounded{between(transport)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
