package generate

import (
	"fmt"
	"math"
	"math/big"

	"github.com/cofferhq/coffer/lang"
)

// Entropy returns how many bits somebody must guess of a value that the
// generator called name makes with params: the figure that docs/generators.md
// gives, for these parameters. counts is as in [Env]. Errors are those of [New].
func Entropy(name string, params map[string]any, counts *Counts) (float64, error) {
	sig, ok := find(lang.Generators(), name)
	bits := entropies()[name]
	if !ok || bits == nil {
		return 0, fmt.Errorf("no generator is called %q", name)
	}
	if err := sig.Check(params); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return bits(sig.Resolve(params), counts), nil
}

// entropies holds the formula of each generator.
func entropies() map[string]func(resolved, *Counts) float64 {
	bytes := func(p resolved, _ *Counts) float64 { return 8 * float64(p.int("bytes")) }
	return map[string]func(resolved, *Counts) float64{
		"random_password":   passwordEntropy,
		"random_uuid":       uuidEntropy,
		"random_hex":        bytes,
		"random_base64":     bytes,
		"random_bytes":      bytes,
		"random_passphrase": passphraseEntropy,
		"ed25519":           func(resolved, *Counts) float64 { return ed25519Bits },
		"ecdsa":             func(p resolved, _ *Counts) float64 { return curveBits(p.string("curve")) },
		"rsa":               func(p resolved, _ *Counts) float64 { return rsaStrength(p.int("bits")) },
		"ssh_key":           sshKeyEntropy,
		"self_signed_cert":  func(p resolved, _ *Counts) float64 { return certKeyBits(p.string("key")) },
	}
}

func passwordEntropy(p resolved, counts *Counts) float64 {
	classes, length := lang.PasswordClasses(p), p.int("length")
	ways := counts.passwords(classes, length)[len(classes)-1][length]
	// The number may be beyond a float64, its exponent never is.
	mantissa := new(big.Float)
	exponent := new(big.Float).SetInt(ways).MantExp(mantissa)
	m, _ := mantissa.Float64()
	return float64(exponent) + math.Log2(m)
}

func uuidEntropy(p resolved, _ *Counts) float64 {
	if p.int("version") == 7 {
		return 74
	}
	return 122
}

func passphraseEntropy(p resolved, _ *Counts) float64 {
	words := float64(p.int("words"))
	bits := 11 * words // of a list of 2048 words
	if p.bool("number") {
		bits += math.Log2(10 * words)
	}
	return bits
}

const ed25519Bits = 256

func curveBits(curve string) float64 {
	return map[string]float64{"p256": 256, "p384": 384, "p521": 521}[curve]
}

// rsaStrength is the security strength of a modulus, NIST SP 800-56B revision 2
// appendix D.
func rsaStrength(bits int) float64 {
	return map[int]float64{2048: 112, 3072: 128, 4096: 152}[bits]
}

func sshKeyEntropy(p resolved, _ *Counts) float64 {
	bits := p.int("bits")
	switch p.string("type") {
	case "rsa":
		if bits == 0 {
			bits = 3072
		}
		return rsaStrength(bits)
	case "ecdsa":
		if bits == 0 {
			bits = 256
		}
		return float64(bits)
	}
	return ed25519Bits
}

func certKeyBits(key string) float64 {
	switch key {
	case "ed25519":
		return ed25519Bits
	case "rsa2048":
		return rsaStrength(2048)
	case "rsa3072":
		return rsaStrength(3072)
	case "rsa4096":
		return rsaStrength(4096)
	}
	return curveBits(key)
}
