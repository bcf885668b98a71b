package azblob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

const (
	signature = "SECRET-SIGNATURE"
	inBody    = "SECRET-BODY"
)

// answering is a store whose service answers as do says.
func answering(t *testing.T, do http.HandlerFunc) *store {
	t.Helper()
	server := httptest.NewServer(do)
	t.Cleanup(server.Close)
	return at(t, server.URL+"/account")
}

// at is a store below an address, signed in with a signature, which is the
// credential that every request holds in its address.
func at(t *testing.T, endpoint string) *store {
	t.Helper()
	env := map[string]string{"AZURE_STORAGE_SAS_TOKEN": "?sv=2025&sig=" + signature}
	b, err := (&Config{Endpoint: endpoint, Container: "states", Key: "team/coffer"}).
		Open(t.Context(), remote.Env{Getenv: func(name string) string { return env[name] }, UserAgent: "coffer/test"})
	if err != nil {
		t.Fatal(err)
	}
	return b.(*store)
}

func says(status int, code string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-ms-request-id", "1")
		if code != "" {
			w.Header().Set("x-ms-error-code", code)
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, inBody)
	}
}

func TestHostileAnswers(t *testing.T) {
	for _, c := range []struct {
		name      string
		do        http.HandlerFunc
		code      remote.Code // of a write; "" is a conflict
		unchanged bool
		hint      string
	}{
		{"exists", says(409, "BlobAlreadyExists"), "", true, ""},
		{"stale", says(412, "ConditionNotMet"), "", true, ""},
		{"nothing to replace", says(404, "BlobNotFound"), "", true, ""},
		{"no container", says(404, "ContainerNotFound"), remote.NoPlace, true, "az storage container create"},
		{"being deleted", says(409, "ContainerBeingDeleted"), remote.Busy, true, ""},
		{"a lease", says(412, "LeaseIdMissing"), remote.Invalid, true, "lease break"},
		{"immutable", says(409, "BlobImmutableDueToPolicy"), remote.Invalid, true, "immutability"},
		{"no role", says(403, "AuthorizationPermissionMismatch"), remote.Denied, true, "Storage Blob Data Contributor"},
		{"firewall", says(403, "AuthorizationFailure"), remote.Denied, true, "firewall"},
		{"no keys", says(403, "KeyBasedAuthenticationNotPermitted"), remote.Denied, true, "AZURE_STORAGE_KEY"},
		{"run out", says(403, "AuthenticationFailed"), remote.Denied, true, "run out"},
		{"not signed in", says(401, "NoAuthenticationInformation"), remote.Denied, true, "grant"},
		{"throttled", says(429, "TooManyRequests", "Retry-After", "7"), remote.Busy, true, ""},
		{"busy", says(503, "ServerBusy", "Retry-After", "7"), remote.Busy, false, ""},
		{"broken", says(500, "InternalError"), remote.Busy, false, ""},
		{"too large", says(413, "RequestBodyTooLarge"), remote.Invalid, true, ""},
		{"odd code", says(400, "<html>"+inBody), remote.Unreachable, false, "proxy"},
		{"a proxy refuses", says(403, ""), remote.Unreachable, false, "proxy"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>" + inBody)) }, remote.Unreachable, false, "proxy"},
		{"a page that is created", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }, remote.Unreachable, false, "proxy"},
		{"redirected", says(307, "", "Location", "http://127.0.0.1:1/"), remote.Unreachable, false, ""},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, remote.Unreachable, false, ""},
		{"odd headers", says(201, "", "ETag", `"1"`, "Date", inBody, "Last-Modified", inBody, "x-ms-content-crc64", inBody, "Content-MD5", inBody), "none", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := answering(t, c.do)
			_, put := s.Put(t.Context(), remote.LockBlob, []byte("x"), `"0"`)
			e, ok := errors.AsType[*remote.Error](put)
			switch {
			case c.code == "none":
				if put != nil {
					t.Errorf("put: %v", put)
				}
				return
			case c.code == "":
				if !errors.Is(put, remote.ErrConflict) {
					t.Errorf("put: %v", put)
				}
			case !ok || e.Code != c.code || e.Unchanged != c.unchanged || !strings.Contains(e.Hint, c.hint):
				t.Errorf("put: %#v", put)
			case (c.name == "throttled" || c.name == "busy") != (e.After == 7*time.Second):
				t.Errorf("to be left alone for %s", e.After)
			}
			_, get := s.Get(t.Context(), remote.LockBlob)
			_, list := s.History(t.Context(), remote.StateBlob)
			_, version := s.GetVersion(t.Context(), remote.StateBlob, "2026-11-24T00:00:00Z")
			for _, err := range []error{put, get, s.Delete(t.Context(), remote.LockBlob, `"0"`), list, version} {
				if e, ok := errors.AsType[*remote.Error](err); ok && e.Op != "write" && e.Op != "delete" && !e.Unchanged {
					t.Errorf("a read that changes: %v", err)
				}
				for _, never := range []string{signature, inBody, "html", "\n"} {
					if err != nil && strings.Contains(err.Error(), never) {
						t.Errorf("%v: holds %s", err, never)
					}
				}
			}
			if get == nil {
				t.Error("it was read")
			}
		})
	}
}

// Whoever signs in with the account's key is told to look at that first.
func TestAWrongKeyIsNamed(t *testing.T) {
	for _, code := range []string{"AuthenticationFailed", "AuthorizationFailure"} {
		s := answering(t, says(403, code))
		other, err := (&Config{Account: "account"}).sharedKey("b3RoZXI=", "")
		if err != nil {
			t.Fatal(err)
		}
		s.access = other
		_, err = s.Get(t.Context(), remote.StateBlob)
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Code != remote.Denied || !strings.Contains(e.Hint, "AZURE_STORAGE_KEY is a key of this account") || strings.Contains(err.Error(), "b3RoZXI") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{"http://" + address, "https://" + strings.Repeat("x", 64) + ".invalid"} {
		_, err = at(t, endpoint).Put(t.Context(), remote.LockBlob, []byte("x"), "")
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Code != remote.Unreachable || !e.Unchanged || strings.Contains(err.Error(), signature) {
			t.Errorf("%s: %#v", endpoint, err)
		}
	}
	done := make(chan struct{})
	s := answering(t, func(http.ResponseWriter, *http.Request) { <-done })
	defer close(done)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Put(ctx, remote.LockBlob, []byte("x"), "")
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Unchanged || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%#v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	endless := func(status int) *store {
		return answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ms-request-id", "1")
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(status)
			piece := []byte(strings.Repeat("x", 1<<20))
			for {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		})
	}
	for _, status := range []int{200, 500} {
		if _, err := endless(status).Get(t.Context(), remote.StateBlob); err == nil || status == 200 && !errors.Is(err, errLarge) {
			t.Errorf("%d: %v", status, err)
		}
	}
	cut := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("short"))
	})
	if _, err := cut.Get(t.Context(), remote.StateBlob); err == nil {
		t.Error("a cut blob was read")
	}
	if _, err := cut.Put(t.Context(), remote.StateBlob, make([]byte, remote.MaxBytes+1), ""); err == nil {
		t.Error("too much was written")
	}
}

// What is asked for, as the service reads it.
func TestRequests(t *testing.T) {
	var got []string
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("If-Match")+r.Header.Get("If-None-Match")))
		w.Header().Set("x-ms-request-id", "1")
		w.Header().Set("ETag", `"0x1"`)
		w.Header().Set("Date", "Tue, 24 Nov 2026 13:00:30 GMT")
		w.Header().Set("Last-Modified", "Tue, 24 Nov 2026 13:00:00 GMT")
		w.WriteHeader(map[string]int{"PUT": 201, "GET": 200, "DELETE": 202}[r.Method])
	})
	b, err := s.Get(t.Context(), remote.StateBlob)
	if err != nil || b.Tag != `"0x1"` || b.Age != 30*time.Second {
		t.Errorf("%+v %v", b, err)
	}
	_, create := s.Put(t.Context(), remote.JournalBlob, nil, "")
	_, replace := s.Put(t.Context(), remote.LockBlob, []byte("x"), b.Tag)
	if err := errors.Join(create, replace, s.Delete(t.Context(), remote.ProbePrefix+"1", b.Tag)); err != nil {
		t.Error(err)
	}
	want := []string{
		"GET /account/states/team%2Fcoffer", "PUT /account/states/team%2Fcoffer.journal *",
		`PUT /account/states/team%2Fcoffer.lock "0x1"`, `DELETE /account/states/team%2Fcoffer.probe-1 "0x1"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s", strings.Join(got, "\n"))
	}
}

func TestHistory(t *testing.T) {
	const item = `<Blob><Name>%s</Name>%s<Properties><Last-Modified>Tue, 24 Nov 2026 13:00:0%d GMT</Last-Modified><Etag>1</Etag><Content-Length>%d</Content-Length></Properties></Blob>`
	pages := map[string]string{
		"": fmt.Sprintf(item, "team/coffer", "<VersionId>2026-11-24T13:00:01.1Z</VersionId>", 1, 11) +
			fmt.Sprintf(item, "team/coffer", "<VersionId>2026-11-24T13:00:02.1Z</VersionId>", 2, 12) + "@more",
		"more": fmt.Sprintf(item, "team/coffer", "<VersionId>2026-11-24T13:00:03.1Z</VersionId><IsCurrentVersion>true</IsCurrentVersion>", 3, 13) +
			fmt.Sprintf(item, "team/coffer.journal", "<VersionId>2026-11-24T13:00:04.1Z</VersionId>", 4, 14) + "@never",
	}
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-ms-request-id", "1")
		if id := r.URL.Query().Get("versionid"); id != "" {
			_, _ = w.Write([]byte(id))
			return
		}
		items, next, _ := strings.Cut(pages[r.URL.Query().Get("marker")], "@")
		w.Header().Set("Content-Type", "application/xml")
		_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><EnumerationResults><Blobs>%s</Blobs><NextMarker>%s</NextMarker></EnumerationResults>`, items, next)
	})
	list, err := s.History(t.Context(), remote.StateBlob)
	if err != nil || len(list) != 3 || !list[0].Latest || list[0].Bytes != 13 || list[2].Written.Second() != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	if data, err := s.GetVersion(t.Context(), remote.StateBlob, list[2].ID); err != nil || string(data) != list[2].ID {
		t.Errorf("%q %v", data, err)
	}
	pages[""] = fmt.Sprintf(item, "team/coffer", "", 1, 11)
	if list, err := s.History(t.Context(), remote.StateBlob); err != nil || len(list) != 0 {
		t.Errorf("without versioning: %+v %v", list, err)
	}
}
