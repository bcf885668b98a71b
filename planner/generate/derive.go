package generate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

func bcryptHash(c call) ([]byte, error) {
	value := c.args[0]
	switch {
	case len(value) == 0:
		return nil, errors.New("the value is empty: its hash would let anybody in")
	case len(value) > 72:
		return nil, errors.New("the value is longer than 72 bytes, all that bcrypt reads: use a shorter one")
	case bytes.IndexByte(value, 0) >= 0:
		return nil, errors.New("the value holds a zero byte, where other implementations of bcrypt stop reading")
	}
	hash, err := bcrypt.GenerateFromPassword(value, c.params.int("cost"))
	if err != nil {
		return nil, errors.New("the value cannot be hashed")
	}
	return hash, nil
}

// htpasswd writes $2y$ for $2a$, as Apache's own tool does: the hash is the
// same, and some servers accept no other prefix.
func htpasswd(c call) ([]byte, error) {
	hash, err := bcryptHash(c)
	if err != nil {
		return nil, err
	}
	line := append([]byte(c.plain[0]), ":$2y$"...)
	return append(line, bytes.TrimPrefix(hash, []byte("$2a$"))...), nil
}

func base64Encode(c call) ([]byte, error) {
	return alphabet(c.params).AppendEncode(nil, c.args[0]), nil
}

func hexEncode(c call) ([]byte, error) { return hex.AppendEncode(nil, c.args[0]), nil }

// urlEncode leaves the unreserved characters of RFC 3986 section 2.3 alone.
// net/url has no such function: its two leave characters that end user-info
// or, in a query, turn a space into a plus.
func urlEncode(c call) ([]byte, error) {
	const upper = "0123456789ABCDEF"
	var out []byte
	for _, b := range c.args[0] {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9',
			b == '-', b == '.', b == '_', b == '~':
			out = append(out, b)
		default:
			out = append(out, '%', upper[b>>4], upper[b&15])
		}
	}
	return out, nil
}

func join(c call) ([]byte, error) { return bytes.Join(c.args, []byte(c.plain[0])), nil }

func trimSpace(c call) ([]byte, error) { return bytes.TrimSpace(c.args[0]), nil }

func sha256Hex(c call) ([]byte, error) {
	sum := sha256.Sum256(c.args[0])
	return hex.AppendEncode(nil, sum[:]), nil
}

func jsonEncode(c call) ([]byte, error) {
	if c.keys == nil {
		if len(c.args) != 1 {
			return nil, errors.New("want an object, or one value alone")
		}
		if !utf8.Valid(c.args[0]) {
			return nil, errors.New("the value is not UTF-8, which JSON needs: encode it, for example with base64encode")
		}
		return encodeJSON(string(c.args[0]))
	}
	object := make(map[string]string, len(c.keys))
	for i, key := range c.keys {
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("the key %q stands twice", key)
		}
		if !utf8.Valid(c.args[i]) {
			return nil, fmt.Errorf("the value of %q is not UTF-8, which JSON needs: encode it, for example with base64encode", key)
		}
		object[key] = string(c.args[i])
	}
	return encodeJSON(object)
}

func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(v) != nil {
		return nil, errors.New("the value cannot be written as JSON")
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
