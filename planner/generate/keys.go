package generate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

func ed25519Key(p resolved, env Env) ([]byte, error) {
	key, err := newEd25519(env.Rand)
	if err != nil {
		return nil, err
	}
	return encodePrivate(key, p.string("format"), "")
}

func ecdsaKey(p resolved, env Env) ([]byte, error) {
	key, err := newECDSA(env.Rand, p.string("curve"))
	if err != nil {
		return nil, err
	}
	return encodePrivate(key, p.string("format"), "")
}

func rsaKey(p resolved, env Env) ([]byte, error) {
	key, err := newRSA(env.Rand, p.int("bits"))
	if err != nil {
		return nil, err
	}
	return encodePrivate(key, p.string("format"), "")
}

func sshKey(p resolved, env Env) ([]byte, error) {
	bits := p.int("bits")
	var key crypto.Signer
	var err error
	switch p.string("type") {
	case "ecdsa":
		if bits == 0 {
			bits = 256
		}
		key, err = newECDSA(env.Rand, fmt.Sprintf("p%d", bits))
	case "rsa":
		if bits == 0 {
			bits = 3072
		}
		key, err = newRSA(env.Rand, bits)
	default:
		key, err = newEd25519(env.Rand)
	}
	if err != nil {
		return nil, err
	}
	return encodePrivate(key, "openssh", p.string("comment"))
}

func newEd25519(r io.Reader) (ed25519.PrivateKey, error) {
	seed, err := read(r, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// newECDSA draws the private number itself, because ecdsa.GenerateKey ignores
// its reader since Go 1.26. Numbers outside the curve's order are drawn again
// (FIPS 186-5 A.2.2): for these curves one draw in 2^32 at the most, so a
// source that needs many is broken.
func newECDSA(r io.Reader, curve string) (*ecdsa.PrivateKey, error) {
	on := map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}[curve]
	bits := on.Params().N.BitLen()
	for range 16 {
		number, err := read(r, (bits+7)/8)
		if err != nil {
			return nil, err
		}
		number[0] &= 0xff >> (8*len(number) - bits)
		if key, err := ecdsa.ParseRawPrivateKey(on, number); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("the source of randomness is broken: it gives no usable number")
}

func newRSA(r io.Reader, bits int) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(r, bits)
	if err != nil {
		return nil, errors.New("the key could not be made")
	}
	return key, nil
}

// encodePrivate writes key in one of the formats of the generators. comment is
// kept by openssh alone.
func encodePrivate(key crypto.Signer, format, comment string) ([]byte, error) {
	switch format {
	case "jwk":
		return privateJWK(key)
	case "openssh":
		block, err := ssh.MarshalPrivateKey(key, comment)
		if err != nil {
			return nil, errors.New("the key cannot be written as openssh")
		}
		return pem.EncodeToMemory(block), nil
	case "raw":
		return encodeRaw(key)
	}
	kind, der, err := "PRIVATE KEY", []byte(nil), error(nil)
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if format == "sec1" {
			kind = "EC PRIVATE KEY"
			der, err = x509.MarshalECPrivateKey(k)
		}
	case *rsa.PrivateKey:
		if format == "pkcs1" {
			kind, der = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)
		}
	}
	if der == nil && err == nil {
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		return nil, fmt.Errorf("the key cannot be written as %s", format)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), nil
}

func encodeRaw(key crypto.Signer) ([]byte, error) {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return base64.RawURLEncoding.AppendEncode(nil, k.Seed()), nil
	case *ecdsa.PrivateKey:
		b, err := k.Bytes()
		if err != nil {
			return nil, errors.New("the key cannot be written as raw")
		}
		return base64.RawURLEncoding.AppendEncode(nil, b), nil
	default:
		return nil, errors.New("the key cannot be written as raw")
	}
}
