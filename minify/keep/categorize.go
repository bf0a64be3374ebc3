package keep

import (
	"io"
	"math"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// pathCategories says of what kind each entry is by its path, and that of the
// folders it is in.
func (s *selector) pathCategories() []Category {
	own := make([]Category, len(s.paths))          // by path; "" where no rule matches
	tree := make([]*categoryPattern, len(s.paths)) // of everything below a folder
	for i, e := range s.sel.Entries {
		dir := e.Node.Parent()
		if dir == nil {
			continue
		}
		tree[i] = tree[s.sel.index[dir]]
		if e.Node.Inode().IsDir() {
			if c := s.folderCategory(s.paths[i], e.Node); c != nil && (tree[i] == nil || c.order < tree[i].order) {
				tree[i] = c
			}
		}
		if tree[i] != nil {
			own[i] = tree[i].category
		} else if !e.Node.Inode().IsDir() {
			own[i] = fileCategory(dir.Name(), e.Node.Name())
			if name := e.Node.Name(); own[i] == "" && strings.HasPrefix(name, "core") && strings.Trim(name[4:], ".0123456789") == "" && s.isCoreDump(e.Node.Inode()) {
				own[i] = CoreDump
			}
		}
	}
	return own
}

// categorize gives every dropped name its Category: from its own path; for a link
// of which the path says nothing, from what it leads to; and else from the unit it
// is part of. It tells the Selection the owners, too.
func (s *selector) categorize() {
	s.sel.owner = make([]string, len(s.paths))
	names := make(map[*unit]string)
	for i, u := range s.unitOf {
		if u != nil {
			if names[u] == "" {
				names[u] = u.String()
			}
			s.sel.owner[i] = names[u]
		}
	}
	for i := range s.sel.Entries {
		e := &s.sel.Entries[i]
		switch {
		case e.Kept:
		case s.excluded[i]:
			e.Category = Excluded
		case s.category[i] != "":
			e.Category = s.category[i]
		default:
			e.Category = s.linkedCategory(e.Node)
			if u := s.unitOf[i]; e.Category == Other && u != nil && !u.touched {
				e.Category = Unused
			}
		}
	}
}

// linkedCategory is that of the program that a link leads to or that has another
// name: /bin/sh is a shell because dash is, an applet because busybox is.
func (s *selector) linkedCategory(n *rootfs.Node) Category {
	if n.Inode().IsSymlink() {
		end, _, err := s.fs.Resolve(s.path(n))
		if err != nil || !end.Inode().IsRegular() {
			return Other
		}
		n = end
	}
	category := Other
	for _, name := range n.Inode().Names { // in no order
		switch c := s.category[s.sel.index[name]]; c {
		case Shell, PackageManager, Toolchain, VersionControl:
			if category == Other || c < category {
				category = c
			}
		}
	}
	return category
}

// toolchainRoot is what a Go or Rust tree matches, and cacheRoot what a folder that
// is tagged as a cache; any pattern comes before them.
var (
	toolchainRoot = &categoryPattern{order: math.MaxInt - 1, category: Toolchain}
	cacheRoot     = &categoryPattern{order: math.MaxInt, category: Cache}
)

func (s *selector) folderCategory(p string, n *rootfs.Node) *categoryPattern {
	if c := folders.match(p, n.Name()); c != nil {
		return c
	}
	if s.isGoRoot(n) || isRustRoot(n, p) {
		return toolchainRoot
	}
	if s.isCacheDir(n) {
		return cacheRoot
	}
	return nil
}

// cacheTag is what CACHEDIR.TAG begins with (bford.info/cachedir).
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55"

// isCacheDir reports whether a folder says of itself that what it holds can be
// made again: Rust's target among others. Tools tag Python environments, too, which
// are no cache to those who run from them.
func (s *selector) isCacheDir(n *rootfs.Node) bool {
	tag := n.Child("CACHEDIR.TAG")
	if tag == nil || !tag.Inode().IsRegular() || n.Child("pyvenv.cfg") != nil {
		return false
	}
	head := make([]byte, len(cacheTag))
	_, err := s.fs.Content(tag.Inode()).ReadAt(head, 0)
	return (err == nil || err == io.EOF) && string(head) == cacheTag
}

// isGoRoot recognises a Go tree wherever it is by what only such a tree has.
func (s *selector) isGoRoot(n *rootfs.Node) bool {
	if n.Child("src") == nil && n.Child("pkg") == nil {
		return false
	}
	has := func(p string) bool {
		_, _, err := s.fs.ResolveFrom(n, p)
		return err == nil
	}
	return has("src/runtime/proc.go") || n.Child("VERSION") != nil && has("pkg/tool")
}

// isRustRoot recognises a Rust tree that is not part of the system's own.
func isRustRoot(n *rootfs.Node, p string) bool {
	if p == "/usr" || p == "/usr/local" {
		return false
	}
	lib, bin := n.Child("lib"), n.Child("bin")
	return lib != nil && lib.Child("rustlib") != nil && bin != nil && bin.Child("rustc") != nil
}

// fileCategory is the category of a file by its name and that of its folder.
func fileCategory(dir, name string) Category {
	if dir == "bin" || dir == "sbin" || dir == ".bin" {
		for _, name := range []string{name, programName(name)} {
			if c := programs.match(name, name); c != nil {
				return c.category
			}
		}
	}
	if c := fileNames.match(name, name); c != nil {
		return c.category
	}
	if isDocument(name) {
		return Documentation
	}
	return ""
}

// programName is a program's name without target and version:
// "x86_64-linux-gnu-gcc-12" is gcc, "pip3.11" is pip.
func programName(name string) string {
	if i := strings.Index(name, "-linux-"); i >= 0 {
		_, name, _ = strings.Cut(name[i+len("-linux-"):], "-")
	}
	return strings.TrimRight(strings.TrimRight(name, "0123456789."), "-")
}

func isDocument(name string) bool {
	stem, ext, _ := strings.Cut(name, ".")
	stem, _, _ = strings.Cut(stem, "-")
	switch strings.ToLower(ext) {
	case "", "txt", "md", "rst", "gz", "apache", "mit", "bsd":
		return slices.Contains(documents, strings.ToUpper(stem))
	case "html": // news.html is a page of a site
		return slices.Contains(documents, stem)
	}
	return false
}

// A categoryTable finds the first rule that matches a path, by the last element:
// most are exact, the globs are few.
type categoryTable struct {
	exact map[string][]categoryPattern
	globs []categoryPattern
}

type categoryPattern struct {
	order    int
	category Category
	elements []element // last first
	absolute bool
}

// An element of a path: text, or what begins and ends so.
type element struct {
	text, prefix, suffix string
	wild                 bool
}

func newElement(text string) element {
	e := element{text: text}
	e.prefix, e.suffix, e.wild = strings.Cut(text, "*")
	return e
}

func (e *element) match(name string) bool {
	if !e.wild {
		return name == e.text
	}
	return len(name) >= len(e.text)-1 && strings.HasPrefix(name, e.prefix) && strings.HasSuffix(name, e.suffix)
}

var (
	folders   = newCategoryTable(folderRules)
	programs  = newCategoryTable(programRules)
	fileNames = newCategoryTable(fileNameRules)
)

func newCategoryTable(rules []categoryRule) *categoryTable {
	t := &categoryTable{exact: make(map[string][]categoryPattern)}
	order := 0
	for _, r := range rules {
		for text := range strings.FieldsSeq(r.patterns) {
			order++
			p := categoryPattern{order: order, category: r.category}
			text, p.absolute = strings.CutPrefix(text, "/")
			for name := range strings.SplitSeq(text, "/") {
				p.elements = slices.Insert(p.elements, 0, newElement(name))
			}
			if last := p.elements[0]; last.wild {
				t.globs = append(t.globs, p)
			} else {
				t.exact[last.text] = append(t.exact[last.text], p)
			}
		}
	}
	return t
}

// match is the first pattern that matches the path p, whose last element is name.
func (t *categoryTable) match(p, name string) *categoryPattern {
	var first *categoryPattern
	for _, list := range [][]categoryPattern{t.exact[name], t.globs} {
		for i := range list {
			if c := &list[i]; (first == nil || c.order < first.order) && c.match(p) {
				first = c
			}
		}
	}
	return first
}

func (c *categoryPattern) match(p string) bool {
	for i := range c.elements {
		slash := strings.LastIndexByte(p, '/')
		if !c.elements[i].match(p[slash+1:]) {
			return false
		}
		p = p[:max(slash, 0)]
	}
	return p == "" || !c.absolute
}
