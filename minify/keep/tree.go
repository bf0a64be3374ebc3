package keep

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"slim/probe/record"
	"slim/probe/rootfs"
)

// trees knows the application's trees: what no package manager owns, around what
// the run used. A file that was used shows a tree; the tree is the smallest folder
// that holds all that was used below the same place for applications, and the
// working directory.
type trees struct {
	s      *selector
	roots  map[*rootfs.Node]*rootfs.Node // by the top folder they lie in
	live   map[*rootfs.Node]bool         // folders below which the run used a file
	read   map[string]bool               // extensions of files that were read
	done   map[*rootfs.Node]bool         // folders whose content was proposed
	isRoot map[*rootfs.Node]bool
	prefix map[*rootfs.Node]bool // whether a folder is an interpreter's own tree

	javascript bool // the run started a program for it on the server
}

func newTrees(s *selector) *trees {
	return &trees{
		s: s, roots: make(map[*rootfs.Node]*rootfs.Node), read: make(map[string]bool), live: make(map[*rootfs.Node]bool),
		done: make(map[*rootfs.Node]bool), isRoot: make(map[*rootfs.Node]bool), prefix: make(map[*rootfs.Node]bool),
		javascript: runsJavaScript(s.trace),
	}
}

// applicationTrees keeps the trees around what the run used and the config names.
func (s *selector) applicationTrees() {
	t := s.trees
	var seeds []*rootfs.Node
	for _, a := range s.trace.Accesses {
		n, err := s.fs.Lookup(a.Path)
		if err != nil || a.Helper {
			continue
		}
		switch used := a.Ops&(record.Read|record.Exec) != 0; {
		case used && n.Inode().IsRegular(), a.Ops&record.List != 0 && n.Inode().IsDir() && !s.packages.has(n):
			seeds = append(seeds, n)
		}
	}
	for i, e := range s.sel.Entries {
		if e.Reason.Rule == "config" && s.used[i] {
			seeds = append(seeds, e.Node)
		}
	}
	if len(s.trace.Accesses) == 0 && s.cfg.WorkingDir != "" {
		if n, _, err := s.fs.Resolve(rooted(s.cfg.WorkingDir)); err == nil && n.Inode().IsDir() {
			seeds = append(seeds, n)
		}
	}
	// Files first: they say more than a folder that was listed.
	slices.SortFunc(seeds, func(a, b *rootfs.Node) int {
		if a.Inode().IsDir() != b.Inode().IsDir() {
			return cmp.Compare(b.Inode().Type(), a.Inode().Type())
		}
		return cmp.Compare(s.sel.index[a], s.sel.index[b])
	})
	t.grow(seeds)
}

// tree is the rule on used files that came by a command, or by name and can be
// run: they show their application, too. What is only data is not more than it.
func (s *selector) tree(i int) {
	e := s.sel.Entries[i]
	switch name := e.Node.Name(); {
	case e.Reason.Rule == "command", e.Reason.Rule == "named" && (isExecutable(e.Node) || languages[path.Ext(name)] != nil || isShellScript(name, nil)):
		s.trees.grow([]*rootfs.Node{e.Node})
	}
}

// grow makes the trees hold the seeds, and keeps what is in them.
func (t *trees) grow(seeds []*rootfs.Node) {
	var tops []*rootfs.Node
	from := make(map[*rootfs.Node]*rootfs.Node)
	for _, n := range seeds {
		if t.s.unitOf[t.s.sel.index[n]] != nil && n.Inode().IsRegular() {
			continue
		}
		if n.Inode().IsRegular() {
			t.read[path.Ext(n.Name())] = true
			for dir := n.Parent(); dir != nil && !t.live[dir]; dir = dir.Parent() {
				t.live[dir] = true
			}
		}
		dir, top := t.place(n)
		if dir == nil {
			continue
		}
		if from[top] == nil {
			from[top] = n
			tops = append(tops, top)
		}
		if root := t.roots[top]; root == nil {
			t.roots[top] = t.withWorkingDir(dir, top)
		} else {
			t.roots[top] = common(root, dir)
		}
	}
	for _, top := range tops {
		root := t.roots[top]
		t.isRoot[root] = true
		used := t.s.path(from[top])
		text := "part of the application in " + t.s.path(root) + ", of which " + used + " is used"
		if t.s.packages.has(root) {
			text = "in " + t.s.path(root) + " like " + used + ", which is used and no package's either"
		}
		t.keep(root, Reason{Rule: "tree", Text: text, From: used})
	}
}

// place is where a used name belongs: its folder within an application, and the
// topmost folder that can be the application's. Of what is used in a cache or the
// like, such as a program in a build's target folder, the place is where that lies.
// Both are nil where a name shows no application.
func (t *trees) place(n *rootfs.Node) (dir, top *rootfs.Node) {
	dir = n
	if !n.Inode().IsDir() {
		dir = n.Parent()
	}
	var chain []*rootfs.Node // from the top down
	for d := dir; d != nil; d = d.Parent() {
		chain = append(chain, d)
	}
	slices.Reverse(chain)
	for k, d := range chain {
		p := t.s.path(d)
		switch {
		case isVolatile(p) || t.isLanguage(d, p):
			return nil, nil
		case p == "/usr/share/doc" || p == "/usr/share/man" || p == "/usr/share/info":
			return nil, nil
		case k > 0 && isHard(t.s.category[t.s.sel.index[d]]):
			if top == nil {
				return nil, nil
			}
			return chain[k-1], top
		case top == nil && !isContainer(p):
			top = d
		}
	}
	if top != nil {
		// A program in bin is one with what lies beside bin.
		for dir != top && binaryFolders[dir.Name()] {
			dir = dir.Parent()
		}
		return dir, top
	}
	if p := t.s.path(dir); n.Inode().IsRegular() && (p == "/usr/local/bin" || p == "/usr/local/sbin") {
		t.scriptsBeside(n, dir)
		return nil, nil
	}
	if !n.Inode().IsRegular() || !isPlace(t.s.path(dir)) || isHard(t.s.category[t.s.sel.index[n]]) {
		return nil, nil
	}
	if t.s.path(dir) != "/" && rooted(t.s.cfg.WorkingDir) == t.s.path(dir) {
		return dir, dir
	}
	t.beside(n, dir)
	return nil, nil
}

// withWorkingDir is the smallest folder that holds dir and the working directory,
// if that is in the same place.
func (t *trees) withWorkingDir(dir, top *rootfs.Node) *rootfs.Node {
	wd, _, err := t.s.fs.Resolve(rooted(t.s.cfg.WorkingDir))
	if err != nil || !wd.Inode().IsDir() || !within(wd, top) {
		return dir
	}
	return common(dir, wd)
}

// beside keeps what lies beside an application's file in a place that is not the
// application's own ("/server" beside "/config.json" and "/templates"): files
// and, of the folders, those that the file names.
func (t *trees) beside(n, dir *rootfs.Node) {
	why := Reason{Rule: "tree", Text: "beside " + t.s.path(n) + ", which is used", From: t.s.path(n)}
	for _, c := range dir.Children() {
		i := t.s.sel.index[c]
		switch {
		case strings.HasPrefix(c.Name(), ".") || t.s.unitOf[i] != nil:
		case c.Inode().IsRegular():
			if t.junkFile(c, c.Name()) == "" {
				t.s.use(c, why)
			}
		case c.Inode().IsDir():
			p := t.s.paths[i]
			if isContainer(p) || isVolatile(p) || t.isLanguage(c, p) || t.junkFolder(c, c.Name()) != "" {
				continue
			}
			if t.s.names.contains(n, c.Name()) {
				t.keep(c, Reason{Rule: "tree", Text: "beside " + t.s.path(n) + ", which names it", From: t.s.path(n)})
			}
		}
	}
}

// scriptsBeside keeps the other scripts that an image put beside one of its own that
// is used: the entrypoint's siblings, which people run in the container. A program
// there says nothing of its neighbours.
func (t *trees) scriptsBeside(n, dir *rootfs.Node) {
	if !t.s.isScript(n) {
		return
	}
	for _, c := range dir.Children() {
		i := t.s.sel.index[c]
		if c.Inode().IsRegular() && isExecutable(c) && t.s.unitOf[i] == nil && t.s.category[i] == "" && t.junkFile(c, c.Name()) == "" && t.s.isScript(c) {
			t.s.use(c, Reason{Rule: "tree", Text: "script beside " + t.s.path(n) + ", which is used", From: t.s.path(n)})
		}
	}
}

// keep proposes what a folder of an application holds, but for what is another's
// and what no program needs.
func (t *trees) keep(root *rootfs.Node, why Reason) {
	t.s.keep(root, why)
	t.below(root, "", why)
}

func (t *trees) below(dir *rootfs.Node, rel string, why Reason) {
	if t.done[dir] {
		return
	}
	t.done[dir] = true
	build := isBuildFolder(dir)
	for _, c := range dir.Children() {
		i := t.s.sel.index[c]
		rel := path.Join(rel, c.Name())
		var junk Category
		switch inode := c.Inode(); {
		case inode.IsDir():
			junk = t.junkFolder(c, rel)
			switch p := t.s.paths[i]; {
			case t.isLanguage(c, p) || isContainer(p) || t.isOthers(i):
			case junk == Logs || junk == Temporary:
				// The program expects the folders, not what it once put there.
				t.folders(c, why)
			case junk != "" && (isHard(junk) || !t.live[c]):
			case build && !t.live[c], !t.live[c] && t.isSourceFolder(c):
				junk = Sources
			default:
				t.s.keep(c, why)
				t.below(c, rel, why)
				continue
			}
			t.mark(c, junk)
		case t.s.unitOf[i] != nil:
			continue
		case inode.IsRegular():
			if junk = t.junkFile(c, rel); junk == "" && build && isArchive(c.Name()) {
				junk = Other
			}
			if junk == "" {
				t.s.use(c, why)
				continue
			}
		default:
			t.link(c, why)
			continue
		}
		if t.s.category[i] == "" && junk != Other {
			t.s.category[i] = junk
		}
		if junk == Sources {
			t.s.commander.source(c)
		}
	}
}

// isOthers reports whether a folder is a unit of a language's package manager. (One
// of a system's package may have the application in it.)
func (t *trees) isOthers(i int) bool {
	u := t.s.unitOf[i]
	return u != nil && t.s.packages.unitOf[u] == nil
}

// link keeps a link of an application, what it leads to for use, and what is in
// the folder at its end, if that can be the application's.
func (t *trees) link(n *rootfs.Node, why Reason) {
	if end := t.s.names.end(n); end != nil && end != n && t.s.packages.has(n.Parent()) && t.s.packages.has(end) {
		return // from a package's folder to a package's file: /etc/ssl/certs, /etc/alternatives
	}
	t.s.keep(n, why)
	if !n.Inode().IsSymlink() {
		return
	}
	end := t.s.usePath(t.s.path(n), why)
	if end == nil || !end.Inode().IsDir() {
		return
	}
	if p := t.s.path(end); !isContainer(p) && !isVolatile(p) && !t.isLanguage(end, p) && !isHard(t.s.category[t.s.sel.index[end]]) {
		t.below(end, "", why)
	}
}

// mark gives all in a folder the category that the folder has in its tree.
func (t *trees) mark(dir *rootfs.Node, c Category) {
	for _, n := range dir.Children() {
		i := t.s.sel.index[n]
		if t.s.category[i] == "" && t.s.unitOf[i] == nil && c != Other {
			t.s.category[i] = c
		}
		if c == Sources && n.Inode().IsRegular() {
			t.s.commander.source(n)
		}
		t.mark(n, c)
	}
}

// folders keeps the folders below dir, and itself, without what is in them.
func (t *trees) folders(dir *rootfs.Node, why Reason) {
	t.s.keep(dir, why)
	for _, c := range dir.Children() {
		if c.Inode().IsDir() {
			t.folders(c, why)
		}
	}
}

// common is the lowest folder that holds both.
func common(a, b *rootfs.Node) *rootfs.Node {
	for !within(b, a) {
		a = a.Parent()
	}
	return a
}

// within reports whether n is dir or below it.
func within(n, dir *rootfs.Node) bool {
	for ; n != nil; n = n.Parent() {
		if n == dir {
			return true
		}
	}
	return false
}

// isContainer reports whether a folder holds what is of several origins, so that
// what lies in it is not one thing.
func isContainer(p string) bool {
	switch p {
	case "/go", "/go/src", "/go/bin", "/usr/local/src", "/etc/opt", "/run/secrets", "/etc/alternatives":
		return true
	}
	return isSystem(p) || path.Dir(p) == "/home" || path.Dir(p) == "/go/src"
}

// isPlace reports whether a container is one in which images put applications
// without a folder of their own.
func isPlace(p string) bool {
	switch p {
	case "/", "/opt", "/srv", "/root", "/home", "/mnt", "/media", "/usr/src", "/go", "/usr/local/src":
		return true
	}
	return path.Dir(p) == "/home"
}

// isVolatile reports whether a folder is one for what comes and goes.
func isVolatile(p string) bool {
	switch p {
	case "/dev", "/proc", "/sys", "/run", "/tmp", "/boot", "/var/tmp", "/var/run", "/var/lock", "/var/log", "/var/cache", "/var/backups":
		return true
	}
	return false
}

// isHard reports whether nothing of a category is kept for being beside what is
// used, whatever was used of it.
func isHard(c Category) bool {
	switch c {
	case VersionControl, Cache, PackageManager, Toolchain, DebugSymbols, Headers, StaticLibrary, Shell, Secrets, EditorFiles, CoreDump:
		return true
	}
	return false
}

// isLanguage reports whether a folder is a language's own: its modules and
// libraries, or the tree in which an interpreter or compiler is installed. What is
// needed of those the languages' own rules know.
func (t *trees) isLanguage(n *rootfs.Node, p string) bool {
	name := n.Name()
	switch name {
	case "node_modules", "site-packages", "dist-packages":
		return true
	}
	if is, ok := t.prefix[n]; ok {
		return is
	}
	is := t.isPrefix(n, p)
	if !is && isLibraries(path.Dir(p)) {
		stem := strings.TrimRight(name, "0123456789.-")
		is = languageStems[stem] || languageStems[name]
		if base, _, cut := strings.Cut(name, "-"); cut && languageStems[base] {
			is = true
		}
	}
	t.prefix[n] = is
	return is
}

// isLibraries reports whether languages put their modules into folders of a folder.
func isLibraries(p string) bool {
	switch path.Base(p) {
	case "lib", "lib64", "libexec", "share":
		return true
	}
	return p == "/usr/local" || strings.Contains(p, "/lib/") && isSystem(p)
}

// isPrefix reports whether something that runs or makes programs is installed in
// a folder of its own, a Python environment among them.
func (t *trees) isPrefix(n *rootfs.Node, p string) bool {
	if isContainer(p) || p == "/usr" || p == "/usr/local" {
		return false
	}
	if n.Child("pyvenv.cfg") != nil {
		return true
	}
	bin := n.Child("bin")
	if bin == nil || n.Child("lib") == nil && n.Child("pkg") == nil {
		return false
	}
	for _, name := range interpreters {
		if bin.Child(name) != nil {
			return true
		}
	}
	return false
}

var (
	interpreters  = strings.Fields("python3 python java node ruby perl php go rustc erl lua R julia ghc dart pypy3")
	languageStems = set(`python pypy ruby perl perl5 php jvm java node nodejs go golang rustlib cargo rustup R lua erlang
		elixir ocaml ghc gcc tcl tcltk guile julia mono dotnet gems gem rubygems bundle`)
	binaryFolders = set("bin sbin lib libexec")
)
