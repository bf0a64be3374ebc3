package keep

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A pyDist is an installed distribution. Its metadata and its .pth files have a
// unit of their own, of the same name: to list what is installed reads every
// distribution's metadata and each start of Python reads every .pth file, which
// says nothing of what is used.
type pyDist struct {
	name string // normalized: "zope-interface"
	site *rootfs.Node
	info *rootfs.Node // .dist-info, .egg-info; nil for a package without
	unit *unit
	meta *unit
	dev  bool // a tool for development, see pyTools
	app  bool // installed from a local folder: the application itself

	requires []pyRequirement
	groups   []string
	extras   map[string]bool // that kept distributions ask for
	size     int64           // of what is kept of it if it is used; 0 until it is known
}

// addSite finds the distributions in a folder for them: by their metadata, and
// what is left by the names of packages.
func (p *python) addSite(site *rootfs.Node) {
	var dists []*pyDist
	named := p.sites[site] && (site.Name() == "site-packages" || site.Name() == "dist-packages")
	for _, c := range site.Children() {
		name := c.Name()
		stem, isInfo := strings.CutSuffix(name, ".dist-info")
		egg := false
		if !isInfo && named {
			if stem, isInfo = strings.CutSuffix(name, ".egg-info"); isInfo {
				egg = true
			} else if stem, isInfo = strings.CutSuffix(name, ".egg"); isInfo {
				p.addEgg(c, stem)
				continue
			}
		}
		if !isInfo {
			continue
		}
		stem, _, _ = strings.Cut(stem, "-")
		d := p.newDist(site, stem, c)
		if egg {
			d.readMetadata(p.s, "PKG-INFO")
		} else {
			d.readMetadata(p.s, "METADATA")
		}
		dists = append(dists, d)
	}
	for _, d := range dists {
		p.ownRecorded(d)
	}
	for _, d := range dists {
		if len(d.unit.files) == 0 {
			p.ownByName(d, len(dists))
		}
	}
	for _, d := range dists {
		p.ownMeta(d)
	}
	if named {
		p.ownStray(site)
	}
}

func (p *python) newDist(site *rootfs.Node, name string, info *rootfs.Node) *pyDist {
	d := &pyDist{name: normalizePy(name), site: site, info: info}
	d.extras = make(map[string]bool)
	d.unit = &unit{kind: "Python distribution", name: d.name, complete: func(s *selector, u *unit) { p.completeDist(d) }}
	d.meta = &unit{kind: d.unit.kind, name: d.name}
	d.dev = pyTools[d.name] || strings.HasPrefix(d.name, "pytest-") || strings.HasPrefix(d.name, "types-") || strings.HasPrefix(d.name, "sphinxcontrib-") || strings.HasPrefix(d.name, "flake8-")
	p.dists = append(p.dists, d)
	p.byName[d.name] = append(p.byName[d.name], d)
	p.distOf[d.unit], p.distOf[d.meta] = d, d
	return d
}

// normalizePy is a distribution's name as names are compared (PEP 503).
func normalizePy(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '-' || c == '_' || c == '.':
			if last := name[max(0, i-1)]; i > 0 && last != '-' && last != '_' && last != '.' {
				b.WriteByte('-')
			}
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c | 0x20)
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}

// readMetadata reads what a distribution requires and offers. An .egg-info may be
// a file, which is then the metadata.
func (d *pyDist) readMetadata(s *selector, name string) {
	file := d.info
	if d.info.Inode().IsDir() {
		file = d.info.Child(name)
	}
	if file != nil {
		d.requires = parseRequires(s.readText(file))
	}
	child := func(name string) []byte {
		if c := d.info.Child(name); c != nil {
			return s.readText(c)
		}
		return nil
	}
	d.requires = append(d.requires, parseEggRequires(child("requires.txt"))...)
	d.groups = parseEntryGroups(child("entry_points.txt"))
	var direct struct {
		URL string           `json:"url"`
		Dir *json.RawMessage `json:"dir_info"`
	}
	// PEP 610. What cannot be read is no local folder.
	if b := child("direct_url.json"); b != nil && json.Unmarshal(b, &direct) == nil {
		d.app = direct.Dir != nil && strings.HasPrefix(direct.URL, "file:")
	}
}

// ownRecorded gives a distribution the files of its RECORD (PEP 376, PEP 427), or of the
// installed-files.txt that setuptools wrote.
func (p *python) ownRecorded(d *pyDist) {
	if d.info.Inode().IsDir() {
		if c := d.info.Child("RECORD"); c != nil {
			p.ownList(d, d.site, parseRecord(p.s.readText(c)))
		} else if c := d.info.Child("installed-files.txt"); c != nil {
			p.ownList(d, d.info, strings.Split(strings.ReplaceAll(string(p.s.readText(c)), "\r", ""), "\n"))
		}
	}
}

func (p *python) ownList(d *pyDist, base *rootfs.Node, files []string) {
	at := p.s.path(base)
	for _, name := range files {
		if name == "" {
			continue
		}
		if !strings.HasPrefix(name, "/") {
			name = join(at, name)
		}
		n := p.s.at(path.Clean(name))
		if n == nil || n.Inode().IsDir() {
			continue
		}
		p.ownFile(d, n)
	}
}

// ownFile gives a distribution a file, and the folders below site that hold it and
// are no one's yet.
func (p *python) ownFile(d *pyDist, n *rootfs.Node) {
	s := p.s
	i := s.sel.index[n]
	if u := s.unitOf[i]; u == d.unit || u == d.meta {
		return
	}
	s.own(i, d.unit)
	if strings.HasSuffix(n.Name(), ".pth") {
		s.own(i, d.meta)
	}
	p.ownFolders(d, n)
}

func (p *python) ownFolders(d *pyDist, n *rootfs.Node) {
	at := p.s.path(d.site) + "/"
	for dir := n.Parent(); dir != nil && strings.HasPrefix(p.s.path(dir), at); dir = dir.Parent() {
		j := p.s.sel.index[dir]
		if u := p.s.unitOf[j]; u != nil && p.distOf[u] != nil {
			return
		}
		p.s.unitOf[j] = d.unit
	}
}

// ownMeta gives a distribution its metadata, and a tool's hooks into each start.
func (p *python) ownMeta(d *pyDist) {
	s := p.s
	p.ownTree(d.info, d.meta)
	for _, group := range d.groups {
		p.groups[group] = append(p.groups[group], d)
	}
	if !d.dev {
		return
	}
	for _, i := range d.meta.files {
		if n := s.sel.Entries[i].Node; strings.HasSuffix(n.Name(), ".pth") {
			for _, r := range pythonRefs(s.readText(n), func([]byte) bool { return false }) {
				name, _, _ := strings.Cut(r.name, ".")
				if c := d.site.Child(name); c != nil && normalizePy(name) != d.name {
					p.retree(c, d.unit, d.meta)
				} else if c := d.site.Child(name + ".py"); c != nil && normalizePy(name) != d.name {
					p.retree(c, d.unit, d.meta)
				}
			}
		}
	}
}

// retree gives what is from's at and below n to another unit.
func (p *python) retree(n *rootfs.Node, from, to *unit) {
	if i := p.s.sel.index[n]; p.s.unitOf[i] == from {
		p.s.own(i, to)
	}
	for _, c := range n.Children() {
		p.retree(c, from, to)
	}
}

func (p *python) ownTree(n *rootfs.Node, u *unit) {
	p.s.own(p.s.sel.index[n], u)
	for _, c := range n.Children() {
		p.ownTree(c, u)
	}
}

// addEgg gives an egg, a folder or a zip, to a distribution of its own.
func (p *python) addEgg(egg *rootfs.Node, stem string) {
	stem, _, _ = strings.Cut(stem, "-")
	d := p.newDist(egg, stem, egg)
	if info := egg.Child("EGG-INFO"); info != nil {
		d.info = info
		d.readMetadata(p.s, "PKG-INFO")
	}
	p.ownTree(egg, d.unit)
	if d.info != egg {
		p.ownMeta(d)
	}
}

// ownByName gives a distribution without a list of files those that its Debian
// package has in the folder, if it is alone there, or else the packages and modules of
// its top_level.txt or of its own name.
func (p *python) ownByName(d *pyDist, count int) {
	s := p.s
	var tops []string
	if c := d.info.Child("top_level.txt"); c != nil {
		tops = strings.Fields(string(s.readText(c)))
	}
	if os := s.unitOf[s.sel.index[d.info]]; os != nil && p.distOf[os] == nil {
		prefix := s.path(d.site) + "/"
		var files []*rootfs.Node
		infos := 0
		for _, i := range os.files {
			rest, ok := strings.CutPrefix(s.paths[i], prefix)
			if !ok || s.unitOf[i] != os {
				continue
			}
			if path.Base(rest) == "METADATA" || path.Base(rest) == "PKG-INFO" || strings.HasSuffix(rest, ".egg-info") {
				infos++
				continue
			}
			files = append(files, s.sel.Entries[i].Node)
		}
		if infos <= 1 {
			for _, n := range files {
				p.ownFile(d, n)
			}
			if len(files) > 0 {
				return
			}
		}
	}
	tops = append(tops, strings.ReplaceAll(d.name, "-", "_"), strings.ReplaceAll(d.name, "-", "/"))
	for _, top := range tops {
		p.ownTop(d, top)
	}
	if len(d.unit.files) > 0 {
		return
	}
	for _, c := range d.site.Children() { // PyYAML is yaml, but Jinja2 is jinja2
		if c.Inode().IsDir() && normalizePy(c.Name()) == d.name {
			p.ownTop(d, c.Name())
		}
	}
}

// ownTop gives a distribution a package or module in its folder.
func (p *python) ownTop(d *pyDist, top string) {
	s := p.s
	dir := d.site
	if parent, name := path.Split(top); parent != "" {
		n, _, err := s.fs.ResolveFrom(d.site, parent)
		if err != nil || !strings.HasPrefix(s.path(n), s.path(d.site)+"/") {
			return
		}
		dir, top = n, name
	}
	var take func(n *rootfs.Node)
	take = func(n *rootfs.Node) {
		if u := s.unitOf[s.sel.index[n]]; u != nil && p.distOf[u] != nil {
			return
		}
		if !n.Inode().IsDir() {
			p.ownFile(d, n)
		}
		for _, c := range n.Children() {
			take(c)
		}
	}
	if m := p.folder(dir)[top]; m != nil {
		if m.dir != nil {
			take(m.dir)
		}
		for _, n := range m.files {
			take(n)
		}
	}
}

// ownStray makes units of the packages and modules of a folder for distributions
// that none has.
func (p *python) ownStray(site *rootfs.Node) {
	s := p.s
	folder := p.folder(site)
	for _, c := range site.Children() {
		i := s.sel.index[c]
		name, _, _ := strings.Cut(c.Name(), ".")
		m := folder[name]
		if u := s.unitOf[i]; u != nil && p.distOf[u] != nil || m == nil || name == "__pycache__" || p.sites[c] {
			continue
		}
		d := p.newDist(site, name, nil)
		d.unit.kind = "Python package"
		p.ownTop(d, name)
	}
}

// parseRecord lists the paths of a RECORD: the first field of each line of CSV.
func parseRecord(b []byte) []string {
	list := make([]string, 0, bytes.Count(b, []byte{'\n'}))
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if quoted, ok := strings.CutPrefix(line, `"`); ok {
			if end := strings.Index(quoted, `",`); end >= 0 {
				list = append(list, strings.ReplaceAll(quoted[:end], `""`, `"`))
			}
			continue
		}
		if name, _, _ := strings.Cut(line, ","); name != "" {
			list = append(list, name)
		}
	}
	return list
}

// A pyRequirement is another distribution that one needs, maybe for an extra only.
type pyRequirement struct {
	name    string   // normalized
	extras  []string // asked for of it
	extra   string   // that it is for
	perhaps bool     // under a condition besides that of the extra
}

// parseRequires reads the Requires-Dist fields of a METADATA (PEP 566, PEP 508).
// Of the markers the extra counts, and that something is for Windows alone: what
// is installed is so because the others were true.
func parseRequires(b []byte) []pyRequirement {
	var list []pyRequirement
	for line := range strings.Lines(string(b)) {
		if strings.TrimRight(line, "\r\n") == "" {
			break // the description follows; a license's blank lines are indented
		}
		if rest, ok := cutFold(strings.TrimSpace(line), "Requires-Dist:"); ok {
			list = appendRequirement(list, rest, "")
		}
	}
	return list
}

// parseEggRequires reads the requires.txt of an .egg-info: requirements, those
// after "[extra:marker]" under that condition.
func parseEggRequires(b []byte) []pyRequirement {
	var list []pyRequirement
	extra := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if section, ok := strings.CutPrefix(line, "["); ok {
			extra, _, _ = strings.Cut(strings.TrimSuffix(section, "]"), ":")
		} else if line != "" && line[0] != '#' {
			list = appendRequirement(list, line, extra)
		}
	}
	return list
}

func appendRequirement(list []pyRequirement, text, extra string) []pyRequirement {
	spec, marker, _ := strings.Cut(text, ";")
	spec = strings.TrimSpace(spec)
	end := strings.IndexFunc(spec, func(r rune) bool {
		return !(r < 0x80 && isPyName(byte(r)) || r == '-' || r == '.')
	})
	if end < 0 {
		end = len(spec)
	}
	name := normalizePy(spec[:end])
	if name == "" {
		return list
	}
	either := strings.Contains(marker, " or ")
	marker = strings.ReplaceAll(strings.ReplaceAll(marker, `"`, "'"), " ", "")
	if i := strings.Index(marker, "extra=='"); i >= 0 {
		extra, _, _ = strings.Cut(marker[i+len("extra=='"):], "'")
	}
	for _, other := range []string{"sys_platform=='win32'", "platform_system=='Windows'", "os_name=='nt'", "sys_platform=='darwin'"} {
		if strings.Contains(marker, other) && !either {
			return list
		}
	}
	perhaps := strings.Contains(marker, "_version") || strings.Contains(marker, "platform") || strings.Contains(marker, "os_name")
	r := pyRequirement{name: name, extra: normalizePy(extra), perhaps: perhaps}
	if rest, ok := strings.CutPrefix(strings.TrimSpace(spec[end:]), "["); ok {
		names, _, _ := strings.Cut(rest, "]")
		for name := range strings.SplitSeq(names, ",") {
			r.extras = append(r.extras, normalizePy(strings.TrimSpace(name)))
		}
	}
	return append(list, r)
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// parseEntryGroups lists the groups of an entry_points.txt, but those of programs.
func parseEntryGroups(b []byte) []string {
	var list []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if group, ok := strings.CutPrefix(line, "["); ok && strings.HasSuffix(group, "]") {
			group = strings.TrimSpace(strings.TrimSuffix(group, "]"))
			if group != "console_scripts" && group != "gui_scripts" && !slices.Contains(list, group) {
				list = append(list, group)
			}
		}
	}
	return list
}
