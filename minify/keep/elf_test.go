package keep_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
)

// Every case is judged by the real loader of glibc, run in the tree as its root.
func TestGlibcLoader(t *testing.T) {
	const rpath, runpath = "-Wl,--disable-new-dtags,-rpath,", "-Wl,--enable-new-dtags,-rpath,"
	const lib = "/usr/lib/x86_64-linux-gnu/"
	for _, c := range []struct {
		name   string
		builds []build
		env    []string
		links  map[string]string
		cache  []string // folders of ld.so.conf, with a cache made of it
		want   []string // beside libc and the loader
	}{{
		name:   "default folders; a chain; a link as name",
		builds: []build{{lib + "libb.so.1.2", "-Wl,-soname,libb.so.1", ""}, {"/usr/lib/liba.so", "", lib + "libb.so.1.2"}, {"/bin/p", "", "/usr/lib/liba.so"}},
		links:  map[string]string{lib + "libb.so.1": "libb.so.1.2"},
		want:   []string{"/usr/lib/liba.so", lib + "libb.so.1.2"},
	}, {
		name: "RPATH is inherited down the chain",
		builds: []build{{"/opt/l/libb.so", "", ""}, {"/opt/l/liba.so", "", "/opt/l/libb.so"},
			{"/opt/bin/p", rpath + "$ORIGIN/../l", "/opt/l/liba.so"}},
		want: []string{"/opt/l/liba.so", "/opt/l/libb.so"},
	}, {
		name: "RUNPATH is not inherited",
		builds: []build{{"/opt/l/libb.so", "", ""}, {lib + "libb.so", "", ""}, {"/opt/l/liba.so", "", "/opt/l/libb.so"},
			{"/opt/bin/p", runpath + "$ORIGIN/../l", "/opt/l/liba.so"}},
		want: []string{"/opt/l/liba.so", lib + "libb.so"},
	}, {
		name: "RUNPATH of a library voids the RPATH of the program",
		builds: []build{{"/opt/l/libb.so", "", ""}, {"/opt/m/libb.so", "", ""}, {"/opt/l/liba.so", runpath + "${ORIGIN}/../m", "/opt/l/libb.so"},
			{"/opt/bin/p", rpath + "/opt/l", "/opt/l/liba.so"}},
		want: []string{"/opt/l/liba.so", "/opt/m/libb.so"},
	}, {
		name: "LD_LIBRARY_PATH after RPATH, before RUNPATH",
		builds: []build{{"/opt/l/liba.so", "", ""}, {"/opt/l/libb.so", "", ""}, {"/env/liba.so", "", ""}, {"/env/libb.so", "", ""},
			{"/opt/r/libc1.so", rpath + "/opt/l", "/opt/l/liba.so"}, {"/opt/r/libd1.so", runpath + "/opt/l", "/opt/l/libb.so"},
			{"/opt/bin/p", runpath + "/opt/r", "/opt/r/libc1.so /opt/r/libd1.so"}},
		env:  []string{"LD_LIBRARY_PATH=/none:/env"},
		want: []string{"/opt/r/libc1.so", "/opt/r/libd1.so", "/opt/l/liba.so", "/env/libb.so"},
	}, {
		name: "a library of another machine is skipped",
		builds: []build{{"/opt/x/liba.so", "", ""}, {"/opt/l/liba.so", "", ""},
			{"/opt/bin/p", rpath + "/opt/x:/opt/l", "/opt/l/liba.so"}},
		want: []string{"/opt/l/liba.so"},
	}, {
		name: "the cache",
		builds: []build{{"/opt/far/libb.so.2", "", ""}, {"/opt/far/liba.so.1", "", "/opt/far/libb.so.2"},
			{"/bin/p", "", "/opt/far/liba.so.1"}},
		cache: []string{"/opt/far"},
		want:  []string{"/opt/far/liba.so.1", "/opt/far/libb.so.2"},
	}, {
		name: "a needed path; a preloaded library; what is loaded is not searched for again",
		builds: []build{{"/opt/l/libn.so", "-Wl,-soname,/opt/l/libn.so", ""}, {"/opt/pre/libp.so", "", ""}, {lib + "libp.so", "", ""},
			{"/bin/p", "", "/opt/l/libn.so " + lib + "libp.so"}},
		env:  []string{"LD_PRELOAD=/opt/pre/libp.so"},
		want: []string{"/opt/l/libn.so", "/opt/pre/libp.so"},
	}, {
		name: "origin of a library is where its link is",
		builds: []build{{"/real/libb.so", "", ""}, {"/opt/l/libb.so", "", ""}, {"/real/liba.so", runpath + "$ORIGIN", "/real/libb.so"},
			{"/opt/bin/p", runpath + "/opt/l", "/real/liba.so"}},
		links: map[string]string{"/opt/l/liba.so": "/real/liba.so"},
		want:  []string{"/opt/l/libb.so", "/real/liba.so"},
	}, {
		name: "filters and auxiliary filters",
		builds: []build{{"/opt/l/libf.so", "", ""}, {"/opt/l/liba.so", "-Wl,-f,libf.so " + runpath + "/opt/l", ""},
			{"/bin/p", runpath + "/opt/l", "/opt/l/liba.so"}},
		want: []string{"/opt/l/liba.so", "/opt/l/libf.so"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			root := buildTree(t, "gcc", c.builds)
			glibcRoot(t, root)
			for name, target := range c.links {
				symlink(t, root, target, name)
			}
			if c.name == "a library of another machine is skipped" {
				foreign(t, filepath.Join(root, "/opt/x/liba.so"))
			}
			if c.cache != nil {
				makeCache(t, root, c.cache)
			}
			program := c.builds[len(c.builds)-1].path
			fsys := treeOf(t, root, walkAll(t, root))
			s := mustSelect(t, fsys, program+" x", v1.Config{Env: c.env}, keep.Options{Keep: keep.Accessed})
			truth := loaderLists(t, root, glibcLoader, program, c.env)
			diff(t, resolved(t, fsys, append(truth, glibcLoader)), linked(s))
			want := append(slices.Clone(c.want), lib+"libc.so.6", glibcLoader)
			diff(t, resolved(t, fsys, want), linked(s))
			for _, p := range truth {
				requireWay(t, s, p)
			}
			if e, _ := s.Lookup("/etc/ld.so.cache"); c.cache != nil && !e.Kept {
				t.Error("the cache is not kept")
			}
		})
	}
}

// The cases that no single run of a loader can show.
func TestGlibcUnion(t *testing.T) {
	const rpath, runpath = "-Wl,--disable-new-dtags,-rpath,", "-Wl,--enable-new-dtags,-rpath,"
	const lib = "/usr/lib/x86_64-linux-gnu/"
	for _, c := range []struct {
		name   string
		builds []build
		env    []string
		setuid string
		cache  []string
		conf   string
		trace  string
		want   []string // beside libc and the loader
	}{{
		name: "every processor's variant",
		builds: []build{{lib + "liba.so", "", ""}, {lib + "glibc-hwcaps/x86-64-v3/liba.so", "", ""}, {lib + "glibc-hwcaps/x86-64-v4/liba.so", "", ""},
			{lib + "haswell/avx512_1/liba.so", "", ""}, {lib + "other/liba.so", "", ""}, {"/bin/p", "", lib + "liba.so"}},
		trace: "/bin/p x",
		want: []string{lib + "glibc-hwcaps/x86-64-v3/liba.so", lib + "glibc-hwcaps/x86-64-v4/liba.so",
			lib + "haswell/avx512_1/liba.so", lib + "liba.so"},
	}, {
		name:   "and the cache's",
		builds: []build{{"/opt/glibc-hwcaps/x86-64-v2/liba.so.1", "", ""}, {"/opt/liba.so.1", "", ""}, {"/bin/p", "", "/opt/liba.so.1"}},
		cache:  []string{"/opt"},
		trace:  "/bin/p x",
		want:   []string{"/opt/glibc-hwcaps/x86-64-v2/liba.so.1", "/opt/liba.so.1"},
	}, {
		name:   "setuid: with the environment and without",
		builds: []build{{"/opt/liba.so", "", ""}, {lib + "liba.so", "", ""}, {"/bin/p", "", lib + "liba.so"}},
		env:    []string{"LD_LIBRARY_PATH=/opt"},
		setuid: "/bin/p",
		trace:  "/bin/p x",
		want:   []string{"/opt/liba.so", lib + "liba.so"},
	}, {
		name: "opened by name: its own path, else that of a program",
		builds: []build{{"/opt/l/liba.so", "", ""}, {"/opt/m/libb.so", "", ""},
			{"/opt/plugin.so", runpath + "$ORIGIN/m", "/opt/m/libb.so"}, {"/opt/plugin2.so", "", "/opt/l/liba.so"}, {"/bin/p", rpath + "/opt/l", ""}},
		trace: "/bin/p x\n /opt/plugin.so r\n /opt/plugin2.so r",
		want:  []string{"/opt/l/liba.so", "/opt/m/libb.so"},
	}, {
		name: "what a program loads is not looked for again by itself",
		builds: []build{{"/opt/l/libb.so", "", ""}, {lib + "libb.so", "", ""}, {"/opt/l/liba.so", "", "/opt/l/libb.so"},
			{"/opt/bin/p", rpath + "/opt/l", "/opt/l/liba.so"}},
		trace: "/opt/bin/p x\n /opt/l/liba.so r",
		want:  []string{"/opt/l/libb.so"},
	}, {
		name:   "only looked at",
		builds: []build{{lib + "liba.so", "", ""}, {"/bin/p", "", lib + "liba.so"}},
		trace:  "/bin/p s",
	}, {
		name: "no default folders",
		builds: []build{{lib + "libb.so", "", ""}, {"/opt/liba.so", "-Wl,-z,nodefaultlib", lib + "libb.so"},
			{"/bin/p", runpath + "/opt", "/opt/liba.so"}},
		trace: "/bin/p x",
		want:  []string{"/opt/liba.so"},
	}, {
		name:   "no cache: the folders of which ldconfig makes one",
		builds: []build{{"/opt/liba.so", "", ""}, {"/bin/p", "", "/opt/liba.so"}},
		conf:   "# libraries\ninclude ld.so.conf.d/*.conf\n",
		trace:  "/bin/p x",
		want:   []string{"/opt/liba.so"},
	}, {
		name: "$LIB and $PLATFORM: all that they can be",
		builds: []build{{"/opt/lib/x86_64-linux-gnu/liba.so", "", ""}, {"/opt/x86_64/libb.so", "", ""},
			{"/opt/bin/p", runpath + "/opt/$LIB:/opt/${PLATFORM}", "/opt/lib/x86_64-linux-gnu/liba.so /opt/x86_64/libb.so"}},
		trace: "/opt/bin/p x",
		want:  []string{"/opt/lib/x86_64-linux-gnu/liba.so", "/opt/x86_64/libb.so"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			root := buildTree(t, "gcc", c.builds)
			glibcRoot(t, root)
			if c.cache != nil {
				makeCache(t, root, c.cache)
			}
			if c.conf != "" {
				writeFile(t, root, "/etc/ld.so.conf", c.conf)
				writeFile(t, root, "/etc/ld.so.conf.d/x.conf", "/opt\n")
			}
			if c.setuid != "" {
				if err := os.Chmod(filepath.Join(root, c.setuid), 0o755|os.ModeSetuid); err != nil {
					t.Fatal(err)
				}
			}
			fsys := treeOf(t, root, walkAll(t, root))
			s := mustSelect(t, fsys, c.trace, v1.Config{Env: c.env}, keep.Options{Keep: keep.Accessed})
			want := slices.Clone(c.want)
			if strings.Contains(c.trace, " x") {
				want = append(want, lib+"libc.so.6", glibcLoader)
			}
			diff(t, resolved(t, fsys, want), linked(s))
		})
	}
}

// Every case is judged by musl's own loader, run in the tree as its root.
func TestMuslLoader(t *testing.T) {
	const runpath = "-Wl,--enable-new-dtags,-rpath,"
	const loader = "/lib/ld-musl-x86_64.so.1"
	for _, c := range []struct {
		name     string
		builds   []build
		env      []string
		pathFile string
		want     []string // beside the loader
	}{{
		name: "default folders",
		builds: []build{{"/usr/lib/libb.so", "", ""}, {"/usr/local/lib/libb.so", "", ""}, {"/lib/liba.so", "", "/usr/lib/libb.so"},
			{"/bin/p", "", "/lib/liba.so"}},
		want: []string{"/lib/liba.so", "/usr/local/lib/libb.so"},
	}, {
		name: "RUNPATH is inherited",
		builds: []build{{"/opt/l/libb.so", "", ""}, {"/usr/lib/libb.so", "", ""}, {"/opt/l/liba.so", "", "/opt/l/libb.so"},
			{"/opt/bin/p", runpath + "$ORIGIN/../l", "/opt/l/liba.so"}},
		want: []string{"/opt/l/liba.so", "/opt/l/libb.so"},
	}, {
		name:   "LD_LIBRARY_PATH is first",
		builds: []build{{"/env/liba.so", "", ""}, {"/opt/liba.so", "", ""}, {"/bin/p", runpath + "/opt", "/opt/liba.so"}},
		env:    []string{"LD_LIBRARY_PATH=/env"},
		want:   []string{"/env/liba.so"},
	}, {
		name:     "a path file replaces the default folders",
		builds:   []build{{"/usr/lib/liba.so", "", ""}, {"/opt/liba.so", "", ""}, {"/bin/p", "", "/opt/liba.so"}},
		pathFile: "/none\n/opt:/usr/lib\n",
		want:     []string{"/opt/liba.so"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			root := buildTree(t, "musl-gcc", c.builds)
			copyFile(t, root, loader, loader)
			if c.pathFile != "" {
				writeFile(t, root, "/etc/ld-musl-x86_64.path", c.pathFile)
			}
			program := c.builds[len(c.builds)-1].path
			fsys := treeOf(t, root, walkAll(t, root))
			s := mustSelect(t, fsys, program+" x", v1.Config{Env: c.env}, keep.Options{Keep: keep.Accessed})
			// musl's loader names itself without a path, or as found.
			truth := slices.DeleteFunc(loaderLists(t, root, loader, program, c.env), func(p string) bool { return strings.Contains(p, "ld-musl") })
			diff(t, resolved(t, fsys, append(truth, loader)), linked(s))
			diff(t, resolved(t, fsys, append(c.want, loader)), linked(s))
			if e, _ := s.Lookup("/etc/ld-musl-x86_64.path"); c.pathFile != "" && !e.Kept {
				t.Error("the path file is not kept")
			}
		})
	}
}
