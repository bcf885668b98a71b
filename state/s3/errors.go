package s3

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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

// ready finds the credentials, which the SDK keeps, so that what goes wrong here
// is not taken for an answer of the store.
func (r request) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return r.refused(remote.Unreachable, err, "")
	}
	_, err := r.blobs.credentials.Retrieve(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return r.refused(remote.Unreachable, ctx.Err(), "")
	}
	// The SDK's texts may hold what a credential process printed.
	var service smithy.APIError
	failed, isNetwork := remote.NetworkError(err)
	switch {
	case errors.As(err, &service):
		code, why := remote.Denied, fmt.Errorf("the credentials cannot be had: %s", word(service.ErrorCode()))
		var answer *smithyhttp.ResponseError
		if errors.As(err, &answer) && answer.HTTPResponse().StatusCode >= 500 || strings.HasPrefix(service.ErrorCode(), "Throttl") {
			code = remote.Busy
		}
		return r.refused(code, why, "see that the session has not ended and that you may take on the role: `aws sts get-caller-identity`")
	case isNetwork && !strings.Contains(err.Error(), machineRole):
		return r.refused(remote.Unreachable, fmt.Errorf("the credentials cannot be had: %w", failed), "see that AWS's sign-in and token services can be reached")
	}
	return r.refused(remote.Denied, errors.New("no AWS credentials were found"),
		"set AWS_PROFILE, or profile, or sign in: `aws sts get-caller-identity` searches in the same places")
}

// machineRole is how the SDK's texts call the last place of its search, which is
// asked over the network on machines that have no role at all.
const machineRole = "EC2 IMDS"

// failed is the error of a request that the SDK reports as such.
func (r request) failed(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return r.error(remote.Unreachable, cause, "")
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPResponse().StatusCode < 300 {
		return r.unanswered(err)
	}
	var refusal smithy.APIError
	code := ""
	if errors.As(err, &refusal) {
		code = word(refusal.ErrorCode())
	}
	status, header := answer.HTTPResponse().StatusCode, answer.HTTPResponse().Header
	e := r.answered(status, code, header)
	if e, ok := e.(*remote.Error); ok {
		e.After = remote.RetryAfter(header, r.blobs.now)
	}
	return e
}

// unanswered is of a request without an answer, or with one that broke off or
// cannot be read.
func (r request) unanswered(err error) error {
	failed, known := remote.NetworkError(err)
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case !known:
		return r.error(remote.Unreachable, errors.New("the connection ended, or the answer cannot be read"), hintStranger)
	case errors.As(failed, &certificate):
		return r.refused(remote.Invalid, failed, "if the authority of the certificate is your own, name its file in AWS_CA_BUNDLE")
	case errors.Is(failed, http.ErrSchemeMismatch):
		return r.refused(remote.Invalid, failed, "write http:// into endpoint if the store really has no TLS")
	case errors.As(failed, &op) && op.Op == "dial":
		return r.refused(remote.Unreachable, failed, "")
	}
	return r.error(remote.Unreachable, failed, "")
}

// own reports whether an answer is the store's own: a gateway's has no code, and
// the SDK then makes one of the status.
func own(status int, code string) bool {
	return code != "" && code != "UnknownError" && code != strings.ReplaceAll(http.StatusText(status), " ", "")
}

func (r request) answered(status int, code string, header http.Header) error {
	said := fmt.Errorf("the store answers %s", cmp.Or(code, strconv.Itoa(status)))
	switch {
	case status == http.StatusPreconditionFailed, code == "ConditionalRequestConflict", code == "OperationAborted":
		return remote.ErrConflict
	case code == "NoSuchKey" || code == "NoSuchVersion":
		return remote.ErrNotFound
	case code == "NoSuchBucket":
		return r.refused(remote.NoPlace, said, fmt.Sprintf("create the bucket %s with versioning, or see that bucket, region and endpoint are right", r.blobs.config.Bucket))
	case status == http.StatusTooManyRequests, code == "SlowDown":
		return r.refused(remote.Busy, said, "")
	case code == "RequestTimeTooSkewed":
		// The SDK has now learnt by how much, and signs the next one right.
		return r.refused(remote.Busy, said, "set the clock of this machine")
	case status >= 500 && code != "NotImplemented", code == "RequestTimeout", status == http.StatusRequestTimeout:
		return r.error(remote.Busy, said, "")
	case code == "PermanentRedirect", code == "TemporaryRedirect", code == "AuthorizationHeaderMalformed", code == "IllegalLocationConstraintException":
		return r.refused(remote.Invalid, said, r.elsewhere(header))
	case code == "NotImplemented", code == "MethodNotAllowed":
		return r.refused(remote.Invalid, said, "this store does not know conditional writes or versions: use one that does")
	case !own(status, code):
		return r.error(remote.Unreachable, fmt.Errorf("the answer has status %d and is not of S3's form", status), hintStranger)
	case status == http.StatusForbidden, status == http.StatusUnauthorized, isCredential(code):
		return r.refused(remote.Denied, said, r.grant(code))
	case strings.HasPrefix(code, "KMS."):
		return r.refused(remote.Denied, said, "see that kms_key_id exists and is enabled, and grant kms:Decrypt and kms:GenerateDataKey on it")
	}
	return r.refused(remote.Invalid, said, "")
}

// elsewhere is the advice where a bucket lies in another region.
func (r request) elsewhere(header http.Header) string {
	if region := header.Get("X-Amz-Bucket-Region"); region != "" && len(region) < 40 && strings.Trim(region, letters+digits+"-") == "" {
		return fmt.Sprintf("the bucket is in %s: write region = %q", region, region)
	}
	return fmt.Sprintf("the bucket is not in the region %s: write its own into region", r.blobs.region)
}

func isCredential(code string) bool {
	switch code {
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return true
	}
	return false
}

// grant is the advice for a refusal.
func (r request) grant(code string) string {
	switch code {
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return "sign in again: the session has ended"
	case "InvalidAccessKeyId":
		return "these keys are not of this store: see which are found with `aws configure list`"
	case "SignatureDoesNotMatch":
		return "the secret key is not the one of this access key, or region is not the store's"
	}
	switch r.op {
	case "write":
		return "grant s3:PutObject and s3:GetObject on the state's objects, and the use of their key"
	case "delete":
		return "grant s3:DeleteObject on the probes"
	case "read":
		return "grant s3:GetObject on the state's objects and s3:ListBucket on the bucket, without which a missing object looks like this"
	}
	return "grant s3:ListBucketVersions on the bucket"
}

// word keeps of a code what a code is made of.
func word(code string) string {
	if len(code) > 60 || strings.Trim(code, letters+digits+".-_") != "" {
		return "UnknownError"
	}
	return code
}
