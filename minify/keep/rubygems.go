package keep

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"slim/probe/rootfs"
)

// A rubyGem is a gem that is installed: what RubyGems put into the folders of a
// gem home for it, or Bundler's checkout of a repository.
type rubyGem struct {
	unit *unit
	gemSpec
	full string       // "nokogiri-1.13.10-x86_64-linux"
	spec *rootfs.Node // its specification
	dir  *rootfs.Node // nil if its code lies elsewhere
	exts []*rootfs.Node
	std  bool // a default gem: its code is in the standard library
	libs []*rootfs.Node
}

// A gemSpec is what a specification says.
type gemSpec struct {
	name, version, platform string
	paths                   []string // require_paths
	depends                 []gemDependency
	develops                []string // names of development dependencies
}

type gemDependency struct {
	name         string
	requirements []string // "~> 2.2"
}

// findGems detects the gems of every gem home (a folder with specifications in it)
// and Bundler's checkouts.
func (s *selector) findGems() {
	for _, e := range s.sel.Entries {
		n := e.Node
		if !n.Inode().IsDir() {
			continue
		}
		switch n.Name() {
		case "specifications":
			s.gemHome(n)
		case "gems":
			if n.Parent().Name() == "bundler" {
				s.gemCheckouts(n)
			}
		}
	}
}

// gemHome makes units of the gems with a specification in a folder.
func (s *selector) gemHome(specifications *rootfs.Node) {
	home := specifications.Parent()
	s.gemsIn(home, specifications, false)
	if std := specifications.Child("default"); std != nil {
		s.gemsIn(home, std, true)
	}
}

func (s *selector) gemsIn(home, specifications *rootfs.Node, std bool) {
	gems := home.Child("gems")
	for _, n := range specifications.Children() {
		full, ok := strings.CutSuffix(n.Name(), ".gemspec")
		if !ok || n.Inode().IsDir() {
			continue
		}
		spec := parseGemSpec(s.textAt(s.path(n)))
		if spec.name == "" {
			spec.name, spec.version = splitGemName(full)
		}
		g := &rubyGem{gemSpec: spec, full: full, spec: n, std: std}
		if gems != nil {
			g.dir = s.folder(gems.Child(full))
		}
		if std && g.dir != nil && !hasBelow(g.dir, "lib") {
			g.dir = nil // only its programs
		}
		s.addGem(g, home)
	}
}

// folder is the folder that n is or leads to, nil if none.
func (s *selector) folder(n *rootfs.Node) *rootfs.Node {
	if n != nil && n.Inode().IsSymlink() {
		n, _, _ = s.fs.Resolve(s.path(n))
	}
	if n == nil || !n.Inode().IsDir() {
		return nil
	}
	return n
}

// hasBelow reports whether a folder has an entry.
func hasBelow(dir *rootfs.Node, name string) bool { return dir.Child(name) != nil }

// addGem makes the unit of a gem and tells who owns what. Its specification is read
// with all others when any gem is looked for, so that reading it does not touch
// the gem.
func (s *selector) addGem(g *rubyGem, home *rootfs.Node) {
	g.unit = &unit{kind: "gem", name: g.name + " " + g.version, complete: (*selector).completeGem}
	s.langs.gems = append(s.langs.gems, g)
	s.langs.gemOf[g.unit] = g
	if g.spec != nil {
		s.own(s.sel.index[g.spec], &unit{kind: "gem", name: g.unit.name})
	}
	if g.dir != nil {
		s.ownTree(g.dir, g.unit)
		for _, p := range g.paths {
			if lib, _, err := s.fs.ResolveFrom(g.dir, p); err == nil && lib.Inode().IsDir() {
				g.libs = append(g.libs, lib)
			}
		}
	}
	if home == nil {
		return
	}
	for _, arch := range children(home.Child("extensions")) {
		for _, version := range children(arch) {
			if ext := version.Child(g.full); ext != nil && ext.Inode().IsDir() {
				g.exts = append(g.exts, ext)
				s.ownTree(ext, g.unit)
			}
		}
	}
	g.libs = slices.Concat(g.exts, g.libs) // the order of Gem::BasicSpecification#full_require_paths
	for _, sub := range []string{"doc", "build_info", "cache", "plugins"} {
		for _, n := range children(home.Child(sub)) {
			if name := n.Name(); name == g.full || name == g.full+".gem" || name == g.full+".info" || name == g.name+"_plugin.rb" {
				s.ownTree(n, g.unit)
			}
		}
	}
}

func children(n *rootfs.Node) []*rootfs.Node {
	if n == nil {
		return nil
	}
	return n.Children()
}

func (s *selector) ownTree(n *rootfs.Node, u *unit) {
	s.own(s.sel.index[n], u)
	s.below(n, func(n *rootfs.Node) { s.own(s.sel.index[n], u) })
}

// gemCheckouts makes units of Bundler's checkouts of repositories, NAME-REVISION
// each, which may hold several gems.
func (s *selector) gemCheckouts(dir *rootfs.Node) {
	for _, n := range dir.Children() {
		if !n.Inode().IsDir() {
			continue
		}
		for _, in := range slices.Concat([]*rootfs.Node{n}, n.Children()) {
			for _, f := range in.Children() {
				name, ok := strings.CutSuffix(f.Name(), ".gemspec")
				if !ok || f.Inode().IsDir() {
					continue
				}
				spec := parseGemSpec(s.textAt(s.path(f)))
				_, revision := splitGemName(n.Name())
				spec.name, spec.version = name, revision
				if len(spec.paths) == 0 {
					spec.paths = []string{"lib"}
				}
				s.addGem(&rubyGem{gemSpec: spec, full: n.Name(), dir: in}, dir.Parent().Parent())
			}
		}
	}
}

// splitGemName splits "net-http-0.2.0": the version begins with a digit after the
// last "-" that has one behind it, but for a platform.
func splitGemName(full string) (name, version string) {
	for i := len(full) - 2; i > 0; i-- {
		if full[i] == '-' && isDigit(full[i+1]) && strings.Contains(full[i:], ".") {
			return full[:i], full[i+1:]
		}
	}
	if i := strings.LastIndexByte(full, '-'); i > 0 {
		return full[:i], full[i+1:]
	}
	return full, ""
}

// parseGemSpec reads a specification, as RubyGems writes it
// (Gem::Specification#to_ruby) or as people do; what is computed is passed by.
func parseGemSpec(src []byte) gemSpec {
	var g gemSpec
	seen := make(map[string]bool)
	for line := range bytes.Lines(src) {
		line = bytes.TrimSpace(line)
		if stub, ok := bytes.CutPrefix(line, []byte("# stub: ")); ok {
			// name version platform paths, the paths separated by NUL.
			f := bytes.SplitN(stub, []byte(" "), 4)
			if len(f) == 4 && g.name == "" {
				g.name, g.version, g.platform = string(f[0]), string(f[1]), string(f[2])
				g.paths = strings.Split(string(f[3]), "\x00")
			}
			continue
		}
		dot := bytes.IndexByte(line, '.')
		if dot <= 0 || line[0] == '#' {
			continue
		}
		rest := line[dot+1:]
		n := 0
		for n < len(rest) && isWord(rest[n]) {
			n++
		}
		switch key, values := string(rest[:n]), gemStrings(rest[n:]); {
		case len(values) == 0:
		case key == "name" && g.name == "":
			g.name = values[0]
		case key == "version" && g.version == "":
			g.version = values[0]
		case key == "platform" && g.platform == "":
			g.platform = values[0]
		case key == "require_paths" && g.paths == nil:
			g.paths = values
		case key == "add_development_dependency":
			g.develops = append(g.develops, values[0])
		case (key == "add_runtime_dependency" || key == "add_dependency") && !seen[values[0]] && !slices.Contains(g.develops, values[0]):
			// Old files have all dependencies again, in one list, for RubyGems before 1.2.
			seen[values[0]] = true
			g.depends = append(g.depends, gemDependency{values[0], values[1:]})
		}
	}
	if g.paths == nil {
		g.paths = []string{"lib"}
	}
	return g
}

// gemStrings are the strings in a piece of Ruby: "a", 'b', %q<c>.
func gemStrings(b []byte) []string {
	var list []string
	for i := 0; i < len(b); i++ {
		if value, size := rubyString(b[i:]); size > 0 {
			list = append(list, value)
			i += size - 1
		}
	}
	return list
}

// gemNamed is the gem of a name that fits the requirements: the one touched, or the
// newest; nil if none.
func (s *selector) gemNamed(name string, requirements []string) *rubyGem {
	var best *rubyGem
	for _, g := range s.langs.byName[name] {
		if !satisfies(g.version, requirements) {
			continue
		}
		switch {
		case g.unit.touched:
			return g
		case best == nil || compareVersions(g.version, best.version) > 0 || best.std && !g.std && g.version == best.version:
			best = g
		}
	}
	if best == nil && len(requirements) > 0 {
		return s.gemNamed(name, nil)
	}
	return best
}

// satisfies reports whether a version fits requirements (Gem::Requirement).
func satisfies(version string, requirements []string) bool {
	for _, r := range requirements {
		op, want, ok := strings.Cut(strings.TrimSpace(r), " ")
		if !ok {
			op, want = "=", op
		}
		c := compareVersions(version, want)
		switch op {
		case "=":
			ok = c == 0
		case "!=":
			ok = c != 0
		case ">":
			ok = c > 0
		case ">=":
			ok = c >= 0
		case "<":
			ok = c < 0
		case "<=":
			ok = c <= 0
		case "~>":
			ok = c >= 0 && compareVersions(version, bumpVersion(want)) < 0
		}
		if !ok {
			return false
		}
	}
	return true
}

// bumpVersion is the version that "~>" stays below: 2.2.1 gives 2.3, 2.2 gives 3.
func bumpVersion(v string) string {
	parts := strings.Split(v, ".")
	if len(parts) > 1 {
		parts = parts[:len(parts)-1]
	}
	n, _ := strconv.Atoi(parts[len(parts)-1])
	parts[len(parts)-1] = strconv.Itoa(n + 1)
	return strings.Join(parts, ".")
}

// compareVersions compares as Gem::Version does: numbers as numbers, words before
// numbers ("1.0.rc1" before "1.0").
func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for k := range max(len(x), len(y)) {
		p, q := "0", "0"
		if k < len(x) {
			p = x[k]
		}
		if k < len(y) {
			q = y[k]
		}
		m, errM := strconv.Atoi(p)
		n, errN := strconv.Atoi(q)
		c := 0
		switch {
		case errM == nil && errN == nil:
			c = cmp.Compare(m, n)
		case errM == nil:
			c = 1
		case errN == nil:
			c = -1
		default:
			c = cmp.Compare(p, q)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// completeGem keeps what a gem needs when it runs, its specification, which
// RubyGems reads to find the rest, and the gems that it depends on.
func (s *selector) completeGem(u *unit) {
	g := s.langs.gemOf[u]
	s.keepGemSpec(g, u.why("unit", "specification"))
	for _, i := range u.files {
		n := s.sel.Entries[i].Node
		if s.unitOf[i] != u || !s.gemNeeds(g, i) {
			continue
		}
		s.use(n, u.why("unit", "part"))
	}
	for _, d := range g.depends {
		s.touchGem(s.gemNamed(d.name, d.requirements), "required by "+u.String(), u.from)
	}
}

func (s *selector) keepGemSpec(g *rubyGem, why Reason) {
	if g.spec != nil {
		s.keep(g.spec, why)
	}
}

// touchGem touches a gem that something needs; of a default gem, its main module.
func (s *selector) touchGem(g *rubyGem, cause, from string) {
	if g == nil {
		return
	}
	s.touch(g.unit, cause, from)
	if g.dir == nil {
		why := Reason{Rule: "unit", Text: "main module of " + g.unit.String() + ", " + cause, From: from}
		for _, feature := range []string{g.name, strings.ReplaceAll(g.name, "-", "/")} {
			s.rubyFeature(nil, nil, feature, why)
		}
	}
}

// gemJunk are folders right in a gem that only its development needs.
var gemJunk = set(`spec specs test tests features examples example sample samples doc docs doclib yardoc rdoc benchmark
	benchmarks bench man guides script scripts tasks rakelib sig rbi demo demos website coverage bin exe ports tmp
	gemfiles ci misc .github .git .circleci .yardoc Documentation perf`)

// gemSources are the extensions of what compiled parts are made of, and of documents.
var gemSources = set(`.c .cc .cpp .cxx .h .hh .hpp .hxx .o .a .la .java .rl .y .in .am .ac .m4 .mk .gem .rdoc .md .markdown
	.textile .log .gemspec .rbs .rbi .jar .rs .go .s .S .asm .cmake .def .dll .patch .diff .tar .gz .bz2 .xz .toml .lock
	.info .out .time .ri .ronn .1 .3 .5 .7`)

// gemNeeds reports whether entry i of a gem is of use when it runs.
func (s *selector) gemNeeds(g *rubyGem, i int) bool {
	n := s.sel.Entries[i].Node
	name, p := n.Name(), s.paths[i]
	if isLicense(name) {
		return !s.opts.NoLicenses
	}
	for _, ext := range g.exts {
		if strings.HasPrefix(p, s.path(ext)+"/") {
			return name == "gem.build_complete" || strings.Contains(name, ".so")
		}
	}
	if g.dir == nil {
		return !s.surplus(i)
	}
	rel, ok := strings.CutPrefix(p, s.path(g.dir)+"/")
	if !ok {
		return strings.HasSuffix(name, "_plugin.rb")
	}
	top, below, nested := strings.Cut(rel, "/")
	switch ext := path.Ext(name); {
	case gemSources[ext] && !(ext == ".toml" && nested), isDocument(name) && name != "VERSION":
		return false
	case top == "ext" && ext != ".so", !nested && (ext == "" || name[0] == '.') && name != "VERSION", name == "extconf.rb":
		return false
	case nested && gemJunk[top]:
		return slices.Contains(g.paths, top)
	case ext == ".so":
		return (top != "ext" || len(g.exts) == 0) && !s.isTwin(g, n, below)
	case s.category[i] == Tests: // a folder called test in lib is a module
		return true
	}
	return !s.surplus(i)
}

// isTwin reports whether a copy under extensions is used in place of n, a shared
// object in lib: RubyGems installs both, and which one is loaded depends on how a
// source asks for it.
func (s *selector) isTwin(g *rubyGem, n *rootfs.Node, below string) bool {
	if s.used[s.sel.index[n]] {
		return false
	}
	for _, ext := range g.exts {
		twin, _, err := s.fs.ResolveFrom(ext, below)
		if err == nil && s.used[s.sel.index[twin]] {
			return true
		}
	}
	return false
}
