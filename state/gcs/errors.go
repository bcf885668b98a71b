package gcs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/cofferhq/coffer/state/remote"
)

// request is one request, for its errors.
type request struct {
	blobs *blobs
	op    string
	key   string
}

func (b *blobs) request(op, name string) request {
	return request{blobs: b, op: op, key: b.config.key(name)}
}

// error is of a request that may have done something, unless it only reads.
func (r request) error(code remote.Code, err error, hint string) *remote.Error {
	return &remote.Error{Code: code, Place: r.blobs.place(r.key), Op: r.op, Unchanged: r.op != "write" && r.op != "delete", Err: err, Hint: hint}
}

// refused is of one that did nothing.
func (r request) refused(code remote.Code, err error, hint string) *remote.Error {
	e := r.error(code, err, hint)
	e.Unchanged = true
	return e
}

// unanswered is of a request without an answer, or with one that broke off.
func (r request) unanswered(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return r.error(remote.Unreachable, cause, "")
	}
	err = cause(err)
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return r.refused(remote.Invalid, err, "if the authority of the certificate is your own, name its file in SSL_CERT_FILE")
	case errors.Is(err, http.ErrSchemeMismatch):
		return r.refused(remote.Invalid, err, "write http:// into endpoint if the store really has no TLS")
	case errors.As(err, &op) && op.Op == "dial":
		return r.refused(remote.Unreachable, err, "")
	}
	return r.error(remote.Unreachable, err, "")
}

// cause is the error of the network, or one that says nothing of the answer.
func cause(err error) error {
	if known, ok := remote.NetworkError(err); ok {
		return known
	}
	return errors.New("the connection ended, or the answer cannot be read")
}

// said is what the store says in an answer with an error status. Only a reason
// is ever told: the rest may hold anything.
type said struct {
	own    bool // it is the store's own, not a gateway's
	reason string
	text   string
}

func (s said) says(words string) bool { return strings.Contains(s.text, words) }

func parseSaid(header http.Header, body []byte) said {
	var answer struct {
		Error struct {
			Code    int
			Message string
			Errors  []struct{ Reason string }
		}
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Code != 0 {
		s := said{own: true, text: answer.Error.Message}
		for _, e := range answer.Error.Errors {
			s.reason = word(e.Reason)
		}
		return s
	}
	// A download's error is in plain text.
	s := said{own: header.Get("X-Guploader-Uploadid") != "", text: strings.TrimSpace(string(body))}
	s.own = s.own || strings.HasPrefix(s.text, "No such object") || s.text == "Not Found" || s.says(noBucket)
	return s
}

const noBucket = "The specified bucket does not exist"

// word keeps of a reason what a reason is made of.
func word(reason string) string {
	if len(reason) > 60 || strings.Trim(reason, letters+digits+".-_") != "" {
		return ""
	}
	return reason
}

// answered is of an answer with an error status.
func (r request) answered(resp *http.Response, body []byte) error {
	s := parseSaid(resp.Header, body)
	err := r.judged(resp.StatusCode, s)
	if e, ok := err.(*remote.Error); ok {
		e.After = remote.RetryAfter(resp.Header, r.blobs.now)
	}
	return err
}

func (r request) judged(status int, s said) error {
	text := fmt.Errorf("the store answers %d", status)
	if s.reason != "" {
		text = fmt.Errorf("the store answers %d %s", status, s.reason)
	}
	switch {
	case status == http.StatusPreconditionFailed, status == http.StatusConflict && s.own:
		return remote.ErrConflict
	case status == http.StatusTooManyRequests, strings.HasSuffix(s.reason, "ateLimitExceeded"):
		// Google takes one write a second to one object.
		return r.refused(remote.Busy, text, "")
	case status >= 500, status == http.StatusRequestTimeout:
		return r.error(remote.Busy, text, "")
	case status < 400:
		return r.error(remote.Unreachable, fmt.Errorf("the answer has status %d and leads elsewhere", status), hintStranger)
	case !s.own:
		return r.error(remote.Unreachable, fmt.Errorf("the answer has status %d and is not of the store's form", status), hintStranger)
	case status == http.StatusNotFound:
		return r.missing(s, text)
	case status == http.StatusUnauthorized:
		return r.refused(remote.Denied, text, "sign in again, `gcloud auth application-default login`, or see that the account is not disabled")
	case status == http.StatusForbidden:
		return r.refused(remote.Denied, text, r.grant())
	}
	return r.refused(remote.Invalid, text, "")
}

// missing tells the object from the bucket.
func (r request) missing(s said, text error) error {
	switch {
	case s.says(noBucket), (r.op == "write" || r.op == "list the versions") && !s.says("No such object"):
		return r.refused(remote.NoPlace, text, fmt.Sprintf("create the bucket %s with versioning, or see that its name is right", r.blobs.config.Bucket))
	case r.op == "write": // there is nothing to replace
		return remote.ErrConflict
	}
	return remote.ErrNotFound
}

// grant is the advice for a refusal.
func (r request) grant() string {
	switch r.op {
	case "write":
		hint := "grant storage.objects.create and storage.objects.delete (to replace is to delete) on the bucket"
		if r.blobs.config.KMSKeyName != "" {
			hint += ", and the project's storage service agent roles/cloudkms.cryptoKeyEncrypterDecrypter on kms_key_name"
		}
		return hint
	case "delete":
		return "grant storage.objects.delete on the bucket"
	case "read":
		return "grant storage.objects.get and storage.objects.list on the bucket: without the second, a missing object looks like this"
	}
	return "grant storage.objects.list on the bucket"
}
