package keep

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"slim/probe/record"
	"slim/probe/rootfs"
)

// nodeRules are what is known of Node's modules in the tree. A module is a folder
// directly in a node_modules or in a @scope there, and a folder elsewhere that a
// link there leads to (a workspace, a file: dependency). npm, yarn and pnpm differ
// in links alone, which are followed as Node does.
type nodeRules struct {
	modules   map[*rootfs.Node]*nodeModule // by folder
	units     map[*unit]*nodeModule
	manifests map[*rootfs.Node]*nodeManifest // by folder, as they are read
	libraries []*rootfs.Node                 // folders of modules beside any node_modules: Debian's, NODE_PATH

	running    *elfFile // the first Node that is used; nil while none is
	started    bool
	waiting    []int   // sources used before that
	idle       []*unit // modules completed before that, without their dependencies
	typescript bool    // the run read .ts sources
	types      bool    // the run read .d.ts
	maps       bool    // Node is told to read source maps
	traced     bool    // there was a run
	apps       map[*rootfs.Node]bool
	mapped     map[*rootfs.Node]bool // folders whose source maps are kept
	followed   map[int]bool          // sources whose imports were followed, by entry; true: strongly
}

// A nodeModule is one installed copy of a package.
type nodeModule struct {
	unit *unit
	dir  *rootfs.Node
	// partly says that the module is a package manager's or one of those that the
	// system shares among its programs: completed by what its used files import, not
	// as a whole, unless an application asks for it.
	partly, whole bool
}

// detectNode finds the modules and makes each a unit.
func (s *selector) detectNode() {
	r := &nodeRules{
		modules: make(map[*rootfs.Node]*nodeModule), units: make(map[*unit]*nodeModule),
		manifests: make(map[*rootfs.Node]*nodeManifest),
		apps:      make(map[*rootfs.Node]bool), mapped: make(map[*rootfs.Node]bool), followed: make(map[int]bool),
		traced: len(s.trace.Accesses) > 0,
	}
	r.maps = strings.Contains(strings.Join(slices.Concat([]string{s.env("NODE_OPTIONS", "")},
		s.cfg.Entrypoint, s.cfg.Cmd, s.opts.Entrypoint, s.opts.Command), " "), "--enable-source-maps")
	s.node = r
	r.findLibraries(s)
	library := make(map[*rootfs.Node]bool)
	for _, dir := range r.libraries {
		library[dir] = true
	}
	var links []*rootfs.Node
	of := make(map[*rootfs.Node]*nodeModule) // of each folder in a module
	for i, e := range s.sel.Entries {
		n, dir := e.Node, e.Node.Parent()
		switch {
		case dir == nil:
			continue
		case isModulesFolder(dir) || library[dir] && n.Inode().IsDir():
			switch {
			case n.Inode().IsSymlink():
				links = append(links, n)
			case n.Inode().IsDir() && isModuleName(n):
				r.add(n, dir, of[dir], library[dir])
			}
		case isModulesFolder(dir.Parent()) && strings.HasPrefix(dir.Name(), "@"):
			if n.Inode().IsSymlink() {
				links = append(links, n)
			} else if n.Inode().IsDir() {
				r.add(n, dir, of[dir.Parent()], library[dir.Parent()])
			}
		}
		m := r.modules[n]
		if m == nil && n.Name() != "node_modules" {
			m = of[dir]
		}
		if m == nil {
			continue
		}
		if n.Inode().IsDir() {
			of[n] = m
		}
		s.own(i, m.unit)
	}
	for _, n := range links {
		r.addLinked(s, n)
	}
}

// findLibraries lists the folders where Node looks last: those of NODE_PATH, and
// those that Debian builds into it.
func (r *nodeRules) findLibraries(s *selector) {
	dirs := []string{"/usr/share/nodejs", "/usr/lib/nodejs"}
	for _, triplet := range s.elf.triplets("/usr/lib") {
		dirs = append(dirs, "/usr/lib/"+triplet+"/nodejs")
	}
	for dir := range strings.SplitSeq(s.env("NODE_PATH", ""), ":") {
		if dir != "" {
			dirs = append(dirs, s.absolute(dir))
		}
	}
	for _, dir := range dirs {
		if n, _, err := s.fs.Resolve(dir); err == nil && n.Inode().IsDir() {
			r.libraries = append(r.libraries, n)
		}
	}
}

func isModulesFolder(n *rootfs.Node) bool { return n != nil && n.Name() == "node_modules" }

// isModuleName reports whether a folder of node_modules is a module: not a scope,
// nor what package managers keep there for themselves. Prisma generates .prisma.
func isModuleName(n *rootfs.Node) bool {
	switch name := n.Name(); name[0] {
	case '@':
		return false
	case '.':
		return name == ".prisma"
	}
	return true
}

// add makes the folder n a module; parent is the module that it lies in.
func (r *nodeRules) add(n, dir *rootfs.Node, parent *nodeModule, library bool) *nodeModule {
	name := n.Name()
	if strings.HasPrefix(dir.Name(), "@") {
		name = dir.Name() + "/" + name
	}
	u := &unit{kind: "Node module", name: name, complete: (*selector).completeNode}
	m := &nodeModule{unit: u, dir: n}
	m.partly = library || nodeManagers[name] || parent != nil && parent.partly
	r.modules[n], r.units[u] = m, m
	return m
}

// nodeManagers are programs for development that an image starts with ("npm
// start") and uses a small part of.
var nodeManagers = set("npm yarn pnpm corepack npx")

// addLinked makes a module of the folder that a link in node_modules leads to,
// unless it is one already or holds the link itself.
func (r *nodeRules) addLinked(s *selector, link *rootfs.Node) {
	n, _, err := s.fs.Resolve(s.path(link))
	if err != nil || !n.Inode().IsDir() || r.modules[n] != nil || n.Child("package.json") == nil {
		return
	}
	for dir := link.Parent(); dir != nil; dir = dir.Parent() {
		if dir == n {
			return
		}
	}
	m := r.add(n, link.Parent(), nil, false)
	m.unit.name = path.Base(s.path(link))
	if dir := link.Parent(); strings.HasPrefix(dir.Name(), "@") {
		m.unit.name = dir.Name() + "/" + m.unit.name
	}
	s.ownModule(m, n)
}

// ownModule makes all below dir part of m, but for modules in it.
func (s *selector) ownModule(m *nodeModule, dir *rootfs.Node) {
	for _, c := range dir.Children() {
		if c.Name() == "node_modules" || s.node.modules[c] != nil {
			continue
		}
		s.own(s.sel.index[c], m.unit)
		s.ownModule(m, c)
	}
}

// moduleOf is the module that entry i is a file of, nil for none.
func (s *selector) moduleOf(i int) *nodeModule { return s.node.units[s.unitOf[i]] }

// nodeFile is the rule on used files: the sources that Node runs are followed to
// what they import, once it is known that there is a Node that runs.
func (s *selector) nodeFile(i int) {
	r, n := s.node, s.sel.Entries[i].Node
	if isNodeRuntime(n) {
		s.nodeStarts(n)
		return
	}
	if n.Name() != "package.json" && !s.isNodeSource(n) {
		if s.moduleOf(i) != nil && s.elf.file(n.Inode()) != nil {
			// An addon or its libraries look where the system has fonts, say.
			for _, name := range s.namesIn(n) {
				s.followName(i, name)
			}
		}
		return
	}
	if !r.started {
		r.waiting = append(r.waiting, i)
		return
	}
	s.nodeSource(i)
}

func isNodeRuntime(n *rootfs.Node) bool {
	switch n.Name() {
	case "node", "nodejs", "bun", "deno":
		return n.Inode().Mode&0o111 != 0
	}
	return false
}

// nodeStarts follows what waited for Node to be used, and the modules that Debian
// takes out of the program: it reads them when a program first uses fetch, say.
func (s *selector) nodeStarts(n *rootfs.Node) {
	r := s.node
	if r.running == nil {
		r.running = s.elf.file(n.Inode())
	}
	if !r.started {
		r.started = true
		for _, a := range s.trace.Accesses {
			if a.Ops&record.Read != 0 && isTypeScript(a.Path) {
				isTypes := strings.Contains(path.Base(a.Path), ".d.")
				r.types = r.types || isTypes
				r.typescript = r.typescript || !isTypes
			}
		}
		for _, i := range r.waiting {
			s.nodeSource(i)
		}
		r.waiting = nil
		s.units = append(s.units, r.idle...)
		s.externalBuiltins(n)
	}
}

// externalBuiltins keeps the sources that Node was built to read from files
// (configure --shared-builtin-NAME-path): their paths stand in the program or in
// its library.
func (s *selector) externalBuiltins(n *rootfs.Node) {
	if len(s.node.libraries) == 0 {
		return
	}
	programs := []*rootfs.Node{n}
	if f := s.elf.file(n.Inode()); f != nil {
		for _, need := range f.needed {
			if strings.HasPrefix(need.name, "libnode.so") {
				for _, dir := range s.elf.triplets("/usr/lib") {
					if lib, _, err := s.fs.Resolve("/usr/lib/" + dir + "/" + need.name); err == nil {
						programs = append(programs, lib)
					}
				}
			}
		}
	}
	for _, n := range programs {
		for _, p := range s.stringsIn(n, "/usr/share/nodejs/") {
			if strings.HasSuffix(p, ".js") {
				s.usePath(p, Reason{Rule: "named", Text: "built-in module that " + s.path(n) + " reads from a file", From: s.path(n)})
			}
		}
	}
}

// stringsIn lists the NUL-terminated strings of a program that begin with prefix.
func (s *selector) stringsIn(n *rootfs.Node, prefix string) []string {
	var list []string
	content := s.fs.Content(n.Inode())
	buf := make([]byte, 1<<20)
	const overlap = 256
	for off := int64(0); off < n.Inode().Size; off += int64(len(buf)) - overlap {
		m, _ := content.ReadAt(buf, off)
		for b := buf[:m]; ; {
			i := bytes.Index(b, []byte(prefix))
			if i < 0 {
				break
			}
			b = b[i:]
			if end := bytes.IndexByte(b[:min(len(b), overlap)], 0); end >= 0 {
				list = append(list, string(b[:end]))
			}
			b = b[len(prefix):]
		}
	}
	return list
}

// isNodeSource reports whether Node can run a file: by its name, or a program
// without one whose "#!" names it.
func (s *selector) isNodeSource(n *rootfs.Node) bool {
	switch path.Ext(n.Name()) {
	case ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx":
		return true
	case "":
	default:
		return false
	}
	interpreter, arg, ok := s.shebang(n)
	return ok && (path.Base(interpreter) == "node" || strings.Contains(" "+arg, "node"))
}

// shebang is the "#!" line of a file.
func (s *selector) shebang(n *rootfs.Node) (interpreter, arg string, ok bool) {
	if !n.Inode().IsRegular() || n.Inode().Mode&0o111 == 0 {
		return "", "", false
	}
	head := make([]byte, min(maxShebang, n.Inode().Size))
	if _, err := s.fs.Content(n.Inode()).ReadAt(head, 0); err != nil {
		return "", "", false
	}
	return parseShebang(string(head))
}

func isTypeScript(name string) bool {
	switch path.Ext(name) {
	case ".ts", ".mts", ".cts", ".tsx":
		return true
	}
	return false
}

// nodeSource follows one used file. What an application's tree brought in only
// for being there does not decide which packages are needed: it may be the
// configuration of a tool.
func (s *selector) nodeSource(i int) {
	e := s.sel.Entries[i]
	m := s.moduleOf(i)
	weak := isWeak(e.Reason)
	switch {
	case e.Node.Name() == ".pnp.cjs" || e.Node.Name() == ".pnp.js":
		s.nodePnP(e.Node)
	case e.Node.Name() == "package.json":
		if m == nil && !weak {
			s.nodeApp(e.Node.Parent(), "")
		}
	case m == nil && !weak:
		s.follow(i, s.nodeScope(e))
	default:
		s.follow(i, m != nil)
	}
}

// isWeak reports whether a file is kept for where it lies, not for being run.
func isWeak(why Reason) bool {
	switch why.Rule {
	case "tree", "unit", "data", "parent", "license", "mount point":
		return true
	}
	return false
}

// nodeScope keeps what the package.json of an application's source asks for, and
// reports whether Node runs the source: a run then reads its package.json, and does
// not for one that is only served to a browser.
func (s *selector) nodeScope(e Entry) bool {
	for dir := e.Node.Parent(); dir != nil; dir = dir.Parent() {
		n := dir.Child("package.json")
		if n == nil {
			continue
		}
		if s.node.traced && e.Reason.Rule == "touched" && s.sel.Entries[s.sel.index[n]].Reason.Rule != "touched" {
			return false
		}
		s.nodeApp(dir, s.path(e.Node))
		if m := s.node.manifest(s, dir); m.name != "" || len(m.needs) > 0 {
			break
		}
	}
	return true
}

// nodeApp keeps the packages that an application's package.json asks for in
// production: what npm install --omit=dev would leave.
func (s *selector) nodeApp(dir *rootfs.Node, from string) {
	if s.node.apps[dir] || s.node.modules[dir] != nil {
		return
	}
	s.node.apps[dir] = true
	n := dir.Child("package.json")
	if n == nil {
		return
	}
	p := s.path(n)
	if from == "" {
		from = p
	}
	s.usePath(p, Reason{Rule: "import", Text: "names the packages of " + from, From: from})
	m := s.node.manifest(s, dir)
	for _, name := range m.needs {
		s.needModule(dir, name, "required by "+p, p, true)
	}
}

// needModule keeps the package that a source or package in dir gets by name.
func (s *selector) needModule(dir *rootfs.Node, name, cause, from string, whole bool) {
	n, p := s.findModule(dir, name)
	if n == nil || !s.node.suits(s, n) {
		return
	}
	s.keepWay(p, cause, from)
	m := s.node.modules[n]
	if m == nil {
		s.nodeApp(n, from)
		return
	}
	s.touchModule(m, cause, from, whole)
}

// touchModule touches a module; one that was completed in part only is completed
// again when the whole of it is asked for.
func (s *selector) touchModule(m *nodeModule, cause, from string, whole bool) {
	if whole && !m.whole {
		m.whole = true
		if m.unit.touched {
			s.units = append(s.units, m.unit)
		}
	}
	s.touch(m.unit, cause, from)
}

// keepWay keeps the links on the way to p.
func (s *selector) keepWay(p, cause, from string) {
	_, links, err := s.fs.Resolve(p)
	if err != nil {
		return
	}
	for _, l := range links {
		s.keep(l, Reason{Rule: "link", Text: fmt.Sprintf("on the way to %s, %s", p, cause), From: from})
	}
}

// suits reports whether a package is for this system: one that is not was
// installed for another and is never loaded.
func (r *nodeRules) suits(s *selector, dir *rootfs.Node) bool {
	m := r.manifest(s, dir)
	cpu, libc := r.machine(s)
	return nodeFits(m.system.os, "linux") && nodeFits(m.system.cpu, cpu) && nodeFits(m.system.libc, libc)
}
