package lang

import (
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"
)

// The limits of one evaluated value (RELIABILITY.md, rule 27).
const (
	maxElements = 100_000
	maxText     = 1 << 20
	// maxBits bounds the exponent of a number: its text has a third as many
	// digits, and making that text takes quadratic time.
	maxBits  = 1 << 12
	maxDepth = 100
)

// checkSize returns an error when v is larger than a value of the language may
// be: 10^5 elements or 1 MiB of text in all, 100 levels, numbers up to 10^1233.
// Evaluation cannot be interrupted, so everything that one expression hands to
// another (variables, locals) must pass here: each of a chain of locals can
// double the one before. Unknown values and capsules have no size.
func checkSize(v cty.Value) error {
	s := newSize(1)
	s.add(v)
	return s.err
}

// size adds up values and stops at the first limit.
type size struct {
	elements, text int // what is left
	factor         int
	err            error
}

// newSize returns a size that allows factor times the limits of one value.
func newSize(factor int) *size {
	return &size{elements: factor * maxElements, text: factor * maxText, factor: factor}
}

func (s *size) add(v cty.Value) { s.walk(v, maxDepth) }

// addText counts text that is no value yet.
func (s *size) addText(bytes int) {
	if s.text -= bytes; s.text < 0 && s.err == nil {
		s.err = fmt.Errorf("more than %d MiB of text; put less into one value", s.factor*maxText>>20)
	}
}

func (s *size) addElements(n int) {
	if s.elements -= n; s.elements < 0 && s.err == nil {
		s.err = fmt.Errorf("more than %d elements; put less into one value", s.factor*maxElements)
	}
}

// addNumber counts a number as the text that it would become.
func (s *size) addNumber(n *big.Float) {
	if n.IsInf() {
		return
	}
	exponent := n.MantExp(nil)
	bits := max(exponent, -exponent, int(n.MinPrec()))
	if bits > maxBits && s.err == nil {
		s.err = fmt.Errorf("a number with more than %d digits; numbers of the language are smaller", maxBits*3/10)
	}
	s.addText(bits / 3)
}

func (s *size) walk(v cty.Value, depth int) {
	v, _ = v.Unmark()
	if s.err != nil || v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return
	}
	switch ty := v.Type(); {
	case ty == cty.String:
		s.addText(len(v.AsString()))
	case ty == cty.Number:
		s.addNumber(v.AsBigFloat())
	case ty.IsListType(), ty.IsSetType(), ty.IsMapType(), ty.IsTupleType(), ty.IsObjectType():
		if depth == 0 {
			s.err = fmt.Errorf("a value nested more than %d deep; flatten it", maxDepth)
			return
		}
		s.addElements(v.LengthInt())
		for it := v.ElementIterator(); s.err == nil && it.Next(); {
			key, element := it.Element()
			if key.Type() == cty.String && !ty.IsSetType() {
				s.addText(len(key.AsString()))
			}
			s.walk(element, depth-1)
		}
	}
}
