package azblob

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/cofferhq/coffer/state/remote"
)

var (
	errStranger = errors.New("the answer is not one of Azure Blob Storage")
	errLarge    = fmt.Errorf("more than %d bytes", remote.MaxBytes)
)

const (
	hintStranger = "see that account and endpoint are right, and that no proxy answers in their place"
	firewall     = "let the account's firewall take this machine's address, or grant the role "
	isKey        = "see that AZURE_STORAGE_KEY is a key of this account as it is now (`az storage account keys list`)"
	hintSignIn   = "sign in with `az login`, or give the run an identity: see docs/state/azblob.md"
)

// request is one request, for its errors.
type request struct {
	store *store
	op    string
	key   string
}

// error is of a request that may have done something, unless it only reads.
func (r request) error(code remote.Code, err error, hint string) *remote.Error {
	return &remote.Error{Code: code, Place: r.store.place(r.key), Op: r.op, Unchanged: r.op != "write" && r.op != "delete", Err: err, Hint: hint}
}

// refused is of one that did nothing.
func (r request) refused(code remote.Code, err error, hint string) *remote.Error {
	e := r.error(code, err, hint)
	e.Unchanged = true
	return e
}

// failed is the error of a request. The SDK's texts hold addresses, with the
// signature in them, and answers whole: nothing of them is kept.
func (r request) failed(ctx context.Context, err error) error {
	signIn, isSignIn := errors.AsType[*signInError](err)
	answer, isAnswer := errors.AsType[*azcore.ResponseError](err)
	switch {
	case ctx.Err() != nil:
		e := r.error(remote.Unreachable, ctx.Err(), "")
		e.Unchanged = e.Unchanged || isSignIn
		return e
	case isSignIn:
		return r.signIn(signIn)
	case errors.Is(err, errLarge):
		return r.error(remote.Invalid, errLarge, "")
	case errors.Is(err, errStranger):
		return r.error(remote.Unreachable, errStranger, hintStranger)
	case isAnswer:
		return r.answered(answer.StatusCode, answer.ErrorCode, answer.RawResponse)
	}
	return r.unanswered(err)
}

// signIn is of a request that was not sent.
func (r request) signIn(failed *signInError) error {
	if reason := failed.reason(); reason != "" {
		return r.refused(remote.Denied, fmt.Errorf("the sign-in is refused by Entra ID: %s", reason), "look the number up at https://login.microsoftonline.com/error")
	}
	for _, err := range failed.errs {
		if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && refused.RawResponse != nil {
			status := refused.RawResponse.StatusCode
			code := remote.Denied
			if status == http.StatusTooManyRequests || status >= 500 {
				code = remote.Busy
			}
			return r.refused(code, fmt.Errorf("%w: status %d", failed.plain(), status), hintSignIn)
		}
	}
	if len(failed.errs) == 1 {
		if cause, ok := remote.NetworkError(failed.errs[0]); ok {
			return r.refused(remote.Unreachable, fmt.Errorf("%w: %w", failed.plain(), cause), "")
		}
	}
	return r.refused(remote.Denied, failed.plain(), hintSignIn)
}

// plain is the error without what the SDK said.
func (e *signInError) plain() error { return errors.New(e.Error()) }

// unanswered is of a request without an answer.
func (r request) unanswered(err error) error {
	cause, known := remote.NetworkError(err)
	op, isOp := errors.AsType[*net.OpError](cause)
	_, isName := errors.AsType[*net.DNSError](cause)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](cause)
	switch {
	case !known:
		return r.error(remote.Unreachable, errors.New("the connection ended, or the answer cannot be read"), hintStranger)
	case isCertificate:
		return r.refused(remote.Unreachable, cause, "if the authority of the certificate is your own, name its file in SSL_CERT_FILE")
	case isName:
		return r.refused(remote.Unreachable, cause, "see that the account exists and its name is right")
	case isOp && op.Op == "dial":
		return r.refused(remote.Unreachable, cause, "")
	}
	return r.error(remote.Unreachable, cause, "")
}

// answered is of a request that was refused.
func (r request) answered(status int, code string, resp *http.Response) error {
	code = word(code)
	said := fmt.Errorf("the service answers %d %s", status, code)
	e := r.meaning(status, code, said)
	if e, ok := e.(*remote.Error); ok {
		e.After = retryAfter(resp)
	}
	return e
}

func (r request) meaning(status int, code string, said error) error {
	switch {
	case code == "" || status < 300:
		return r.error(remote.Unreachable, fmt.Errorf("the answer has status %d and is not of Azure's form", status), hintStranger)
	case status < 400:
		return r.error(remote.Unreachable, fmt.Errorf("the answer has status %d and leads elsewhere", status), hintStranger)
	case code == "ConditionNotMet", code == "TargetConditionNotMet", code == "BlobAlreadyExists", code == "UnsupportedConditionNotMet":
		return remote.ErrConflict
	case code == "BlobNotFound":
		return remote.ErrNotFound
	case strings.HasPrefix(code, "LeaseId"), strings.HasPrefix(code, "LeaseNot"), strings.HasPrefix(code, "LeaseLost"):
		return r.refused(remote.Invalid, said, "somebody holds a lease on the blob, which coffer never does: `az storage blob lease break`")
	case code == "ContainerBeingDeleted":
		return r.refused(remote.Busy, said, "the container is being deleted")
	case code == "ContainerNotFound", status == http.StatusNotFound:
		return r.refused(remote.NoPlace, said, fmt.Sprintf("create it: `az storage container create --auth-mode login --account-name %s --name %s`", r.store.accountName(), r.store.container))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return r.refused(remote.Denied, said, r.grant(code))
	case status == http.StatusTooManyRequests:
		return r.refused(remote.Busy, said, "")
	case status >= 500, status == http.StatusRequestTimeout:
		return r.error(remote.Busy, said, "")
	case strings.HasPrefix(code, "BlobImmutable"), code == "BlobArchived":
		return r.refused(remote.Invalid, said, "the state is replaced all the time: use a container without immutability and archiving")
	}
	return r.refused(remote.Invalid, said, "")
}

// grant is the advice for a refusal.
func (r request) grant(code string) string {
	role := "Storage Blob Data Contributor"
	if r.op == "read" || r.op == "list the versions of" {
		role = "Storage Blob Data Reader"
	}
	byKey := r.store.access.key != nil
	switch code {
	case "AuthorizationFailure":
		if byKey {
			return isKey + ", and let the account's firewall take this machine's address"
		}
		return firewall + role + " on the container"
	case "IpAuthorizationError", "NetworkSecurityPerimeterDenied":
		return firewall + role + " on the container"
	case "KeyBasedAuthenticationNotPermitted":
		return "the account takes no keys: leave AZURE_STORAGE_KEY out and sign in with an identity"
	case "AuthenticationFailed", "InvalidAuthenticationInfo":
		if byKey {
			return isKey + ", and that this machine's clock is right"
		}
		return "the signature or token is not this account's, or has run out; see that this machine's clock is right"
	}
	return "grant the role " + role + " on the container, or what \"coffer permissions\" lists"
}

// accountName is the account for commands.
func (s *store) accountName() string {
	if s.account != "" {
		return s.account
	}
	host := strings.TrimPrefix(strings.TrimPrefix(s.base, "https://"), "http://")
	name, _, _ := strings.Cut(host, ".")
	return name
}

// word is a code of the service, "" for what is none.
func word(code string) string {
	if len(code) > 80 || strings.Trim(strings.ToLower(code), "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return ""
	}
	return code
}

// retryAfter is how long the service asks to be left alone.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	if ms, err := strconv.Atoi(resp.Header.Get("X-Ms-Retry-After-Ms")); err == nil && ms > 0 {
		return min(time.Duration(ms)*time.Millisecond, time.Hour)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return min(time.Duration(min(seconds, 3600))*time.Second, time.Hour)
	}
	return 0
}
