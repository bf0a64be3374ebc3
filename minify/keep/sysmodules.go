package keep

import (
	"bytes"
	"strings"

	"slim/probe/record"
	"slim/probe/rootfs"
)

// moduleNames are the objects that configuration names for a program to load.
type moduleNames struct {
	read    map[string]bool // in files that the run read
	any     map[string]bool // in any of /etc but what is there to be enabled
	folders map[*rootfs.Node]bool
}

// configuredOut reports whether n is a plugin that no configuration asks for, in a
// folder of which the run loaded what its configuration named (Apache's
// LoadModule, PHP's extension): such programs load nothing else of it.
func (s *selector) configuredOut(n *rootfs.Node) bool {
	m := s.packages.modules
	if m == nil {
		m = s.readModuleNames()
		s.packages.modules = m
	}
	return m.folders[n.Parent()] && !m.any[n.Name()]
}

func (s *selector) readModuleNames() *moduleNames {
	m := &moduleNames{read: make(map[string]bool), any: make(map[string]bool), folders: make(map[*rootfs.Node]bool)}
	var objects []*rootfs.Node
	for _, a := range s.trace.Accesses {
		if a.Ops&record.Read == 0 {
			continue
		}
		n := s.at(a.Path)
		switch {
		case n == nil:
		case strings.HasSuffix(n.Name(), ".so"):
			objects = append(objects, n)
		case isConfiguration(n, a.Path):
			s.modulesIn(n, m.read)
		}
	}
	for _, n := range objects {
		if m.read[n.Name()] && !s.isLoaderFolder(n.Parent()) {
			m.folders[n.Parent()] = true
		}
	}
	if etc := s.at("/etc"); etc != nil && len(m.folders) > 0 {
		s.below(etc, func(n *rootfs.Node) {
			if isConfiguration(n, "/etc/") && !strings.HasSuffix(n.Parent().Name(), "-available") {
				s.modulesIn(n, m.any)
			}
		})
	}
	return m
}

// isConfiguration reports whether a file may be a program's configuration.
func isConfiguration(n *rootfs.Node, p string) bool {
	const maxConfiguration = 256 << 10 // bytes; those written by hand are far smaller
	if !n.Inode().IsRegular() || n.Inode().Size > maxConfiguration {
		return false
	}
	if strings.Contains(p, "/etc/") {
		return true
	}
	for _, ext := range []string{".conf", ".ini", ".cnf", ".cfg", ".load"} {
		if strings.HasSuffix(n.Name(), ext) {
			return true
		}
	}
	return false
}

// modulesIn adds the base names of the objects that a configuration names, lines of
// comment left out: words that end in ".so", and x.so for PHP's "extension=x".
func (s *selector) modulesIn(n *rootfs.Node, names map[string]bool) {
	for line := range bytes.Lines(s.readText(n)) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(string(line), "=")
		if ok && strings.HasSuffix(strings.TrimSpace(key), "extension") {
			names[strings.TrimSuffix(strings.Trim(value, " \t\"'"), ".so")+".so"] = true
			continue
		}
		if !bytes.Contains(line, []byte(".so")) {
			continue
		}
		for word := range strings.FieldsFuncSeq(string(line), func(r rune) bool { return strings.ContainsRune(" \t\"';,=:()[]/<>", r) }) {
			if strings.HasSuffix(word, ".so") {
				names[word] = true
			}
		}
	}
}
