package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// A single value is kept under the key "value", so that `vault kv get
// -field=value` reads it; fields are keys of their own names. Bytes that are
// not UTF-8 have no place in JSON and are kept in base64 under the key with
// the ending _base64. Programs depend on this: it never changes.
const (
	keyValue     = "value"
	base64Suffix = "_base64"
)

// document is the JSON of a request that writes values. It holds plaintext.
type document struct {
	Data    map[string]*string `json:"data"` // nil takes a key out of a patch
	Options struct {
		CAS int `json:"cas"`
	} `json:"options"`
}

// encodeWrite returns the body that writes v over version cas.
func encodeWrite(v secret.Value, cas int) (rawBody, error) {
	doc := document{Data: map[string]*string{}}
	doc.Options.CAS = cas
	if err := doc.put(v); err != nil {
		return nil, err
	}
	return doc.encode()
}

// encodePatch returns the body that sets the fields of v and takes out those of
// drop, and leaves the others alone. The other form of each field goes with it.
func encodePatch(v secret.Value, drop []string, cas int) (rawBody, error) {
	doc := document{Data: map[string]*string{}}
	doc.Options.CAS = cas
	for _, name := range append(v.Names(), drop...) {
		doc.Data[name], doc.Data[name+base64Suffix] = nil, nil
	}
	if !v.IsZero() {
		if !v.IsObject() {
			return nil, providers.Errorf(providers.Invalid, "a single value is no change of fields")
		}
		if err := doc.put(v); err != nil {
			return nil, err
		}
	}
	return doc.encode()
}

func (doc document) encode() (rawBody, error) {
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "the value cannot be encoded")
	}
	return data, nil
}

func (doc document) put(v secret.Value) error {
	if !v.IsObject() {
		return doc.putOne(keyValue, v)
	}
	for _, name := range v.Names() {
		if name == "" || !printable(name) {
			return providers.Errorf(providers.Invalid, "the field %.80q has no name that can be printed", name)
		}
		if strings.HasSuffix(name, base64Suffix) {
			return providers.Errorf(providers.Invalid, "the field %.80q: the ending %s is how a binary value is kept; name it otherwise", name, base64Suffix)
		}
		field, _ := v.Field(name)
		if err := doc.putOne(name, field); err != nil {
			return err
		}
	}
	return nil
}

func (doc document) putOne(name string, v secret.Value) error {
	return v.Expose(func(plain []byte) error {
		text := string(plain)
		if !utf8.Valid(plain) {
			name, text = name+base64Suffix, base64.StdEncoding.EncodeToString(plain)
		}
		doc.Data[name] = &text
		return nil
	})
}

// decodeValue reads what [encodeWrite] wrote, and what others did: a field that
// is no string is its JSON text.
func decodeValue(data map[string]json.RawMessage) (secret.Value, error) {
	fields := make(map[string]secret.Value, len(data))
	for name, raw := range data {
		text, err := decodeField(raw)
		if err != nil {
			return secret.Value{}, err
		}
		if short, ok := strings.CutSuffix(name, base64Suffix); ok && short != "" {
			if _, taken := data[short]; !taken {
				if plain, ok := binary(text); ok {
					name, text = short, plain
				}
			}
		}
		fields[name] = secret.New(text)
	}
	if single, ok := fields[keyValue]; ok && len(fields) == 1 {
		return single, nil
	}
	return secret.Object(fields), nil
}

func decodeField(raw json.RawMessage) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '"' {
		return raw, nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil, providers.Errorf(providers.Invalid, "a field cannot be decoded")
	}
	return []byte(text), nil
}

// binary decodes base64 of bytes that are not UTF-8. Other text under such a
// name is somebody's own.
func binary(text []byte) ([]byte, bool) {
	plain := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(plain, text)
	return plain[:n], err == nil && !utf8.Valid(plain[:n])
}
