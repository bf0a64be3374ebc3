package keep

import (
	"bytes"
	"strings"
)

// A perlSource is what a Perl source names. Perl cannot be parsed without running
// it (perlfaq7), so the scanner takes each line for itself and never loses its
// way: pod, comments, here-documents and what follows __END__ are passed by,
// strings are not. What it takes for a name by mistake is that of no module.
type perlSource struct {
	modules  []naming // use, no, require, base classes, loader calls
	files    []naming // require "x.pl", do "x.pl"
	libs     []string // folders added to @INC by their whole path
	words    []naming // other words with "::"
	prefixes []naming // "DBD::$driver"
	// dynamic is the first place that loads a module whose name is not there to read.
	dynamic naming
}

// maxPerlArgs is how far the words after a use or a loader call may reach.
const maxPerlArgs = 4 << 10

// perlBases are the modules whose arguments are modules.
var perlBases = set("base parent superclass aliased autouse if maybe only ok Mojo::Base Class::Tiny::Antlers Test::use::ok Catalyst")

// perlFinders are modules that load parts of the module that uses them by name.
var perlFinders = set("Module::Pluggable Module::Implementation Module::Find Module::PluginFinder Class::C3::Componentised")

// perlLoaders are functions that load the modules that they are told; those that
// are true are methods or common words, too, which say nothing with a variable.
var perlLoaders = map[string]bool{
	"extends": true, "with": true, "load": true, "autoload": true, "plugin": true, "plugins": true, "load_components": true,
	"use_ok": true, "require_ok": true, "enable": true,
	"use_module": false, "require_module": false, "use_package_optimistically": false, "load_class": false,
	"try_load_class": false, "load_optional_class": false, "load_first_existing_class": false, "load_module": false,
	"ensure_class_loaded": false, "load_plugin": false, "find_modules": false, "load_namespaces": false, "compose_module": false,
}

type perlScanner struct {
	perlSource
	src        []byte
	pos        int
	lines      lineCounter
	selfLoader bool
	here       []string // ends of here-documents that begin after this line
}

func scanPerl(src []byte) *perlSource {
	p := &perlScanner{src: src, lines: lineCounter{src: src}}
	for p.pos < len(src) {
		start := p.pos
		end := len(src)
		if n := bytes.IndexByte(src[start:], '\n'); n >= 0 {
			end = start + n
		}
		p.pos = min(end+1, len(src))
		line := src[start:end]
		trimmed := bytes.TrimSpace(line)
		switch {
		case len(trimmed) == 0 || trimmed[0] == '#':
		case line[0] == '=' && len(line) > 1 && isNameStart(line[1]):
			p.skipPod(line)
		case string(trimmed) == "__END__" || string(trimmed) == "__DATA__" && !p.selfLoader:
			return &p.perlSource
		default:
			p.line(start, end)
			p.skipHere()
		}
	}
	return &p.perlSource
}

// skipPod goes on after the documentation that line begins (perlpod: up to "=cut").
func (p *perlScanner) skipPod(line []byte) {
	if bytes.HasPrefix(line, []byte("=cut")) {
		return
	}
	n := bytes.Index(p.src[p.pos:], []byte("\n=cut"))
	if bytes.HasPrefix(p.src[p.pos:], []byte("=cut")) {
		n = -1 // at once
	} else if n < 0 {
		p.pos = len(p.src)
		return
	}
	p.pos += n + 1
	if end := bytes.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
		p.pos += end + 1
	} else {
		p.pos = len(p.src)
	}
}

// skipHere goes on after the here-documents that the last line began. One whose
// end does not come was none.
func (p *perlScanner) skipHere() {
	for _, end := range p.here {
		for at := p.pos; at < len(p.src); {
			next := len(p.src)
			if n := bytes.IndexByte(p.src[at:], '\n'); n >= 0 {
				next = at + n + 1
			}
			if string(bytes.TrimSpace(p.src[at:next])) == end {
				p.pos = next
				break
			}
			at = next
		}
	}
	p.here = p.here[:0]
}

// line takes the words of one line.
func (p *perlScanner) line(start, end int) {
	src := p.src
	for i := start; i < end; i++ {
		c := src[i]
		switch {
		case isNameStart(c):
			j := i + 1
			for j < end && (isWord(src[j]) || src[j] == ':' && j+2 < end && src[j+1] == ':' && isWord(src[j+2])) {
				if src[j] == ':' {
					j++
				}
				j++
			}
			i = p.word(start, i, j) - 1
		case isWord(c): // a number
			for i+1 < end && isWord(src[i+1]) {
				i++
			}
		case c == '<' && i+2 < end && src[i+1] == '<':
			p.hereDoc(start, i+2, end)
			i++
		case c == '#' && p.isComment(start, i):
			return
		case c == '\\' && i+2 < end && src[i+1] == 'N' && src[i+2] == '{' && !bytes.HasPrefix(src[i+3:end], []byte("U+")):
			p.modules = append(p.modules, p.naming("_charnames", i, end)) // perlop: \N{name} loads it
		}
	}
}

// isComment reports whether the "#" at i begins a comment: outside of what quotes
// on this line seem to hold.
func (p *perlScanner) isComment(start, i int) bool {
	before := p.src[start:i]
	return len(before) == 0 || isBlank(before[len(before)-1]) &&
		bytes.Count(before, []byte{'"'})%2 == 0 && bytes.Count(before, []byte{'\''})%2 == 0
}

// hereDoc notes the end of a here-document, unless it is code for eval.
func (p *perlScanner) hereDoc(start, i, end int) {
	rest := bytes.TrimPrefix(p.src[i:end], []byte("~"))
	quote := byte(0)
	if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') {
		quote, rest = rest[0], rest[1:]
	}
	n := 0
	for n < len(rest) && (isWord(rest[n]) || quote != 0 && rest[n] != quote) {
		n++
	}
	if n == 0 || quote == 0 && !isNameStart(rest[0]) || bytes.Contains(p.src[start:i], []byte("eval")) {
		return
	}
	p.here = append(p.here, strings.TrimSpace(string(rest[:n])))
}

// word takes the word src[i:j] of a line that begins at start, and returns where
// to go on.
func (p *perlScanner) word(start, i, j int) int {
	before := byte('\n')
	if i > start {
		before = p.src[i-1]
	}
	word := p.src[i:j]
	switch before {
	case '$', '@', '%', '&':
		if before == '@' && string(word) == "INC" {
			p.libPaths(p.args(j))
		}
		return j
	case '>': // a method, if "->"
		if weak, ok := perlLoaders[string(word)]; ok {
			p.loader(i, j, weak)
		}
		return j
	}
	switch {
	case string(word) == "use" || string(word) == "no":
		if p.statementStart(start, i) {
			return p.use(i, j)
		}
	case string(word) == "require":
		return p.require(i, j)
	case string(word) == "do":
		if n := p.blanks(j); n < len(p.src) && (p.src[n] == '"' || p.src[n] == '\'') {
			if name, ok := p.quoted(n); ok {
				p.files = append(p.files, p.naming(name, i, n+len(name)+2))
			}
		}
	case bytes.EqualFold(word, []byte("dbi")):
		p.driver(i, j)
	case before == ':' && string(word) == "encoding" && j < len(p.src) && p.src[j] == '(':
		// A layer for a file handle (PerlIO::encoding).
		p.modules = append(p.modules, p.naming("PerlIO::encoding", i, j+1), p.naming("Encode", i, j+1))
	default:
		if bytes.Contains(word, []byte("::")) || bytes.HasPrefix(p.src[j:], []byte("::")) {
			p.qualified(i, j)
		} else if weak, ok := perlLoaders[string(word)]; ok {
			p.loader(i, j, weak)
		}
	}
	return j
}

// statementStart reports whether a statement can begin at i: nothing stands before
// it on the line, or what ends another, or a quote (code for eval).
func (p *perlScanner) statementStart(start, i int) bool {
	for i--; i >= start && isBlank(p.src[i]); i-- {
	}
	return i < start || bytes.IndexByte([]byte(";{}\"'("), p.src[i]) >= 0
}

func (p *perlScanner) blanks(i int) int {
	for i < len(p.src) && (isBlank(p.src[i]) || p.src[i] == '\n') {
		i++
	}
	return i
}

// name is the module name at i, "" if there is none.
func (p *perlScanner) name(i int) string {
	j := i
	for j < len(p.src) && (isWord(p.src[j]) || p.src[j] == ':' && j+2 < len(p.src) && p.src[j+1] == ':' && isWord(p.src[j+2])) {
		if p.src[j] == ':' {
			j++
		}
		j++
	}
	if j == i || !isNameStart(p.src[i]) {
		return ""
	}
	return string(p.src[i:j])
}

// args are the bytes of a statement from i on.
func (p *perlScanner) args(i int) []byte {
	rest := p.src[min(i, len(p.src)):]
	rest = rest[:min(len(rest), maxPerlArgs)]
	if n := bytes.IndexByte(rest, ';'); n >= 0 {
		rest = rest[:n]
	}
	return rest
}

// use takes "use Module ..." whose keyword is src[i:j].
func (p *perlScanner) use(i, j int) int {
	at := p.blanks(j)
	name := p.name(at)
	if at == j || name == "" || name[0] == 'v' && len(name) > 1 && isDigit(name[1]) {
		return j
	}
	j = at + len(name)
	p.modules = append(p.modules, p.naming(name, i, j))
	switch {
	case name == "SelfLoader":
		p.selfLoader = true
	case name == "lib":
		p.libPaths(p.args(j))
	case name == "POE":
		for _, w := range perlWords(p.args(j)) {
			p.modules = append(p.modules, p.naming("POE::"+w, i, j))
		}
	case perlFinders[name]:
		p.setDynamic(i, j)
	case perlBases[name]:
		for _, w := range perlWords(p.args(j)) {
			p.modules = append(p.modules, p.naming(w, i, j+len(p.args(j))))
			if name == "Catalyst" {
				p.modules = append(p.modules, p.naming("Catalyst::Plugin::"+w, i, j))
			}
		}
	}
	return j
}

// require takes what follows the word, src[i:j].
func (p *perlScanner) require(i, j int) int {
	at := p.blanks(j)
	if at < len(p.src) && p.src[at] == '(' {
		at = p.blanks(at + 1)
	}
	if at >= len(p.src) || at == j {
		return j
	}
	switch c := p.src[at]; {
	case c == '"' || c == '\'':
		name, ok := p.quoted(at)
		if !ok {
			break
		}
		if dir, _, found := strings.Cut(name, "$"); found {
			p.setDynamic(i, at+len(name)+2)
			if n := strings.LastIndexByte(dir, '/'); n > 0 {
				p.prefixes = append(p.prefixes, p.naming(strings.ReplaceAll(dir[:n], "/", "::"), i, at+len(name)+2))
			}
		} else {
			p.files = append(p.files, p.naming(name, i, at+len(name)+2))
		}
		return at + len(name) + 1
	case c == '$':
		p.setDynamic(i, at+len(p.name(at+1))+1)
	default:
		if name := p.name(at); name != "" && !(name[0] == 'v' && len(name) > 1 && isDigit(name[1])) {
			p.modules = append(p.modules, p.naming(name, i, at+len(name)))
			return at + len(name)
		}
	}
	return j
}

// quoted is the string whose quote is at i, if it ends on its line.
func (p *perlScanner) quoted(i int) (string, bool) {
	rest := p.src[i+1:]
	n := bytes.IndexByte(rest, p.src[i])
	if n < 0 || n > 512 || bytes.IndexByte(rest[:n], '\n') >= 0 {
		return "", false
	}
	return string(rest[:n]), true
}

// driver takes a DBI data source, "dbi:Pg:dbname=x" (DBI, connect).
func (p *perlScanner) driver(i, j int) {
	if j >= len(p.src) || p.src[j] != ':' {
		return
	}
	if name := p.name(j + 1); name != "" && !strings.Contains(name, "::") {
		if end := j + 1 + len(name); end < len(p.src) && (p.src[end] == ':' || p.src[end] == '(') {
			p.modules = append(p.modules, p.naming("DBD::"+name, i, end+1))
		}
	}
}

// qualified takes a word with "::".
func (p *perlScanner) qualified(i, j int) {
	if rest := p.src[j:]; len(rest) > 2 && rest[0] == ':' && rest[1] == ':' {
		if c := rest[2]; c == '$' || c == '"' || c == '\'' || c == '{' {
			p.prefixes = append(p.prefixes, p.naming(string(p.src[i:j]), i, j+3))
			return
		}
	}
	p.words = append(p.words, p.naming(string(p.src[i:j]), i, j))
}

// loader takes a call of a function that loads what it is told. A weak one must be
// followed by a string.
func (p *perlScanner) loader(i, j int, weak bool) {
	at := p.blanks(j)
	if at < len(p.src) && p.src[at] == '(' {
		at = p.blanks(at + 1)
	}
	if at >= len(p.src) || at == j && weak {
		return
	}
	switch c := p.src[at]; {
	case c == '$' && !weak:
		p.setDynamic(i, at+len(p.name(at+1))+1)
	case c == '"' || c == '\'' || c == 'q' || c == '(':
		args := p.args(at)
		for _, w := range perlWords(args) {
			p.modules = append(p.modules, p.naming(w, i, at+len(args)))
		}
	}
}

func (p *perlScanner) setDynamic(i, j int) {
	if p.dynamic.line == 0 {
		p.dynamic = p.naming("", i, j)
	}
}

// libPaths takes the absolute paths among the words of a statement.
func (p *perlScanner) libPaths(args []byte) {
	for n := bytes.IndexByte(args, '/'); n > 0; n = bytes.IndexByte(args, '/') {
		quote := args[n-1]
		args = args[n:]
		if quote != '"' && quote != '\'' && quote != '(' && !isBlank(quote) {
			args = args[min(1, len(args)):]
			continue
		}
		end := bytes.IndexAny(args, "\"' \t\n);")
		if end < 0 {
			end = len(args)
		}
		if end > 1 && bytes.IndexByte(args[:end], '$') < 0 {
			p.libs = append(p.libs, string(args[:end]))
		}
		args = args[end:]
	}
}

func (p *perlScanner) naming(name string, i, j int) naming {
	return naming{name: name, line: p.lines.at(i), text: excerpt(p.src[i:min(j, len(p.src))])}
}

// excerpt is a piece of source as one line of a report.
func excerpt(b []byte) string {
	const longest = 60
	text := strings.Join(strings.Fields(string(b[:min(len(b), 4*longest)])), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// perlWords are the words of strings and word lists: 'A::B', "A", qw(A B), and
// those before "=>".
func perlWords(args []byte) []string {
	var list []string
	for _, w := range bytes.FieldsFunc(args, func(r rune) bool {
		return strings.ContainsRune(" \t\r\n'\"(){}[]<>,=|!~+;", r)
	}) {
		if isNameStart(w[0]) {
			if word := string(w); word != "qw" && word != "q" {
				list = append(list, strings.TrimSuffix(word, "::"))
			}
		}
	}
	return list
}

func isDigit(c byte) bool     { return '0' <= c && c <= '9' }
func isNameStart(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func isWord(c byte) bool      { return isNameStart(c) || isDigit(c) }
func isBlank(c byte) bool     { return c == ' ' || c == '\t' || c == '\r' }
