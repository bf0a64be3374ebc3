package keep

import (
	"debug/elf"
	"path"
	"strings"

	"slim/probe/rootfs"
)

// completeNode keeps a module's files but for what no program loads, and the
// packages that it depends on.
func (s *selector) completeNode(u *unit) {
	r := s.node
	m := r.units[u]
	s.keepManifest(m)
	if m.partly && !m.whole {
		return
	}
	manifest := r.manifest(s, m.dir)
	entries := make(map[*rootfs.Node]bool)
	for _, name := range manifest.entries {
		if strings.Contains(name, "*") {
			continue
		}
		if n := s.findFile(m.dir, name); n != nil && !isDeclaration(n.Name()) {
			entries[n] = true
			s.useInModule(n, u.why("unit", "entry"))
		}
	}
	browser := make(map[*rootfs.Node]bool)
	for _, name := range manifest.browser {
		if n := s.findFile(m.dir, name); n != nil && !entries[n] {
			browser[n] = true
		}
	}
	s.walkModule(m.dir, func(n *rootfs.Node) {
		if !browser[n] && s.unitOf[s.sel.index[n]] == u {
			s.useInModule(n, u.why("unit", "part"))
		}
	})
	if !r.started {
		// Served to browsers by another program.
		r.idle = append(r.idle, u)
		return
	}
	p := s.path(m.dir)
	for _, name := range manifest.needs {
		s.needModule(m.dir, name, "required by "+u.name+" ("+join(p, "package.json")+")", join(p, "package.json"), true)
	}
}

// keepManifest keeps a module's package.json, which Node reads to find any file
// of it.
func (s *selector) keepManifest(m *nodeModule) {
	if n := m.dir.Child("package.json"); n != nil {
		s.use(n, m.unit.why("unit", "manifest"))
	}
}

// useInModule is use but for scripts: the shell of a module's own build is not
// needed because the module is.
func (s *selector) useInModule(n *rootfs.Node, why Reason) {
	if _, _, script := s.shebang(n); !script {
		s.use(n, why)
		return
	}
	if s.keep(n, why) && s.node.started && s.isNodeSource(n) {
		s.follow(s.sel.index[n], true)
	}
}

// walkModule visits the files below a folder, without modules in it, and without
// what is of no use when a program runs.
func (s *selector) walkModule(dir *rootfs.Node, visit func(*rootfs.Node)) {
	native := dir.Child("binding.gyp") != nil
	for _, c := range dir.Children() {
		switch i := c.Inode(); {
		case i.IsDir():
			if c.Name() == "node_modules" || s.node.modules[c] != nil || s.isModuleJunk(c) || native && c.Name() == "deps" {
				continue
			}
			s.walkModule(c, visit)
		case i.IsSymlink() && s.leadsAway(c):
		case !s.isModuleJunkFile(c):
			visit(c)
		}
	}
}

// leadsAway reports whether a link leads to what is part of something else than
// Node's modules: the compiler's Python in what a build left.
func (s *selector) leadsAway(n *rootfs.Node) bool {
	end, _, err := s.fs.Resolve(s.path(n))
	if err != nil {
		return true
	}
	owner := s.unitOf[s.sel.index[end]]
	return owner != nil && s.node.units[owner] == nil
}

// moduleJunk are folders of published packages that nothing loads but their own
// development; a file that names one of their files brings that back.
var moduleJunk = set(`doc docs example examples demo demos benchmark benchmarks bench coverage bower_components obj.target .deps
	.github .circleci .vscode .idea .nyc_output .husky .changeset`)

func (s *selector) isModuleJunk(n *rootfs.Node) bool {
	if moduleJunk[n.Name()] || strings.HasPrefix(n.Name(), "build-tmp") { // node-pre-gyp's
		return true
	}
	c := s.folderCategory(s.path(n), n)
	return c != nil && c.category != Locale
}

// moduleJunkFiles are files by extension: sources of native addons, what their build
// leaves, types, and archives of what else can be had.
var moduleJunkFiles = set(`.c .cc .cpp .cxx .gyp .gypi .mk .o .obj .lib .ilk .exp .vcxproj .sln .flow .markdown .map .lock
	.zip .tgz .tar .gz .bz2 .xz`)

// moduleSettings are files of a package's own development.
var moduleSettings = set(`.npmignore .editorconfig .eslintrc .eslintignore .eslintrc.js .eslintrc.json .eslintrc.cjs .eslintrc.yml
	.prettierrc .prettierignore .prettierrc.json .jshintrc .jscsrc .travis.yml .nycrc .taprc .zuul.yml .coveralls.yml .npmrc
	.airtap.yml appveyor.yml bower.json component.json package-lock.json npm-shrinkwrap.json pnpm-lock.yaml Makefile
	Gruntfile.js gulpfile.js karma.conf.js jest.config.js rollup.config.js webpack.config.js tslint.json config.gypi`)

func (s *selector) isModuleJunkFile(n *rootfs.Node) bool {
	name := n.Name()
	ext := path.Ext(name)
	switch {
	case isTypeScript(name):
		if isDeclaration(name) {
			return !s.node.types
		}
		return !s.node.typescript
	case moduleJunkFiles[ext] || moduleSettings[name]:
		return true
	case s.isForeign(n, ext):
		return true
	}
	for _, mark := range []string{"-debug", ".debug"} {
		// The same once more for whoever looks for a fault in it.
		if before, after, ok := strings.Cut(name, mark); ok && before != "" && n.Parent().Child(before+after) != nil {
			return true
		}
	}
	if c := fileNames.match(name, name); c != nil && c.category != Locale {
		return c.category != Documentation || s.opts.NoLicenses || !isLicense(name)
	}
	return isDocument(name) && (s.opts.NoLicenses || !isLicense(name))
}

// isDeclaration reports whether a file holds TypeScript's types alone.
func isDeclaration(name string) bool {
	return isTypeScript(name) && strings.HasSuffix(strings.TrimSuffix(name, path.Ext(name)), ".d")
}

// isForeign reports whether a file is a program or addon for another system, of
// which packages bring many (prebuilds/darwin-arm64): by its content.
func (s *selector) isForeign(n *rootfs.Node, ext string) bool {
	switch {
	case ext == ".dll" || ext == ".dylib" || ext == ".exe":
		return true
	case ext == ".node" || ext == ".so" || strings.Contains(n.Name(), ".so."):
	case ext == "" && n.Inode().Mode&0o111 != 0:
	default:
		return false
	}
	f, node := s.elf.file(n.Inode()), s.node.running
	if f == nil {
		return ext == ".node" && n.Inode().IsRegular()
	}
	if node == nil {
		return false
	}
	if !node.matches(f) {
		return true
	}
	_, libc := s.node.machine(s)
	for _, need := range f.needed {
		musl := strings.HasPrefix(need.name, "libc.musl-")
		if libc == "glibc" && musl || libc == "musl" && need.name == "libc.so.6" {
			return true
		}
	}
	return false
}

// machine is the processor and C library of the Node that runs, as package.json
// names them (process.arch); "" where it is not known.
func (r *nodeRules) machine(s *selector) (cpu, libc string) {
	f := r.running
	if f == nil {
		return "", ""
	}
	switch {
	case strings.Contains(f.interp, "ld-musl"):
		libc = "musl"
	case f.interp != "":
		libc = "glibc"
	}
	return nodeArchs[f.machine], libc
}

var nodeArchs = map[elf.Machine]string{
	elf.EM_X86_64: "x64", elf.EM_386: "ia32", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm", elf.EM_PPC64: "ppc64",
	elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64", elf.EM_LOONGARCH: "loong64", elf.EM_MIPS: "mipsel",
}
