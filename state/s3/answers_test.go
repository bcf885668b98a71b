package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/s3"
)

const secretText = "hunter2"

// answer is what a server says to whatever it is asked.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// refusal is an error in the form of S3, with more in it than may be told.
func refusal(code string) string {
	return fmt.Sprintf("<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message><Key>%s</Key></Error>", code, secretText, secretText)
}

const page = "<html><head><title>" + secretText + "</title></head><body>Sign in</body></html>"

func server(t *testing.T, handler http.Handler) s3.Config {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return s3.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: srv.URL}
}

// asked makes one request of each kind.
func asked(ctx context.Context, b remote.Blobs) map[string]error {
	_, read := b.Get(ctx, remote.StateBlob)
	_, created := b.Put(ctx, remote.LockBlob, []byte("x"), "")
	_, replaced := b.Put(ctx, remote.StateBlob, []byte("x"), `"tag"`)
	_, listed := b.(remote.Historian).History(ctx, remote.StateBlob)
	return map[string]error{"read": read, "create": created, "replace": replaced, "list": listed}
}

func TestAnswers(t *testing.T) {
	env := surroundings(t)
	env.Now = func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name      string
		answer    answer
		code      remote.Code
		unchanged bool // of a write
		after     time.Duration
		hint      string
	}{
		{"no bucket", answer{404, nil, refusal("NoSuchBucket")}, remote.NoPlace, true, 0, "create the bucket"},
		{"404 of somebody else", answer{404, nil, page}, remote.Unreachable, false, 0, "endpoint"},
		{"404 without a body", answer{404, nil, ""}, remote.Unreachable, false, 0, "endpoint"},
		{"denied", answer{403, nil, refusal("AccessDenied")}, remote.Denied, true, 0, "grant s3:"},
		{"403 of a proxy", answer{403, nil, page}, remote.Unreachable, false, 0, "proxy"},
		{"407", answer{407, nil, page}, remote.Unreachable, false, 0, "proxy"},
		{"ended session", answer{400, nil, refusal("ExpiredToken")}, remote.Denied, true, 0, "sign in again"},
		{"unknown key", answer{403, nil, refusal("InvalidAccessKeyId")}, remote.Denied, true, 0, "aws configure list"},
		{"wrong key", answer{403, nil, refusal("SignatureDoesNotMatch")}, remote.Denied, true, 0, "secret key"},
		{"clock", answer{403, nil, refusal("RequestTimeTooSkewed")}, remote.Busy, true, 0, "clock"},
		{"key of KMS", answer{400, nil, refusal("KMS.DisabledException")}, remote.Denied, true, 0, "kms_key_id"},
		{"other region", answer{301, http.Header{"X-Amz-Bucket-Region": {"eu-north-1"}}, refusal("PermanentRedirect")}, remote.Invalid, true, 0, `region = "eu-north-1"`},
		{"other region, a lie", answer{301, http.Header{"X-Amz-Bucket-Region": {"\"; rm -r"}}, refusal("PermanentRedirect")}, remote.Invalid, true, 0, "us-east-1"},
		{"region of the signature", answer{400, nil, refusal("AuthorizationHeaderMalformed")}, remote.Invalid, true, 0, "region"},
		{"throttled", answer{429, http.Header{"Retry-After": {"7"}}, page}, remote.Busy, true, 7 * time.Second, ""},
		{"slow down", answer{503, http.Header{"Retry-After": {"Tue, 24 Nov 2026 12:00:30 GMT"}, "Date": nil}, refusal("SlowDown")}, remote.Busy, true, 30 * time.Second, ""},
		{"slow down, by its clock", answer{503, http.Header{"Retry-After": {"Tue, 24 Nov 2026 12:00:30 GMT"}, "Date": {"Tue, 24 Nov 2026 12:00:20 GMT"}}, refusal("SlowDown")}, remote.Busy, true, 10 * time.Second, ""},
		{"Retry-After of nonsense", answer{503, http.Header{"Retry-After": {"-1e9"}}, refusal("SlowDown")}, remote.Busy, true, 0, ""},
		{"trouble", answer{500, nil, refusal("InternalError")}, remote.Busy, false, 0, ""},
		{"trouble of a gateway", answer{502, nil, page}, remote.Busy, false, 0, ""},
		{"unavailable, page", answer{503, nil, page}, remote.Busy, false, 0, ""},
		{"no conditional writes", answer{501, nil, refusal("NotImplemented")}, remote.Invalid, true, 0, "conditional writes"},
		{"bad request", answer{400, nil, refusal("InvalidRequest")}, remote.Invalid, true, 0, ""},
		{"a code that is none", answer{400, nil, refusal("x y " + secretText)}, remote.Unreachable, false, 0, "proxy"},
		{"sign-in page", answer{200, http.Header{"Content-Type": {"text/html"}}, page}, remote.Unreachable, false, 0, "proxy"},
		{"endless error", answer{500, nil, strings.Repeat("<a>", 1<<20)}, remote.Busy, false, 0, ""},
	} {
		b := open(t, server(t, c.answer), env)
		for op, err := range asked(t.Context(), b) {
			e, ok := errors.AsType[*remote.Error](err)
			unchanged := c.unchanged || op == "read" || op == "list"
			if !ok || e.Code != c.code || e.Unchanged != unchanged || e.After != c.after || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s, %s: %#v", c.name, op, err)
			} else if text := err.Error(); strings.Contains(text, secretText) || strings.ContainsAny(text, "\n<?&") || !strings.HasPrefix(text, "s3://bucket/team/coffer") {
				t.Errorf("%s, %s: it tells too much: %s", c.name, op, text)
			}
		}
	}
}

func TestLostRaces(t *testing.T) {
	env := surroundings(t)
	for _, c := range []struct {
		status   int
		code     string
		op       string
		expected error
	}{
		{412, "PreconditionFailed", "create", remote.ErrConflict},
		{412, "PreconditionFailed", "replace", remote.ErrConflict},
		{409, "ConditionalRequestConflict", "create", remote.ErrConflict},
		{409, "ConditionalRequestConflict", "replace", remote.ErrConflict},
		{404, "NoSuchKey", "replace", remote.ErrConflict},
		{404, "NoSuchKey", "read", remote.ErrNotFound},
	} {
		b := open(t, server(t, answer{c.status, nil, refusal(c.code)}), env)
		if err := asked(t.Context(), b)[c.op]; !errors.Is(err, c.expected) {
			t.Errorf("%d %s, %s: %v", c.status, c.code, c.op, err)
		}
	}
	lost := map[string]int{"GET": 200, "DELETE": 412}
	b := open(t, server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(lost[r.Method])
	})), env)
	if err := b.Delete(t.Context(), "probe-1", `"1"`); !errors.Is(err, remote.ErrConflict) {
		t.Errorf("delete: %v", err)
	}
}

func TestAge(t *testing.T) {
	env := surroundings(t)
	const written = "Tue, 24 Nov 2026 12:00:00 GMT"
	for _, c := range []struct {
		date []string
		age  time.Duration
	}{
		{[]string{"Tue, 24 Nov 2026 12:01:40 GMT"}, 100 * time.Second},
		{[]string{"Tue, 24 Nov 2026 11:59:59 GMT"}, 0}, // another machine of the store
		{nil, -1},
	} {
		b := open(t, server(t, answer{200, http.Header{"Etag": {`W/"1"`}, "Last-Modified": {written}, "Date": c.date}, "x"}), env)
		got, err := b.Get(t.Context(), remote.StateBlob)
		if err != nil || got.Age != c.age || got.Tag != `W/"1"` {
			t.Errorf("Date %v: %+v, %v, want age %s", c.date, got, err, c.age)
		}
	}
}

func TestSizes(t *testing.T) {
	env := surroundings(t)
	chunk := bytes.Repeat([]byte{'x'}, 1<<20)
	b := open(t, server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if strings.HasSuffix(r.URL.Path, ".journal") {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(chunk[:50])
			return
		}
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})), env)
	for name, code := range map[string]remote.Code{remote.StateBlob: remote.Invalid, remote.JournalBlob: remote.Unreachable} {
		_, err := b.Get(t.Context(), name)
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != code {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := b.Put(t.Context(), remote.StateBlob, make([]byte, remote.MaxBytes+1), "")
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Invalid || !e.Unchanged {
		t.Errorf("put: %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	env := surroundings(t)
	visited := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visited = true
		w.Header().Set("ETag", `"1"`)
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 307, 308} {
		b := open(t, server(t, answer{status, http.Header{"Location": {other.URL + "/bucket/team/coffer"}}, ""}), env)
		for op, err := range asked(t.Context(), b) {
			if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable && e.Code != remote.Invalid {
				t.Errorf("%d, %s: %v", status, op, err)
			}
		}
	}
	if visited {
		t.Error("a redirect was followed")
	}
}

func TestNoAnswer(t *testing.T) {
	env := surroundings(t)
	gone := httptest.NewServer(nil)
	config := s3.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: gone.URL}
	gone.Close()
	for op, err := range asked(t.Context(), open(t, config, env)) {
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || !e.Unchanged || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "http") {
			t.Errorf("nobody listens, %s: %v", op, err)
		}
	}

	closing := open(t, server(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })), env)
	for op, err := range asked(t.Context(), closing) {
		write := op == "create" || op == "replace"
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || e.Unchanged == write {
			t.Errorf("the connection ends, %s: %v", op, err)
		}
	}

	secure := httptest.NewUnstartedServer(answer{200, nil, ""})
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for op, err := range asked(t.Context(), open(t, s3.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: secure.URL}, env)) {
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Invalid || !e.Unchanged || !strings.Contains(e.Hint, "AWS_CA_BUNDLE") {
			t.Errorf("unknown authority, %s: %v", op, err)
		}
	}

	noTLS := httptest.NewServer(answer{200, nil, ""})
	t.Cleanup(noTLS.Close)
	for op, err := range asked(t.Context(), open(t, s3.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: "https" + strings.TrimPrefix(noTLS.URL, "http")}, env)) {
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Invalid || !e.Unchanged || !strings.Contains(e.Hint, "http://") {
			t.Errorf("no TLS, %s: %v", op, err)
		}
	}

	garbage := open(t, s3.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: "http://" + babbling(t)}, env)
	for op, err := range asked(t.Context(), garbage) {
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || strings.Contains(err.Error(), secretText) {
			t.Errorf("no HTTP, %s: %v", op, err)
		}
	}

	arrived := make(chan bool, 1)
	silent := open(t, server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- true
		<-r.Context().Done()
	})), env)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := silent.Put(ctx, remote.StateBlob, []byte("x"), "")
	if e, ok := errors.AsType[*remote.Error](err); !ok || !errors.Is(err, context.Canceled) || e.Unchanged {
		t.Errorf("cancelled on the way: %v", err)
	}
	if _, err = silent.Put(ctx, remote.StateBlob, []byte("x"), ""); !errors.Is(err, context.Canceled) || !err.(*remote.Error).Unchanged {
		t.Errorf("cancelled before: %v", err)
	}
}

// babbling is the address of a server that speaks no HTTP.
func babbling(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, secretText+"\r\n\r\n")
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestOneRequestACall(t *testing.T) {
	env := surroundings(t)
	requests := 0
	b := open(t, server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		answer{500, nil, refusal("InternalError")}.ServeHTTP(w, r)
	})), env)
	asked(t.Context(), b)
	if requests != 4 {
		t.Errorf("%d requests for 4 calls", requests)
	}
}

func TestCredentials(t *testing.T) {
	const noKeys = "AWS_ACCESS_KEY_ID="
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte("[profile leaky]\ncredential_process = echo "+secretText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	role := []s3.AssumeRole{{RoleARN: "arn:aws:iam::123456789012:role/coffer", ExternalID: "corner"}}
	for _, c := range []struct {
		name    string
		env     []string
		profile string
		role    []s3.AssumeRole
		token   http.Handler // the token service
		code    remote.Code
		says    string
	}{
		{"none", []string{noKeys}, "", nil, nil, remote.Denied, "no AWS credentials"},
		{"a process that prints something else", []string{noKeys, "AWS_CONFIG_FILE=" + config}, "leaky", nil, nil, remote.Denied, "no AWS credentials"},
		{"a role that may not be had", nil, "", role, answer{403, nil, "<ErrorResponse>" + refusal("AccessDenied")[22:] + "</ErrorResponse>"}, remote.Denied, "AccessDenied"},
		{"no token service", []string{"AWS_ENDPOINT_URL_STS=" + gone.URL, "AWS_MAX_ATTEMPTS=1"}, "", role, nil, remote.Unreachable, "cannot be had"},
		{"token service in trouble", []string{"AWS_MAX_ATTEMPTS=1"}, "", role, answer{500, nil, "<ErrorResponse>" + refusal("InternalFailure")[22:] + "</ErrorResponse>"}, remote.Busy, "InternalFailure"},
	} {
		env := append([]string{"AWS_REGION=eu-west-1"}, c.env...)
		if c.token != nil {
			srv := httptest.NewServer(c.token)
			t.Cleanup(srv.Close)
			env = append(env, "AWS_ENDPOINT_URL_STS="+srv.URL)
		}
		store := server(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the store was asked", c.name) }))
		store.Profile, store.AssumeRole = c.profile, c.role
		b := open(t, store, surroundings(t, env...))
		_, err := b.Put(t.Context(), remote.StateBlob, []byte("x"), "")
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Code != c.code || !e.Unchanged || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secretText) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
