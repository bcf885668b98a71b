package lang

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// textFunc makes a function of one text.
func textFunc(do func(string) (string, error)) function.Function { return ofText("text", do) }

func ofText(param string, do func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: param, Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result, err := do(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(result), nil
		},
	})
}

func base64Encode(s string) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(s)), nil
}

func base64Decode(s string) (string, error) {
	decoded, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return "", errors.New("this is not base64 (standard alphabet, padded)")
	}
	if !utf8.Valid(decoded) {
		return "", errors.New("what this decodes to is not UTF-8 text")
	}
	return string(decoded), nil
}

func sha256Hex(s string) (string, error) {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]), nil
}

// urlEncode escapes everything but the unreserved characters of RFC 3986,
// section 2.3, so the result fits any part of a URL. Terraform writes a space
// as "+", which means a plus sign outside a query.
func urlEncode(s string) (string, error) {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
	return b.String(), nil
}

func textTest(second string, holds func(s, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: second, Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(holds(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func hasPrefix(s, part string) bool    { return strings.HasPrefix(s, part) }
func hasSuffix(s, part string) bool    { return strings.HasSuffix(s, part) }
func containsText(s, part string) bool { return strings.Contains(s, part) }

// slashed returns the pattern of a replace whose second argument stands
// between slashes.
func slashed(s string) (string, bool) {
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		return s[1 : len(s)-1], true
	}
	return "", false
}

// replaceFunc replaces text, or a pattern where it stands between slashes; then
// $1 and ${name} in the replacement are the groups of a match.
func replaceFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "text", Type: cty.String},
			{Name: "old", Type: cty.String},
			{Name: "new", Type: cty.String},
		},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, old, replacement := args[0].AsString(), args[1].AsString(), args[2].AsString()
			pattern, ok := slashed(old)
			if !ok {
				return cty.StringVal(strings.ReplaceAll(text, old, replacement)), nil
			}
			re, err := regexp.Compile(pattern)
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "the pattern is not valid: %s", err)
			}
			result, err := replaceMatches(re, text, replacement)
			return cty.StringVal(result), err
		},
	})
}

// replaceMatches is ReplaceAllString with an end to its growth.
func replaceMatches(re *regexp.Regexp, text, replacement string) (string, error) {
	if len(replacement) > 1000 {
		return "", errors.New("a replacement of more than 1000 characters for a pattern; use less")
	}
	var result []byte
	last := 0
	for _, match := range re.FindAllStringSubmatchIndex(text, maxElements+1) {
		result = append(result, text[last:match[0]]...)
		result = re.ExpandString(result, replacement, text, match)
		last = match[1]
		if len(result) > maxText {
			return "", errors.New("the result holds more than 1 MiB of text; put less into one value")
		}
	}
	return string(append(result, text[last:]...)), nil
}

// lengthFunc counts elements, or the characters of a text.
func lengthFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			ty := args[0].Type()
			if ty == cty.String || ty == cty.DynamicPseudoType || ty.IsTupleType() || ty.IsObjectType() || ty.IsCollectionType() {
				return cty.Number, nil
			}
			return cty.NilType, function.NewArgErrorf(0, "want a list, a map, a set or a text")
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v := args[0]
			switch {
			case v.Type() == cty.String:
				return stdlib.Strlen(v)
			case v.Type() == cty.DynamicPseudoType:
				return cty.UnknownVal(cty.Number), nil
			case v.Type().IsObjectType():
				return cty.NumberIntVal(int64(len(v.Type().AttributeTypes()))), nil
			}
			return v.Length(), nil
		},
	})
}

// coalesceFunc returns the first argument that is neither null nor "".
func coalesceFunc() function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "values", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true},
		Type: func(args []cty.Value) (cty.Type, error) {
			return stdlib.CoalesceFunc.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			var given []cty.Value
			for _, arg := range args {
				if arg.IsNull() || arg.Type() == cty.String && arg.AsString() == "" {
					continue
				}
				given = append(given, arg)
			}
			if len(given) == 0 {
				return cty.NilVal, fmt.Errorf("every argument is null or empty")
			}
			return convertTo(given[0], retType)
		},
	})
}
