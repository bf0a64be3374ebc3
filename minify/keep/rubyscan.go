package keep

import (
	"bytes"
	"strings"
)

// A rubySource is what a Ruby source loads by names that stand there. The scanner
// looks at calls of require and its like where they are, and not at what is around
// them: what it takes for a call in a string or here-document names no file.
type rubySource struct {
	requires  []naming // require, autoload: looked for in the load path
	loads     []naming // load: in the load path, or from the working directory
	relatives []naming // from the folder of the source
	fromFile  []naming // from the path of the source itself, as File.expand_path("../x", __FILE__)
	gems      []naming // gem "x", Gem.activate_bin_path("x", ...)
	programs  []naming // of the gem at the same place in gems; "" for gem "x"
	prefixes  []naming // require "x/#{name}"
	dynamic   naming   // the first require of a name that is not there to read
}

// maxRubyArgs is how far the arguments of a call may reach.
const maxRubyArgs = 400

type rubyScanner struct {
	rubySource
	src   []byte
	lines lineCounter
}

// rubyCalls are the words whose calls matter, by what they end in, to find them by.
var rubyCalls = map[string]func(p *rubyScanner, i, j int){
	"require":            func(p *rubyScanner, i, j int) { p.load(i, j, &p.requires) },
	"require_dependency": func(p *rubyScanner, i, j int) { p.load(i, j, &p.requires) },
	"autoload":           (*rubyScanner).autoload,
	"load":               func(p *rubyScanner, i, j int) { p.load(i, j, &p.loads) },
	"require_relative":   func(p *rubyScanner, i, j int) { p.load(i, j, &p.relatives) },
	"gem":                (*rubyScanner).gem,
	"activate_bin_path":  (*rubyScanner).gem,
	"bin_path":           (*rubyScanner).gem,
}

// rubyStems are what the names in rubyCalls have in common.
var rubyStems = [][]byte{[]byte("require"), []byte("load"), []byte("bin_path"), []byte("gem")}

func scanRuby(src []byte) *rubySource {
	p := &rubyScanner{src: src, lines: lineCounter{src: src}}
	if n := bytes.Index(src, []byte("\n__END__")); n >= 0 {
		if end := n + len("\n__END__"); end == len(src) || src[end] == '\n' || src[end] == '\r' {
			src = src[:n]
			p.src = src
		}
	}
	next := make([]int, len(rubyStems)) // where each stem is next
	find := func(k, from int) {
		if next[k] = bytes.Index(src[from:], rubyStems[k]); next[k] >= 0 {
			next[k] += from
		}
	}
	for k := range next {
		find(k, 0)
	}
	for pos := 0; ; {
		first := -1
		for k := range next {
			for next[k] >= 0 && next[k] < pos {
				find(k, pos)
			}
			if next[k] >= 0 && (first < 0 || next[k] < next[first]) {
				first = k
			}
		}
		if first < 0 {
			return &p.rubySource
		}
		i, j := next[first], next[first]
		for i > 0 && isWord(src[i-1]) {
			i--
		}
		for j < len(src) && isWord(src[j]) {
			j++
		}
		if call := rubyCalls[string(src[i:j])]; call != nil && p.isCall(i, j) {
			call(p, i, j)
		}
		pos = j
	}
}

// isCall reports whether the word src[i:j] may be a call: with arguments, not on a
// line of comment, not another object's method.
func (p *rubyScanner) isCall(i, j int) bool {
	if j >= len(p.src) || p.src[j] != ' ' && p.src[j] != '(' && p.src[j] != '\t' {
		return false
	}
	if i > 0 {
		switch p.src[i-1] {
		case '.':
			before := p.src[max(0, i-40) : i-1]
			named := bytes.HasSuffix(before, []byte("Kernel")) || bytes.HasSuffix(before, []byte("Gem"))
			if !named {
				return false
			}
		case ':', '@', '$', '-', '/', '"', '\'':
			return false
		}
	}
	start := bytes.LastIndexByte(p.src[:i], '\n') + 1
	line := p.src[start:i]
	trimmed := bytes.TrimLeft(line, " \t")
	if len(trimmed) > 0 && trimmed[0] == '#' || bytes.HasSuffix(trimmed, []byte("def ")) {
		return false
	}
	return !p.inDocument(start)
}

// inDocument reports whether pos is between "=begin" and "=end".
func (p *rubyScanner) inDocument(pos int) bool {
	n := bytes.LastIndex(p.src[:pos], []byte("\n=begin"))
	if n < 0 && !bytes.HasPrefix(p.src, []byte("=begin")) {
		return false
	}
	return !bytes.Contains(p.src[max(n, 0):pos], []byte("\n=end"))
}

// args are the arguments from j on, and where they begin.
func (p *rubyScanner) args(j int) ([]byte, int) {
	for j < len(p.src) && (isBlank(p.src[j]) || p.src[j] == '(') {
		j++
	}
	rest := p.src[j:]
	if n := bytes.IndexByte(rest, '\n'); n >= 0 {
		rest = rest[:n]
	}
	return rest[:min(len(rest), maxRubyArgs)], j
}

// load takes a call whose first argument is what to load.
func (p *rubyScanner) load(i, j int, list *[]naming) {
	args, at := p.args(j)
	p.argument(i, at, args, list)
}

// autoload takes autoload :Name, "file".
func (p *rubyScanner) autoload(i, j int) {
	for j < len(p.src) && (isBlank(p.src[j]) || p.src[j] == '(') {
		j++
	}
	rest := p.src[j:min(len(p.src), j+maxRubyArgs)]
	comma := bytes.IndexByte(rest, ',')
	if comma < 0 || len(rest) == 0 || rest[0] != ':' && rest[0] != '"' && rest[0] != '\'' {
		return
	}
	for _, c := range rest[1:comma] {
		if !isWord(c) && c != '"' && c != '\'' && !isBlank(c) {
			return
		}
	}
	j += comma + 1
	for j < len(p.src) && (isBlank(p.src[j]) || p.src[j] == '\n') {
		j++
	}
	args, at := p.args(j)
	p.argument(i, at, args, &p.requires)
}

// gem takes gem "name" and Gem.activate_bin_path("name", ...).
func (p *rubyScanner) gem(i, j int) {
	args, at := p.args(j)
	name, size := rubyString(args)
	if name == "" || strings.Contains(name, "#{") {
		return
	}
	program := ""
	if p.src[i] != 'g' {
		program, _ = rubyString(bytes.TrimLeft(args[size:], ", "))
	}
	p.gems = append(p.gems, p.naming(name, i, at+size))
	p.programs = append(p.programs, p.naming(program, i, at+size))
}

// argument takes what is loaded, args, which begin at at.
func (p *rubyScanner) argument(i, at int, args []byte, list *[]naming) {
	name, size := rubyString(args)
	switch {
	case len(args) == 0:
	case size > 0:
		rest := bytes.TrimLeft(args[size:], " \t")
		prefix, after, dynamic := strings.Cut(name, "#{")
		switch {
		case !dynamic && (len(rest) == 0 || rest[0] != '+' && rest[0] != '%'):
			*list = append(*list, p.naming(name, i, at+size))
		case prefix == "" && (strings.HasPrefix(after, "__dir__}") || strings.HasPrefix(after, "File.dirname(__FILE__)}")):
			_, rel, _ := strings.Cut(after, "}")
			p.relative(i, at+size, &p.relatives, rel)
		case dynamic && strings.Contains(prefix, "/"):
			if list == &p.relatives {
				prefix = "./" + prefix
			}
			p.prefixes = append(p.prefixes, p.naming(prefix, i, at+size))
		case !dynamic && len(rest) > 0 && rest[0] == '+' && strings.Contains(name, "/"):
			p.prefixes = append(p.prefixes, p.naming(name, i, at+size))
		}
	case bytes.Contains(args, []byte("__dir__")) || bytes.Contains(args, []byte("__FILE__")):
		p.computed(i, at, args)
	case isNameStart(args[0]):
		p.words(i, at)
		if p.dynamic.line == 0 {
			p.dynamic = p.naming("", i, at+10)
		}
	}
}

// computed takes File.expand_path("../x", __FILE__), File.join(__dir__, "x") and
// the like: the strings in it, joined.
func (p *rubyScanner) computed(i, at int, args []byte) {
	list := &p.relatives
	if bytes.Contains(args, []byte("__FILE__")) && !bytes.Contains(args, []byte("dirname")) {
		list = &p.fromFile
	}
	var parts []string
	for rest := args; ; {
		n := bytes.IndexAny(rest, `"'`)
		if n < 0 {
			break
		}
		part, size := rubyString(rest[n:])
		if size == 0 || strings.Contains(part, "#{") {
			return
		}
		parts = append(parts, part)
		rest = rest[n+size:]
	}
	if len(parts) > 0 {
		p.relative(i, at+len(args), list, strings.Join(parts, "/"))
	}
}

func (p *rubyScanner) relative(i, end int, list *[]naming, rel string) {
	if rel = strings.TrimLeft(rel, "/"); rel != "" && !strings.Contains(rel, "#{") {
		*list = append(*list, p.naming(rel, i, end))
	}
}

// words takes %w[a b].each { |name| require name }.
func (p *rubyScanner) words(i, at int) {
	before := p.src[max(0, i-maxRubyArgs):i]
	n := bytes.LastIndex(before, []byte("%w"))
	if n < 0 || n+2 >= len(before) {
		return
	}
	list := before[n+3:]
	end := bytes.IndexByte(list, closing(before[n+2]))
	if end < 0 || !bytes.Contains(list[end:], []byte("each")) || bytes.Contains(list[end:], []byte("end\n")) {
		return
	}
	for w := range bytes.FieldsSeq(list[:end]) {
		p.requires = append(p.requires, p.naming(string(w), i, at+20))
	}
}

func (p *rubyScanner) naming(name string, i, j int) naming {
	j = min(j, len(p.src))
	if n := bytes.IndexByte(p.src[i:j], '\n'); n >= 0 {
		j = i + n
	}
	return naming{name: name, line: p.lines.at(i), text: excerpt(p.src[i:j]), lazy: i > 0 && p.src[i-1] != '\n'}
}

// rubyString is the string that b begins with and how long it is in the source;
// 0 if it begins with none.
func rubyString(b []byte) (string, int) {
	if len(b) < 2 {
		return "", 0
	}
	start, end := 1, b[0]
	switch {
	case b[0] == '"' || b[0] == '\'':
	case b[0] == '%' && (b[1] == 'q' || b[1] == 'Q') && len(b) > 2:
		start, end = 3, closing(b[2])
	default:
		return "", 0
	}
	n := bytes.IndexByte(b[start:], end)
	if n < 0 {
		return "", 0
	}
	return string(b[start : start+n]), start + n + 1
}

// closing is the end of a literal that begins with c.
func closing(c byte) byte {
	switch c {
	case '(':
		return ')'
	case '[':
		return ']'
	case '{':
		return '}'
	case '<':
		return '>'
	}
	return c
}
