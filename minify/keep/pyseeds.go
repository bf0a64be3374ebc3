package keep

import (
	"path"
	"slices"
	"strings"
)

// pythonSeeds tells which environments the run used, and follows what the config
// names: interpreters and scripts anywhere in the command line ("tini -- python
// -m app", a shell's text), modules ("-m app", "app:create"), and the environment.
func (s *selector) pythonSeeds() {
	p := s.py
	if p == nil {
		return
	}
	for _, v := range p.envs {
		if v.venv && s.used[s.sel.index[s.at(v.prefix+"/pyvenv.cfg")]] {
			p.activate(v, v.prefix+"/pyvenv.cfg")
		}
	}
	p.addRoot(s.absolute(""), &pyFrom{place: "WORKDIR"})
	for dir := range strings.SplitSeq(s.env("PYTHONPATH", ""), ":") {
		if dir != "" {
			p.addRoot(s.absolute(dir), &pyFrom{place: "PYTHONPATH"})
		}
	}
	p.words("ENTRYPOINT", s.cfg.Entrypoint)
	p.words("CMD", s.cfg.Cmd)
	p.words("--entrypoint", s.opts.Entrypoint)
	p.words("the command", s.opts.Command)
	if h := s.cfg.Healthcheck; h != nil && len(h.Test) > 1 {
		p.words("HEALTHCHECK", h.Test[1:])
	}
	for _, kv := range s.cfg.Env {
		name, value, _ := strings.Cut(kv, "=")
		if name != "PATH" && name != "PYTHONPATH" {
			p.addConfig("ENV "+name, wordRefs([]byte(value)))
		}
	}
	p.drain()
}

// addConfig follows what a part of the image's config names, like a source: its
// index is none of the tree's.
func (p *python) addConfig(place string, refs []pyRef) {
	if len(refs) == 0 {
		return
	}
	p.configs++
	i := -p.configs
	p.files[i] = &pySource{level: pyApp, read: true, refs: refs, place: place}
	p.order = append(p.order, i)
	p.queue = append(p.queue, i)
}

// A pyWord is a word of a command line.
type pyWord struct {
	text   string
	module bool // after -m and the like: a module, though it is a single word
}

// pyModuleFlags are options whose argument is a module: Python's own, celery's,
// gunicorn's, flask's.
var pyModuleFlags = set("-m -A --app -k --worker-class --factory --pool -P --settings")

// commandWords splits a text of a shell or an argument into words.
func commandWords(text string, prev *string, yield func(pyWord)) {
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return strings.ContainsRune(" \t\r\n\"'`;|&()<>=,{}[]$", r)
	}) {
		yield(pyWord{w, pyModuleFlags[*prev]})
		*prev = w
	}
}

// words follows what the words of a command line name.
func (p *python) words(place string, argv []string) {
	s := p.s
	prev := ""
	var refs []pyRef
	for _, arg := range argv {
		commandWords(arg, &prev, func(w pyWord) {
			if at, ok := s.findProgram(w.text); ok && !w.module && (isPython(path.Base(at)) || p.isScript(at)) {
				if n := s.usePath(at, Reason{Rule: "config", Text: "named in " + place}); isPython(path.Base(at)) {
					p.interpreter(at)
				} else if n != nil {
					p.program(s.sel.index[n], n)
				}
				return
			}
			if r, ok := p.word(place, w); ok {
				refs = append(refs, r)
			}
		})
	}
	p.addConfig(place, refs)
}

// isScript reports whether a program is a script for Python.
func (p *python) isScript(at string) bool {
	n, _, err := p.s.fs.Resolve(at)
	if err != nil || !n.Inode().IsRegular() {
		return false
	}
	head := make([]byte, min(maxShebang, n.Inode().Size))
	if m, _ := p.s.fs.Content(n.Inode()).ReadAt(head, 0); m < len(head) {
		return false
	}
	interpreter, arg, ok := parseShebang(string(head))
	return ok && (isPython(path.Base(interpreter)) || path.Base(interpreter) == "env" && isPython(envProgram(arg)) ||
		strings.Contains(string(head), "'''exec' "))
}

// word takes one word: a folder or a source is followed at once, a name is to be.
func (p *python) word(place string, w pyWord) (pyRef, bool) {
	s := p.s
	if strings.Contains(w.text, "/") || strings.HasSuffix(w.text, ".py") {
		at := s.absolute(w.text)
		n, _, err := s.fs.Resolve(at)
		switch {
		case err != nil:
		case n.Inode().IsDir():
			if p.hasModules(n) {
				p.addRoot(at, &pyFrom{place: place})
			}
		case strings.HasSuffix(w.text, ".py"):
			s.usePath(at, Reason{Rule: "config", Text: "named in " + place})
			p.addRoot(path.Dir(s.path(n)), &pyFrom{place: place})
		}
		return pyRef{}, false
	}
	return wordRef(w)
}

// wordRef is what a word could name.
func wordRef(w pyWord) (pyRef, bool) {
	if !isPyLiteral([]byte(w.text)) {
		return pyRef{}, false
	}
	if w.module {
		name, _, _ := strings.Cut(w.text, ":")
		return pyRef{kind: pyCall, name: name + ".__main__", names: []string{""}}, true
	}
	return pyRef{kind: pyLiteral, name: w.text}, true
}

// wordRefs lists the names of modules that a configuration file or a shell's script
// could have: words with dots, or after -m and the like.
func wordRefs(text []byte) []pyRef {
	var refs []pyRef
	prev, line := "", 0
	for row := range strings.Lines(string(text)) {
		line++
		commandWords(row, &prev, func(w pyWord) {
			w.text = strings.TrimSuffix(w.text, ":")
			if strings.HasPrefix(w.text, "/") {
				refs = append(refs, pyRef{line: line, kind: pyPath, name: w.text})
			} else if r, ok := wordRef(w); ok && (w.module || strings.ContainsAny(w.text, ".:")) {
				r.line = line
				refs = append(refs, r)
			}
		})
	}
	return slices.Clip(refs)
}
