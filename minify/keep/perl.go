package keep

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// Perl's modules are files of the folders in @INC (perlvar), each decided alone:
// used, or named by a used source, with its compiled part, the functions that
// AutoLoader splits off, and the data beside it. Distributions of CPAN that left a
// list of their files are completed.

// perlRules is what is known of an image's Perl.
type perlRules struct {
	perls []*perlInstall
	libs  []*library // of local::lib and the like, for each perl
	at    map[*rootfs.Node]*library
	inc   []*library // of all that is active
	// distributions are the units of .packlist files.
	distributions map[*unit]bool

	appLibs  map[*rootfs.Node][]*library // of sources that are in no library, by folder
	done     map[string]bool             // modules followed, by folders and name
	data     map[*rootfs.Node]bool       // folders whose data is kept
	subtrees map[*rootfs.Node]bool       // folders whose modules are kept
}

// A perlInstall is one perl with the folders compiled into it, in the order of @INC.
type perlInstall struct {
	key  string // archlib
	bin  string
	libs []*library
}

// findPerl detects installed perls, the libraries beside them, and CPAN's
// distributions.
func (s *selector) findPerl() {
	p := &s.langs.perlRules
	var packlists []int
	for i, e := range s.sel.Entries {
		switch n := e.Node; n.Name() {
		case "Config.pm":
			// Debian installs others, to cross-compile, without any module beside them.
			if dir := n.Parent(); dir.Child("XSLoader.pm") != nil || dir.Child("Cwd.pm") != nil || dir.Child("POSIX.pm") != nil {
				s.perlConfig(n)
			}
		case "perl5":
			// local::lib, carton: PREFIX/lib/perl5, whatever the prefix.
			if n.Inode().IsDir() && n.Parent().Name() == "lib" {
				s.localPerl(n)
			}
		case ".packlist":
			packlists = append(packlists, i)
		}
	}
	all := slices.Clone(p.libs)
	for _, perl := range p.perls {
		all = append(all, perl.libs...)
	}
	s.govern(all)
	p.at = make(map[*rootfs.Node]*library)
	for _, l := range all {
		p.at[l.node] = l
	}
	p.distributions = make(map[*unit]bool)
	for _, i := range packlists {
		s.packlist(i)
	}
	p.appLibs = make(map[*rootfs.Node][]*library)
	p.done = make(map[string]bool)
	p.data, p.subtrees = make(map[*rootfs.Node]bool), make(map[*rootfs.Node]bool)
}

// perlConfig reads the Config.pm of a perl: the folders that are compiled into it
// (Config, privlibexp and the like). Debian has two for one perl.
func (s *selector) perlConfig(n *rootfs.Node) {
	values := perlConfigValues(s.readText(n))
	if values["privlibexp"] == "" || values["archlibexp"] == "" {
		return
	}
	dirs := []string{"/etc/perl", values["sitearchexp"], values["sitelibexp"]}
	for _, dir := range []string{path.Dir(s.path(n)), values["archlibexp"]} {
		heavy := s.at(path.Join(dir, "Config_heavy.pl"))
		if heavy == nil {
			continue
		}
		more := perlConfigValues(s.readText(heavy))
		for _, key := range []string{"sitelib_stem", "vendorarchexp", "vendorlibexp", "vendorlib_stem"} {
			dirs = append(dirs, more[key])
		}
		dirs = append(dirs, strings.FieldsFunc(more["otherlibdirs"], func(r rune) bool { return r == ':' || r == ' ' })...)
	}
	if base := s.at(path.Join(path.Dir(path.Dir(values["archlibexp"])), "perl-base")); base != nil {
		dirs = append(dirs, s.path(base))
	}
	dirs = append(dirs, path.Dir(s.path(n)), values["archlibexp"], values["privlibexp"], "/usr/local/lib/site_perl")

	var perl *perlInstall
	for _, known := range s.langs.perls {
		if known.key == values["archlibexp"] {
			perl = known
		}
	}
	if perl == nil {
		perl = &perlInstall{key: values["archlibexp"], bin: values["scriptdir"]}
		s.langs.perls = append(s.langs.perls, perl)
	}
	for _, dir := range dirs {
		if strings.HasPrefix(dir, "/") {
			perl.libs = s.addLibrary(perl.libs, "Perl library", dir)
		}
	}
}

// addLibrary adds the library at dir to libs, if there is one and it is new.
func (s *selector) addLibrary(libs []*library, kind, dir string) []*library {
	l := s.newLibrary(kind, dir)
	if l == nil || isSystem(l.path) {
		return libs
	}
	for _, known := range libs {
		if known.node == l.node {
			known.links = append(known.links, l.links...)
			return libs
		}
	}
	return append(libs, l)
}

// perlConfigValues are the settings in Config.pm ("key => 'value',") and
// Config_heavy.pl ("key='value'").
func perlConfigValues(src []byte) map[string]string {
	values := make(map[string]string)
	for line := range bytes.Lines(src) {
		line = bytes.TrimRight(bytes.TrimSpace(line), ",")
		eq := bytes.IndexByte(line, '=')
		if eq <= 0 || line[len(line)-1] != '\'' || !isNameStart(line[0]) {
			continue
		}
		key := string(bytes.TrimSpace(line[:eq]))
		value := bytes.TrimLeft(line[eq+1:], "> ")
		if len(value) >= 2 && value[0] == '\'' {
			if _, known := values[key]; !known {
				values[key] = string(value[1 : len(value)-1])
			}
		}
	}
	return values
}

// localPerl adds a folder lib/perl5 that is not one of a perl's own, and the
// folders in it for versions and architectures (lib.pm adds those).
func (s *selector) localPerl(n *rootfs.Node) {
	if dir := s.path(n.Parent()); isSystem(dir) {
		return // an installed perl's
	}
	s.langs.libs = s.addLibrary(s.langs.libs, "Perl library", s.path(n))
	for _, c := range n.Children() {
		if name := c.Name(); c.Inode().IsDir() && (isDigit(name[0]) || strings.Contains(name, "-linux")) {
			s.langs.libs = s.addLibrary(s.langs.libs, "Perl library", s.path(c))
		}
	}
}

// packlist makes a unit of the distribution that installed the files listed in
// auto/NAME/.packlist (ExtUtils::Packlist).
func (s *selector) packlist(i int) {
	dir := s.sel.Entries[i].Node.Parent()
	var parts []string
	for ; dir != nil && dir.Name() != "auto"; dir = dir.Parent() {
		parts = append([]string{dir.Name()}, parts...)
	}
	if dir == nil || len(parts) == 0 || s.perlLibrary(dir) == nil {
		return // that of perl itself lies beside Config.pm
	}
	u := &unit{kind: "CPAN distribution", name: strings.Join(parts, "-"), complete: (*selector).completeDistribution}
	s.langs.distributions[u] = true
	for line := range bytes.Lines(s.readText(s.sel.Entries[i].Node)) {
		p, _, _ := strings.Cut(strings.TrimSpace(string(line)), " type=")
		if n := s.at(p); n != nil && strings.HasPrefix(p, "/") {
			if j := s.sel.index[n]; s.perlLibrary(n) != nil {
				s.own(j, u)
			}
		}
	}
	s.own(i, u)
}

// completeDistribution keeps what a distribution has in libraries, data for
// File::ShareDir among it. Its programs are in none.
func (s *selector) completeDistribution(u *unit) {
	for _, i := range u.files {
		if s.unitOf[i] == u && !s.surplus(i) && s.sel.Entries[i].Node.Name() != ".packlist" {
			s.use(s.sel.Entries[i].Node, u.why("unit", "part"))
		}
	}
	for _, l := range s.perlLibs(nil) {
		s.perlShare(l, "dist/"+u.name, u.why("data", "data"))
	}
}

// perlEssentials are the modules that perl loads by itself, by name: for an error,
// an operator, a special variable or a method of a file handle (perlvar, perlfunc,
// perlio), and what a program may ask %Config.
var perlEssentials = strings.Fields(`strict warnings warnings::register feature utf8 bytes Carp Carp::Heavy Config Errno
	Exporter Exporter::Heavy Tie::Hash::NamedCapture IO::File IO::Handle IO::Seekable File::Glob PerlIO PerlIO::scalar
	attributes
	overload overloading mro re XSLoader DynaLoader AutoLoader Internals`)

// perlStarted keeps what the perl that the file i is or holds loads by itself.
func (s *selector) perlStarted(i int) {
	p := s.paths[i]
	var active []*perlInstall
	for _, perl := range s.langs.perls {
		if path.Dir(p) == perl.bin || s.at(perl.bin) == s.sel.Entries[i].Node.Parent() {
			active = append(active, perl)
		}
	}
	if active == nil {
		active = s.langs.perls // libperl.so in another program
	}
	s.langs.inc = slices.Clone(s.langs.libs)
	for _, perl := range active {
		s.langs.inc = append(s.langs.inc, perl.libs...)
	}
	why := Reason{Rule: "data", Text: "loaded by name by perl, which is " + p, From: p}
	for _, name := range perlEssentials {
		s.perlModule(nil, name, why)
	}
	for _, l := range s.perlLibs(nil) {
		s.useFrom(l, "Config_heavy.pl", why)
		// Until 5.30 the tables of character properties were looked up by name.
		if s.useFrom(l, "utf8_heavy.pl", why) {
			s.unicore(why)
		}
	}
}

// perlLibrary is the library that a name is in, nil for none.
func (s *selector) perlLibrary(n *rootfs.Node) *library {
	for dir := n.Parent(); dir != nil; dir = dir.Parent() {
		if l := s.langs.at[dir]; l != nil {
			return l
		}
	}
	return nil
}

// perlLibs are the folders that a source finds its modules in: those of its
// application, of local::lib, of the perls used.
func (s *selector) perlLibs(app []*library) []*library {
	if len(app) == 0 {
		return s.langs.inc
	}
	return slices.Concat(app, s.langs.inc)
}

// unicore keeps the tables of Unicode, which are read by name.
func (s *selector) unicore(why Reason) {
	for _, l := range s.perlLibs(nil) {
		s.perlSubtree(l, "unicore", why)
	}
}
