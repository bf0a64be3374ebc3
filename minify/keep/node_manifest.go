package keep

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A nodeManifest is what a package.json says of files and other packages
// (docs.npmjs.com, package.json; nodejs.org, Modules: Packages). A field of the
// wrong type is taken for absent, as npm and Node do.
type nodeManifest struct {
	name    string
	needs   []string // dependencies, optional and bundled ones and the peers that must be there, sorted
	entries []string // files that it names as its own: main, bin, exports; a "*" stands for anything
	main    []string // of entries, what the package's name alone stands for without exports
	exports any
	browser []string // files for a browser's <script> alone
	system  nodeSystem
}

// A nodeSystem is where a package says that it runs.
type nodeSystem struct{ os, cpu, libc []string }

// maxManifest bounds a package.json; npm's registry takes none that is larger.
const maxManifest = 2 << 20

// parseManifest reads a package.json; what is none gives an empty one.
func parseManifest(b []byte) *nodeManifest {
	m := new(nodeManifest)
	var fields map[string]json.RawMessage
	if len(b) > maxManifest || json.Unmarshal(b, &fields) != nil {
		return m
	}
	nodeJSON(fields["name"], &m.name)
	optional := make(map[string]struct{ Optional bool })
	nodeJSON(fields["peerDependenciesMeta"], &optional)
	needs := make(map[string]bool)
	for _, field := range []string{"dependencies", "optionalDependencies", "peerDependencies"} {
		for name := range nodeObject(fields[field]) {
			// A peer that need not be there is there because something else asked for it.
			needs[name] = needs[name] || field != "peerDependencies" || !optional[name].Optional
		}
	}
	for _, field := range []string{"bundleDependencies", "bundledDependencies"} {
		for _, name := range nodeStrings(fields[field]) {
			needs[name] = true
		}
	}
	maps.DeleteFunc(needs, func(name string, wanted bool) bool { return !wanted || !isNodePackage(name) })
	m.needs = slices.Sorted(maps.Keys(needs))

	for _, field := range []string{"main", "module", "bin", "exports", "imports"} {
		var v any
		nodeJSON(fields[field], &v)
		m.addEntries(v, 0)
		switch field {
		case "module":
			m.main = slices.Clone(m.entries)
		case "exports":
			m.exports = v
		}
	}
	for _, field := range []string{"unpkg", "jsdelivr"} {
		var name string
		if nodeJSON(fields[field], &name) && name != "" {
			m.browser = append(m.browser, path.Clean("/" + name)[1:])
		}
	}
	m.system = nodeSystem{nodeStrings(fields["os"]), nodeStrings(fields["cpu"]), nodeStrings(fields["libc"])}
	return m
}

// addEntries collects the files that a value names: a path, a list of them, or
// an object by subpath and condition.
func (m *nodeManifest) addEntries(v any, depth int) {
	if depth > 16 {
		return
	}
	switch v := v.(type) {
	case string:
		if v != "" && len(v) <= maxName {
			m.entries = append(m.entries, path.Clean("/" + v)[1:])
		}
	case []any:
		for _, v := range v {
			m.addEntries(v, depth+1)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if isNodeCondition(key) {
				m.addEntries(v[key], depth+1)
			}
		}
	}
}

// targets are the files that a package's subpath ("", "lib/x") can stand for, by
// exports or else by main: in which condition is not asked.
func (m *nodeManifest) targets(subpath string) []string {
	switch {
	case m.exports != nil:
		return exportTargets(m.exports, subpath, 0)
	case subpath == "":
		return append(slices.Clip(m.main), "index")
	}
	return []string{subpath}
}

func exportTargets(exports any, subpath string, depth int) []string {
	v, ok := exports.(map[string]any)
	if !ok || depth > 16 {
		if subpath != "" {
			return nil
		}
		m := new(nodeManifest)
		m.addEntries(exports, depth)
		return m.entries
	}
	var list []string
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if !strings.HasPrefix(key, ".") {
			if isNodeCondition(key) {
				list = append(list, exportTargets(v[key], subpath, depth+1)...)
			}
			continue
		}
		star, ok := nodeStar(strings.TrimPrefix(strings.TrimPrefix(key, "."), "/"), subpath)
		if !ok {
			continue
		}
		m := new(nodeManifest)
		m.addEntries(v[key], depth)
		for _, e := range m.entries {
			list = append(list, strings.ReplaceAll(e, "*", star))
		}
	}
	return list
}

// isNodeCondition reports whether Node can take a condition of exports: one for
// types or browsers leads to what it never loads.
func isNodeCondition(key string) bool {
	return key != "types" && key != "browser" && !strings.HasPrefix(key, "types@")
}

// nodeStar matches a pattern with at most one "*" and gives what it stands for.
func nodeStar(pattern, text string) (star string, ok bool) {
	prefix, suffix, wild := strings.Cut(pattern, "*")
	if !wild {
		return "", pattern == text
	}
	if len(text) < len(prefix)+len(suffix) || !strings.HasPrefix(text, prefix) || !strings.HasSuffix(text, suffix) {
		return "", false
	}
	return text[len(prefix) : len(text)-len(suffix)], true
}

// nodeFits reports whether a list of package.json's os, cpu or libc admits a value:
// one that names it, or forbids only others with "!".
func nodeFits(list []string, value string) bool {
	if len(list) == 0 || value == "" {
		return true
	}
	forbids := 0
	for _, v := range list {
		if other, ok := strings.CutPrefix(v, "!"); ok {
			if forbids++; other == value {
				return false
			}
		} else if v == value || v == "any" {
			return true
		}
	}
	return forbids == len(list)
}

// isNodePackage reports whether a name can be a folder of node_modules: "a" or "@a/b".
func isNodePackage(name string) bool {
	scope, rest, scoped := strings.Cut(name, "/")
	if scoped && (!strings.HasPrefix(scope, "@") || !isFileName(rest)) {
		return false
	}
	return isFileName(scope) && len(name) <= maxName
}

func isFileName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// splitSpecifier divides "@a/b/c/d" into the package's name and the path in it.
func splitSpecifier(spec string) (name, subpath string) {
	end := strings.IndexByte(spec, '/')
	if end >= 0 && strings.HasPrefix(spec, "@") {
		if i := strings.IndexByte(spec[end+1:], '/'); i >= 0 {
			end += 1 + i
		} else {
			end = -1
		}
	}
	if end < 0 {
		return spec, ""
	}
	return spec[:end], strings.TrimRight(spec[end+1:], "/")
}

func nodeJSON(b json.RawMessage, v any) bool { return b != nil && json.Unmarshal(b, v) == nil }

func nodeObject(b json.RawMessage) map[string]json.RawMessage {
	var v map[string]json.RawMessage
	nodeJSON(b, &v)
	return v
}

// words are a string or the strings of a list.
func nodeStrings(b json.RawMessage) []string {
	var v any
	nodeJSON(b, &v)
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, e := range v {
			if text, ok := e.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}

// manifest reads the package.json of a folder, once; an empty one if there is none.
func (r *nodeRules) manifest(s *selector, dir *rootfs.Node) *nodeManifest {
	m := r.manifests[dir]
	if m == nil {
		m = new(nodeManifest)
		if n := dir.Child("package.json"); n != nil {
			if end, _, err := s.fs.ResolveFrom(dir, "package.json"); err == nil {
				m = parseManifest(s.readText(end))
			}
		}
		r.manifests[dir] = m
	}
	return m
}
