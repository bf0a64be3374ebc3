package keep

import (
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A pyModule is what a folder has for one name: a package, modules, or both.
type pyModule struct {
	dir   *rootfs.Node   // a folder, with or without __init__
	files []*rootfs.Node // extension modules, source, sourceless .pyc, in the order in which importlib prefers them
}

// folder lists what can be imported from a folder.
func (p *python) folder(dir *rootfs.Node) map[string]*pyModule {
	if m, ok := p.folders[dir]; ok {
		return m
	}
	m := make(map[string]*pyModule)
	p.folders[dir] = m
	get := func(name string) *pyModule {
		if m[name] == nil {
			m[name] = new(pyModule)
		}
		return m[name]
	}
	var sources, compiled []*rootfs.Node
	for _, c := range dir.Children() {
		n := c
		if c.Inode().IsSymlink() {
			end, _, err := p.s.fs.Resolve(p.s.path(c))
			if err != nil {
				continue
			}
			n = end
		}
		name, ext, _ := strings.Cut(c.Name(), ".")
		switch { // "_sysconfigdata__x86_64-linux-gnu" can be imported, if not by a statement
		case name == "" || strings.IndexFunc(name, func(r rune) bool { return r < 0x80 && !isPyName(byte(r)) && r != '-' }) >= 0:
		case n.Inode().IsDir() && ext == "" && name != "__pycache__":
			get(name).dir = c
		case !n.Inode().IsRegular():
		case ext == "py":
			sources = append(sources, c)
		case ext == "pyc":
			compiled = append(compiled, c)
		case ext == "so" || strings.HasSuffix(ext, ".so"):
			get(name).files = append(get(name).files, c)
		}
	}
	for _, c := range slices.Concat(sources, compiled) {
		name, _, _ := strings.Cut(c.Name(), ".")
		get(name).files = append(get(name).files, c)
	}
	return m
}

// follow is the folder that a name leads to, nil if it is none.
func (p *python) follow(n *rootfs.Node) *rootfs.Node {
	if n != nil && n.Inode().IsSymlink() {
		end, _, err := p.s.fs.Resolve(p.s.path(n))
		if err != nil {
			return nil
		}
		n = end
	}
	if n == nil || !n.Inode().IsDir() {
		return nil
	}
	return n
}

// A pyFound is what a dotted name leads to.
type pyFound struct {
	files []*rootfs.Node // to be run: the __init__ of each package, and the module
	dirs  []*rootfs.Node // where submodules are looked for, if the name is a package
	depth int            // names found
	last  []*rootfs.Node // of files: those of the last name
}

// resolve finds the longest part of a dotted name that can be imported from dirs.
// A package's __path__ is taken to have the folders of its name in all of dirs, as
// pkgutil.extend_path and namespace packages (PEP 420) make it.
func (p *python) resolve(dirs []*rootfs.Node, name string, tag string) pyFound {
	var f pyFound
	for name != "" {
		var first string
		first, name, _ = strings.Cut(name, ".")
		files, next := p.step(dirs, first, tag)
		if files == nil && next == nil {
			return f
		}
		f.files = append(f.files, files...)
		f.last = files
		f.dirs = next
		f.depth++
		dirs = next
	}
	return f
}

// step finds one name in dirs: the first package or module, and all folders.
func (p *python) step(dirs []*rootfs.Node, name, tag string) (files, next []*rootfs.Node) {
	done := false
	for _, dir := range dirs {
		m := p.folder(dir)[name]
		if m == nil {
			continue
		}
		if sub := p.follow(m.dir); sub != nil {
			if m.dir != sub && !done {
				files = append(files, m.dir) // the link
			}
			if init := p.folder(sub)["__init__"]; init != nil && len(init.files) > 0 && !done {
				// All of them: importlib passes on from an extension module that does not fit.
				files, done = append(files, forTag(init.files, tag)...), true
			}
			next = append(next, sub)
		}
		if !done && len(m.files) > 0 {
			files, done = append(files, forTag(m.files, tag)...), true
		}
	}
	return files, next
}

// forTag leaves out extension modules of another version of Python.
func forTag(files []*rootfs.Node, tag string) []*rootfs.Node {
	return slices.DeleteFunc(slices.Clone(files), func(n *rootfs.Node) bool { return !fitsTag(n.Name(), tag) })
}

// fitsTag reports whether a file's name has no cache or ABI tag of another
// version: "x.cpython-311-x86_64-linux-gnu.so", "x.cpython-311.pyc".
func fitsTag(name, tag string) bool {
	_, rest, _ := strings.Cut(name, ".")
	rest, ok := strings.CutPrefix(rest, "cpython-")
	if !ok || tag == "" {
		return true
	}
	end := strings.IndexAny(rest, "-.")
	return end < 0 || rest[:end] == tag || rest[:end] == tag+"d" || rest[:end] == tag+"m"
}

// tag is the version in file names: "311".
func (v *pyEnv) tag() string {
	if v.lib == nil {
		return ""
	}
	return strings.ReplaceAll(v.lib.version, ".", "")
}

// lookup finds a module as v's Python would, after the folders of the source that
// asks for it.
func (p *python) lookup(v *pyEnv, name string) pyFound {
	if f, ok := v.found[name]; ok {
		return f
	}
	f := p.resolve(v.search, name, v.tag())
	if first, _, _ := strings.Cut(name, "."); f.depth == 0 && v.mapping[first] != "" {
		at := v.mapping[first]
		if dirs := p.folderNodes([]string{path.Dir(at)}); len(dirs) > 0 {
			f = p.resolve(dirs, name, v.tag())
		}
	}
	v.found[name] = f
	return f
}

// activate makes an environment one that the program uses: its sys.path is made,
// and what was read until now is followed again in it.
func (p *python) activate(v *pyEnv, from string) {
	if v.active {
		return
	}
	v.active, v.found, v.mapping = true, make(map[string]pyFound), make(map[string]string)
	s := p.s
	if v.lib != nil {
		s.touch(v.lib.unit, "of which "+from+" is run", from)
		v.search = append(v.search, v.lib.dir)
		v.search = append(v.search, p.folderNodes([]string{s.path(v.lib.dir) + "/lib-dynload"})...)
		if lib64 := strings.Replace(s.path(v.lib.dir), "/lib/", "/lib64/", 1); lib64 != s.path(v.lib.dir) {
			v.search = append(v.search, p.folderNodes([]string{lib64, lib64 + "/lib-dynload"})...)
		}
	}
	for _, site := range v.sites {
		p.addSearch(v, site)
	}
	for _, i := range p.order {
		p.queue = append(p.queue, i)
	}
}

// maxPyPath bounds a sys.path, whose .pth files could go on for ever.
const maxPyPath = 1000

// addSearch appends a folder for distributions, and what its .pth files name
// (site.py, addpackage): a folder a line, or a line of Python that begins with import.
func (p *python) addSearch(v *pyEnv, site *rootfs.Node) {
	if slices.Contains(v.search, site) || len(v.search) >= maxPyPath {
		return
	}
	s := p.s
	v.search = append(v.search, site)
	at := s.path(site)
	for _, c := range site.Children() {
		switch {
		case strings.HasSuffix(c.Name(), ".egg") && p.distAt(c) != nil && c.Inode().IsDir():
			continue // on the path only if a .pth says so
		case strings.HasSuffix(c.Name(), ".pth"):
			for line := range strings.Lines(string(s.readText(c))) {
				line = strings.TrimSpace(line)
				if line == "" || line[0] == '#' || len(line) > 4096 {
					continue
				}
				if strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "import\t") {
					p.readFinders(v, site, line)
					continue
				}
				if !strings.HasPrefix(line, "/") {
					line = at + "/" + line
				}
				for _, dir := range p.folderNodes([]string{line}) {
					s.keep(c, Reason{Rule: "data", Text: "puts " + s.path(dir) + " on Python's path", From: s.path(dir)})
					if !slices.Contains(v.search, dir) && len(v.search) < maxPyPath {
						v.search = append(v.search, dir)
					}
				}
			}
		case strings.HasSuffix(c.Name(), ".egg-link"):
			line, _, _ := strings.Cut(string(s.readText(c)), "\n")
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
				for _, dir := range p.folderNodes([]string{line}) {
					s.keep(c, Reason{Rule: "data", Text: "names " + s.path(dir) + ", installed in place", From: s.path(dir)})
					if !slices.Contains(v.search, dir) {
						v.search = append(v.search, dir)
					}
				}
			}
		}
	}
}

// distAt is the distribution that a name is part of.
func (p *python) distAt(n *rootfs.Node) *pyDist {
	if u := p.s.unitOf[p.s.sel.index[n]]; u != nil {
		return p.distOf[u]
	}
	return nil
}

// readFinders reads the finders that setuptools makes for editable installations:
// their MAPPING has the packages' names and folders.
func (p *python) readFinders(v *pyEnv, site *rootfs.Node, line string) {
	for _, r := range pythonRefs([]byte(line), func([]byte) bool { return false }) {
		if r.kind != pyImport || !strings.Contains(r.name, "finder") {
			continue
		}
		if c := site.Child(r.name + ".py"); c != nil {
			for name, dir := range parseFinder(p.s.readText(c)) {
				v.mapping[name] = dir
			}
		}
	}
}

// parseFinder reads the strings of MAPPING = {'name': '/folder'}.
func parseFinder(src []byte) map[string]string {
	m := make(map[string]string)
	lex := newPyLexer(src)
	in, key := false, ""
	for t := lex.next(); t.kind != pyEOF; t = lex.next() {
		switch {
		case t.kind == pyName && string(t.text) == "MAPPING":
			in, key = true, ""
		case !in:
		case t.kind == pyNewline:
			if len(m) > 0 {
				return m
			}
			in = false
		case t.kind == pyString && key == "":
			key = string(t.text)
		case t.kind == pyString:
			if strings.HasPrefix(string(t.text), "/") {
				m[key] = string(t.text)
			}
			key = ""
		}
	}
	return m
}
