package azblob

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/cofferhq/coffer/state/remote"
)

// choose decides how to sign in by what the environment holds. The SDK's default
// chain would ask for a metadata server on every machine, and try people's tools
// on servers; here the next place is only asked where nothing says which it is.
func (c *Config) choose(env remote.Env, host string, options azcore.ClientOptions) (access, error) {
	if key := env.Getenv("AZURE_STORAGE_KEY"); key != "" {
		return c.sharedKey(key, host)
	}
	if sas := strings.TrimPrefix(env.Getenv("AZURE_STORAGE_SAS_TOKEN"), "?"); sas != "" {
		if values, err := url.ParseQuery(sas); err != nil || values.Get("sig") == "" {
			return access{}, invalid("AZURE_STORAGE_SAS_TOKEN is no shared access signature: it has no sig")
		}
		return access{sas: sas}, nil
	}
	options.Cloud = cloudOf(host, env.Getenv("AZURE_AUTHORITY_HOST"))
	sources, err := c.sources(env, options)
	if err != nil {
		return access{}, err
	}
	return access{tokens: &tokens{sources: sources}}, nil
}

func (c *Config) sharedKey(key, host string) (access, error) {
	account := c.Account
	if account == "" {
		account, _, _ = strings.Cut(host, ".")
	}
	credential, err := blob.NewSharedKeyCredential(account, key)
	if err != nil {
		return access{}, invalid("AZURE_STORAGE_KEY is not base64")
	}
	return access{key: credential}, nil
}

// cloudOf is the sign-in of the cloud that an account is in.
func cloudOf(host, authority string) cloud.Configuration {
	switch {
	case authority != "":
		return cloud.Configuration{ActiveDirectoryAuthorityHost: authority, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{}}
	case strings.HasSuffix(host, ".chinacloudapi.cn"):
		return cloud.AzureChina
	case strings.HasSuffix(host, ".usgovcloudapi.net"):
		return cloud.AzureGovernment
	}
	return cloud.AzurePublic
}

// source is one place that a token can come from.
type source struct {
	name string
	azcore.TokenCredential
}

// sources are the places to ask, in this order.
func (c *Config) sources(env remote.Env, options azcore.ClientOptions) ([]source, error) {
	tenant, client := c.TenantID, c.ClientID
	if tenant == "" {
		tenant = env.Getenv("AZURE_TENANT_ID")
	}
	if client == "" {
		client = env.Getenv("AZURE_CLIENT_ID")
	}
	one := func(name string, credential azcore.TokenCredential, err error) ([]source, error) {
		if err != nil {
			return nil, invalid("%s: see that tenant_id and client_id (or AZURE_TENANT_ID and AZURE_CLIENT_ID) are set and what the variables name is there", name)
		}
		return []source{{name, credential}}, nil
	}
	switch {
	case env.Getenv("AZURE_CLIENT_SECRET") != "":
		credential, err := azidentity.NewClientSecretCredential(tenant, client, env.Getenv("AZURE_CLIENT_SECRET"),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
		return one("AZURE_CLIENT_SECRET", credential, err)
	case env.Getenv("AZURE_CLIENT_CERTIFICATE_PATH") != "":
		credential, err := certificate(tenant, client, under(env.Dir, env.Getenv("AZURE_CLIENT_CERTIFICATE_PATH")),
			env.Getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD"), options)
		return one("AZURE_CLIENT_CERTIFICATE_PATH", credential, err)
	case env.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "":
		credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, ClientID: client, TenantID: tenant, TokenFilePath: env.Getenv("AZURE_FEDERATED_TOKEN_FILE"),
		})
		return one("AZURE_FEDERATED_TOKEN_FILE", credential, err)
	}
	managed, err := managedIdentity(client, options)
	if err != nil || env.Getenv("IDENTITY_ENDPOINT") != "" || env.Getenv("MSI_ENDPOINT") != "" {
		return one("IDENTITY_ENDPOINT", managed, err)
	}
	// A person's sign-in, or the identity of a virtual machine: nothing tells but
	// asking. A machine's own tool is asked first since it answers at once.
	tool, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: tenant})
	if err != nil {
		return one("az", tool, err)
	}
	switch env.Getenv("AZURE_TOKEN_CREDENTIALS") {
	case "AzureCLICredential", "dev":
		return []source{{"az", tool}}, nil
	case "ManagedIdentityCredential", "prod":
		return []source{{"managed identity", managed}}, nil
	}
	return []source{{"az", tool}, {"managed identity", managed}}, nil
}

func under(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func certificate(tenant, client, path, password string, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	chain, key, err := azidentity.ParseCertificates(data, []byte(password))
	if err != nil {
		return nil, err
	}
	return azidentity.NewClientCertificateCredential(tenant, client, chain, key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: options})
}

// metadataTimeout is for a metadata server, which is in the same machine or not
// there at all.
const metadataTimeout = 3 * time.Second

func managedIdentity(client string, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	options.Transport = bounded{newClient(metadataTimeout)}
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	identity := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if client != "" {
		identity.ID = azidentity.ClientID(client)
	}
	return azidentity.NewManagedIdentityCredential(identity)
}

// tokens asks its sources until one answers, and stays with that one.
type tokens struct {
	mu      sync.Mutex
	sources []source
}

// GetToken implements [azcore.TokenCredential]. Its errors are [*signInError].
func (t *tokens) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var failed signInError
	for _, s := range t.sources {
		token, err := s.GetToken(ctx, options)
		if err == nil {
			t.sources = []source{s}
			return token, nil
		}
		failed.names, failed.errs = append(failed.names, s.name), append(failed.errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return azcore.AccessToken{}, &failed
}

// signInError says that nobody gave a token. The texts of the SDK hold answers
// whole, so none of them is shown.
type signInError struct {
	names []string
	errs  []error
}

func (e *signInError) Error() string { return "no token from " + strings.Join(e.names, " or ") }

// Unwrap returns what each place said.
func (e *signInError) Unwrap() []error { return e.errs }

// NonRetriable tells the SDK not to ask again.
func (*signInError) NonRetriable() {}

// reason is what the directory said, as far as that is its own number.
func (e *signInError) reason() string {
	const mark = "AADSTS"
	for _, err := range e.errs {
		failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
		if !ok {
			continue
		}
		text := failed.Error()
		if i := strings.Index(text, mark); i >= 0 {
			number := text[i+len(mark):]
			end := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' })
			if end > 0 && end < 12 {
				return mark + number[:end]
			}
		}
	}
	return ""
}
