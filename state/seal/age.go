package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
)

// Age wraps data keys for age recipients (https://age-encryption.org/v1).
type Age struct {
	id         string
	recipients []age.Recipient
	identities func() (string, error)
}

// NewAge returns a key of these recipients, each one line of age's recipient
// form. identities is asked for age identities when something is to be opened.
func NewAge(recipients []string, identities func() (string, error)) (*Age, error) {
	k := &Age{identities: identities, id: recipientsID(recipients)}
	for _, text := range recipients {
		parsed, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(parsed) != 1 {
			return nil, fmt.Errorf("%q is no age recipient: it begins with age1", text)
		}
		k.recipients = append(k.recipients, parsed[0])
	}
	return k, nil
}

// Method implements [Key].
func (k *Age) Method() string { return "age" }

// ID implements [Key].
func (k *Age) ID() string { return k.id }

// recipientsID is the same for the same recipients in any order.
func recipientsID(recipients []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(recipients)), "\n")))
	return hex.EncodeToString(sum[:8])
}

// Wrap implements [Key].
func (k *Age) Wrap(_ context.Context, key []byte) (string, error) {
	if len(k.recipients) == 0 {
		return "", errors.New("the encryption \"age\" names no recipients")
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.recipients...)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(key); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// Unwrap implements [Key].
func (k *Age) Unwrap(_ context.Context, wrapped string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(wrapped)
	if err != nil {
		return nil, errors.New("the wrapped key is malformed")
	}
	text, err := k.identities()
	if err != nil {
		return nil, err
	}
	identities, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, errors.New("the age identity is malformed: it is a line that begins with AGE-SECRET-KEY-")
	}
	r, err := age.Decrypt(bytes.NewReader(data), identities...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return nil, errors.New("none of the age identities at hand is a recipient: ask somebody who can open it to add yours to recipients and apply")
	}
	if err != nil {
		return nil, errors.New("the wrapped key is malformed")
	}
	return io.ReadAll(io.LimitReader(r, keySize+1))
}
