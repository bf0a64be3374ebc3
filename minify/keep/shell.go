package keep

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A shellCommand is a command that a shell script names: its words as far as they are
// literal.
type shellCommand struct {
	words []string // "" for one that is known only when the script runs
	line  int
	// source says that words[0] is a script for the same shell.
	source bool
}

// maxShellDepth bounds scripts within scripts: sh -c 'sh -c "…"'.
const maxShellDepth = 4

// Bounds on a script: bytes, and how deep it is nested, since the parser calls
// itself.
const (
	maxShellText = 256 << 10
	maxNesting   = 200
)

// nesting is an upper bound on how deep a script's constructs are nested, whatever
// is quoted in it.
func nesting(text string) int {
	deepest := 0
	var round, curly, square, words int
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(':
			round++
		case ')':
			round = max(0, round-1)
		case '{':
			curly++
		case '}':
			curly = max(0, curly-1)
		case '[':
			square++
		case ']':
			square = max(0, square-1)
		default:
			if !isLetter(c) || i > 0 && isNameByte(text[i-1]) {
				continue
			}
			from := i
			for i+1 < len(text) && isLetter(text[i+1]) {
				i++
			}
			switch text[from : i+1] {
			case "if", "do", "case":
				words++
			case "fi", "done", "esac":
				words = max(0, words-1)
			}
		}
		deepest = max(deepest, round+curly+square+words)
	}
	return deepest
}

// parseShell lists the commands of a shell script or command line, wherever in it
// they stand; those that its functions and the shell's builtins take are left out. An
// empty list if it cannot be parsed.
func parseShell(text string) []shellCommand {
	f := parseShellFile(text)
	if f == nil {
		return nil
	}
	p := &shellParser{functions: make(map[string]bool), vars: make(map[string]string)}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			if n.Name != nil {
				p.functions[n.Name.Value] = true
			}
		case *syntax.Assign:
			if n.Name != nil && n.Value != nil {
				if v, ok := p.literal(n.Value); ok && p.vars[n.Name.Value] == "" {
					p.vars[n.Name.Value] = v
				}
			}
		}
		return true
	})
	syntax.Walk(f, p.visit)
	return p.commands
}

// parseShellFile parses as bash, which takes nearly all that a POSIX shell does,
// and else as a POSIX shell.
func parseShellFile(text string) *syntax.File {
	if len(text) > maxShellText || nesting(text) > maxNesting {
		return nil
	}
	for _, lang := range []syntax.LangVariant{syntax.LangBash, syntax.LangPOSIX} {
		if f, err := syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(text), ""); err == nil {
			return f
		}
	}
	return nil
}

type shellParser struct {
	functions map[string]bool
	vars      map[string]string // that are set to a literal
	commands  []shellCommand
	depth     int
}

func (p *shellParser) visit(n syntax.Node) bool {
	call, ok := n.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return true
	}
	var words []string
	for _, w := range call.Args {
		text, _ := p.literal(w)
		words = append(words, text)
	}
	// $CMD is split into words.
	if w := call.Args[0]; len(w.Parts) == 1 {
		if _, ok := w.Parts[0].(*syntax.ParamExp); ok {
			words = append(strings.Fields(words[0]), words[1:]...)
		}
	}
	p.command(words, int(call.Pos().Line()))
	return true
}

// literal is a word's text, if it is known without running anything.
func (p *shellParser) literal(w *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, part := range w.Parts {
		if !p.part(&b, part) {
			return "", false
		}
	}
	return b.String(), true
}

func (p *shellParser) part(b *strings.Builder, part syntax.WordPart) bool {
	switch part := part.(type) {
	case *syntax.Lit:
		text := part.Value
		if strings.Contains(text, hole) {
			return false
		}
		b.WriteString(strings.ReplaceAll(text, `\`, ""))
	case *syntax.SglQuoted:
		b.WriteString(part.Value)
	case *syntax.DblQuoted:
		for _, q := range part.Parts {
			if !p.part(b, q) {
				return false
			}
		}
	case *syntax.ParamExp:
		if part.Param == nil || part.Excl || part.Length || part.Slice != nil || part.Repl != nil || part.Index != nil {
			return false
		}
		if v := p.vars[part.Param.Value]; v != "" && part.Exp == nil {
			b.WriteString(v)
			return true
		}
		// ${X:-default}
		if e := part.Exp; e != nil && e.Word != nil {
			switch e.Op {
			case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
				text, ok := p.literal(e.Word)
				b.WriteString(text)
				return ok
			}
		}
		return false
	default:
		return false
	}
	return true
}

// command notes a command, and what it starts in its turn.
func (p *shellParser) command(words []string, line int) {
	if len(words) == 0 || words[0] == "" || len(p.commands) >= maxNames {
		return
	}
	name, args := words[0], words[1:]
	switch {
	case p.functions[name]:
		return
	case name == "." || name == "source":
		if len(args) > 0 && args[0] != "" {
			p.commands = append(p.commands, shellCommand{args[:1], line, true})
		}
		return
	case name == "eval" || name == "trap":
		if len(args) > 0 {
			p.text(args[0], line)
		}
		return
	case name == "set":
		// set -- program "$@", to go on with exec "$@"
		if len(args) > 1 && args[0] == "--" {
			p.command(args[1:], line)
		}
		return
	case name == "command" || name == "type" || name == "hash":
		lookup := name != "command"
		for len(args) > 0 && strings.HasPrefix(args[0], "-") {
			lookup = lookup || strings.ContainsAny(args[0], "vV")
			args = args[1:]
		}
		if lookup {
			args = args[:min(len(args), 1)]
		}
		p.command(args, line)
		return
	case !builtins[name]:
		p.commands = append(p.commands, shellCommand{words: words, line: line})
	}
	p.started(path.Base(name), args, line)
}

// text notes the commands of a text that is run as a script.
func (p *shellParser) text(text string, line int) {
	if text == "" || p.depth >= maxShellDepth {
		return
	}
	f := parseShellFile(text)
	if f == nil {
		return
	}
	p.depth++
	n := len(p.commands)
	syntax.Walk(f, p.visit)
	for i := n; i < len(p.commands); i++ {
		p.commands[i].line = line
	}
	p.depth--
}

// A starter is a program that starts what its arguments name.
type starter struct {
	operands int    // before the program
	options  string // letters of options that take the next argument
}

var starters = map[string]starter{
	"exec": {0, "a"}, "nohup": {}, "setsid": {}, "time": {0, "fo"}, "builtin": {},
	"env": {0, "uCS"}, "nice": {0, "n"}, "ionice": {0, "cnpt"}, "timeout": {1, "sk"}, "stdbuf": {0, "ioe"},
	"xargs": {0, "aEIdLnPs"}, "gosu": {operands: 1}, "su-exec": {operands: 1}, "setpriv": {}, "chroot": {operands: 1},
	"tini": {0, "pe"}, "dumb-init": {0, "r"}, "catatonit": {}, "sudo": {0, "ugpChrtT"}, "doas": {0, "uC"},
	"runuser": {0, "uscgG"}, "flock": {1, "wE"}, "watch": {0, "n"}, "s6-setuidgid": {operands: 1},
	"setuidgid": {operands: 1}, "chpst": {0, "uUbendcosaftpm/"}, "busybox": {}, "parallel": {0, "j"}, "unbuffer": {},
	"strace": {0, "opefsE"}, "ltrace": {0, "o"}, "fakeroot": {}, "which": {}, "wait-for-it.sh": {operands: 1}, "with-contenv": {},
}

// started notes what a command starts: the program among its arguments, the text
// for a shell.
func (p *shellParser) started(name string, args []string, line int) {
	if name == "find" {
		for i, a := range args {
			switch a {
			case "-exec", "-execdir", "-ok", "-okdir":
				p.command(args[i+1:], line)
			}
		}
		return
	}
	if isShellName(name) || name == "su" || name == "runuser" {
		for i, a := range args {
			if a == "-c" || a == "--command" || len(a) > 1 && a[0] == '-' && a[1] != '-' && a[len(a)-1] == 'c' {
				if i+1 < len(args) {
					p.text(args[i+1], line)
				}
				return
			}
		}
		for _, a := range args {
			if a == "" || name == "su" {
				return
			}
			if a[0] != '-' {
				p.commands = append(p.commands, shellCommand{[]string{a}, line, true})
				return
			}
		}
		return
	}
	s, ok := starters[name]
	if !ok {
		return
	}
	operands := s.operands
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			if operands == 0 {
				p.command(args[i+1:], line)
				return
			}
		case a == "-" || strings.HasPrefix(a, "--"):
		case strings.HasPrefix(a, "-"):
			if strings.HasSuffix(a, "S") && name == "env" && i+1 < len(args) {
				p.text(args[i+1], line)
				return
			}
			if len(a) == 2 && strings.Contains(s.options, a[1:]) {
				i++
			}
		case name == "env" && strings.Contains(a, "="):
		case operands > 0:
			operands--
		default:
			p.command(args[i:], line)
			return
		}
	}
}

// isShellName reports whether a program of that name takes a script of the shell's
// language.
func isShellName(name string) bool {
	switch name {
	case "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash":
		return true
	}
	return false
}

// builtins of POSIX shells and bash, and their keywords.
var builtins = set(`. : [ [[ alias bg bind break builtin caller case cd command compgen complete continue declare dirs
	disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash help history
	if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return select set shift shopt
	source suspend test then time times trap true type typeset ulimit umask unalias unset until wait while`)
