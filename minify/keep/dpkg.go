package keep

import (
	"bytes"
	"path"
	"strings"
)

// Where dpkg keeps its records (dpkg(1), FILES), and where images put together
// from unpacked packages have one for each, as distroless ones do.
const (
	dpkgStatus     = "/var/lib/dpkg/status"
	dpkgStatusDir  = "/var/lib/dpkg/status.d"
	dpkgInfo       = "/var/lib/dpkg/info"
	dpkgDiversions = "/var/lib/dpkg/diversions"
)

// dpkg reads which files belong to which Debian package.
func (s *selector) dpkg() {
	diverted := parseDiversions(s.textAt(dpkgDiversions))
	for _, r := range parseDpkgStatus(s.textAt(dpkgStatus)) {
		list := s.textAt(dpkgInfo + "/" + r.id + ":" + r.arch + ".list")
		if list == nil {
			list = s.textAt(dpkgInfo + "/" + r.id + ".list")
		}
		paths := parseList(list)
		for i, p := range paths {
			if d, ok := diverted[p]; ok && d.by != r.id {
				paths[i] = d.to
			}
		}
		s.packages.add("Debian package", r, paths)
	}
	dir := s.at(dpkgStatusDir)
	if dir == nil {
		return
	}
	for _, n := range dir.Children() {
		if strings.HasSuffix(n.Name(), ".md5sums") {
			continue
		}
		var paths []string
		if sums := dir.Child(n.Name() + ".md5sums"); sums != nil {
			paths = parseSums(s.readText(sums))
		}
		for _, r := range parseDpkgStatus(s.readText(n)) {
			s.packages.add("Debian package", r, paths)
		}
	}
}

// parseDpkgStatus reads the packages that are there: stanzas of "Field: value",
// continued on lines that begin with a blank (deb822(5)). A stanza without a
// Status is of an image that has the records of packages alone.
func parseDpkgStatus(text []byte) []packageRecord {
	var list []packageRecord
	var r packageRecord
	there := true
	end := func() {
		if r.id != "" && there {
			list = append(list, r)
		}
		r, there = packageRecord{}, true
	}
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			end()
			continue
		}
		field, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		switch strings.ToLower(string(field)) {
		case "package":
			r.id = fileName(value)
		case "architecture":
			r.arch = fileName(value)
		case "status":
			// "want flag status"; config-files: removed, its configuration left.
			words := strings.Fields(string(value))
			there = len(words) != 3 || words[2] != "not-installed" && words[2] != "config-files"
		case "depends", "pre-depends":
			r.depends = append(r.depends, parseDepends(string(value))...)
		case "provides":
			for _, choice := range parseDepends(string(value)) {
				r.provides = append(r.provides, choice...)
			}
		}
	}
	end()
	return list
}

// fileName is a value that becomes part of a path; "" if it cannot.
func fileName(value []byte) string {
	name := string(bytes.TrimSpace(value))
	if strings.Contains(name, "/") || name == "." || name == ".." {
		return ""
	}
	return name
}

// parseDepends splits "a (>= 1) | b:any, c" into choices of names (Debian policy
// 7.1). Versions are not compared: what is installed together fits.
func parseDepends(text string) [][]string {
	var list [][]string
	for part := range strings.SplitSeq(text, ",") {
		var choice []string
		for name := range strings.SplitSeq(part, "|") {
			name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
			name, _, _ = strings.Cut(name, "(")
			name, _, _ = strings.Cut(name, ":")
			if name != "" {
				choice = append(choice, name)
			}
		}
		if choice != nil {
			list = append(list, choice)
		}
	}
	return list
}

// parseList reads a list of absolute paths, a line each; the first is "/.".
func parseList(text []byte) []string {
	list := make([]string, 0, bytes.Count(text, []byte("\n")))
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 1 && line[0] == '/' && line != "/." {
			list = append(list, line)
		}
	}
	return list
}

// parseSums reads the paths of a list as md5sum(1) prints it.
func parseSums(text []byte) []string {
	var list []string
	for line := range strings.Lines(string(text)) {
		_, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name = strings.TrimPrefix(strings.TrimLeft(name, " *"), "./")
		if ok && name != "" {
			list = append(list, path.Join("/", name))
		}
	}
	return list
}

// A diversion tells where a file of any package but one was put instead.
type diversion struct{ to, by string }

// parseDiversions reads records of three lines: from, to, and the package that
// diverts, ":" for the administrator (dpkg-divert(1)).
func parseDiversions(text []byte) map[string]diversion {
	diverted := make(map[string]diversion)
	lines := strings.Split(string(text), "\n")
	for ; len(lines) >= 3; lines = lines[3:] {
		diverted[lines[0]] = diversion{lines[1], lines[2]}
	}
	return diverted
}
