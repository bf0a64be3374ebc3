package keep

import (
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A libcNeed is what the C library reads on behalf of few programs, some megabytes
// of it: who imports the functions that need it is told from who does not.
type libcNeed struct {
	functions []string
	unless    func(s *selector, i int, names []byte) bool // nil: always
	keep      func(s *selector, libc *rootfs.Node, why Reason)
	what      string
	musl      bool // that library reads it, too; the rest it has built in or does without
}

var libcNeeds = []libcNeed{{
	functions: []string{"localtime", "localtime_r", "mktime", "tzset"},
	keep:      (*selector).zones, what: "time zones", musl: true,
}, {
	functions: []string{"iconv_open", "g_convert", "g_convert_with_fallback"}, unless: (*selector).convertsForItself,
	keep: (*selector).characterSets, what: "character sets",
}, {
	functions: []string{"iconv_open"},
	keep:      (*selector).commonCharacterSets, what: "common character sets",
}, {
	functions: []string{"setlocale", "newlocale"},
	keep:      (*selector).locales, what: "locales",
}, {
	functions: strings.Fields(`getaddrinfo gethostbyname gethostbyname_r gethostbyaddr getnameinfo getpwnam getpwnam_r getpwuid getpwuid_r
		getgrnam getgrnam_r getgrgid getgrgid_r getgrouplist initgroups getservbyname`),
	keep: (*selector).nameServices, what: "name services",
}}

// libcState is, for one kind of C library, which needs are known and which files
// of it are used.
type libcState struct {
	needed []Reason // of each of libcNeeds; the zero value while none needs it
	libs   []*rootfs.Node
}

// isLibc reports whether f is the C library: glibc's, or musl's, which is its loader.
func isLibc(f *elfFile, name string) bool {
	return f.soname == "libc.so.6" || isMuslLibc(f, name)
}

// isMuslLibc knows it by its names too: it need not have a soname, and glibc's
// libc.so is a text for linkers.
func isMuslLibc(f *elfFile, name string) bool {
	return strings.HasPrefix(f.soname, "libc.musl-") || strings.HasPrefix(name, "ld-musl-") || name == "libc.so"
}

// libcData is the rule on used ELF files that import what the C library has data
// for. A static program names the paths itself.
func (s *selector) libcData(i int) {
	n := s.sel.Entries[i].Node
	f := s.elf.file(n.Inode())
	if f == nil {
		return
	}
	c, musl := &s.packages.glibc, isMuslLibc(f, n.Name()) || s.elf.muslLoader(f) != ""
	if musl {
		c = &s.packages.musl
	}
	if c.needed == nil {
		c.needed = make([]Reason, len(libcNeeds))
	}
	if isLibc(f, n.Name()) {
		c.libs = append(c.libs, n)
		for k, why := range c.needed {
			if why.Rule != "" {
				libcNeeds[k].keep(s, n, why)
			}
		}
		return
	}
	var names []byte
	for k, need := range libcNeeds {
		if c.needed[k].Rule != "" || musl && !need.musl {
			continue
		}
		if names == nil {
			names = s.dynamicNames(n, f)
		}
		at := slices.IndexFunc(need.functions, func(fn string) bool { return hasName(names, fn) })
		if at < 0 || need.unless != nil && need.unless(s, i, names) {
			continue
		}
		c.needed[k] = Reason{Rule: "data", Text: need.what + " for " + s.paths[i] + ", which calls " + need.functions[at], From: s.paths[i]}
		for _, lib := range c.libs {
			need.keep(s, lib, c.needed[k])
		}
	}
}

// dynamicNames is the table with the names of an ELF file's dynamic symbols.
func (s *selector) dynamicNames(n *rootfs.Node, f *elfFile) []byte {
	const limit = 8 << 20 // bytes; that of the largest C++ libraries is smaller
	if f.namesSize == 0 || f.namesSize > limit {
		return []byte{0}
	}
	b := make([]byte, f.namesSize)
	k, _ := s.fs.Content(n.Inode()).ReadAt(b, int64(f.names))
	return b[:k]
}

// hasName reports whether a string table has a name. Linkers let a name be the end
// of another ("g_iconv_open"), so that this may be one too many.
func hasName(table []byte, name string) bool {
	return bytes.Contains(table, append([]byte(name), 0))
}

// isZoneFolder reports whether a path is that of the time zones.
func isZoneFolder(p string) bool { return path.Base(p) == "zoneinfo" }

// zones keeps the time zones where a C library looks for them, and the local one.
func (s *selector) zones(libc *rootfs.Node, why Reason) {
	for _, name := range s.namesIn(libc) {
		if !isZoneFolder(name.path) {
			continue
		}
		if n := s.usePath(name.path, why); n != nil && n.Inode().IsDir() {
			s.keepFolder(n, why, true)
		}
	}
	s.usePath("/etc/localtime", why)
	s.usePath("/etc/timezone", why)
}

// convertsForItself reports whether a program or library of the system that
// imports iconv_open converts only to and from the character set of its own locale,
// which it asks nl_langinfo for: bash, tar, libidn2; not what converts for others,
// as an interpreter does and the program iconv.
func (s *selector) convertsForItself(i int, names []byte) bool {
	program := strings.TrimRight(s.sel.Entries[i].Node.Name(), "0123456789.-")
	return hasName(names, "nl_langinfo") && s.packages.of[i] != nil && program != "iconv" && !slices.Contains(interpreters, program) &&
		!slices.ContainsFunc(s.configuredLocales(), func(l string) bool { return strings.Contains(l, ".") && !strings.Contains(l, ".utf8") })
}

// characterSets keeps glibc's converters, all but a few of which are modules.
func (s *selector) characterSets(libc *rootfs.Node, why Reason) {
	if dir := libc.Parent().Child("gconv"); dir != nil {
		s.below(dir, func(n *rootfs.Node) { s.use(n, why) })
	}
}

// commonCharacterSets keeps the converters that glibc itself sets apart as common:
// those of gconv-modules, the others being in gconv-modules.d (since 2.34).
func (s *selector) commonCharacterSets(libc *rootfs.Node, why Reason) {
	dir := libc.Parent().Child("gconv")
	if dir == nil {
		return
	}
	for _, n := range dir.Children() {
		if n.Name() == "gconv-modules" {
			for _, module := range parseGconv(s.readText(n)) {
				if n := dir.Child(module); n != nil {
					s.use(n, why)
				}
			}
		}
		if strings.HasPrefix(n.Name(), "gconv-modules") {
			s.keep(n, why)
			s.below(n, func(n *rootfs.Node) { s.keep(n, why) })
		}
	}
}

// parseGconv lists the files of a gconv-modules: "module FROM TO FILE COST".
func parseGconv(text []byte) []string {
	var list []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 4 && f[0] == "module" && !strings.Contains(f[3], "/") {
			list = append(list, strings.TrimSuffix(f[3], ".so")+".so")
		}
	}
	return list
}

const (
	localeDir     = "/usr/lib/locale"
	localeArchive = localeDir + "/locale-archive"
)

// locales keeps the data of C.UTF-8 and of the locales that are configured, and the
// C library's messages in their languages.
func (s *selector) locales(_ *rootfs.Node, why Reason) {
	if dir, _, err := s.fs.Resolve(localeDir); err == nil {
		for _, n := range dir.Children() {
			name := normalLocale(n.Name())
			if name == "c.utf8" || n.Name() == path.Base(localeArchive) && len(s.configuredLocales()) > 0 || s.isConfigured(name) {
				s.use(n, why)
				s.below(n, func(n *rootfs.Node) { s.use(n, why) })
			}
		}
	}
	if dir, _, err := s.fs.Resolve("/usr/share/locale"); err == nil {
		for _, n := range dir.Children() {
			if s.isConfigured(normalLocale(n.Name())) {
				s.usePath(s.path(n)+"/LC_MESSAGES/libc.mo", why)
			}
		}
	}
}

// configuredLocales are the locales that the image's environment or its system
// configuration asks for, and those that somebody generated for this image, whose
// data belongs to no package: as normalLocale has them, "C" and "POSIX" left out.
func (s *selector) configuredLocales() []string {
	db := s.packages
	if db.locales != nil {
		return *db.locales
	}
	list := []string{}
	add := func(names ...string) {
		for _, name := range names {
			if l := normalLocale(name); l != "" && l != "c" && l != "posix" && l != "c.utf8" && !slices.Contains(list, l) {
				list = append(list, l)
			}
		}
	}
	set := func(key, value string) {
		if key == "LANG" || key == "LANGUAGE" || strings.HasPrefix(key, "LC_") {
			add(strings.Split(strings.Trim(value, `"' `), ":")...)
		}
	}
	for _, kv := range s.cfg.Env {
		k, v, _ := strings.Cut(kv, "=")
		set(k, v)
	}
	for _, p := range []string{"/etc/default/locale", "/etc/locale.conf"} {
		for line := range bytes.Lines(s.textAt(p)) {
			k, v, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
			set(strings.TrimPrefix(k, "export "), v)
		}
	}
	if dir, _, err := s.fs.Resolve(localeDir); err == nil {
		for _, n := range dir.Children() {
			switch i := s.sel.index[n]; {
			case db.of[i] != nil || db.shared[i]:
			case n.Name() == path.Base(localeArchive):
				add(archiveLocales(s.fs.Content(n.Inode()))...)
			case n.Inode().IsDir():
				add(n.Name())
			}
		}
	}
	db.locales = &list
	return list
}

// isConfigured reports whether data or messages of a locale serve one of those
// configured.
func (s *selector) isConfigured(name string) bool {
	return slices.ContainsFunc(s.configuredLocales(), func(l string) bool { return localeMatches(l, name) })
}

// archiveLocales lists the names in a locale-archive: struct locarhead of glibc,
// locale/locarchive.h.
func archiveLocales(r io.ReaderAt) []string {
	const magic, limit = 0xde020109, 1 << 20
	var head [32]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(head[:]) != magic {
		order = binary.BigEndian
	}
	offset, used := order.Uint32(head[20:]), order.Uint32(head[24:])
	if order.Uint32(head[:]) != magic || used > limit {
		return nil
	}
	names := make([]byte, used)
	n, _ := r.ReadAt(names, int64(offset))
	return strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 })
}

// normalLocale spells a locale as glibc's normalization of the codeset does, all
// lower case: "de_DE.UTF-8@euro" is "de_de.utf8@euro".
func normalLocale(name string) string {
	name = strings.ToLower(name)
	head, rest, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	codeset, modifier, at := strings.Cut(rest, "@")
	codeset = strings.NewReplacer("-", "", "_", "").Replace(codeset)
	if at {
		modifier = "@" + modifier
	}
	return head + "." + codeset + modifier
}

// localeMatches reports whether the data or messages of locale name serve one who
// asks for want: the codeset, the territory and the modifier may be missing.
func localeMatches(want, name string) bool {
	for {
		if want == name {
			return true
		}
		i := strings.LastIndexAny(want, "_.@")
		if i < 0 {
			return false
		}
		want = want[:i]
	}
}

// isConfiguredMessages reports whether entry i is a translation into a language
// that is configured: share/locale/LANGUAGE/LC_MESSAGES/x.mo.
func (s *selector) isConfiguredMessages(i int) bool {
	if len(s.configuredLocales()) == 0 {
		return false
	}
	_, rest, ok := strings.Cut(s.paths[i], "/share/locale/")
	language, _, below := strings.Cut(rest, "/")
	return ok && below && s.isConfigured(normalLocale(language))
}

// nameServices keeps the modules that nsswitch.conf names (nsswitch.conf(5)); the
// files they read are named in the libraries.
func (s *selector) nameServices(libc *rootfs.Node, why Reason) {
	if f := s.elf.file(libc.Inode()); f == nil || f.soname != "libc.so.6" {
		return
	}
	const conf = "/etc/nsswitch.conf"
	services := []string{"files", "dns"} // without a file, and the default's
	if text := s.textAt(conf); text != nil {
		s.usePath(conf, why)
		services = parseNsswitch(text)
	}
	for _, service := range services {
		why := Reason{Rule: "data", Text: "name service " + service + " of " + conf + ": " + why.Text, From: why.From}
		for _, lib := range s.elf.find(libc, "libnss_"+service+".so.2") {
			s.keepLinks(lib.links, lib.path, why)
			s.use(lib.node, why)
		}
	}
}

// parseNsswitch lists the services that any database names, each once.
func parseNsswitch(text []byte) []string {
	var list []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		_, services, _ := strings.Cut(line, ":")
		for word := range strings.FieldsSeq(services) {
			if !strings.ContainsAny(word, "[]=/") && !slices.Contains(list, word) {
				list = append(list, word)
			}
		}
	}
	return list
}
