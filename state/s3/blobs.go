package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cofferhq/coffer/state/remote"
)

// blobs are the objects of one state. A tag is an ETag, as the store gives it.
type blobs struct {
	config      Config
	client      *s3.Client
	credentials aws.CredentialsProvider
	at          string // " at HOST" where it is not with AWS
	endpoint    string // "" with AWS
	region      string
	now         func() time.Time
}

var (
	_ remote.Blobs     = (*blobs)(nil)
	_ remote.Historian = (*blobs)(nil)
)

func (b *blobs) String() string { return b.place(b.config.Key) }

func (b *blobs) place(key string) string { return "s3://" + b.config.Bucket + "/" + key + b.at }

// key is the object of a blob: the state's own, or one beside it.
func (c *Config) key(name string) string {
	if name == remote.StateBlob {
		return c.Key
	}
	return c.Key + "." + name
}

// Get implements [remote.Blobs]. The headers tell whole seconds, so the age may
// be one off.
func (b *blobs) Get(ctx context.Context, name string) (remote.Blob, error) {
	return b.get(ctx, name, "")
}

// GetVersion implements [remote.Historian].
func (b *blobs) GetVersion(ctx context.Context, name, id string) ([]byte, error) {
	got, err := b.get(ctx, name, id)
	return got.Data, err
}

func (b *blobs) get(ctx context.Context, name, version string) (remote.Blob, error) {
	r := b.request("read", name)
	if err := r.ready(ctx); err != nil {
		return remote.Blob{}, err
	}
	in := &s3.GetObjectInput{Bucket: &b.config.Bucket, Key: &r.key, ExpectedBucketOwner: b.owner()}
	if version != "" {
		in.VersionId = &version
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return remote.Blob{}, r.failed(ctx, err)
	}
	defer func() { _ = out.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(out.Body, remote.MaxBytes+1))
	switch {
	case err != nil:
		return remote.Blob{}, r.failed(ctx, err)
	case len(data) > remote.MaxBytes:
		return remote.Blob{}, r.error(remote.Invalid, errTooLarge, "")
	case aws.ToString(out.ETag) == "":
		return remote.Blob{}, r.error(remote.Unreachable, errNoTag, hintStranger)
	}
	blob := remote.Blob{Data: data, Tag: *out.ETag, Age: -1}
	if now, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok && out.LastModified != nil && !now.IsZero() {
		blob.Age = max(now.Sub(*out.LastModified), 0)
	}
	return blob, nil
}

// Put implements [remote.Blobs].
func (b *blobs) Put(ctx context.Context, name string, data []byte, match string) (string, error) {
	r := b.request("write", name)
	if len(data) > remote.MaxBytes {
		return "", r.refused(remote.Invalid, errTooLarge, "")
	}
	if err := r.ready(ctx); err != nil {
		return "", err
	}
	in := &s3.PutObjectInput{
		Bucket: &b.config.Bucket, Key: &r.key, ExpectedBucketOwner: b.owner(),
		Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ContentType: aws.String("application/octet-stream"),
	}
	if match == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &match
	}
	if b.config.KMSKeyID != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &b.config.KMSKeyID
	}
	if b.endpoint == "" {
		// A bucket with object lock takes no write without a checksum.
		sum := sha256.Sum256(data)
		in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
	out, err := b.client.PutObject(ctx, in)
	switch {
	case err != nil:
		err = r.failed(ctx, err)
		if errors.Is(err, remote.ErrNotFound) { // there is nothing to replace
			err = remote.ErrConflict
		}
		return "", err
	case aws.ToString(out.ETag) == "":
		return "", r.error(remote.Unreachable, errNoTag, hintStranger)
	}
	return *out.ETag, nil
}

// Delete implements [remote.Blobs]. It looks first, which no condition rests on:
// to delete what is not there is a success in this protocol.
func (b *blobs) Delete(ctx context.Context, name, match string) error {
	if _, err := b.Get(ctx, name); err != nil {
		return err
	}
	r := b.request("delete", name)
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: &b.config.Bucket, Key: &r.key, ExpectedBucketOwner: b.owner(), IfMatch: &match,
	})
	if err != nil {
		return r.failed(ctx, err)
	}
	return nil
}

func (b *blobs) owner() *string {
	if b.config.ExpectedBucketOwner == "" {
		return nil
	}
	return &b.config.ExpectedBucketOwner
}

// Texts of errors in more than one place.
var (
	errTooLarge = fmt.Errorf("it is larger than %d MiB", remote.MaxBytes>>20)
	errNoTag    = errors.New("the answer has no ETag")
)

const hintStranger = "something that is not the store answers: see that endpoint is right and that no proxy stands in between"

// errorBytes is how much of an answer with an error status is read.
const errorBytes = 64 << 10

// bounded cuts answers off, since the SDK reads lists and errors whole.
type bounded struct{ http.RoundTripper }

func (t bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	limit := int64(remote.MaxBytes + 1)
	if resp.StatusCode >= 300 {
		limit = errorBytes
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, limit), resp.Body}
	return resp, nil
}
