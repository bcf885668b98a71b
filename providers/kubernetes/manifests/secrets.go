package manifests

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
)

// Notes beside the values of a plain Secret.
const (
	noteSalt    = "salt"
	noteVersion = "version" // that the operation left
)

// secretMeta returns what the contract wants to know of a secret.
func (d *document) secretMeta() (providers.Meta, error) {
	if d.place.resource == sealedSecrets {
		return d.content.SealedMeta(), nil
	}
	data, err := d.values()
	if err != nil {
		return providers.Meta{}, err
	}
	m := providers.Meta{Version: d.version(data), Attributes: d.content.Attributes(), Fields: kubernetes.Fields(slices.Sorted(maps.Keys(data)))}
	if d.content.Noted(noteVersion) == m.Version {
		m.OpID = d.content.Operation()
	}
	return m, nil
}

// version is what the package comment says. A Secret that somebody wrote has no
// salt until it is taken over, and of its values no digest is made: its version
// says how long the text is and which keys there are.
func (d *document) version(data map[string][]byte) string {
	salt := d.content.Noted(noteSalt)
	if salt == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %d", slices.Sorted(maps.Keys(data)), len(bytes.TrimSpace(d.text))))
		return "unsalted-" + hex.EncodeToString(sum[:10])
	}
	return salted(salt, data)
}

func salted(salt string, data map[string][]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", salt)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(h, " %q %q", key, data[key])
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// values returns the data of a plain Secret.
func (d *document) values() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, in := range []string{"data", "stringData"} {
		if d.content[in] == nil {
			continue
		}
		fields, ok := d.content[in].(map[string]any)
		if !ok {
			return nil, invalid("%s of %s is no map", in, d.place.item())
		}
		for key, v := range fields {
			text, ok := v.(string)
			if !ok && v != nil {
				return nil, invalid("%s.%s of %s is no text: put it in quotes", in, key, d.place.item())
			}
			out[key] = []byte(text)
			if in == "data" {
				plain, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return nil, invalid("%s.%s of %s is no base64", in, key, d.place.item())
				}
				out[key] = plain
			}
		}
	}
	return out, nil
}

// newSalt draws one.
func newSalt(random io.Reader) (string, error) {
	salt := make([]byte, 16)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", providers.Errorf(providers.Unavailable, "no random bytes: %w", err)
	}
	return base64.StdEncoding.EncodeToString(salt), nil
}

// setValues writes the data of a plain Secret under a new salt.
func setValues(content kubernetes.Document, data map[string][]byte, op string, random io.Reader) error {
	salt, err := newSalt(random)
	if err != nil {
		return err
	}
	encoded := map[string]any{}
	for key, plain := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(plain)
	}
	content["data"] = encoded
	delete(content, "stringData")
	content.SetOperation(op)
	content.Note(noteSalt, salt)
	content.Note(noteVersion, salted(salt, data))
	return nil
}
