package generate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
)

// A JSON Web Key is written with its members in alphabetical order, without
// spaces: what RFC 7638 section 3 asks of the text that is hashed.
type jwk map[string]string

func (k jwk) encode() ([]byte, error) { return json.Marshal(k) }

func (k jwk) bytes(name string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(k[name])
	return b, err == nil && len(b) > 0
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// privateJWK writes key by RFC 7518 sections 6.2.2 and 6.3.2 and RFC 8037
// section 2. It names no alg and no use: those belong to whoever uses the key.
func privateJWK(key crypto.Signer) ([]byte, error) {
	k, err := publicJWK(key.Public())
	if err != nil {
		return nil, err
	}
	if k["kid"], err = thumbprint(k); err != nil {
		return nil, err
	}
	switch private := key.(type) {
	case ed25519.PrivateKey:
		k["d"] = base64url(private.Seed())
	case *ecdsa.PrivateKey:
		b, err := private.Bytes()
		if err != nil {
			return nil, errors.New("the key cannot be written as jwk")
		}
		k["d"] = base64url(b)
	case *rsa.PrivateKey:
		for name, n := range map[string]*big.Int{
			"d": private.D, "p": private.Primes[0], "q": private.Primes[1],
			"dp": private.Precomputed.Dp, "dq": private.Precomputed.Dq, "qi": private.Precomputed.Qinv,
		} {
			k[name] = base64url(n.Bytes())
		}
	}
	return k.encode()
}

// publicJWK returns the members a thumbprint is made of, and no others.
func publicJWK(key crypto.PublicKey) (jwk, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return jwk{"kty": "OKP", "crv": "Ed25519", "x": base64url(key)}, nil
	case *rsa.PublicKey:
		return jwk{"kty": "RSA", "n": base64url(key.N.Bytes()), "e": base64url(big.NewInt(int64(key.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			break
		}
		half := len(point) / 2
		return jwk{
			"kty": "EC", "crv": key.Params().Name,
			"x": base64url(point[1 : 1+half]), "y": base64url(point[1+half:]),
		}, nil
	}
	return nil, errUnsupportedKey
}

// thumbprint is RFC 7638, the usual choice for a kid.
func thumbprint(public jwk) (string, error) {
	text, err := public.encode()
	sum := sha256.Sum256(text)
	return base64url(sum[:]), err
}

// parseJWK reads a private JSON Web Key. What it says of the public half is
// compared with the private one, not believed.
func parseJWK(text []byte) (parsedKey, error) {
	var members map[string]any
	if json.Unmarshal(text, &members) != nil {
		return parsedKey{}, errors.New("the value begins as a JSON Web Key but is not JSON")
	}
	k := jwk{}
	for name, v := range members {
		if s, ok := v.(string); ok {
			k[name] = s
		}
	}
	if k["d"] == "" {
		return parsedKey{}, errors.New("the JSON Web Key is not a private one of type EC, OKP or RSA")
	}
	public, err := k.public()
	if err != nil {
		return parsedKey{}, err
	}
	parsed := parsedKey{public: public, form: "jwk", members: jwk{}}
	for _, name := range []string{"kid", "alg", "use"} {
		if k[name] != "" {
			parsed.members[name] = k[name]
		}
	}
	made, err := publicJWK(public)
	if err != nil {
		return parsedKey{}, err
	}
	for name, v := range made {
		if strings.TrimRight(k[name], "=") != v && !(name == "kty" || k[name] == "") {
			return parsedKey{}, errors.New("the public half of the JSON Web Key does not belong to its private half")
		}
	}
	return parsed, nil
}

func (k jwk) public() (crypto.PublicKey, error) {
	bad := errors.New("the JSON Web Key is not a valid private key")
	d, ok := k.bytes("d")
	if !ok {
		return nil, bad
	}
	switch k["kty"] + " " + k["crv"] {
	case "OKP Ed25519":
		if len(d) != ed25519.SeedSize {
			return nil, bad
		}
		return ed25519.NewKeyFromSeed(d).Public(), nil
	case "EC P-256", "EC P-384", "EC P-521":
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if curve.Params().Name == k["crv"] {
				key, err := ecdsa.ParseRawPrivateKey(curve, d)
				if err != nil {
					return nil, bad
				}
				return key.Public(), nil
			}
		}
	case "RSA ":
		n, okN := k.bytes("n")
		p, okP := k.bytes("p")
		q, okQ := k.bytes("q")
		e, okE := k.bytes("e")
		if !okN || !okP || !okQ || !okE || len(e) > 4 {
			return nil, bad
		}
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())},
			D:         new(big.Int).SetBytes(d),
			Primes:    []*big.Int{new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)},
		}
		if key.Validate() != nil {
			return nil, bad
		}
		return key.Public(), nil
	}
	return nil, errUnsupportedKey
}

// with returns a public key with the members of the private one it came from.
func (k jwk) with(members jwk) (jwk, error) {
	kid, err := thumbprint(k)
	if err != nil {
		return nil, err
	}
	k["kid"] = kid
	maps.Copy(k, members)
	return k, nil
}
