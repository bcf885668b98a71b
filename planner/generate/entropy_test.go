package generate

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
)

// The figure for the defaults is the one that the documentation gives.
func TestEntropyIsTheDocumentedFigure(t *testing.T) {
	for _, sig := range lang.Generators() {
		params := map[string]any{}
		if sig.Name == "self_signed_cert" { // it needs a name
			params["common_name"] = "x"
		}
		bits, err := Entropy(sig.Name, params, &Counts{})
		if err != nil {
			t.Errorf("%s: %v", sig.Name, err)
			continue
		}
		figure := strings.TrimSuffix(fmt.Sprintf("%.1f", bits), ".0") + " bits;"
		if !strings.HasPrefix(sig.Entropy, figure) {
			t.Errorf("%s: it is %s, the signature says %q", sig.Name, figure, sig.Entropy)
		}
	}
}

// Each documented formula, and the parameters that change a figure.
func TestEntropyOfParameters(t *testing.T) {
	for _, test := range []struct {
		name   string
		params map[string]any
		want   float64
	}{
		{"random_hex", map[string]any{"bytes": 16}, 128},
		{"random_base64", map[string]any{"bytes": 24, "url": true}, 192},
		{"random_bytes", map[string]any{"bytes": 4}, 32},
		{"random_uuid", map[string]any{"version": 7}, 74},
		{"random_passphrase", map[string]any{"words": 5}, 55},
		{"random_passphrase", map[string]any{"words": 8, "number": true}, 88 + math.Log2(80)},
		{"random_password", map[string]any{"length": 4, "lower": false, "upper": false, "symbols": false, "min_digits": 0}, 4 * math.Log2(10)},
		{"random_password", map[string]any{"length": 512, "min_lower": 0, "min_upper": 0, "min_digits": 0, "min_symbols": 0}, 512 * math.Log2(71)},
		{"ecdsa", map[string]any{"curve": "p384"}, 384},
		{"rsa", map[string]any{"bits": 2048}, 112},
		{"rsa", map[string]any{"bits": 4096}, 152},
		{"ssh_key", map[string]any{"type": "ecdsa"}, 256},
		{"ssh_key", map[string]any{"type": "ecdsa", "bits": 521}, 521},
		{"ssh_key", map[string]any{"type": "rsa"}, 128},
		{"ssh_key", map[string]any{"type": "rsa", "bits": 2048}, 112},
		{"self_signed_cert", map[string]any{"common_name": "x", "key": "rsa2048"}, 112},
		{"self_signed_cert", map[string]any{"common_name": "x", "key": "p521"}, 521},
		{"self_signed_cert", map[string]any{"common_name": "x", "key": "ed25519"}, 256},
	} {
		got, err := Entropy(test.name, test.params, nil)
		if err != nil || math.Abs(got-test.want) > 1e-6 {
			t.Errorf("%s(%v): %v bits, %v, want %v", test.name, test.params, got, err, test.want)
		}
	}
	for name, params := range map[string]map[string]any{"random_word": nil, "random_hex": {"bytes": 1}} {
		if _, err := Entropy(name, params, nil); err == nil {
			t.Errorf("%s(%v) has a figure", name, params)
		}
	}
}
