package generate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

var (
	errUnsupportedKey = errors.New("the key is of a kind that is not supported: want Ed25519, RSA, or ECDSA on P-256, P-384 or P-521")
	errPassphrase     = errors.New("the private key has a passphrase: give it without one")
	errBadKey         = errors.New("the value is not a valid private key")
)

// parsedKey is the public half of a private key that was read.
type parsedKey struct {
	public  crypto.PublicKey
	form    string // "pem", "openssh", "jwk" or "raw"
	comment string // of an openssh key
	members jwk    // kid, alg and use of a JWK
}

func publicKey(c call) ([]byte, error) {
	key, err := parsePrivate(bytes.TrimSpace(c.args[0]), c.params.string("raw_key"))
	if err != nil {
		return nil, err
	}
	format := c.params.string("format")
	if format == "auto" {
		format = key.form
	}
	switch format {
	case "pem":
		der, err := x509.MarshalPKIXPublicKey(key.public)
		if err != nil {
			return nil, errUnsupportedKey
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
	case "openssh":
		return key.authorizedKey()
	case "jwk":
		public, err := publicJWK(key.public)
		if err != nil {
			return nil, err
		}
		if public, err = public.with(key.members); err != nil {
			return nil, err
		}
		return public.encode()
	default:
		return key.raw()
	}
}

func (k parsedKey) authorizedKey() ([]byte, error) {
	public, err := ssh.NewPublicKey(k.public)
	if err != nil {
		return nil, errUnsupportedKey
	}
	line := bytes.TrimSpace(ssh.MarshalAuthorizedKey(public))
	if k.comment != "" {
		line = append(append(line, ' '), k.comment...)
	}
	return append(line, '\n'), nil
}

func (k parsedKey) raw() ([]byte, error) {
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return []byte(base64url(public)), nil
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			return nil, errUnsupportedKey
		}
		return []byte(base64url(point)), nil
	default:
		return nil, errors.New("an RSA key has no raw form: use format = \"pem\", \"openssh\" or \"jwk\"")
	}
}

// parsePrivate reads a private key in any form the generators write.
func parsePrivate(text []byte, rawKey string) (parsedKey, error) {
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		return parseJWK(text)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		block, err := privateBlock(text)
		if err != nil {
			return parsedKey{}, err
		}
		return parseBlock(block)
	default:
		return parseRaw(text, rawKey)
	}
}

// privateBlock returns the one private key among the PEM blocks of text.
func privateBlock(text []byte) (*pem.Block, error) {
	var found *pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if found != nil {
			return nil, errors.New("the value has more than one private key in PEM: give it a single one")
		}
		found = block
	}
	if found == nil {
		return nil, errors.New("the value has no private key in PEM")
	}
	return found, nil
}

func parseBlock(block *pem.Block) (parsedKey, error) {
	// RFC 1421 encryption, as openssl wrote it before PKCS #8.
	if block.Headers["DEK-Info"] != "" {
		return parsedKey{}, errPassphrase
	}
	var key any
	var err error
	parsed := parsedKey{form: "pem"}
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return parsedKey{}, errPassphrase
	case "OPENSSH PRIVATE KEY":
		parsed.form = "openssh"
		parsed.comment = opensshComment(block.Bytes)
		key, err = ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
		if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
			return parsedKey{}, errPassphrase
		}
	default:
		return parsedKey{}, errUnsupportedKey
	}
	if err != nil {
		return parsedKey{}, errBadKey
	}
	parsed.public, err = supportedPublic(key)
	return parsed, err
}

func supportedPublic(key any) (crypto.PublicKey, error) {
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key.Public(), nil
	case *ed25519.PrivateKey:
		return key.Public(), nil
	case *rsa.PrivateKey:
		return key.Public(), nil
	case *ecdsa.PrivateKey:
		if key.Curve != elliptic.P224() {
			return key.Public(), nil
		}
	}
	return nil, errUnsupportedKey
}

func parseRaw(text []byte, rawKey string) (parsedKey, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) == 0 {
		return parsedKey{}, errors.New("the value is no private key in PEM, OpenSSH, JWK or raw base64url form")
	}
	curve := map[int]elliptic.Curve{32: elliptic.P256(), 48: elliptic.P384(), 66: elliptic.P521()}[len(b)]
	switch {
	case rawKey == "ed25519" && len(b) == ed25519.SeedSize:
		return parsedKey{public: ed25519.NewKeyFromSeed(b).Public(), form: "raw"}, nil
	case rawKey == "ecdsa" && curve != nil:
		key, err := ecdsa.ParseRawPrivateKey(curve, b)
		if err != nil {
			return parsedKey{}, errBadKey
		}
		return parsedKey{public: key.Public(), form: "raw"}, nil
	default:
		return parsedKey{}, errors.New("the value has not the size of a raw private key of this kind")
	}
}

// opensshComment returns the comment inside an unencrypted OpenSSH key, "" if
// there is none or the key is of an unknown kind. The layout is PROTOCOL.key
// of OpenSSH; x/crypto/ssh reads the key and drops the comment.
func opensshComment(b []byte) string {
	b, ok := bytes.CutPrefix(b, []byte("openssh-key-v1\x00"))
	var outer struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}
	if !ok || ssh.Unmarshal(b, &outer) != nil {
		return ""
	}
	var inner struct {
		Check1, Check2 uint32
		Type           string
		Rest           []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(outer.Private, &inner) != nil {
		return ""
	}
	// Before the comment lie the parts of the key, all of them strings.
	parts := map[string]int{"ssh-ed25519": 2, "ssh-rsa": 6}[inner.Type]
	if strings.HasPrefix(inner.Type, "ecdsa-sha2-") {
		parts = 3
	}
	if parts == 0 {
		return ""
	}
	var part struct {
		Text string
		Rest []byte `ssh:"rest"`
	}
	part.Rest = inner.Rest
	for range parts + 1 {
		if ssh.Unmarshal(part.Rest, &part) != nil {
			return ""
		}
	}
	if strings.ContainsAny(part.Text, "\r\n\x00") {
		return ""
	}
	return part.Text
}
