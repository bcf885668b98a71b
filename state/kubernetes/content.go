package kubernetes

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/state/remote"
)

// The keys of a Secret: it has exactly one of the first three.
const (
	keyPlain = "content"
	keyGzip  = "content.gz"
	keyParts = "parts" // a manifest
	keyPart  = "part"  // in a part
)

const (
	// partBytes is what one Secret is given, a little less than it may hold.
	partBytes = 1 << 20 * 15 / 16
	// gzipFrom is where compressing begins: a small state stays readable for
	// kubectl.
	gzipFrom = 64 << 10
	// partDigest is how many bytes of a digest are in the name of a part.
	partDigest = 20
)

// manifest is the content of a head whose blob does not fit into one Secret.
type manifest struct {
	Gzip   bool     `json:"gzip"`
	Bytes  int      `json:"bytes"`  // of all parts
	SHA256 string   `json:"sha256"` // of all parts, in this order
	Parts  []string `json:"parts"`
}

// pack returns the bytes to store for data, compressed where that helps.
func pack(data []byte) (stored []byte, zipped bool, err error) {
	if len(data) < gzipFrom {
		return data, false, nil
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, false, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, false, err
	}
	if err := w.Close(); err != nil {
		return nil, false, err
	}
	if out.Len() >= len(data) {
		return data, false, nil
	}
	return out.Bytes(), true, nil
}

// unpack is the reverse of pack, bounded.
func unpack(stored []byte, zipped bool) ([]byte, error) {
	if !zipped {
		return stored, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, remote.MaxBytes+1))
	if err == nil && len(data) > remote.MaxBytes {
		err = errors.New("it is too large")
	}
	return data, err
}

// split cuts stored into the parts of a blob, and returns them by their names
// with the manifest. base is the tag of the head that is to be replaced: it is
// in the names, so that no two writes on top of different heads share a part.
func split(state, blob, base string, stored []byte, zipped bool) (manifest, map[string][]byte) {
	sum := sha256.Sum256(stored)
	m := manifest{Gzip: zipped, Bytes: len(stored), SHA256: hex.EncodeToString(sum[:])}
	parts := map[string][]byte{}
	for rest := stored; len(rest) > 0; {
		part := rest[:min(len(rest), partBytes)]
		rest = rest[len(part):]
		h := sha256.New()
		fmt.Fprintf(h, "%s\n%s\n", blob, base)
		h.Write(part)
		name := state + ".part-" + hex.EncodeToString(h.Sum(nil)[:partDigest])
		m.Parts = append(m.Parts, name)
		parts[name] = part
	}
	return m, parts
}

// maxParts is what the largest blob has, not compressed.
const maxParts = remote.MaxBytes/partBytes + 1

// manifestOf reads the manifest of a head. Its names become paths, so they are
// those of parts and nothing else.
func manifestOf(state string, data []byte) (manifest, error) {
	var m manifest
	odd := func(name string) bool { return !isPart(state, name) }
	if json.Unmarshal(data, &m) != nil || len(m.Parts) == 0 || len(m.Parts) > maxParts || slices.ContainsFunc(m.Parts, odd) {
		return m, errors.New("the list of its parts is none")
	}
	return m, nil
}

// isPart reports whether name is that of a part of a state.
func isPart(state, name string) bool {
	digest, ok := strings.CutPrefix(name, state+".part-")
	raw, err := hex.DecodeString(digest)
	return ok && err == nil && len(raw) == partDigest && strings.ToLower(digest) == digest
}

// join puts parts together again.
func (m manifest) join(parts [][]byte) ([]byte, error) {
	stored := bytes.Join(parts, nil)
	sum := sha256.Sum256(stored)
	if len(stored) != m.Bytes || hex.EncodeToString(sum[:]) != m.SHA256 {
		return nil, errors.New("the parts are not those that were written")
	}
	return unpack(stored, m.Gzip)
}
