package gcs_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/remote"
)

var testKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
})

// keyFile writes the key of a service account whose tokens come from url.
func keyFile(t *testing.T, url string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "ci@p.iam.gserviceaccount.com", "private_key_id": "1",
		"private_key": string(testKey()), "token_uri": url,
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// tokenServer gives tokens, or what handler gives.
func tokenServer(t *testing.T, handler http.Handler) string {
	t.Helper()
	if handler == nil {
		handler = answer{200, http.Header{"Content-Type": {"application/json"}}, `{"access_token":"first-token","token_type":"Bearer","expires_in":3600}`}
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

// sent is a request to Google.
type sent struct {
	*http.Request
	body string
}

// recorder stands for Google: it keeps requests and answers them well. What is
// for this machine it lets through.
type recorder struct {
	requests []sent
	account  answer // of iamcredentials.googleapis.com
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Hostname() == "127.0.0.1" {
		return http.DefaultTransport.RoundTrip(req)
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	r.requests = append(r.requests, sent{req, string(body)})
	w := httptest.NewRecorder()
	a := answer{200, http.Header{"X-Goog-Generation": {"8"}}, `{"generation":"8"}`}
	if req.URL.Host == "iamcredentials.googleapis.com" {
		a = r.account
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.WriteString(a.body)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func TestRequests(t *testing.T) {
	r := &recorder{}
	c := gcs.Config{
		Bucket: "bucket", Key: "team/coffer", CredentialsFile: keyFile(t, tokenServer(t, nil)),
		KMSKeyName: "projects/p/locations/eu/keyRings/r/cryptoKeys/k",
	}
	b, err := c.OpenOver(environment(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range []string{"", "7"} {
		if tag, err := b.Put(t.Context(), remote.LockBlob, []byte("\r\n--content\x00"), match); err != nil || tag != "8" {
			t.Fatal(tag, err)
		}
	}
	if _, err := b.Get(t.Context(), remote.LockBlob); err != nil {
		t.Fatal(err)
	}
	if _, err := b.(remote.Historian).GetVersion(t.Context(), remote.LockBlob, "5"); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), remote.LockBlob, "7"); err != nil {
		t.Fatal(err)
	}
	const upload, object = "https://storage.googleapis.com/upload/storage/v1/b/bucket/o?", "https://storage.googleapis.com/storage/v1/b/bucket/o/team%2Fcoffer.lock?"
	const kms = "&kmsKeyName=projects%2Fp%2Flocations%2Feu%2FkeyRings%2Fr%2FcryptoKeys%2Fk&uploadType=multipart"
	for i, want := range []string{
		"POST " + upload + "fields=generation&ifGenerationMatch=0" + kms,
		"POST " + upload + "fields=generation&ifGenerationMatch=7" + kms,
		"GET " + object + "alt=media",
		"GET " + object + "alt=media&generation=5",
		"DELETE " + object + "ifGenerationMatch=7",
	} {
		got := r.requests[i]
		if text := got.Method + " " + got.URL.String(); text != want {
			t.Errorf("request %d is %s, want %s", i, text, want)
		}
		if got.Header.Get("Authorization") != "Bearer first-token" || got.UserAgent() != "coffer/1.2.3" {
			t.Errorf("request %d has %v", i, got.Header)
		}
	}
	if metadata, data := parts(t, r.requests[0]); metadata != `{"cacheControl":"no-store","contentType":"application/octet-stream","name":"team/coffer.lock"}` || data != "\r\n--content\x00" {
		t.Errorf("sent %s and %q", metadata, data)
	}
}

func parts(t *testing.T, r sent) (metadata, data string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	reader := multipart.NewReader(strings.NewReader(r.body), params["boundary"])
	for _, to := range []*string{&metadata, &data} {
		part, err := reader.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		*to = string(text)
	}
	return metadata, data
}

func TestAnotherAccount(t *testing.T) {
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	r := &recorder{account: answer{200, nil, `{"accessToken":"second-token","expireTime":"` + expires + `"}`}}
	c := gcs.Config{
		Bucket: "bucket", Key: "coffer", CredentialsFile: keyFile(t, tokenServer(t, nil)),
		ImpersonateServiceAccount: "state@p.iam.gserviceaccount.com",
	}
	b, err := c.OpenOver(environment(), r)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := b.Get(t.Context(), remote.StateBlob); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.requests) != 3 {
		t.Fatalf("%d requests", len(r.requests))
	}
	for i, want := range []string{"first-token", "second-token", "second-token"} {
		if got := r.requests[i].Header.Get("Authorization"); got != "Bearer "+want {
			t.Errorf("request %d has %s, want %s", i, got, want)
		}
	}
	const path = "/v1/projects/-/serviceAccounts/state@p.iam.gserviceaccount.com:generateAccessToken"
	if got := r.requests[0]; got.URL.Path != path || got.body != `{"scope":["https://www.googleapis.com/auth/devstorage.read_write"],"lifetime":"3600s"}` {
		t.Errorf("asked %s for %s", got.URL, got.body)
	}

	for status, code := range map[int]remote.Code{403: remote.Denied, 503: remote.Busy, 200: remote.Denied} {
		r.account = answer{status, nil, page}
		b, err := c.OpenOver(environment(), r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Put(t.Context(), remote.StateBlob, nil, "")
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != code || !e.Unchanged || !strings.Contains(e.Hint, "serviceAccountTokenCreator") || strings.Contains(err.Error(), secretText) {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestNoToken(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		name string
		url  string
		code remote.Code
		says string
	}{
		{"refused", tokenServer(t, answer{400, nil, `{"error":"invalid_grant","error_description":"` + secretText + `"}`}), remote.Denied, "400 invalid_grant;"},
		{"refused with a page", tokenServer(t, answer{403, nil, page}), remote.Denied, "403"},
		{"in trouble", tokenServer(t, answer{503, nil, page}), remote.Busy, "503"},
		{"an answer that is none", tokenServer(t, answer{200, nil, page}), remote.Denied, "no token"},
		{"leads elsewhere", tokenServer(t, answer{307, http.Header{"Location": {gone.URL}}, ""}), remote.Denied, "307"},
		{"nobody there", gone.URL, remote.Unreachable, "refused"},
	} {
		file := keyFile(t, c.url)
		for _, env := range []remote.Env{environment("GOOGLE_APPLICATION_CREDENTIALS=" + file), {Dir: filepath.Dir(file), Getenv: environment().Getenv}} {
			config := gcs.Config{Bucket: "bucket", Key: "coffer"}
			if env.Dir != "" {
				config.CredentialsFile = filepath.Base(file)
			}
			b := open(t, config, env)
			_, err := b.Put(t.Context(), remote.StateBlob, []byte("x"), "")
			e, ok := errors.AsType[*remote.Error](err)
			if !ok || e.Code != c.code || !e.Unchanged || !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n<?") || strings.Contains(err.Error(), secretText) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestTheMachinesOwnAccount(t *testing.T) {
	metadata := httptest.NewServer(answer{200, http.Header{"Metadata-Flavor": {"Google"}}, `{"access_token":"of-the-machine","token_type":"Bearer","expires_in":3600}`})
	t.Cleanup(metadata.Close)
	home := t.TempDir()
	for name, value := range map[string]string{
		"GCE_METADATA_HOST": strings.TrimPrefix(metadata.URL, "http://"), "HOME": home, "GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": "",
	} {
		t.Setenv(name, value)
	}
	c := gcs.Config{Bucket: "bucket", Key: "coffer"}
	r := &recorder{}
	b, err := c.OpenOver(environment(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), remote.StateBlob); err != nil || r.requests[0].Header.Get("Authorization") != "Bearer of-the-machine" {
		t.Errorf("%v, %v", r.requests, err)
	}

	// gcloud's own file comes first, and one that is broken is said.
	if err := os.MkdirAll(filepath.Join(home, ".config", "gcloud"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".config", "gcloud", "application_default_credentials.json"), []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err = c.OpenOver(environment(), r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Get(t.Context(), remote.StateBlob)
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Denied || strings.Contains(err.Error(), secretText) || !strings.Contains(e.Hint, "gcloud auth") {
		t.Errorf("%v", err)
	}
}

// A token service that hangs holds nobody who gave up.
func TestCancelledWithoutAToken(t *testing.T) {
	arrived, leave := make(chan bool, 1), make(chan bool)
	url := tokenServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-leave
	}))
	defer close(leave)
	b := open(t, gcs.Config{Bucket: "bucket", Key: "coffer", CredentialsFile: keyFile(t, url)}, environment())
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := b.Put(ctx, remote.StateBlob, []byte("x"), "")
	if e, ok := errors.AsType[*remote.Error](err); !ok || !errors.Is(err, context.Canceled) || !e.Unchanged {
		t.Errorf("%v", err)
	}
}

func TestNoTokenGoesOutInClear(t *testing.T) {
	var authorization string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization += r.Header.Get("Authorization")
		w.Header().Set("X-Goog-Generation", "7")
	}))
	t.Cleanup(srv.Close)
	c := gcs.Config{Bucket: "bucket", Key: "coffer", Endpoint: srv.URL, CredentialsFile: keyFile(t, tokenServer(t, nil))}
	if _, err := open(t, c, environment()).Get(t.Context(), remote.StateBlob); err != nil || authorization != "" {
		t.Errorf("%q, %v", authorization, err)
	}
}
