package keep

import (
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A pySource is a file that was read for what it imports.
type pySource struct {
	refs  []pyRef
	words bool // no Python: a configuration, a shell script; refs are its words
	level pyLevel
	read  bool   // refs are there
	place string // of the image's config
}

// A pyLevel is how sure it is that a source is run, and so how far what it names
// is followed.
type pyLevel byte

const (
	// Part of a distribution that is used: what it imports is kept too if that is
	// installed and is no tool for development.
	pyPart pyLevel = iota
	// Imported by what is run, under some condition: what it imports in turn
	// unconditionally it may fail without.
	pyMaybeRun
	// Run, or imported unconditionally by what is run: what it so imports is needed.
	pyRun
	// The application's own: all that it names is kept.
	pyApp
)

// maxPyWords bounds a configuration file or shell script that is read for names of
// modules.
const maxPyWords = 256 << 10

// python follows what a used source of Python imports. Of a compiled module the
// source is kept beside it, whose time and size the interpreter compares, and of a
// source the compiled one, without which each start compiles it again.
func (s *selector) python(i int) {
	p := s.py
	if p == nil {
		return
	}
	n := s.sel.Entries[i].Node
	name := n.Name()
	switch {
	case strings.HasSuffix(name, ".pyc"):
		if src := pySourceOf(n); src != nil {
			why := Reason{Rule: "import", Text: "source of " + s.paths[i] + ", whose time and size Python compares", From: s.paths[i]}
			p.reach(src, p.levelOf(i), why)
		}
	case strings.HasSuffix(name, ".py"):
		p.keepCompiled(n)
		p.add(i, pyPart)
	case s.unitOf[i] == nil && pyConfigs[path.Ext(name)] && n.Inode().Size <= maxPyWords:
		p.addWords(i)
	case n.Inode().Mode&0o111 != 0:
		p.program(i, n)
	}
	p.use(i)
	p.drain()
}

// pyConfigs are the files of an application that may name modules.
var pyConfigs = map[string]bool{
	".yaml": true, ".yml": true, ".ini": true, ".cfg": true, ".conf": true, ".json": true, ".toml": true, ".env": true, ".sh": true,
}

// program follows a script, and makes the environment of an interpreter active.
func (p *python) program(i int, n *rootfs.Node) {
	s := p.s
	head := make([]byte, min(maxShebang, n.Inode().Size))
	if m, _ := s.fs.Content(n.Inode()).ReadAt(head, 0); m < len(head) {
		return
	}
	interpreter, arg, ok := parseShebang(string(head))
	if !ok {
		if isPython(n.Name()) || strings.HasPrefix(n.Name(), "libpython") {
			p.interpreter(s.paths[i])
		}
		return
	}
	if path.Base(interpreter) == "env" {
		interpreter, _ = s.findProgram(envProgram(arg))
	}
	switch base := path.Base(interpreter); {
	case isPython(base):
		p.interpreter(interpreter)
		p.add(i, pyPart)
	case strings.HasSuffix(base, "sh") && s.unitOf[i] == nil && n.Inode().Size <= maxPyWords:
		p.addWords(i)
		// pip and distlib start what has a long path so: "#!/bin/sh" and "'''exec' /path/python".
		if rest, ok := strings.CutPrefix(string(head[strings.IndexByte(string(head), '\n')+1:]), "'''exec' "); ok {
			interpreter, _, _ = strings.Cut(strings.Trim(rest, `"`), " ")
			p.interpreter(strings.Trim(interpreter, `"`))
			p.add(i, pyPart)
		}
	}
}

// isPython reports whether a program's name is that of an interpreter: "python3.11".
func isPython(name string) bool {
	name = strings.TrimRight(name, "0123456789.t")
	return name == "python" || name == "pypy" || name == "pypy-c"
}

// interpreter makes the environment active that the interpreter at p serves: a
// virtual environment by the pyvenv.cfg beside it or above, or its own library.
func (p *python) interpreter(at string) {
	dir := path.Dir(path.Dir(at))
	if n, _, err := p.s.fs.Resolve(dir); err == nil {
		dir = p.s.path(n)
	}
	for _, v := range p.envs {
		if v.venv && v.prefix == dir {
			p.s.usePath(join(dir, "pyvenv.cfg"), Reason{Rule: "data", Text: "tells " + at + " of its environment", From: at})
			p.activate(v, at)
			return
		}
	}
	real, _, err := p.s.fs.Resolve(at)
	if err != nil {
		return
	}
	var best *pyEnv
	for _, v := range p.envs {
		if v.venv || v.lib == nil || !strings.HasPrefix(p.s.path(real), strings.TrimSuffix(v.prefix, "/")+"/") {
			continue
		}
		exact := strings.Contains(real.Name(), v.lib.dir.Name())
		if best == nil || exact && !strings.Contains(real.Name(), best.lib.dir.Name()) ||
			exact && len(v.prefix) > len(best.prefix) {
			best = v
		}
	}
	if best != nil && !p.served(best) {
		p.activate(best, at)
	}
}

// served reports whether the library of an environment is already used by one made
// of it: its interpreter was started through a link of that.
func (p *python) served(base *pyEnv) bool {
	for _, v := range p.envs {
		if v != base && v.active && v.lib == base.lib {
			return true
		}
	}
	return false
}

// use makes the environment active that a used file of a distribution shows to be
// in use: the interpreter's own before a virtual one.
func (p *python) use(i int) {
	u := p.s.unitOf[i]
	if u == nil {
		return
	}
	d := p.distOf[u]
	if d == nil || u != d.unit {
		return
	}
	var first *pyEnv
	for _, v := range p.envs {
		if slices.Contains(v.sites, d.site) {
			if v.active {
				return
			}
			if first == nil {
				first = v
			}
		}
	}
	if first != nil {
		p.activate(first, p.s.paths[i])
	}
}

// reach keeps a module for use, and follows what it names as level has it.
func (p *python) reach(n *rootfs.Node, level pyLevel, why Reason) {
	s := p.s
	s.use(n, why)
	if n.Inode().IsSymlink() {
		end, _, err := s.fs.Resolve(s.path(n))
		if err != nil {
			return
		}
		n = end
		s.use(n, why)
	}
	if i := s.sel.index[n]; s.used[i] && strings.HasSuffix(n.Name(), ".py") {
		p.add(i, level)
	}
}

// add follows a used source, again if it is surer than before that it is run.
func (p *python) add(i int, level pyLevel) {
	level = max(level, p.levelOf(i))
	f := p.files[i]
	if f == nil {
		f = new(pySource)
		p.files[i] = f
		p.order = append(p.order, i)
	} else if f.level >= level {
		return
	}
	f.level = level
	p.queue = append(p.queue, i)
}

// addWords follows the words of an application's file that is no Python.
func (p *python) addWords(i int) {
	if p.files[i] == nil {
		p.files[i] = &pySource{words: true, level: pyApp}
		p.order = append(p.order, i)
		p.queue = append(p.queue, i)
	}
}

// levelOf is how sure it is that a used file is run, by why it is kept and whose
// it is.
func (p *python) levelOf(i int) pyLevel {
	s := p.s
	u := s.unitOf[i]
	if u == nil {
		return pyApp
	}
	if d := p.distOf[u]; d != nil && d.app {
		return pyApp
	}
	switch s.sel.Entries[i].Reason.Rule {
	case "touched", "config", "include", "interpreter", "named", "command":
		return pyRun
	}
	return pyPart
}

// drain follows what waits, once an environment is there to follow it in.
func (p *python) drain() {
	for len(p.queue) > 0 && p.anyActive() {
		i := p.queue[0]
		p.queue = p.queue[1:]
		p.followFile(i)
	}
}

func (p *python) anyActive() bool {
	return slices.ContainsFunc(p.envs, func(v *pyEnv) bool { return v.active })
}

// keepCompiled keeps the compiled modules of a source that its interpreter would
// load: with the time and size of the source, or its hash (PEP 552).
func (p *python) keepCompiled(n *rootfs.Node) {
	s := p.s
	cache := n.Parent().Child("__pycache__")
	if cache == nil {
		return
	}
	stem := strings.TrimSuffix(n.Name(), ".py") + "."
	children := cache.Children()
	first, _ := slices.BinarySearchFunc(children, stem, func(c *rootfs.Node, stem string) int { return strings.Compare(c.Name(), stem) })
	for _, c := range children[first:] {
		rest, ok := strings.CutPrefix(c.Name(), stem)
		if !ok {
			break
		}
		if strings.Count(rest, ".") == 1 && strings.HasSuffix(rest, ".pyc") && c.Inode().IsRegular() && p.fits(c) && s.isCompiled(c.Inode(), n.Inode()) {
			at := s.path(n)
			s.keep(c, Reason{Rule: "import", Text: "compiled from " + at, From: at})
		}
	}
}

// fits reports whether some Python of the tree reads a compiled module.
func (p *python) fits(c *rootfs.Node) bool {
	for _, l := range p.libs {
		if fitsTag(c.Name(), (&pyEnv{lib: l}).tag()) {
			return true
		}
	}
	return len(p.libs) == 0
}

// isCompiled reports whether the head of a .pyc fits its source.
func (s *selector) isCompiled(pyc, src *rootfs.Inode) bool {
	var head [16]byte
	if n, _ := s.fs.Content(pyc).ReadAt(head[:], 0); n < len(head) {
		return false
	}
	word := func(at int) uint32 {
		return uint32(head[at]) | uint32(head[at+1])<<8 | uint32(head[at+2])<<16 | uint32(head[at+3])<<24
	}
	return word(4)&1 != 0 || word(4) == 0 && word(8) == uint32(src.MTime.Unix()) && word(12) == uint32(src.Size)
}
