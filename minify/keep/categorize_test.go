package keep_test

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

func TestCategories(t *testing.T) {
	// Path or, for links, path and target; what it is dropped as.
	const table = `
		file /bin/dash                                        = shell
		link /bin/sh -> dash                                  = shell
		link /etc/alternatives/sh -> ../../bin/dash           = shell
		link /x/interpreter -> /etc/alternatives/sh           = shell
		file /bin/busybox                                     = shell
		hard /bin/wget => /bin/busybox                        = shell
		file /etc/skel/.bashrc                                = shell
		file /usr/share/bash-completion/completions/git       = shell
		file /usr/bin/apt-get                                 = package manager
		file /usr/bin/dpkg-deb                                = package manager
		file /usr/bin/pip3.11                                 = package manager
		file /sbin/apk                                        = package manager
		file /var/lib/dpkg/status                             = package manager
		file /lib/apk/db/installed                            = package manager
		file /usr/lib/python3/dist-packages/pip/main.py       = package manager
		file /v/lib/site-packages/pip-23.0.dist-info/RECORD   = package manager
		file /usr/local/lib/node_modules/npm/docs/x.html      = package manager
		link /usr/bin/npm -> ../local/lib/node_modules/npm/bin/npm-cli.js = package manager
		file /usr/local/lib/node_modules/npm/bin/npm-cli.js   = package manager
		file /usr/share/nodejs/npm/lib/cli.js                 = package manager
		file /usr/share/perl/5.36.0/CPAN/Distribution.pm      = package manager
		file /var/cache/apt/x                                 = cache
		file /var/lib/apt/lists/x                             = cache
		file /root/.cache/go-build/00/x                       = cache
		file /root/.npm/x                                     = cache
		file /go/pkg/mod/cache/download/x                     = cache
		file /app/__pycache__/a.cpython-311.pyc               = cache
		file /app/node_modules/.cache/x                       = cache
		file /usr/local/cargo/registry/x                      = cache
		file /usr/share/doc/x/copyright                       = documentation
		file /usr/share/man/man1/ls.1.gz                      = documentation
		file /app/README.md                                   = documentation
		file /app/LICENSE                                     = documentation
		file /app/LICENSE-MIT.txt                             = documentation
		file /app/history.js                                  = other
		file /app/CHANGES.html                                = documentation
		file /app/news.html                                   = other
		file /app/readmes                                     = other
		file /usr/share/locale/de/LC_MESSAGES/x.mo            = locale
		file /usr/lib/locale/C.utf8/LC_CTYPE                  = locale
		file /usr/lib/x86_64-linux-gnu/gconv/BIG5.so          = locale
		file /usr/share/i18n/charmaps/BIG5.gz                 = locale
		file /v/lib/site-packages/babel/locale-data/de.dat    = locale
		file /usr/include/stdio.h                             = headers
		file /opt/x/include/y.hpp                             = headers
		file /app/include/page.php                            = other
		file /usr/lib/x86_64-linux-gnu/libc.a                 = static library
		file /usr/lib/libx.la                                 = static library
		file /usr/bin/x86_64-linux-gnu-gcc-12                 = toolchain
		link /usr/bin/cc -> x86_64-linux-gnu-gcc-12           = toolchain
		file /usr/lib/gcc/x86_64-linux-gnu/12/cc1             = toolchain
		file /usr/bin/make                                    = toolchain
		file /usr/bin/ld.gold                                 = toolchain
		file /usr/lib/ld-2.so                                 = other
		link /usr/bin/ld.so -> ../lib/ld-2.so                 = other
		file /usr/lib/x86_64-linux-gnu/libasan.so.8.0.0       = toolchain
		file /usr/lib/x86_64-linux-gnu/libbfd-2.40-system.so  = toolchain
		file /usr/lib/x86_64-linux-gnu/libmpfr.so.6           = other
		file /opt/jdk/bin/javac                               = toolchain
		file /opt/jdk/jmods/java.base.jmod                    = toolchain
		file /opt/jdk/lib/src.zip                             = toolchain
		file /opt/jdk/lib/modules                             = other
		file /anywhere/sdk/VERSION                            = toolchain
		file /anywhere/sdk/src/runtime/proc.go                = toolchain
		file /anywhere/sdk/pkg/tool/linux_amd64/link          = toolchain
		file /anywhere/sdk/bin/go                             = toolchain
		file /usr/lib/go-1.19/VERSION                         = toolchain
		link /usr/lib/go-1.19/src -> /usr/share/go-1.19/src   = toolchain
		file /usr/share/go-1.19/src/runtime/proc.go           = toolchain
		file /app/src/main.go                                 = other
		file /app/pkg/tool/x                                  = other
		file /opt/rust/bin/rustc                              = toolchain
		file /opt/rust/lib/rustlib/x                          = toolchain
		file /opt/rust/lib/librustc_driver.so                 = toolchain
		file /usr/local/lib/rustlib/x                         = toolchain
		file /usr/local/bin/rustc                             = toolchain
		file /usr/local/bin/mine                              = other
		file /app/node_modules/typescript/lib/tsc.js          = dev dependency
		file /app/node_modules/x/index.d.ts                   = dev dependency
		file /app/node_modules/@babel/core/lib/index.js       = dev dependency
		file /app/node_modules/@babel/runtime/helpers/x.js    = unused package
		file /usr/share/nodejs/webpack/lib/webpack.js         = dev dependency
		file /usr/share/nodejs/lodash/lodash.js               = unused package
		file /usr/lib/python3/dist-packages/pkg_resources/x   = dev dependency
		file /usr/lib/pkgconfig/x.pc                          = dev dependency
		file /app/node_modules/x/test/a.js                    = tests
		file /app/a_test.go                                   = tests
		file /usr/bin/test                                    = other
		file /app/.git/HEAD                                   = version control
		file /app/.gitignore                                  = version control
		file /usr/lib/debug/.build-id/aa/x.debug              = debug symbols
		file /app/x.js.map                                    = debug symbols
		file /var/log/dpkg.log                                = logs
		file /root/.bash_history                              = logs
		file /root/.ssh/id_ed25519                            = secrets
		file /root/.cpan/build/x                              = cache
		file /root/x/.vscode/settings.json                    = editor files
		file /crashed/core "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00" = core dump
		file /crashed/core.js                                 = other
		file /built/target/CACHEDIR.TAG "Signature: 8a477f597d28d172789f06886806bc55" = cache
		file /built/target/release/x                          = cache
		file /venv/CACHEDIR.TAG "Signature: 8a477f597d28d172789f06886806bc55" = other
		file /venv/pyvenv.cfg                                 = unused package
		file /usr/bin/perl                                    = other
		link /usr/lib/libz.so -> libz.so.1                    = other
		file /usr/lib/libz.so.1                               = other
		link /dangling -> nowhere                             = other
		file /secret/sh                                       = excluded
		dir  /usr/share/man/de                                = documentation`
	var tree strings.Builder
	want := make(map[string]string)
	for line := range strings.Lines(table) {
		if entry, category, ok := strings.Cut(line, " = "); ok {
			fmt.Fprintln(&tree, strings.TrimSpace(entry))
			want[strings.Fields(entry)[1]] = strings.TrimSpace(category)
		}
	}
	s := mustSelect(t, treetest.FS(t, tree.String()), "", v1.Config{}, keep.Options{Keep: keep.Accessed, Exclude: []string{"/secret"}})
	got := make(map[string]string)
	for p := range want {
		e, ok := s.Lookup(p)
		if !ok || e.Kept {
			t.Errorf("%s: %v", p, e)
		}
		got[p] = string(e.Category)
	}
	diff(t, want, got)
}

func TestTotals(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, `
		file /a "12345"
		hard /b => /a
		hard /usr/share/doc/c => /a
		file /usr/share/doc/d "1"
		file /x/e.md "123"
		hard /y/f => /x/e.md
		link /l -> a`), "/a r", v1.Config{}, keep.Options{Keep: keep.Accessed})
	diff(t, keep.Totals{
		Kept:    keep.Count{Files: 2, Bytes: 5}, // with the root
		Dropped: keep.Count{Files: 11, Bytes: 4},
		ByCategory: []keep.CategoryCount{
			{Category: keep.Documentation, Count: keep.Count{Files: 4, Bytes: 4}},
			{Category: keep.Other, Count: keep.Count{Files: 7}},
		},
	}, s.Totals())
}

func TestLookup(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, "link /bin -> usr/bin\n file /usr/bin/a\n link /usr/bin/b -> a"), "/usr/bin/a r", v1.Config{}, keep.Options{Keep: keep.Accessed})
	if e, _ := s.Lookup("/"); e.Reason.Text != "the root of the tree" {
		t.Errorf("/ is kept as %+v", e.Reason)
	}
	byHand := &keep.Selection{FS: s.FS, Entries: s.Entries}
	for _, s := range []*keep.Selection{s, byHand} {
		for p, want := range map[string]string{"/bin/a": "/usr/bin/a", "/bin/b": "/usr/bin/b", "/bin": "/bin", "/": "/"} {
			e, ok := s.Lookup(p)
			if !ok || e.Node.Path() != want || e.Kept != (want == "/usr/bin/a" || want == "/") {
				t.Errorf("%s: %v %v", p, e, ok)
			}
		}
		if e, ok := s.Lookup("/bin/none"); ok {
			t.Error(e)
		}
	}
}
