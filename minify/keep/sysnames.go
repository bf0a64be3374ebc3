package keep

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"slim/probe/rootfs"
)

// namedBySystem is the rule on used ELF files: the libraries that they name are
// what they open; and the data and plugins that a library or program of the system
// names by their path, a folder whole, are what it looks for at the first request that
// needs them: /usr/share/postgresql/15 in postgres, /usr/lib/ssl in libcrypto,
// /etc/fonts in libfontconfig. (What the application names: named.go.)
func (s *selector) namedBySystem(i int) {
	n := s.sel.Entries[i].Node
	f := s.elf.file(n.Inode())
	if f == nil {
		return
	}
	s.namedLibraries(i, f)
	if s.packages.of[i] == nil && !s.isLoaderFolder(n.Parent()) && !isSystemPrograms(s.path(n.Parent())) {
		return
	}
	libc := isLibc(f, n.Name())
	for _, name := range s.namesIn(n) {
		// Every program has libc; what it names for a few is kept for those (libc.go).
		if !libc || !isZoneFolder(name.path) {
			s.followName(i, name)
		}
	}
}

// isSystemPrograms reports whether a folder is for the programs of the system alone.
func isSystemPrograms(p string) bool {
	return p == "/bin" || p == "/sbin" || p == "/usr/bin" || p == "/usr/sbin"
}

// namedByConfiguration is the rule on kept names of /etc: what a configuration
// names is what the program will look for. (fonts.conf names the folders of fonts.)
func (s *selector) namedByConfiguration(i int) {
	n := s.sel.Entries[i].Node
	if s.category[i] != "" || !strings.HasPrefix(s.paths[i], "/etc/") || !isConfiguration(n, s.paths[i]) || accounts[s.paths[i]] || s.elf.file(n.Inode()) != nil {
		return
	}
	for _, name := range s.namesIn(n) {
		s.followName(i, name)
	}
}

// accounts are files of /etc that name folders and shells of users, not what a
// program reads.
var accounts = set("/etc/passwd /etc/passwd- /etc/shadow /etc/shadow- /etc/group /etc/group- /etc/gshadow /etc/gshadow- /etc/shells /etc/fstab /etc/profile /etc/environment /etc/ld.so.conf")

// followName keeps what file i names, if that is data, a plugin or a folder of such;
// programs are the rules' on commands.
func (s *selector) followName(i int, name pathName) {
	from := s.paths[i]
	at := from
	if name.line > 0 {
		at += ":" + strconv.Itoa(name.line)
	}
	why := Reason{Rule: "named", Text: "named in " + at, From: from}
	n, links, err := s.fs.Resolve(name.path)
	if err != nil {
		return
	}
	j := s.sel.index[n]
	if !s.followed(i, n) {
		return
	}
	if !n.Inode().IsDir() {
		if s.keepPart(j, why) {
			s.keepLinks(links, name.path, why)
		}
		return
	}
	s.keepLinks(links, name.path, why)
	s.keep(n, why)
	if !isState(s.paths[j]) || keptCaches[s.paths[j]] {
		why.Text = "in " + name.path + ", which is " + why.Text
		s.keepFolder(n, why, true)
	}
}

// followed reports whether to keep n because file i names it.
func (s *selector) followed(i int, n *rootfs.Node) bool {
	j := s.sel.index[n]
	p := s.paths[j]
	dir := n
	if !n.Inode().IsDir() {
		dir = n.Parent()
	} else if isSystem(p) || s.isLoaderFolder(n) || s.isProgramFolder(n) {
		return false
	}
	switch top, _, _ := strings.Cut(p[1:], "/"); top {
	case "dev", "proc", "sys", "run", "tmp", "home", "root", "boot", "":
		return false
	}
	switch c := s.category[j]; {
	case c == Services:
		// cron's folders are cron's to name, not a library's.
		return s.isProgramFolder(s.sel.Entries[i].Node.Parent()) && !s.packages.isLanguage(dir)
	case s.isSystemLocale(j):
		return false
	case c == Cache:
		return n.Inode().IsDir() && strings.HasPrefix(p, "/var/cache/")
	case c == VersionControl:
		return false
	}
	return !s.surplus(j) && !s.packages.isLanguage(dir)
}

// keptCaches are caches that programs other than package managers read when they
// start, and make anew each time where they cannot write them.
var keptCaches = set("/var/cache/fontconfig")

// isState reports whether a folder holds what runs leave, not what they need.
func isState(p string) bool {
	for _, dir := range []string{"/var/log/", "/var/cache/", "/var/spool/", "/var/tmp/", "/var/run/", "/var/lock/", "/var/mail/", "/var/backups/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

// keepFolder keeps the data and plugins below dir, each folder once; where dir is
// the folder that was named, also what its links to other folders lead to.
func (s *selector) keepFolder(dir *rootfs.Node, why Reason, named bool) {
	db := s.packages
	if before, ok := db.whole[dir]; ok && (before || !named) {
		return
	}
	db.whole[dir] = named
	category := s.category[s.sel.index[dir]]
	for _, n := range dir.Children() {
		i := s.sel.index[n]
		end := n
		if n.Inode().IsSymlink() {
			if to, _, err := s.fs.Resolve(s.paths[i]); err == nil && to.Inode().IsDir() {
				end = to
			}
		}
		switch {
		case end.Inode().IsDir():
			if j := s.sel.index[end]; s.category[j] != category && (s.surplus(j) || s.isSystemLocale(j)) || db.isLanguage(end) || isSystem(s.paths[j]) || s.isLoaderFolder(end) {
				continue
			}
			s.keep(n, why)
			if end == n || named {
				s.keepFolder(end, why, false)
			}
		case s.category[i] == category && category != "":
			s.keep(n, why) // of a kind that the name asked for
		default:
			s.keepPart(i, why)
		}
	}
}

// keepPart keeps a file for what it is: data, or a plugin that will be loaded; false
// if it is neither.
func (s *selector) keepPart(i int, why Reason) bool {
	n := s.sel.Entries[i].Node
	switch s.part(i) {
	case noPart, programPart, helperPart:
		return false
	case libraryPart, pluginPart:
		if s.configuredOut(n) {
			return false
		}
		s.use(n, why)
	default:
		s.keep(n, why)
	}
	return true
}

// namedLibraries keeps the libraries that an ELF file names beside those that it is
// linked with: what it may open by name, found as its loader would.
func (s *selector) namedLibraries(i int, f *elfFile) {
	if f.interp == "" && f.namesSize <= 1 {
		// A static program. What it has of libc would open libc's own modules, of which the
		// usual ones are built in (glibc 2.34).
		return
	}
	n := s.sel.Entries[i].Node
	linked := map[string]bool{f.soname: true}
	for _, need := range f.needed {
		linked[need.name] = true
	}
	for _, name := range s.libraryNames(n) {
		if !linked[name] {
			s.openLater(i, name)
		}
	}
}

// openLater keeps the library that the loader takes for name when file i opens it.
// One of another package of the system waits until a package that is used depends on
// that: a program that relies on being able to open a library does, but libc itself
// names libidn2 for few, and libselinux libsepol.
func (s *selector) openLater(i int, name string) {
	n, db := s.sel.Entries[i].Node, s.packages
	why := Reason{Rule: "named", Text: "named in " + s.paths[i] + " (" + name + ")", From: s.paths[i]}
	for _, lib := range s.elf.find(n, name) {
		keep := func() {
			s.keepLinks(lib.links, lib.path, why)
			s.use(lib.node, why)
		}
		q := db.of[s.sel.index[lib.node]]
		if p := db.of[i]; p == nil || q == nil || p == q || q.wanted {
			keep()
		} else {
			q.waiting = append(q.waiting, keep)
		}
	}
}

// want says that a package that is used depends on q.
func (q *systemPackage) want() {
	q.wanted = true
	for _, keep := range q.waiting {
		keep()
	}
	q.waiting = nil
}

// libraryNames lists the words in a file's strings that are names of shared
// objects, "libgcc_s.so.1", each once, in order.
func (s *selector) libraryNames(n *rootfs.Node) []string {
	const chunk, margin = 1 << 20, 256
	var names []string
	seen := make(map[string]bool)
	r := s.fs.Content(n.Inode())
	db := s.packages
	if db.buf == nil {
		db.buf = make([]byte, chunk+2*margin)
	}
	buf := db.buf[:min(int64(len(db.buf)), r.Size())]
	for at := int64(0); at < min(r.Size(), maxScanned); at += chunk {
		k, err := r.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			break
		}
		for b, from := buf[:k], 0; ; {
			j := bytes.Index(b[from:], []byte(".so"))
			if j < 0 {
				break
			}
			j += from
			from = j + len(".so")
			if name := libraryName(b, j); name != "" && !seen[name] && len(names) < maxNames {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// libraryName is the NUL-terminated name around the ".so" at b[i]; "" if there is
// none, or if it is in a folder.
func libraryName(b []byte, i int) string {
	from := i
	for from > 0 && i-from < maxNameBytes && (isNameByte(b[from-1]) || b[from-1] == '.') {
		from--
	}
	end := i + len(".so")
	for end < len(b) && (b[end] == '.' || '0' <= b[end] && b[end] <= '9') {
		end++
	}
	if from == i || from == 0 || b[from-1] != 0 && b[from-1] != ':' || end == len(b) || b[end] != 0 && b[end] != ':' || b[end-1] == '.' {
		return ""
	}
	return string(b[from:end])
}

// find lists the objects that the loader could take for name when n opens it.
func (l *linker) find(n *rootfs.Node, name string) []*object {
	f := l.file(n.Inode())
	o := &object{node: n, file: f, path: l.s.path(n)}
	p := &process{linker: l, main: o, names: make(map[string]bool), seen: make(map[*rootfs.Node]bool)}
	if p.musl = l.muslLoader(f); p.musl != "" && isMusl(name) {
		return nil
	}
	return p.search(o, name)
}
