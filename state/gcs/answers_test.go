package gcs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/remote"
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

// refusal is an error in the form of the service, with more in it than may be
// told.
func refusal(status int, reason string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"errors":[{"reason":%q,"message":%q}]}}`, status, secretText, reason, secretText)
}

const page = "<html><head><title>" + secretText + "</title></head><body>Sign in</body></html>"

func server(t *testing.T, handler http.Handler) remote.Blobs {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	env := environment()
	env.Now = func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
	return open(t, gcs.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: srv.URL}, env)
}

// asked makes one request of each kind.
func asked(ctx context.Context, b remote.Blobs) map[string]error {
	_, read := b.Get(ctx, remote.StateBlob)
	_, created := b.Put(ctx, remote.LockBlob, []byte("x"), "")
	_, replaced := b.Put(ctx, remote.StateBlob, []byte("x"), "7")
	_, listed := b.(remote.Historian).History(ctx, remote.StateBlob)
	return map[string]error{
		"read": read, "create": created, "replace": replaced, "list": listed,
		"delete": b.Delete(ctx, "probe-1", "7"),
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name      string
		answer    answer
		code      remote.Code
		unchanged bool // of a write
		after     time.Duration
		hint      string
	}{
		{"no bucket", answer{404, nil, "The specified bucket does not exist."}, remote.NoPlace, true, 0, "create the bucket"},
		{"404 of somebody else", answer{404, nil, page}, remote.Unreachable, false, 0, "endpoint"},
		{"404 without a body", answer{404, nil, ""}, remote.Unreachable, false, 0, "endpoint"},
		{"denied", answer{403, nil, refusal(403, "forbidden")}, remote.Denied, true, 0, "grant storage.objects."},
		{"403 of a proxy", answer{403, nil, page}, remote.Unreachable, false, 0, "proxy"},
		{"no token", answer{401, nil, refusal(401, "required")}, remote.Denied, true, 0, "sign in again"},
		{"throttled", answer{429, http.Header{"Retry-After": {"7"}}, page}, remote.Busy, true, 7 * time.Second, ""},
		{"throttled as 403", answer{403, http.Header{"Retry-After": {"Tue, 24 Nov 2026 12:00:30 GMT"}, "Date": nil}, refusal(403, "userRateLimitExceeded")}, remote.Busy, true, 30 * time.Second, ""},
		{"throttled, by its clock", answer{429, http.Header{"Retry-After": {"Tue, 24 Nov 2026 12:00:30 GMT"}, "Date": {"Tue, 24 Nov 2026 12:00:20 GMT"}}, ""}, remote.Busy, true, 10 * time.Second, ""},
		{"Retry-After of nonsense", answer{429, http.Header{"Retry-After": {"-1e9"}}, ""}, remote.Busy, true, 0, ""},
		{"trouble", answer{500, nil, refusal(500, "backendError")}, remote.Busy, false, 0, ""},
		{"unavailable, page", answer{503, nil, page}, remote.Busy, false, 0, ""},
		{"409 of a gateway", answer{409, nil, page}, remote.Unreachable, false, 0, ""},
		{"bad request", answer{400, nil, refusal(400, "invalid")}, remote.Invalid, true, 0, ""},
		{"a reason that is none", answer{400, nil, refusal(400, "x y "+secretText)}, remote.Invalid, true, 0, ""},
		{"redirect", answer{308, http.Header{"Location": {"http://127.0.0.1:1/"}}, ""}, remote.Unreachable, false, 0, "proxy"},
		{"endless error", answer{500, nil, strings.Repeat("{", 1<<20)}, remote.Busy, false, 0, ""},
	} {
		b := server(t, c.answer)
		for op, err := range asked(t.Context(), b) {
			e, ok := errors.AsType[*remote.Error](err)
			unchanged := c.unchanged || op == "read" || op == "list"
			if !ok || e.Code != c.code || e.Unchanged != unchanged || e.After != c.after || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s, %s: %#v", c.name, op, err)
			} else if text := err.Error(); strings.Contains(text, secretText) || strings.ContainsAny(text, "\n<?&") || !strings.HasPrefix(text, "gs://bucket/team/coffer") {
				t.Errorf("%s, %s: it tells too much: %s", c.name, op, text)
			}
		}
	}
}

func TestPagesInPlaceOfAnswers(t *testing.T) {
	for _, body := range []string{page, "{}", `{"kind":"storage#objects","items":[{"name":"team/coffer"}]}`} {
		errs := asked(t.Context(), server(t, answer{200, nil, body}))
		delete(errs, "delete") // has no content
		for op, err := range errs {
			if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || strings.Contains(err.Error(), secretText) {
				t.Errorf("%s, %s: %v", body, op, err)
			}
		}
	}
}

func TestLostRaces(t *testing.T) {
	for _, c := range []struct {
		status   int
		body     string
		op       string
		expected error
	}{
		{412, refusal(412, "conditionNotMet"), "create", remote.ErrConflict},
		{412, refusal(412, "conditionNotMet"), "replace", remote.ErrConflict},
		{412, refusal(412, "conditionNotMet"), "delete", remote.ErrConflict},
		{409, refusal(409, "conflict"), "replace", remote.ErrConflict},
		{404, "No such object: bucket/team/coffer", "replace", remote.ErrConflict},
		{404, "No such object: bucket/team/coffer", "read", remote.ErrNotFound},
		{404, refusal(404, "notFound"), "read", remote.ErrNotFound},
		{404, refusal(404, "notFound"), "delete", remote.ErrNotFound},
	} {
		b := server(t, answer{c.status, nil, c.body})
		if err := asked(t.Context(), b)[c.op]; !errors.Is(err, c.expected) {
			t.Errorf("%d, %s: %v", c.status, c.op, err)
		}
	}
}

func TestAge(t *testing.T) {
	const written = "Tue, 24 Nov 2026 12:00:00 GMT"
	for _, c := range []struct {
		date []string
		age  time.Duration
	}{
		{[]string{"Tue, 24 Nov 2026 12:01:40 GMT"}, 100 * time.Second},
		{[]string{"Tue, 24 Nov 2026 11:59:59 GMT"}, 0}, // another machine of the store
		{nil, -1},
	} {
		b := server(t, answer{200, http.Header{"X-Goog-Generation": {"7"}, "Last-Modified": {written}, "Date": c.date}, "x"})
		got, err := b.Get(t.Context(), remote.StateBlob)
		if err != nil || got.Age != c.age || got.Tag != "7" || string(got.Data) != "x" {
			t.Errorf("Date %v: %+v, %v, want age %s", c.date, got, err, c.age)
		}
	}
}

func TestSizes(t *testing.T) {
	chunk := bytes.Repeat([]byte{'x'}, 1<<20)
	b := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Goog-Generation", "7")
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
	}))
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

func TestNoAnswer(t *testing.T) {
	gone := httptest.NewServer(nil)
	config := gcs.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: gone.URL}
	gone.Close()
	for op, err := range asked(t.Context(), open(t, config, environment())) {
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || !e.Unchanged || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "http") {
			t.Errorf("nobody listens, %s: %v", op, err)
		}
	}

	closing := server(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	for op, err := range asked(t.Context(), closing) {
		write := op != "read" && op != "list"
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || e.Unchanged == write {
			t.Errorf("the connection ends, %s: %v", op, err)
		}
	}

	secure := httptest.NewUnstartedServer(answer{200, nil, ""})
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	noTLS := httptest.NewServer(answer{200, nil, ""})
	t.Cleanup(noTLS.Close)
	for url, hint := range map[string]string{secure.URL: "SSL_CERT_FILE", "https" + strings.TrimPrefix(noTLS.URL, "http"): "http://"} {
		b := open(t, gcs.Config{Bucket: "bucket", Key: "team/coffer", Endpoint: url, CredentialsFile: keyFile(t, tokenServer(t, nil))}, environment())
		for op, err := range asked(t.Context(), b) {
			if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Invalid || !e.Unchanged || !strings.Contains(e.Hint, hint) {
				t.Errorf("%s, %s: %v", hint, op, err)
			}
		}
	}

	arrived := make(chan bool, 1)
	silent := server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- true
		<-r.Context().Done()
	}))
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
