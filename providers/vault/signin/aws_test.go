package signin

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// vaultAWS plays the login endpoint of Vault's AWS method as its documentation
// has it, and AWS behind it: it knows the secret keys and signs the request
// again by the rules of Signature Version 4, without the SDK.
type vaultAWS struct {
	keys     map[string]string // secret key by access key
	session  string
	serverID string
	host     string
	now      time.Time
}

func (v *vaultAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(format string, args ...any) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{fmt.Sprintf(format, args...)}})
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/auth/aws/login" || r.Header.Get("X-Vault-Token") != "" {
		refuse("not a login: %s %s", r.Method, r.URL.Path)
		return
	}
	var login map[string]string
	if err := json.NewDecoder(r.Body).Decode(&login); err != nil {
		refuse("%v", err)
		return
	}
	for name := range login {
		if !slices.Contains([]string{"role", "iam_http_request_method", "iam_request_url", "iam_request_body", "iam_request_headers"}, name) {
			refuse("field %q", name)
			return
		}
	}
	account, err := v.identify(login)
	if err != nil {
		refuse("%v", err)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{
		"client_token": "token-of-" + account + "-" + login["role"], "lease_duration": 3600, "renewable": true, "token_type": "service",
	}})
}

// identify checks the request that is to be passed on, and its signature.
func (v *vaultAWS) identify(login map[string]string) (string, error) {
	var decoded [3][]byte
	for i, name := range []string{"iam_request_url", "iam_request_body", "iam_request_headers"} {
		var err error
		if decoded[i], err = base64.StdEncoding.DecodeString(login[name]); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	target, err := url.Parse(string(decoded[0]))
	if err != nil {
		return "", err
	}
	if login["iam_http_request_method"] != "POST" || target.Scheme != "https" || target.Host != v.host || target.Path != "/" || target.RawQuery != "" {
		return "", fmt.Errorf("request %s %s", login["iam_http_request_method"], target)
	}
	if string(decoded[1]) != "Action=GetCallerIdentity&Version=2011-06-15" {
		return "", fmt.Errorf("body %q", decoded[1])
	}
	var headers http.Header
	if err := json.Unmarshal(decoded[2], &headers); err != nil {
		return "", err
	}
	authorization := strings.TrimPrefix(headers.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	parts := map[string]string{}
	for part := range strings.SplitSeq(authorization, ", ") {
		name, value, _ := strings.Cut(part, "=")
		parts[name] = value
	}
	signed := strings.Split(parts["SignedHeaders"], ";")
	if v.serverID != "" && (headers.Get("X-Vault-AWS-IAM-Server-ID") != v.serverID || !slices.Contains(signed, "x-vault-aws-iam-server-id")) {
		return "", fmt.Errorf("missing or unsigned header X-Vault-AWS-IAM-Server-ID")
	}
	if headers.Get("X-Amz-Security-Token") != v.session || v.session != "" && !slices.Contains(signed, "x-amz-security-token") {
		return "", fmt.Errorf("missing or unsigned session token")
	}
	if !slices.Contains(signed, "host") || !slices.IsSorted(signed) {
		return "", fmt.Errorf("signed headers %v", signed)
	}
	made, err := time.Parse("20060102T150405Z", headers.Get("X-Amz-Date"))
	if err != nil || v.now.Sub(made).Abs() > 15*time.Minute {
		return "", fmt.Errorf("signature expired: made at %v", made)
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 {
		return "", fmt.Errorf("credential %q", parts["Credential"])
	}
	headers.Set("Host", target.Host)
	if want := signature(v.keys[scope[0]], scope, headers, signed, decoded[1]); v.keys[scope[0]] == "" || parts["Signature"] != want {
		return "", fmt.Errorf("SignatureDoesNotMatch")
	}
	return scope[0], nil
}

// signature is that of POST / by AWS's documentation.
func signature(key string, scope []string, headers http.Header, signed []string, body []byte) string {
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	var canonical bytes.Buffer
	fmt.Fprint(&canonical, "POST\n/\n\n")
	for _, name := range signed {
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.Join(headers.Values(name), ","))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(signed, ";"), sum(body))
	text := "AWS4-HMAC-SHA256\n" + headers.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + sum(canonical.Bytes())
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	k := []byte("AWS4" + key)
	for _, part := range scope[1:] {
		k = mac(k, part)
	}
	return hex.EncodeToString(mac(k, text))
}

func TestAWS(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	const key = "canary/wJalrXUtnFEMI+K7MDENG"
	own := awsConfig{AccessKey: literal("AKIAEXAMPLE"), SecretKey: from(key + "\n")}
	with := func(change func(a *awsConfig)) awsConfig { a := own; change(&a); return a }
	for name, test := range map[string]struct {
		args   awsConfig
		getenv func(string) string
		set    func(v *vaultAWS)
		want   string
		err    string
	}{
		"keys of the block":      {args: own, want: "token-of-AKIAEXAMPLE-"},
		"role":                   {args: with(func(a *awsConfig) { a.Role = "ci" }), want: "token-of-AKIAEXAMPLE-ci"},
		"keys of the variables":  {getenv: env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY", key, "AWS_SESSION_TOKEN", "canary-session"), set: func(v *vaultAWS) { v.session = "canary-session" }, want: "token-of-AKIAEXAMPLE-"},
		"keys of a profile":      {getenv: env("AWS_PROFILE", "shop"), want: "token-of-AKIAEXAMPLE-"},
		"session":                {args: with(func(a *awsConfig) { a.SessionToken = from("canary-session") }), set: func(v *vaultAWS) { v.session = "canary-session" }, want: "token-of-AKIAEXAMPLE-"},
		"server id":              {args: with(func(a *awsConfig) { a.HeaderValue = "vault.example.com" }), set: func(v *vaultAWS) { v.serverID = "vault.example.com" }, want: "token-of-AKIAEXAMPLE-"},
		"region":                 {args: with(func(a *awsConfig) { a.Region = "eu-west-1" }), set: func(v *vaultAWS) { v.host = "sts.eu-west-1.amazonaws.com" }, want: "token-of-AKIAEXAMPLE-"},
		"China":                  {args: with(func(a *awsConfig) { a.Region = "cn-north-1" }), set: func(v *vaultAWS) { v.host = "sts.cn-north-1.amazonaws.com.cn" }, want: "token-of-AKIAEXAMPLE-"},
		"wrong key":              {args: with(func(a *awsConfig) { a.SecretKey = from("canary-wrong") }), err: "SignatureDoesNotMatch; look at the role's bound_iam_principal_arn"},
		"server id not given":    {args: own, set: func(v *vaultAWS) { v.serverID = "vault.example.com" }, err: "unsigned header"},
		"clock an hour ahead":    {args: own, set: func(v *vaultAWS) { v.now = now.Add(-time.Hour) }, err: "signature expired"},
		"clock an hour behind":   {args: own, set: func(v *vaultAWS) { v.now = now.Add(time.Hour) }, err: "signature expired"},
		"no such profile":        {getenv: env("AWS_PROFILE", "nobody"), err: "no AWS credentials"},
		"the variable is absent": {args: with(func(a *awsConfig) { a.SecretKey = nowhere() }), err: "NOWHERE is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "credentials"), []byte("[shop]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = "+key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"), "AWS_CONFIG_FILE": filepath.Join(dir, "config"),
				"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "",
			} {
				t.Setenv(name, value)
			}
			played := &vaultAWS{keys: map[string]string{"AKIAEXAMPLE": key}, host: "sts.amazonaws.com", now: now}
			if test.set != nil {
				test.set(played)
			}
			server := httptest.NewServer(played)
			defer server.Close()
			if test.getenv == nil {
				test.getenv = env()
			}
			m, err := Choose([]Block{{"aws", &test.args}}, providers.PhaseApply, Deps{Getenv: test.getenv, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			token, err := m.SignIn(t.Context(), caller{server.URL, ""})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%v", err)
				}
				return
			}
			if got, _ := plain(token.Value); err != nil || got != test.want || token.TTL != time.Hour || !token.Renewable || !token.Revocable {
				t.Errorf("%q %+v, %v", got, token, err)
			}
		})
	}
}

// caller is a bare client of the API.
type caller struct{ address, namespace string }

func (c caller) Call(ctx context.Context, token secret.Value, method, path string, body, into any) error {
	target := c.address + "/v1/" + path
	var data []byte
	if query, ok := body.(url.Values); ok {
		target += "?" + query.Encode()
	} else if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Namespace", c.namespace)
	if err := token.Expose(func(b []byte) error { req.Header.Set("X-Vault-Token", string(b)); return nil }); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return providers.Errorf(providers.Unavailable, "%w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		var said struct{ Errors []string }
		_ = json.NewDecoder(resp.Body).Decode(&said)
		code := map[int]providers.Code{400: providers.Invalid, 403: providers.Denied, 404: providers.NotFound}[resp.StatusCode]
		return providers.Errorf(code, "%s", strings.Join(said.Errors, ", "))
	}
	if into == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
