package sops

import (
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// errMAC says that the values of a file do not fit together.
var errMAC = errors.New("the file's mac does not match its values: it was edited or merged without the sops tool")

// newMAC returns the hash over a file's values in file order. With
// mac_only_encrypted it starts from a fixed prefix (SHA-256 of "sops"), so that
// the two kinds never equal each other.
func newMAC(onlyEncrypted bool) hash.Hash {
	h := sha512.New()
	if onlyEncrypted {
		h.Write([]byte{
			0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
			0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
		})
	}
	return h
}

// leaf is one scalar of a file, or one line of a comment.
type leaf struct {
	path    []string // keys from the top; the items of a list share their list's
	value   any      // a scalar as YAML types it: string, int, float64, bool, time.Time, nil
	comment bool
}

// opened holds the plaintext of every leaf of a file, in file order.
type opened struct {
	plains []plain // parallel to file.leaves; without a kind for null and for comments in clear
	// unread counts comments that look encrypted and are not with this key.
	unread int
	mac    string
}

// decrypt opens every leaf with the data key and computes the MAC, without
// comparing it to the file's.
func (f *file) decrypt(key []byte) (opened, error) {
	if err := f.meta.rules.supported(); err != nil {
		return opened{}, err
	}
	o := opened{plains: make([]plain, len(f.leaves))}
	h := newMAC(f.meta.rules.macOnlyEncrypted)
	for i, l := range f.leaves {
		p, counts, err := f.openLeaf(key, l)
		if err != nil {
			return opened{}, fmt.Errorf("%s: %w", strings.Join(l.path, "."), err)
		}
		if l.comment && p.kind == "" && isSealed(l.text()) {
			o.unread++
		}
		if counts {
			h.Write(p.text)
		}
		o.plains[i] = p
	}
	o.mac = fmt.Sprintf("%X", h.Sum(nil))
	return o, nil
}

func (l leaf) text() string { s, _ := l.value.(string); return s }

// openLeaf returns the plaintext of a leaf and whether the MAC covers it.
func (f *file) openLeaf(key []byte, l leaf) (p plain, counts bool, err error) {
	encrypted := f.meta.rules.encrypted(l.path)
	if l.comment {
		if !encrypted || !isSealed(l.text()) {
			return plain{}, false, nil
		}
		// sops takes a comment that does not decrypt for one in clear.
		if p, err = open(key, additional(l.path), l.text()); err != nil {
			return plain{}, false, nil
		}
		return p, false, nil
	}
	if !encrypted || l.value == nil {
		p, err = canonical(l.value)
		return p, l.value != nil && !f.meta.rules.macOnlyEncrypted, err
	}
	text, ok := l.value.(string)
	if !ok || text != "" && !isSealed(text) {
		return plain{}, false, errors.New("the value is in clear where the file's rules want it encrypted")
	}
	p, err = open(key, additional(l.path), text)
	// The comments of a list are items of it in an encrypted file.
	return p, p.kind != typeComment, err
}

// verify compares the MAC of the values with the one in the file.
func (f *file) verify(key []byte, o opened) error {
	recorded, err := open(key, []byte(f.meta.lastModified), f.meta.mac)
	if err != nil {
		return fmt.Errorf("%w (its own ciphertext: %v)", errMAC, err)
	}
	if subtle.ConstantTimeCompare([]byte(strings.ToUpper(string(recorded.text))), []byte(o.mac)) != 1 {
		return errMAC
	}
	return nil
}

// sealMAC returns the ciphertext of a MAC under its time.
func sealMAC(random io.Reader, key []byte, mac, lastModified string) (string, error) {
	return seal(random, key, []byte(lastModified), plain{typeString, []byte(mac)})
}
