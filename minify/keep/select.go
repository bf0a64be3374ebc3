package keep

import (
	"context"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"slim/probe"
	"slim/probe/rootfs"
)

// A selector makes one Selection. Rules propose names with keep and use; the
// first Reason of a name stands. What kept names imply is followed by a worklist
// until nothing new is proposed. No rule takes anything back, so the fixed point
// does not depend on the order; the reasons do, and the order is fixed.
type selector struct {
	fs    *rootfs.FS
	trace *probe.Trace
	cfg   v1.Config
	opts  Options

	sel      *Selection
	paths    []string // of each entry
	excluded []bool
	used     []bool // content is run or read: what it loads is needed too
	bare     []bool // a link that was seen but not followed

	category []Category // of each entry by its path alone; "" where no rule speaks
	unitOf   []*unit    // what each entry is part of; nil for none
	packages *packageDB // of the system

	kept     []int   // kept, not yet followed by the rules on names
	programs []int   // used, not yet followed by the rules on programs
	objects  []int   // shared objects, which wait until no program is left
	units    []*unit // touched, not yet completed

	include, exclude []*glob

	elf       *linker
	names     *nameFinder
	langs     *scripting
	trees     *trees
	commander *commander
	node      *nodeRules
	py        *python // nil if the tree has none
	java      *javaRules
}

// The rules, in the order in which they propose: seeds from what stands outside
// the tree, then the rules that follow each kept name and each used file, and
// those on shared objects that no program was found to load.
//
// The policy Units adds: detectors, which say what the image's units are, from
// the general to the special; seeds of its own; and rules on kept names and used files.
var (
	seeds     = []func(*selector){(*selector).touched, (*selector).config, (*selector).mountPoints, (*selector).included, (*selector).includedPrograms}
	nameRules = []func(*selector, int){(*selector).parent, (*selector).link}
	fileRules = []func(*selector, int){(*selector).script, (*selector).program, (*selector).commands}
	lastRules = []func(*selector, int){(*selector).object}

	detectors = []func(*selector){
		(*selector).systemPackages,
		(*selector).scriptLibraries,
		(*selector).detectNode,
		(*selector).pythons,
		(*selector).detectJava,
	}
	unitSeeds = []func(*selector){
		(*selector).configuredShell,
		(*selector).npmScript,
		(*selector).applicationTrees,
		(*selector).pythonSeeds,
	}
	unitNameRules = []func(*selector, int){(*selector).license, (*selector).namedByConfiguration, (*selector).keptSource}
	unitFileRules = []func(*selector, int){
		(*selector).unit,
		(*selector).systemPackage,
		(*selector).namedBySystem,
		(*selector).libcData,
		(*selector).tree,
		(*selector).named,
		(*selector).scripted,
		(*selector).nodeFile,
		(*selector).python,
		(*selector).javaFile,
	}
)

func newSelector(fsys *rootfs.FS, trace *probe.Trace, cfg v1.Config, opts Options) *selector {
	if trace == nil {
		trace = new(probe.Trace)
	}
	n := fsys.Len()
	s := &selector{
		fs: fsys, trace: trace, cfg: cfg, opts: opts,
		sel:      &Selection{FS: fsys, Entries: make([]Entry, 0, n), index: make(map[*rootfs.Node]int, n)},
		paths:    make([]string, 0, n),
		excluded: make([]bool, n), used: make([]bool, n), bare: make([]bool, n),
		unitOf: make([]*unit, n),
	}
	for node := range fsys.All() {
		p := "/"
		if dir := node.Parent(); dir != nil {
			p = join(s.paths[s.sel.index[dir]], node.Name())
		}
		s.sel.index[node] = len(s.paths)
		s.paths = append(s.paths, p)
		s.sel.Entries = append(s.sel.Entries, Entry{Node: node})
	}
	s.category = s.pathCategories()
	s.elf = newLinker(s)
	s.names = newNameFinder(s)
	s.langs = newScripting()
	s.trees = newTrees(s)
	s.commander = newCommander(s)
	return s
}

// join appends a name to a clean absolute path. path.Join would clean the name
// too, and cost most of the time of a large tree.
func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

func (s *selector) run(ctx context.Context) error {
	if err := s.readGlobs(); err != nil {
		return err
	}
	// Who owns what is told under every policy, since reports name it.
	for _, detect := range detectors {
		detect(s)
	}
	for _, seed := range seeds {
		seed(s)
	}
	names, files := nameRules, fileRules
	if s.opts.Keep != Accessed {
		names = slices.Concat(nameRules, unitNameRules)
		files = slices.Concat(fileRules, unitFileRules)
		for _, seed := range unitSeeds {
			seed(s)
		}
	}
	s.keep(s.fs.Root(), Reason{Rule: "parent", Text: "the root of the tree"})
	// Reasons must not depend on the order in which the seeds came.
	slices.Sort(s.kept)
	slices.Sort(s.programs)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var rules []func(*selector, int)
		var i int
		switch {
		case len(s.kept) > 0:
			rules, i, s.kept = names, s.kept[0], s.kept[1:]
		case len(s.programs) > 0:
			rules, i, s.programs = files, s.programs[0], s.programs[1:]
		case len(s.units) > 0:
			u := s.units[0]
			s.units = s.units[1:]
			if u.complete != nil {
				u.complete(s, u)
			}
			continue
		case len(s.commander.sources) > 0:
			s.commander.compiledSources()
			continue
		case len(s.objects) > 0:
			// Only now is it known which of them some program loads.
			rules, i, s.objects = lastRules, s.objects[0], s.objects[1:]
		default:
			return nil
		}
		for _, rule := range rules {
			rule(s, i)
		}
	}
}

// keep proposes one name, and reports whether it is kept: it is unless excluded.
func (s *selector) keep(n *rootfs.Node, why Reason) bool {
	i := s.sel.index[n]
	if s.excluded[i] {
		return false
	}
	if e := &s.sel.Entries[i]; !e.Kept {
		e.Kept, e.Reason = true, why
		s.kept = append(s.kept, i)
	}
	return true
}

// use proposes a name whose content will be run or read, so that what it loads is
// needed too.
func (s *selector) use(n *rootfs.Node, why Reason) {
	if !s.keep(n, why) || !n.Inode().IsRegular() {
		return
	}
	if i := s.sel.index[n]; !s.used[i] {
		s.used[i] = true
		s.programs = append(s.programs, i)
	}
}

// usePath proposes the file that p leads to, and the links on the way; nil if
// nothing is there.
func (s *selector) usePath(p string, why Reason) *rootfs.Node {
	n, links, err := s.fs.Resolve(p)
	if err != nil {
		return nil
	}
	s.keepLinks(links, p, why)
	s.use(n, why)
	return n
}

// keepLinks proposes the links that the way along p passes: the name at its end,
// if that is a link, for the same reason as the file.
func (s *selector) keepLinks(links []*rootfs.Node, p string, why Reason) {
	for _, l := range links {
		if l.Name() == path.Base(p) {
			s.keep(l, why)
		} else {
			s.keep(l, Reason{Rule: "link", Text: "on the way to " + p, From: p})
		}
	}
}

// path is the path of a name of the tree.
func (s *selector) path(n *rootfs.Node) string { return s.paths[s.sel.index[n]] }

// findProgram finds the file that exec would run for argv[0]: with a slash, from
// the working directory; without, in the PATH of the image's environment.
func (s *selector) findProgram(name string) (p string, ok bool) {
	if list := s.findPrograms(name); len(list) > 0 {
		return list[0], true
	}
	return "", false
}

// findPrograms finds that file and those of the same name that stand behind it.
func (s *selector) findPrograms(name string) []string {
	if name == "" {
		return nil
	}
	var list []string
	candidates := []string{s.absolute(name)}
	if !strings.Contains(name, "/") {
		candidates = nil
		for dir := range strings.SplitSeq(s.env("PATH", defaultPath), ":") {
			candidates = append(candidates, path.Join(s.absolute(dir), name))
		}
	}
	for _, p := range candidates {
		n, _, err := s.fs.Resolve(p)
		if err == nil && n.Inode().IsRegular() && n.Inode().Mode&0o111 != 0 {
			list = append(list, p)
		}
	}
	return list
}

// defaultPath is the PATH that Docker sets where the config has none (moby,
// oci/defaults.go and daemon/pkg/oci DefaultPathEnv).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// absolute is p from the working directory of the config. It is not cleaned: a
// ".." after a link leads elsewhere than the text says.
func (s *selector) absolute(p string) string {
	switch dir := rooted(s.cfg.WorkingDir); {
	case strings.HasPrefix(p, "/"):
		return p
	case p == "":
		return dir
	default:
		return join(dir, p)
	}
}

// env is a variable of the config's environment; of several the last counts.
func (s *selector) env(name, unset string) string {
	for _, kv := range slices.Backward(s.cfg.Env) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v
		}
	}
	return unset
}

// parent keeps the directory that holds a kept name.
func (s *selector) parent(i int) {
	if dir := s.sel.Entries[i].Node.Parent(); dir != nil {
		s.keep(dir, Reason{Rule: "parent", Text: "holds " + s.paths[i], From: s.paths[i]})
	}
}

// link keeps what a kept link leads to: every link of the chain, the directory or
// special file at its end, which cost nothing and without which the name is of
// another kind for whoever looks at it, and the regular file at its end unless
// the link was seen only as a name: `ls -l` asks for a link's attributes and must
// not bring in the content behind it. (A program that followed the link has
// touched the file, which is then kept for that.)
func (s *selector) link(i int) {
	n := s.sel.Entries[i].Node
	if !n.Inode().IsSymlink() {
		return
	}
	p := s.paths[i]
	end, links, err := s.fs.Resolve(p)
	for _, l := range links {
		if l != n {
			if j := s.sel.index[l]; s.bare[i] && !s.sel.Entries[j].Kept {
				s.bare[j] = true
			}
			s.keep(l, Reason{Rule: "link", Text: "link that " + p + " leads through", From: p})
		}
	}
	// A link that leads nowhere did so before.
	if err == nil && !(s.bare[i] && end.Inode().Type() == unix.S_IFREG) {
		s.keep(end, Reason{Rule: "link", Text: "target of the link " + p, From: p})
	}
}
