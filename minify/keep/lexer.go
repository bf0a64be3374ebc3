package keep

import (
	"bytes"
	"strings"
)

// A token of a source file: enough to see which functions are called with which
// literals, not enough to run it.
type token struct {
	kind tokenKind
	// text is the identifier, the content of the string with its escapes resolved, or
	// the operator.
	text string
	line int  // from 1
	hole bool // a string with a value set into it: f"{x}", `${x}`
}

type tokenKind uint8

const (
	operatorToken tokenKind = iota
	nameToken
	stringToken
	shellToken // a string that the language hands to a shell: `ls`, %x(ls), qx(ls)
	wordsToken // a list of words: %w(a b), qw(a b)
)

// A language is what a lexer must know of a language.
type language struct {
	name     string
	comments []string    // to the end of the line
	blocks   [][2]string // comments with an end
	quotes   string      // what strings stand in
	triple   bool        // Python's """ and '''
	backtick tokenKind   // what `…` is, if it is in quotes
	regexps  bool        // /…/ where an operand may stand
	percent  bool        // Ruby's %w(…), %x(…)
	perl     bool        // q qq qx qw m s tr y, and # in $#
	calls    map[string]call
}

// maxTokens bounds the tokens of one file.
const maxTokens = 2 << 20

// hole stands in the text of a token for a value that is set into a string.
const hole = "\x01"

type lexer struct {
	*language
	b     []byte
	i     int
	line  int
	last  token // the last token, for what may follow it
	space bool  // what follows stands after a blank
}

// tokens splits the source b.
func (x *language) tokens(b []byte) []token {
	l := &lexer{language: x, b: b, line: 1}
	var list []token
	for len(list) < maxTokens {
		t, ok := l.next()
		if !ok {
			break
		}
		list = append(list, t)
		l.last = t
	}
	return list
}

// next is the next token; false at the end.
func (l *lexer) next() (token, bool) {
	l.skip()
	if l.i >= len(l.b) {
		return token{}, false
	}
	t := token{line: l.line}
	c := l.b[l.i]
	switch {
	case strings.IndexByte(l.quotes, c) >= 0:
		t.kind, t.text, t.hole = stringToken, "", false
		if c == '`' {
			t.kind = l.backtick
		}
		l.quoted(&t, c, c)
	case isLetter(c) || c == '_' || c >= 0x80 || c == '$' && l.name == "javascript":
		l.word(&t)
	case '0' <= c && c <= '9':
		from := l.i
		for l.i < len(l.b) && (isNameByte(l.b[l.i]) && l.b[l.i] != '-' && l.b[l.i] != '+') {
			l.i++
		}
		l.i = max(l.i, from+1)
		t.text = string(l.b[from:l.i])
	case c == '%' && l.percent && l.operand() && l.percentLiteral(&t):
	case c == '/' && l.regexps && l.operand():
		l.regexp()
		t.text = "//"
	default:
		t.text = string(c)
		l.i++
		if l.i < len(l.b) && (c == ':' && l.b[l.i] == ':' || c == '-' && l.b[l.i] == '>' || c == '=' && l.b[l.i] == '>') {
			t.text += string(l.b[l.i])
			l.i++
		}
	}
	return t, true
}

// skip passes blanks and comments.
func (l *lexer) skip() {
	l.space = false
	for l.i < len(l.b) {
		switch c := l.b[l.i]; {
		case c == '\n':
			l.line++
			l.i++
			l.space = true
			if l.perl || l.percent {
				l.pod()
			}
		case c == ' ' || c == '\t' || c == '\r':
			l.i++
			l.space = true
		case !l.comment():
			return
		}
	}
}

// comment passes one comment, if there is one.
func (l *lexer) comment() bool {
	rest := l.b[l.i:]
	for _, block := range l.blocks {
		if bytes.HasPrefix(rest, []byte(block[0])) {
			end := bytes.Index(rest[len(block[0]):], []byte(block[1]))
			if end < 0 {
				end = len(rest)
			} else {
				end += len(block[0]) + len(block[1])
			}
			l.pass(end)
			return true
		}
	}
	for _, mark := range l.comments {
		if !bytes.HasPrefix(rest, []byte(mark)) || mark == "#" && l.perl && l.i > 0 && l.b[l.i-1] == '$' {
			continue
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		l.i += end
		return true
	}
	return false
}

// pod passes Perl's documentation and Ruby's =begin … =end, at the start of a line.
func (l *lexer) pod() {
	end := "\n=cut"
	if l.percent {
		end = "\n=end"
	}
	rest := l.b[l.i:]
	if len(rest) < 2 || rest[0] != '=' || !isLetter(rest[1]) || l.percent && !bytes.HasPrefix(rest, []byte("=begin")) {
		return
	}
	if k := bytes.Index(rest, []byte(end)); k >= 0 {
		l.pass(k + len(end))
	} else {
		l.pass(len(rest))
	}
}

// pass moves on n bytes and counts their lines.
func (l *lexer) pass(n int) {
	n = min(n, len(l.b)-l.i)
	l.line += bytes.Count(l.b[l.i:l.i+n], []byte("\n"))
	l.i += n
}

// word reads an identifier, or the string that it is the prefix of.
func (l *lexer) word(t *token) {
	from := l.i
	for l.i < len(l.b) && (isLetter(l.b[l.i]) || '0' <= l.b[l.i] && l.b[l.i] <= '9' || l.b[l.i] == '_' || l.b[l.i] == '$' || l.b[l.i] >= 0x80) {
		l.i++
	}
	t.kind, t.text = nameToken, string(l.b[from:l.i])
	if l.i >= len(l.b) {
		return
	}
	if c := l.b[l.i]; l.triple && (c == '"' || c == '\'') && len(t.text) <= 2 {
		if strings.Trim(strings.ToLower(t.text), "rbuft") == "" {
			formatted := strings.ContainsAny(t.text, "fFtT")
			raw := strings.ContainsAny(t.text, "rR")
			t.kind, t.text = stringToken, ""
			l.python(t, c, raw, formatted)
		}
		return
	}
	if l.perl && l.last.text != "->" && l.last.text != "$" && l.last.text != "@" && l.last.text != "%" && l.last.text != "sub" && l.last.text != "{" {
		l.perlQuote(t)
	}
}

// perlQuote reads what follows Perl's quote-like operators (perlop).
func (l *lexer) perlQuote(t *token) {
	kind, parts := stringToken, 1
	switch t.text {
	case "q", "qq":
	case "qx":
		kind = shellToken
	case "qw":
		kind = wordsToken
	case "m", "qr":
		kind = operatorToken
	case "s", "tr", "y":
		kind, parts = operatorToken, 2
	default:
		return
	}
	i := l.i
	for i < len(l.b) && l.b[i] == ' ' {
		i++
	}
	if i >= len(l.b) || strings.IndexByte(",;=)\n\t#", l.b[i]) >= 0 || isNameByte(l.b[i]) && l.b[i] != '~' && l.b[i] != '@' {
		return
	}
	l.i = i
	open := l.b[i]
	t.kind, t.text = kind, ""
	l.quoted(t, open, closingQuote(open))
	if parts == 2 {
		if closingQuote(open) != open {
			l.skip()
			if l.i < len(l.b) {
				l.quoted(t, l.b[l.i], closingQuote(l.b[l.i]))
			}
		} else {
			l.i--
			l.quoted(t, open, open)
		}
	}
	if kind == operatorToken {
		t.text = "//"
	}
}

// percentLiteral reads Ruby's %q(…), %w[…], %x{…}; false if there is none.
func (l *lexer) percentLiteral(t *token) bool {
	i := l.i + 1
	kind := stringToken
	if i < len(l.b) && isLetter(l.b[i]) {
		switch l.b[i] {
		case 'x':
			kind = shellToken
		case 'w', 'W', 'i', 'I':
			kind = wordsToken
		case 'q', 'Q', 's':
		case 'r':
			kind = operatorToken
		default:
			return false
		}
		i++
	}
	if i >= len(l.b) || strings.IndexByte("([{<|!/-^", l.b[i]) < 0 {
		return false
	}
	l.i = i
	t.kind = kind
	l.quoted(t, l.b[i], closingQuote(l.b[i]))
	return true
}

func closingQuote(open byte) byte {
	if k := strings.IndexByte("([{<", open); k >= 0 {
		return ")]}>"[k]
	}
	return open
}

// operand reports whether an operand may stand here, so that a slash begins a
// regular expression.
func (l *lexer) operand() bool {
	switch l.last.kind {
	case nameToken:
		switch l.last.text {
		case "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else", "if", "unless", "and", "or", "not", "when", "while", "until", "puts", "print":
			return true
		}
		// In Ruby and Perl a call needs no parentheses: "split /x/" but "a / b".
		return (l.percent || l.perl) && l.space && l.i+1 < len(l.b) && l.b[l.i+1] != ' ' && l.b[l.i+1] != '='
	case operatorToken:
		if l.last.text == "" {
			return true
		}
		switch c := l.last.text[0]; c {
		case ')', ']', '}':
			return false
		default:
			return l.last.text != "//" && !('0' <= c && c <= '9')
		}
	}
	return false
}

// regexp passes a regular expression.
func (l *lexer) regexp() {
	class := false
	for l.i++; l.i < len(l.b); l.i++ {
		switch c := l.b[l.i]; {
		case c == '\n':
			return
		case c == '\\':
			l.i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			l.i++
			return
		}
	}
	l.i = min(l.i, len(l.b))
}

// quoted reads a string from its opening quote on. Other brackets than quotes nest.
func (l *lexer) quoted(t *token, open, end byte) {
	if l.triple {
		l.python(t, open, false, false)
		return
	}
	var text []byte
	depth := 0
	from := l.i
	for l.i++; l.i < len(l.b); l.i++ {
		switch c := l.b[l.i]; {
		case c == '\\' && l.i+1 < len(l.b):
			l.i++
			if l.b[l.i] == '\n' {
				l.line++
			}
			text = append(text, unescape(l.b[l.i]))
		case c == end && depth == 0:
			l.i++
			t.text = string(text)
			return
		case c == '\n' && (open == '"' || open == '\'') && len(l.comments) > 0 && l.comments[0] == "//" && l.name != "php":
			// JavaScript's strings end with the line: what looked like one was none.
			l.i = from + 1
			t.kind, t.text = operatorToken, string(open)
			return
		case (c == '$' || c == '#') && open != '\'' && l.i+1 < len(l.b) && l.b[l.i+1] == '{' && (c == '$') == (l.name != "ruby"):
			t.hole = true
			text = append(text, hole...)
			l.braces()
		case c == open && open != end:
			depth++
			text = append(text, c)
		case c == end:
			depth--
			text = append(text, c)
		case c == '$' && open != '\'' && (l.perl || l.name == "php") && l.i+1 < len(l.b) && (isLetter(l.b[l.i+1]) || l.b[l.i+1] == '_'):
			t.hole = true
			text = append(text, hole...)
			for l.i+1 < len(l.b) && (isLetter(l.b[l.i+1]) || l.b[l.i+1] == '_' || '0' <= l.b[l.i+1] && l.b[l.i+1] <= '9') {
				l.i++
			}
		default:
			if c == '\n' {
				l.line++
			}
			text = append(text, c)
		}
	}
	l.i = len(l.b)
	t.text = string(text)
}

// braces passes "${…}" from its first byte to its closing brace.
func (l *lexer) braces() {
	depth := 0
	for ; l.i < len(l.b); l.i++ {
		switch l.b[l.i] {
		case '\n':
			l.line++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return
			}
		}
	}
	l.i = len(l.b) - 1
}

// python reads one of Python's strings.
func (l *lexer) python(t *token, quote byte, raw, formatted bool) {
	mark := []byte{quote}
	if three := bytes.Repeat(mark, 3); bytes.HasPrefix(l.b[l.i:], three) {
		mark = three
	}
	l.i += len(mark)
	var text []byte
	for l.i < len(l.b) {
		c := l.b[l.i]
		switch {
		case bytes.HasPrefix(l.b[l.i:], mark):
			l.i += len(mark)
			t.text = string(text)
			return
		case c == '\\' && l.i+1 < len(l.b):
			if raw {
				text = append(text, c, l.b[l.i+1])
			} else {
				text = append(text, unescape(l.b[l.i+1]))
			}
			l.pass(2)
			continue
		case c == '\n' && len(mark) == 1:
			t.text = string(text) // not Python
			return
		case c == '{' && formatted:
			t.hole = true
			text = append(text, hole...)
			l.braces()
		default:
			text = append(text, c)
		}
		l.pass(1)
	}
	t.text = string(text)
}

// unescape is what a backslash and c stand for, as far as it matters here.
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case '\n':
		return ' '
	}
	return c
}
