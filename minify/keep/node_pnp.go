package keep

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// Yarn's Plug'n'Play has no node_modules: .pnp.cjs says which package, of which
// reference, lies in which zip archive, and what each may import (yarnpkg.com,
// "PnP Specification").

// pnpState is what .pnp.cjs, or .pnp.data.json beside it, knows.
type pnpState struct {
	packages map[pnpLocator]pnpPackage
}

type pnpLocator struct{ name, reference string }

type pnpPackage struct {
	location string // from the folder of .pnp.cjs: "./.yarn/cache/x.zip/node_modules/x/"
	needs    []pnpLocator
}

// parsePnP reads the state out of .pnp.data.json, or of .pnp.cjs, where it is a
// JavaScript string. What is neither gives an empty one.
func parsePnP(b []byte) *pnpState {
	text := string(b)
	if _, rest, ok := strings.Cut(text, "RAW_RUNTIME_STATE ="); ok {
		_, rest, _ = strings.Cut(rest, "'")
		text = unquoteJS(rest, '\'')
	}
	var raw struct {
		PackageRegistryData [][2]json.RawMessage `json:"packageRegistryData"`
	}
	st := &pnpState{packages: make(map[pnpLocator]pnpPackage)}
	if json.Unmarshal([]byte(text), &raw) != nil {
		return st
	}
	for _, byName := range raw.PackageRegistryData {
		var versions [][2]json.RawMessage
		if json.Unmarshal(byName[1], &versions) != nil {
			continue
		}
		for _, v := range versions {
			var info struct {
				PackageLocation     string               `json:"packageLocation"`
				PackageDependencies [][2]json.RawMessage `json:"packageDependencies"`
			}
			if json.Unmarshal(v[1], &info) != nil {
				continue
			}
			p := pnpPackage{location: info.PackageLocation}
			for _, d := range info.PackageDependencies {
				// The second is a reference, an alias [name, reference], or null.
				l := pnpLocator{pnpString(d[0]), pnpString(d[1])}
				var alias [2]string
				if json.Unmarshal(d[1], &alias) == nil && alias[0] != "" {
					l = pnpLocator{alias[0], alias[1]}
				}
				p.needs = append(p.needs, l)
			}
			st.packages[pnpLocator{pnpString(byName[0]), pnpString(v[0])}] = p
		}
	}
	return st
}

// pnpString is a string, "" for null.
func pnpString(b json.RawMessage) string {
	var text string
	nodeJSON(b, &text)
	return text
}

// unquoteJS is the value of a string literal behind its opening quote: Yarn
// escapes quotes, backslashes and the ends of lines.
func unquoteJS(text string, quote byte) string {
	var b strings.Builder
	for i := 0; i < len(text) && text[i] != quote; i++ {
		if text[i] == '\\' && i+1 < len(text) {
			if i++; text[i] == '\n' {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// nodePnP keeps the archives of the packages that the application around a used
// .pnp.cjs needs in production: those of each workspace of which a package.json is used.
func (s *selector) nodePnP(n *rootfs.Node) {
	dir := n.Parent()
	st := parsePnP(s.readText(n))
	if data := dir.Child(".pnp.data.json"); data != nil && len(st.packages) == 0 {
		s.use(data, Reason{Rule: "import", Text: "packages of " + s.path(n), From: s.path(n)})
		st = parsePnP(s.readText(data))
	}
	var queue []pnpLocator
	seen := make(map[pnpLocator]bool)
	locators := slices.SortedFunc(maps.Keys(st.packages), func(a, b pnpLocator) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.reference, b.reference))
	})
	for _, l := range locators {
		p := st.packages[l]
		if strings.Contains(p.location, "node_modules/") {
			continue
		}
		home, _, err := s.fs.ResolveFrom(dir, "./"+p.location)
		if err != nil || home.Child("package.json") == nil || !s.used[s.sel.index[home.Child("package.json")]] || seen[l] {
			continue
		}
		seen[l] = true
		wanted := make(map[string]bool)
		for _, name := range s.node.manifest(s, home).needs {
			wanted[name] = true
		}
		for _, need := range p.needs {
			if wanted[need.name] && !seen[need] {
				seen[need] = true
				queue = append(queue, need)
			}
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		p := st.packages[queue[0]]
		s.keepPnP(dir, n, queue[0].name, p.location)
		for _, need := range p.needs {
			if !seen[need] && need.reference != "" {
				seen[need] = true
				queue = append(queue, need)
			}
		}
	}
}

// keepPnP keeps the archive, or the folder, in which a package lies. An archive of
// the folder __virtual__ is that of the folder above.
func (s *selector) keepPnP(dir, from *rootfs.Node, name, location string) {
	if head, rest, ok := strings.Cut(location, "/__virtual__/"); ok {
		// __virtual__/HASH/N/…: N folders up from there.
		parts := strings.SplitN(rest, "/", 3)
		if len(parts) != 3 || len(parts[1]) != 1 || parts[1] < "0" || parts[1] > "9" {
			return
		}
		for range parts[1][0] - '0' {
			head = path.Dir(head)
		}
		location = head + "/" + parts[2]
	}
	if archive, _, ok := strings.Cut(location, ".zip/"); ok {
		p := archive + ".zip"
		if !path.IsAbs(p) {
			p = path.Join(s.path(dir), p)
		}
		s.usePath(p, Reason{Rule: "import", Text: "package " + name + " of " + s.path(from), From: s.path(from)})
		return
	}
	if n, _, err := s.fs.ResolveFrom(dir, "./"+location); err == nil {
		if m := s.node.modules[n]; m != nil {
			s.touchModule(m, "named in "+s.path(from), s.path(from), true)
		}
	}
}
