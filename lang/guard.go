package lang

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The limits of one configuration file. A configuration is somebody else's
// file (a pull request), and the HCL parser and evaluator recurse: 200 KB of
// brackets overflow the stack, which no recover catches, and seven nested
// loops of 251 bytes run for minutes.
const (
	maxFileBytes = 1 << 20
	// maxNesting counts everything that makes the parser recurse: blocks,
	// brackets, templates, template directives, unary signs, conditionals.
	maxNesting = 100
	// maxLoops is how many for expressions and %{for} directives may nest.
	maxLoops = 2
	// maxOperators bounds binary operators and index steps that are pending at
	// once: the parser reads them in a loop, but the tree they make is as deep
	// as they are many, and evaluation recurses into it.
	maxOperators = 1000
	// maxNumber is the length of a number literal, maxExponent its largest
	// exponent: 1e999999999 in a template is a string of a gigabyte.
	maxNumber   = 100
	maxExponent = 300
	// maxMeld bounds the bytes that the parser copies to join neighbouring
	// literals (the lines of a heredoc), which it does in quadratic time.
	maxMeld = 512 << 20
	// maxTokens bounds words and signs: a token takes about 100 bytes, the tree
	// above it several times that. Ordinary text of 1 MiB has 270,000.
	maxTokens = 400_000
	// prefixBytes is how much is scanned first, so that a bomb costs little
	// memory.
	prefixBytes = 64 << 10
)

// guard refuses a file that the HCL parser must not see: too large, not plain
// UTF-8 text, or nested so deeply that parsing or evaluating it would overflow
// the stack or never end. It returns nil or exactly one error, with the place
// and the fix. What it accepts parses in time and memory proportional to its
// size. It does not check the syntax; that is the parser's work.
func guard(filename string, src []byte) hcl.Diagnostics {
	if len(src) > maxFileBytes {
		return refuse(filename, src, 0, 0, "File too large",
			fmt.Sprintf("The file has %d bytes; a configuration file has at most 1 MiB. Split it: every *.hcl file of the directory is one configuration.", len(src)))
	}
	if diags := guardText(filename, src); diags != nil {
		return diags
	}
	safe := shallow(src)
	if len(src) > prefixBytes {
		if !safe {
			if diags := guardTokens(filename, src[:prefixBytes], true); diags != nil {
				return diags
			}
		}
		if countWords(src) > maxTokens {
			return refuse(filename, src, 0, 0, "File too large",
				fmt.Sprintf("The file has more than %d words and signs. Split it: every *.hcl file of the directory is one configuration.", maxTokens))
		}
	}
	if safe {
		return nil
	}
	return guardTokens(filename, src, false)
}

// guardTokens scans the tokens of src, which may be the beginning of a file.
func guardTokens(filename string, src []byte, prefix bool) hcl.Diagnostics {
	// The lexer looks for the end of a comment up to the end of the file and
	// starts over where there is none, in quadratic time. A closer behind the
	// text ends that search; it is no token of the file.
	closed := make([]byte, 0, len(src)+4)
	closed = append(append(closed, src...), "\n*/\n"...)
	tokens, _ := hclsyntax.LexConfig(closed, filename, hcl.InitialPos)

	s := scanner{frames: []frame{{body: true}}}
	for _, token := range tokens {
		if token.Range.Start.Byte >= len(src) {
			break
		}
		if token.Type == hclsyntax.TokenComment && token.Range.End.Byte > len(src)+1 && !prefix {
			s.refuse(token, "Comment is not closed", "This comment has no end. Write */ where it ends.")
		} else {
			s.scan(token)
		}
		if s.diag != nil {
			return hcl.Diagnostics{s.diag}
		}
	}
	return nil
}

// frame is one open bracket, template or block, or the file itself.
type frame struct {
	open hclsyntax.TokenType
	// body is true where blocks and arguments stand, assigned between an
	// argument's equals sign and its end: there a brace opens an object.
	body, assigned bool
	loop           bool // a for expression
	// unary, conditional (which includes splats) and operators are pending in
	// the expression being read.
	unary, conditional, operators int
	// directives are the open %{if} (false) and %{for} (true) of a template,
	// parts its literals and interpolations, melds those that join the one before.
	directives   []bool
	parts, melds int
}

// scanner counts what is open at each token.
type scanner struct {
	frames []frame
	// nesting, loops and operators are the sums over all frames.
	nesting, loops, operators int
	prev                      hclsyntax.Token // the last token that is neither comment nor newline
	run, meld                 int             // bytes of consecutive literals; bytes copied to join all so far
	diag                      *hcl.Diagnostic
}

func (s *scanner) refuse(at hclsyntax.Token, summary, detail string) {
	if s.diag == nil {
		subject := at.Range
		s.diag = &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &subject}
	}
}

func (s *scanner) top() *frame { return &s.frames[len(s.frames)-1] }

func (s *scanner) scan(token hclsyntax.Token) {
	switch token.Type {
	case hclsyntax.TokenComment:
		// A comment to the end of the line has the newline in it.
		if token.Bytes[len(token.Bytes)-1] == '\n' {
			s.newline(token)
		}
		return
	case hclsyntax.TokenNewline:
		s.newline(token)
		return
	case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
		s.part(s.top(), len(token.Bytes))
	case hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen,
		hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
		s.pop(token.Type)
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote,
		hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		s.push(token)
	default:
		s.inExpression(token)
	}
	if token.Type != hclsyntax.TokenQuotedLit && token.Type != hclsyntax.TokenStringLit {
		s.run = 0
	}
	s.prev = token
	s.check(token)
}

func (s *scanner) check(token hclsyntax.Token) {
	switch {
	case s.nesting > maxNesting:
		s.refuse(token, "Nesting too deep", fmt.Sprintf(
			"Here more than %d blocks, brackets, templates, signs or conditionals are open at once. Move the inner part to a local value (locals { name = … }) and refer to it.", maxNesting))
	case s.loops > maxLoops:
		s.refuse(token, "Too many nested loops", fmt.Sprintf(
			"This is a for inside %d others; at most %d may nest, because each multiplies the work. Compute the inner list once as a local value, or use flatten or setproduct.", s.loops-1, maxLoops))
	case s.operators > maxOperators:
		s.refuse(token, "Expression too long", fmt.Sprintf(
			"This expression has more than %d operators. Use a list and a function (contains, join, sum), or split it into local values.", maxOperators))
	case s.meld > maxMeld:
		s.refuse(token, "Text too long", `This text has too many lines for a configuration. Put it in a file and write file("NAME").`)
	}
}

// newline ends an argument or an item of an object; inside other brackets and
// inside a for it is only space.
func (s *scanner) newline(token hclsyntax.Token) {
	f := s.top()
	if f.open == 0 || f.open == hclsyntax.TokenOBrace && !f.loop {
		s.endExpression()
		f.assigned = false
		if s.prev.Type != hclsyntax.TokenOBrace {
			s.prev = token // a for behind "{" and newlines is still a loop
		}
	}
}

func (s *scanner) endExpression() {
	f := s.top()
	s.nesting -= f.unary + f.conditional
	s.operators -= f.operators
	f.unary, f.conditional, f.operators = 0, 0, 0
}

func (s *scanner) push(token hclsyntax.Token) {
	f := s.top()
	switch {
	case token.Type == hclsyntax.TokenOBrack && s.afterOperand():
		f.operators++ // an index or a splat
		s.operators++
	case token.Type == hclsyntax.TokenTemplateInterp || token.Type == hclsyntax.TokenTemplateControl:
		s.part(f, 0)
	}
	body := token.Type == hclsyntax.TokenOBrace && f.body && !f.assigned
	s.frames = append(s.frames, frame{open: token.Type, body: body})
	s.nesting++
}

// pop closes the nearest bracket of that kind, and with it what was left open
// inside. A closer that fits nothing is left to the parser.
func (s *scanner) pop(closer hclsyntax.TokenType) {
	for i := len(s.frames) - 1; i > 0; i-- {
		open := s.frames[i].open
		if closes(closer, open) {
			for len(s.frames) > i {
				s.drop()
			}
			return
		}
		if inTemplate(open) && closer != hclsyntax.TokenTemplateSeqEnd && closer != hclsyntax.TokenCQuote && closer != hclsyntax.TokenCHeredoc {
			return // a bracket closes nothing outside its own template
		}
	}
}

func closes(closer, open hclsyntax.TokenType) bool {
	switch closer {
	case hclsyntax.TokenCBrace:
		return open == hclsyntax.TokenOBrace
	case hclsyntax.TokenCBrack:
		return open == hclsyntax.TokenOBrack
	case hclsyntax.TokenCParen:
		return open == hclsyntax.TokenOParen
	case hclsyntax.TokenCQuote:
		return open == hclsyntax.TokenOQuote
	case hclsyntax.TokenCHeredoc:
		return open == hclsyntax.TokenOHeredoc
	default:
		return open == hclsyntax.TokenTemplateInterp || open == hclsyntax.TokenTemplateControl
	}
}

func inTemplate(open hclsyntax.TokenType) bool {
	switch open {
	case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return true
	}
	return false
}

func (s *scanner) drop() {
	s.endExpression()
	f := s.top()
	s.nesting -= 1 + len(f.directives)
	for _, loop := range f.directives {
		if loop {
			s.loops--
		}
	}
	if f.loop {
		s.loops--
	}
	s.frames = s.frames[:len(s.frames)-1]
}
