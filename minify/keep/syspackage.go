package keep

import (
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A packageRecord is what a package manager knows of a package it installed.
type packageRecord struct {
	id, arch string     // its name, and the architecture it is made for
	depends  [][]string // each a choice of names, any of which serves
	provides []string   // names it has besides its own
}

// A systemPackage is a package of the image's own package manager. Its unit holds
// its files.
type systemPackage struct {
	*unit
	packageRecord
	listed   []int // its directories, those that others have too among them
	executed bool  // a program of it is used
	licensed bool  // its license is seen to
	made     *makeup
	wanted   bool     // a package that is used depends on it
	waiting  []func() // to be done once it is wanted
}

// String is the unit's: "Debian package libssl3".
func (p *systemPackage) String() string { return p.unit.String() }

// packageDB is what the image's package managers know.
type packageDB struct {
	s      *selector
	list   []*systemPackage
	named  map[string][]*systemPackage // by name and by what they provide
	of     []*systemPackage            // of each entry; nil for none, and for directories that several have
	unitOf map[*unit]*systemPackage

	shared    []bool                  // directories that several packages have
	dirs      map[string]*rootfs.Node // as the lists name them
	languages map[*rootfs.Node]bool   // folders that a language's rules look after
	programs  map[*rootfs.Node]bool   // folders in PATH
	loader    map[*rootfs.Node]bool   // folders in which the loader finds libraries
	whole     map[*rootfs.Node]bool   // folders kept because something names them; whether themselves
	modules   *moduleNames
	glibc     libcState
	musl      libcState
	buf       []byte    // to scan files with
	locales   *[]string // configured; nil until read
}

// systemPackages detects the packages of the system: who owns what, by the
// records of dpkg and apk.
func (s *selector) systemPackages() {
	s.packages = &packageDB{
		s: s, named: make(map[string][]*systemPackage), unitOf: make(map[*unit]*systemPackage),
		of: make([]*systemPackage, len(s.paths)), shared: make([]bool, len(s.paths)),
		dirs: make(map[string]*rootfs.Node), languages: make(map[*rootfs.Node]bool), whole: make(map[*rootfs.Node]bool),
	}
	s.dpkg()
	s.apk()
	s.packages.finish()
	s.unreadPackages()
}

// unreadDatabases are what other package managers leave, any file of each.
var unreadDatabases = []struct{ manager, files string }{
	{"rpm", `/var/lib/rpm/Packages /var/lib/rpm/Packages.db /var/lib/rpm/rpmdb.sqlite
		/usr/lib/sysimage/rpm/Packages /usr/lib/sysimage/rpm/Packages.db /usr/lib/sysimage/rpm/rpmdb.sqlite`},
	{"pacman", "/var/lib/pacman/local"},
	{"portage", "/var/db/pkg"},
	{"xbps", "/var/db/xbps"},
}

// unreadPackages says which package managers' databases are there and not read.
func (s *selector) unreadPackages() {
	for _, db := range unreadDatabases {
		for p := range strings.FieldsSeq(db.files) {
			if _, _, err := s.fs.Resolve(p); err == nil {
				s.sel.Unread = append(s.sel.Unread, p+": "+db.manager+
					" packages are not read; of what they own, only what was touched, linked with or named is kept, not whole units")
				break
			}
		}
	}
}

// textAt is the content of the file at p, links followed; nil if there is none.
func (s *selector) textAt(p string) []byte {
	n, _, err := s.fs.Resolve(p)
	if err != nil {
		return nil
	}
	return s.readText(n)
}

// add tells of a package and of the paths that its records list, directories
// among them.
func (db *packageDB) add(kind string, r packageRecord, paths []string) {
	p := &systemPackage{unit: &unit{kind: kind, name: r.id, complete: (*selector).completePackage}, packageRecord: r}
	if slices.ContainsFunc(db.named[r.id], func(q *systemPackage) bool { return q.id == r.id }) {
		p.unit.name += ":" + r.arch
	}
	db.list = append(db.list, p)
	db.unitOf[p.unit] = p
	db.named[r.id] = append(db.named[r.id], p)
	for _, name := range r.provides {
		db.named[name] = append(db.named[name], p)
	}
	// What holds another of the list is a directory, even if a link has taken its
	// place since (/lib, once /usr is merged).
	holds := make(map[string]bool)
	last := ""
	for _, f := range paths {
		if dir := path.Dir(f); dir != last {
			holds[dir], last = true, dir
		}
	}
	for _, f := range paths {
		if holds[f] {
			if n := db.dir(f); n != nil {
				db.own(p, n)
			}
		} else if dir := db.dir(path.Dir(f)); dir != nil {
			if n := dir.Child(path.Base(f)); n != nil {
				db.own(p, n)
			}
		}
	}
}

// has reports whether a package lists n, a directory that several list included.
func (db *packageDB) has(n *rootfs.Node) bool {
	i := db.s.sel.index[n]
	return db.of[i] != nil || db.shared[i]
}

// dir is the directory that a path leads to, nil if none.
func (db *packageDB) dir(p string) *rootfs.Node {
	n, ok := db.dirs[p]
	if !ok {
		n, _, _ = db.s.fs.Resolve(p)
		if n != nil && !n.Inode().IsDir() {
			n = nil
		}
		db.dirs[p] = n
	}
	return n
}

// own gives a name to the first package that lists it, and a directory to none if
// a second does.
func (db *packageDB) own(p *systemPackage, n *rootfs.Node) {
	i := db.s.sel.index[n]
	if n.Inode().IsDir() {
		p.listed = append(p.listed, i)
	}
	switch other := db.of[i]; {
	case other == p || db.shared[i]:
	case other == nil:
		db.of[i] = p
	case n.Inode().IsDir():
		db.of[i], db.shared[i] = nil, true
	}
}

// finish tells the selector who owns what.
func (db *packageDB) finish() {
	for i, p := range db.of {
		if p != nil {
			db.s.own(i, p.unit)
		}
	}
}

// required lists the packages that p depends on: of each choice the first that is
// installed, of p's own architecture if it is.
func (db *packageDB) required(p *systemPackage) []*systemPackage {
	var list []*systemPackage
	for _, choice := range p.depends {
		for _, name := range choice {
			candidates := db.named[name]
			if len(candidates) == 0 {
				continue
			}
			q := candidates[0]
			if i := slices.IndexFunc(candidates, func(q *systemPackage) bool { return q.arch == p.arch }); i >= 0 {
				q = candidates[i]
			}
			if q != p && !slices.Contains(list, q) {
				list = append(list, q)
			}
			break
		}
	}
	return list
}
