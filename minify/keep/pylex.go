package keep

import "bytes"

// The tokens of Python that tell an import from the rest (The Python Language
// Reference, 2, Lexical analysis). A number or a byte that is none of these is pyOther.
type pyToken struct {
	kind pyKind
	text []byte // of a name; of a string what is between its quotes; of an operator one byte
	line int
	col  int  // width of what stands before it, for the first of a logical line
	expr bool // a string with replacement fields, of which text has what is before the first
}

type pyKind byte

const (
	pyEOF pyKind = iota
	pyNewline
	pyName
	pyString
	pyOp
	pyOther
)

// A pyLexer reads the tokens of a source of any version of Python: what is an
// error to one version (print statements, quotes in replacement fields) is
// passed over. It reads each byte once, but for the look at a string's prefix.
type pyLexer struct {
	src   []byte
	pos   int
	line  int
	depth int  // of open brackets, in which a line's end is a blank
	start bool // at the start of a logical line
}

func newPyLexer(src []byte) *pyLexer {
	return &pyLexer{src: bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), line: 1, start: true}
}

// pyClass is what a byte can begin.
var pyClass = func() (t [256]byte) {
	for c := range t {
		switch {
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80:
			t[c] = 'n'
		case c >= '0' && c <= '9':
			t[c] = '0'
		}
	}
	return t
}()

func isPyName(c byte) bool { return pyClass[c] != 0 }

// next is the next token; pyEOF at the end, again and again.
func (l *pyLexer) next() pyToken {
	col := l.blank()
	t := pyToken{line: l.line, col: col}
	if l.pos >= len(l.src) {
		return t
	}
	c := l.src[l.pos]
	if c == '\n' || c == '\r' {
		l.newline()
		l.start = true
		t.kind = pyNewline
		return t
	}
	l.start = false
	switch {
	case pyClass[c] == 'n':
		from := l.pos
		for l.pos < len(l.src) && isPyName(l.src[l.pos]) {
			l.pos++
		}
		t.kind, t.text = pyName, l.src[from:l.pos]
		if l.pos < len(l.src) && (l.src[l.pos] == '"' || l.src[l.pos] == '\'') && len(t.text) <= 2 {
			if raw, fields, ok := pyPrefix(t.text); ok {
				l.str(&t, raw, fields)
			}
		}
	case c == '"' || c == '\'':
		l.str(&t, false, false)
	case pyClass[c] == '0':
		for l.pos < len(l.src) && (isPyName(l.src[l.pos]) || l.src[l.pos] == '.') {
			l.pos++
		}
		t.kind = pyOther
	default:
		t.kind, t.text = pyOp, l.src[l.pos:l.pos+1]
		l.pos++
		switch c {
		case '(', '[', '{':
			l.depth++
		case ')', ']', '}':
			l.depth = max(0, l.depth-1)
		case ':':
			if l.pos < len(l.src) && l.src[l.pos] == '=' { // :=
				l.pos++
				t.kind = pyOther
			}
		}
	}
	return t
}

// blank skips what is between tokens: blanks, comments, joined lines, and lines
// with nothing else. It gives the width of the indentation, as tabs to eight make it.
func (l *pyLexer) blank() int {
	col := 0
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == ' ':
			col++
			l.pos++
		case c == '\t':
			col = col/8*8 + 8
			l.pos++
		case c == '\f':
			col = 0
			l.pos++
		case c == '#':
			for l.pos < len(l.src) && l.src[l.pos] != '\n' && l.src[l.pos] != '\r' {
				l.pos++
			}
		case c == '\\' && l.pos+1 < len(l.src) && (l.src[l.pos+1] == '\n' || l.src[l.pos+1] == '\r'):
			l.pos++
			l.newline()
		case (c == '\n' || c == '\r') && (l.depth > 0 || l.start):
			l.newline()
			col = 0
		default:
			return col
		}
	}
	return col
}

// newline passes one end of a line: LF, CR LF or CR.
func (l *pyLexer) newline() {
	if l.src[l.pos] == '\r' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '\n' {
		l.pos++
	}
	l.pos++
	l.line++
}

// pyPrefix says whether a name before a quote is a string's prefix (2.4.1, String
// and Bytes literals; "ur" is Python 2's, "t" that of 3.14).
func pyPrefix(name []byte) (raw, fields, ok bool) {
	for i, c := range name {
		c |= 0x20
		switch c {
		case 'r':
			raw = true
		case 'f', 't':
			fields = true
		case 'b', 'u':
		default:
			return false, false, false
		}
		if i > 0 && c == name[0]|0x20 {
			return false, false, false
		}
	}
	return raw, fields, true
}

// str reads a string from its opening quote.
func (l *pyLexer) str(t *pyToken, raw, fields bool) {
	t.kind = pyString
	open := -1
	from, to := l.quoted(raw, fields, 0, &open)
	if open >= 0 {
		to, t.expr = open, true
	}
	t.text = l.src[from:to]
}

// maxPyNesting bounds strings within replacement fields within strings.
const maxPyNesting = 32

// quoted passes a string and gives the bounds of what is between the quotes; open
// is set to where the first replacement field is. A line's end closes a string that
// must not have one: the source is broken, but what follows may not be.
func (l *pyLexer) quoted(raw, fields bool, nesting int, open *int) (from, to int) {
	quote := l.src[l.pos]
	l.pos++
	triple := false
	if l.pos+1 < len(l.src) && l.src[l.pos] == quote && l.src[l.pos+1] == quote {
		triple = true
		l.pos += 2
	}
	from = l.pos
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == quote && !triple:
			l.pos++
			return from, l.pos - 1
		case c == quote:
			if l.pos+2 < len(l.src) && l.src[l.pos+1] == quote && l.src[l.pos+2] == quote {
				l.pos += 3
				return from, l.pos - 3
			}
			l.pos++
		case c == '\\' && l.pos+1 < len(l.src):
			l.escape(raw, fields)
		case c == '\n' || c == '\r':
			if !triple {
				return from, l.pos
			}
			l.newline()
		case c == '{' && fields:
			if l.pos+1 < len(l.src) && l.src[l.pos+1] == '{' {
				l.pos += 2
				continue
			}
			if *open < 0 {
				*open = l.pos
			}
			l.field(quote, triple, nesting)
		default:
			l.pos++
		}
	}
	return from, l.pos
}

// escape passes a backslash and what it escapes: even in a raw string the quote
// after it ends nothing.
func (l *pyLexer) escape(raw, fields bool) {
	l.pos++
	switch c := l.src[l.pos]; {
	case c == '\n' || c == '\r':
		l.newline()
	case fields && (c == '{' || c == '}'): // the backslash stands for itself
	case fields && c == 'N' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '{' && !raw: // \N{DASH}
		l.pos += 2
		for l.pos < len(l.src) && (isPyName(l.src[l.pos]) || l.src[l.pos] == ' ' || l.src[l.pos] == '-') {
			l.pos++
		}
		if l.pos < len(l.src) && l.src[l.pos] == '}' {
			l.pos++
		}
	default:
		l.pos++
	}
}

// field passes a replacement field (PEP 498; PEP 701 lets any string stand in it,
// the outer's quote too): an expression, and after a ":" outside of brackets a format, which
// is text with fields of its own.
func (l *pyLexer) field(quote byte, triple bool, nesting int) {
	l.pos++ // {
	depth, format := 0, false
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case c == '}' && depth == 0:
			l.pos++
			return
		case (c == '\n' || c == '\r') && format && !triple:
			return // no format ends so: leave it to the string around
		case c == '\n' || c == '\r':
			l.newline()
		case format && c == quote && (!triple || bytes.HasPrefix(l.src[l.pos:], []byte{quote, quote, quote})):
			return
		case c == '{' && format && nesting < maxPyNesting:
			l.field(quote, triple, nesting+1)
		case format:
			l.pos++
		case (c == '"' || c == '\'') && nesting < maxPyNesting:
			raw, fields := l.prefixBefore()
			open := -1
			l.quoted(raw, fields, nesting+1, &open)
		case c == '#':
			for l.pos < len(l.src) && l.src[l.pos] != '\n' && l.src[l.pos] != '\r' {
				l.pos++
			}
		case c == ':' && depth == 0:
			format = true
			l.pos++
		default:
			switch c {
			case '(', '[', '{':
				depth++
			case ')', ']', '}':
				depth = max(0, depth-1)
			}
			l.pos++
		}
	}
}

// prefixBefore reads the prefix of a string in a field backwards from its quote.
func (l *pyLexer) prefixBefore() (raw, fields bool) {
	from := l.pos
	for from > 0 && l.pos-from < 3 && isPyName(l.src[from-1]) {
		from--
	}
	raw, fields, ok := pyPrefix(l.src[from:l.pos])
	return raw && ok, fields && ok
}
