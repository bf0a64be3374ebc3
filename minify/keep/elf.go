package keep

import (
	"debug/elf"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
)

// A linker finds what the dynamic loader would load, by the loader's own rules:
// ld.so(8) and elf/dl-load.c of glibc, ldso/dynlink.c of musl. Each file is
// parsed once.
type linker struct {
	s        *selector
	files    map[*rootfs.Inode]*elfFile // nil for what is not ELF
	dirs     map[string]*libDir
	cache    map[string][]cacheEntry // of glibc; nil until read
	defaults []string                // of glibc; nil until listed
	conf     []string                // /etc/ld.so.conf; nil until read
	loaded   map[*rootfs.Node]bool   // objects that some program's loading reached
	mains    []*object               // programs with an RPATH
}

// An object is a file mapped into a process.
type object struct {
	node   *rootfs.Node
	file   *elfFile
	path   string // as the loader names it, links not resolved
	loader *object
	links  []*rootfs.Node // on the way to path
	dirs   []string       // where its needs are looked for first; nil until known
	cached bool           // found through ld.so.cache
}

// A process is the loading of one program, or of one shared object alone.
type process struct {
	*linker
	main  *object
	musl  string          // path of musl's loader; "" for glibc
	env   []string        // LD_LIBRARY_PATH
	names map[string]bool // names and sonames that are loaded
	seen  map[*rootfs.Node]bool
	queue []*object
}

func newLinker(s *selector) *linker {
	return &linker{
		s:     s,
		files: make(map[*rootfs.Inode]*elfFile), dirs: make(map[string]*libDir), loaded: make(map[*rootfs.Node]bool),
	}
}

// program keeps what a used file is linked with, if it is an ELF program; a
// shared object waits until all programs are done, since it may be loaded by one
// of them, whose RPATH then counts.
func (s *selector) program(i int) {
	n := s.sel.Entries[i].Node
	switch f := s.elf.file(n.Inode()); {
	case f == nil:
	case f.interp == "":
		s.objects = append(s.objects, i)
	default:
		s.elf.load(n)
	}
}

// object keeps what a shared object is linked with that no program was found to
// load: one opened by name.
func (s *selector) object(i int) {
	if n := s.sel.Entries[i].Node; !s.elf.loaded[n] {
		s.elf.load(n)
	}
}

// file is the parsed content, nil if that is not ELF.
func (l *linker) file(i *rootfs.Inode) *elfFile {
	f, ok := l.files[i]
	if !ok && i.IsRegular() {
		f, _ = parseELF(l.s.fs.Content(i))
		l.files[i] = f
	}
	return f
}

// load keeps the interpreter of a program and, breadth first as the loader goes,
// every object that is needed.
func (l *linker) load(n *rootfs.Node) {
	i, f := n.Inode(), l.file(n.Inode())
	if f.interp != "" && (f.rpath != nil || f.runpath != nil) {
		l.mains = append(l.mains, &object{node: n, file: f, path: l.s.path(n)})
	}
	l.run(&object{node: n, file: f, path: l.s.path(n)}, true)
	if i.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 || i.Xattrs["security.capability"] != "" {
		// Whether the environment counts depends on who starts it (AT_SECURE).
		l.run(&object{node: n, file: f, path: l.s.path(n)}, false)
	}
}

func (l *linker) run(main *object, trusted bool) {
	p := &process{linker: l, main: main, names: make(map[string]bool), seen: make(map[*rootfs.Node]bool)}
	if name := main.file.interp; name != "" {
		if n := l.s.usePath(l.s.absolute(name), Reason{Rule: "elf", Text: "ELF interpreter of " + main.path, From: main.path}); n != nil {
			l.loaded[n], p.seen[n] = true, true
			p.names[path.Base(name)] = true
			if f := l.file(n.Inode()); f != nil {
				p.names[f.soname] = true
			}
		}
	}
	p.musl = l.muslLoader(main.file)
	if trusted {
		p.env = p.expandList(main, l.s.env("LD_LIBRARY_PATH", ""), ":;")
		for name := range strings.FieldsFuncSeq(l.s.env("LD_PRELOAD", ""), func(r rune) bool { return r == ' ' || r == ':' }) {
			p.need(main, "LD_PRELOAD", name)
		}
	}
	p.seen[main.node] = true
	p.needAll(main)
	for len(p.queue) > 0 {
		o := p.queue[0]
		p.queue = p.queue[1:]
		p.needAll(o)
	}
}

func (p *process) needAll(o *object) {
	for _, n := range o.file.needed {
		p.need(o, n.tag.String(), n.name)
	}
}

// need keeps the object that the loader takes for name on behalf of o, in all its
// variants.
func (p *process) need(o *object, tag, name string) {
	if p.names[name] || p.musl != "" && isMusl(name) {
		return
	}
	s := p.s
	for _, found := range p.search(o, name) {
		from := s.path(o.node)
		why := Reason{Rule: "elf", Text: "needed by " + from + " (" + tag + " " + name + ")", From: from}
		s.keepLinks(found.links, found.path, why)
		s.use(found.node, why)
		if found.cached {
			s.usePath(cachePath, Reason{Rule: "elf", Text: "tells the loader of " + found.path, From: s.path(found.node)})
		}
		p.names[name], p.names[found.file.soname] = true, true
		p.loaded[found.node] = true
		if !p.seen[found.node] {
			p.seen[found.node] = true
			found.loader = o
			p.queue = append(p.queue, found)
		}
	}
}

// search lists what the loader could take for name on behalf of o: the first
// match along its path and, before it, what it prefers on other processors.
func (p *process) search(o *object, name string) []*object {
	if strings.Contains(name, "/") {
		for _, q := range p.expand(o, name) {
			if found := p.open(q); found != nil {
				return []*object{found}
			}
		}
		return nil
	}
	if p.musl != "" {
		return p.searchMusl(o, name)
	}
	return p.searchGlibc(o, name)
}

// searchDirs looks for name in dirs; done once a file for every processor is found.
func (p *process) searchDirs(dirs []string, name string) (found []*object, done bool) {
	for _, dir := range dirs {
		for _, q := range p.dir(dir).candidates(name, p.musl == "") {
			if o := p.open(q.path); o != nil {
				found = append(found, o)
				done = done || !q.variant
			}
		}
		if done {
			return found, true
		}
	}
	return found, false
}

// open is the object at a path, nil if the loader would skip it.
func (p *process) open(name string) *object {
	name = p.s.absolute(name)
	n, links, err := p.s.fs.Resolve(name)
	if err != nil || !n.Inode().IsRegular() {
		return nil
	}
	f := p.file(n.Inode())
	if f == nil || !p.main.file.matches(f) {
		return nil
	}
	return &object{node: n, file: f, path: name, links: links}
}

// expandList splits a search path and expands each directory.
func (p *process) expandList(o *object, list, separators string) []string {
	if list == "" {
		return nil
	}
	var dirs []string
	for {
		i := strings.IndexAny(list, separators)
		dir := list
		if i >= 0 {
			dir = list[:i]
		}
		// An empty element is the working directory.
		for _, d := range p.expand(o, dir) {
			dirs = append(dirs, p.s.absolute(d))
		}
		if i < 0 {
			return dirs
		}
		list = list[i+1:]
	}
}

// expand replaces $ORIGIN, and $LIB and $PLATFORM by all that they can stand for
// (ld.so(8), "Dynamic string tokens").
func (p *process) expand(o *object, text string) []string {
	if !strings.Contains(text, "$") {
		return []string{text}
	}
	origin := path.Dir(o.path)
	list := []string{strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(text)}
	if p.musl != "" {
		return slices.DeleteFunc(list, func(s string) bool { return strings.Contains(s, "$") })
	}
	list = expandToken(list, "LIB", p.libNames)
	return expandToken(list, "PLATFORM", func() []string { return platforms(p.main.file.machine) })
}

func expandToken(list []string, token string, values func() []string) []string {
	var out []string
	for _, text := range list {
		if !strings.Contains(text, "$"+token) && !strings.Contains(text, "${"+token+"}") {
			out = append(out, text)
			continue
		}
		for _, v := range values() {
			out = append(out, strings.NewReplacer("${"+token+"}", v, "$"+token, v).Replace(text))
		}
	}
	return out
}

// platforms are the values of AT_PLATFORM or of glibc's own cpu names.
func platforms(m elf.Machine) []string {
	switch m {
	case elf.EM_X86_64:
		return []string{"x86_64", "haswell", "xeon_phi"}
	case elf.EM_386:
		return []string{"i386", "i486", "i586", "i686"}
	default:
		return []string{strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))}
	}
}

// read is a file's content where it is at most limit bytes; nil if not, or if
// there is none.
func (l *linker) read(name string, limit int64) []byte {
	n, _, err := l.s.fs.Resolve(name)
	if err != nil || !n.Inode().IsRegular() || n.Inode().Size > limit {
		return nil
	}
	b, err := io.ReadAll(l.s.fs.Content(n.Inode()))
	if err != nil {
		return nil
	}
	return b
}
