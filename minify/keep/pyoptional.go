package keep

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// A pyOptional is a place where a distribution can use another that it does not
// require: pandas has them for scipy and matplotlib, SQLAlchemy for each driver.
type pyOptional struct {
	from  pyFrom
	files []*rootfs.Node
	text  string
}

// A distribution that is reached by such places alone is kept where it is small:
// without it some function of the other fails that the application may call. A
// large one is kept if there is a sign that the application gets there, since
// images for developing have many that are there for notebooks.
//
// The signs: the application's sources have the name of the function around the
// place ("to_markdown"), of what is imported there, of the module if that is as a
// whole for it ("pandas/plotting"), or of the distribution; its requirements list it;
// or a good part of the modules that could use it do.
const (
	maxPyOptional = 10 << 20 // bytes of a small distribution, with all that it requires
	pyBackbone    = 5        // one module of so many is a good part
)

// postpone puts off a decision on a large distribution that from could use, until all
// else is known.
func (p *python) postpone(from *pyFrom, files []*rootfs.Node, text string) bool {
	if from.dist == nil || len(files) == 0 {
		return false
	}
	d := p.distAt(files[len(files)-1])
	if d == nil || d == from.dist || d.unit.touched || d.app || p.weight(d, make(map[*pyDist]bool)) <= maxPyOptional || p.isRequired(from.dist, d) {
		return false
	}
	p.waiting[d] = append(p.waiting[d], pyOptional{*from, files, text})
	if p.judge == nil {
		p.judge = &unit{kind: "Python", name: "optional parts"}
		p.judge.complete = func(s *selector, u *unit) {
			p.judge = nil
			if len(s.units) > 0 { // not yet
				p.judge = u
				s.units = append(s.units, u)
				return
			}
			p.decide()
		}
		p.s.units = append(p.s.units, p.judge)
	}
	return true
}

// isRequired reports whether a requires b, whatever for.
func (p *python) isRequired(a, b *pyDist) bool {
	return slices.ContainsFunc(a.requires, func(r pyRequirement) bool { return r.name == b.name && r.extra == "" })
}

// weight is the size of a distribution and of all that it requires which is not
// used yet.
func (p *python) weight(d *pyDist, seen map[*pyDist]bool) int64 {
	if seen[d] || d.unit.touched {
		return 0
	}
	seen[d] = true
	if d.size == 0 {
		d.size = 1
		bare := make(map[*rootfs.Node]bool)
		for _, i := range d.unit.files {
			if n := p.s.sel.Entries[i].Node; p.s.unitOf[i] == d.unit && !p.s.surplus(i) && !p.surplus(d, n, bare) {
				d.size += n.Inode().Size
			}
		}
	}
	sum := d.size
	for _, r := range d.requires {
		if r.extra == "" {
			if other := p.requirement(d, r); other != nil {
				sum += p.weight(other, seen)
			}
		}
	}
	return sum
}

// decide keeps those of the distributions that wait for which there is a sign, and
// then looks at the rest again, since what is kept can name them.
func (p *python) decide() {
	dists := make([]*pyDist, 0, len(p.waiting))
	for d := range p.waiting {
		dists = append(dists, d)
	}
	slices.SortFunc(dists, func(a, b *pyDist) int {
		return cmp.Or(strings.Compare(a.name, b.name), p.s.sel.index[a.site]-p.s.sel.index[b.site])
	})
	p.readVocabulary()
	for _, d := range dists {
		list := p.waiting[d]
		wanted := d.unit.touched || p.isBackbone(list)
		for k, purpose := range p.purposes(list) {
			wanted = wanted || p.hasSign(&list[k], d, purpose)
		}
		if !wanted {
			continue
		}
		delete(p.waiting, d)
		for _, o := range list {
			p.takeAll(&o.from, o.from.ref.firm, o.files, o.text)
		}
		p.drain()
	}
}

// readVocabulary collects the names and words of the application's sources, of its
// requirements and of the image's config.
func (p *python) readVocabulary() {
	if p.vocabulary != nil {
		return
	}
	p.vocabulary = make(map[string]bool)
	for _, i := range p.order {
		switch f := p.files[i]; {
		case i < 0:
			for _, r := range f.refs {
				p.addWord([]byte(r.name))
			}
		case f.level == pyApp:
			lex := newPyLexer(p.s.readText(p.s.sel.Entries[i].Node))
			for t := lex.next(); t.kind != pyEOF; t = lex.next() {
				if t.kind == pyName || t.kind == pyString && len(t.text) <= maxPyName {
					p.addWord(t.text)
				}
			}
		}
	}
	for _, kv := range p.s.cfg.Env {
		p.addWord([]byte(kv))
	}
	p.readRequirements()
}

// addWord adds a name as a whole, without underscores around it, and its words: what
// stands between other characters than letters and digits, or begins with a capital.
func (p *python) addWord(text []byte) {
	if len(text) > 2 {
		p.vocabulary[strings.ToLower(strings.Trim(string(text), "_"))] = true
	}
	from := 0
	for i := 0; i <= len(text); i++ {
		end := i == len(text)
		if !end && pyClass[text[i]] != 0 && text[i] != '_' {
			if upper := text[i] >= 'A' && text[i] <= 'Z'; !upper || i == from || text[i-1] >= 'A' && text[i-1] <= 'Z' {
				continue
			}
		}
		if i-from > 2 {
			p.vocabulary[strings.ToLower(string(text[from:i]))] = true
		}
		from = i
		if !end && (pyClass[text[i]] == 0 || text[i] == '_') {
			from++
		}
	}
}

// readRequirements adds the distributions that requirement files of the
// application list, but those for development.
func (p *python) readRequirements() {
	for _, root := range p.roots {
		for dir, up := root, 0; dir != nil && up < 2 && dir.Parent() != nil; dir, up = dir.Parent(), up+1 {
			for _, c := range dir.Children() {
				name := strings.ToLower(c.Name())
				if !strings.HasPrefix(name, "requirements") || path.Ext(name) != ".txt" && path.Ext(name) != ".in" || p.s.unitOf[p.s.sel.index[c]] != nil {
					continue
				}
				for _, part := range strings.FieldsFunc(strings.TrimSuffix(name, path.Ext(name)), func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
					if pyExtras[part] || part == "notebook" || part == "notebooks" || part == "tools" {
						name = ""
					}
				}
				if name == "" {
					continue
				}
				for _, r := range parseEggRequires(p.s.readText(c)) {
					p.vocabulary["requires "+r.name] = true
				}
			}
		}
	}
}

// hasSign reports whether the application's words show that it can get to the place.
func (p *python) hasSign(o *pyOptional, d *pyDist, purpose string) bool {
	v := p.vocabulary
	if o.from.level == pyPart {
		return false // a part that nothing imports
	}
	if v[strings.ToLower(d.name)] || v["requires "+d.name] {
		return true
	}
	for _, name := range o.from.ref.names {
		if len(name) > 4 && p.hasBeginning(strings.ToLower(name)) {
			return true
		}
	}
	module := true
	for name := range strings.SplitSeq(o.from.ref.in, ".") {
		if strings.HasPrefix(name, "__") || name == "" {
			continue // run with whatever it is in
		}
		module = false
		// A method may leave its work to another of its name.
		if bare := strings.Trim(name, "_"); v[strings.ToLower(name)] || strings.Contains(bare, "_") && v[strings.ToLower(bare)] {
			return true
		}
	}
	return module && slices.ContainsFunc(strings.Split(strings.ToLower(purpose), "_"), func(word string) bool {
		return len(word) > 3 && !pyDunders[word] && p.hasBeginning(word)
	})
}

// purposes names for each place what is as a whole for the optional distribution:
// the topmost folder of which at least half of the modules use it, or else the module.
func (p *python) purposes(list []pyOptional) []string {
	s := p.s
	all, using := make(map[*rootfs.Node]int), make(map[*rootfs.Node]int)
	count := func(m map[*rootfs.Node]int, n *rootfs.Node, d *pyDist) {
		for dir := n.Parent(); dir != nil && dir != d.site; dir = dir.Parent() {
			m[dir]++
		}
	}
	seen := make(map[*rootfs.Node]bool)
	dists := make(map[*pyDist]bool)
	for _, o := range list {
		if n := s.at(o.from.path); !seen[n] {
			seen[n] = true
			count(using, n, o.from.dist)
		}
		if !dists[o.from.dist] {
			dists[o.from.dist] = true
			for _, i := range o.from.dist.unit.files {
				if strings.HasSuffix(s.paths[i], ".py") && !s.surplus(i) {
					count(all, s.sel.Entries[i].Node, o.from.dist)
				}
			}
		}
	}
	names := make([]string, len(list))
	for k, o := range list {
		n := s.at(o.from.path)
		names[k] = strings.TrimSuffix(n.Name(), path.Ext(n.Name()))
		if names[k] == "__init__" {
			names[k] = n.Parent().Name()
		}
		for dir := n.Parent(); dir != o.from.dist.site && dir.Parent() != o.from.dist.site && dir.Parent() != nil; dir = dir.Parent() {
			if using[dir]*2 >= all[dir] {
				names[k] = dir.Name()
			}
		}
	}
	return names
}

// hasBeginning reports whether the vocabulary has a word, or the first four letters or
// more of it as a word: "plot" for "plotting".
func (p *python) hasBeginning(word string) bool {
	for n := len(word); n >= 4; n-- {
		if p.vocabulary[word[:n]] {
			return true
		}
	}
	return false
}

// pyDunders are names that say nothing of what they are for.
var pyDunders = set(`init new call enter exit getattr main wrapper inner func core base common utils util helpers compat
	internal internals impl types typing backend backends deps dependencies optional import imports lazy version config
	data arrays array index api tools extra extras contrib plugins plugin support test tests testing tester`)

// isBackbone reports whether the places are in a good part of the modules of one
// distribution.
func (p *python) isBackbone(list []pyOptional) bool {
	places := make(map[*pyDist]map[string]bool)
	for _, o := range list {
		if o.from.level == pyPart {
			continue
		}
		if places[o.from.dist] == nil {
			places[o.from.dist] = make(map[string]bool)
		}
		places[o.from.dist][o.from.path] = true
	}
	for d, files := range places {
		modules := 0
		for _, i := range d.unit.files {
			if strings.HasSuffix(p.s.paths[i], ".py") && !p.s.surplus(i) {
				modules++
			}
		}
		if len(files)*pyBackbone >= modules {
			return true
		}
	}
	return false
}
