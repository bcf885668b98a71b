// Package seal encrypts what a remote state is kept as: names of secrets and
// places are nobody's business who may read a bucket. The state holds no value
// even so.
//
// Each blob is sealed with a data key of its own (AES-256-GCM, RFC 5116), which
// one [Key] wraps: an envelope. What the blob belongs to, project, lineage,
// serial and kind, stands in clear in its first line and is associated data: no
// byte of it can be changed without being noticed. An older blob as a whole can
// be put back; freshness is not what encryption gives.
package seal

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cofferhq/coffer/state/remote"
)

// Key wraps data keys.
type Key interface {
	// Method is how the configuration calls it: "age", "vault_transit".
	Method() string
	// ID names the key, or whom it wraps for: what another ID wrapped is wrapped
	// anew by the next write. It is no secret.
	ID() string
	// Wrap encrypts a data key into text.
	Wrap(ctx context.Context, key []byte) (string, error)
	// Unwrap returns what was wrapped. Its error says which key is missing.
	Unwrap(ctx context.Context, wrapped string) ([]byte, error)
}

// Sealer implements [remote.Sealer].
type Sealer struct {
	// Key wraps the data keys of what is written; nil writes it as it is.
	Key Key
	// Fallbacks only open.
	Fallbacks []Key
	// Plain: what is not sealed is taken too.
	Plain bool
	// Random is the source of data keys and nonces.
	Random io.Reader
}

var _ remote.Sealer = (*Sealer)(nil)

// header is the first line of a sealed blob.
type header struct {
	Sealed int          `json:"coffer_sealed"` // the format
	Bound  remote.Bound `json:"of"`
	Method string       `json:"method"`
	ID     string       `json:"id"`
	Key    string       `json:"key"` // the wrapped data key
	Nonce  []byte       `json:"nonce"`
}

const (
	format  = 1
	keySize = 32
	// maxHeader bounds what is parsed before anything is known to be ours.
	maxHeader = 64 << 10
)

// PlainError means that a blob is not encrypted though the configuration says
// that it is.
type PlainError struct{ Kind string }

func (e *PlainError) Error() string {
	return fmt.Sprintf("the %s is not encrypted, and the configuration says that it is: somebody replaced it, or it was written before. "+
		`To take it over, add encryption "none" { fallback = true } until the next apply`, e.Kind)
}

// NoKeyError means that no key at hand opens a blob.
type NoKeyError struct {
	Kind, Method string
	Errs         []error // of the keys that were tried
}

func (e *NoKeyError) Error() string {
	if len(e.Errs) == 0 {
		return fmt.Sprintf("the %s was encrypted with %q, and the configuration has no encryption %q: add it, with fallback = true where it is the way of before",
			e.Kind, e.Method, e.Method)
	}
	var why []string
	for _, err := range e.Errs {
		why = append(why, err.Error())
	}
	return fmt.Sprintf("the %s cannot be decrypted: %s", e.Kind, strings.Join(why, "; "))
}

// Unwrap returns the errors of the keys.
func (e *NoKeyError) Unwrap() []error { return e.Errs }

// Seal implements [remote.Sealer].
func (s *Sealer) Seal(ctx context.Context, bound remote.Bound, plain []byte) ([]byte, error) {
	if s.Key == nil {
		return plain, nil
	}
	key := make([]byte, keySize)
	if _, err := io.ReadFull(s.Random, key); err != nil {
		return nil, err
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	h := header{Sealed: format, Bound: bound, Method: s.Key.Method(), ID: s.Key.ID(), Nonce: make([]byte, aead.NonceSize())}
	if _, err := io.ReadFull(s.Random, h.Nonce); err != nil {
		return nil, err
	}
	if h.Key, err = s.Key.Wrap(ctx, key); err != nil {
		return nil, fmt.Errorf("the %s cannot be encrypted: %w", bound.Kind, err)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	return aead.Seal(line, h.Nonce, plain, line), nil
}

// Open implements [remote.Sealer]. Errors are [*PlainError] and [*NoKeyError],
// or say that the blob was changed.
func (s *Sealer) Open(ctx context.Context, kind string, data []byte) (remote.Opened, error) {
	var o remote.Opened
	if !bytes.HasPrefix(data, []byte(remote.SealedPrefix)) {
		if s.Plain || s.Key == nil {
			return remote.Opened{Plain: data, Stale: s.Key != nil}, nil
		}
		return o, &PlainError{Kind: kind}
	}
	h, body, err := parse(data)
	if err != nil {
		return o, fmt.Errorf("the %s is not one that this coffer can open: %w", kind, err)
	}
	if h.Bound.Kind != kind {
		return o, fmt.Errorf("in the place of the %s lies a %q: somebody moved it there", kind, h.Bound.Kind)
	}
	key, err := s.unwrap(ctx, h)
	if err != nil {
		return o, err
	}
	aead, err := gcm(key)
	if err != nil {
		return o, err
	}
	plain, err := aead.Open(nil, h.Nonce, body, data[:len(data)-len(body)])
	if err != nil {
		return o, fmt.Errorf("the %s was changed since it was encrypted: put back an older version from the store (coffer state history)", kind)
	}
	stale := s.Key == nil || s.Key.Method() != h.Method || s.Key.ID() != h.ID
	return remote.Opened{Bound: h.Bound, Plain: plain, Stale: stale}, nil
}

func parse(data []byte) (*header, []byte, error) {
	end := bytes.IndexByte(data[:min(len(data), maxHeader)], '\n')
	if end < 0 {
		return nil, nil, errors.New("its first line does not end")
	}
	h := &header{}
	dec := json.NewDecoder(bytes.NewReader(data[:end]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(h); err != nil {
		return nil, nil, errors.New("its first line is malformed")
	}
	if h.Sealed != format {
		return nil, nil, fmt.Errorf("it has format %d, this coffer reads %d: upgrade coffer", h.Sealed, format)
	}
	if len(h.Nonce) != 12 { // the size of GCM's, which panics on another
		return nil, nil, errors.New("its nonce is malformed")
	}
	return h, data[end+1:], nil
}

// unwrap asks every key of the method for the data key.
func (s *Sealer) unwrap(ctx context.Context, h *header) ([]byte, error) {
	missing := &NoKeyError{Kind: h.Bound.Kind, Method: h.Method}
	for _, k := range append([]Key{s.Key}, s.Fallbacks...) {
		if k == nil || k.Method() != h.Method {
			continue
		}
		key, err := k.Unwrap(ctx, h.Key)
		if err == nil && len(key) == keySize {
			return key, nil
		}
		if err == nil {
			err = errors.New("what the key unwraps is not a data key")
		}
		missing.Errs = append(missing.Errs, err)
	}
	return nil, missing
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
