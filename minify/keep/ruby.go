package keep

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// Ruby's gems are units: those that an application's lock file has for
// production, those of which a file is used and those that used sources require,
// with what they depend on. Of the standard library and of modules that
// distributions install beside it, each file is decided alone, by what sources require.

// rubyRules is what is known of an image's Ruby.
type rubyRules struct {
	gems   []*rubyGem
	gemOf  map[*unit]*rubyGem
	byName map[string][]*rubyGem
	rubies []*rubyLibrary
	lib    map[*rootfs.Node]*library // by folder

	roots    map[string][]*rubyRoot // by the first part of what they have
	inUse    []*rubyLibrary
	appRuby  []*library // of PATH gems
	locked   map[string]bool
	rubyApps map[*rootfs.Node][]*library // of sources that are in no library, by folder
	bundles  map[*rootfs.Node]bool       // folders asked for a lock file, and whether there is one
	sought   map[string]bool             // features looked for
	beside   map[*rootfs.Node]bool       // folders whose data is kept
}

// A rubyLibrary is a folder of the standard library, or one like it, of the Ruby
// that is installed below prefix.
type rubyLibrary struct {
	*library
	prefix string
	site   bool // vendor_ruby, site_ruby
	order  int  // in the load path
}

// A rubyRoot is a folder of the load path: a library's or a gem's.
type rubyRoot struct {
	node *rootfs.Node
	lib  *library
	gem  *rubyGem
}

// findRuby detects gems and standard libraries.
func (s *selector) findRuby() {
	r := &s.langs.rubyRules
	r.gemOf, r.byName = make(map[*unit]*rubyGem), make(map[string][]*rubyGem)
	r.lib, r.bundles = make(map[*rootfs.Node]*library), make(map[*rootfs.Node]bool)
	r.rubyApps = make(map[*rootfs.Node][]*library)
	r.sought, r.beside = make(map[string]bool), make(map[*rootfs.Node]bool)
	for _, e := range s.sel.Entries {
		n := e.Node
		if !n.Inode().IsDir() {
			continue
		}
		switch name := n.Name(); {
		case name == "vendor_ruby" || name == "site_ruby":
			s.addRuby(n, true)
			for _, version := range n.Children() {
				if isDigit(version.Name()[0]) {
					s.addRuby(version, true)
				}
			}
		case isDigit(name[0]) && n.Parent().Name() == "ruby" && (n.Child("rbconfig.rb") != nil || n.Child("set.rb") != nil || n.Child("fileutils.rb") != nil):
			s.addRuby(n, false)
		}
	}
	s.findGems()
	for _, g := range r.gems {
		r.byName[g.name] = append(r.byName[g.name], g)
	}
	var libs []*library
	for _, l := range r.rubies {
		libs = append(libs, l.library)
	}
	for _, g := range r.gems {
		if g.dir == nil && !g.std {
			s.vendoredGem(g)
		}
	}
	s.govern(libs)
}

// addRuby adds a folder of modules, and that for the architecture in it.
func (s *selector) addRuby(n *rootfs.Node, site bool) {
	if n == nil || !n.Inode().IsDir() || s.langs.lib[n] != nil {
		return
	}
	l := s.newLibrary("Ruby library", s.path(n))
	prefix, _, _ := strings.Cut(l.path, "/lib/")
	s.langs.lib[n] = l
	order := 2
	switch {
	case strings.Contains(l.path, "/site_ruby"):
		order = 0
	case site:
		order = 1
	}
	s.langs.rubies = append(s.langs.rubies, &rubyLibrary{library: l, prefix: prefix, site: site, order: order})
	for _, c := range n.Children() {
		if name := c.Name(); c.Child("rbconfig.rb") != nil || site && (strings.Contains(name, "-linux") || isDigit(name[0])) {
			s.addRuby(c, site)
		}
	}
}

// vendoredGem gives a gem whose code a distribution installs among the modules of
// vendor_ruby the files of its name there.
func (s *selector) vendoredGem(g *rubyGem) {
	for _, l := range s.langs.rubies {
		if !l.site {
			continue
		}
		for _, rel := range []string{g.name, strings.ReplaceAll(g.name, "-", "/")} {
			for _, name := range []string{rel + ".rb", rel} {
				if n, _, err := s.fs.ResolveFrom(l.node, name); err == nil && n != l.node && s.langs.lib[n] == nil {
					s.ownTree(n, g.unit)
				}
			}
			if rel == strings.ReplaceAll(g.name, "-", "/") {
				break
			}
		}
	}
}

// rubyEssentials are the features that Ruby loads by itself, by name: at its start,
// to report an error or in a core method (gem_prelude.rb, prelude.rb, string.c).
var rubyEssentials = strings.Fields(`rubygems rbconfig monitor error_highlight did_you_mean syntax_suggest/core_ext
	unicode_normalize/normalize set pp bundled_gems enumerator thread fiber io/console/size`)

// rubyStarted keeps what the Ruby that the file i is or holds loads by itself, and
// applies the lock files that it is told of.
func (s *selector) rubyStarted(i int) {
	r, p := &s.langs.rubyRules, s.paths[i]
	prefix, _, _ := strings.Cut(p, "/lib/")
	if dir := path.Dir(p); path.Base(dir) == "bin" {
		prefix = path.Dir(dir)
	}
	for _, l := range r.rubies {
		if l.prefix == prefix || l.site && prefix == "/usr" {
			r.inUse = append(r.inUse, l)
		}
	}
	if r.inUse == nil {
		r.inUse = r.rubies
	}
	slices.SortStableFunc(r.inUse, func(a, b *rubyLibrary) int { return cmp.Compare(a.order, b.order) })
	s.rubyRoots()
	why := Reason{Rule: "data", Text: "loaded by name by Ruby, which is " + p, From: p}
	for _, l := range r.inUse {
		if enc := l.node.Child("enc"); enc != nil {
			s.filesBelow(enc, nil, func(n *rootfs.Node) { s.use(n, why) })
		}
	}
	// RubyGems reads all default gems' at its start (Gem::Specification.load_defaults).
	for _, g := range r.gems {
		if g.std {
			s.keepGemSpec(g, Reason{Rule: "data", Text: "specification of the default " + g.unit.String() + ", read by Ruby's start, which is " + p, From: p})
		}
	}
	for _, feature := range rubyEssentials {
		s.rubyFeature(nil, nil, feature, why)
	}
	if file := s.env("BUNDLE_GEMFILE", ""); file != "" {
		if n, _, err := s.fs.Resolve(path.Dir(s.absolute(file))); err == nil {
			s.bundle(n)
		}
	}
	if n, _, err := s.fs.Resolve(s.absolute("")); err == nil {
		s.bundleAbove(n)
	}
}

// bundleAbove applies the lock file of a folder or the nearest above it.
func (s *selector) bundleAbove(dir *rootfs.Node) {
	for ; dir != nil && !s.bundle(dir); dir = dir.Parent() {
	}
}

// rubyRoots lays out the load path: libraries, then gems, each by what it has.
func (s *selector) rubyRoots() {
	r := &s.langs.rubyRules
	r.roots = make(map[string][]*rubyRoot)
	add := func(root *rubyRoot) {
		last := ""
		for _, n := range root.node.Children() {
			name := strings.TrimSuffix(strings.TrimSuffix(n.Name(), ".rb"), ".so")
			if name != last {
				r.roots[name] = append(r.roots[name], root)
				last = name
			}
		}
	}
	for _, l := range r.inUse {
		add(&rubyRoot{node: l.node, lib: l.library})
	}
	for _, g := range r.gems {
		for _, lib := range g.libs {
			add(&rubyRoot{node: lib, gem: g})
		}
	}
}

// devGems are tools for development: that a library knows how to work with one
// does not say that the program does.
var devGems = set(`rspec rspec-core rspec-expectations rspec-mocks rspec-support rspec-rails rubocop pry pry-byebug byebug debug irb rdoc ri rake
	bundler minitest test-unit simplecov yard guard web-console spring capybara selenium-webdriver webmock vcr
	factory_bot factory_bot_rails brakeman solargraph ruby-lsp steep rbs typeprof power_assert reek overcommit
	better_errors binding_of_caller rerun coveralls ruby-prof stackprof memory_profiler benchmark-ips mini_portile2
	rake-compiler rubygems-update`)

// devFeatures are the same by what they are required as, with parts of the
// standard library.
var devFeatures = set(`rspec rubocop pry byebug debug irb rdoc rake bundler minitest test simplecov yard guard spring capybara
	selenium-webdriver webmock vcr factory_bot mkmf un debugger ruby-debug profile profiler rbs typeprof
	power_assert win32ole`)

// rubyAppOnly are file names of an application that only its development reads.
var rubyAppOnly = set("Rakefile Gemfile Guardfile Capfile Dangerfile gems.rb Gemfile.lock gems.locked")

// rubySource follows what a used source requires.
func (s *selector) rubySource(i int) {
	n := s.sel.Entries[i].Node
	gem := s.langs.gemOf[s.unitOf[i]]
	lib := s.rubyLibraryOf(n)
	if gem == nil && lib == nil {
		if ext := path.Ext(n.Name()); rubyAppOnly[n.Name()] || ext == ".lock" || ext == ".rake" {
			if s.sel.Entries[i].Reason.Rule == "touched" && (ext == ".lock" || ext == ".locked" || n.Name() == "Gemfile" || n.Name() == "gems.rb") {
				s.bundleAbove(n.Parent())
			}
			if s.sel.Entries[i].Reason.Rule == "tree" || ext == ".lock" || n.Name() == "Gemfile" {
				return
			}
		}
		s.bundleAbove(n.Parent())
	}
	text := s.readText(n)
	if text == nil {
		return
	}
	p := s.paths[i]
	if path.Ext(n.Name()) == ".so" {
		for _, feature := range featuresInObject(text) {
			s.rubyFeature(gem, nil, feature, Reason{Rule: "import", Text: "named in " + p, From: p})
		}
		return
	}
	src := scanRuby(text)
	for _, r := range src.requires {
		s.rubyRequire(n, gem, lib, r, p)
	}
	for _, r := range src.loads {
		s.rubyRequire(n, gem, lib, r, p)
	}
	for _, r := range src.relatives {
		s.rubyRelative(path.Join(path.Dir(p), r.name), lib, r, importReason(p, r))
	}
	for _, r := range src.fromFile {
		s.rubyRelative(path.Join(p, r.name), lib, r, importReason(p, r))
	}
	for _, r := range src.prefixes {
		s.rubyPrefix(n, r, p)
	}
	if gem == nil && lib == nil {
		for k, named := range src.gems {
			g := s.gemNamed(named.name, nil)
			s.touchGem(g, "named by "+p, p)
			if program := src.programs[k].name; g != nil && g.dir != nil && program != "" {
				for _, dir := range []string{"exe", "bin"} {
					s.rubyFile(path.Join(s.path(g.dir), dir, program), importReason(p, named))
				}
			}
		}
	}
	if lib != nil {
		s.rubyData(n, p)
		if src.dynamic.line != 0 && !isGemManager(p) {
			s.rubyBelow(n, src.dynamic, p)
		}
	}
}

// rubyRelative proposes what require_relative and its like name; not what RubyGems
// loads for its commands.
func (s *selector) rubyRelative(p string, lib *library, r naming, why Reason) {
	if lib != nil && r.lazy {
		if rest, ok := strings.CutPrefix(p, lib.path+"/rubygems/"); ok && isGemCommand(rest) {
			return
		}
	}
	s.rubyFile(p, why)
}

// rubyBelow keeps the modules in the folder of a module's name that loads some by
// a name made up when it runs.
func (s *selector) rubyBelow(n *rootfs.Node, r naming, p string) {
	for _, l := range s.langs.inUse {
		rel, ok := strings.CutPrefix(strings.TrimSuffix(p, ".rb"), s.rubyLibraryOf(n).path+"/")
		if !ok {
			return
		}
		dir, _, err := s.fs.ResolveFrom(l.node, rel)
		if err != nil || dir == l.node {
			continue
		}
		for _, c := range dir.Children() {
			if ext := path.Ext(c.Name()); ext == ".rb" || ext == ".so" {
				s.use(c, importReason(p, r))
			}
		}
	}
}

// isGemManager reports whether a source is RubyGems' or Bundler's own.
func isGemManager(p string) bool {
	return strings.Contains(p, "/rubygems/") || strings.Contains(p, "/bundler/") || strings.HasSuffix(p, "/rubygems.rb") || strings.HasSuffix(p, "/bundler.rb")
}

// rubyLibraryOf is the library that a name is in, nil for none.
func (s *selector) rubyLibraryOf(n *rootfs.Node) *library {
	for dir := n.Parent(); dir != nil; dir = dir.Parent() {
		if l := s.langs.lib[dir]; l != nil {
			return l
		}
	}
	return nil
}

// rubyRequire follows a require or load. Which tools for development a library can
// work with does not count.
func (s *selector) rubyRequire(n *rootfs.Node, gem *rubyGem, lib *library, r naming, p string) {
	why := importReason(p, r)
	if strings.HasPrefix(r.name, "/") {
		s.rubyFile(r.name, why)
		return
	}
	if strings.HasPrefix(r.name, "./") || strings.HasPrefix(r.name, "../") {
		s.rubyFile(path.Join(s.absolute(""), r.name), why)
		s.rubyFile(path.Join(path.Dir(p), r.name), why)
		return
	}
	top, _, _ := strings.Cut(r.name, "/")
	if (gem != nil || lib != nil) && devFeatures[top] && !s.sameTop(n, gem, lib, top) {
		return
	}
	if rest, ok := strings.CutPrefix(r.name, "rubygems/"); ok && r.lazy && (gem != nil || lib != nil) && isGemCommand(rest) {
		return
	}
	if r.lazy && gemManagerNeeds[r.name] && isGemManager(p) {
		return
	}
	if !s.rubyFeature(gem, s.rubyAppLibs(n, gem, lib), r.name, why) {
		s.rubyFile(path.Join(s.absolute(""), r.name), why) // load looks there, too
	}
}

// sameTop reports whether a source is a part of what top names.
func (s *selector) sameTop(n *rootfs.Node, gem *rubyGem, lib *library, top string) bool {
	if gem != nil {
		name, _, _ := strings.Cut(gem.name, "-")
		return name == top
	}
	own, _, _ := strings.Cut(strings.TrimPrefix(s.path(n), lib.path+"/"), "/")
	return strings.TrimSuffix(own, ".rb") == top
}

// gemCommands are the parts of RubyGems that install, build and fetch: a package
// manager's, which a program that runs does not come to.
var gemCommands = set(`commands command command_manager gem_runner installer install_update_options dependency_installer
	uninstaller package package_task remote_fetcher request security security_option server indexer
	gemcutter_utilities spec_fetcher doctor validator rdoc query_utils local_remote_options version_option
	install_message mirror ext s3_uri_signer test_utilities test_case webauthn_listener gemcutter`)

// isGemCommand reports whether a path in the folder rubygems is that of a part that
// only its commands need.
func isGemCommand(rel string) bool {
	top, _, _ := strings.Cut(strings.TrimSuffix(rel, ".rb"), "/")
	return gemCommands[top]
}

// gemManagerNeeds are what RubyGems and Bundler require to fetch and unpack gems.
var gemManagerNeeds = set("openssl net/http socket resolv zlib yaml psych open-uri tempfile tmpdir webrick io/console readline")
