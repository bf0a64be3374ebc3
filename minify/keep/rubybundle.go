package keep

import (
	"bytes"
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A gemLock is a Gemfile.lock (Bundler's lockfile parser): which gems an
// application was resolved to.
type gemLock struct {
	specs   map[string]*lockedGem // by name
	roots   []string              // DEPENDENCIES
	folders []string              // remote of PATH
}

// A lockedGem is a line under "specs:" and those below it.
type lockedGem struct {
	versions []string // one for each platform, that included
	depends  []string
}

func parseGemLock(src []byte) *gemLock {
	l := &gemLock{specs: make(map[string]*lockedGem)}
	section := ""
	var last *lockedGem
	for line := range strings.Lines(string(src)) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, " ")
		if text == "" {
			continue
		}
		indent := len(line) - len(text)
		name, version, _ := strings.Cut(text, " ")
		switch {
		case indent == 0:
			section, last = text, nil
		case section == "DEPENDENCIES" && indent == 2:
			l.roots = append(l.roots, strings.TrimSuffix(name, "!"))
		case section == "PATH" && indent == 2 && name == "remote:":
			l.folders = append(l.folders, version)
		case section != "GEM" && section != "GIT" && section != "PATH" && section != "PLUGIN SOURCE":
		case indent == 4:
			if last = l.specs[name]; last == nil {
				last = new(lockedGem)
				l.specs[name] = last
			}
			last.versions = append(last.versions, strings.Trim(version, "()"))
		case indent == 6 && last != nil && !slices.Contains(last.depends, strings.TrimSuffix(name, "!")):
			last.depends = append(last.depends, strings.TrimSuffix(name, "!"))
		}
	}
	return l
}

// closure are the names that the given ones need, themselves among them, in the
// order in which they are met.
func (l *gemLock) closure(names []string) []string {
	var list []string
	seen := make(map[string]bool)
	for queue := slices.Clone(names); len(queue) > 0; queue = queue[1:] {
		name := queue[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		list = append(list, name)
		if g := l.specs[name]; g != nil {
			queue = append(queue, g.depends...)
		}
	}
	return list
}

// devGroups are the groups of a Gemfile that are not for production, by habit.
var devGroups = set(`development dev develop test tests testing spec ci cucumber lint linting linter rubocop doc docs
	documentation yard debug debugging benchmark benchmarks profile profiling local tools guard release deploy deployment`)

// A gemfile is what a Gemfile says of groups.
type gemfile struct {
	groups  map[string][]string // of each gem; none is the default group
	gemspec bool                // it takes those of the gemspec beside it
}

// parseGemfile reads which groups the gems of a Gemfile are in. It is Ruby, read by
// its lines: "group :a, :b do", "gem 'x', group: :a", blocks and their ends. A gem that is
// named twice is in the groups of both.
func parseGemfile(src []byte) *gemfile {
	f := &gemfile{groups: make(map[string][]string)}
	var blocks [][]string // groups of each block that is open; nil for those of other blocks
	for _, line := range gemfileLines(src) {
		word := line
		for n := range len(line) {
			if !isWord(line[n]) {
				word = line[:n]
				break
			}
		}
		rest := bytes.TrimLeft(line[len(word):], " \t(")
		switch string(word) {
		case "gem":
			name, size := rubyString(rest)
			if name == "" {
				break
			}
			groups := gemGroups(rest[size:])
			for _, b := range blocks {
				groups = append(groups, b...)
			}
			if known, twice := f.groups[name]; !twice || len(known) > 0 && len(groups) > 0 {
				f.groups[name] = append(known, groups...)
			} else {
				f.groups[name] = nil
			}
		case "gemspec":
			f.gemspec = true
		case "end":
			if len(blocks) > 0 {
				blocks = blocks[:len(blocks)-1]
			}
			continue
		}
		switch {
		case opensBlock(line):
			var groups []string
			if string(word) == "group" {
				groups = symbols(rest)
			}
			blocks = append(blocks, groups)
		case slices.Contains([]string{"if", "unless", "case", "begin", "while", "def", "class", "module"}, string(word)) && !bytes.HasSuffix(line, []byte(" end")):
			blocks = append(blocks, nil)
		}
	}
	return f
}

// gemfileLines are the lines without comments, those that a comma ends joined with
// the next.
func gemfileLines(src []byte) [][]byte {
	var list [][]byte
	joined := false
	for line := range bytes.Lines(src) {
		line = bytes.TrimSpace(line)
		if n := bytes.IndexByte(line, '#'); n == 0 || n > 0 && isBlank(line[n-1]) {
			line = bytes.TrimSpace(line[:n])
		}
		if len(line) == 0 {
			continue
		}
		if joined {
			last := &list[len(list)-1]
			*last = append(append((*last)[:len(*last):len(*last)], ' '), line...)
		} else {
			list = append(list, line)
		}
		joined = line[len(line)-1] == ',' || line[len(line)-1] == '\\'
	}
	return list
}

// opensBlock reports whether a line ends in "do" or "do |x|".
func opensBlock(line []byte) bool {
	if n := len(line) - 1; n > 0 && line[n] == '|' {
		if m := bytes.LastIndexByte(line[:n], '|'); m > 0 {
			line = bytes.TrimSpace(line[:m])
		}
	}
	return bytes.HasSuffix(line, []byte(" do")) || bytes.HasSuffix(line, []byte(")do"))
}

// gemGroups are the groups among the arguments of gem: group: :a, :groups => [:a, :b].
func gemGroups(args []byte) []string {
	for _, key := range []string{"groups", "group"} {
		n := bytes.Index(args, []byte(key))
		if n < 0 {
			continue
		}
		value := bytes.TrimLeft(args[n+len(key):], " :=>")
		value = args[len(args)-len(value):]
		if len(value) > 0 && value[0] != '[' && value[0] != '%' {
			if end := bytes.IndexByte(value, ','); end >= 0 {
				value = value[:end]
			}
			return symbols(append([]byte{':'}, bytes.TrimLeft(value, ":")...))
		}
		if end := bytes.IndexAny(value, "]})"); end >= 0 {
			value = value[:end]
		}
		return symbols(value)
	}
	return nil
}

// symbols are the names in ":a, 'b'" and "%i[a b]".
func symbols(b []byte) []string {
	b, _, _ = bytes.Cut(b, []byte(" do"))
	if n := bytes.Index(b, []byte("optional")); n > 0 {
		b = b[:n]
	}
	var list []string
	for _, w := range bytes.FieldsFunc(b, func(r rune) bool { return !(r < 0x80 && (isWord(byte(r)) || r == '-' || r == '%')) }) {
		if w[0] != '%' {
			list = append(list, string(w))
		}
	}
	return list
}

// bundle applies the Gemfile.lock in a folder: the gems of the groups that are for
// production are touched. It reports whether there is one.
func (s *selector) bundle(dir *rootfs.Node) bool {
	if done, ok := s.langs.bundles[dir]; ok {
		return done
	}
	s.langs.bundles[dir] = false
	for _, names := range [][2]string{{"Gemfile.lock", "Gemfile"}, {"gems.locked", "gems.rb"}} {
		lock, file := dir.Child(names[0]), dir.Child(names[1])
		if lock == nil && file == nil || s.unitOf[s.sel.index[cmp.Or(lock, file)]] != nil {
			continue
		}
		s.langs.bundles[dir] = true
		s.applyLock(dir, lock, file)
		return true
	}
	return false
}

// applyLock touches the gems of a lock file or, without one, of a Gemfile.
func (s *selector) applyLock(dir, lock, file *rootfs.Node) {
	at := s.path(cmp.Or(lock, file))
	l := parseGemLock(s.textAt(at))
	production := l.roots
	if file != nil {
		f := parseGemfile(s.textAt(s.path(file)))
		if lock == nil {
			l = &gemLock{roots: slices.Sorted(maps.Keys(f.groups))}
		}
		production = s.productionGems(dir, f, l)
	}
	for _, n := range []*rootfs.Node{lock, file} {
		if n != nil {
			s.keep(n, Reason{Rule: "unit", Text: "names the gems of the application", From: at})
		}
	}
	names := l.closure(production)
	if s.langs.locked == nil {
		s.langs.locked = make(map[string]bool)
	}
	for _, name := range names {
		s.langs.locked[name] = true
	}
	for _, p := range l.folders {
		if lib := s.newLibrary("Ruby library", path.Join(s.path(dir), p, "lib")); lib != nil && !strings.HasPrefix(p, "/") {
			s.langs.appRuby = append(s.langs.appRuby, lib)
		}
	}
	for _, name := range names {
		if g := s.lockedGem(name, l); g != nil {
			s.touchGem(g, "named by "+at, at)
		}
	}
	// Bundler looks for every gem of the groups that it is not told to leave out,
	// and takes it for installed by its specification.
	without := s.bundleWithout(dir)
	for _, name := range l.roots {
		if !without {
			for _, name := range l.closure([]string{name}) {
				if g := s.lockedGem(name, l); g != nil {
					s.keepGemSpec(g, Reason{Rule: "unit", Text: "specification of " + g.unit.String() + ", looked for since it is named by " + at, From: at})
				}
			}
		}
	}
}

// lockedGem is the installed gem of a name in the lock file: of its version, if that
// is there.
func (s *selector) lockedGem(name string, l *gemLock) *rubyGem {
	locked := l.specs[name]
	if locked == nil {
		return s.gemNamed(name, nil)
	}
	for _, v := range locked.versions {
		var std *rubyGem
		for _, g := range s.langs.byName[name] {
			switch {
			case g.full != name+"-"+v && g.version != v:
			case !g.std:
				return g
			default:
				std = g
			}
		}
		if std != nil {
			return std
		}
	}
	return s.gemNamed(name, nil)
}

// productionGems are the names of a lock file's roots that some group has which is
// not for development alone.
func (s *selector) productionGems(dir *rootfs.Node, f *gemfile, l *gemLock) []string {
	develops := make(map[string]bool)
	if f.gemspec {
		for _, n := range dir.Children() {
			if strings.HasSuffix(n.Name(), ".gemspec") {
				for _, name := range parseGemSpec(s.textAt(s.path(n))).develops {
					develops[name] = true
				}
			}
		}
	}
	var list []string
	for _, name := range l.roots {
		groups, named := f.groups[name]
		if !named && develops[name] {
			continue
		}
		if len(groups) == 0 || slices.ContainsFunc(groups, func(g string) bool { return !devGroups[g] }) {
			list = append(list, name)
		}
	}
	return list
}

// bundleWithout reports whether Bundler is told to leave groups out, by the
// environment or its configuration (bundle-config: BUNDLE_WITHOUT).
func (s *selector) bundleWithout(dir *rootfs.Node) bool {
	if s.env("BUNDLE_WITHOUT", "") != "" {
		return true
	}
	for _, p := range []string{path.Join(s.path(dir), ".bundle/config"), path.Join(s.env("BUNDLE_APP_CONFIG", "/usr/local/bundle"), "config"), "/root/.bundle/config"} {
		n, _, err := s.fs.Resolve(p)
		if err != nil {
			continue
		}
		s.keep(n, Reason{Rule: "data", Text: "configuration of Bundler", From: s.path(dir)})
		if text := s.readText(n); bytes.Contains(text, []byte("BUNDLE_WITHOUT:")) || bytes.Contains(text, []byte("BUNDLE_ONLY:")) {
			return true
		}
	}
	return false
}
