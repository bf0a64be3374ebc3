package keep

import (
	"debug/elf"
	"io/fs"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

const (
	cachePath = "/etc/ld.so.cache"
	maxConfig = 1 << 20 // bytes of ld.so.conf and of musl's path file
)

// searchGlibc follows _dl_map_object: DT_RPATH of the object, of what loaded it
// and so on up, unless the object has a DT_RUNPATH; LD_LIBRARY_PATH; DT_RUNPATH;
// the cache; the default directories unless DF_1_NODEFLIB.
func (p *process) searchGlibc(o *object, name string) []*object {
	if o.dirs == nil {
		o.dirs = []string{}
		if o.file.runpath == nil {
			for l := o; l != nil; l = l.loader {
				o.dirs = append(o.dirs, p.rpath(l)...)
			}
		}
		o.dirs = append(o.dirs, p.env...)
		if o.file.runpath != nil {
			o.dirs = append(o.dirs, p.expandList(o, *o.file.runpath, ":")...)
		}
	}
	found, done := p.searchDirs(o.dirs, name)
	if done {
		return found
	}
	noDefault := o.file.flags1&elf.DF_1_NODEFLIB != 0
	for _, c := range p.cached(name) {
		dir, _, _ := strings.Cut(path.Dir(c.path), "/glibc-hwcaps")
		if noDefault && slices.Contains(p.defaultDirs(), dir) {
			continue
		}
		if lib := p.open(c.path); lib != nil {
			lib.cached = true
			found = append(found, lib)
			if !c.variant {
				return found
			}
		}
	}
	if !noDefault {
		more, done := p.searchDirs(p.defaultDirs(), name)
		if found = append(found, more...); done {
			return found
		}
	}
	more, _ := p.searchDirs(p.lastResort(o), name)
	return append(found, more...)
}

// rpath is the DT_RPATH of an object, which a DT_RUNPATH beside it voids.
func (p *process) rpath(o *object) []string {
	if o.file.rpath == nil || o.file.runpath != nil {
		return nil
	}
	return p.expandList(o, *o.file.rpath, ":")
}

// lastResort is where a library may be that the rules do not find. A loader
// installed elsewhere than the distributions do has other default directories, its
// own above all. An object opened by name inherits the RPATH of a program that is
// not known here, so that of every program serves. And ld.so never reads
// ld.so.conf, but an image with a stale cache or none runs ldconfig, which does.
func (p *process) lastResort(o *object) []string {
	var dirs []string
	if p.main.file.interp != "" {
		dirs = append(dirs, path.Dir(p.s.absolute(p.main.file.interp)))
	}
	if p.main.file.interp == "" && o.file.runpath == nil {
		for _, main := range p.mains {
			dirs = append(dirs, p.rpath(main)...)
		}
	}
	return append(dirs, p.confDirs()...)
}

func (l *linker) cached(name string) []cacheEntry {
	if l.cache == nil {
		l.cache = parseCache(l.read(cachePath, maxCache))
		if l.cache == nil {
			l.cache = map[string][]cacheEntry{}
		}
	}
	return l.cache[name]
}

// defaultDirs are the directories compiled into glibc's loader, as the
// distributions choose them: of several architectures, files of the wrong one are
// skipped anyway.
func (l *linker) defaultDirs() []string {
	if l.defaults == nil {
		l.defaults = []string{}
		for _, multiarch := range []bool{true, false} {
			for _, dir := range []string{"/lib", "/usr/lib"} {
				if !multiarch {
					l.defaults = append(l.defaults, dir+"64", dir, dir+"32", dir+"x32")
					continue
				}
				for _, triplet := range l.triplets(dir) {
					l.defaults = append(l.defaults, dir+"/"+triplet)
				}
			}
		}
	}
	return l.defaults
}

// triplets are the multiarch folders of dir: x86_64-linux-gnu.
func (l *linker) triplets(dir string) []string {
	var list []string
	if n := l.dir(dir).node; n != nil {
		for _, c := range n.Children() {
			if strings.Contains(c.Name(), "-linux-gnu") {
				list = append(list, c.Name())
			}
		}
	}
	return list
}

// libNames is what $LIB can stand for, a choice of the distribution.
func (l *linker) libNames() []string {
	names := []string{"lib64", "lib", "lib32"}
	for _, triplet := range l.triplets("/usr/lib") {
		names = append(names, "lib/"+triplet)
	}
	return names
}

// confDirs are the directories of /etc/ld.so.conf and what it includes
// (ldconfig(8)).
func (l *linker) confDirs() []string {
	if l.conf == nil {
		l.conf = []string{}
		l.readConf("/etc/ld.so.conf", make(map[string]bool))
	}
	return l.conf
}

func (l *linker) readConf(name string, seen map[string]bool) {
	if seen[name] {
		return
	}
	seen[name] = true
	for line := range strings.Lines(string(l.read(name, maxConfig))) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "hwcap":
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if !strings.HasPrefix(pattern, "/") {
					pattern = path.Join(path.Dir(name), pattern)
				}
				matches, _ := fs.Glob(l.s.fs, strings.TrimPrefix(path.Clean(pattern), "/"))
				for _, m := range matches {
					l.readConf("/"+m, seen)
				}
			}
		default:
			dir, _, _ := strings.Cut(words[0], "=") // "=libc6", an old suffix
			if strings.HasPrefix(dir, "/") {
				l.conf = append(l.conf, path.Clean(dir))
			}
		}
	}
}

// searchMusl follows load_library: LD_LIBRARY_PATH; the path of the object, of
// what loaded it and so on up, RPATH and RUNPATH being one; the system's path.
func (p *process) searchMusl(o *object, name string) []*object {
	if o.dirs == nil {
		o.dirs = slices.Clone(p.env)
		for l := o; l != nil; l = l.loader {
			o.dirs = append(o.dirs, p.muslPath(l)...)
		}
	}
	if found, done := p.searchDirs(o.dirs, name); done {
		return found
	}
	system := []string{"/lib", "/usr/local/lib", "/usr/lib"}
	file := muslPathFile(p.musl)
	if text := p.read(file, maxConfig); text != nil {
		system = strings.FieldsFunc(string(text), func(r rune) bool { return r == ':' || r == '\n' })
	}
	if found, done := p.searchDirs(system, name); done {
		p.s.usePath(file, Reason{Rule: "elf", Text: "search path of " + p.musl, From: p.musl})
		return found
	}
	// As lastResort: the program that opens this object by name is not known.
	if p.main.file.interp == "" {
		for _, main := range p.mains {
			if found, done := p.searchDirs(p.muslPath(main), name); done {
				return found
			}
		}
	}
	return nil
}

// muslPath is the search path that an object brings along (fixup_rpath).
func (p *process) muslPath(o *object) []string {
	switch f := o.file; {
	case f.runpath != nil:
		return p.expandList(o, *f.runpath, ":\n")
	case f.rpath != nil:
		return p.expandList(o, *f.rpath, ":\n")
	}
	return nil
}

// muslPathFile is the file with the system's path: beside the folder of the
// loader, named by its architecture.
func muslPathFile(loader string) string {
	arch := strings.TrimSuffix(strings.TrimPrefix(path.Base(loader), "ld-musl-"), ".so.1")
	return path.Join(path.Dir(path.Dir(loader)), "etc/ld-musl-"+arch+".path")
}

// isMusl reports whether a name means musl's libc, which is its loader: never
// searched for (the reserved names of load_library).
func isMusl(name string) bool {
	if strings.HasPrefix(name, "ld-musl-") {
		return true
	}
	rest, ok := strings.CutPrefix(name, "lib")
	if !ok {
		return false
	}
	part, _, dot := strings.Cut(rest, ".")
	return dot && slices.Contains([]string{"c", "pthread", "rt", "m", "dl", "util", "xnet"}, part)
}

// muslLoader is musl's loader if it loads f, otherwise "". A shared object does
// not say which one loads it, but its libc does.
func (l *linker) muslLoader(f *elfFile) string {
	if f.interp != "" {
		if strings.HasPrefix(path.Base(f.interp), "ld-musl-") {
			return f.interp
		}
		return ""
	}
	loader := ""
	if n := l.dir("/lib").node; n != nil {
		for _, c := range n.Children() {
			if strings.HasPrefix(c.Name(), "ld-musl-") {
				g := l.fileAt("/lib/" + c.Name())
				if g != nil && f.matches(g) {
					loader = "/lib/" + c.Name()
				}
			}
		}
	}
	if loader == "" {
		return ""
	}
	for _, n := range f.needed {
		if n.name == "libc.so" || strings.HasPrefix(n.name, "libc.musl-") {
			return loader
		}
		if n.name == "libc.so.6" {
			return ""
		}
	}
	for _, dir := range l.defaultDirs() {
		if g := l.fileAt(dir + "/libc.so.6"); g != nil && f.matches(g) {
			return ""
		}
	}
	return loader
}

func (l *linker) fileAt(name string) *elfFile {
	n, _, err := l.s.fs.Resolve(name)
	if err != nil {
		return nil
	}
	return l.file(n.Inode())
}

// A libDir is a directory of a search path.
type libDir struct {
	node     *rootfs.Node // nil if there is no such directory
	path     string
	variants []*libDir // directories for processors with certain features
}

// legacyHwcaps are the names of subdirectories that glibc before 2.37 prefers on
// processors that have them, one below another ("tls/haswell"): _dl_important_hwcaps
// and the dl_platform and hwcap names of its sysdeps.
var legacyHwcaps = []string{
	"tls", "x86_64", "haswell", "xeon_phi", "avx512_1", "i486", "i586", "i686", "cmov", "sse2",
	"aarch64", "atomics", "v7l", "v8l", "neon", "vfp", "vfpv3", "power7", "power8", "power9", "power10",
	"z10", "z13", "z14", "z15", "z196", "zEC12",
}

func (l *linker) dir(name string) *libDir {
	d, ok := l.dirs[name]
	if !ok {
		d = &libDir{path: name}
		if n, _, err := l.s.fs.Resolve(name); err == nil && n.Inode().IsDir() {
			d.node = n
			if caps := n.Child("glibc-hwcaps"); caps != nil {
				for _, c := range caps.Children() {
					d.addVariant(c, name+"/glibc-hwcaps/"+c.Name(), false)
				}
			}
			d.addLegacy(n, name)
		}
		l.dirs[name] = d
	}
	return d
}

func (d *libDir) addVariant(n *rootfs.Node, name string, nested bool) {
	if !n.Inode().IsDir() {
		return
	}
	d.variants = append(d.variants, &libDir{node: n, path: name})
	if nested {
		d.addLegacy(n, name)
	}
}

func (d *libDir) addLegacy(n *rootfs.Node, name string) {
	for _, hwcap := range legacyHwcaps {
		if c := n.Child(hwcap); c != nil {
			d.addVariant(c, name+"/"+hwcap, true)
		}
	}
}

// candidates are the paths of a library in this directory, variants first.
func (d *libDir) candidates(name string, hwcaps bool) []cacheEntry {
	var list []cacheEntry
	if d.node == nil {
		return nil
	}
	for _, v := range d.variants {
		if hwcaps && v.node.Child(name) != nil {
			list = append(list, cacheEntry{join(v.path, name), true})
		}
	}
	if d.node.Child(name) != nil {
		list = append(list, cacheEntry{join(d.path, name), false})
	}
	return list
}
