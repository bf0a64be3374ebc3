package keep

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A composerPackage is what vendor/composer/installed.json says of one.
type composerPackage struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Path    string            `json:"install-path"` // from vendor/composer
	Require map[string]string `json:"require"`
}

// composerInstalled is installed.json as Composer 2 writes it.
type composerInstalled struct {
	Packages []composerPackage `json:"packages"`
	Dev      []string          `json:"dev-package-names"`
}

// parseInstalled reads installed.json, of Composer 2 or 1, which has the list alone.
func parseInstalled(src []byte) (in composerInstalled, known bool) {
	if json.Unmarshal(src, &in) == nil {
		return in, in.Dev != nil
	}
	in = composerInstalled{}
	if json.Unmarshal(src, &in.Packages) != nil {
		return composerInstalled{}, false
	}
	return in, false
}

// A composerVendor is a vendor folder that Composer made.
type composerVendor struct {
	*unit                   // Composer's own files, its autoloader
	packages []*unit        // for production
	files    []*rootfs.Node // loaded at each start
}

// findComposer detects vendor folders and makes units of the packages in them.
func (s *selector) findComposer() {
	s.langs.vendorOf = make(map[*unit]*composerVendor)
	for _, e := range s.sel.Entries {
		if n := e.Node; n.Name() == "installed.json" && n.Parent().Name() == "composer" {
			if vendor := n.Parent().Parent(); vendor != nil && vendor.Child("autoload.php") != nil {
				s.composerVendor(vendor, n)
			}
		}
	}
}

func (s *selector) composerVendor(vendor, record *rootfs.Node) {
	in, known := parseInstalled(s.readText(record))
	at := s.path(vendor)
	v := &composerVendor{unit: &unit{kind: "Composer autoloader", name: at, complete: (*selector).completeVendor}}
	s.langs.vendorOf[v.unit] = v
	dev := s.composerDev(vendor, in, known)
	// Before the packages: composer/semver lies among Composer's own files.
	s.ownTree(vendor.Child("composer"), v.unit)
	s.own(s.sel.index[vendor.Child("autoload.php")], v.unit)
	for _, p := range in.Packages {
		u := &unit{kind: "Composer package", name: strings.TrimSpace(p.Name + " " + p.Version), complete: (*selector).completeComposer}
		dir := path.Join(at, p.Name)
		if p.Path != "" {
			dir = path.Join(at, "composer", p.Path)
		}
		// A package may be a link to its folder in the application.
		n := s.at(dir)
		if n == nil || !n.Inode().IsDir() || isSystem(dir) || within(vendor, n) {
			continue
		}
		s.ownTree(n, u)
		s.langs.phpRoots[u] = n
		if !dev[p.Name] {
			v.packages = append(v.packages, u)
		}
	}
	// Programs of packages are not the application's.
	for _, n := range children(vendor.Child("bin")) {
		s.own(s.sel.index[n], &unit{kind: "Composer program", name: n.Name()})
	}
	// What a package has loaded at each start says nothing of the rest of it.
	for _, rel := range composerFiles(s.textAt(path.Join(at, "composer/autoload_files.php"))) {
		if n := s.at(path.Join(at, rel)); n != nil && n.Inode().IsRegular() {
			i := s.sel.index[n]
			if u := s.unitOf[i]; u != nil && u.kind == "Composer package" && !slices.Contains(v.packages, u) {
				s.own(i, &unit{kind: u.kind, name: u.name})
			}
			v.files = append(v.files, n)
		}
	}
}

// composerDev are the names of packages for development alone: as Composer
// recorded them, or as the lock file beside says.
func (s *selector) composerDev(vendor *rootfs.Node, in composerInstalled, known bool) map[string]bool {
	dev := make(map[string]bool)
	if known {
		for _, name := range in.Dev {
			dev[name] = true
		}
		return dev
	}
	var lock struct {
		Dev []composerPackage `json:"packages-dev"`
	}
	if n := vendor.Parent(); n != nil && json.Unmarshal(s.textAt(path.Join(s.path(n), "composer.lock")), &lock) == nil {
		for _, p := range lock.Dev {
			dev[p.Name] = true
		}
	}
	return dev
}

// composerFiles are the paths in autoload_files.php, from the vendor folder:
// 'hash' => $vendorDir . '/symfony/polyfill-mbstring/bootstrap.php',
func composerFiles(src []byte) []string {
	var list []string
	for line := range bytes.Lines(src) {
		_, rest, ok := strings.Cut(string(line), "$vendorDir . '")
		if rel, _, end := strings.Cut(rest, "'"); ok && end {
			list = append(list, rel)
		}
	}
	return list
}

// completeVendor keeps Composer's autoloader, what it loads at each start, and the
// packages for production.
func (s *selector) completeVendor(u *unit) {
	v := s.langs.vendorOf[u]
	for _, i := range u.files {
		if s.unitOf[i] == u && !s.surplus(i) {
			s.use(s.sel.Entries[i].Node, u.why("unit", "part"))
		}
	}
	for _, n := range v.files {
		s.use(n, u.why("unit", "file loaded at each start"))
	}
	for _, p := range v.packages {
		s.touch(p, "which "+u.name+" has for production", u.from)
	}
}

// composerJunk are folders right in a package that only its development needs,
// testFolders those that hold tests wherever they are.
var (
	composerJunk = set(`test Test spec specs doc docs Doc Docs documentation examples example Examples demo demos samples
		bin build tools benchmark benchmarks features .github .git .phan .docker stubs-dev ci scripts script fixtures`)
	testFolders = set("tests Tests __tests__ PHPUnitTests")
)

// completeComposer keeps what a package needs when it runs.
func (s *selector) completeComposer(u *unit) {
	for _, i := range u.files {
		if n := s.sel.Entries[i].Node; s.unitOf[i] == u && s.phpNeeds(u, n, i) {
			s.use(n, u.why("unit", "part"))
		}
	}
}

// phpNeeds reports whether a file of a package or library is of use when it runs.
func (s *selector) phpNeeds(u *unit, n *rootfs.Node, i int) bool {
	name := n.Name()
	if isLicense(name) {
		return !s.opts.NoLicenses
	}
	rel := strings.TrimPrefix(s.paths[i], s.path(s.langs.phpRoots[u])+"/")
	top, _, nested := strings.Cut(rel, "/")
	if nested && composerJunk[top] {
		return false
	}
	for dir := range strings.SplitSeq(path.Dir(rel), "/") {
		if testFolders[dir] {
			return false
		}
	}
	switch {
	case !nested && (name[0] == '.' || composerFilesJunk.match(rel, name) != nil):
		return false
	case s.category[i] == Tests:
		return true // a folder called fixtures in src is a module
	}
	return !s.surplus(i)
}

// composerFilesJunk are files right in a package that only its development needs.
var composerFilesJunk = newCategoryTable([]categoryRule{{DevDependency, `*.md *.neon *.dist *.yml *.yaml *.lock *.phar *.sh
	phpunit.xml* phpstan* psalm* Makefile Dockerfile rector.php ecs.php .php-cs-fixer* infection.json* package.json`}})
