package gcs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

// blobs are the objects of one state. A tag is a generation, in digits.
type blobs struct {
	config Config
	http   *http.Client
	base   string  // https://HOST
	at     string  // " at HOST" where it is not Google's own
	tokens *tokens // nil where no credentials are sent
	agent  string
	now    func() time.Time
}

var (
	_ remote.Blobs     = (*blobs)(nil)
	_ remote.Historian = (*blobs)(nil)
)

func (b *blobs) String() string { return b.place(b.config.Key) }

func (b *blobs) place(key string) string { return "gs://" + b.config.Bucket + "/" + key + b.at }

// key is the object of a blob: the state's own, or one beside it.
func (c *Config) key(name string) string {
	if name == remote.StateBlob {
		return c.Key
	}
	return c.Key + "." + name
}

// bucket is the address of the bucket below the service's.
func (b *blobs) bucket() string { return "/storage/v1/b/" + url.PathEscape(b.config.Bucket) }

func (b *blobs) object(key string) string { return b.bucket() + "/o/" + url.PathEscape(key) }

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

func (b *blobs) get(ctx context.Context, name, generation string) (remote.Blob, error) {
	r := b.request("read", name)
	query := url.Values{"alt": {"media"}}
	if generation != "" {
		query.Set("generation", generation)
	}
	data, header, err := r.do(ctx, http.MethodGet, b.object(r.key), query, "", nil)
	if err != nil {
		return remote.Blob{}, err
	}
	blob := remote.Blob{Data: data, Tag: header.Get("X-Goog-Generation"), Age: age(header)}
	if !isGeneration(blob.Tag) {
		return remote.Blob{}, r.error(remote.Unreachable, errNoTag, hintStranger)
	}
	return blob, nil
}

func age(header http.Header) time.Duration {
	written, err := http.ParseTime(header.Get("Last-Modified"))
	now, err2 := http.ParseTime(header.Get("Date"))
	if err != nil || err2 != nil {
		return -1
	}
	return max(now.Sub(written), 0)
}

// Put implements [remote.Blobs].
func (b *blobs) Put(ctx context.Context, name string, data []byte, match string) (string, error) {
	r := b.request("write", name)
	if len(data) > remote.MaxBytes {
		return "", r.refused(remote.Invalid, errTooLarge, "")
	}
	query := url.Values{"uploadType": {"multipart"}, "ifGenerationMatch": {cmp.Or(match, "0")}, "fields": {"generation"}}
	if b.config.KMSKeyName != "" {
		query.Set("kmsKeyName", b.config.KMSKeyName)
	}
	body, kind, err := upload(r.key, data)
	if err != nil {
		return "", r.refused(remote.Invalid, err, "")
	}
	answer, _, err := r.do(ctx, http.MethodPost, "/upload"+b.bucket()+"/o", query, kind, body)
	if err != nil {
		return "", err
	}
	var made struct{ Generation string }
	if json.Unmarshal(answer, &made) != nil || !isGeneration(made.Generation) {
		return "", r.error(remote.Unreachable, errNoTag, hintStranger)
	}
	return made.Generation, nil
}

// upload returns a body that holds an object's metadata and its content, and of
// what kind it is.
func upload(key string, data []byte) (body []byte, kind string, err error) {
	metadata, err := json.Marshal(map[string]string{"name": key, "contentType": "application/octet-stream", "cacheControl": "no-store"})
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	b.Grow(len(data) + 1024)
	w := multipart.NewWriter(&b)
	for _, part := range []struct {
		kind string
		data []byte
	}{{"application/json; charset=utf-8", metadata}, {"application/octet-stream", data}} {
		to, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind}})
		if err != nil {
			return nil, "", err
		}
		if _, err := to.Write(part.data); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), "multipart/related; boundary=" + w.Boundary(), nil
}

// Delete implements [remote.Blobs].
func (b *blobs) Delete(ctx context.Context, name, match string) error {
	r := b.request("delete", name)
	_, _, err := r.do(ctx, http.MethodDelete, b.object(r.key), url.Values{"ifGenerationMatch": {match}}, "", nil)
	return err
}

func isGeneration(text string) bool {
	return text != "" && text != "0" && len(text) <= 20 && strings.Trim(text, digits) == ""
}

// do makes one request and returns the answer of a success.
func (r request) do(ctx context.Context, method, path string, query url.Values, kind string, body []byte) ([]byte, http.Header, error) {
	b := r.blobs
	req, err := http.NewRequestWithContext(ctx, method, b.base+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, r.refused(remote.Invalid, errors.New("the address cannot be used"), "")
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if b.agent != "" {
		req.Header.Set("User-Agent", b.agent)
	}
	if err := r.authorize(ctx, req); err != nil {
		return nil, nil, err
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, nil, r.unanswered(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	limit := int64(remote.MaxBytes + 1)
	if resp.StatusCode >= 300 {
		limit = errorBytes
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	switch {
	case resp.StatusCode >= 300:
		return nil, nil, r.answered(resp, data)
	case err != nil:
		return nil, nil, r.unanswered(ctx, err)
	case len(data) > remote.MaxBytes:
		return nil, nil, r.error(remote.Invalid, errTooLarge, "")
	}
	return data, resp.Header, nil
}

// Texts of errors in more than one place.
var (
	errTooLarge = fmt.Errorf("it is larger than %d MiB", remote.MaxBytes>>20)
	errNoTag    = errors.New("the answer names no generation")
)

const hintStranger = "something that is not the store answers: see that endpoint is right and that no proxy stands in between"

// errorBytes is how much of an answer with an error status is read.
const errorBytes = 64 << 10
