package keep

import (
	"path"
	"strings"

	"slim/probe/rootfs"
)

// A unit is what belongs together: a package of the system, a Python
// distribution, a Node module, a gem. Once the content of one of its files is used, the unit
// is touched and its rule completes it, once.
type unit struct {
	kind string // "Debian package", "Python distribution"
	name string
	// files are its entries that are no directories, in order.
	files []int
	// complete proposes the rest of the unit, for what unit.why gives; nil completes nothing.
	complete func(*selector, *unit)

	touched bool
	cause   string // how it was touched, to go on after ", ": "of which /a/b is used", "required by flask"
	from    string // the path that touched it
}

func (u *unit) String() string { return u.kind + " " + u.name }

// why is the Reason of what is kept since u was touched: "data of Debian package
// x, of which /usr/lib/y is used".
func (u *unit) why(rule, what string) Reason {
	return Reason{Rule: rule, Text: what + " of " + u.String() + ", " + u.cause, From: u.from}
}

// own makes entry i part of u. The unit that is told last has it: detectors run
// from the general (packages of the system) to the special (a language's own), so
// that a Python distribution in a Debian package is completed by Python's rules.
func (s *selector) own(i int, u *unit) {
	s.unitOf[i] = u
	if !s.sel.Entries[i].Node.Inode().IsDir() {
		u.files = append(u.files, i)
	}
}

// unit is the rule on used files: who uses a file uses the unit it is part of.
func (s *selector) unit(i int) {
	if u := s.unitOf[i]; u != nil {
		s.touch(u, "of which "+s.paths[i]+" is used", s.paths[i])
	}
}

// touch marks a unit as used, so that it is completed: cause goes on after
// ", " ("required by flask"), from is the path that led here. The first counts.
func (s *selector) touch(u *unit, cause, from string) {
	if u.touched {
		return
	}
	u.touched, u.cause, u.from = true, cause, from
	s.units = append(s.units, u)
}

// completeFiles keeps every file of u that is not surplus, for use: what the plain
// unit is completed by.
func (s *selector) completeFiles(u *unit) {
	for _, i := range u.files {
		if s.unitOf[i] == u && !s.surplus(i) {
			s.use(s.sel.Entries[i].Node, u.why("unit", "part"))
		}
	}
}

// surplus reports whether a name is of a kind that no program needs when it runs,
// however whole its unit is wanted: documentation, tests, headers, caches. A
// locale's data is none, nor the license of what is kept.
func (s *selector) surplus(i int) bool {
	switch s.category[i] {
	case "", Other, Locale:
		return false
	case Documentation:
		return s.opts.NoLicenses || !isLicense(s.sel.Entries[i].Node.Name())
	}
	return true
}

// isLicense reports whether a file's name is that of a license text.
func isLicense(name string) bool {
	name = strings.ToUpper(name)
	for _, stem := range []string{"LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"} {
		if rest, ok := strings.CutPrefix(name, stem); ok && (rest == "" || strings.ContainsAny(rest[:1], ".-_")) {
			return true
		}
	}
	return false
}

// maxText bounds what is read of a file as text: sources, records, configuration.
const maxText = 8 << 20

// readText is the content of a regular file of at most maxText bytes; nil if it is
// larger or cannot be read.
func (s *selector) readText(n *rootfs.Node) []byte {
	i := n.Inode()
	if !i.IsRegular() || i.Size > maxText {
		return nil
	}
	b := make([]byte, i.Size)
	if m, _ := s.fs.Content(i).ReadAt(b, 0); int64(m) < i.Size {
		return nil
	}
	return b
}

// at is the name at a clean absolute path, its directories' links followed; nil
// if there is none.
func (s *selector) at(p string) *rootfs.Node {
	n, err := s.fs.Lookup(p)
	if err != nil {
		return nil
	}
	return n
}

// isSystem reports whether dir is a folder that the file system hierarchy shares
// among packages (FHS 3.0, and Debian's multiarch), so that to use one file in it says nothing of
// the others.
func isSystem(dir string) bool {
	if dir == "/" {
		return true
	}
	parent, name := path.Split(dir)
	switch path.Clean(parent) {
	case "/":
		return systemFolders[name] || strings.HasPrefix(name, "lib")
	case "/usr", "/usr/local":
		return usrFolders[name] || strings.HasPrefix(name, "lib")
	case "/var":
		return varFolders[name]
	case "/usr/lib", "/usr/local/lib", "/lib":
		return strings.Count(name, "-") >= 2 && strings.Contains(name, "linux") // x86_64-linux-gnu
	}
	return false
}

var (
	systemFolders = set("bin boot dev etc home media mnt opt proc root run sbin srv sys tmp usr var")
	usrFolders    = set("bin etc games include local man sbin share src")
	varFolders    = set("backups cache lib local lock log mail opt run spool tmp")
)

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}
