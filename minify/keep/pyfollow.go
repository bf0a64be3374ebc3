package keep

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A pyFrom is what names modules: a source, a configuration file, or the image's config.
type pyFrom struct {
	path     string // "" of the config
	place    string // "/app/x.py:31", "CMD"
	level    pyLevel
	tool     string // what tool for development it is part of, see python.tool
	envs     []*pyEnv
	first    []*rootfs.Node // folders looked at before sys.path
	dir      *rootfs.Node   // of the source
	main     bool           // it may be run as a program
	standard bool           // of a standard library
	dist     *pyDist        // that the source is part of
	ref      pyRef          // being followed
}

// followFile follows every reference of a source.
func (p *python) followFile(i int) {
	s := p.s
	f := p.files[i]
	if i < 0 {
		from := pyFrom{place: f.place, level: pyApp, envs: p.activeEnvs(), first: p.roots, main: true}
		for _, r := range f.refs {
			p.followRef(&from, r)
		}
		return
	}
	n := s.sel.Entries[i].Node
	from := pyFrom{path: s.paths[i], level: f.level, tool: p.tool(i), envs: p.envsOf(i), dir: n.Parent()}
	from.main = f.level == pyApp || n.Name() == "__main__.py" || !strings.HasSuffix(n.Name(), ".py")
	from.standard = p.libOf[s.unitOf[i]] != nil
	if u := s.unitOf[i]; u != nil {
		from.dist = p.distOf[u]
	}
	from.first = p.firstDirs(i)
	if !f.read {
		f.read = true
		switch text := s.readText(n); {
		case f.words:
			f.refs = wordRefs(text)
		case f.level == pyApp:
			f.refs = pythonRefs(text, nil)
		default:
			f.refs = pythonRefs(text, p.wanted)
		}
		p.standard(i)
	}
	if f.level < pyApp && s.sel.Entries[i].Reason.Rule != "touched" && p.isDead(&from, f.refs) {
		return
	}
	for _, r := range f.refs {
		from.place = fmt.Sprintf("%s:%d", from.path, r.line)
		from.ref = r
		p.followRef(&from, r)
	}
}

// isDead reports whether a module of a distribution cannot be imported, since one
// that it imports unconditionally is not there: an integration with something that is
// not installed, a part for another system. What else it imports does not matter.
func (p *python) isDead(from *pyFrom, refs []pyRef) bool {
	if from.standard {
		return false
	}
	for _, r := range refs {
		if r.kind != pyImport || !r.firm || r.level > 0 {
			continue
		}
		name, _, _ := strings.Cut(r.name, ".")
		if !pyBuiltin[name] && len(p.find(from, pyRef{name: name})) == 0 && p.resolve(p.roots, name, "").depth == 0 {
			return true
		}
	}
	return false
}

// envsOf are the environments in which a file's imports are looked up.
func (p *python) envsOf(i int) []*pyEnv {
	var list []*pyEnv
	u := p.s.unitOf[i]
	for _, v := range p.envs {
		switch {
		case !v.active:
		case u == nil:
			list = append(list, v)
		case p.libOf[u] != nil:
			if v.lib != nil && v.lib.unit == u {
				list = append(list, v)
			}
		case p.distOf[u] != nil:
			if slices.Contains(v.search, p.distOf[u].site) {
				list = append(list, v)
			}
		}
	}
	if len(list) == 0 {
		return p.activeEnvs()
	}
	return list
}

func (p *python) activeEnvs() []*pyEnv {
	return slices.DeleteFunc(slices.Clone(p.envs), func(v *pyEnv) bool { return !v.active })
}

// firstDirs are the folders that stand before those of the environment on a
// source's path: for the application's own the one that its package is in, its own
// as that of a script, and those that the config and other sources name.
func (p *python) firstDirs(i int) []*rootfs.Node {
	s := p.s
	dir := s.sel.Entries[i].Node.Parent()
	if u := s.unitOf[i]; u != nil {
		if p.libOf[u] != nil {
			return nil
		}
		if d := p.distOf[u]; d != nil && !d.app {
			if slices.ContainsFunc(p.envs, func(v *pyEnv) bool { return v.active && slices.Contains(v.search, d.site) }) {
				return nil
			}
			return append([]*rootfs.Node{d.site}, p.roots...)
		}
	}
	top := dir
	for top.Parent() != nil && p.folder(top)["__init__"] != nil {
		top = top.Parent()
	}
	list := []*rootfs.Node{top}
	for _, n := range append([]*rootfs.Node{dir}, p.roots...) {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// tool names the tool for development that an entry is part of, "" for none.
func (p *python) tool(i int) string {
	u := p.s.unitOf[i]
	if u == nil {
		return ""
	}
	base := ""
	if l := p.libOf[u]; l != nil {
		base = p.s.path(l.dir)
	} else if d := p.distOf[u]; d == nil || u == d.meta {
		return "" // a hook into each start is no tool, and none of its own
	} else if d.dev {
		return d.name
	} else {
		base = p.s.path(d.site)
	}
	rest, ok := strings.CutPrefix(p.s.paths[i], base+"/")
	if !ok {
		return ""
	}
	rest = strings.TrimPrefix(rest, "lib-dynload/")
	name := ""
	for range 2 {
		first, after, more := strings.Cut(rest, "/")
		first, _, _ = strings.Cut(first, ".")
		if name += first; pyToolModules[name] {
			return name
		}
		if !more {
			return ""
		}
		name, rest = name+".", after
	}
	return ""
}

// followRef keeps what one reference leads to.
func (p *python) followRef(from *pyFrom, r pyRef) {
	if r.main && !from.main {
		return
	}
	switch r.kind {
	case pyImport:
		why := "import " + r.name
		if len(r.names) > 0 || r.level > 0 {
			why = "from " + strings.Repeat(".", r.level) + r.name + " import " + strings.Join(r.names[:min(3, len(r.names))], ", ")
		}
		p.module(from, r, r.names, "imported by "+from.place+" ("+why+")")
	case pyCall:
		if r.level > 0 && r.names[0] != "" {
			r.name, r.level = r.names[0]+strings.Repeat(".", min(1, len(r.name)))+r.name, 0
		}
		p.module(from, r, nil, "named in "+from.place+" ("+strings.Repeat(".", r.level)+r.name+")")
	case pyFamily:
		p.family(from, r)
	case pyLiteral:
		p.literal(from, r)
	case pyGroup:
		for _, d := range p.groups[r.name] {
			if from.level > pyPart && !d.dev && p.onPath(from, d) {
				p.s.touch(d.unit, "whose entry points of the group "+r.name+" "+from.place+" loads", from.path)
			}
		}
	case pyVersion:
		for _, d := range p.byName[normalizePy(r.name)] {
			if d.info != nil && p.onPath(from, d) {
				p.keepInfo(d, Reason{Rule: "data", Text: "metadata of Python distribution " + d.name + ", named in " + from.place, From: from.path})
			}
		}
	case pyPath:
		p.pathEntry(from, r.name)
	}
}

// onPath reports whether a distribution is in an environment of from's.
func (p *python) onPath(from *pyFrom, d *pyDist) bool {
	return slices.Contains(p.roots, d.site) ||
		slices.ContainsFunc(from.envs, func(v *pyEnv) bool { return slices.Contains(v.search, d.site) })
}

// module keeps the module of a reference, the packages that it is in, and those of
// names that are modules in it.
func (p *python) module(from *pyFrom, r pyRef, names []string, text string) {
	for _, f := range p.find(from, r) {
		p.take(from, r.firm, f.files, text)
		if r.name != "" && f.depth <= strings.Count(r.name, ".") {
			continue
		}
		firm := r.firm
		if n := len(names); n > 0 && names[n-1] == "*" {
			names, firm = slices.Concat(names[:n-1], p.starNames(f)), false
		}
		for _, name := range names {
			files, _ := p.step(f.dirs, name, p.tagOf(from))
			p.take(from, firm, files, text)
		}
	}
}

// starNames are the modules that "import *" of a package imports: those among its
// literals, since __all__ is one of them or made of some.
func (p *python) starNames(f pyFound) []string {
	if len(f.last) == 0 || len(f.dirs) == 0 {
		return nil
	}
	init := f.last[len(f.last)-1]
	if names, ok := p.stars[init]; ok {
		return names
	}
	var names []string
	lex := newPyLexer(p.s.readText(init))
	for t := lex.next(); t.kind != pyEOF; t = lex.next() {
		if t.kind == pyString && len(t.text) <= maxPyName && p.folder(f.dirs[0])[string(t.text)] != nil {
			names = append(names, string(t.text))
		}
	}
	slices.Sort(names)
	p.stars[init] = slices.Compact(names)
	return p.stars[init]
}

func (p *python) tagOf(from *pyFrom) string {
	if len(from.envs) == 1 {
		return from.envs[0].tag()
	}
	return ""
}

// find resolves a reference: relative to its source, or in the folders that come
// first, or in each environment. A folder is no proof of a package: what has
// no file to run counts only if nothing else is there.
func (p *python) find(from *pyFrom, r pyRef) []pyFound {
	if r.level > 0 {
		dir := from.dir
		for n := 1; n < r.level && dir != nil; n++ {
			dir = dir.Parent()
		}
		if dir == nil {
			return nil
		}
		if r.name == "" {
			return []pyFound{{dirs: []*rootfs.Node{dir}}}
		}
		return []pyFound{p.resolve([]*rootfs.Node{dir}, r.name, p.tagOf(from))}
	}
	var list []pyFound
	if f := p.resolve(from.first, r.name, ""); f.depth > 0 {
		list = append(list, f)
	}
	for _, v := range from.envs {
		if f := p.lookup(v, r.name); f.depth > 0 {
			list = append(list, f)
		}
	}
	return list
}

// take keeps modules, unless a decision on them waits until all else is known.
func (p *python) take(from *pyFrom, firm bool, files []*rootfs.Node, text string) {
	if (from.level < pyRun || from.level == pyRun && !firm) && p.postpone(from, files, text) {
		return
	}
	p.takeAll(from, firm, files, text)
}

// mayTake reports whether from may bring in entry i of a tool for development: the
// application any, what is run what it cannot do without. Of what may be run that is
// the standard library's, and what its distribution requires.
func (p *python) mayTake(from *pyFrom, firm bool, i int) bool {
	switch from.level {
	case pyApp:
		return true
	case pyRun:
		return firm
	case pyMaybeRun:
		u := p.s.unitOf[i]
		return firm && (p.libOf[u] != nil || from.dist != nil && p.isRequired(from.dist, p.distOf[u]))
	}
	return false
}

// takeAll keeps modules, unless they belong to a tool for development that from can
// do without.
func (p *python) takeAll(from *pyFrom, firm bool, files []*rootfs.Node, text string) {
	s := p.s
	level := min(from.level, pyRun)
	if from.level == pyRun && !firm {
		level = pyMaybeRun
	}
	for _, n := range files {
		i := s.sel.index[n]
		if tool := p.tool(i); tool != "" && tool != from.tool && !s.used[i] && !p.mayTake(from, firm, i) {
			continue
		}
		p.reach(n, level, Reason{Rule: "import", Text: text, From: from.path})
	}
}

// family keeps all modules in a package of which one is imported by a computed
// name. A distribution is whole in any case.
func (p *python) family(from *pyFrom, r pyRef) {
	if from.level < pyApp && !from.standard {
		return
	}
	text := "could be imported by " + from.place + " (" + strings.Repeat(".", r.level) + r.name + ".…)"
	if r.level > 0 && r.names[0] != "" {
		r.name, r.level = strings.TrimSuffix(r.names[0]+"."+r.name, "."), 0
	}
	for _, f := range p.find(from, r) {
		if r.name != "" && f.depth <= strings.Count(r.name, ".") {
			continue
		}
		p.take(from, false, f.files, text)
		for _, dir := range f.dirs {
			folder := p.folder(dir)
			for _, c := range dir.Children() {
				name, _, _ := strings.Cut(c.Name(), ".")
				if folder[name] == nil || p.s.surplus(p.s.sel.index[c]) {
					continue
				}
				files, _ := p.step([]*rootfs.Node{dir}, name, p.tagOf(from))
				p.take(from, false, files, text)
			}
		}
	}
}

// literal keeps what a string names, if it is a module or something in one. A
// single word counts in the application only, and there for no module of the
// standard library: "email", "code" and "test" are words.
func (p *python) literal(from *pyFrom, r pyRef) {
	s := p.s
	if len(p.groups[r.name]) > 0 {
		p.followRef(from, pyRef{kind: pyGroup, name: r.name})
	}
	name, _, attr := strings.Cut(r.name, ":")
	dots := strings.Count(name, ".")
	text := "named in " + from.place + " (" + r.name + ")"
	for _, f := range p.find(from, pyRef{name: name}) {
		if len(f.last) == 0 {
			continue
		}
		last := s.sel.index[f.last[len(f.last)-1]]
		standard := p.libOf[s.unitOf[last]] != nil
		switch {
		case from.standard && !p.isKin(from, last, name): // _compat_pickle has the names of all
		case dots == 0 && !attr && (from.level < pyApp || standard || p.tool(last) != ""):
		case f.depth == 1 && dots > 0 && from.level == pyPart:
		case f.depth < dots: // of "a.b.c.d" c is a class, d its attribute
			if from.level < pyApp {
				continue
			}
			fallthrough
		default:
			named := *from
			if from.level < pyApp && s.unitOf[last] != nil && p.distOf[s.unitOf[last]] != from.dist {
				named.level = pyPart // one of many that it knows
			}
			p.take(&named, false, f.files, text)
		}
	}
}

// isKin reports whether a module of the standard library is in the same package as
// the source that names it.
func (p *python) isKin(from *pyFrom, i int, name string) bool {
	l := p.libOf[p.s.unitOf[i]]
	first, _, _ := strings.Cut(name, ".")
	return l != nil && strings.HasPrefix(from.path, join(p.s.path(l.dir), first)+"/")
}

// pathEntry takes a folder that a source puts on sys.path for one of the
// application's: relative to the source, or to the working directory.
func (p *python) pathEntry(from *pyFrom, name string) {
	if from.level < pyApp {
		return
	}
	for _, dir := range []string{name, path.Dir(from.path) + "/" + name, rooted(p.s.cfg.WorkingDir) + "/" + name} {
		if strings.HasPrefix(dir, "/") {
			if n, _, err := p.s.fs.Resolve(dir); err == nil && p.hasModules(n) && p.addRoot(path.Clean(dir), from) {
				return
			}
		}
	}
}

// hasModules reports whether a folder that is not the system's holds modules.
func (p *python) hasModules(n *rootfs.Node) bool {
	if !n.Inode().IsDir() || isSystem(p.s.path(n)) {
		return false
	}
	for _, m := range p.folder(n) {
		if len(m.files) > 0 {
			return true
		}
		if dir := p.follow(m.dir); dir != nil && p.folder(dir)["__init__"] != nil {
			return true
		}
	}
	return false
}

// maxPyRoots bounds the folders that sources name, for each of which the application's
// sources are followed again.
const maxPyRoots = 100

// addRoot makes a folder one where the application's modules are looked for; false if
// there is none.
func (p *python) addRoot(dir string, from *pyFrom) bool {
	s := p.s
	n, links, err := s.fs.Resolve(dir)
	if err != nil || !n.Inode().IsDir() || n.Parent() == nil || len(p.roots) >= maxPyRoots {
		return false
	}
	if slices.Contains(p.roots, n) {
		return true
	}
	why := Reason{Rule: "named", Text: "folder of Python modules, named in " + from.place, From: from.path}
	s.keepLinks(links, dir, why)
	s.keep(n, why)
	p.roots = append(p.roots, n)
	for _, i := range p.order {
		if p.files[i].level == pyApp {
			p.queue = append(p.queue, i)
		}
	}
	return true
}
