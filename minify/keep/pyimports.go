package keep

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// What a Python source names of other modules is decided by its tokens alone: an
// import statement cannot hide, and no grammar is needed to find one. So there is
// no parser here, which would have to know every version's grammar, fail as a
// whole on a source of another one, and read megabytes of sources of a tree many
// times slower. Run-time imports are found where the name stands as a literal.

// A pyRef is a place in a source that names a module or something to be found by
// a name.
type pyRef struct {
	line  int
	kind  pyRefKind
	level int    // leading dots of a relative import
	name  string // "a.b", "" for "from . import x"
	names []string
	// firm: to import the module is to run this. Not in a function, nor under an if,
	// nor in a try, where a failure may be expected.
	firm bool
	main bool   // under if __name__ == "__main__"
	in   string // the functions around it, "outer.inner"
}

type pyRefKind byte

const (
	pyImport  pyRefKind = iota // import name, from name import names
	pyCall                     // import_module("name") and the like, names[0] the package of a relative one
	pyFamily                   // the same of "name." and something unknown: any module in name
	pyLiteral                  // a string that could be a module's name
	pyGroup                    // a group of entry points
	pyVersion                  // a distribution by name: its metadata are read
	pyPath                     // a folder put on sys.path, relative to the source's own path
)

// pyCalls are the functions that take the name of a module, a distribution or a
// group as a literal, by the last part of their own names.
var pyCalls = map[string]pyRefKind{
	"import_module": pyCall, "__import__": pyCall, "find_spec": pyCall, "find_loader": pyCall, "get_loader": pyCall,
	"run_module": pyCall, "import_string": pyCall, "import_object": pyCall, "resolve_name": pyCall,
	"import_optional_dependency": pyCall, "optional_import": pyCall, "lazy_import": pyCall, "try_import": pyCall,
	// pkgutil.get_data, importlib.resources, pkg_resources.
	"get_data": pyCall, "files": pyCall, "open_text": pyCall, "read_text": pyCall, "open_binary": pyCall, "read_binary": pyCall,
	"resource_filename": pyCall, "resource_string": pyCall, "resource_stream": pyCall, "PackageLoader": pyCall,
	"entry_points": pyGroup, "iter_entry_points": pyGroup, "ExtensionManager": pyGroup, "DriverManager": pyGroup,
	"NamedExtensionManager": pyGroup, "EnabledExtensionManager": pyGroup, "load_setuptools_entrypoints": pyGroup,
	"version": pyVersion, "distribution": pyVersion, "get_distribution": pyVersion, "metadata": pyVersion, "require": pyVersion,
}

// A pyScanner reads the references of one source.
type pyScanner struct {
	lex    *pyLexer
	tok    pyToken
	refs   []pyRef
	blocks []pyBlock
	want   func([]byte) bool
}

// A pyBlock is a compound statement whose body is being read.
type pyBlock struct {
	col  int
	kind pyBlockKind
	name string // of a function
}

type pyBlockKind byte

const (
	pyPlain pyBlockKind = iota // class, with, for: its body is run
	pyMaybe                    // if, try, def
	pyMain                     // if __name__ == "__main__"
	pyNever                    // if TYPE_CHECKING
)

var pyCompound = map[string]pyBlockKind{
	"class": pyPlain, "with": pyPlain, "for": pyPlain, "if": pyMaybe, "elif": pyMaybe, "else": pyMaybe, "while": pyMaybe, "try": pyMaybe,
	"except": pyMaybe, "finally": pyPlain, "def": pyMaybe, "async": pyMaybe,
}

// pythonRefs lists what a source names, in order. Of its literals that could be a
// name those are listed that want accepts.
func pythonRefs(src []byte, want func([]byte) bool) []pyRef {
	p := &pyScanner{lex: newPyLexer(src), want: want}
	p.advance()
	for p.tok.kind != pyEOF {
		p.line()
	}
	return p.refs
}

func (p *pyScanner) advance() { p.tok = p.lex.next() }

func (p *pyScanner) isOp(c byte) bool { return p.tok.kind == pyOp && p.tok.text[0] == c }

func (p *pyScanner) isName(name string) bool {
	return p.tok.kind == pyName && string(p.tok.text) == name
}

// line reads a logical line: statements between ";", and what stands on the line
// of a compound statement's ":".
func (p *pyScanner) line() {
	col := p.tok.col
	for n := len(p.blocks); n > 0 && p.blocks[n-1].col >= col; n-- {
		p.blocks = p.blocks[:n-1]
	}
	for p.tok.kind != pyNewline && p.tok.kind != pyEOF {
		p.statement(col)
	}
	if p.tok.kind == pyNewline {
		p.advance()
	}
}

func (p *pyScanner) statement(col int) {
	if p.tok.kind == pyName {
		switch string(p.tok.text) {
		case "import":
			p.importNames()
			return
		case "from":
			p.fromImport()
			return
		}
		if kind, ok := pyCompound[string(p.tok.text)]; ok {
			if kind == pyMaybe {
				kind = p.condition(kind)
			}
			name := p.function()
			p.expression(true)
			p.blocks = append(p.blocks, pyBlock{col, kind, name})
			return
		}
	}
	p.expression(false)
}

// function looks ahead at the name of a def.
func (p *pyScanner) function() string {
	if !p.isName("def") && !p.isName("async") {
		return ""
	}
	ahead := *p.lex
	t := ahead.next()
	if t.kind == pyName && string(t.text) == "def" {
		t = ahead.next()
	}
	return string(t.text)
}

// condition looks ahead at the test of an if.
func (p *pyScanner) condition(kind pyBlockKind) pyBlockKind {
	if !p.isName("if") && !p.isName("elif") {
		return kind
	}
	ahead := *p.lex
	var text []byte
	for range 8 {
		t := ahead.next()
		switch {
		case t.kind == pyOp && t.text[0] == ':':
			switch test := string(text); {
			case test == "TYPE_CHECKING" || strings.HasSuffix(test, ".TYPE_CHECKING") && !strings.ContainsAny(test, " ("), test == "False":
				return pyNever
			case test == `__name__=="__main__"`:
				return pyMain
			}
			return kind
		case t.kind == pyName && len(text) > 0 && isPyName(text[len(text)-1]):
			return kind // "not TYPE_CHECKING", "a or b"
		case t.kind == pyString:
			text = append(append(append(text, '"'), t.text...), '"')
		case t.kind == pyName || t.kind == pyOp:
			text = append(text, t.text...)
		default:
			return kind
		}
	}
	return kind
}

// add lists a reference as the blocks around it have it.
func (p *pyScanner) add(r pyRef) {
	r.firm = true
	for _, b := range p.blocks {
		switch b.kind {
		case pyNever:
			return
		case pyMain:
			r.main, r.firm = true, false
		case pyMaybe:
			r.firm = false
		}
		if b.name != "" {
			r.in = strings.TrimPrefix(r.in+"."+b.name, ".")
		}
	}
	p.refs = append(p.refs, r)
}

// importNames reads "import a.b as c, d".
func (p *pyScanner) importNames() {
	line := p.tok.line
	p.advance()
	for p.tok.kind == pyName {
		p.add(pyRef{line: line, kind: pyImport, name: p.dotted()})
		p.as()
		if !p.isOp(',') {
			break
		}
		p.advance()
	}
	p.expression(false)
}

// fromImport reads "from ..a import (b as c, d)".
func (p *pyScanner) fromImport() {
	r := pyRef{line: p.tok.line, kind: pyImport}
	p.advance()
	for p.isOp('.') {
		r.level++
		p.advance()
	}
	if p.tok.kind == pyName && !p.isName("import") {
		r.name = p.dotted()
	}
	if !p.isName("import") || r.level == 0 && r.name == "" {
		p.expression(false)
		return
	}
	p.advance()
	if p.isOp('(') {
		p.advance()
	}
	for p.tok.kind == pyName || p.isOp('*') {
		r.names = append(r.names, string(p.tok.text))
		p.advance()
		p.as()
		if !p.isOp(',') {
			break
		}
		p.advance()
	}
	p.add(r)
	p.expression(false)
}

func (p *pyScanner) as() {
	if p.isName("as") {
		p.advance()
		if p.tok.kind == pyName {
			p.advance()
		}
	}
}

// dotted reads "a.b.c".
func (p *pyScanner) dotted() string {
	first := p.tok.text
	p.advance()
	if !p.isOp('.') {
		return string(first)
	}
	name := slices.Clone(first)
	for p.isOp('.') {
		p.advance()
		if p.tok.kind != pyName {
			break
		}
		name = append(append(name, '.'), p.tok.text...)
		p.advance()
	}
	return string(name)
}

// A pyOpen is a bracket that is open in an expression.
type pyOpen struct {
	kind  pyRefKind
	call  bool
	args  int    // commas passed
	key   string // of the keyword argument being read
	line  int
	name  string   // the literal that names something
	rest  bool     // something unknown follows it
	pkg   string   // the second argument, of a relative import
	parts []string // of a path
	ups   int      // dirname(…), .parent
}

// expression reads to the end of the statement, for calls and literals that name
// something. A ":" outside of brackets ends it if a body may stand behind it.
func (p *pyScanner) expression(header bool) {
	var open []pyOpen
	var last, before []byte // the name just passed, and the one before its dot
	dot := false
	for ; ; p.advance() {
		top := (*pyOpen)(nil)
		if n := len(open); n > 0 {
			top = &open[n-1]
		}
		switch p.tok.kind {
		case pyEOF, pyNewline:
			return
		case pyName:
			if top == nil && !header && (p.isName("import") || p.isName("from")) && before == nil && string(last) == ":" {
				return // "case 1: import x"
			}
			if dot {
				before = last
			} else {
				before = nil
			}
			last, dot = p.tok.text, false
			if len(open) > 0 && (string(last) == "dirname" || string(last) == "parent") {
				open[0].ups++
			}
			continue
		case pyString:
			p.literal(open)
		case pyOp:
			switch c := p.tok.text[0]; c {
			case '.':
				dot = last != nil
				continue
			case '(', '[', '{':
				o := pyOpen{line: p.tok.line}
				if c == '(' {
					o.kind, o.call = pyCallee(before, last)
				}
				open = append(open, o)
			case ')', ']', '}':
				if top != nil {
					p.close(top)
					open = open[:len(open)-1]
				}
				last, before, dot = p.tok.text, nil, false
				continue
			case ',':
				if top != nil {
					top.args++
					top.key = ""
				}
			case '=':
				if top != nil && last != nil {
					top.key = string(last)
				}
			case '+', '%':
				if top != nil && top.name != "" {
					top.rest = true
				}
			case ';':
				if top == nil {
					p.advance()
					return
				}
			case ':':
				if top == nil && header {
					p.advance()
					return
				}
				last, before, dot = p.tok.text, nil, false
				continue
			}
		}
		last, before, dot = nil, nil, false
	}
}

// pyCallee is what a call's first literal names.
func pyCallee(before, last []byte) (pyRefKind, bool) {
	if string(before) == "path" {
		switch string(last) {
		case "append", "insert", "extend":
			return pyPath, true
		}
	}
	if string(last) == "addsitedir" {
		return pyPath, true
	}
	kind, ok := pyCalls[string(last)]
	return kind, ok
}

// literal looks at a string within the open brackets.
func (p *pyScanner) literal(open []pyOpen) {
	text := p.tok.text
	if n := len(open); n > 0 {
		if open[0].call && open[0].kind == pyPath {
			open[0].parts = append(open[0].parts, string(text))
			return
		}
		top := &open[n-1]
		if top.call && len(text) <= maxPyName && bytes.IndexByte(text, '\\') < 0 {
			switch {
			case top.key == "package" || top.key == "" && top.args == 1:
				top.pkg = string(text)
				return
			case top.name == "" && (top.args == 0 && top.key == "" || pyKeywords[top.key]):
				top.name, top.rest = string(text), p.tok.expr
				return
			}
		}
	}
	if !p.tok.expr && len(text) > 1 && isPyLiteral(text) && string(text) != "__main__" && (p.want == nil || p.want(text)) {
		p.add(pyRef{line: p.tok.line, kind: pyLiteral, name: string(text)})
	}
}

// pyKeywords are the arguments by which the name may be given.
var pyKeywords = set("name fullname group namespace mod_name package_name distribution_name")

// close lists what a call named.
func (p *pyScanner) close(o *pyOpen) {
	if !o.call {
		return
	}
	r := pyRef{line: o.line, kind: o.kind, name: o.name}
	switch o.kind {
	case pyPath:
		// The first dirname of a file is its own folder.
		joined := path.Join(o.parts...)
		if !path.IsAbs(joined) {
			joined = strings.Repeat("../", max(0, o.ups-1)) + joined
		}
		if len(o.parts) > 0 || o.ups > 0 {
			r.name = joined
			p.add(r)
		}
		return
	case pyCall:
		if i := strings.IndexAny(r.name, "%{"); i >= 0 {
			r.name, o.rest = r.name[:i], true
		}
		for strings.HasPrefix(r.name, ".") {
			r.level++
			r.name = r.name[1:]
		}
		if o.rest {
			var dot bool
			if r.name, dot = strings.CutSuffix(r.name, "."); !dot && r.name+strings.Repeat(".", r.level) != "." {
				return
			}
			r.kind = pyFamily
		}
		if r.names = []string{""}; r.level > 0 {
			r.names[0] = o.pkg
		}
	}
	if (r.name != "" || r.level > 0) && isPyReference(r) {
		p.add(r)
	}
}

// isPyReference reports whether a call's literal can be what the call is for.
func isPyReference(r pyRef) bool {
	if r.kind == pyGroup || r.kind == pyVersion {
		return !strings.ContainsAny(r.name, " /\\{}%")
	}
	return r.name == "" || isPyLiteral([]byte(r.name))
}

// maxPyName bounds what is taken for a name.
const maxPyName = 200

// isPyLiteral reports whether a text could name a module or something in it:
// names between dots, and maybe ":" and a name (PEP 621, entry points).
func isPyLiteral(text []byte) bool {
	if len(text) > maxPyName {
		return false
	}
	fresh, colon := true, false
	for _, c := range text {
		switch {
		case pyClass[c] == 'n', pyClass[c] == '0' && !fresh:
			fresh = false
		case c == '.' && !fresh:
			fresh = true
		case c == ':' && !fresh && !colon:
			fresh, colon = true, true
		default:
			return false
		}
	}
	return !fresh
}
