package gcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/cofferhq/coffer/state/remote"
)

const (
	scope      = "https://www.googleapis.com/auth/devstorage.read_write"
	scopeOfAll = "https://www.googleapis.com/auth/cloud-platform" // to take on another account
)

// tokens are found with the first request and kept until they run out.
type tokens struct {
	find    func(context.Context) (oauth2.TokenSource, error)
	context context.Context // with the client, never cancelled

	mu     sync.Mutex
	source oauth2.TokenSource
	lost   error // why the last request for a token got no answer
}

// credentials prepares the search. A file is read at once: the block's, or that
// of the variable that Google's libraries look at first.
func (c *Config) credentials(env remote.Env, transport http.RoundTripper) (*tokens, error) {
	t := &tokens{}
	tokenClient := client(&witness{t: t, next: transport})
	tokenClient.Timeout = 30 * time.Second
	t.context = context.WithValue(context.Background(), oauth2.HTTPClient, tokenClient)
	wanted := scope
	if c.ImpersonateServiceAccount != "" {
		wanted = scopeOfAll
	}
	t.find = func(ctx context.Context) (oauth2.TokenSource, error) {
		found, err := google.FindDefaultCredentials(ctx, wanted)
		if err != nil {
			return nil, err
		}
		return found.TokenSource, nil
	}
	argument, file := "credentials_file", c.CredentialsFile
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(env.Dir, file)
	}
	if file == "" {
		argument, file = "GOOGLE_APPLICATION_CREDENTIALS", env.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	}
	if file != "" {
		source, err := fromFile(t.context, file, wanted)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be used: %w", argument, err)
		}
		t.find = func(context.Context) (oauth2.TokenSource, error) { return source, nil }
	}
	if c.ImpersonateServiceAccount != "" {
		t.find = asAccount(c.ImpersonateServiceAccount, tokenClient, t.find)
	}
	return t, nil
}

// fromFile reads credentials of any kind that needs no person. Its errors hold
// nothing of the file.
func fromFile(ctx context.Context, name, scope string) (oauth2.TokenSource, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var head struct {
		Type google.CredentialsType `json:"type"`
	}
	known := []google.CredentialsType{
		google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount,
		google.ExternalAccountAuthorizedUser, google.ImpersonatedServiceAccount,
	}
	if json.Unmarshal(text, &head) != nil || !slices.Contains(known, head.Type) {
		return nil, errors.New("it is no file of credentials")
	}
	found, err := google.CredentialsFromJSONWithTypeAndParams(ctx, text, head.Type, google.CredentialsParams{Scopes: []string{scope}})
	if err != nil {
		return nil, errors.New("the credentials in it are not well-formed")
	}
	return found.TokenSource, nil
}

// authorize sets the header with the token.
func (r request) authorize(ctx context.Context, req *http.Request) error {
	if err := ctx.Err(); err != nil {
		return r.refused(remote.Unreachable, err, "")
	}
	t := r.blobs.tokens
	if t == nil {
		return nil
	}
	type outcome struct {
		token *oauth2.Token
		err   error
	}
	// The library's requests cannot be cancelled one by one.
	done := make(chan outcome, 1)
	go func() {
		token, err := t.token()
		done <- outcome{token, err}
	}()
	select {
	case <-ctx.Done():
		return r.refused(remote.Unreachable, ctx.Err(), "")
	case o := <-done:
		if o.err != nil {
			return r.noToken(o.err)
		}
		o.token.SetAuthHeader(req)
		return nil
	}
}

// errNone means that the search found nothing.
var errNone = errors.New("no Google credentials were found")

// token returns an [unansweredError] where nobody answered.
func (t *tokens) token() (*oauth2.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = nil
	if t.source == nil {
		source, err := t.find(t.context)
		if err != nil {
			return nil, errNone
		}
		t.source = oauth2.ReuseTokenSource(nil, source)
	}
	token, err := t.source.Token()
	if err != nil && t.lost != nil {
		return nil, unansweredError{t.lost}
	}
	return token, err
}

// unansweredError is of a request for a token that got no answer.
type unansweredError struct{ error }

// witness notes why a request got no answer, which the library's errors do not
// keep. It is used under the lock of its tokens.
type witness struct {
	t    *tokens
	next http.RoundTripper
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		w.t.lost = err
	}
	return resp, err
}

// noToken is the error of a request that was not made. The library's texts hold
// whole answers and are not told.
func (r request) noToken(err error) error {
	const hint = "see that the session has not ended: `gcloud auth application-default login`"
	var lost unansweredError
	var refusal *oauth2.RetrieveError
	var account *accountError
	switch {
	case errors.Is(err, errNone):
		return r.refused(remote.Denied, errNone, "name a file in credentials_file or GOOGLE_APPLICATION_CREDENTIALS, or sign in: `gcloud auth application-default login`")
	case errors.As(err, &lost):
		return r.refused(remote.Unreachable, fmt.Errorf("the credentials cannot be had: %w", cause(lost.error)), "see that Google's sign-in can be reached")
	case errors.As(err, &account):
		return r.refused(codeOf(account.status), account, "grant roles/iam.serviceAccountTokenCreator on it to whoever runs this, and switch on the API iamcredentials.googleapis.com")
	case errors.As(err, &refusal):
		// A part of the library does not take the error out of the body.
		var answer struct{ Error string }
		_ = json.Unmarshal(refusal.Body, &answer)
		text := fmt.Errorf("the credentials are refused with status %d %s", refusal.Response.StatusCode, word(answer.Error))
		return r.refused(codeOf(refusal.Response.StatusCode), text, hint)
	}
	return r.refused(remote.Denied, errors.New("the credentials give no token"), hint)
}

func codeOf(status int) remote.Code {
	if status == http.StatusTooManyRequests || status >= 500 {
		return remote.Busy
	}
	return remote.Denied
}

// accountError is what IAM answers to whoever may not take on an account.
type accountError struct {
	account string
	status  int
}

func (e *accountError) Error() string {
	return fmt.Sprintf("the service account %s cannot be taken on: status %d", e.account, e.status)
}

// account makes tokens of a service account with those of somebody else.
type account struct {
	name   string
	client *http.Client
	base   oauth2.TokenSource
}

func asAccount(name string, client *http.Client, find func(context.Context) (oauth2.TokenSource, error)) func(context.Context) (oauth2.TokenSource, error) {
	return func(ctx context.Context) (oauth2.TokenSource, error) {
		base, err := find(ctx)
		if err != nil {
			return nil, err
		}
		return &account{name: name, client: client, base: base}, nil
	}
}

// Token implements [oauth2.TokenSource].
func (a *account) Token() (*oauth2.Token, error) {
	base, err := a.base.Token()
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, `{"scope":[%q],"lifetime":"3600s"}`, scope)
	req, err := http.NewRequest(http.MethodPost, "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+a.name+":generateAccessToken", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	base.SetAuthHeader(req)
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var made struct {
		AccessToken string
		ExpireTime  time.Time
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, errorBytes)).Decode(&made)
	if resp.StatusCode != http.StatusOK || err != nil || made.AccessToken == "" {
		return nil, &accountError{account: a.name, status: resp.StatusCode}
	}
	return &oauth2.Token{AccessToken: made.AccessToken, TokenType: "Bearer", Expiry: made.ExpireTime}, nil
}
