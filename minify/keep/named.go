package keep

import (
	"fmt"
	"path"
	"strings"

	"slim/probe/rootfs"
)

// isApplication reports whether entry i is the application's: no unit has it, and it
// is neither a library or program where the system has its own, in an image without
// records of packages, nor one of the files that the system writes for itself.
func (s *selector) isApplication(i int) bool {
	if s.unitOf[i] != nil || isHard(s.category[i]) {
		return false
	}
	if n := s.sel.Entries[i].Node; s.elf.file(n.Inode()) != nil && s.isOfSystem(n) {
		return false
	}
	p := s.paths[i]
	for dir := s.sel.Entries[i].Node.Parent(); dir != nil; dir = dir.Parent() {
		if s.trees.isLanguage(dir, s.path(dir)) {
			return false
		}
	}
	if rest, ok := strings.CutPrefix(p, "/etc/"); ok {
		return !systemState[rest] && !strings.HasPrefix(rest, "alternatives/") && !strings.HasPrefix(rest, "ssl/") && !strings.HasPrefix(rest, "pam.d/")
	}
	return true
}

// systemState are files of /etc that no package lists and the system's tools
// write: what they name is not named by the application.
var systemState = set(`passwd passwd- group group- shadow shadow- gshadow gshadow- shells subuid subuid- subgid subgid-
	ld.so.cache ld.so.conf hosts hostname resolv.conf mtab fstab nsswitch.conf environment machine-id localtime timezone
	adduser.conf debconf.conf os-release issue profile login.defs motd networks inittab securetty services protocols
	default/useradd ca-certificates.conf .pwd.lock`)

// named is the rule on used files of the application: the paths of the tree that
// they name are needed. (Configuration in /etc is followed whoever owns it.)
func (s *selector) named(i int) {
	if !s.isApplication(i) {
		return
	}
	n := s.sel.Entries[i].Node
	binary := s.elf.file(n.Inode()) != nil
	for _, name := range s.namesIn(n) {
		s.useName(n, name, binary)
	}
	for _, name := range s.foldersIn(n) {
		if i := s.sel.index[name.node]; !s.unnameable(i) && s.trees.isFolderOf(name.node) {
			why := Reason{Rule: "named", Text: "where " + s.path(n) + " names a file to be made", From: s.path(n)}
			if name.line > 0 {
				why.Text = fmt.Sprintf("where %s:%d names a file to be made", s.path(n), name.line)
			}
			s.keep(name.node, why)
		}
	}
	if !binary {
		s.relative(n)
	}
}

// isOfSystem reports whether an ELF file that no unit has is the system's all the
// same, by where it lies: its data is followed by namedBySystem, and the programs that
// it names are not the application's to start. In /usr/local/bin and the like
// images install programs of their own.
func (s *selector) isOfSystem(n *rootfs.Node) bool {
	return !s.isEntry(n) && (s.isLoaderFolder(n.Parent()) || isSystemPrograms(s.path(n.Parent())))
}

// useName keeps what one name in the content of n leads to.
func (s *selector) useName(n *rootfs.Node, name pathName, binary bool) {
	i := s.sel.index[name.node]
	place := s.path(n)
	if name.line > 0 {
		place = fmt.Sprintf("%s:%d", place, name.line)
	}
	end := s.paths[i]
	if s.unnameable(i) || name.node == n {
		return
	}
	why := Reason{Rule: "named", Text: "named in " + place, From: s.path(n)}
	if name.node.Inode().IsDir() {
		if s.trees.isFolderOf(name.node) {
			why.Text = "in " + name.path + ", which is named in " + place
			s.keepLinksTo(name.path, why)
			s.namedFolder(name.node, why)
		}
		return
	}
	if !name.node.Inode().IsRegular() {
		s.keepNamed(end, why)
		return
	}
	if isExecutable(name.node) && s.isProgram(name.node) {
		// A language's runtime names the shell for those who ask for one, and so does a
		// C library.
		if !binary || !strings.Contains(n.Name(), ".so") && !(s.category[i] == Shell && isInterpreter(n.Name())) {
			s.commander.run(n, place, name.path, path.Base(name.path))
		}
		return
	}
	if u := s.unitOf[i]; u != nil && !binary {
		s.touch(u, "whose "+name.node.Name()+" is named in "+place, s.path(n))
	}
	if binary && s.unitOf[i] != nil {
		s.keepLinksTo(name.path, why)
		s.keep(name.node, why)
		return
	}
	s.usePath(name.path, why)
}

// isProgram reports whether an executable file is one that can be run.
func (s *selector) isProgram(n *rootfs.Node) bool {
	if f := s.elf.file(n.Inode()); f != nil {
		return f.interp != "" || !strings.Contains(n.Name(), ".so")
	}
	return s.isScript(n)
}

func isInterpreter(name string) bool {
	stem := strings.TrimRight(name, "0123456789.-")
	for _, known := range interpreters {
		if name == known || stem == strings.TrimRight(known, "0123456789") {
			return true
		}
	}
	return strings.HasPrefix(stem, "php") || stem == "deno" || stem == "bun"
}

// unnameable reports whether to name entry i says nothing: what is not of the image,
// what comes and goes, and kinds that no program needs.
func (s *selector) unnameable(i int) bool {
	for n := s.sel.Entries[i].Node; n != nil; n = n.Parent() {
		if isVolatile(s.path(n)) {
			return true
		}
	}
	switch s.category[i] {
	case Shell:
		return !isExecutable(s.sel.Entries[i].Node)
	case PackageManager, Toolchain, VersionControl:
		// As programs they can be meant; their data cannot.
		return !isExecutable(s.sel.Entries[i].Node)
	}
	return isHard(s.category[i])
}

// isFolderOf reports whether a folder can be meant as a whole.
func (t *trees) isFolderOf(n *rootfs.Node) bool {
	p := t.s.path(n)
	if isContainer(p) || t.s.surplus(t.s.sel.index[n]) {
		return false
	}
	for dir := n; dir != nil; dir = dir.Parent() {
		if t.isLanguage(dir, t.s.path(dir)) {
			return false
		}
	}
	return true
}

// namedFolder keeps all in a folder that is named: what is the application's as its
// trees are kept, and of what packages own there, all that is no surplus.
func (s *selector) namedFolder(n *rootfs.Node, why Reason) {
	s.trees.keep(n, why)
	s.owned(n, why)
}

func (s *selector) owned(dir *rootfs.Node, why Reason) {
	for _, c := range dir.Children() {
		i := s.sel.index[c]
		switch {
		case s.surplus(i):
		case s.category[i] == Locale && s.category[s.sel.index[dir]] != Locale:
		case c.Inode().IsDir():
			s.owned(c, why)
		case s.unitOf[i] != nil:
			s.keep(c, why)
		}
	}
}

// keepLinksTo keeps the links on the way along p.
func (s *selector) keepLinksTo(p string, why Reason) {
	if _, links, err := s.fs.Resolve(p); err == nil {
		s.keepLinks(links, p, why)
	}
}

// relative keeps the files that strings of a source name from the folder it is
// in, the working directory or the top of its tree, where they were left out as
// being of a kind that no program needs: what is named is needed.
func (s *selector) relative(n *rootfs.Node) {
	b := s.readText(n)
	if !isText(b) || len(b) > 1<<20 {
		return
	}
	x := languageOf(n.Name(), b)
	if x == nil {
		return
	}
	bases := []*rootfs.Node{n.Parent()}
	if wd, _, err := s.fs.Resolve(rooted(s.cfg.WorkingDir)); err == nil && wd != n.Parent() {
		bases = append(bases, wd)
	}
	if root := s.trees.rootOf(n); root != nil && root != n.Parent() {
		bases = append(bases, root)
	}
	for _, t := range x.tokens(b) {
		if t.kind != stringToken || t.hole || len(t.text) < 2 || len(t.text) > 1024 || t.text[0] == '/' || strings.ContainsAny(t.text, "\n<>*?") {
			continue
		}
		for _, base := range bases {
			if s.relativeTo(n, base, t) {
				break
			}
		}
	}
}

// relativeTo keeps what the string t of n names from base; false if that is nothing.
func (s *selector) relativeTo(n, base *rootfs.Node, t token) bool {
	first, _, _ := strings.Cut(t.text, "/")
	if first != "." && first != ".." && base.Child(first) == nil {
		return false
	}
	end, _, err := s.fs.ResolveFrom(base, t.text)
	if err != nil || end == n {
		return false
	}
	i := s.sel.index[end]
	if s.sel.Entries[i].Kept && (s.used[i] || !end.Inode().IsRegular()) || s.unitOf[i] != nil || isHard(s.category[i]) || s.unnameable(i) {
		return true
	}
	why := Reason{Rule: "named", Text: fmt.Sprintf("named in %s:%d (%s)", s.path(n), t.line, firstLine(t.text)), From: s.path(n)}
	switch {
	case end.Inode().IsDir():
		if !within(n, end) && s.category[i] != Tests && s.trees.isFolderOf(end) || s.category[i] == Documentation && strings.Contains(t.text, "/") {
			s.namedFolder(end, why)
		}
	case appFiles.match("x/"+end.Name(), end.Name()) != nil && (s.category[i] == Secrets || s.category[i] == EditorFiles):
	default:
		s.use(end, why)
	}
	return true
}

// rootOf is the tree that n lies in, nil if it is in none.
func (t *trees) rootOf(n *rootfs.Node) *rootfs.Node {
	for dir := n.Parent(); dir != nil; dir = dir.Parent() {
		if t.isRoot[dir] {
			return dir
		}
	}
	return nil
}
