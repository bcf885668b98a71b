package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// awsConfig is auth "aws", the IAM kind: Vault learns from AWS who signed a
// request that only AWS can check.
type awsConfig struct {
	Phase string `hcl:"phase,optional"`
	Mount string `hcl:"mount,optional"`
	Role  string `hcl:"role,optional"` // the name of the AWS principal
	// HeaderValue is the server's iam_server_id_header_value.
	HeaderValue string `hcl:"header_value,optional"`
	// Region is that of the STS endpoint, where the server uses no global one.
	Region string `hcl:"region,optional"`

	// The SDK's usual chain where they are not written.
	AccessKey    providers.Credential `hcl:"access_key,optional" credential:"plain"`
	SecretKey    providers.Credential `hcl:"secret_key,optional"`
	SessionToken providers.Credential `hcl:"session_token,optional"`
}

func (a *awsConfig) when() string { return a.Phase }

func (a *awsConfig) method(d Deps) (Method, error) {
	mount, err := mountOr(a.Mount, "aws")
	if err != nil {
		return nil, err
	}
	if a.AccessKey.IsZero() != a.SecretKey.IsZero() {
		return nil, providers.Errorf(providers.Invalid, "access_key and secret_key go together")
	}
	if a.AccessKey.IsZero() && !a.SessionToken.IsZero() {
		return nil, providers.Errorf(providers.Invalid, "session_token goes with access_key and secret_key")
	}
	if a.Region != "" {
		if err := onePart("region", a.Region); err != nil {
			return nil, err
		}
	}
	if strings.ContainsAny(a.HeaderValue, "\r\n") {
		return nil, providers.Errorf(providers.Invalid, "header_value holds a line break")
	}
	return &awsMethod{args: *a, mount: mount, now: d.Now, getenv: d.Getenv}, nil
}

type awsMethod struct {
	args   awsConfig
	mount  string
	now    func() time.Time
	getenv func(string) string
}

func (m *awsMethod) Name() string { return named("aws", m.args.Role) }
func (m *awsMethod) Anew() Anew   { return Silently }

func (m *awsMethod) Next() string {
	return "look at the role's bound_iam_principal_arn and at the server's iam_server_id_header_value and sts_endpoint, compare the clock, and see with `aws sts get-caller-identity` who you are"
}

func (m *awsMethod) SignIn(ctx context.Context, c Caller) (Token, error) {
	keys, err := m.keys(ctx)
	if err != nil {
		return Token{}, err
	}
	body, err := m.signed(ctx, keys)
	if err != nil {
		return Token{}, providers.Errorf(providers.Invalid, "sign in with %s: %w", m.Name(), err)
	}
	if m.args.Role != "" {
		body["role"] = m.args.Role
	}
	return login(ctx, c, request{
		who: m.Name(), mount: m.mount, verb: http.MethodPost, path: "login", body: body, hint: m.Next(),
		sent: []secret.Value{secret.String(keys.SecretAccessKey), secret.String(keys.SessionToken)},
	})
}

// keys returns the keys of the block, or those that the SDK finds.
func (m *awsMethod) keys(ctx context.Context) (aws.Credentials, error) {
	if m.args.AccessKey.IsZero() {
		return m.found(ctx)
	}
	var keys aws.Credentials
	for _, k := range []struct {
		argument string
		from     providers.Credential
		to       *string
	}{
		{"access_key", m.args.AccessKey, &keys.AccessKeyID},
		{"secret_key", m.args.SecretKey, &keys.SecretAccessKey},
		{"session_token", m.args.SessionToken, &keys.SessionToken},
	} {
		if k.from.IsZero() {
			continue
		}
		v, err := credential(ctx, k.argument, k.from)
		if err != nil {
			return aws.Credentials{}, err
		}
		if *k.to, err = plain(v); err != nil {
			return aws.Credentials{}, err
		}
	}
	return keys, nil
}

// found searches where the AWS tools search: the environment, the shared files
// and their profile, a web identity, a container's and a machine's own role.
// The SDK reads all but the first by itself.
func (m *awsMethod) found(ctx context.Context) (aws.Credentials, error) {
	keys := aws.Credentials{
		AccessKeyID:     m.getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: m.getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    m.getenv("AWS_SESSION_TOKEN"),
	}
	if keys.HasKeys() {
		return keys, nil
	}
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{}), config.WithRegion(m.region())}
	if profile := m.getenv("AWS_PROFILE"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	sdk, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Credentials{}, m.noKeys(err)
	}
	if keys, err = sdk.Credentials.Retrieve(ctx); err != nil {
		return aws.Credentials{}, m.noKeys(err)
	}
	return keys, nil
}

func (m *awsMethod) noKeys(err error) error {
	return providers.Errorf(providers.Denied, "sign in with %s: no AWS credentials: %w", m.Name(), err).
		WithHint("set AWS_PROFILE, or write access_key and secret_key; `aws sts get-caller-identity` uses the same search")
}

// globalRegion is what the global endpoint's signatures carry.
const globalRegion = "us-east-1"

func (m *awsMethod) region() string {
	if m.args.Region == "" {
		return globalRegion
	}
	return m.args.Region
}

// endpoint is the global one unless the block names a region: the server sends
// the request to the one that its own configuration names, and the signature
// holds for one host only.
func (m *awsMethod) endpoint() string {
	switch {
	case m.args.Region == "":
		return "https://sts.amazonaws.com/"
	case strings.HasPrefix(m.args.Region, "cn-"):
		return "https://sts." + m.args.Region + ".amazonaws.com.cn/"
	}
	return "https://sts." + m.args.Region + ".amazonaws.com/"
}

const identityRequest = "Action=GetCallerIdentity&Version=2011-06-15"

// signed returns the request that Vault passes on to AWS. It is never sent from
// here, and it holds no key: only a signature that lasts minutes.
func (m *awsMethod) signed(ctx context.Context, keys aws.Credentials) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.endpoint(), strings.NewReader(identityRequest))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if m.args.HeaderValue != "" {
		req.Header.Set("X-Vault-AWS-IAM-Server-ID", m.args.HeaderValue)
	}
	sum := sha256.Sum256([]byte(identityRequest))
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), "sts", m.region(), m.now()); err != nil {
		return nil, err
	}
	// It is signed too, and net/http keeps it outside the header.
	req.Header.Set("Content-Length", strconv.Itoa(len(identityRequest)))
	headers, err := json.Marshal(req.Header)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"iam_http_request_method": req.Method,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(req.URL.String())),
		"iam_request_body":        base64.StdEncoding.EncodeToString([]byte(identityRequest)),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(headers),
	}, nil
}
