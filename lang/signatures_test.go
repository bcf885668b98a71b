package lang

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang/addr"
)

// The tables are data that people read and other packages rely on: complete,
// consistent, and every default is one that may be written.
func TestSignatureTables(t *testing.T) {
	figure := regexp.MustCompile(`^[0-9.]+ bits; `)
	seen := map[string]bool{}
	for i, sig := range append(Generators(), DerivedFunctions()...) {
		generator := i < len(Generators())
		if !addr.ValidName(sig.Name) || seen[sig.Name] {
			t.Errorf("%q is no name, or stands twice", sig.Name)
		}
		seen[sig.Name] = true
		if !strings.HasSuffix(sig.Doc, ".") {
			t.Errorf("%s: Doc is no sentence", sig.Name)
		}
		if generator != figure.MatchString(sig.Entropy) {
			t.Errorf("%s: Entropy is %q", sig.Name, sig.Entropy)
		}
		if generator && (sig.MinArgs != 0 || sig.MaxArgs != 0 || sig.PlainArgs != nil) {
			t.Errorf("%s: a generator takes parameters alone", sig.Name)
		}
		if !generator && (sig.MinArgs < 1 || sig.MaxArgs >= 0 && sig.MaxArgs < sig.MinArgs) {
			t.Errorf("%s: takes %d to %d arguments", sig.Name, sig.MinArgs, sig.MaxArgs)
		}
		names := map[string]bool{}
		for _, p := range sig.Params {
			if names[p.Name] || p.Doc == "" {
				t.Errorf("%s: %s stands twice or has no Doc", sig.Name, p.Name)
			}
			names[p.Name] = true
			if wrong := p.check(p.Default); wrong != nil {
				t.Errorf("%s: the default of a parameter is refused: %v", sig.Name, wrong)
			}
		}
	}
}

// With nothing written every generator works, but for a certificate of nobody.
func TestDefaultsPass(t *testing.T) {
	for _, sig := range append(Generators(), DerivedFunctions()...) {
		err := sig.Check(nil)
		if (err != nil) != (sig.Name == "self_signed_cert") {
			t.Errorf("%s: %v", sig.Name, err)
		}
	}
}

func signature(t *testing.T, name string) Signature {
	t.Helper()
	for _, sig := range append(Generators(), DerivedFunctions()...) {
		if sig.Name == name {
			return sig
		}
	}
	t.Fatalf("no signature %s", name)
	return Signature{}
}

func TestCheckParams(t *testing.T) {
	type given = map[string]any
	for _, c := range []struct {
		function string
		given    given
		want     string // "" for allowed
	}{
		{"random_password", given{"length": 4}, ""},
		{"random_password", given{"length": 512}, ""},
		{"random_password", given{"length": 3}, "length must be 4 to 512"},
		{"random_password", given{"length": 513}, "length must be 4 to 512"},
		{"random_password", given{"length": "32"}, "length must be a number"},
		{"random_password", given{"symbols": 1}, "symbols must be a bool"},
		{"random_password", given{"exclude": true}, "exclude must be a string"},
		{"random_password", given{"lenght": 32}, `random_password has no parameter "lenght": did you mean "length"?`},
		{"random_password", given{"zzzzzzzzzz": 32}, `random_password has no parameter "zzzzzzzzzz": it has length, lower, upper, digits, symbols, symbol_set, exclude, min_lower, min_upper, min_digits, min_symbols`},
		{"random_password", given{"length": 2, "symbols": "no", "x_y_z_x_y_z": 1}, "length must be 4 to 512; symbols must be a bool; random_password has no parameter"},
		{"random_password", given{"length": 4, "min_digits": 2}, "length must be at least 5, the sum of min_lower, min_upper, min_digits and min_symbols"},
		{"random_password", given{"length": 4, "min_digits": 2, "symbols": false}, ""},
		{"random_password", given{"digits": false, "min_digits": 1}, "min_digits must be 0 where digits = false"},
		{"random_password", given{"digits": false, "min_digits": 0}, ""},
		{"random_password", given{"min_digits": -1}, "min_digits must be 0 to 512"},
		{"random_password", given{"lower": false, "upper": false, "digits": false, "symbols": false}, "one of lower, upper, digits and symbols must be true"},
		{"random_password", given{"symbols": false, "symbol_set": "#"}, "symbol_set has no use where symbols = false: leave one of them out"},
		{"random_password", given{"symbol_set": ""}, "symbol_set must be 1 to 32 characters"},
		{"random_password", given{"symbol_set": "##"}, "symbol_set must be printable ASCII"},
		{"random_password", given{"symbol_set": "# "}, "symbol_set must be printable ASCII"},
		{"random_password", given{"symbol_set": "a"}, "symbol_set must be printable ASCII"},
		{"random_password", given{"symbol_set": "§"}, "symbol_set must be printable ASCII"},
		{"random_password", given{"symbol_set": "#$%&'()/:;<>?@[]^`{|}\"\\"}, ""},
		{"random_password", given{"exclude": "0O1lI"}, ""},
		{"random_password", given{"exclude": "é"}, "exclude must be printable ASCII"},
		{"random_password", given{"exclude": DigitChars}, "exclude leaves nothing of digits: set digits = false"},
		{"random_password", given{"exclude": DigitChars, "digits": false}, ""},
		{"random_password", given{"lower": false, "upper": false, "symbols": false, "exclude": "123456789"}, "exclude leaves a single character"},
		{"random_uuid", given{"version": 7}, ""},
		{"random_uuid", given{"version": 1}, "version must be one of 4, 7"},
		{"random_hex", given{"bytes": 3}, "bytes must be 4 to 16384"},
		{"random_hex", given{"byte": 32}, `did you mean "bytes"?`},
		{"random_passphrase", given{"separator": ""}, "separator may be empty only with capitalize = true"},
		{"random_passphrase", given{"separator": "", "capitalize": true}, ""},
		{"random_passphrase", given{"separator": "x"}, "separator must be printable ASCII without letters and digits"},
		{"random_passphrase", given{"separator": "1"}, "separator must be printable ASCII without letters and digits"},
		{"random_passphrase", given{"separator": "---------"}, "separator must be 0 to 8 characters"},
		{"random_passphrase", given{"words": 3}, "words must be 4 to 64"},
		{"ed25519", given{"format": "PEM"}, "format must be one of pem, jwk, openssh, raw"},
		{"ed25519", given{"format": nil}, "format must be a string"},
		{"rsa", given{"bits": 1024}, "bits must be one of 2048, 3072, 4096"},
		{"ssh_key", given{"type": "dsa"}, "type must be one of ed25519, ecdsa, rsa"},
		{"ssh_key", given{"bits": 256}, "bits has no use for an ed25519 key: leave it out"},
		{"ssh_key", given{"type": "rsa", "bits": 256}, "bits must be one of 2048, 3072, 4096 for type rsa"},
		{"ssh_key", given{"type": "ecdsa", "bits": 4096}, "bits must be one of 256, 384, 521 for type ecdsa"},
		{"ssh_key", given{"type": "rsa", "bits": 4096, "comment": "a b"}, ""},
		{"ssh_key", given{"comment": "a\nb"}, "comment must be one line without control characters"},
		{"self_signed_cert", nil, "one of common_name, dns_names and ip_addresses is needed"},
		{"self_signed_cert", given{"dns_names": []string{"a.example.com", "*.example.com", "localhost", "_dmarc.example"}}, ""},
		{"self_signed_cert", given{"dns_names": []string{"a.example.com", "-a"}}, "dns_names[1] must be a host name in ASCII"},
		{"self_signed_cert", given{"dns_names": []string{"a.*.example.com"}}, "dns_names[0] must be a host name in ASCII"},
		{"self_signed_cert", given{"dns_names": []string{""}}, "dns_names[0] must be a host name in ASCII"},
		{"self_signed_cert", given{"dns_names": []string{"bücher.example"}}, "dns_names[0] must be a host name in ASCII"},
		{"self_signed_cert", given{"dns_names": "a.example.com"}, "dns_names must be a list of strings"},
		{"self_signed_cert", given{"ip_addresses": []string{"192.0.2.1", "::1"}}, ""},
		{"self_signed_cert", given{"ip_addresses": []string{"192.0.2.0/24"}}, "ip_addresses[0] must be an IPv4 or IPv6 address without a zone or a mask"},
		{"self_signed_cert", given{"ip_addresses": []string{"fe80::1%eth0"}}, "ip_addresses[0] must be an IPv4 or IPv6 address without a zone or a mask"},
		{"self_signed_cert", given{"common_name": "a", "organization": "x\x1b"}, "organization must have no control characters"},
		{"self_signed_cert", given{"common_name": strings.Repeat("a", 65)}, "common_name must be 0 to 64 characters"},
		{"self_signed_cert", given{"common_name": strings.Repeat("ü", 64)}, ""},
		{"self_signed_cert", given{"common_name": "a", "days": 0}, "days must be 1 to 36500"},
		{"bcrypt", given{"cost": 9}, "cost must be 10 to 16"},
		{"bcrypt", given{"cost": 17}, "cost must be 10 to 16"},
		{"bcrypt", given{"cost": 10}, ""},
		{"urlencode", given{"x": 1}, "urlencode takes no parameters"},
	} {
		err := checkParams(signature(t, c.function), c.given)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s(%v): %v", c.function, c.given, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s(%v):\ngot  %v\nwant %s", c.function, c.given, err, c.want)
		}
	}
}

// What was written by mistake where a parameter belongs may be a secret.
func TestCheckParamsRepeatsNoString(t *testing.T) {
	const canary = "c4n4ry\n"
	tried := 0
	for _, sig := range append(Generators(), DerivedFunctions()...) {
		for _, p := range sig.Params {
			for _, v := range []any{canary, []string{canary}, strings.Repeat(canary, 100)} {
				if err := sig.Check(map[string]any{p.Name: v}); err != nil {
					tried++
					if strings.Contains(err.Error(), "c4n4ry") {
						t.Errorf("%s, %s: %v", sig.Name, p.Name, err)
					}
				}
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d values were refused: this test tests little", tried)
	}
}

// Several faults come out in one order, whatever that of the map.
func TestCheckParamsIsStable(t *testing.T) {
	sig := signature(t, "random_hex")
	want := `random_hex has no parameter "a": it has bytes; random_hex has no parameter "b": it has bytes; random_hex has no parameter "c": it has bytes`
	for range 50 {
		if err := sig.Check(map[string]any{"c": 1, "a": 1, "b": 1}); err == nil || err.Error() != want {
			t.Fatalf("got %v", err)
		}
	}
}

func TestResolve(t *testing.T) {
	all := signature(t, "random_base64").Resolve(map[string]any{"bytes": 48})
	if got := fmt.Sprint(all); got != "map[bytes:48 padding:true url:false]" {
		t.Errorf("got %s", got)
	}
}

func TestPasswordClasses(t *testing.T) {
	all := signature(t, "random_password").Resolve(map[string]any{
		"upper": false, "exclude": "abc13579-", "min_digits": 3,
	})
	want := []PasswordClass{
		{Name: "lower", Chars: LowerChars[3:], Min: 1},
		{Name: "digits", Chars: "02468", Min: 3},
		{Name: "symbols", Chars: "!*+,.=_~", Min: 1},
	}
	if got := PasswordClasses(all); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCheckPlain(t *testing.T) {
	for _, c := range []struct {
		function string
		plain    []string
		ok       bool
	}{
		{"htpasswd", []string{"alice"}, true},
		{"htpasswd", []string{"alice smith"}, true},
		{"htpasswd", []string{""}, false},
		{"htpasswd", []string{"a:b"}, false},
		{"htpasswd", []string{"a\nb"}, false},
		{"htpasswd", []string{strings.Repeat("a", 256)}, false},
		{"htpasswd", nil, false},
		{"htpasswd", []string{"a", "b"}, false},
		{"join", []string{""}, true},
		{"join", []string{"\n"}, true},
		{"join", nil, false},
		{"sha256", nil, true},
		{"sha256", []string{"x"}, false},
	} {
		if err := signature(t, c.function).CheckPlain(c.plain); (err == nil) != c.ok {
			t.Errorf("%s(%q): %v", c.function, c.plain, err)
		}
	}
}

// The caller owns the tables: to change one changes no other.
func TestSignaturesAreCopies(t *testing.T) {
	Generators()[0].Params[0].Default = 1
	DerivedFunctions()[0].Params[0].Max = 99
	if Generators()[0].Params[0].Default != 32 || DerivedFunctions()[0].Params[0].Max != 16 {
		t.Error("a change of one copy reached another")
	}
}
