package keep

import (
	"path"
	"strings"

	"slim/probe/rootfs"
)

// unicodeReaders are the modules that read the tables in unicore by name.
var unicodeReaders = set("Unicode::UCD")

// perlSource follows what a used source names. What it loads by a name that is not
// there to read is looked for where such names lead by habit: below the module's
// own, below a prefix that stands there, and among the strings of the source.
func (s *selector) perlSource(i int) {
	n := s.sel.Entries[i].Node
	text := s.readText(n)
	if text == nil {
		return
	}
	src := scanPerl(text)
	p := s.paths[i]
	lib, self := s.perlSelf(i)
	var app []*library
	if lib == nil {
		app = s.perlAppLibs(n)
	}
	for _, dir := range src.libs {
		app = s.addLibrary(app, "Perl library", dir)
	}
	for _, m := range src.modules {
		s.perlModule(app, m.name, importReason(p, m))
	}
	for _, f := range src.files {
		s.perlFile(app, n, f, p)
	}
	dynamic := src.dynamic.line != 0
	if lib == nil || dynamic {
		// An application names its plugins where it configures them.
		for _, w := range src.words {
			s.perlModule(app, w.name, importReason(p, w))
		}
	}
	if dynamic {
		s.perlDynamic(app, src, self, p)
	}
	if lib != nil {
		s.perlParts(lib, self, p)
	}
}

// perlSelf is the library that a source is in and its name as a module.
func (s *selector) perlSelf(i int) (*library, string) {
	l := s.perlLibrary(s.sel.Entries[i].Node)
	if l == nil {
		return nil, ""
	}
	rel := strings.TrimPrefix(s.paths[i], l.path+"/")
	return l, strings.ReplaceAll(strings.TrimSuffix(rel, path.Ext(rel)), "/", "::")
}

// perlModule proposes the module of a name: the first file in @INC.
func (s *selector) perlModule(app []*library, name string, why Reason) {
	if len(app) == 0 {
		if s.langs.done[name] {
			return
		}
		s.langs.done[name] = true
	}
	rel := strings.ReplaceAll(name, "::", "/") + ".pm"
	for _, l := range s.perlLibs(app) {
		if s.useFrom(l, rel, why) {
			break
		}
	}
	if unicodeReaders[name] {
		s.unicore(why)
	}
}

// perlFile proposes what require "x.pl" and do "x.pl" name: from @INC, or from the folder
// of the source or the working directory.
func (s *selector) perlFile(app []*library, source *rootfs.Node, f naming, p string) {
	why := importReason(p, f)
	if strings.HasPrefix(f.name, "/") {
		s.usePath(f.name, why)
		return
	}
	for _, l := range s.perlLibs(app) {
		if s.useFrom(l, strings.TrimPrefix(f.name, "./"), why) {
			return
		}
	}
	for _, dir := range []string{path.Dir(s.path(source)), s.absolute("")} {
		if n := s.at(path.Join(dir, f.name)); n != nil && n.Inode().IsRegular() {
			s.use(n, why)
			return
		}
	}
}

// perlAppLibs are the folders that a source in none of perl's libraries may find
// modules in: its own and those above it as far as they are no folder of the
// system, their lib, and those of the working directory and PERL5LIB.
func (s *selector) perlAppLibs(n *rootfs.Node) []*library {
	dir := n.Parent()
	if libs, ok := s.langs.appLibs[dir]; ok {
		return libs
	}
	var libs []*library
	add := func(dir string) {
		if !isSystem(dir) {
			for _, sub := range []string{"lib", "", "local/lib/perl5", "perl", "perl5"} {
				libs = s.addLibrary(libs, "Perl library", path.Join(dir, sub))
			}
		}
	}
	for d := dir; d != nil; d = d.Parent() {
		add(s.path(d))
	}
	if wd := s.absolute(""); !isSystem(path.Clean(wd)) {
		add(path.Clean(wd))
	}
	for p := range strings.SplitSeq(s.env("PERL5LIB", ""), ":") {
		if strings.HasPrefix(p, "/") {
			libs = s.addLibrary(libs, "Perl library", p)
		}
	}
	s.langs.appLibs[dir] = libs
	return libs
}

// perlDynamic keeps what a source may load by a name made up when it runs.
func (s *selector) perlDynamic(app []*library, src *perlSource, self, p string) {
	d := src.dynamic
	keep := func(name string, d naming) {
		why := Reason{Rule: "import", Text: importReason(p, d).Text + ", which loads modules by name", From: p}
		why.Text = strings.Replace(why.Text, "imported by", "below "+name+", as in", 1)
		for _, l := range s.perlLibs(app) {
			s.perlSubtree(l, strings.ReplaceAll(name, "::", "/"), why)
		}
	}
	if self != "" {
		keep(self, d)
	}
	for _, prefix := range src.prefixes {
		keep(prefix.name, prefix)
	}
	// 'Plack::Middleware' in Plack/Builder.pm is a name space of Plack's.
	family, _, _ := strings.Cut(self, "::")
	for _, w := range src.words {
		if self != "" && strings.HasPrefix(w.name, family+"::") {
			keep(w.name, w)
		}
	}
}

// perlSubtree keeps the modules in a folder of a library, and what is with them.
func (s *selector) perlSubtree(l *library, rel string, why Reason) {
	dir, _, err := s.fs.ResolveFrom(l.node, rel)
	if err != nil || !dir.Inode().IsDir() || s.langs.subtrees[dir] || dir == l.node {
		return
	}
	s.langs.subtrees[dir] = true
	s.filesBelow(dir, nil, func(n *rootfs.Node) {
		i := s.sel.index[n]
		if s.surplus(i) || path.Ext(n.Name()) == ".pod" {
			return
		}
		// Debian has some modules twice; the first in @INC is found.
		rel := strings.TrimPrefix(s.paths[i], l.path+"/")
		for _, before := range s.langs.inc {
			if before == l {
				break
			}
			if _, _, err := s.fs.ResolveFrom(before.node, rel); err == nil {
				return
			}
		}
		s.use(n, why)
	})
}

// perlParts keeps what belongs to a used module beside its source: in auto/ the
// shared object and AutoLoader's functions, data for File::ShareDir, and other data in the
// folders of its name.
func (s *selector) perlParts(lib *library, self, p string) {
	rel := strings.ReplaceAll(self, "::", "/")
	why := Reason{Rule: "data", Text: "part of the Perl module " + self + ", which is " + p, From: p}
	dash := strings.ReplaceAll(self, "::", "-")
	for _, l := range s.perlLibs(nil) {
		if dir, _, err := s.fs.ResolveFrom(l.node, "auto/"+rel); err == nil {
			for _, n := range dir.Children() {
				if name := n.Name(); !n.Inode().IsDir() && name != ".packlist" && !s.surplus(s.sel.index[n]) {
					s.use(n, why)
				}
			}
		}
		s.perlShare(l, "dist/"+dash, why)
		s.perlShare(l, "module/"+dash, why)
	}
	s.perlData(lib, rel, why)
	if dir := path.Dir(rel); dir != "." {
		if n, _, err := s.fs.ResolveFrom(lib.node, dir); err == nil {
			s.perlDataIn(n, false, why)
		}
	}
}

// perlShare keeps the files that File::ShareDir finds, sources among them.
func (s *selector) perlShare(l *library, rel string, why Reason) {
	dir, _, err := s.fs.ResolveFrom(l.node, "auto/share/"+rel)
	if err != nil || !dir.Inode().IsDir() || s.langs.subtrees[dir] {
		return
	}
	s.langs.subtrees[dir] = true
	s.filesBelow(dir, nil, func(n *rootfs.Node) {
		if !s.surplus(s.sel.index[n]) {
			s.use(n, why)
		}
	})
}

// perlData keeps the data below a folder of a library.
func (s *selector) perlData(l *library, rel string, why Reason) {
	if n, _, err := s.fs.ResolveFrom(l.node, rel); err == nil && n.Inode().IsDir() && n != l.node {
		s.perlDataIn(n, true, why)
	}
}

// hasPerlModules reports whether there is a module below a folder.
func hasPerlModules(dir *rootfs.Node) bool {
	for _, n := range dir.Children() {
		if n.Inode().IsDir() && hasPerlModules(n) || path.Ext(n.Name()) == ".pm" {
			return true
		}
	}
	return false
}

// perlDataIn keeps the files of a folder that are no sources: of those below it all,
// or else those in folders without any module.
func (s *selector) perlDataIn(dir *rootfs.Node, below bool, why Reason) {
	if done, ok := s.langs.data[dir]; ok && (done || !below) {
		return
	}
	s.langs.data[dir] = below
	for _, n := range dir.Children() {
		if n.Inode().IsDir() {
			if below || !hasPerlModules(n) {
				s.perlDataIn(n, true, why)
			}
			continue
		}
		switch path.Ext(n.Name()) {
		case ".pm", ".pl", ".pod", ".al", ".ix", ".packlist":
			continue
		}
		if !s.surplus(s.sel.index[n]) {
			s.use(n, why)
		}
	}
}
