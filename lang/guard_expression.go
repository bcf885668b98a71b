package lang

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// inExpression counts a token that is neither bracket nor text.
func (s *scanner) inExpression(token hclsyntax.Token) {
	f := s.top()
	switch token.Type {
	case hclsyntax.TokenIdent:
		s.keyword(string(token.Bytes))
	case hclsyntax.TokenNumberLit:
		s.number(token)
	case hclsyntax.TokenDoubleColon:
		// The parser joins the parts of a namespaced name in quadratic time.
		s.refuse(token, "No such function", "Functions have plain names here; there are no namespaces (::). Write the name alone.")
	case hclsyntax.TokenComma, hclsyntax.TokenFatArrow:
		s.endExpression()
	case hclsyntax.TokenEqual:
		s.endExpression()
		f.assigned = true
	case hclsyntax.TokenQuestion:
		s.endUnary()
		f.conditional++
		s.nesting++
	case hclsyntax.TokenColon:
		s.endUnary()
	case hclsyntax.TokenBang:
		f.unary++
		s.nesting++
	case hclsyntax.TokenMinus:
		if s.afterOperand() {
			s.operator()
			return
		}
		f.unary++
		s.nesting++
	case hclsyntax.TokenStar:
		if s.prev.Type == hclsyntax.TokenOBrack && f.open == s.prev.Type {
			// What follows a full splat is read by recursion: it belongs to
			// the expression around the bracket.
			s.frames[len(s.frames)-2].conditional++
			s.nesting++
			return
		}
		s.operator()
	case hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenPercent,
		hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
		hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
		s.operator()
	}
}

func (s *scanner) operator() {
	s.endUnary()
	s.top().operators++
	s.operators++
}

func (s *scanner) endUnary() {
	f := s.top()
	s.nesting -= f.unary
	f.unary = 0
}

// afterOperand reports whether a minus here is a subtraction and a bracket an
// index. After a keyword of a for it counts one index too many, no more.
func (s *scanner) afterOperand() bool {
	switch s.prev.Type {
	case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenCBrace, hclsyntax.TokenCBrack,
		hclsyntax.TokenCParen, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc, hclsyntax.TokenStar:
		return true
	}
	return false
}

// keyword marks loops: "for" right behind a bracket, and the directives of a
// template.
func (s *scanner) keyword(word string) {
	f := s.top()
	switch s.prev.Type {
	case hclsyntax.TokenOBrack, hclsyntax.TokenOBrace:
		if word == "for" && f.open == s.prev.Type && !f.body {
			f.loop = true
			s.loops++
		}
	case hclsyntax.TokenTemplateControl:
		if len(s.frames) >= 2 && f.open == hclsyntax.TokenTemplateControl {
			s.directive(&s.frames[len(s.frames)-2], word)
		}
	}
}

func (s *scanner) directive(template *frame, word string) {
	open := template.directives
	switch word {
	case "if", "for":
		template.directives = append(open, word == "for")
		s.nesting++
		if word == "for" {
			s.loops++
		}
	case "endif", "endfor":
		loop := word == "endfor"
		if len(open) > 0 && open[len(open)-1] == loop {
			template.directives = open[:len(open)-1]
			s.nesting--
			if loop {
				s.loops--
			}
		}
	}
}

// part counts what the parser copies to join the literals of a template: it
// appends each literal of a run to the one before, byte by byte, and closes the
// gap in the list of parts, 16 bytes each.
func (s *scanner) part(template *frame, literal int) {
	const entry = 16
	before := template.melds * template.parts
	template.parts++
	if literal > 0 {
		s.run += literal
		if s.prev.Type == hclsyntax.TokenQuotedLit || s.prev.Type == hclsyntax.TokenStringLit {
			template.melds++
			s.meld += s.run
		}
	}
	s.meld += entry * (template.melds*template.parts - before)
}

func (s *scanner) number(token hclsyntax.Token) {
	mantissa, exponent, found := bytes.Cut(bytes.ToLower(token.Bytes), []byte("e"))
	if len(mantissa) > maxNumber {
		s.refuse(token, "Number too long", fmt.Sprintf("A number has at most %d digits. Write it as text if it is an identifier.", maxNumber))
		return
	}
	if !found {
		return
	}
	n, err := strconv.Atoi(string(exponent))
	if err != nil || n > maxExponent || n < -maxExponent {
		s.refuse(token, "Number out of range", fmt.Sprintf("The exponent of a number lies between -%d and %d.", maxExponent, maxExponent))
	}
}
