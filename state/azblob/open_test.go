package azblob

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/cofferhq/coffer/state/remote"
)

func of(env map[string]string) remote.Env {
	return remote.Env{Getenv: func(name string) string { return env[name] }}
}

func TestOpenRefuses(t *testing.T) {
	good := Config{Account: "shopstate", Container: "states", Key: "team/coffer"}
	with := func(change func(*Config)) Config { c := good; change(&c); return c }
	for _, c := range []struct {
		config Config
		env    map[string]string
		says   string
	}{
		{with(func(c *Config) { c.Account = "" }), nil, "AZURE_STORAGE_ACCOUNT"},
		{with(func(c *Config) { c.Account = "a.evil.example" }), nil, "account"},
		{with(func(c *Config) { c.Container = "A" }), nil, "container"},
		{with(func(c *Config) { c.Container = "a--b" }), nil, "container"},
		{with(func(c *Config) { c.Key = "" }), nil, "key is empty"},
		{with(func(c *Config) { c.Key = "a//b" }), nil, "empty part"},
		{with(func(c *Config) { c.Key = "a/../b" }), nil, "ends with a dot"},
		{with(func(c *Config) { c.Key = "a\nb" }), nil, "key"},
		{with(func(c *Config) { c.Key = "team/coffer.lock" }), nil, "choose another"},
		{with(func(c *Config) { c.Endpoint = "shop" }), nil, "endpoint"},
		{with(func(c *Config) { c.Endpoint = "http://shop.example.com" }), nil, "no TLS"},
		{with(func(c *Config) { c.Endpoint = "https://shop.example.com/?sig=CANARY" }), nil, "AZURE_STORAGE_SAS_TOKEN"},
		{with(func(c *Config) { c.Endpoint = "https://a:CANARY@shop.example.com/" }), nil, "more than an address"},
		{good, map[string]string{"AZURE_STORAGE_KEY": "CANARY!"}, "not base64"},
		{good, map[string]string{"AZURE_STORAGE_SAS_TOKEN": "CANARY"}, "no sig"},
		{good, map[string]string{"AZURE_CLIENT_SECRET": "CANARY"}, "tenant_id"},
		{good, map[string]string{"AZURE_CLIENT_CERTIFICATE_PATH": "nope.pem", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}, "AZURE_CLIENT_CERTIFICATE_PATH"},
	} {
		_, err := c.config.Open(t.Context(), of(c.env))
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Code != remote.Invalid || !e.Unchanged || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}

func TestPlaceIsNamed(t *testing.T) {
	for want, c := range map[string]Config{
		"https://shopstate.blob.core.windows.net/states/team/a%20b":    {Account: "shopstate", Container: "states", Key: "team/a b"},
		"https://shop.blob.core.usgovcloudapi.net/states/team/coffer":  {Endpoint: "https://shop.blob.core.usgovcloudapi.net/", Container: "states", Key: "team/coffer"},
		"https://envstate.blob.core.windows.net/states/team/%3Fcoffer": {Container: "states", Key: "team/?coffer"},
	} {
		b, err := c.Open(t.Context(), of(map[string]string{"AZURE_STORAGE_ACCOUNT": "envstate"}))
		if err != nil || b.String() != want {
			t.Errorf("%v %v, want %s", b, err, want)
		}
	}
}

// The environment decides who signs in, and only where it does not are more
// places asked than one.
func TestWhoSignsIn(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IDENTITY_ENDPOINT", "")
	t.Setenv("MSI_ENDPOINT", "")
	ids := map[string]string{"AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111", "AZURE_CLIENT_ID": "c"}
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{}, "az managed identity"},
		{map[string]string{"AZURE_TOKEN_CREDENTIALS": "dev"}, "az"},
		{map[string]string{"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}, "managed identity"},
		{map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:1/"}, "IDENTITY_ENDPOINT"},
		{map[string]string{"AZURE_FEDERATED_TOKEN_FILE": token}, "AZURE_FEDERATED_TOKEN_FILE"},
		{map[string]string{"AZURE_CLIENT_SECRET": "s", "AZURE_FEDERATED_TOKEN_FILE": token}, "AZURE_CLIENT_SECRET"},
		{map[string]string{"AZURE_STORAGE_SAS_TOKEN": "sig=s", "AZURE_CLIENT_SECRET": "s"}, "signature"},
		{map[string]string{"AZURE_STORAGE_KEY": "AAAA", "AZURE_STORAGE_SAS_TOKEN": "sig=s"}, "key"},
	} {
		for name, value := range ids {
			c.env[name] = value
		}
		b, err := (&Config{Account: "shopstate", Container: "states", Key: "k"}).Open(t.Context(), of(c.env))
		if err != nil {
			t.Errorf("%v: %v", c.env, err)
			continue
		}
		var got []string
		switch a := b.(*store).access; {
		case a.key != nil:
			got = []string{"key"}
		case a.sas != "":
			got = []string{"signature"}
		default:
			for _, s := range a.tokens.(*tokens).sources {
				got = append(got, s.name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, want %s", c.env, got, c.want)
		}
	}
}

// giver is a source of tokens.
type giver struct {
	err   error
	asked *int
}

func (g giver) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	*g.asked++
	return azcore.AccessToken{Token: "t"}, g.err
}

func TestSignInThatFails(t *testing.T) {
	answer := func(status int, body string) error {
		return &azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}}
	}
	for _, c := range []struct {
		errs []error
		code remote.Code
		says string
	}{
		{[]error{errors.New("SECRET az"), errors.New("SECRET imds")}, remote.Denied, "az login"},
		{[]error{answer(401, `{"error":"x","error_description":"AADSTS7000215: SECRET"}`)}, remote.Denied, "AADSTS7000215"},
		{[]error{answer(503, `SECRET`)}, remote.Busy, "503"},
		{[]error{answer(400, `SECRET`)}, remote.Denied, "400"},
	} {
		s := at(t, "https://shop.example.com")
		asked := 0
		all := &tokens{}
		for _, err := range c.errs {
			all.sources = append(all.sources, source{"az", giver{err, &asked}})
		}
		s.access = access{tokens: all}
		_, err := s.Put(t.Context(), remote.LockBlob, []byte("x"), "")
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Code != c.code || !e.Unchanged || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v", err)
		}
		if asked != len(c.errs) {
			t.Errorf("asked %d times, want %d", asked, len(c.errs))
		}
	}
	first, second := 0, 0
	all := &tokens{sources: []source{{"az", giver{errors.New("no"), &first}}, {"managed identity", giver{nil, &second}}}}
	for range 3 {
		if _, err := all.GetToken(t.Context(), policy.TokenRequestOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if first != 1 || second != 3 {
		t.Errorf("the one that cannot was asked %d times, the other %d", first, second)
	}
}

func TestPermissionsNameWhatIsAsked(t *testing.T) {
	c := &Config{Account: "shopstate", Container: "states", Key: "k"}
	if plan := c.Permissions(false); strings.Contains(plan, "write") || !strings.Contains(plan, "blobs/read") || !strings.Contains(plan, "storageAccounts/shopstate/") {
		t.Error(plan)
	}
	if apply := c.Permissions(true); !strings.Contains(apply, "blobs/write") || !strings.Contains(apply, "blobs/delete as well") {
		t.Error(apply)
	}
	for endpoint, want := range map[string][]string{
		"https://shopstate.blob.core.usgovcloudapi.net": {"storageAccounts/shopstate/"},
		"https://state.example.com":                     {"storageAccounts/ACCOUNT/", "ACCOUNT (the storage account that answers at https://state.example.com)"},
	} {
		c := &Config{Endpoint: endpoint, Container: "states", Key: "k"}
		for _, w := range append(want, "Put in: SUBSCRIPTION") {
			if plan := c.Permissions(false); !strings.Contains(plan, w) {
				t.Errorf("%q is not in\n%s", w, plan)
			}
		}
	}
}
