package keep

import (
	"path"
	"strings"

	"slim/probe/rootfs"
)

// javaRules are what is known of Java in the tree: its run-time environments and
// the archives that programs load.
type javaRules struct {
	homes   map[*rootfs.Node]*javaHome
	units   map[*unit]*javaHome
	started bool // some Java is used
	waiting []int
	read    map[*rootfs.Inode]bool // archives whose manifest was followed
	display bool                   // there is a screen to draw on
}

// A javaHome is an installed JDK or JRE: of which, once Java runs, the part is
// kept that programs need when they run.
type javaHome struct {
	unit    *unit
	dir     *rootfs.Node
	runs    bool // its java or its libjvm.so is used
	traced  bool
	virtual map[*rootfs.Node]bool // folders of virtual machines that the run used
}

// detectJava finds the homes and makes each a unit. A home has lib/modules (JEP
// 220) or, until Java 8, lib/rt.jar, there in a folder jre of a JDK.
func (s *selector) detectJava() {
	r := &javaRules{
		homes: make(map[*rootfs.Node]*javaHome), units: make(map[*unit]*javaHome), read: make(map[*rootfs.Inode]bool),
		display: s.env("DISPLAY", "") != "",
	}
	s.java = r
	for _, e := range s.sel.Entries {
		n := e.Node
		if name := n.Name(); name != "modules" && name != "rt.jar" || !n.Inode().IsRegular() {
			continue
		}
		lib := n.Parent()
		if lib.Name() != "lib" || lib.Parent() == nil {
			continue
		}
		dir := lib.Parent()
		if dir.Name() == "jre" && dir.Parent().Child("lib") != nil {
			dir = dir.Parent()
		}
		p := s.path(dir)
		if r.homes[dir] != nil || isSystem(p) || child(dir, "bin/java") == nil && child(dir, "jre/bin/java") == nil && child(dir, "lib/server/libjvm.so") == nil {
			continue
		}
		h := &javaHome{dir: dir, unit: &unit{kind: "Java run-time environment", name: p, complete: (*selector).completeJava}}
		h.traced = len(s.trace.Accesses) > 0
		r.homes[dir], r.units[h.unit] = h, h
		s.below(dir, func(n *rootfs.Node) { s.own(s.sel.index[n], h.unit) })
	}
}

// child is what is at a path below a folder, without links; nil if there is none.
func child(n *rootfs.Node, p string) *rootfs.Node {
	for name := range strings.SplitSeq(p, "/") {
		if n = n.Child(name); n == nil {
			return nil
		}
	}
	return n
}

// javaFile is the rule on used files: java itself, and the archives it loads.
func (s *selector) javaFile(i int) {
	r, n := s.java, s.sel.Entries[i].Node
	if h := r.units[s.unitOf[i]]; h != nil {
		if name := n.Name(); name == "libjvm.so" || name == "java" && n.Parent().Name() == "bin" {
			s.javaRuns(h, n)
		}
		return
	}
	if !isArchive(n.Name()) || path.Ext(n.Name()) == ".original" {
		return
	}
	if !r.started {
		r.waiting = append(r.waiting, i)
		return
	}
	s.javaArchive(i)
}

// javaRuns completes a home of which java is used, and follows what waited for that.
func (s *selector) javaRuns(h *javaHome, n *rootfs.Node) {
	if !h.runs {
		h.runs = true
		if h.unit.touched { // before, by another file of it
			s.units = append(s.units, h.unit)
		} else {
			s.touch(h.unit, "of which "+s.path(n)+" is used", s.path(n))
		}
	}
	if s.java.started {
		return
	}
	s.java.started = true
	for _, i := range s.java.waiting {
		s.javaArchive(i)
	}
	s.java.waiting = nil
	s.classPath()
	for _, p := range []string{"/etc/localtime", "/etc/timezone"} {
		if n, err := s.fs.Lookup(p); err == nil {
			s.keep(n, Reason{Rule: "data", Text: "default time zone of " + h.unit.String(), From: s.path(h.dir)})
		}
	}
	if home := s.env("JAVA_HOME", ""); home != "" {
		if end, links, err := s.fs.Resolve(home); err == nil {
			s.keepLinks(links, home, Reason{Rule: "config", Text: "JAVA_HOME"})
			s.keep(end, Reason{Rule: "config", Text: "JAVA_HOME"})
		}
	}
}

// completeJava keeps the run-time part of a home: no compiler and other tools,
// sources, headers or modules to link anew.
func (s *selector) completeJava(u *unit) {
	h := s.java.units[u]
	if !h.runs {
		return // somebody else's use of its certificates, say
	}
	h.virtual = make(map[*rootfs.Node]bool)
	for _, i := range u.files {
		if n := s.sel.Entries[i].Node; n.Name() == "libjvm.so" && s.used[i] {
			h.virtual[n.Parent()] = true
		}
	}
	if n := child(h.dir, "lib/server/libjvm.so"); n != nil && len(h.virtual) == 0 {
		h.virtual[n.Parent()] = true
	}
	for _, i := range u.files {
		n := s.sel.Entries[i].Node
		rel := strings.TrimPrefix(s.paths[i], s.path(h.dir)+"/")
		inner, isInner := strings.CutPrefix(rel, "jre/")
		if child(h.dir, "jre/lib/rt.jar") != nil && !isInner && strings.HasPrefix(rel, "lib/") {
			continue // the tools' own; what bin/java is linked with, that brings along
		}
		if isInner {
			rel = inner
		}
		if what := s.javaPart(h, n, rel); what != "" {
			if n.Inode().IsSymlink() {
				s.usePath(s.paths[i], u.why("unit", what))
			} else {
				s.use(n, u.why("unit", what))
			}
		}
	}
}

// javaPart says what a file of a home is to programs that run, "" if nothing. rel
// is its path in the home, or in the jre of one. The layout is that of JEP 220, and of
// Java 8 before.
func (s *selector) javaPart(h *javaHome, n *rootfs.Node, rel string) string {
	top, rest, inFolder := strings.Cut(rel, "/")
	switch {
	case !inFolder:
		switch {
		case rel == "release":
			return "version"
		case isLicense(rel) && !s.opts.NoLicenses:
			return "license"
		}
	case top == "bin" && rest == "java":
		return "launcher"
	case top == "conf":
		return "configuration"
	case top == "legal" && !s.opts.NoLicenses:
		return "license"
	case top == "lib" && s.isJavaLibrary(h, n, rest):
		return "part"
	}
	return ""
}

// javaTools are files and folders of lib that serve tools alone, or make starting
// faster where they are of the very virtual machine that runs (classes*.jsa: kept
// where the run read them).
var javaTools = newCategoryTable([]categoryRule{
	{Toolchain, `src.zip ct.sym jrt-fs.jar classlist libsaproc.so tools.jar dt.jar jconsole.jar sa-jdi.jar ant-javafx.jar
		javafx-mx.jar deploy.jar plugin.jar javaws.jar svm installer static missioncontrol visualvm desktop jar.binfmt`},
	{StaticLibrary, "*.a"},
	{DebugSymbols, "*.debuginfo *.diz"},
	{Other, "classes*.jsa"},
})

// javaScreen are the libraries for drawing on an X server.
var javaScreen = set("libawt_xawt.so libjawt.so libsplashscreen.so libatk-wrapper.so")

// isJavaLibrary reports whether a file of lib, at rest there, is one that programs
// need.
func (s *selector) isJavaLibrary(h *javaHome, n *rootfs.Node, rest string) bool {
	for d := n; d != h.dir; d = d.Parent() {
		if javaTools.match(s.path(d), d.Name()) != nil {
			// Without a run nobody knows which: the usual one.
			return n.Name() == "classes.jsa" && !h.traced
		}
	}
	if vm := n.Parent(); vm.Child("libjvm.so") != nil && len(h.virtual) > 0 && !h.virtual[vm] {
		return n.Name() != "libjvm.so" && !strings.HasSuffix(rest, ".so") // another virtual machine
	}
	if javaScreen[n.Name()] && !s.java.display {
		return false
	}
	return s.isLoadable(n)
}

// isLoadable reports whether all that a shared object is linked with is in the tree.
// What is no object can be read.
func (s *selector) isLoadable(n *rootfs.Node) bool {
	end, _, err := s.fs.Resolve(s.path(n))
	if err != nil || !end.Inode().IsRegular() {
		return false
	}
	if !strings.Contains(n.Name(), ".so") {
		return true
	}
	f := s.elf.file(end.Inode())
	if f == nil {
		return true
	}
	o := &object{node: end, file: f, path: s.path(end)}
	p := &process{linker: s.elf, main: o, names: make(map[string]bool), seen: make(map[*rootfs.Node]bool)}
	p.musl = s.elf.muslLoader(f)
	for _, need := range f.needed {
		if end.Parent().Child(need.name) != nil || p.musl != "" && isMusl(need.name) || need.name == "libjvm.so" {
			continue
		}
		if len(p.search(o, need.name)) == 0 {
			return false
		}
	}
	return true
}
