package keep

import (
	"path"
	"strings"
)

// A jsImport is a place in JavaScript or TypeScript source that names another
// file or module literally.
type jsImport struct {
	spec   string // as written, "./x", "@a/b/c"; of an asset relative to the file's folder
	offset int    // of the string, in bytes
	asset  bool   // a path that is read or started: path.join(__dirname, …), new URL(…, import.meta.url)
	prefix bool   // more text is put behind it when the program runs
	loose  bool   // an asset that only looks like one: a string that begins with a folder's name
}

// jsImports lists what a source names. It does not parse: it reads tokens, telling
// strings, comments, templates and regular expressions apart as the grammar does
// (ECMA-262, 12; where a slash is ambiguous, by the token before it). Source that is
// no JavaScript gives few or no imports, never an error.
func jsImports(src []byte) []jsImport {
	l := jsLexer{src: string(src)}
	if strings.HasPrefix(l.src, "#!") {
		l.skipLine()
	}
	for l.pos < len(l.src) {
		l.token()
	}
	return l.found
}

// A jsToken is as much of a token as the rules ask for.
type jsToken struct {
	kind jsKind
	char byte   // of punctuation
	text string // of a closing bracket: jsStatement, jsCreated or ""
}

const (
	jsStatement = "statement" // behind the bracket a statement begins
	jsCreated   = "created"   // the bracket closes createRequire(…)
)

type jsKind byte

const (
	jsNone jsKind = iota
	jsPunct
	jsWord
	jsNumber
	jsString   // with its text; a template without substitution, too
	jsTemplate // a template with substitutions: its first part
	jsRegexp
)

type jsLexer struct {
	src     string
	pos     int
	last    [5]jsToken // the tokens before, latest first
	parens  []jsParen  // what is open
	found   []jsImport
	fresh   bool            // the last token was the string of found's last
	callers map[string]bool // made by createRequire

	divided  int  // before this, no slash begins a regular expression
	typeOnly bool // in TypeScript's import type … from
	url      int  // tokens since the string of new URL("…", …), 0 for none
	urlAt    jsImport
	dirname  jsJoin
}

// A jsParen is an open bracket.
type jsParen struct {
	char    byte
	control bool // the head of if, while, for, with: a regular expression may follow
	created bool // the argument of createRequire
	block   bool // "{" of statements rather than of an object
}

// A jsJoin gathers path.join(__dirname, "a", "b").
type jsJoin struct {
	active, comma bool
	joined        string
	offset        int
}

func (t jsToken) is(char byte) bool     { return t.kind == jsPunct && t.char == char }
func (t jsToken) word(text string) bool { return t.kind == jsWord && t.text == text }

// push ends a token: the rules look at it and what is before it.
func (l *jsLexer) push(t jsToken, offset int) {
	if l.fresh && t.is('+') {
		l.found[len(l.found)-1].prefix = true
	}
	l.fresh = false
	l.join(t, offset)
	l.newURL(t, offset)
	switch t.kind {
	case jsString, jsTemplate:
		l.named(t, offset)
	case jsWord:
		l.keyword(t.text)
	}
	copy(l.last[1:], l.last[:])
	l.last[0] = t
}

// keyword notes what a word says of what follows.
func (l *jsLexer) keyword(text string) {
	switch text {
	case "createRequire": // const load = module.createRequire(import.meta.url)
		name := l.last[:]
		if name[0].is('.') {
			name = name[2:]
		}
		if name[0].is('=') && name[1].kind == jsWord {
			if l.callers == nil {
				l.callers = make(map[string]bool)
			}
			l.callers[name[1].text] = true
		}
	case "import", "export":
		l.typeOnly = false
	case "type":
		l.typeOnly = l.last[0].word("import") || l.last[0].word("export")
	}
}

// named records the string t if what is before it makes it a module's name.
func (l *jsLexer) named(t jsToken, offset int) {
	p := &l.last
	ok := false
	switch {
	case p[0].word("import"):
		ok = !p[1].is('.') && t.kind == jsString
	case p[0].word("from"):
		// import type from "x" imports a value of that name.
		ok = !p[1].is('.') && t.kind == jsString && (!l.typeOnly || p[1].word("type") && p[2].word("import"))
	case !p[0].is('('):
	case p[1].word("import"):
		ok = !p[2].is('.')
	case p[1].word("resolve") && p[2].is('.'):
		ok = l.caller(p[3]) || p[3].word("meta")
	default:
		ok = l.caller(p[1]) || p[1].is(')') && p[1].text == jsCreated
	}
	if ok && t.text != "" && len(t.text) <= maxName {
		l.add(jsImport{spec: t.text, offset: offset, prefix: t.kind == jsTemplate})
		l.fresh = t.kind == jsString
		return
	}
	// at('docs', page), `docs/${page}`
	if first, _, _ := strings.Cut(strings.TrimPrefix(t.text, "./"), "/"); jsFolders[first] && len(t.text) <= maxName {
		l.add(jsImport{spec: "./" + first + "/", offset: offset, asset: true, prefix: true, loose: true})
	}
}

// jsFolders are folders of an application of which a program seldom needs anything, but of
// which one that names them does. ("test" is an environment's name, too.)
var jsFolders = set("doc docs")

// caller reports whether t is require or what bundlers call it.
func (l *jsLexer) caller(t jsToken) bool {
	if t.kind != jsWord {
		return false
	}
	switch t.text {
	case "require", "__require", "__non_webpack_require__", "nodeRequire":
		return true
	}
	return l.callers[t.text]
}

func (l *jsLexer) add(i jsImport) { l.found = append(l.found, i) }

// newURL records new URL("./x", import.meta.url).
func (l *jsLexer) newURL(t jsToken, offset int) {
	switch {
	case t.kind == jsString && l.last[0].is('(') && l.last[1].word("URL"):
		l.url, l.urlAt = 1, jsImport{spec: t.text, offset: offset, asset: true}
	case l.url == 1 && t.is(','):
		l.url = 2
	case l.url == 2 && t.word("import"):
		l.add(l.urlAt)
		l.url = 0
	default:
		l.url = 0
	}
}

// join records __dirname + "/x" and path.join(__dirname, "x", "y"), and of the
// latter as much as is literal.
func (l *jsLexer) join(t jsToken, offset int) {
	if t.word("__dirname") || t.word("dirname") && l.last[0].is('.') && l.last[1].word("meta") {
		l.dirname = jsJoin{active: true, comma: l.called() == '('}
		return
	}
	j := &l.dirname
	if !j.active {
		return
	}
	switch {
	case t.kind == jsString && l.last[0].is('+') && j.joined == "":
		l.add(jsImport{spec: "./" + strings.TrimLeft(t.text, "/"), offset: offset, asset: true})
		l.fresh = true
		j.active = false
	case t.kind == jsString && l.last[0].is(',') && j.comma:
		if j.joined == "" {
			j.joined, j.offset = ".", offset
		}
		j.joined += "/" + t.text
	case t.is(','), t.is('+') && j.joined == "":
	default:
		if j.joined != "" && len(j.joined) <= maxName {
			spec := path.Clean(j.joined)
			if !t.is(')') {
				spec += "/"
			}
			l.add(jsImport{spec: spec, offset: j.offset, asset: true, prefix: !t.is(')')})
		}
		j.active = false
	}
}

// called is the bracket that __dirname, the next token, follows.
func (l *jsLexer) called() byte {
	t := l.last[0]
	if t.is('.') && l.last[2].is('.') { // import.meta.dirname
		t = l.last[4]
	}
	return t.char
}

// token reads one token, or what lies between two.
func (l *jsLexer) token() {
	c := l.src[l.pos]
	switch {
	case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		l.pos++
	case c == '/' && l.ahead("//"):
		l.skipLine()
	case c == '/' && l.ahead("/*"):
		if end := strings.Index(l.src[l.pos+2:], "*/"); end >= 0 {
			l.pos += end + 4
		} else {
			l.pos = len(l.src)
		}
	case isWordByte(c):
		l.word()
	case c == '"' || c == '\'':
		l.string(c)
	case c == '`':
		l.pos++
		l.template(true)
	case c == '/' && l.pos >= l.divided && l.regexpFollows():
		l.regexp()
	default:
		l.punct(c)
	}
}

func (l *jsLexer) ahead(text string) bool {
	return strings.HasPrefix(l.src[l.pos:], text)
}

func (l *jsLexer) skipLine() {
	if end := strings.IndexByte(l.src[l.pos:], '\n'); end >= 0 {
		l.pos += end
	} else {
		l.pos = len(l.src)
	}
}

func isWordByte(c byte) bool { return jsWordBytes[c] }

var jsWordBytes = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
	}
	return t
}()

func (l *jsLexer) word() {
	start := l.pos
	for l.pos < len(l.src) && isWordByte(l.src[l.pos]) {
		l.pos++
	}
	if c := l.src[start]; c >= '0' && c <= '9' {
		l.push(jsToken{kind: jsNumber}, start)
		return
	}
	l.push(jsToken{kind: jsWord, text: l.src[start:l.pos]}, start)
}

// string reads a quoted string; a line's end closes one that is none.
func (l *jsLexer) string(quote byte) {
	start := l.pos
	escaped := false
	for l.pos++; l.pos < len(l.src); l.pos++ {
		switch l.src[l.pos] {
		case quote:
			t := jsToken{kind: jsString}
			if !escaped { // no name of a file needs an escape
				t.text = l.src[start+1 : l.pos]
			}
			l.pos++
			l.push(t, start)
			return
		case '\\':
			escaped = true
			l.pos++
		case '\n':
			l.push(jsToken{kind: jsString}, start)
			return
		}
	}
	l.push(jsToken{kind: jsString}, start)
}

// template reads on in a template until it ends or a substitution starts.
func (l *jsLexer) template(first bool) {
	start := l.pos
	for ; l.pos < len(l.src); l.pos++ {
		switch c := l.src[l.pos]; {
		case c == '\\':
			l.pos++
		case c == '`', c == '$' && l.ahead("${"):
			text := l.src[start:min(l.pos, start+maxName)]
			l.pos++
			if c == '$' {
				l.pos++
			}
			l.part(text, start, first, c == '$')
			return
		}
	}
	l.pos = len(l.src)
}

// part ends one part of a template: the first, or one behind a substitution.
func (l *jsLexer) part(text string, start int, first, more bool) {
	if !first && l.last[0].word("__dirname") && l.last[1].is('`') && strings.HasPrefix(text, "/") {
		l.add(jsImport{spec: "." + text, offset: start, asset: true, prefix: more})
	}
	if more {
		if first {
			l.push(jsToken{kind: jsTemplate, text: text}, start)
		}
		// The next token is an operand's first.
		l.push(jsToken{kind: jsPunct, char: '`'}, start)
		l.parens = append(l.parens, jsParen{char: '`'})
		return
	}
	t := jsToken{kind: jsString, text: text}
	if !first {
		t.text = "" // only the end of it
	}
	l.push(t, start)
}

func (l *jsLexer) punct(c byte) {
	start := l.pos
	l.pos++
	text := ""
	switch c {
	case '(', '[', '{':
		p := jsParen{char: c, created: c == '(' && l.last[0].word("createRequire"), block: c == '{' && l.blockFollows()}
		if c == '(' && l.last[0].kind == jsWord && !l.last[1].is('.') {
			switch l.last[0].text {
			case "if", "while", "for", "with":
				p.control = true
			}
		}
		l.parens = append(l.parens, p)
	case ')', ']', '}':
		if n := len(l.parens); n > 0 {
			p := l.parens[n-1]
			l.parens = l.parens[:n-1]
			if c == '}' && p.char == '`' {
				l.template(false)
				return
			}
			switch {
			case p.control || p.block:
				text = jsStatement
			case p.created:
				text = jsCreated
			}
		}
	}
	l.push(jsToken{kind: jsPunct, char: c, text: text}, start)
}

// blockFollows reports whether a brace opens a block of statements.
func (l *jsLexer) blockFollows() bool {
	switch t := l.last[0]; t.kind {
	case jsNone:
		return true
	case jsPunct:
		switch t.char {
		case ')', ';', '{', '}':
			return true
		case '>':
			return l.last[1].is('=')
		}
	case jsWord:
		return !jsOperators[t.text]
	}
	return false
}

// jsOperators are words behind which an operand comes.
var jsOperators = set("return typeof case in of instanceof new delete void throw await yield default extends else do")

// regexpFollows reports whether a slash here begins a regular expression.
func (l *jsLexer) regexpFollows() bool {
	switch t := l.last[0]; t.kind {
	case jsNone:
		return true
	case jsWord:
		return jsOperators[t.text] && !l.last[1].is('.')
	case jsPunct:
		switch t.char {
		case ')', ']', '}':
			return t.text == jsStatement
		case '+', '-':
			return !l.last[1].is(t.char) // i++ / 2
		}
		return true
	}
	return false
}

func (l *jsLexer) regexp() {
	start, class := l.pos, false
	for l.pos++; l.pos < len(l.src); l.pos++ {
		switch l.src[l.pos] {
		case '\\':
			l.pos++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if class {
				continue
			}
			l.pos++
			l.push(jsToken{kind: jsRegexp}, start)
			return
		case '\n':
			l.division(start)
			return
		}
	}
	l.division(start)
}

// division takes back what no slash ended. None before here will be tried again:
// a hostile file could have all its rest read for each.
func (l *jsLexer) division(start int) {
	l.divided = l.pos
	l.pos = start
	l.punct('/')
}
