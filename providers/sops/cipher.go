package sops

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The layout of an encrypted scalar, as aes/cipher.go of sops v3.13.3 reads it:
// ENC[AES256_GCM,data:BASE64,iv:BASE64,tag:BASE64,type:NAME].
const (
	sealedPrefix = "ENC[AES256_GCM,"
	nonceSize    = 32 // sops uses 32 bytes where GCM's usual size is 12
	tagSize      = 16
	keySize      = 32
)

// Types of a plaintext, by the name in its ciphertext.
const (
	typeString  = "str"
	typeInt     = "int"
	typeFloat   = "float"
	typeBool    = "bool"
	typeBytes   = "bytes"
	typeTime    = "time"
	typeComment = "comment"
)

// plain is one decrypted scalar. Its text is what the MAC is computed over.
type plain struct {
	kind string
	text []byte
}

// shown returns the text a program should get: sops keeps a bool as True or
// False and prints it as true or false.
func (p plain) shown() []byte {
	if p.kind == typeBool {
		return []byte(strings.ToLower(string(p.text)))
	}
	return p.text
}

// isSealed reports whether text has the form of a ciphertext.
func isSealed(text string) bool {
	return strings.HasPrefix(text, sealedPrefix) && strings.HasSuffix(text, "]")
}

// additional returns the additional data that binds a scalar to its place: the
// keys from the top, each followed by a colon; ":" at the very top.
func additional(path []string) []byte {
	return []byte(strings.Join(path, ":") + ":")
}

type ciphertext struct {
	data, iv, tag []byte
	kind          string
}

var errForm = errors.New("not in the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]")

func parseCiphertext(text string) (ciphertext, error) {
	if !isSealed(text) {
		return ciphertext{}, errForm
	}
	var c ciphertext
	rest := text[len(sealedPrefix) : len(text)-1]
	for _, part := range []struct {
		name string
		into *[]byte
	}{{"data:", &c.data}, {"iv:", &c.iv}, {"tag:", &c.tag}} {
		head, tail, found := strings.Cut(rest, ",")
		encoded, named := strings.CutPrefix(head, part.name)
		if !found || !named {
			return ciphertext{}, errForm
		}
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return ciphertext{}, errForm
		}
		*part.into, rest = decoded, tail
	}
	kind, named := strings.CutPrefix(rest, "type:")
	if !named || len(c.iv) == 0 || len(c.tag) != tagSize {
		return ciphertext{}, errForm
	}
	c.kind = kind
	return c, nil
}

// open decrypts one scalar. An empty one is left in clear by sops.
func open(key []byte, aad []byte, text string) (plain, error) {
	if text == "" {
		return plain{kind: typeString}, nil
	}
	c, err := parseCiphertext(text)
	if err != nil {
		return plain{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return plain{}, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(c.iv))
	if err != nil {
		return plain{}, err
	}
	decrypted, err := gcm.Open(nil, c.iv, append(c.data, c.tag...), aad)
	if err != nil {
		return plain{}, errors.New("the ciphertext does not belong to this key and place")
	}
	return typed(c.kind, decrypted)
}

// typed brings a plaintext into the form that the MAC is computed over.
func typed(kind string, text []byte) (plain, error) {
	var value any
	var err error
	switch kind {
	case typeString, typeBytes, typeComment:
		return plain{kind, text}, nil
	case typeInt:
		value, err = strconv.Atoi(string(text))
	case typeFloat:
		value, err = strconv.ParseFloat(string(text), 64)
	case typeBool:
		value, err = strconv.ParseBool(string(text))
	case typeTime:
		var t time.Time
		err = t.UnmarshalText(text)
		value = t
	default:
		return plain{}, fmt.Errorf("unknown type %.20q", kind)
	}
	if err != nil {
		return plain{}, fmt.Errorf("the plaintext is not of type %s", kind)
	}
	return canonical(value)
}

// canonical returns what the MAC sees of a scalar in clear; sops.ToBytes is
// the rule. A nil value is not part of the MAC: ok is then a plain with no kind.
func canonical(value any) (plain, error) {
	switch v := value.(type) {
	case nil:
		return plain{}, nil
	case string:
		return plain{typeString, []byte(v)}, nil
	case int:
		return plain{typeInt, strconv.AppendInt(nil, int64(v), 10)}, nil
	case float64:
		return plain{typeFloat, strconv.AppendFloat(nil, v, 'f', -1, 64)}, nil
	case bool:
		if v {
			return plain{typeBool, []byte("True")}, nil
		}
		return plain{typeBool, []byte("False")}, nil
	case time.Time:
		text, err := v.MarshalText()
		return plain{typeTime, text}, err
	default:
		return plain{}, fmt.Errorf("a value of type %T", value)
	}
}

// seal encrypts one scalar. An empty one stays empty, as sops leaves it.
func seal(random io.Reader, key, aad []byte, p plain) (string, error) {
	if len(p.text) == 0 {
		return "", nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, nonceSize)
	if err != nil {
		return "", err
	}
	iv := make([]byte, nonceSize)
	if _, err := io.ReadFull(random, iv); err != nil {
		return "", fmt.Errorf("no randomness: %w", err)
	}
	out := gcm.Seal(nil, iv, p.text, aad)
	split := len(out) - tagSize
	encode := base64.StdEncoding.EncodeToString
	return sealedPrefix + "data:" + encode(out[:split]) + ",iv:" + encode(iv) +
		",tag:" + encode(out[split:]) + ",type:" + p.kind + "]", nil
}
