package keep

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"slim/probe/rootfs"
)

// findModule finds the folder of the package that Node gives a file in dir for a
// name (nodejs.org, Modules: Loading from node_modules folders), links resolved,
// and the path that leads there; nil if there is none.
func (s *selector) findModule(dir *rootfs.Node, name string) (n *rootfs.Node, p string) {
	for ; dir != nil; dir = dir.Parent() {
		if isModulesFolder(dir) || dir.Child("node_modules") == nil {
			continue
		}
		if n, p := s.folderIn(dir, "node_modules/"+name); n != nil {
			return n, p
		}
	}
	for _, dir := range s.node.libraries {
		if n, p := s.folderIn(dir, name); n != nil {
			return n, p
		}
	}
	return nil, ""
}

func (s *selector) folderIn(dir *rootfs.Node, p string) (*rootfs.Node, string) {
	if n, _, err := s.fs.ResolveFrom(dir, p); err == nil && n.Inode().IsDir() {
		return n, join(s.path(dir), p)
	}
	return nil, ""
}

// nodeExtensions are what is tried behind a path: Node's, those of its ES modules,
// and those of the loaders of TypeScript.
var nodeExtensions = []string{"", ".js", ".json", ".node", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".jsx"}

// findFile finds the file that a relative path stands for: itself, with an
// extension, the package or index of a folder; nil if there is none. In TypeScript
// "./x.js" can stand for x.ts.
func (s *selector) findFile(dir *rootfs.Node, spec string) *rootfs.Node {
	for range 8 { // main of a folder may name a folder
		n := s.pathIn(dir, spec)
		switch {
		case n == nil:
			if ext := path.Ext(spec); strings.HasSuffix(ext, "js") {
				return s.pathIn(dir, strings.TrimSuffix(spec, ext)+strings.Replace(ext, "js", "ts", 1))
			}
			return nil
		case !n.Inode().IsDir():
			return n
		}
		dir, spec = n, "index"
		if m := s.node.manifest(s, dir); len(m.main) > 0 && s.pathIn(dir, m.main[0]) != nil {
			spec = m.main[0]
		}
		if spec == "index" && s.pathIn(dir, "index.js") == nil && s.pathIn(dir, spec) == nil {
			return nil
		}
	}
	return nil
}

// pathIn is what is at a path in dir, with an extension if need be; a file before
// a folder of the same name, as Node has it.
func (s *selector) pathIn(dir *rootfs.Node, spec string) *rootfs.Node {
	parent, name := path.Split(spec)
	if parent != "" && parent != "./" {
		n, _, err := s.fs.ResolveFrom(dir, parent)
		if err != nil {
			return nil
		}
		dir = n
	}
	if !dir.Inode().IsDir() {
		return nil
	}
	if name == "" || name == "." || name == ".." {
		n, _, err := s.fs.ResolveFrom(dir, "./"+name)
		if err != nil {
			return nil
		}
		return n
	}
	var folder *rootfs.Node
	for _, ext := range nodeExtensions {
		n := dir.Child(name + ext)
		if n == nil {
			continue
		}
		end := n
		if n.Inode().IsSymlink() {
			var err error
			if end, _, err = s.fs.ResolveFrom(dir, name+ext); err != nil {
				continue
			}
		}
		if end.Inode().IsRegular() {
			return n // the link, which leads on to the file
		}
		if end.Inode().IsDir() && folder == nil {
			folder = end
		}
	}
	return folder
}

// nodeBuiltins are the modules of Node itself (module.builtinModules), which come
// before a package of their name.
var nodeBuiltins = set(`assert async_hooks buffer child_process cluster console constants crypto dgram
	diagnostics_channel dns domain events fs http http2 https inspector module net os path perf_hooks process
	punycode querystring readline repl stream string_decoder sys timers tls trace_events tty url util v8 vm wasi
	worker_threads zlib`)

// isBuiltin reports whether Node answers for a name itself.
func isBuiltin(spec string) bool {
	name, rest, slash := strings.Cut(spec, "/")
	return strings.Contains(spec, ":") || nodeBuiltins[name] && (!slash || rest != "")
}

// follow keeps what entry i, a source, imports and names; strong says that it runs,
// so that the packages it asks for are needed whoever lists them.
func (s *selector) follow(i int, strong bool) {
	r := s.node
	for stack := []int{i}; len(stack) > 0; {
		i, stack = stack[len(stack)-1], stack[:len(stack)-1]
		if before, ok := r.followed[i]; ok && (before || !strong) {
			continue
		}
		r.followed[i] = strong
		s.sourceMaps(i, strong)
		src := s.readText(s.sel.Entries[i].Node)
		for _, imp := range jsImports(src) {
			for _, n := range s.imported(i, src, imp, strong) {
				// An application's own, kept before for where it lies.
				if j := s.sel.index[n]; strong && s.moduleOf(i) == nil && s.moduleOf(j) == nil && s.isNodeSource(n) {
					s.nodeScope(s.sel.Entries[j])
					stack = append(stack, j)
				}
			}
		}
	}
}

// sourceMaps keeps the source maps of an application's source, and of those beside
// and below it, where Node is told to read them for what it says of errors.
func (s *selector) sourceMaps(i int, strong bool) {
	n, r := s.sel.Entries[i].Node, s.node
	if !r.maps || !strong || s.moduleOf(i) != nil || r.mapped[n.Parent()] || n.Parent().Child(n.Name()+".map") == nil {
		return
	}
	r.mapped[n.Parent()] = true
	s.walkAssets(n.Parent(), func(c *rootfs.Node) {
		if stem, ok := strings.CutSuffix(c.Name(), ".map"); ok && c.Parent().Child(stem) != nil {
			s.use(c, Reason{Rule: "data", Text: "source map like that of " + s.paths[i] + ", which Node is told to use (--enable-source-maps)", From: s.paths[i]})
		}
	})
}

// imported keeps what one import leads to, and returns its files of the source's
// own tree.
func (s *selector) imported(i int, src []byte, imp jsImport, strong bool) []*rootfs.Node {
	dir := s.sel.Entries[i].Node.Parent()
	spec := imp.spec
	if path.IsAbs(spec) || strings.ContainsAny(spec, "\x00\n") {
		return nil
	}
	why := func() Reason {
		rule, verb := "import", "imported"
		if imp.asset {
			rule, verb = "named", "named"
		}
		line := 1 + bytes.Count(src[:imp.offset], []byte("\n"))
		return Reason{Rule: rule, Text: fmt.Sprintf("%s by %s:%d (%q)", verb, s.paths[i], line, spec), From: s.paths[i]}
	}
	var found []*rootfs.Node
	m := s.moduleOf(i)
	folders := m == nil || !m.partly || m.whole // a package manager has a command in each file
	switch {
	case imp.loose:
		if m == nil && strong {
			found = s.folderOfApp(dir, spec)
		}
	case imp.prefix && (imp.asset || isRelative(spec)):
		if folders {
			found = s.begunBy(dir, spec, imp.asset)
		}
	case imp.asset || isRelative(spec):
		n := s.findFile(dir, spec)
		if n != nil {
			found = []*rootfs.Node{n}
		} else if imp.asset && folders {
			found = s.begunBy(dir, spec+"/", true)
		}
	case !isBuiltin(spec) && !strings.HasPrefix(spec, "#"):
		s.importPackage(i, spec, imp.prefix, strong, why)
	}
	for _, n := range found {
		if !s.used[s.sel.index[n]] {
			s.use(n, why())
		}
	}
	return found
}

func isRelative(spec string) bool {
	return spec == "." || spec == ".." || strings.HasPrefix(spec, "./") || strings.HasPrefix(spec, "../")
}

// begunBy lists the files whose path begins with a relative spec, which the
// program goes on to complete: those that can be imported, or all for an asset.
// Nothing where that would be the folder of the source itself or one above it, or
// one that belongs to something else.
func (s *selector) begunBy(dir *rootfs.Node, spec string, asset bool) []*rootfs.Node {
	parent, name := path.Split(spec)
	start, _, err := s.fs.ResolveFrom(dir, "./"+parent)
	if err != nil || !start.Inode().IsDir() {
		return nil
	}
	for d := dir; asset && name == "" && d != nil; d = d.Parent() {
		if d == start {
			return nil
		}
	}
	if owner := s.unitOf[s.sel.index[start]]; owner != nil && s.node.units[owner] == nil {
		return nil
	}
	var found []*rootfs.Node
	walk := s.walkModule
	if asset {
		walk = s.walkAssets
	}
	visit := func(n *rootfs.Node) {
		if asset || s.isNodeSource(n) && !isDeclaration(n.Name()) || path.Ext(n.Name()) == ".json" || path.Ext(n.Name()) == ".node" {
			found = append(found, n)
		}
	}
	for _, c := range start.Children() {
		switch {
		case !strings.HasPrefix(c.Name(), name) || c.Name() == "node_modules":
		case c.Inode().IsDir():
			walk(c, visit)
		default:
			visit(c)
		}
	}
	return found
}

// walkAssets visits what lies below a folder that a program names.
func (s *selector) walkAssets(dir *rootfs.Node, visit func(*rootfs.Node)) {
	for _, c := range dir.Children() {
		switch {
		case !c.Inode().IsDir():
			visit(c)
		case c.Name() != "node_modules" && !isHard(s.category[s.sel.index[c]]):
			s.walkAssets(c, visit)
		}
	}
}

// folderOfApp lists what is in a folder that a source of an application names,
// beside the source or beside a package.json above it.
func (s *selector) folderOfApp(dir *rootfs.Node, spec string) []*rootfs.Node {
	for ; dir != nil && !isSystem(s.path(dir)); dir = dir.Parent() {
		if found := s.begunBy(dir, spec, true); len(found) > 0 || dir.Child("package.json") != nil {
			return found
		}
	}
	return nil
}

// importPackage keeps a package that a source imports by name. One of a module's
// sources can ask only for what its package.json lists: the rest is tried and done without
// where development needs it, and npm would not install it.
func (s *selector) importPackage(i int, spec string, prefix, strong bool, why func() Reason) {
	name, subpath := splitSpecifier(spec)
	if prefix && subpath == "" && !strings.HasSuffix(spec, "/") || !isNodePackage(name) {
		return
	}
	from, dir := s.moduleOf(i), s.sel.Entries[i].Node.Parent()
	whole := from == nil || !from.partly || from.whole
	switch {
	case from == nil && !strong:
		return
	case from != nil && whole && !strings.HasPrefix(name, ".") && !s.node.lists(s, from, name):
		return
	}
	n, p := s.findModule(dir, name)
	if n == nil || !s.node.suits(s, n) {
		return
	}
	m := s.node.modules[n]
	if from == nil || !whole || m != nil && !m.unit.touched {
		reason := why()
		s.keepWay(p, reason.Text, reason.From)
		if m == nil {
			s.nodeApp(n, s.paths[i])
		} else {
			s.touchModule(m, reason.Text, reason.From, whole)
		}
	}
	if prefix || m != nil && (!m.partly || m.whole) && subpath == "" {
		return // the module's completion has it
	}
	for _, target := range s.node.manifest(s, n).targets(subpath) {
		if f := s.findFile(n, target); f != nil && !s.used[s.sel.index[f]] {
			s.use(f, why())
		}
	}
}

// lists reports whether a module's package.json asks for a package.
func (r *nodeRules) lists(s *selector, m *nodeModule, name string) bool {
	for _, need := range r.manifest(s, m.dir).needs {
		if need == name {
			return true
		}
	}
	return false
}
