package azblob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/cofferhq/coffer/state/remote"
)

// Get implements [remote.Blobs].
func (s *store) Get(ctx context.Context, name string) (remote.Blob, error) {
	r := request{s, "read", s.keyOf(name)}
	client, err := s.client(r.key)
	if err != nil {
		return remote.Blob{}, r.failed(ctx, err)
	}
	answer, err := client.DownloadStream(ctx, nil)
	if err != nil {
		return remote.Blob{}, r.failed(ctx, err)
	}
	data, err := readAll(answer.Body)
	if err != nil {
		return remote.Blob{}, r.failed(ctx, err)
	}
	if answer.ETag == nil || *answer.ETag == "" || answer.RequestID == nil {
		return remote.Blob{}, r.failed(ctx, errStranger)
	}
	return remote.Blob{Data: data, Tag: string(*answer.ETag), Age: age(answer.Date, answer.LastModified)}, nil
}

// age is by the store's clock on both ends.
func age(now, written *time.Time) time.Duration {
	if now == nil || written == nil {
		return -1
	}
	return max(0, now.Sub(*written))
}

func readAll(body io.ReadCloser) ([]byte, error) {
	data, err := io.ReadAll(body)
	return data, errors.Join(err, body.Close())
}

// Put implements [remote.Blobs].
func (s *store) Put(ctx context.Context, name string, data []byte, match string) (string, error) {
	r := request{s, "write", s.keyOf(name)}
	if len(data) > remote.MaxBytes {
		return "", r.refused(remote.Invalid, errLarge, "")
	}
	client, err := s.client(r.key)
	if err != nil {
		return "", r.failed(ctx, err)
	}
	kind := "application/octet-stream"
	answer, err := client.Upload(ctx, streaming.NopCloser(bytes.NewReader(data)), &blockblob.UploadOptions{
		HTTPHeaders:      &blob.HTTPHeaders{BlobContentType: &kind},
		AccessConditions: condition(match),
	})
	if err == nil && (answer.ETag == nil || *answer.ETag == "" || answer.RequestID == nil) {
		err = errStranger
	}
	if err != nil {
		err = r.failed(ctx, err)
		if errors.Is(err, remote.ErrNotFound) {
			return "", remote.ErrConflict // there is nothing to replace
		}
		return "", err
	}
	return string(*answer.ETag), nil
}

// condition is that the blob has the tag match, or that there is none.
func condition(match string) *blob.AccessConditions {
	c := &blob.ModifiedAccessConditions{}
	if match == "" {
		any := azcore.ETagAny
		c.IfNoneMatch = &any
	} else {
		tag := azcore.ETag(match)
		c.IfMatch = &tag
	}
	return &blob.AccessConditions{ModifiedAccessConditions: c}
}

// Delete implements [remote.Blobs]. It asks a second time where it is refused.
func (s *store) Delete(ctx context.Context, name, match string) error {
	r := request{s, "delete", s.keyOf(name)}
	client, err := s.client(r.key)
	if err != nil {
		return r.failed(ctx, err)
	}
	answer, err := client.Delete(ctx, &blob.DeleteOptions{AccessConditions: condition(match)})
	if err == nil && answer.RequestID == nil {
		err = errStranger
	}
	if err == nil {
		return nil
	}
	err = r.failed(ctx, err)
	if errors.Is(err, remote.ErrConflict) {
		// The condition also fails where there is nothing.
		if _, ask := client.GetProperties(ctx, nil); ask != nil && errors.Is(r.failed(ctx, ask), remote.ErrNotFound) {
			return remote.ErrNotFound
		}
	}
	return err
}

// bounded is a client whose answers are not read beyond what they may have.
type bounded struct{ client *http.Client }

// maxError bounds an answer that is not a blob.
const maxError = 1 << 20

// Do implements the SDK's Transporter.
func (b bounded) Do(req *http.Request) (*http.Response, error) {
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	most := int64(maxError)
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
		most = remote.MaxBytes
	}
	resp.Body = &limited{resp.Body, most}
	// What the SDK's own types fail to read would be an error of theirs with the
	// header in it.
	for _, name := range []string{"Date", "Last-Modified"} {
		if _, err := time.Parse(time.RFC1123, resp.Header.Get(name)); err != nil {
			resp.Header.Del(name)
		}
	}
	for name := range resp.Header {
		if strings.HasPrefix(name, "X-Ms-") && !wanted(name) {
			resp.Header.Del(name)
		}
	}
	resp.Header.Del("Content-Md5")
	return resp, nil
}

// wanted reports whether a header of the service is looked at here.
func wanted(name string) bool {
	switch name {
	case "X-Ms-Request-Id", "X-Ms-Error-Code", "X-Ms-Version", "X-Ms-Version-Id", "X-Ms-Retry-After-Ms":
		return true
	}
	return false
}

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errLarge
	}
	return n, err
}
