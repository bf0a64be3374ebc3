package keep

import (
	"path"
	"strings"

	"slim/probe/rootfs"
)

// PHP loads the extensions that the configuration of the program used names
// (command line, FPM, module of a web server); sources load others by path, by the
// include path and by Composer's autoloader, whose packages are units.

// phpRules is what is known of an image's PHP.
type phpRules struct {
	extensions map[string][]*rootfs.Node // shared objects, by name
	shares     []*rootfs.Node            // folders of the include path
	vendorOf   map[*unit]*composerVendor
	phpRoots   map[*unit]*rootfs.Node // folders of packages and libraries
	configured map[*rootfs.Node]bool  // configuration that was read here
}

// findPHP detects extensions, the libraries of the include path, and Composer's packages.
func (s *selector) findPHP() {
	p := &s.langs.phpRules
	p.phpRoots = make(map[*unit]*rootfs.Node)
	p.extensions, p.configured = make(map[string][]*rootfs.Node), make(map[*rootfs.Node]bool)
	for i, e := range s.sel.Entries {
		n := e.Node
		switch {
		case strings.HasSuffix(n.Name(), ".so") && isPHPExtensions(s.path(n.Parent())):
			p.extensions[n.Name()] = append(p.extensions[n.Name()], n)
			s.own(i, &unit{kind: "PHP extension", name: strings.TrimSuffix(n.Name(), ".so")})
		case n.Inode().IsDir() && isPHPShare(s.paths[i]):
			p.shares = append(p.shares, n)
			for _, c := range n.Children() {
				if c.Inode().IsDir() {
					s.phpLibrary(c, c)
				}
			}
		}
	}
	for _, version := range children(s.at("/etc/php")) {
		for _, sapi := range version.Children() {
			if sapi.Inode().IsDir() && sapi.Name() != "mods-available" {
				u := &unit{kind: "PHP configuration", name: s.path(sapi), complete: (*selector).completeFiles}
				s.below(sapi, func(n *rootfs.Node) {
					if i := s.sel.index[n]; !n.Inode().IsDir() {
						s.own(i, u)
					}
				})
			}
		}
	}
	s.findComposer()
}

// isPHPExtensions reports whether a folder is one for PHP's extensions: Debian's
// /usr/lib/php/20220829, /usr/local/lib/php/extensions/no-debug-non-zts-20220829,
// Alpine's /usr/lib/php82/modules.
func isPHPExtensions(dir string) bool {
	parent, base := path.Split(dir)
	parent = path.Clean(parent)
	switch stem := strings.TrimRight(path.Base(parent), "0123456789."); {
	case base == "modules":
		return stem == "php" && strings.Contains(parent, "/lib")
	case strings.Contains(base, "zts-") || strings.HasPrefix(base, "debug-") || strings.HasPrefix(base, "no-debug-"):
		return stem == "extensions"
	}
	return len(base) == 8 && isDigit(base[0]) && strings.HasSuffix(parent, "/lib/php")
}

// isPHPShare reports whether a folder is one of PEAR's, in which libraries lie:
// the default of include_path.
func isPHPShare(dir string) bool {
	switch dir {
	case "/usr/share/php", "/usr/share/pear", "/usr/local/lib/php", "/usr/local/share/php", "/usr/share/php7", "/usr/share/php8":
		return true
	}
	return false
}

// phpLibrary makes a unit of each folder that has an autoloader of its own or, if
// none below it has, of the folder right in the include path.
func (s *selector) phpLibrary(top, dir *rootfs.Node) bool {
	own := dir.Child("autoload.php") != nil
	for _, c := range dir.Children() {
		if c.Inode().IsDir() && !own {
			own = s.phpLibrary(top, c) || own
		}
	}
	if dir != top && dir.Child("autoload.php") == nil {
		return own
	}
	u := &unit{kind: "PHP library", name: s.path(dir), complete: (*selector).completeComposer}
	s.langs.phpRoots[u] = dir
	s.below(dir, func(n *rootfs.Node) {
		if i := s.sel.index[n]; s.unitOf[i] == nil || s.unitOf[i].kind != u.kind {
			s.own(i, u)
		}
	})
	return true
}

// phpStarted reads the configuration of the PHP that the file i is or holds, and
// keeps what that finds by itself.
func (s *selector) phpStarted(i int) {
	n := s.sel.Entries[i].Node
	p, name := s.paths[i], n.Name()
	why := Reason{Rule: "config", Text: "configuration of " + p, From: p}
	for _, dir := range s.phpConfigDirs(name) {
		folder, _, err := s.fs.Resolve(dir)
		if err != nil || !folder.Inode().IsDir() {
			continue
		}
		sapi := phpSAPI(name)
		for _, file := range []string{"php.ini", "php-" + sapi + ".ini", "php-fpm.conf"} {
			if file != "php-fpm.conf" || sapi == "fpm" {
				s.usePath(path.Join(dir, file), why)
			}
		}
		for _, c := range children(folder.Child("conf.d")) {
			if strings.HasSuffix(c.Name(), ".ini") {
				s.usePath(s.path(c), why)
			}
		}
	}
	for _, dir := range strings.Fields(`/var/lib/php/sessions /var/lib/php/session /var/lib/php/wsdlcache /var/lib/php/opcache /run/php
		/run/php-fpm /var/log/php-fpm /usr/local/var/log /usr/local/var/run`) {
		if n := s.at(dir); n != nil && n.Inode().IsDir() {
			s.keep(n, Reason{Rule: "data", Text: "folder that PHP writes to by default", From: p})
		}
	}
	// Debian's PHP has the zones of the system in place of its own.
	for _, named := range s.namesIn(n) {
		if named.path == "/usr/share/zoneinfo" && named.node.Inode().IsDir() {
			s.filesBelow(named.node, func(dir *rootfs.Node) bool { return dir.Name() == "right" || dir.Name() == "posix" }, func(n *rootfs.Node) {
				if !s.surplus(s.sel.index[n]) {
					s.use(n, Reason{Rule: "data", Text: "time zones, which " + p + " finds by name", From: p})
				}
			})
		}
	}
	s.apacheFolders()
}

// phpSAPI is the name of what a program or module is to PHP.
func phpSAPI(name string) string {
	switch {
	case strings.HasPrefix(name, "php-fpm"):
		return "fpm"
	case strings.HasPrefix(name, "php-cgi"):
		return "cgi"
	case strings.HasPrefix(name, "phpdbg"):
		return "phpdbg"
	case strings.HasPrefix(name, "libphp"):
		return "apache2"
	}
	return "cli"
}

// phpConfigDirs are the folders in which a PHP may look for its configuration.
func (s *selector) phpConfigDirs(name string) []string {
	version := strings.TrimSuffix(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz-"), ".so")
	dirs := []string{s.env("PHP_INI_DIR", "/usr/local/etc/php"), s.env("PHPRC", ""), "/usr/local/etc", "/etc/php" + version, "/etc"}
	if debian := "/etc/php/" + version; version != "" {
		dirs = append(dirs, path.Join(debian, phpSAPI(name)))
	} else {
		for _, c := range children(s.at("/etc/php")) {
			dirs = append(dirs, path.Join("/etc/php", c.Name(), phpSAPI(name)))
		}
	}
	return dirs
}

// phpSource follows a used source or configuration of PHP.
func (s *selector) phpSource(i int) {
	n := s.sel.Entries[i].Node
	switch path.Ext(n.Name()) {
	case ".ini", ".conf":
		if isPHPConfig(s.paths[i]) {
			s.phpConfig(n)
		}
		return
	}
	text := s.readText(n)
	if text == nil {
		return
	}
	dir := path.Dir(s.paths[i])
	for _, in := range scanPHP(text) {
		s.phpInclude(dir, s.paths[i], in)
	}
}

// isPHPConfig reports whether a path is that of PHP's configuration.
func isPHPConfig(p string) bool {
	return strings.Contains(p, "/etc/php") || strings.HasSuffix(p, ".user.ini") || strings.HasSuffix(p, "/php.ini")
}

// phpConfig keeps what a configuration names: extensions, further configuration,
// files, and folders that PHP writes to.
func (s *selector) phpConfig(n *rootfs.Node) {
	if s.langs.configured[n] {
		return
	}
	s.langs.configured[n] = true
	p := s.path(n)
	for _, set := range parsePHPSettings(s.readText(n)) {
		why := Reason{Rule: "named", Text: "named in " + p + " (" + excerpt([]byte(set.key+" = "+set.value)) + ")", From: p}
		switch set.key {
		case "extension", "zend_extension":
			s.phpExtension(set.value, why)
			continue
		case "include":
			s.phpConfigInclude(set.value, why)
			continue
		}
		for value := range strings.SplitSeq(set.value, ":") {
			// session.save_path may be "depth;mode;/path".
			value = value[strings.LastIndexByte(value, ';')+1:]
			if !strings.HasPrefix(value, "/") {
				continue
			}
			if s.usePath(value, why) == nil {
				if dir := s.at(path.Dir(value)); dir != nil && dir.Inode().IsDir() {
					why := why
					why.Text = "holds what is " + why.Text
					s.keep(dir, why)
				}
			}
		}
	}
}

// phpExtension proposes the extension of a name: mysqli, mysqli.so, /path/mysqli.so.
func (s *selector) phpExtension(value string, why Reason) {
	if strings.HasPrefix(value, "/") {
		s.usePath(value, why)
		return
	}
	name := strings.TrimSuffix(path.Base(value), ".so") + ".so"
	list := s.langs.extensions[name]
	// Of several versions the run loaded that of its own.
	for _, n := range list {
		if s.used[s.sel.index[n]] {
			return
		}
	}
	for _, n := range list {
		s.use(n, why)
	}
}

// phpConfigInclude proposes the files of php-fpm's include, a glob.
func (s *selector) phpConfigInclude(pattern string, why Reason) {
	if !strings.HasPrefix(pattern, "/") {
		pattern = "/usr/local/" + pattern // from the prefix that PHP was made for
	}
	dir, base := path.Split(pattern)
	folder, _, err := s.fs.Resolve(path.Clean(dir))
	if err != nil {
		return
	}
	for _, c := range folder.Children() {
		if ok, err := path.Match(base, c.Name()); err == nil && ok {
			s.usePath(s.path(c), why)
		}
	}
}

// phpInclude proposes what an include in a source at p, in dir, names.
func (s *selector) phpInclude(dir, p string, in phpInclude) {
	why := importReason(p, in.naming)
	var candidates []string
	switch {
	case in.here:
		for range in.up {
			dir = path.Dir(dir)
		}
		candidates = []string{dir + "/" + in.name}
	case strings.HasPrefix(in.name, "/"):
		candidates = []string{in.name}
	default:
		// include_path, then the folder of the source; "." is the working directory.
		for _, share := range s.langs.shares {
			candidates = append(candidates, s.path(share)+"/"+in.name)
		}
		candidates = append(candidates, dir+"/"+in.name, s.absolute(in.name))
	}
	for _, c := range candidates {
		if in.prefix {
			s.phpPrefix(path.Clean(c+"x"), why) // x: what ends in a slash names a folder
			continue
		}
		if n, links, err := s.fs.Resolve(path.Clean(c)); err == nil && n.Inode().IsRegular() {
			s.keepLinks(links, c, why)
			s.use(n, why)
			return
		}
	}
}

// phpPrefix proposes the sources whose paths begin with p but for its last byte.
func (s *selector) phpPrefix(p string, why Reason) {
	dir, base := path.Split(p)
	base = base[:len(base)-1]
	folder, _, err := s.fs.Resolve(path.Clean(dir))
	if err != nil || !folder.Inode().IsDir() || isSystem(s.path(folder)) {
		return
	}
	for _, c := range folder.Children() {
		if ext := path.Ext(c.Name()); strings.HasPrefix(c.Name(), base) && (ext == ".php" || ext == ".inc" || ext == ".phtml") {
			s.use(c, why)
		}
	}
}

// apacheFolders keeps the folders that Debian's Apache is told of by its
// environment (/etc/apache2/envvars) and writes to.
func (s *selector) apacheFolders() {
	n, _, err := s.fs.Resolve(s.env("APACHE_ENVVARS", "/etc/apache2/envvars"))
	if err != nil {
		return
	}
	for _, named := range s.namesIn(n) {
		if named.node.Inode().IsDir() && !isSystem(s.path(named.node)) {
			s.keep(named.node, Reason{Rule: "named", Text: "folder named in " + s.path(n), From: s.path(n)})
		}
	}
}
