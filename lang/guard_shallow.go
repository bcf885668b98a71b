package lang

// shallow reports that a file which passed [guardText] is surely within the
// limits, so that its tokens need not be counted: the parser makes them anyway,
// and making them twice was a fifth of a plan's processor time. False means
// nothing.
//
// It reads the part of the language that nearly every file is written in (words,
// numbers, brackets, quoted text with interpolations, comments to the end of
// the line), where a byte tells which token it belongs to, and gives up at
// everything else. Brackets it counts as they are; what is pending in an
// expression (signs, conditionals, operators, loops) it never takes back, so
// that its sums are at least those of [guardTokens].
func shallow(src []byte) bool {
	w := shallowWalk{src: src}
	for w.at < len(src) {
		read := w.code
		if w.depth > 0 && w.open[w.depth-1] == '"' {
			read = w.text
		}
		if !read() || w.depth+w.pending > maxNesting || w.operators > maxOperators || w.loops > maxLoops {
			return false
		}
	}
	return true
}

type shallowWalk struct {
	src []byte
	at  int
	// open are the brackets, quotes and interpolations ('$') around at.
	open  [maxNesting + 1]byte
	depth int
	// pending counts signs, conditionals and splats of the whole file.
	pending, operators, loops int
}

// next returns the byte behind at, 0 at the end.
func (w *shallowWalk) next() byte {
	if w.at+1 < len(w.src) {
		return w.src[w.at+1]
	}
	return 0
}

func (w *shallowWalk) push(open byte, size int) bool {
	w.open[w.depth] = open // depth is at most maxNesting here
	w.depth++
	w.at += size
	return true
}

func (w *shallowWalk) pop(open byte) bool {
	if w.depth == 0 || w.open[w.depth-1] != open {
		return false
	}
	w.depth--
	w.at++
	return true
}

// text reads one byte of a quoted text. A dollar or percent sign that begins
// nothing splits the text into several literals, which the parser has to join.
func (w *shallowWalk) text() bool {
	switch w.src[w.at] {
	case '"':
		return w.pop('"')
	case '\\':
		if next := w.next(); next == 0 || next == '\n' || next == '\r' {
			return false
		}
		w.at += 2
		return true
	case '$':
		return w.next() == '{' && w.push('$', 2)
	case '%', '\n', '\r':
		return false
	}
	w.at++
	return true
}

// code reads one word, number, comment or sign.
func (w *shallowWalk) code() bool {
	switch c := w.src[w.at]; {
	case c == ' ' || c == '\t' || c == '\n' || c == ',' || c == '.':
	case isLetter(c):
		w.word()
		return true
	case isDigit(c):
		return w.number()
	case c == '\r':
		return w.next() == '\n' && w.skip(2)
	case c == '"' || c == '{' || c == '(':
		return w.push(c, 1)
	case c == '[':
		w.operators++ // it may be an index
		return w.push(c, 1)
	case c == ')':
		return w.pop('(')
	case c == ']':
		return w.pop('[')
	case c == '}':
		return w.pop('{') || w.pop('$')
	case c == '#' || c == '/' && w.next() == '/':
		for w.at < len(w.src) && w.src[w.at] != '\n' {
			w.at++
		}
		return true
	default:
		return w.sign(c)
	}
	return w.skip(1)
}

func (w *shallowWalk) skip(n int) bool {
	w.at += n
	return true
}

func (w *shallowWalk) sign(c byte) bool {
	switch c {
	case '=': // "==" counts as an operator at the second
		if w.at > 0 && w.src[w.at-1] == '=' {
			w.operators++
		}
	case '?', '!':
		w.pending++
		w.operators++ // "!="
	case '-', '*':
		w.pending++
		w.operators++
	case '+', '%', '&', '|', '>':
		w.operators++
	case '<':
		w.operators++
		if w.next() == '<' {
			return false // a heredoc
		}
	case '/':
		w.operators++
		if w.next() == '*' {
			return false
		}
	case ':':
		if w.next() == ':' {
			return false
		}
	default:
		return false
	}
	return w.skip(1)
}

func (w *shallowWalk) word() {
	start := w.at
	for w.at < len(w.src) && (isLetter(w.src[w.at]) || isDigit(w.src[w.at]) || w.src[w.at] == '-') {
		w.at++
	}
	if string(w.src[start:w.at]) == "for" {
		w.loops++
	}
}

// number gives up at an exponent and at more digits than a number may have.
func (w *shallowWalk) number() bool {
	start := w.at
	for w.at < len(w.src) && (isDigit(w.src[w.at]) || w.src[w.at] == '.') {
		w.at++
	}
	exponent := w.at < len(w.src) && w.src[w.at]|0x20 == 'e'
	return !exponent && w.at-start <= maxNumber
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
