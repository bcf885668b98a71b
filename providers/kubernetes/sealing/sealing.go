// Package sealing encrypts values so that only the Sealed Secrets controller of a
// cluster can read them. It is the format of the controller and of kubeseal
// (https://github.com/bitnami-labs/sealed-secrets, pkg/crypto): a key of 256 bits
// for each value, sealed with RSA-OAEP and SHA-256, and the value with AES-GCM
// under it. The scope is the label of OAEP, so that a ciphertext that is copied
// elsewhere opens nowhere.
//
// It is our own code because that of the controller brings the whole of its
// module; the tests seal for the real controller. The package knows no cluster
// and no file: read [ParseCertificate] and [Key.Seal].
package sealing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers/secret"
)

// Scope says where a sealed value opens.
type Scope string

const (
	Strict        Scope = "strict"         // under its name, in its namespace
	NamespaceWide Scope = "namespace-wide" // under any name of its namespace
	ClusterWide   Scope = "cluster-wide"   // anywhere
)

// Scopes are all there are; the first is the standard.
func Scopes() []Scope { return []Scope{Strict, NamespaceWide, ClusterWide} }

// Annotation is what marks a SealedSecret of this scope; "" for the strict one.
func (s Scope) Annotation() string {
	if s == Strict || s == "" {
		return ""
	}
	return "sealedsecrets.bitnami.com/" + string(s)
}

// label binds a value to its place.
func (s Scope) label(namespace, name string) []byte {
	switch s {
	case ClusterWide:
		return nil
	case NamespaceWide:
		return []byte(namespace)
	}
	return []byte(namespace + "/" + name)
}

// Key is the public key of a controller.
type Key struct {
	public      *rsa.PublicKey
	Fingerprint string // "sha256:" and the hex of the certificate's DER
	Expires     time.Time
}

// Errors of [ParseCertificate].
var (
	ErrNoCertificate = errors.New("it holds no certificate in PEM")
	ErrWeak          = errors.New("its key is no RSA key of 2048 bits or more")
)

// longestCertificate is above every file of a few certificates.
const longestCertificate = 64 << 10

// ParseCertificate reads the first certificate of a PEM file. A private key that
// stands in it is refused: the file is meant to be committed.
func ParseCertificate(text []byte) (*Key, error) {
	if len(text) > longestCertificate {
		return nil, ErrNoCertificate
	}
	var key *Key
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && key == nil:
			return nil, ErrNoCertificate
		case block == nil:
			return key, nil
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, errors.New("it holds a private key, which belongs to the controller alone: take it out, and renew the key")
		case block.Type != "CERTIFICATE" || key != nil:
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ErrNoCertificate
		}
		public, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok || public.Size() < 256 {
			return nil, ErrWeak
		}
		sum := sha256.Sum256(cert.Raw)
		key = &Key{public, "sha256:" + hex.EncodeToString(sum[:]), cert.NotAfter}
	}
}

// Is reports whether the key is the one that a fingerprint names; colons and
// capitals make no difference.
func (k *Key) Is(fingerprint string) bool {
	plain := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(fingerprint, "sha256:"), ":", ""))
	return subtle.ConstantTimeCompare([]byte("sha256:"+plain), []byte(k.Fingerprint)) == 1
}

// Envelope names the key and a scope: what is sealed with another has to be
// sealed anew.
func (k *Key) Envelope(s Scope) string {
	if s == "" {
		s = Strict
	}
	return k.Fingerprint + " " + string(s)
}

// Seal encrypts a value for its place. No two results are alike.
func (k *Key) Seal(v secret.Value, s Scope, namespace, name string) (string, error) {
	session := make([]byte, 32)
	if _, err := rand.Read(session); err != nil {
		return "", err
	}
	defer clear(session)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, k.public, session, s.label(namespace, name))
	if err != nil {
		return "", fmt.Errorf("the key of the certificate cannot be used: %w", err)
	}
	block, err := aes.NewCipher(session)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(wrapped)))
	out = append(out, wrapped...)
	err = v.Expose(func(plain []byte) error {
		// The key seals this one value, so that a nonce of zeros never repeats.
		out = gcm.Seal(out, make([]byte, gcm.NonceSize()), plain, nil)
		return nil
	})
	return base64.StdEncoding.EncodeToString(out), err
}
