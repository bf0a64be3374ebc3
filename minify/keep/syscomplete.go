package keep

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
)

// A part is what a file is to its package.
type part int

const (
	noPart      part = iota // of no use to a program that runs, or a language's to judge
	programPart             // in a folder of programs
	helperPart              // a program elsewhere, or what only its programs use
	libraryPart             // a shared library, loaded by who names it with its version
	pluginPart              // another object, found in its folder
	configPart              // in /etc
	dataPart
)

// what names a part in a Reason.
var partNames = []string{"part", "program", "helper program", "library", "plugin", "configuration", "data"}

// A makeup is what a package consists of.
type makeup struct {
	parts   []part // of each of the unit's files
	folders []*rootfs.Node
	objects bool     // it has ELF files
	tool    Category // Shell, PackageManager and the like, if it has such a program
	program bool
}

// makeup looks at a package's files once.
func (s *selector) makeup(p *systemPackage) *makeup {
	if p.made != nil {
		return p.made
	}
	m := &makeup{parts: make([]part, len(p.files))}
	p.made = m
	for k, i := range p.files {
		m.parts[k] = s.part(i)
		n := s.sel.Entries[i].Node
		switch m.parts[k] {
		case pluginPart:
			if dir := n.Parent(); !slices.Contains(m.folders, dir) && !s.isLoaderFolder(dir) {
				m.folders = append(m.folders, dir)
			}
			m.objects = true
		case libraryPart:
			m.objects = true
		case dataPart:
			if dir := n.Parent(); dir.Name() == p.name && !slices.Contains(m.folders, dir) {
				m.folders = append(m.folders, dir)
			}
		}
		if s.isProgramFolder(n.Parent()) {
			m.program = true
			switch c := s.category[i]; c {
			case Shell, PackageManager, Toolchain, DevDependency, VersionControl:
				m.tool = c
			}
		}
	}
	return m
}

// part says what entry i is to the package that has it.
func (s *selector) part(i int) part {
	n := s.sel.Entries[i].Node
	switch {
	case s.isProgramFolder(n.Parent()):
		return programPart
	case s.category[i] == StaticLibrary && s.describesPlugin(n):
		return dataPart
	case s.category[i] == VersionControl:
		return helperPart // git-core: of use to git
	case s.surplus(i) || s.isSystemLocale(i) || s.packages.isLanguage(n.Parent()):
		return noPart
	}
	if n.Inode().IsSymlink() {
		// A link keeps what it leads to. Into /proc, as /etc/mtab does, it leads nowhere here.
		if end, _, err := s.fs.Resolve(s.paths[i]); err == nil && !end.Inode().IsDir() {
			switch p := s.part(s.sel.index[end]); p {
			case programPart:
				return helperPart
			case noPart, helperPart:
				return p
			}
			n = end
		}
	}
	if f := s.objectFile(n); f != nil {
		switch name := n.Name(); {
		case isExecutable(n) && (f.interp != "" || len(f.needed) == 0) && !strings.Contains(name, ".so"):
			return helperPart
		case strings.Contains(name, ".so.") || s.isLoaderFolder(n.Parent()) && strings.HasPrefix(name, "lib") && f.soname != "":
			return libraryPart
		}
		return pluginPart
	}
	switch {
	case isExecutable(n) && s.isScript(n):
		return helperPart
	case strings.HasPrefix(s.paths[i], "/etc/"):
		return configPart
	}
	return dataPart
}

// describesPlugin reports whether a libtool archive is that of a plugin, which
// libltdl opens by it (ImageMagick's coders), not one to link with.
func (s *selector) describesPlugin(n *rootfs.Node) bool {
	stem, ok := strings.CutSuffix(n.Name(), ".la")
	return ok && !s.isLoaderFolder(n.Parent()) && n.Parent().Child(stem+".so") != nil
}

// objectFile is the ELF file n, nil if it is none; where only data lies by the file
// system hierarchy, none is looked for.
func (s *selector) objectFile(n *rootfs.Node) *elfFile {
	if !n.Inode().IsRegular() || n.Inode().Size < 52 {
		return nil
	}
	if p := s.path(n); !isExecutable(n) && (strings.HasPrefix(p, "/usr/share/") || strings.HasPrefix(p, "/etc/") || strings.HasPrefix(p, "/var/")) {
		return nil
	}
	return s.elf.file(n.Inode())
}

func isExecutable(n *rootfs.Node) bool {
	return n.Inode().IsRegular() && n.Inode().Mode&(unix.S_IXUSR|unix.S_IXGRP|unix.S_IXOTH) != 0
}

// isSystemLocale reports whether entry i is of the folders in which the system keeps
// what its programs have for each language and character set, of which an image uses
// few. Locales elsewhere are some library's data.
func (s *selector) isSystemLocale(i int) bool {
	if s.category[i] != Locale {
		return false
	}
	p := s.paths[i] + "/"
	for _, dir := range []string{"/usr/share/locale/", "/usr/share/locale-langpack/", "/usr/share/i18n/", "/usr/lib/locale/", "/usr/share/zoneinfo/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return strings.Contains(p, "/gconv/") || strings.Contains(p, "/LC_MESSAGES/")
}

// isScript reports whether a file begins with "#!".
func (s *selector) isScript(n *rootfs.Node) bool {
	var head [2]byte
	_, err := s.fs.Content(n.Inode()).ReadAt(head[:], 0)
	return err == nil && head == [2]byte{'#', '!'}
}

// isProgramFolder reports whether a folder is for programs that people and other
// programs start by name.
func (s *selector) isProgramFolder(dir *rootfs.Node) bool {
	switch dir.Name() {
	case "bin", "sbin", "games":
		return true
	}
	db := s.packages
	if db.programs == nil {
		db.programs = make(map[*rootfs.Node]bool)
		for p := range strings.SplitSeq(s.env("PATH", defaultPath), ":") {
			if n, _, err := s.fs.Resolve(s.absolute(p)); err == nil {
				db.programs[n] = true
			}
		}
	}
	return db.programs[dir]
}

// isLoaderFolder reports whether the loader looks for libraries in a folder.
func (s *selector) isLoaderFolder(dir *rootfs.Node) bool {
	db := s.packages
	if db.loader == nil {
		db.loader = make(map[*rootfs.Node]bool)
		for _, p := range slices.Concat(s.elf.defaultDirs(), s.elf.confDirs(), []string{"/usr/local/lib"}) {
			if n, _, err := s.fs.Resolve(p); err == nil {
				db.loader[n] = true
			}
		}
	}
	return db.loader[dir]
}

// languageFolders are those in which the rules of a language decide: they follow
// imports, where a package has a whole standard library.
var languageFolders = newCategoryTable([]categoryRule{{Other, `lib/python* python*/dist-packages python*/site-packages
	share/perl share/perl5 share/perl6 lib/*/perl lib/*/perl5 lib/*/perl-base lib/perl5 lib/perl lib/ruby share/ruby
	lib/*/ruby ruby/vendor_ruby share/rubygems-integration /var/lib/gems share/nodejs lib/nodejs lib/*/nodejs
	node_modules share/java lib/jvm share/php`}})

// isLanguage reports whether a folder is, or is in, one of a language's.
func (db *packageDB) isLanguage(dir *rootfs.Node) bool {
	if dir == nil {
		return false
	}
	is, ok := db.languages[dir]
	if !ok {
		is = languageFolders.match(db.s.path(dir), dir.Name()) != nil || db.isLanguage(dir.Parent())
		db.languages[dir] = is
	}
	return is
}

// systemPackage is the rule on used files: who uses a file of a language's unit
// uses the package of the system too that brought it; and who uses a program
// may need those that it starts.
func (s *selector) systemPackage(i int) {
	p := s.packages.of[i]
	if p == nil {
		return
	}
	s.touch(p.unit, "of which "+s.paths[i]+" is used", s.paths[i])
	if p.executed {
		return
	}
	switch s.part(i) {
	case programPart, helperPart:
		p.executed = true
		s.units = append(s.units, p.unit)
	}
}

// completePackage completes a package of the system: its plugins, data and
// configuration; helper programs only if one of its programs is used; and the data
// that it finds in packages made for that. A shared library beside the one that is
// used (libicui18n beside libicuuc) is none of these: who loads it has its name, as
// DT_NEEDED or as a string, and brings it along. Under Packages the whole of it but
// for surplus, and all that it depends on.
func (s *selector) completePackage(u *unit) {
	p := s.packages.unitOf[u]
	whole := s.opts.Keep == Packages
	m := s.makeup(p)
	for k, i := range u.files {
		n, part := s.sel.Entries[i].Node, m.parts[k]
		switch {
		case whole && !s.surplus(i):
			s.use(n, u.why("unit", partNames[part]))
		case s.category[i] == Locale && s.isConfiguredMessages(i):
			s.keep(n, u.why("unit", "messages in a configured language"))
		case s.unitOf[i] != u || part == noPart || part == programPart || part == libraryPart || part == helperPart && !p.executed:
		case part == pluginPart && s.configuredOut(n):
		case part == configPart || part == dataPart:
			s.keep(n, u.why("unit", partNames[part]))
		default:
			s.use(n, u.why("unit", partNames[part]))
		}
	}
	for _, i := range p.listed {
		s.completeFolder(p, i)
	}
	for _, dir := range m.folders {
		s.madeFor(p, dir)
	}
	for _, q := range s.packages.required(p) {
		q.want()
		switch m := s.makeup(q); {
		case whole && m.tool == "", !m.program && !m.objects:
			s.touch(q.unit, "required by "+p.String(), p.from)
		}
	}
}

// completeFolder keeps a directory of p that programs expect to be there, and what
// no package owns in a folder of p: configuration that was added, caches that were
// generated.
func (s *selector) completeFolder(p *systemPackage, i int) {
	at := s.paths[i]
	if s.category[i] == PackageManager || s.category[i] == Documentation || s.category[i] == Services || s.packages.isLanguage(s.sel.Entries[i].Node) {
		return
	}
	switch top, _, _ := strings.Cut(at[1:], "/"); top {
	case "var", "run", "srv":
		s.keep(s.sel.Entries[i].Node, p.why("unit", "folder"))
		return
	case "etc":
		s.keep(s.sel.Entries[i].Node, p.why("unit", "folder"))
	}
	if !isSystem(at) && !s.isProgramFolder(s.sel.Entries[i].Node) && !s.surplus(i) {
		s.unowned(p, s.sel.Entries[i].Node)
	}
}

// unowned keeps what no package owns in dir.
func (s *selector) unowned(p *systemPackage, dir *rootfs.Node) {
	for _, n := range dir.Children() {
		i := s.sel.index[n]
		if s.packages.of[i] != nil || s.packages.shared[i] || s.unitOf[i] != nil || s.surplus(i) || s.isSystemLocale(i) {
			continue
		}
		if n.Inode().IsDir() {
			// Data in a folder of its own was not generated for p: the application's.
			if at := s.paths[i]; strings.HasPrefix(at, "/etc/") || strings.Contains(at, "/lib") {
				s.unowned(p, n)
			}
			continue
		}
		switch part := s.part(i); part {
		case noPart, programPart, helperPart:
		case libraryPart, pluginPart:
			if !s.configuredOut(n) {
				s.use(n, p.why("unit", partNames[part]+" beside those"))
			}
		default:
			s.keep(n, p.why("unit", partNames[part]+" beside that"))
		}
	}
}

// madeFor keeps what other packages put beside the plugins of p, or into the folder
// that has its name, if they depend on p: plugins, and whole packages of data (the
// dictionaries of a spelling checker).
func (s *selector) madeFor(p *systemPackage, dir *rootfs.Node) {
	for _, n := range dir.Children() {
		q := s.packages.of[s.sel.index[n]]
		if q == nil || q == p || !slices.Contains(s.packages.required(q), p) {
			continue
		}
		switch s.part(s.sel.index[n]) {
		case pluginPart:
			if !s.configuredOut(n) {
				s.use(n, p.why("unit", "plugin of "+q.String()+" beside those"))
			}
		case dataPart:
			if dir.Name() == p.name {
				s.touch(q.unit, "made for "+p.String()+", "+p.cause, p.from)
			}
		}
	}
}

// license is the rule on kept names: of a package of which a file is kept, the
// license is, with the common texts that it refers to.
func (s *selector) license(i int) {
	p := s.packages.of[i]
	if p == nil || p.licensed || s.opts.NoLicenses || s.sel.Entries[i].Node.Inode().IsDir() {
		return
	}
	p.licensed = true
	why := Reason{Rule: "license", Text: "license of " + p.String() + ", of which " + s.paths[i] + " is kept", From: s.paths[i]}
	for _, dir := range []string{"/usr/share/doc/" + p.id, "/usr/share/licenses/" + p.id} {
		n, links, err := s.fs.Resolve(dir)
		if err != nil {
			continue
		}
		for _, c := range n.Children() {
			if !isLicense(c.Name()) && path.Dir(dir) != "/usr/share/licenses" || c.Inode().IsDir() {
				continue
			}
			s.keepLinks(links, dir, why)
			s.keep(c, why)
			s.commonLicenses(c)
		}
	}
}

// commonLicenses keeps the texts that a Debian copyright file refers to instead of
// repeating them (Debian policy 12.5).
func (s *selector) commonLicenses(n *rootfs.Node) {
	const dir = "/usr/share/common-licenses/"
	from := s.path(n)
	text := string(s.textAt(from))
	for {
		_, rest, ok := strings.Cut(text, dir)
		if !ok {
			return
		}
		end := strings.IndexFunc(rest, func(r rune) bool {
			return !(r == '-' || r == '.' || r == '+' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z')
		})
		if end < 0 {
			end = len(rest)
		}
		name := strings.TrimRight(rest[:end], ".")
		if name != "" {
			s.usePath(dir+name, Reason{Rule: "license", Text: "referred to by " + from, From: from})
		}
		text = rest[end:]
	}
}
