package keep

import (
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A python is what is known of the Pythons of a tree: their standard libraries,
// the environments made of them (an installation, a virtual environment), and the
// distributions installed in folders of theirs.
type python struct {
	s     *selector
	libs  []*pyLib
	envs  []*pyEnv
	dists []*pyDist
	sites map[*rootfs.Node]bool

	libOf   map[*unit]*pyLib
	distOf  map[*unit]*pyDist // of a distribution's files and of its metadata
	byName  map[string][]*pyDist
	groups  map[string][]*pyDist // of entry points
	known   map[string]bool      // names that a literal may begin with
	folders map[*rootfs.Node]map[string]*pyModule

	roots      []*rootfs.Node // where the application's modules are looked for first
	files      map[int]*pySource
	order      []int // of files, as they came
	queue      []int // files to follow
	waiting    map[*pyDist][]pyOptional
	stars      map[*rootfs.Node][]string // modules that "import *" of a package brings, by its source
	judge      *unit                     // decides on what waits
	vocabulary map[string]bool
	configs    int // parts of the image's config among files, with negative indices
}

// A pyLib is a standard library.
type pyLib struct {
	dir     *rootfs.Node
	version string // "3.11", "3.13t"; "" if the folder does not say it
	prefix  string
	unit    *unit
}

// A pyEnv is what one sys.path serves: an interpreter's own, or a virtual environment's.
type pyEnv struct {
	lib     *pyLib // nil if it is not in the tree
	prefix  string
	venv    bool
	sites   []*rootfs.Node
	active  bool
	search  []*rootfs.Node    // once active: library, its extension modules, sites and what their .pth files add
	mapping map[string]string // of the finders that editable installations bring: a package's folder
	found   map[string]pyFound
}

// pythons finds the Pythons of the tree, and what each of their files is part of.
func (s *selector) pythons() {
	p := &python{
		s: s, sites: make(map[*rootfs.Node]bool), libOf: make(map[*unit]*pyLib), distOf: make(map[*unit]*pyDist),
		byName: make(map[string][]*pyDist), groups: make(map[string][]*pyDist), known: make(map[string]bool),
		folders: make(map[*rootfs.Node]map[string]*pyModule), files: make(map[int]*pySource), waiting: make(map[*pyDist][]pyOptional), stars: make(map[*rootfs.Node][]string),
	}
	var venvs, sites []*rootfs.Node
	for i, e := range s.sel.Entries {
		n := e.Node
		if !n.Inode().IsDir() {
			if n.Name() == "pyvenv.cfg" && n.Inode().IsRegular() {
				venvs = append(venvs, n.Parent())
			}
			continue
		}
		switch name := n.Name(); {
		case name == "encodings":
			if dir := n.Parent(); dir.Child("os.py") != nil || dir.Child("os.pyc") != nil {
				p.addLib(dir)
			}
		case name == "site-packages" || name == "dist-packages":
			sites = append(sites, n)
		case strings.HasSuffix(name, ".dist-info"):
			// pip install --target puts them anywhere.
			if n.Child("METADATA") != nil && !p.nested(n, s.paths[i]) {
				sites = append(sites, n.Parent())
			}
		}
	}
	if len(p.libs) == 0 && len(venvs) == 0 && len(sites) == 0 {
		return
	}
	s.py = p
	for _, n := range sites {
		p.sites[n] = true
	}
	for _, l := range p.libs {
		p.ownLib(l)
		p.envs = append(p.envs, &pyEnv{lib: l, prefix: l.prefix, sites: p.libSites(l)})
	}
	for _, n := range venvs {
		p.addVenv(n)
	}
	slices.SortFunc(sites, func(a, b *rootfs.Node) int { return s.sel.index[a] - s.sel.index[b] })
	for _, n := range slices.Compact(sites) {
		p.addSite(n)
	}
	for _, v := range p.envs {
		if v.venv {
			p.ownVenv(v)
		}
	}
	p.ownCaches()
	p.readWords()
}

// nested reports whether a distribution's metadata lie in another's package, as
// those that setuptools brings.
func (p *python) nested(n *rootfs.Node, at string) bool {
	for _, name := range []string{"/site-packages/", "/dist-packages/"} {
		if i := strings.Index(at, name); i >= 0 && strings.Contains(at[i+len(name):], "/") {
			return true
		}
	}
	return n.Parent().Child("__init__.py") != nil || n.Parent().Name() == "_vendor"
}

func (p *python) addLib(dir *rootfs.Node) {
	at := p.s.path(dir)
	l := &pyLib{dir: dir, prefix: path.Dir(at)}
	for _, name := range []string{"python", "pypy"} {
		if v, ok := strings.CutPrefix(dir.Name(), name); ok && v != "" && v[0] >= '0' && v[0] <= '9' {
			l.version = v
		}
	}
	if base := path.Base(l.prefix); base == "lib" || base == "lib64" {
		l.prefix = path.Dir(l.prefix)
	}
	name := l.version
	if name == "" {
		name = "in " + at
	} else if at != "/usr/lib/python"+name && at != "/usr/local/lib/python"+name {
		name += " in " + at
	}
	l.unit = &unit{kind: "Python standard library", name: name, complete: func(s *selector, u *unit) { p.completeLib(l) }}
	p.libs = append(p.libs, l)
	p.libOf[l.unit] = l
}

// ownLib gives a standard library its files, and what an installation from source
// has beside them that no package owns.
func (p *python) ownLib(l *pyLib) {
	s := p.s
	p.ownBelow(l.dir, l.unit, false)
	if l.version == "" {
		return
	}
	stray := func(dir string, match func(string) bool) {
		n := s.at(dir)
		if n == nil || !n.Inode().IsDir() {
			return
		}
		for _, c := range n.Children() {
			if s.unitOf[s.sel.index[c]] == nil && match(c.Name()) {
				p.ownBelow(c, l.unit, true)
			}
		}
	}
	stray(path.Join(l.prefix, "bin"), func(name string) bool {
		stem := strings.TrimSuffix(strings.TrimRight(strings.TrimSuffix(name, "-config"), "0123456789.t"), "-")
		return slices.Contains([]string{"python", "pypy", "pydoc", "idle", "2to", "2to3"}, stem)
	})
	stray(path.Join(l.prefix, "include"), func(name string) bool { return strings.HasPrefix(name, "python"+l.version) })
	stray(path.Dir(s.path(l.dir)), func(name string) bool {
		return strings.HasPrefix(name, "libpython"+l.version) || name == "libpython3.so"
	})
}

// ownBelow gives u a name and what is below it; whether or not it has an owner, all but
// folders for distributions.
func (p *python) ownBelow(n *rootfs.Node, u *unit, free bool) {
	i := p.s.sel.index[n]
	if free && p.s.unitOf[i] != nil || p.sites[n] {
		return
	}
	p.s.own(i, u)
	for _, c := range n.Children() {
		p.ownBelow(c, u, free)
	}
}

// libSites lists the folders for distributions of an interpreter, as site.py and
// Debian's and Fedora's changes to it make them.
func (p *python) libSites(l *pyLib) []*rootfs.Node {
	at := p.s.path(l.dir)
	dirs := []string{join(at, "site-packages")}
	if l.version != "" {
		name := l.dir.Name()
		var homes []string
		for n := range p.sites {
			if dir := p.s.path(n); strings.HasSuffix(dir, "/.local/lib/"+name+"/site-packages") {
				homes = append(homes, dir)
			}
		}
		slices.Sort(homes)
		dirs = append(homes, dirs...)
		prefixes := []string{l.prefix}
		if l.prefix == "/usr" {
			prefixes = []string{"/usr/local", "/usr"}
		}
		for _, prefix := range prefixes {
			for _, lib := range []string{"/lib/", "/lib64/"} {
				if other := p.s.at(prefix + lib + name + "/os.py"); other == nil || other.Parent() == l.dir {
					dirs = append(dirs, prefix+lib+name+"/site-packages")
				}
				dirs = append(dirs, prefix+lib+name+"/dist-packages")
			}
		}
		dirs = append(dirs, path.Dir(at)+"/python"+l.version[:1]+"/dist-packages")
	}
	return p.folderNodes(dirs)
}

// folderNodes are the folders that there are of dirs, each once.
func (p *python) folderNodes(dirs []string) []*rootfs.Node {
	var list []*rootfs.Node
	for _, dir := range dirs {
		if n, _, err := p.s.fs.Resolve(dir); err == nil && n.Inode().IsDir() && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// addVenv reads the pyvenv.cfg of a virtual environment (PEP 405).
func (p *python) addVenv(dir *rootfs.Node) {
	s := p.s
	cfg := parsePyvenv(s.readText(dir.Child("pyvenv.cfg")))
	v := &pyEnv{prefix: s.path(dir), venv: true}
	version := cfg["version_info"]
	if version == "" {
		version = cfg["version"]
	}
	if f := strings.SplitN(version, ".", 3); len(f) >= 2 {
		version = f[0] + "." + f[1]
	}
	home, _, err := s.fs.Resolve(rooted(cfg["home"]))
	for _, l := range p.libs {
		if strings.TrimSuffix(l.version, "t") != version && version != "" {
			continue
		}
		if v.lib == nil || err == nil && path.Dir(s.path(home)) == l.prefix {
			v.lib = l
		}
	}
	for _, lib := range []string{"lib", "lib64"} {
		if n, _, err := s.fs.ResolveFrom(dir, lib); err == nil {
			for _, c := range n.Children() {
				if site := c.Child("site-packages"); site != nil && site.Inode().IsDir() && !slices.Contains(v.sites, site) {
					v.sites = append(v.sites, site)
				}
			}
		}
	}
	if v.lib != nil && cfg["include-system-site-packages"] == "true" {
		v.sites = append(v.sites, p.libSites(v.lib)...)
	}
	p.envs = append(p.envs, v)
}

// parsePyvenv reads "key = value" lines.
func parsePyvenv(b []byte) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, "="); ok {
			m[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(v)
		}
	}
	return m
}

// ownVenv gives what a virtual environment has beside its distributions to a unit
// of its own: it is no part of the application around it. Its programs are links.
func (p *python) ownVenv(v *pyEnv) {
	s := p.s
	dir := s.at(v.prefix)
	u := &unit{kind: "Python virtual environment", name: v.prefix}
	u.complete = func(s *selector, u *unit) {
		for _, i := range u.files {
			n := s.sel.Entries[i].Node
			if n.Inode().IsSymlink() || n.Name() == "pyvenv.cfg" {
				s.keep(n, u.why("unit", "part"))
			}
		}
		p.activate(v, s.path(dir.Child("pyvenv.cfg")))
	}
	for _, name := range []string{"pyvenv.cfg", "bin", "lib", "lib64", "include", "share"} {
		if c := dir.Child(name); c != nil {
			p.ownBelow(c, u, true)
		}
	}
}

// ownCaches gives compiled modules to the owner of their source.
func (p *python) ownCaches() {
	s := p.s
	for i, e := range s.sel.Entries {
		dir := e.Node.Parent()
		if dir == nil || dir.Name() != "__pycache__" {
			continue
		}
		if src := pySourceOf(e.Node); src != nil {
			if u := s.unitOf[s.sel.index[src]]; u != nil && s.unitOf[i] != u {
				s.own(i, u)
				if j := s.sel.index[dir]; s.unitOf[j] == nil {
					s.unitOf[j] = u
				}
			}
		}
	}
}

// pySourceOf is the source of a compiled module in a __pycache__ (PEP 3147), nil if
// there is none.
func pySourceOf(n *rootfs.Node) *rootfs.Node {
	dir := n.Parent()
	if dir == nil || dir.Name() != "__pycache__" || dir.Parent() == nil || !strings.HasSuffix(n.Name(), ".pyc") {
		return nil
	}
	stem, _, _ := strings.Cut(n.Name(), ".")
	return dir.Parent().Child(stem + ".py")
}

// readWords collects the names that a literal in a source may begin with to be
// worth a look.
func (p *python) readWords() {
	for n := range p.sites {
		for name := range p.folder(n) {
			p.known[name] = true
		}
	}
	for _, l := range p.libs {
		for name := range p.folder(l.dir) {
			p.known[name] = true
		}
	}
	for group := range p.groups {
		p.known[group] = true
	}
}

// wanted reports whether a literal of a distribution's source may name something.
func (p *python) wanted(text []byte) bool {
	for i, c := range text {
		if c == '.' || c == ':' {
			return p.known[string(text[:i])] || p.known[string(text)]
		}
	}
	return len(p.groups[string(text)]) > 0
}
