package keep

import (
	"path"
	"strings"

	"slim/probe/rootfs"
)

// completeDist keeps the rest of a distribution that is used, but what it does not
// run with and its programs; its metadata; and the distributions that it requires.
func (p *python) completeDist(d *pyDist) {
	s := p.s
	u := d.unit
	bare := make(map[*rootfs.Node]bool)
	for _, i := range u.files {
		n := s.sel.Entries[i].Node
		if s.unitOf[i] != u || s.surplus(i) && !isSourceless(n) || p.surplus(d, n, bare) {
			continue
		}
		if p.tool(i) == "" || d.dev {
			s.use(n, u.why("unit", "part"))
		}
	}
	if d.info == nil {
		return
	}
	why := u.why("unit", "metadata")
	p.keepInfo(d, why)
	p.require(d)
}

// require keeps what a distribution requires: of its extras those that another asks
// for, and those that are installed as a whole, if that is small.
func (p *python) require(d *pyDist) {
	missing := make(map[string]bool)
	for _, r := range d.requires {
		if r.extra != "" && !r.perhaps && p.requirement(d, r) == nil {
			missing[r.extra] = true
		}
	}
	for _, r := range d.requires {
		other := p.requirement(d, r)
		if other == nil {
			continue
		}
		if r.extra != "" && !d.extras[r.extra] &&
			(missing[r.extra] || pyExtras[r.extra] || other.dev || p.weight(other, make(map[*pyDist]bool)) > maxPyOptional) {
			continue
		}
		fresh := false
		for _, extra := range r.extras {
			fresh = fresh || !other.extras[extra]
			other.extras[extra] = true
		}
		if other.unit.touched && fresh {
			p.require(other)
		} else if other != d {
			p.s.touch(other.unit, "required by "+d.name, p.s.path(d.info))
		}
	}
}

// requirement is the distribution that d takes for a requirement, nil if none is
// installed.
func (p *python) requirement(d *pyDist, r pyRequirement) *pyDist {
	for _, other := range p.byName[r.name] {
		if p.together(d, other) {
			return other
		}
	}
	return nil
}

// together reports whether two distributions are installed for one Python.
func (p *python) together(a, b *pyDist) bool {
	if a.site == b.site {
		return true
	}
	for _, v := range p.envs {
		if v.active {
			hasA, hasB := false, false
			for _, n := range v.search {
				hasA, hasB = hasA || n == a.site, hasB || n == b.site
			}
			if hasA && hasB {
				return true
			}
		}
	}
	return false
}

// keepInfo keeps a distribution's metadata, licenses included: importlib.metadata
// reads its version, its entry points and its files there.
func (p *python) keepInfo(d *pyDist, why Reason) {
	s := p.s
	s.keep(d.info, why)
	s.below(d.info, func(n *rootfs.Node) {
		if i := s.sel.index[n]; s.unitOf[i] == d.meta && (s.category[i] != Documentation || !s.surplus(i)) {
			s.keep(n, why)
		}
	})
}

// isSourceless reports whether a file is a compiled module that stands for its source.
func isSourceless(n *rootfs.Node) bool {
	return strings.HasSuffix(n.Name(), ".pyc") && n.Parent().Name() != "__pycache__" &&
		n.Parent().Child(strings.TrimSuffix(n.Name(), "c")) == nil
}

// pyBuildFiles are what extension modules are made of, and what type checkers read.
var pyBuildFiles = map[string]bool{
	".pyi": true, ".pyx": true, ".pxd": true, ".pxi": true, ".c": true, ".cc": true, ".cpp": true, ".cxx": true, ".f": true,
	".f90": true, ".exe": true, ".ipynb": true, ".in": true, ".build": true,
}

// pyBareFolders are folders that are no part of a program unless they are packages.
var pyBareFolders = set("doc docs example examples sample_data benchmarks asv_bench")

// surplus reports whether a file of a distribution is not for running it; bare
// remembers what was found of its folders.
func (p *python) surplus(d *pyDist, n *rootfs.Node, bare map[*rootfs.Node]bool) bool {
	if pyBuildFiles[path.Ext(n.Name())] || n.Name() == "py.typed" || n.Name() == "conftest.py" {
		return true
	}
	dir := n.Parent()
	if name := dir.Name(); (name == "bin" || name == "Scripts") && dir.Child("__init__.py") == nil && !p.within(d, n) {
		return true
	}
	return p.isBare(d, dir, bare)
}

// within reports whether a file is in the folder for distributions, not beside it as
// programs and manual pages are.
func (p *python) within(d *pyDist, n *rootfs.Node) bool {
	return strings.HasPrefix(p.s.path(n), p.s.path(d.site)+"/")
}

func (p *python) isBare(d *pyDist, dir *rootfs.Node, bare map[*rootfs.Node]bool) bool {
	if dir == nil || dir == d.site || dir.Parent() == nil {
		return false
	}
	known, ok := bare[dir]
	if !ok {
		known = pyBareFolders[dir.Name()] && dir.Child("__init__.py") == nil || p.isBare(d, dir.Parent(), bare)
		bare[dir] = known
	}
	return known
}

// completeLib keeps of a standard library what every interpreter needs that no
// source names.
func (p *python) completeLib(l *pyLib) {
	for _, v := range p.envs {
		if v.lib == l && !v.venv && !p.served(v) {
			p.activate(v, l.unit.from)
		}
	}
	p.keepNamedModules(l, pyBase, l.unit.why("unit", "module for every start"))
	p.drain()
}

// keepNamedModules keeps modules of a standard library: "a.b", all of a package as
// "a.*", or all whose names begin so as "_a*".
func (p *python) keepNamedModules(l *pyLib, names string, why Reason) {
	dirs := append([]*rootfs.Node{l.dir}, p.folderNodes([]string{p.s.path(l.dir) + "/lib-dynload"})...)
	tag := (&pyEnv{lib: l}).tag()
	for name := range strings.FieldsSeq(names) {
		if pkg, ok := strings.CutSuffix(name, ".*"); ok {
			f := p.resolve(dirs, pkg, tag)
			for _, n := range f.files {
				p.reach(n, pyRun, why)
			}
			for _, dir := range f.dirs {
				p.keepPrefixed([]*rootfs.Node{dir}, "", tag, why)
			}
			continue
		}
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			p.keepPrefixed(dirs, prefix, tag, why)
			continue
		}
		if f := p.resolve(dirs, name, tag); f.depth == strings.Count(name, ".")+1 {
			for _, n := range f.files {
				p.reach(n, pyRun, why)
			}
		}
	}
}

func (p *python) keepPrefixed(dirs []*rootfs.Node, prefix, tag string, why Reason) {
	for _, dir := range dirs {
		for _, c := range dir.Children() {
			if name, ext, _ := strings.Cut(c.Name(), "."); strings.HasPrefix(name, prefix) && ext != "" && p.folder(dir)[name] != nil && fitsTag(c.Name(), tag) {
				p.reach(c, pyPart, why)
			}
		}
	}
}

// standard keeps what a module of the standard library finds by name: other
// modules, and data of the system.
func (p *python) standard(i int) {
	s := p.s
	u := s.unitOf[i]
	if u == nil || p.libOf[u] == nil {
		return
	}
	l, at := p.libOf[u], s.paths[i]
	name := strings.TrimSuffix(strings.TrimPrefix(at, s.path(l.dir)+"/"), ".py")
	name = strings.ReplaceAll(strings.TrimSuffix(name, "/__init__"), "/", ".")
	if names := pyByName[name]; names != "" {
		p.keepNamedModules(l, names, Reason{Rule: "import", Text: "imported by name when " + name + " is used", From: at})
	}
	switch name {
	case "zoneinfo":
		p.zones(at)
	case "ssl":
		p.certificates(at)
	case "mimetypes": // its knownfiles that Linux systems have
		for _, file := range []string{"/etc/mime.types", "/etc/httpd/conf/mime.types", "/usr/local/etc/mime.types"} {
			s.usePath(file, Reason{Rule: "data", Text: "types by extension, which Python's mimetypes reads", From: at})
		}
	}
}

// zones keeps the time zones that zoneinfo reads: the system's first, and those of
// the distribution tzdata (PEP 615). The variants "posix" and "right" of the system's
// are the same again, and with leap seconds.
func (p *python) zones(from string) {
	s := p.s
	why := Reason{Rule: "data", Text: "time zones, which Python's zoneinfo reads by name", From: from}
	for _, d := range p.byName["tzdata"] {
		s.touch(d.unit, "whose time zones Python's zoneinfo reads by name", from)
	}
	for _, dir := range []string{"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"} {
		n, links, err := s.fs.Resolve(dir)
		if err != nil || !n.Inode().IsDir() {
			continue
		}
		s.keepLinks(links, dir, why)
		for _, c := range n.Children() {
			if c.Name() != "posix" && c.Name() != "right" {
				s.keep(c, why)
				s.below(c, func(n *rootfs.Node) { s.keep(n, why) })
			}
		}
	}
}

// certificates keeps the roots of trust where OpenSSL looks for them, as ssl's
// default context loads them: OPENSSLDIR of Debian, Alpine and Fedora and of a
// build of one's own, with its configuration.
func (p *python) certificates(from string) {
	s := p.s
	why := Reason{Rule: "data", Text: "roots of trust, which Python's ssl loads", From: from}
	for _, dir := range []string{"/etc/ssl", "/usr/lib/ssl", "/usr/local/ssl", "/etc/pki/tls"} {
		for _, name := range []string{"cert.pem", "openssl.cnf", "certs/ca-certificates.crt", "certs/ca-bundle.crt"} {
			s.usePath(dir+"/"+name, why)
		}
		n, links, err := s.fs.Resolve(dir + "/certs")
		if err != nil || !n.Inode().IsDir() {
			continue
		}
		s.keepLinks(links, dir+"/certs", why)
		for _, c := range n.Children() {
			// By hash ("5ed36f99.0"), as links to links.
			s.keep(c, why)
		}
	}
}
