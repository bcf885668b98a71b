package lang

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// bounds returns, by function, what tells the size of a result before the work
// is done. Only functions whose result can outgrow their arguments, or whose
// work can outgrow both, have one. Arguments are known, unmarked and within
// their limits.
func bounds() map[string]func(args []cty.Value, result *size) error {
	return map[string]func(args []cty.Value, result *size) error{
		"replace":    boundReplace,
		"join":       boundJoin,
		"format":     boundFormat,
		"formatlist": boundFormatList,
		"indent":     boundIndent,
		"split":      boundSplit,
		"regex":      boundRegex,
		"regexall":   boundRegex,
		"setproduct": boundProduct,
		"jsondecode": boundJSON,
		"csvdecode":  boundCSV,
		"parseint":   boundParseInt,
	}
}

func boundReplace(args []cty.Value, result *size) error {
	text, old, replacement := textOf(args[0]), textOf(args[1]), textOf(args[2])
	if pattern, ok := slashed(old); ok {
		return checkPattern(pattern, len(text)) // its result is cut off as it grows
	}
	count := strings.Count(text, old)
	result.addText(len(text) - count*len(old) + saturated(count, len(replacement)))
	return nil
}

func boundJoin(args []cty.Value, result *size) error {
	separator := len(textOf(args[0]))
	for _, list := range args[1:] {
		if list.IsNull() {
			continue
		}
		result.addText(saturated(list.LengthInt(), separator))
		for it := list.ElementIterator(); it.Next(); {
			_, item := it.Element()
			result.addText(len(textOf(item)))
		}
	}
	return nil
}

// boundFormat reads the verbs, because a width makes text out of nothing and
// an indexed verb (%[1]s) repeats an argument. It counts every verb as the
// longest argument, so it lets pass what is a few times too long; the result
// itself is checked in the end.
func boundFormat(args []cty.Value, result *size) error {
	longest := 0
	for _, arg := range args[1:] {
		longest = max(longest, textSize(arg))
	}
	return boundVerbs(textOf(args[0]), 1, longest, 0, result)
}

// boundFormatList is boundFormat for as many formats as the longest list has
// elements. Each takes one element of each list and all of everything else.
func boundFormatList(args []cty.Value, result *size) error {
	calls, lists, others := 1, 0, 0
	for _, arg := range args[1:] {
		if ty := arg.Type(); !arg.IsNull() && (ty.IsListType() || ty.IsTupleType() || ty.IsSetType()) {
			calls = max(calls, arg.LengthInt())
			lists = max(lists, textSize(arg))
			continue
		}
		others = max(others, textSize(arg))
	}
	return boundVerbs(textOf(args[0]), calls, others, lists, result)
}

func boundVerbs(text string, calls, each, once int, result *size) error {
	const slack = 16 * maxText
	verbs, width, err := readFormat(text)
	if err != nil {
		return err
	}
	perCall := len(text) + saturated(verbs, each+width)
	if saturated(calls, perCall) > slack || saturated(verbs, once) > slack {
		result.addText(maxText + 1)
	}
	return nil
}

// readFormat counts the verbs of a format and returns its largest number.
func readFormat(text string) (verbs, largest int, err error) {
	const most = 3 // digits
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			continue
		}
		verbs++
		number, digits := 0, 0
		for i++; i < len(text) && strings.IndexByte("+-# .[]*0123456789", text[i]) >= 0; i++ {
			if text[i] < '0' {
				number, digits = 0, 0
				continue
			}
			if text[i] > '9' {
				continue
			}
			number, digits = 10*number+int(text[i]-'0'), digits+1
			if digits > most {
				return 0, 0, errors.New("a width or precision over 999 in the format; use less")
			}
			largest = max(largest, number)
		}
	}
	return verbs, largest, nil
}

// textSize is about how long v is when a verb prints it, with its punctuation.
func textSize(v cty.Value) int {
	counted := newSize(4)
	counted.add(v)
	text, elements := 4*maxText-counted.text, 4*maxElements-counted.elements
	return text + 8*elements + 64
}

func boundIndent(args []cty.Value, result *size) error {
	text := textOf(args[1])
	if args[0].AsBigFloat().Sign() < 0 {
		return errors.New("the number of spaces is negative; want 0 or more")
	}
	result.addText(len(text))
	result.addText(saturated(strings.Count(text, "\n"), whole(args[0])))
	return nil
}

func boundSplit(args []cty.Value, result *size) error {
	result.addElements(strings.Count(textOf(args[1]), textOf(args[0])))
	return nil
}

func boundRegex(args []cty.Value, result *size) error {
	return checkPattern(textOf(args[0]), len(textOf(args[1])))
}

// checkPattern bounds the work of matching, which is the size of the compiled
// pattern times the length of the text, and the memory of its matches.
func checkPattern(pattern string, text int) error {
	const (
		longest = 1000
		work    = 50_000_000
		groups  = 20
	)
	if len(pattern) > longest {
		return fmt.Errorf("a pattern of more than %d characters; use a shorter one", longest)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("the pattern is not valid: %w", err)
	}
	if parsed.MaxCap() > groups {
		return fmt.Errorf("a pattern with more than %d groups; use fewer", groups)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return fmt.Errorf("the pattern is not valid: %w", err)
	}
	if saturated(len(program.Inst), text+1) > work {
		return errors.New("a pattern too large for a text this long; use a simpler pattern or a shorter text")
	}
	return nil
}

func boundProduct(args []cty.Value, result *size) error {
	total := 1
	for _, arg := range args {
		if arg.IsNull() || !arg.CanIterateElements() {
			return nil // the function says what is wrong
		}
		total = saturated(total, arg.LengthInt())
	}
	result.addElements(saturated(total, len(args)+1))
	return nil
}

// boundJSON guards the recursion of the decoder: 1 MiB of brackets would
// overflow the stack.
func boundJSON(args []cty.Value, result *size) error {
	text, depth, quoted := textOf(args[0]), 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return fmt.Errorf("JSON nested more than %d deep; flatten it", maxDepth)
			}
			result.addElements(1)
		case c == ']' || c == '}':
			depth--
		case c == ',':
			result.addElements(1)
		}
	}
	return nil
}

func boundCSV(args []cty.Value, result *size) error {
	text := textOf(args[0])
	header, _, _ := strings.Cut(text, "\n")
	rows := strings.Count(text, "\n") + strings.Count(text, "\r")
	result.addElements(saturated(rows, strings.Count(header, ",")+2))
	return nil
}

func boundParseInt(args []cty.Value, _ *size) error {
	if args[0].Type() == cty.String && len(textOf(args[0])) > maxNumber {
		return fmt.Errorf("a number has at most %d digits", maxNumber)
	}
	return nil
}

// textOf returns the text of a string, "" for anything else.
func textOf(v cty.Value) string {
	if v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

// whole returns a number as an int, the largest size for what does not fit.
func whole(v cty.Value) int {
	if v.IsNull() || v.Type() != cty.Number {
		return 0
	}
	n, _ := v.AsBigFloat().Int64()
	return int(min(max(n, 0), saturation))
}

const saturation = 1 << 40

// saturated multiplies without overflow.
func saturated(a, b int) int {
	if a != 0 && b > saturation/a {
		return saturation
	}
	return a * b
}
