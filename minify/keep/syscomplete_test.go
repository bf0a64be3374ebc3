package keep_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// An elfSpec is a small ELF file: what the rules look at, and nothing else.
type elfSpec struct {
	interp, soname string
	needed         string // names, blanks between
	imports        string
	strings        string
}

// quoted is the file's content as treetest's notation has it.
func (e elfSpec) quoted() string {
	const base = 0x1000 // of the strings
	table := []byte{0}
	add := func(s string) uint64 {
		at := len(table)
		table = append(append(table, s...), 0)
		return uint64(at)
	}
	var dynamic []elf.Dyn64
	for name := range strings.FieldsSeq(e.needed) {
		dynamic = append(dynamic, elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: add(name)})
	}
	if e.soname != "" {
		dynamic = append(dynamic, elf.Dyn64{Tag: int64(elf.DT_SONAME), Val: add(e.soname)})
	}
	for name := range strings.FieldsSeq(e.imports) {
		add(name)
	}
	size := uint64(len(table))
	interp := add(e.interp)
	for s := range strings.FieldsSeq(e.strings) {
		add(s)
	}
	dynamic = append(dynamic, elf.Dyn64{Tag: int64(elf.DT_STRTAB), Val: base}, elf.Dyn64{Tag: int64(elf.DT_STRSZ), Val: size}, elf.Dyn64{})
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Filesz: base + uint64(len(table))},
		{Type: uint32(elf.PT_DYNAMIC), Off: 0x200, Filesz: uint64(16 * len(dynamic))},
	}
	if e.interp != "" {
		segments = append(segments, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: base + interp, Filesz: uint64(len(e.interp) + 1)})
	}
	b := make([]byte, base)
	copy(b, "\x7fELF\x02\x01\x01")
	put := func(at int, v any) {
		var w bytes.Buffer
		if err := binary.Write(&w, binary.LittleEndian, v); err != nil {
			panic(err)
		}
		copy(b[at:], w.Bytes())
	}
	put(16, [2]uint16{uint16(elf.ET_DYN), uint16(elf.EM_X86_64)})
	put(32, uint64(64))
	put(54, [2]uint16{56, uint16(len(segments))})
	put(64, segments)
	put(0x200, dynamic)
	return strconv.Quote(string(append(b, table...)))
}

// object is a shared object, program a program, which import and name what they are told.
func object(soname, imports, names string) string {
	return elfSpec{soname: soname, needed: "libc.so.6", imports: imports, strings: names}.quoted()
}

func program(needed, imports, names string) string {
	return elfSpec{interp: "/lib/ld.so", needed: needed, imports: imports, strings: names}.quoted()
}

// A systemCase is a tree with packages, and the files kept of it, without the
// packages' records.
type systemCase struct {
	name, packages, files, trace string
	cfg                          v1.Config
	opts                         keep.Options
	want                         string
}

func (c systemCase) run(t *testing.T) {
	t.Run(c.name, func(t *testing.T) {
		tree := c.files
		if c.packages != "" {
			tree = dpkgTree(c.packages, c.files)
		}
		s := mustSelect(t, treetest.FS(t, tree), c.trace, c.cfg, c.opts)
		diff(t, lines(strings.Join(strings.Fields(c.want), "\n")), strings.Join(append(keptPaths(s), ""), "\n"))
	})
}

// What a touched package is completed by, and what not.
func TestCompletePackage(t *testing.T) {
	toolPackage := `
		Package: tool
		Depends: tool-data (>= 1), missing | libx, dash
		Files: /usr/bin/tool /usr/bin/other /usr/lib/tool/helper /usr/lib/tool/script /usr/lib/tool/plugin.so /usr/lib/tool/link /usr/share/tool/x /usr/share/man/man1/tool.1 /usr/include/tool.h /usr/share/tool/tests/t /etc/tool/tool.conf /etc/init.d/tool /etc/cron.daily/tool /var/lib/tool/state /usr/share/locale/de/LC_MESSAGES/tool.mo /usr/share/doc/tool/copyright /usr/share/doc/tool/README

		Package: tool-data
		Depends: tool-more
		Files: /usr/share/tool-data/y

		Package: tool-more
		Files: /usr/share/tool-more/z

		Package: libx
		Files: /usr/lib/libx.so.1 /usr/share/libx/x

		Package: dash
		Files: /bin/dash /etc/dash.conf

		Package: stranger
		Files: /usr/share/stranger/s /usr/bin/stranger`
	toolFiles := `
		file /usr/bin/tool 0755 ` + program("", "", "") + `
		file /usr/bin/other 0755
		file /usr/lib/tool/helper 0755 ` + program("", "", "") + `
		file /usr/lib/tool/script 0755 "#!/bin/dash\n"
		file /usr/lib/tool/plugin.so ` + object("", "", "") + `
		link /usr/lib/tool/link -> ../../bin/other
		file /usr/share/tool/x
		file /usr/share/man/man1/tool.1
		file /usr/include/tool.h
		file /usr/share/tool/tests/t
		file /etc/tool/tool.conf
		file /etc/tool/conf.d/added.conf
		file /etc/init.d/tool
		file /etc/cron.daily/tool
		file /var/lib/tool/state
		file /usr/share/locale/de/LC_MESSAGES/tool.mo
		file /usr/share/doc/tool/copyright "see /usr/share/common-licenses/GPL-3.\n"
		file /usr/share/common-licenses/GPL-3
		file /usr/share/common-licenses/GPL-2
		file /usr/share/doc/tool/README
		file /usr/share/tool-data/y
		file /usr/share/tool-more/z
		file /usr/lib/libx.so.1 ` + object("libx.so.1", "", "") + `
		file /usr/share/libx/x
		file /bin/dash 0755
		file /etc/dash.conf
		file /usr/share/stranger/s
		file /usr/bin/stranger 0755`
	for _, c := range []systemCase{{
		name: "a library's own locales are data, the system's messages are not; data packages made for one that is used",
		packages: `
			Package: speller
			Files: /usr/bin/speller /usr/lib/speller/base.dat /usr/share/locale/de/LC_MESSAGES/speller.mo

			Package: speller-en
			Depends: speller
			Files: /usr/lib/speller/en.dict

			Package: locales-of
			Files: /usr/share/locales-of/locale-data/sv.dat /usr/share/locales-of/global.dat

			Package: other
			Files: /usr/lib/speller/other.dict`,
		files: `
			file /usr/bin/speller 0755 ` + program("", "", "") + `
			file /usr/lib/speller/base.dat
			file /usr/share/locale/de/LC_MESSAGES/speller.mo
			file /usr/lib/speller/en.dict
			file /usr/lib/speller/other.dict
			file /usr/share/locales-of/locale-data/sv.dat
			file /usr/share/locales-of/global.dat`,
		trace: "/usr/bin/speller x\n /usr/share/locales-of/global.dat r",
		want: `
			/usr/bin/speller
			/usr/lib/speller/base.dat
			/usr/lib/speller/en.dict
			/usr/share/locales-of/global.dat
			/usr/share/locales-of/locale-data/sv.dat`,
	}, {
		name: "touched by its data: no helper programs", packages: toolPackage, files: toolFiles, trace: "/usr/share/tool/x r",
		want: `
			/etc/tool/conf.d/added.conf
			/etc/tool/tool.conf
			/usr/lib/tool/plugin.so
			/usr/share/common-licenses/GPL-3
			/usr/share/doc/tool/copyright
			/usr/share/tool/x
			/usr/share/tool-data/y
			/usr/share/tool-more/z
			/var/lib/tool/state`,
	}, {
		name: "executed: helper programs, what they need, and what they link to", packages: toolPackage, files: toolFiles, trace: "/usr/bin/tool x",
		opts: keep.Options{NoLicenses: true},
		want: `
			/bin/dash
			/etc/dash.conf
			/etc/tool/conf.d/added.conf
			/etc/tool/tool.conf
			/usr/bin/other
			/usr/bin/tool
			/usr/lib/tool/helper
			/usr/lib/tool/link
			/usr/lib/tool/plugin.so
			/usr/lib/tool/script
			/usr/share/tool/x
			/usr/share/tool-data/y
			/usr/share/tool-more/z
			/var/lib/tool/state`,
	}, {
		name: "seen only", packages: toolPackage, files: toolFiles, trace: "/usr/share/tool/x s\n /usr/share/tool l",
		want: "/usr/share/common-licenses/GPL-3 /usr/share/doc/tool/copyright /usr/share/tool/x",
	}, {
		name: "messages in a configured language", packages: toolPackage, files: toolFiles, trace: "/usr/share/tool/x r",
		cfg: v1.Config{Env: []string{"LANG=de_AT.UTF-8"}}, opts: keep.Options{NoLicenses: true, Exclude: []string{"/etc/**", "/var/**", "/usr/share/tool-*/**"}},
		want: `
			/usr/lib/tool/plugin.so
			/usr/share/locale/de/LC_MESSAGES/tool.mo
			/usr/share/tool/x`,
	}, {
		name: "whole packages and what they depend on, but no shell", packages: toolPackage, files: toolFiles, trace: "/usr/share/tool/x r",
		opts: keep.Options{Keep: keep.Packages, NoLicenses: true, Exclude: []string{"/usr/lib/tool/script"}},
		want: `
			/etc/tool/conf.d/added.conf
			/etc/tool/tool.conf
			/usr/bin/other
			/usr/bin/tool
			/usr/lib/libx.so.1
			/usr/lib/tool/helper
			/usr/lib/tool/link
			/usr/lib/tool/plugin.so
			/usr/share/libx/x
			/usr/share/locale/de/LC_MESSAGES/tool.mo
			/usr/share/tool/x
			/usr/share/tool-data/y
			/usr/share/tool-more/z
			/var/lib/tool/state`,
	}, {
		name: "nothing of this under accessed", packages: toolPackage, files: toolFiles, trace: "/usr/bin/tool x",
		opts: keep.Options{Keep: keep.Accessed}, want: "/usr/bin/tool",
	}, {
		name: "a development package touched through a header", packages: `
			Package: libx-dev
			Depends: libx1
			Files: /usr/include/x.h /usr/include/y.h /usr/lib/libx.a /usr/lib/libx.so /usr/lib/pkgconfig/x.pc /usr/bin/x-config

			Package: libx1
			Files: /usr/lib/libx.so.1`,
		files: `
			file /usr/include/x.h
			file /usr/include/y.h
			file /usr/lib/libx.a
			link /usr/lib/libx.so -> libx.so.1
			file /usr/lib/libx.so.1 ` + object("libx.so.1", "", "") + `
			file /usr/lib/pkgconfig/x.pc
			file /usr/bin/x-config 0755`,
		trace: "/usr/include/x.h r",
		want:  "/usr/include/x.h",
	}, {
		name: "a shared library comes by its name, a plugin with its package, and plugins made for it",
		packages: `
			Package: libm
			Files: /usr/lib/libm.so.1 /usr/lib/libmextra.so.1 /usr/lib/m/coders/png.so

			Package: m-extra
			Depends: libm
			Files: /usr/lib/m/coders/svg.so

			Package: stranger
			Files: /usr/lib/m/coders/odd.so`,
		files: `
			file /usr/lib/libm.so.1 ` + object("libm.so.1", "", "") + `
			file /usr/lib/libmextra.so.1 ` + object("libmextra.so.1", "", "") + `
			file /usr/lib/m/coders/png.so ` + object("", "", "") + `
			file /usr/lib/m/coders/svg.so ` + object("", "", "") + `
			file /usr/lib/m/coders/odd.so ` + object("", "", "") + `
			file /usr/lib/m/coders.cache`,
		trace: "/usr/lib/libm.so.1 r",
		want: `
			/usr/lib/libm.so.1
			/usr/lib/m/coders/png.so
			/usr/lib/m/coders/svg.so
			/usr/lib/m/coders.cache`,
	}, {
		name: "plugins that configuration chooses",
		packages: `
			Package: httpd
			Files: /usr/sbin/httpd /usr/lib/httpd/modules/mod_a.so /usr/lib/httpd/modules/mod_b.so /usr/lib/httpd/modules/mod_c.so /etc/httpd/mods-available/a.load /etc/httpd/mods-available/b.load /etc/httpd/extra.conf`,
		files: `
			file /usr/sbin/httpd 0755 ` + program("", "", "/usr/lib/httpd/modules") + `
			file /usr/lib/httpd/modules/mod_a.so ` + object("", "", "") + `
			file /usr/lib/httpd/modules/mod_b.so ` + object("", "", "") + `
			file /usr/lib/httpd/modules/mod_c.so ` + object("", "", "") + `
			file /etc/httpd/mods-available/a.load "LoadModule a /usr/lib/httpd/modules/mod_a.so\n"
			file /etc/httpd/mods-available/b.load "LoadModule b /usr/lib/httpd/modules/mod_b.so\n"
			file /etc/httpd/extra.conf "LoadModule c modules/mod_c.so\n"
			link /etc/httpd/mods-enabled/a.load -> ../mods-available/a.load`,
		trace: "/usr/sbin/httpd x\n /etc/httpd/mods-enabled/a.load k\n /etc/httpd/mods-available/a.load r\n /usr/lib/httpd/modules/mod_a.so r",
		want: `
			/etc/httpd/extra.conf
			/etc/httpd/mods-available/a.load
			/etc/httpd/mods-available/b.load
			/etc/httpd/mods-enabled/a.load
			/usr/lib/httpd/modules/mod_a.so
			/usr/lib/httpd/modules/mod_c.so
			/usr/sbin/httpd`,
	}, {
		name: "and all of them where nothing ran",
		packages: `
			Package: httpd
			Files: /usr/sbin/httpd /usr/lib/httpd/modules/mod_a.so /usr/lib/httpd/modules/mod_b.so`,
		files: `
			file /usr/sbin/httpd 0755 ` + program("", "", "") + `
			file /usr/lib/httpd/modules/mod_a.so ` + object("", "", "") + `
			file /usr/lib/httpd/modules/mod_b.so ` + object("", "", ""),
		cfg:  v1.Config{Entrypoint: []string{"httpd"}},
		want: "/usr/lib/httpd/modules/mod_a.so /usr/lib/httpd/modules/mod_b.so /usr/sbin/httpd",
	}, {
		name: "a language's library is that language's to judge",
		packages: `
			Package: libpython3-stdlib
			Files: /usr/lib/python3.11/os.py /usr/lib/python3.11/turtle.py /etc/python3.11/sitecustomize.py`,
		files: `
			file /usr/lib/python3.11/os.py
			file /usr/lib/python3.11/turtle.py
			file /etc/python3.11/sitecustomize.py`,
		trace: "/usr/lib/python3.11/os.py r",
		want:  "/etc/python3.11/sitecustomize.py /usr/lib/python3.11/os.py",
	}, {
		name: "Alpine",
		files: `
			file /lib/apk/db/installed "P:jq\nD:so:libonig.so.5 onig-data !x\nF:usr/bin\nR:jq\nF:etc/jq\nR:jq.conf\n\nP:onig-data\nF:usr/share/onig\nR:d\n\nP:other\nF:usr/share/other\nR:o\n"
			file /usr/bin/jq 0755 ` + program("", "", "") + `
			file /etc/jq/jq.conf
			file /usr/share/onig/d
			file /usr/share/other/o`,
		trace: "/usr/bin/jq x",
		want:  "/etc/jq/jq.conf /usr/bin/jq /usr/share/onig/d",
	}} {
		c.run(t)
	}
}
