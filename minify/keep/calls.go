package keep

import (
	"path"
	"slices"
	"strings"
)

// A call is what a function of a language's library does with its arguments.
type call struct {
	how   callKind
	first int // the argument that names the program, from 0
	// modules are those the function may come from; the source must name one of
	// them. Empty for a function of the language itself.
	modules string
	// qualified says that the function stands after its module's name, or has been
	// imported from it by name.
	qualified bool
}

type callKind uint8

const (
	direct  callKind = iota + 1 // a program, or a list that begins with one
	shelled                     // a text for a shell
	either                      // a text for a shell if it has characters of a shell's; with more arguments a program
	lookup                      // a program, only looked for
	words                       // a text that is split at blanks
	piped                       // Perl's open: a program after "-|", or a text with a pipe
)

// A sourceCommand is a command that a source names.
type sourceCommand struct {
	text  string   // as it stands there
	words []string // of a direct call, the program first
	shell string   // text for a shell; "" for a direct call
	line  int
}

// commandsIn lists the commands that a source names in calls of its language's
// functions for that, in order: where the argument is a literal, or a name that the
// same source gives a literal to.
func (x *language) commandsIn(b []byte) []sourceCommand {
	return x.commandsWith(b, make(map[string]call))
}

// commandsWith is commandsIn with functions of other sources that hand on what they
// are given; those of this one are added to them.
func (x *language) commandsWith(b []byte, own map[string]call) []sourceCommand {
	c := &callReader{language: x, source: string(b), tokens: x.tokens(b), own: own}
	c.constants()
	c.modules()
	c.pass(func(t token, i int) {
		switch t.kind {
		case shellToken:
			c.shell(t)
		case nameToken:
			if f, ok := c.calls[t.text]; ok && c.from(i, f) {
				c.callAt(i, f)
			}
		}
	})
	if len(c.own) > 0 {
		c.pass(func(t token, i int) {
			if f, ok := c.own[t.text]; ok && t.kind == nameToken && !c.isDefinition(i) {
				c.callAt(i, f)
			}
		})
		slices.SortStableFunc(c.found, func(a, b sourceCommand) int { return a.line - b.line })
	}
	return c.found
}

func (c *callReader) pass(visit func(token, int)) {
	for i, t := range c.tokens {
		if len(c.found) >= maxNames {
			return
		}
		visit(t, i)
	}
}

type callReader struct {
	*language
	source   string
	tokens   []token
	consts   map[string]int    // where the value of a name that is given a literal begins
	aliases  map[string]string // names of modules that have been imported under another
	imported map[string]bool   // functions that have been imported by name
	own      map[string]call   // functions of the source that hand on what they are given
	found    []sourceCommand
}

// at is the text of token i if it is an operator or a name, "" otherwise.
func (c *callReader) at(i int) string {
	if i < 0 || i >= len(c.tokens) || c.tokens[i].kind > nameToken {
		return ""
	}
	return c.tokens[i].text
}

// constants notes "name = literal", and JavaScript's promisify(exec).
func (c *callReader) constants() {
	c.consts = make(map[string]int)
	for i, t := range c.tokens {
		if t.text != "=" || t.kind != operatorToken || i == 0 || c.tokens[i-1].kind != nameToken || i+1 >= len(c.tokens) {
			continue
		}
		switch next := c.tokens[i+1]; {
		case next.kind == stringToken, next.kind == wordsToken, next.text == "[", next.text == "(" && c.name == "python":
			name := c.tokens[i-1].text
			if _, ok := c.consts[name]; !ok {
				c.consts[name] = i + 1
			}
		}
	}
}

// modules notes Python's imports.
func (c *callReader) modules() {
	c.aliases, c.imported = make(map[string]string), make(map[string]bool)
	if c.name != "python" {
		return
	}
	for i := range c.tokens {
		switch c.at(i) {
		case "import":
			if c.at(i+2) == "as" {
				c.aliases[c.at(i+3)] = c.at(i + 1)
			}
		case "from":
			if c.at(i+2) != "import" {
				continue
			}
			for k := i + 3; k < len(c.tokens) && c.tokens[k].line <= c.tokens[i].line+20; k++ {
				if c.tokens[k].kind == nameToken {
					c.imported[c.at(i+1)+"."+c.tokens[k].text] = true
				} else if t := c.tokens[k].text; t != "," && t != "(" {
					break
				}
			}
		}
	}
}

// callAt reads the call of the function that token i names, if it is one.
func (c *callReader) callAt(i int, f call) {
	name := c.tokens[i].text
	open := i + 1
	if c.at(open) == "!" || c.name == "ruby" && c.at(open) == "?" {
		open++
	}
	if open >= len(c.tokens) {
		return
	}
	switch {
	case c.at(open) == "(":
		open++
	case c.at(open) == ")" && c.at(open+1) == "(" && c.isDetached(i):
		open += 2
	case name == "$" && c.tokens[open].kind == stringToken:
	case c.name == "ruby" || c.name == "perl": // parentheses may be left out
		if k := c.tokens[open].kind; k != stringToken && k != wordsToken && k != nameToken || c.tokens[open].line != c.tokens[i].line {
			return
		}
	default:
		// promisify(exec)
		if c.at(open) == ")" {
			c.promise(i, f)
		}
		return
	}
	args := c.arguments(open)
	c.take(f, args, open)
}

// promise notes "name = util.promisify(module.function)", token i being the function.
func (c *callReader) promise(i int, f call) {
	for k := i - 1; k > max(0, i-8); k-- {
		if c.at(k) == "promisify" {
			start := k
			if c.at(k-1) == "." {
				k -= 2
			}
			if c.isDetached(start) {
				k -= 3
			}
			if _, ok := c.calls[c.at(k-2)]; !ok && c.at(k-1) == "=" && c.at(k-2) != "" {
				c.own[c.tokens[k-2].text] = f
			}
			return
		}
	}
}

// isDetached reports whether token i is the function of (0, module.function), as
// compilers to CommonJS write one that was imported by name.
func (c *callReader) isDetached(i int) bool {
	return c.at(i-1) == "." && c.at(i-3) == "," && c.at(i-5) == "("
}

// isDefinition reports whether token i names a function where it is defined.
func (c *callReader) isDefinition(i int) bool {
	switch c.at(i - 1) {
	case "def", "function", "sub", "fn", "func":
		return true
	}
	return false
}

// handedOn notes the function of the source around token i that hands its
// parameter on to a function that starts programs.
func (c *callReader) handedOn(i int, parameter string, f call) {
	for k := i; k > max(1, i-600); k-- {
		if c.at(k) != "(" {
			continue
		}
		name := c.at(k - 1)
		switch before := c.at(k - 2); {
		case name == "=": // name = (parameter) =>
			name = before
		case c.isDefinition(k - 1):
		case (name == "function" || name == "async") && before == "=":
			name = c.at(k - 3)
		default:
			continue
		}
		if at := c.parameter(k+1, parameter); at >= 0 && name != "" {
			if _, ok := c.calls[name]; !ok {
				c.own[name] = call{how: f.how, first: at}
			}
		}
		return
	}
}

// parameter is the place of a parameter in the list that begins at token k; -1 if
// it is not in it.
func (c *callReader) parameter(k int, name string) int {
	at := 0
	for ; k < len(c.tokens) && c.at(k) != ")"; k++ {
		switch c.at(k) {
		case "self", "cls", "this":
			at--
		case name:
			return at
		case ",":
			at++
		}
	}
	return -1
}

// from reports whether the function that token i names can be that of the
// modules of f.
func (c *callReader) from(i int, f call) bool {
	before, qualifier := c.at(i-1), c.at(i-2)
	switch before {
	case "def", "function", "sub", "class":
		return false
	case "->":
		return false
	case "::":
		if c.name == "php" && c.tokens[i].text != "fromShellCommandline" {
			return false
		}
	}
	if f.modules == "" {
		// Of the language itself: no method of some object.
		return before != "." || qualifier == "Kernel" || qualifier == "Process"
	}
	for module := range strings.FieldsSeq(f.modules) {
		if !strings.Contains(c.source, module) {
			continue
		}
		switch {
		case !f.qualified:
			return true
		case before == "." || before == "::" && c.name == "rust":
			if qualifier == module || c.aliases[qualifier] == module {
				return true
			}
		case c.imported[module+"."+c.tokens[i].text]:
			return true
		}
	}
	return false
}

// languageOf is the syntax of a source, by its name or its first line; nil if it
// is none.
func languageOf(file string, b []byte) *language {
	if x := languages[strings.ToLower(path.Ext(file))]; x != nil {
		return x
	}
	if name := scriptProgram(b); name != "" {
		return languages[strings.TrimRight(name, "0123456789.-")]
	}
	return nil
}

// scriptProgram is the program that a "#!" line names, without its folder, and
// env passed over; "" if there is none.
func scriptProgram(b []byte) string {
	interpreter, arg, ok := parseShebang(string(b[:min(len(b), maxShebang)]))
	if !ok {
		return ""
	}
	if path.Base(interpreter) == "env" {
		interpreter = envProgram(arg)
	}
	return path.Base(interpreter)
}
