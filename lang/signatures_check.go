package lang

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Characters of the classes of random_password.
const (
	LowerChars = "abcdefghijklmnopqrstuvwxyz"
	UpperChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	DigitChars = "0123456789"
)

// Check reports everything that is wrong with parameters as they are written:
// unknown names, types, bounds, and rules between parameters. Values are int,
// bool, string or []string. The text names the parameter and what is allowed;
// it repeats no string that was given.
func (s Signature) Check(given map[string]any) error {
	var wrong []string
	names := make([]string, 0, len(s.Params))
	for _, p := range s.Params {
		names = append(names, p.Name)
		if v, ok := given[p.Name]; ok {
			wrong = append(wrong, p.check(v)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			wrong = append(wrong, s.unknown(name, names))
		}
	}
	if len(wrong) == 0 && s.cross != nil {
		wrong = s.cross(given, s.Resolve(given))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// Resolve returns the value of every parameter: the one given, else the default.
func (s Signature) Resolve(given map[string]any) map[string]any {
	all := make(map[string]any, len(s.Params))
	for _, p := range s.Params {
		all[p.Name] = p.Default
		if v, ok := given[p.Name]; ok {
			all[p.Name] = v
		}
	}
	return all
}

// checkParams is [Signature.Check] as the loader calls it.
func checkParams(sig Signature, given map[string]any) error { return sig.Check(given) }

func (s Signature) unknown(name string, names []string) string {
	switch near := suggest(name, names); {
	case len(names) == 0:
		return fmt.Sprintf("%s takes no parameters", s.Name)
	case near != "":
		return fmt.Sprintf("%s has no parameter %q: did you mean %q?", s.Name, name, near)
	default:
		return fmt.Sprintf("%s has no parameter %q: it has %s", s.Name, name, strings.Join(names, ", "))
	}
}

func (p Param) check(v any) []string {
	size, text, unit := 0, "", ""
	switch v := v.(type) {
	case int:
		if p.Type != ParamInt {
			return p.wrongType()
		}
		size, text = v, strconv.Itoa(v)
	case bool:
		if p.Type != ParamBool {
			return p.wrongType()
		}
		return nil
	case string:
		if p.Type != ParamString {
			return p.wrongType()
		}
		size, text, unit = utf8.RuneCountInString(v), v, " characters"
	case []string:
		if p.Type != ParamStrings {
			return p.wrongType()
		}
		size, unit = len(v), " entries"
	default:
		return p.wrongType()
	}
	if p.OneOf != nil && !slices.Contains(p.OneOf, text) {
		return []string{fmt.Sprintf("%s must be one of %s", p.Name, strings.Join(p.OneOf, ", "))}
	}
	if (p.Min != 0 || p.Max != 0) && (size < p.Min || size > p.Max) {
		return []string{fmt.Sprintf("%s must be %d to %d%s", p.Name, p.Min, p.Max, unit)}
	}
	return nil
}

func (p Param) wrongType() []string {
	return []string{fmt.Sprintf("%s must be a %s", p.Name, p.Type)}
}

// PasswordClass is one class of characters of random_password.
type PasswordClass struct {
	Name  string // the parameter: "lower", "upper", "digits", "symbols"
	Chars string // what may be drawn, after exclude
	Min   int    // how many there must be
}

// PasswordClasses returns the classes in use under resolved parameters of
// random_password.
func PasswordClasses(all map[string]any) []PasswordClass {
	exclude := all["exclude"].(string)
	var classes []PasswordClass
	for _, c := range []PasswordClass{
		{Name: "lower", Chars: LowerChars},
		{Name: "upper", Chars: UpperChars},
		{Name: "digits", Chars: DigitChars},
		{Name: "symbols", Chars: all["symbol_set"].(string)},
	} {
		if !all[c.Name].(bool) {
			continue
		}
		c.Chars = strings.Map(func(r rune) rune {
			if strings.ContainsRune(exclude, r) {
				return -1
			}
			return r
		}, c.Chars)
		c.Min = all["min_"+c.Name].(int)
		classes = append(classes, c)
	}
	return classes
}

func crossPassword(given, all map[string]any) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }

	for _, class := range []string{"lower", "upper", "digits", "symbols"} {
		if least, _ := given["min_"+class].(int); least > 0 && !all[class].(bool) {
			say("min_%s must be 0 where %s = false", class, class)
		}
	}
	if _, ok := given["symbol_set"]; ok && !all["symbols"].(bool) {
		say("symbol_set has no use where symbols = false: leave one of them out")
	}
	if set := all["symbol_set"].(string); !onlySymbols(set) || repeats(set) {
		say("symbol_set must be printable ASCII without letters, digits and spaces, each character once")
	}
	if !printable(all["exclude"].(string)) {
		say("exclude must be printable ASCII")
	}
	sum, chars := 0, 0
	classes := PasswordClasses(all)
	for _, c := range classes {
		sum += c.Min
		chars += len(c.Chars)
		if c.Chars == "" {
			say("exclude leaves nothing of %s: set %s = false", c.Name, c.Name)
		}
	}
	switch {
	case len(classes) == 0:
		say("one of lower, upper, digits and symbols must be true")
	case chars < 2 && len(wrong) == 0:
		say("exclude leaves a single character: at least two are needed")
	case sum > all["length"].(int):
		say("length must be at least %d, the sum of min_lower, min_upper, min_digits and min_symbols", sum)
	}
	return wrong
}

func crossPassphrase(_, all map[string]any) []string {
	separator := all["separator"].(string)
	if separator == "" && !all["capitalize"].(bool) {
		return []string{"separator may be empty only with capitalize = true: without either, different words can read the same"}
	}
	if !printable(separator) || strings.ContainsAny(separator, LowerChars+UpperChars+DigitChars) {
		return []string{"separator must be printable ASCII without letters and digits"}
	}
	return nil
}

func crossSSHKey(_, all map[string]any) []string {
	var wrong []string
	sizes := map[string][]int{"ed25519": {0}, "ecdsa": {0, 256, 384, 521}, "rsa": {0, 2048, 3072, 4096}}
	kind := all["type"].(string)
	if !slices.Contains(sizes[kind], all["bits"].(int)) {
		switch kind {
		case "ed25519":
			wrong = append(wrong, "bits has no use for an ed25519 key: leave it out")
		default:
			list := strings.Trim(strings.ReplaceAll(fmt.Sprint(sizes[kind][1:]), " ", ", "), "[]")
			wrong = append(wrong, fmt.Sprintf("bits must be one of %s for type %s", list, kind))
		}
	}
	if strings.ContainsFunc(all["comment"].(string), isControl) {
		wrong = append(wrong, "comment must be one line without control characters")
	}
	return wrong
}

// hostname is the preferred name syntax of RFC 1123 section 2.1, with a
// wildcard as the whole first label (RFC 6125 section 6.4.3). Compiled when it
// is needed, which is seldom: every start of the program would wait for it.
var hostname = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*$`)
})

func crossCert(_, all map[string]any) []string {
	var wrong []string
	names, addresses := all["dns_names"].([]string), all["ip_addresses"].([]string)
	for i, name := range names {
		if len(name) > 253 || !hostname().MatchString(name) {
			wrong = append(wrong, fmt.Sprintf("dns_names[%d] must be a host name in ASCII, such as api.example.com or *.example.com", i))
		}
	}
	for i, address := range addresses {
		if ip, err := netip.ParseAddr(address); err != nil || ip.Zone() != "" {
			wrong = append(wrong, fmt.Sprintf("ip_addresses[%d] must be an IPv4 or IPv6 address without a zone or a mask", i))
		}
	}
	for _, name := range []string{"common_name", "organization"} {
		if strings.ContainsFunc(all[name].(string), isControl) {
			wrong = append(wrong, name+" must have no control characters")
		}
	}
	if all["common_name"].(string) == "" && len(names) == 0 && len(addresses) == 0 {
		wrong = append(wrong, "one of common_name, dns_names and ip_addresses is needed")
	}
	return wrong
}

func isControl(r rune) bool {
	return r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' || r == '\ufffd'
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func onlySymbols(s string) bool {
	return printable(s) && !strings.ContainsAny(s, LowerChars+UpperChars+DigitChars+" ")
}

func repeats(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(s[i+1:], s[i]) >= 0 {
			return true
		}
	}
	return false
}

// CheckPlain reports what is wrong with the leading plain-text arguments of a
// derived function, known once the configuration is evaluated.
func (s Signature) CheckPlain(plain []string) error {
	if len(plain) != len(s.PlainArgs) {
		return fmt.Errorf("%s takes %d plain-text arguments first: %s", s.Name, len(s.PlainArgs), strings.Join(s.PlainArgs, ", "))
	}
	if s.Name != "htpasswd" {
		return nil
	}
	// The file is lines of user:hash; Apache's tool allows 255 characters.
	if user := plain[0]; user == "" || len(user) > 255 || strings.Contains(user, ":") || strings.ContainsFunc(user, isControl) {
		return errors.New("user must be 1 to 255 characters on one line, without a colon")
	}
	return nil
}
