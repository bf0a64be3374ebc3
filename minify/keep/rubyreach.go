package keep

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// rubyFile proposes the source at a path: with or without its extension.
func (s *selector) rubyFile(p string, why Reason) {
	for _, ext := range []string{"", ".rb", ".so"} {
		n, links, err := s.fs.Resolve(p + ext)
		if err == nil && n.Inode().IsRegular() {
			s.keepLinks(links, p+ext, why)
			s.use(n, why)
			return
		}
	}
}

// rubyFeature proposes what require finds: in the application's folders, the gem of the
// source, the libraries, and a gem that need not be used yet. It reports whether there
// is any.
func (s *selector) rubyFeature(from *rubyGem, app []*library, feature string, why Reason) bool {
	exts := []string{".rb", ".so"}
	stem := feature
	switch ext := path.Ext(feature); ext {
	case ".rb", ".so":
		stem, exts = strings.TrimSuffix(feature, ext), []string{ext}
	}
	for _, l := range app {
		for _, ext := range exts {
			if s.useFrom(l, stem+ext, why) {
				return true
			}
		}
	}
	key := feature
	if from != nil {
		key += "\x00" + from.full
	}
	if found, ok := s.langs.sought[key]; ok {
		return found
	}
	found := false
	for _, ext := range exts {
		if found = s.rubyFound(from, app != nil, stem+ext, why); found {
			break
		}
	}
	s.langs.sought[key] = found
	return found
}

// rubyFound proposes the file that a feature is found in: in the libraries and, of
// the gems that have it, the source's own, one that is touched, or the newest, which
// RubyGems takes before a default gem's. Where the run used one, that alone.
func (s *selector) rubyFound(from *rubyGem, app bool, rel string, why Reason) bool {
	top, _, _ := strings.Cut(strings.TrimSuffix(rel, path.Ext(rel)), "/")
	var std *library
	var best *rubyGem
	var stdFile, file *rootfs.Node
	for _, root := range s.langs.roots[top] {
		n, _, err := s.fs.ResolveFrom(root.node, rel)
		if err != nil || !n.Inode().IsRegular() {
			continue
		}
		switch g := root.gem; {
		case g == nil:
			if std == nil {
				std, stdFile = root.lib, n
			}
		case g == from:
			s.use(n, why)
			return true
		case best == nil, g.unit.touched && !best.unit.touched, g.unit.touched == best.unit.touched && g.name == best.name && compareVersions(g.version, best.version) > 0:
			best, file = g, n
		}
	}
	if best != nil && !best.unit.touched && !app && (devGems[best.name] || s.langs.locked != nil && !s.langs.locked[best.name]) {
		best = nil
	}
	if std != nil && best != nil {
		switch inStd, inGem := s.used[s.sel.index[stdFile]], s.used[s.sel.index[file]]; {
		case inStd && !inGem:
			best = nil
		case inGem && !inStd:
			std = nil
		}
	}
	if std != nil {
		s.useFrom(std, rel, why)
	}
	if best != nil {
		s.use(file, why)
		s.touch(best.unit, "of which "+s.path(file)+" is "+why.Text, why.From)
	}
	return std != nil || best != nil
}

// rubyAppLibs are the folders that an application's source may require from
// besides the load path: what it adds with $LOAD_PATH or -I by habit; nil for sources of
// gems and libraries.
func (s *selector) rubyAppLibs(n *rootfs.Node, gem *rubyGem, lib *library) []*library {
	if gem != nil || lib != nil {
		return nil
	}
	dir := n.Parent()
	if libs, ok := s.langs.rubyApps[dir]; ok {
		return libs
	}
	libs := slices.Clone(s.langs.appRuby)
	add := func(dir string) {
		if !isSystem(dir) {
			for _, sub := range []string{"", "lib", "app", "vendor"} {
				libs = s.addLibrary(libs, "Ruby library", path.Join(dir, sub))
			}
		}
	}
	for d := dir; d != nil; d = d.Parent() {
		add(s.path(d))
	}
	add(path.Clean(s.absolute("")))
	for p := range strings.SplitSeq(s.env("RUBYLIB", ""), ":") {
		if strings.HasPrefix(p, "/") {
			libs = s.addLibrary(libs, "Ruby library", p)
		}
	}
	if libs == nil {
		libs = []*library{}
	}
	s.langs.rubyApps[dir] = libs
	return libs
}

// rubyPrefix keeps what a name may lead to that is only made up in part when the
// program runs: require "digest/#{name}".
func (s *selector) rubyPrefix(n *rootfs.Node, r naming, p string) {
	why := importReason(p, r)
	dir, base := path.Split(r.name)
	keep := func(dir *rootfs.Node) {
		for _, c := range children(dir) {
			if ext := path.Ext(c.Name()); strings.HasPrefix(c.Name(), base) && (ext == ".rb" || ext == ".so") {
				s.use(c, why)
			}
		}
	}
	if rel, ok := strings.CutPrefix(dir, "./"); ok {
		if d, _, err := s.fs.ResolveFrom(n.Parent(), rel); err == nil {
			keep(d)
		}
		return
	}
	if strings.HasPrefix(r.name, "/") || isGemManager("/"+r.name) {
		return
	}
	for _, l := range s.langs.inUse {
		if d, _, err := s.fs.ResolveFrom(l.node, path.Clean(dir)); err == nil && d.Inode().IsDir() && d != l.node {
			keep(d)
		}
	}
}

// rubyData keeps the data in the folder of a used module's name, and beside it in
// a folder of a library.
func (s *selector) rubyData(n *rootfs.Node, p string) {
	why := Reason{Rule: "data", Text: "data beside " + p + ", which is used", From: p}
	var keep func(dir *rootfs.Node)
	keep = func(dir *rootfs.Node) {
		if s.langs.beside[dir] || s.langs.lib[dir] != nil {
			return
		}
		s.langs.beside[dir] = true
		for _, c := range dir.Children() {
			if c.Inode().IsDir() {
				keep(c)
				continue
			}
			if ext := path.Ext(c.Name()); ext != ".rb" && ext != ".so" && !s.surplus(s.sel.index[c]) {
				s.use(c, why)
			}
		}
	}
	if dir := n.Parent().Child(strings.TrimSuffix(n.Name(), ".rb")); dir != nil && dir.Inode().IsDir() {
		switch dir.Name() {
		case "rubygems", "bundler", "rdoc", "irb":
		default:
			keep(dir)
		}
	}
}

// featuresInObject are the strings in a compiled part that may be what it requires
// (rb_require): "psych/syntax_error". Without a slash they could be anything.
func featuresInObject(b []byte) []string {
	var list []string
	for i := 0; i < len(b); {
		n := bytes.IndexByte(b[i:], '/')
		if n < 0 {
			break
		}
		start, end := i+n, i+n+1
		for start > 0 && isFeatureByte(b[start-1]) {
			start--
		}
		for end < len(b) && (isFeatureByte(b[end]) || b[end] == '/' || b[end] == '.') {
			end++
		}
		if start < i+n && start > 0 && b[start-1] == 0 && end < len(b) && b[end] == 0 && end-start < 100 {
			list = append(list, string(b[start:end]))
		}
		i = end
	}
	return list
}

func isFeatureByte(c byte) bool { return 'a' <= c && c <= 'z' || isDigit(c) || c == '_' || c == '-' }
