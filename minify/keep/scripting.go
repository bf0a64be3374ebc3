package keep

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"slim/probe/rootfs"
)

// Perl, Ruby and PHP load their modules as sources, by names in sources. What is
// the same for the three is here: which file is of which language, when a language
// is used at all, and libraries of which each file is decided alone.

// A dialect is one of these languages. Its rules act once its interpreter is used:
// an image without a need for Perl may hold a thousand of its files.
type dialect struct {
	name string
	// started is called once, when the interpreter is used; why tells of it.
	started func(s *selector, i int)
	// source follows what a used source names.
	source func(s *selector, i int)

	used    bool
	waiting []int // sources that were used before the interpreter was
}

// scripting are the dialects of one selection, and what their rules know.
type scripting struct {
	perl dialect
	ruby dialect
	php  dialect

	perlRules
	rubyRules
	phpRules
}

func newScripting() *scripting {
	return &scripting{
		perl: dialect{name: "perl", started: (*selector).perlStarted, source: (*selector).perlSource},
		ruby: dialect{name: "ruby", started: (*selector).rubyStarted, source: (*selector).rubySource},
		php:  dialect{name: "php", started: (*selector).phpStarted, source: (*selector).phpSource},
	}
}

// scriptLibraries detects what these languages' package managers own.
func (s *selector) scriptLibraries() {
	s.findPerl()
	s.findRuby()
	s.findPHP()
}

// scripted is the rule on used files of these languages and their interpreters.
func (s *selector) scripted(i int) {
	if d := s.interpreted(i); d != nil {
		if !d.used {
			d.used = true
			d.started(s, i)
			for _, j := range d.waiting {
				d.source(s, j)
			}
			d.waiting = nil
		}
		return
	}
	d := s.dialectOf(i)
	switch {
	case d == nil:
	case d.used:
		d.source(s, i)
	default:
		d.waiting = append(d.waiting, i)
	}
}

// keptSource is the rule on kept names: a source that is kept since something names
// its folder will be loaded, so what it names is needed too.
func (s *selector) keptSource(i int) {
	e := s.sel.Entries[i]
	if s.used[i] || e.Reason.Rule != "named" || !e.Node.Inode().IsRegular() {
		return
	}
	switch dialectExtensions[path.Ext(e.Node.Name())] {
	case "perl", "ruby", "php":
		s.use(e.Node, e.Reason)
	}
}

// interpreted is the dialect that a program or library runs, by its name; nil for
// other files.
func (s *selector) interpreted(i int) *dialect {
	name := s.sel.Entries[i].Node.Name()
	if strings.HasPrefix(name, "lib") {
		if stem, _, ok := strings.Cut(name, ".so"); ok {
			return s.dialectNamed(strings.TrimPrefix(strings.TrimRight(stem, "-0123456789."), "lib"))
		}
		return nil
	}
	switch s.sel.Entries[i].Node.Parent().Name() {
	case "bin", "sbin":
		return s.dialectNamed(interpreterName(name))
	}
	return nil
}

func (s *selector) dialectNamed(name string) *dialect {
	switch name {
	case "perl":
		return &s.langs.perl
	case "ruby":
		return &s.langs.ruby
	case "php", "php-fpm", "php-cgi", "phpdbg", "frankenphp":
		return &s.langs.php
	}
	return nil
}

// interpreterName is the name of an interpreter's program without version and target: "php-fpm8.2",
// "perl5.36-x86_64-linux-gnu", "ruby3.1".
func interpreterName(name string) string {
	if n := strings.IndexAny(name, "0123456789"); n > 0 {
		name = name[:n]
	}
	return strings.TrimRight(name, "-")
}

// dialectExtensions are those of sources.
var dialectExtensions = map[string]string{
	".pl": "perl", ".pm": "perl", ".al": "perl", ".ph": "perl", ".psgi": "perl", ".cgi": "", ".fcgi": "",
	".rb": "ruby", ".ru": "ruby", ".rake": "ruby", ".erb": "ruby",
	".php": "php", ".phtml": "php", ".inc": "php", ".ini": "php", ".conf": "php", ".lock": "ruby", ".locked": "ruby",
}

// dialectOf is the dialect of a source, by its extension or else its "#!" line; nil
// for all else.
func (s *selector) dialectOf(i int) *dialect {
	n := s.sel.Entries[i].Node
	ext := path.Ext(n.Name())
	if ext == ".so" && (s.langs.gemOf[s.unitOf[i]] != nil || s.rubyLibraryOf(n) != nil) {
		return &s.langs.ruby
	}
	if d := dialectExtensions[ext]; d != "" {
		return s.dialectNamed(d)
	}
	switch n.Name() {
	case "Gemfile", "gems.rb", "Rakefile":
		return &s.langs.ruby
	}
	if inode := n.Inode(); ext == "" || inode.Mode&0o111 != 0 || ext == ".cgi" || ext == ".fcgi" {
		head := make([]byte, min(maxShebang, inode.Size))
		if _, err := s.fs.Content(inode).ReadAt(head, 0); err != nil {
			return nil
		}
		return s.dialectNamed(shebangLanguage(string(head)))
	}
	return nil
}

// shebangLanguage is the name of the interpreter in a script's first lines:
// what "#!" names, what env runs there, or what a shell is told to run in its place
// ("exec perl -x", as old starters do).
func shebangLanguage(head string) string {
	interpreter, arg, ok := parseShebang(head)
	if !ok {
		return ""
	}
	name := path.Base(interpreter)
	if name == "env" {
		name = path.Base(envProgram(arg))
	}
	name = interpreterName(name)
	if name == "sh" || name == "bash" || name == "dash" {
		for _, p := range []string{"perl", "ruby", "php"} {
			if strings.Contains(head, "exec "+p+" ") {
				return p
			}
		}
	}
	return name
}

// A library is a folder of modules that programs load one by one, so that each of
// its files is decided alone: the standard library of a language, a site's own.
type library struct {
	path  string
	node  *rootfs.Node
	links []*rootfs.Node // on the way to it
	unit  *unit
	kept  bool // links
}

// newLibrary is the library in the folder that p leads to; nil if there is none.
func (s *selector) newLibrary(kind, p string) *library {
	n, links, err := s.fs.Resolve(p)
	if err != nil || !n.Inode().IsDir() || n.Parent() == nil {
		return nil
	}
	return &library{path: s.path(n), node: n, links: links, unit: &unit{kind: kind, name: s.path(n)}}
}

// govern gives the files below the libraries that are of no package to them, each
// to the nearest. Those of packages stay theirs: packages complete nothing in
// folders of languages.
func (s *selector) govern(libs []*library) {
	if len(libs) == 0 {
		return
	}
	root := make(map[*rootfs.Node]*unit, len(libs))
	for _, l := range libs {
		root[l.node] = l.unit
	}
	for _, l := range libs {
		s.governBelow(l.node, l.unit, root)
	}
}

func (s *selector) governBelow(dir *rootfs.Node, u *unit, root map[*rootfs.Node]*unit) {
	for _, n := range dir.Children() {
		i := s.sel.index[n]
		if n.Inode().IsDir() {
			if root[n] == nil {
				s.governBelow(n, u, root)
			}
			continue
		}
		if s.unitOf[i] == nil {
			s.own(i, u)
		}
	}
}

// useFrom proposes what rel leads to in a library, and reports whether it is there.
func (s *selector) useFrom(l *library, rel string, why Reason) bool {
	n, links, err := s.fs.ResolveFrom(l.node, rel)
	if err != nil || !n.Inode().IsRegular() {
		return false
	}
	if !l.kept {
		l.kept = true
		for _, link := range l.links {
			s.keep(link, Reason{Rule: "link", Text: "on the way to " + l.path, From: l.path})
		}
	}
	for _, link := range links {
		s.keep(link, why)
	}
	s.use(n, why)
	return true
}

// A naming is a place in a source that names something to load.
type naming struct {
	name string
	line int
	text string // as it stands there
	lazy bool   // of Ruby: not at the beginning of its line, so in a function or class
}

// importReason is the Reason of what the source at p names.
func importReason(p string, n naming) Reason {
	return Reason{Rule: "import", Text: fmt.Sprintf("imported by %s:%d (%s)", p, n.line, n.text), From: p}
}

// lineOf counts lines: of a position in text, given that of an earlier one.
type lineCounter struct {
	src  []byte
	pos  int
	line int
}

func (c *lineCounter) at(pos int) int {
	if pos > c.pos {
		c.line += bytes.Count(c.src[c.pos:pos], []byte("\n"))
		c.pos = pos
	}
	return c.line + 1
}

// files yields the regular files below dir, in order; stop says which folders to
// pass by.
func (s *selector) filesBelow(dir *rootfs.Node, stop func(*rootfs.Node) bool, do func(*rootfs.Node)) {
	for _, n := range dir.Children() {
		switch {
		case !n.Inode().IsDir():
			do(n)
		case stop == nil || !stop(n):
			s.filesBelow(n, stop, do)
		}
	}
}
