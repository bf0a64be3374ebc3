package keep_test

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// A Python as `make install` leaves it, and an application; the interpreter is no ELF file, which
// the rules can do without.
const pythonTree = `
	file /usr/local/bin/python3.11 0755 "python"
	link /usr/local/bin/python3 -> python3.11
	file /usr/local/bin/pydoc3.11 0755 "#!/usr/local/bin/python3.11"
	file /usr/local/lib/python3.11/os.py "import abc\nimport stat\n"
	file /usr/local/lib/python3.11/abc.py ""
	file /usr/local/lib/python3.11/stat.py ""
	file /usr/local/lib/python3.11/traceback.py "import linecache"
	file /usr/local/lib/python3.11/linecache.py ""
	file /usr/local/lib/python3.11/encodings/__init__.py ""
	file /usr/local/lib/python3.11/encodings/cp437.py ""
	file /usr/local/lib/python3.11/lib-dynload/_codecs_jp.cpython-311-x86_64-linux-gnu.so ""
	file /usr/local/lib/python3.11/unused.py ""
	file /usr/local/lib/python3.11/json/__init__.py "from .decoder import JSONDecoder\n"
	file /usr/local/lib/python3.11/json/decoder.py "try:\n    from _json import x\nexcept ImportError: pass\n"
	file /usr/local/lib/python3.11/json/tool.py "import argparse"
	file /usr/local/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so ""
	file /usr/local/lib/python3.11/lib-dynload/_json.cpython-39-x86_64-linux-gnu.so ""
	file /usr/local/lib/python3.11/argparse.py ""
	file /usr/local/lib/python3.11/tkinter/__init__.py "import tkinter.constants"
	file /usr/local/lib/python3.11/tkinter/constants.py ""
	file /usr/local/lib/python3.11/test/support.py ""
`

// pythonBase are the files of pythonTree that any program in Python needs.
var pythonBase = strings.Fields(`/usr/local/bin/python3.11 /usr/local/lib/python3.11/os.py /usr/local/lib/python3.11/abc.py
	/usr/local/lib/python3.11/stat.py /usr/local/lib/python3.11/traceback.py /usr/local/lib/python3.11/linecache.py
	/usr/local/lib/python3.11/encodings/__init__.py /usr/local/lib/python3.11/encodings/cp437.py
	/usr/local/lib/python3.11/lib-dynload/_codecs_jp.cpython-311-x86_64-linux-gnu.so`)

const (
	pythonTrace = "/usr/local/bin/python3.11 x\n/usr/local/lib/python3.11/os.py r\n/app/main.py r\n"
	pythonSite  = "/usr/local/lib/python3.11/site-packages/"
)

// pythonKept are the files kept besides pythonBase and the application's main.py;
// SITE stands for the folder for distributions.
func pythonKept(t *testing.T, tree, trace string, cfg v1.Config) (*keep.Selection, []string) {
	t.Helper()
	tree = strings.ReplaceAll(pythonTree+tree, "SITE/", pythonSite)
	s := mustSelect(t, treetest.FS(t, tree), strings.ReplaceAll(trace, "SITE/", pythonSite), cfg, keep.Options{Keep: keep.Units})
	list := slices.DeleteFunc(keptPaths(s), func(p string) bool { return slices.Contains(pythonBase, p) || p == "/app/main.py" })
	for i := range list {
		list[i] = strings.Replace(list[i], pythonSite, "SITE/", 1)
	}
	for _, p := range pythonBase {
		if e, ok := s.Lookup(p); !ok || !e.Kept {
			t.Errorf("%s is dropped", p)
		}
	}
	return s, list
}

// distA is a distribution with what comes in one.
const distA = `
	file SITE/a/__init__.py "from . import core\n"
	file SITE/a/core.py "import b_module\ndef f():\n    import tkinter, json, pytest\n"
	file SITE/a/data.bin ""
	file SITE/a/core.pyi ""
	file SITE/a/fast.pyx ""
	file SITE/a/fast.cpython-311-x86_64-linux-gnu.so ""
	file SITE/a/tests/test_a.py "import unused"
	file SITE/a/docs/index.txt ""
	file SITE/b_module.py ""
	file SITE/A-1.0.dist-info/METADATA "Metadata-Version: 2.1\nName: A\nRequires-Dist: B.Module (>=1) ; python_version > '3'\nRequires-Dist: gone\nRequires-Dist: pytest ; extra == 'test'\n\nText\n"
	file SITE/A-1.0.dist-info/RECORD "a/__init__.py,sha256=x,1\r\na/core.py,,\na/core.pyi,,\na/fast.pyx,,\na/data.bin,,\na/fast.cpython-311-x86_64-linux-gnu.so,,\na/tests/test_a.py,,\na/docs/index.txt,,\n../../../bin/a,,\n\"A-1.0.dist-info/METADATA\",,\nA-1.0.dist-info/RECORD,,\n../../../../../etc/passwd,,\n/nowhere,,\n"
	file /usr/local/bin/a 0755 "#!/usr/local/bin/python3\n"
	file SITE/b_module-2.dist-info/METADATA "Name: b-module\n"
	file SITE/b_module-2.dist-info/RECORD "b_module.py,,\nb_module-2.dist-info/METADATA,,\n"
	file SITE/pytest/__init__.py ""
	file SITE/pytest-9.dist-info/METADATA "Name: pytest\n"
	file SITE/pytest-9.dist-info/RECORD "pytest/__init__.py,,\n"
	file SITE/cc/__init__.py ""
	file SITE/cc-1.dist-info/METADATA "Name: cc\n"
	file SITE/cc-1.dist-info/RECORD "cc/__init__.py,,\n"
`

var distAKept = []string{
	"SITE/A-1.0.dist-info/METADATA", "SITE/A-1.0.dist-info/RECORD", "SITE/a/__init__.py", "SITE/a/core.py", "SITE/a/data.bin",
	"SITE/a/fast.cpython-311-x86_64-linux-gnu.so", "SITE/b_module-2.dist-info/METADATA", "SITE/b_module-2.dist-info/RECORD", "SITE/b_module.py",
}

var jsonKept = strings.Fields(`/usr/local/lib/python3.11/json/__init__.py /usr/local/lib/python3.11/json/decoder.py
	/usr/local/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so`)

func TestPythonSelection(t *testing.T) {
	for _, c := range []struct {
		name, tree, trace string
		cfg               v1.Config
		want              []string
	}{
		{
			name: "the standard library by reach",
			tree: `file /app/main.py "def f():\n    import json.decoder as d\n"`,
			want: jsonKept,
		},
		{
			name: "the application may use what is for development",
			tree: `file /app/main.py "import tkinter"`,
			want: []string{"/usr/local/lib/python3.11/tkinter/__init__.py", "/usr/local/lib/python3.11/tkinter/constants.py"},
		},
		{
			name: "a distribution and what it requires",
			tree: distA + `file /app/main.py "import importlib\nimportlib.import_module('a.core')\n"`,
			want: slices.Concat(jsonKept, distAKept),
		},
		{
			name: "metadata that are read, and .pth files, touch nothing",
			tree: distA + `file SITE/c.pth "import cc\n"
				file /app/main.py ""`,
			trace: "SITE/A-1.0.dist-info/METADATA r\nSITE/c.pth r\n",
			want:  []string{"SITE/A-1.0.dist-info/METADATA", "SITE/c.pth"},
		},
		{
			name: "a tool that hooks into each start is not used for that",
			tree: `file SITE/setuptools/__init__.py "import json"
				file SITE/_distutils_hack/__init__.py "def f():\n    import setuptools\n    import_module('setuptools._distutils')\n"
				file SITE/distutils-precedence.pth "import os; __import__('_distutils_hack').f()\n"
				file SITE/setuptools-1.dist-info/METADATA "Name: setuptools\n"
				file SITE/setuptools-1.dist-info/RECORD "setuptools/__init__.py,,\n_distutils_hack/__init__.py,,\ndistutils-precedence.pth,,\n"
				file /app/main.py ""`,
			trace: "SITE/distutils-precedence.pth r\nSITE/_distutils_hack/__init__.py r\n",
			want:  []string{"SITE/_distutils_hack/__init__.py", "SITE/distutils-precedence.pth"},
		},
		{
			name: "a virtual environment has not what its base has",
			tree: `file /venv/pyvenv.cfg "home = /usr/local/bin\nversion = 3.11.2\n"
				link /venv/bin/python -> python3
				link /venv/bin/python3 -> /usr/local/bin/python3
				file /venv/bin/activate "x"
				file /venv/lib/python3.11/site-packages/v.py ""
				file SITE/w.py ""
				file /app/main.py "import v\nimport w\n"`,
			trace: "/venv/pyvenv.cfg r\n",
			want:  []string{"/usr/local/bin/python3", "/venv/bin/python", "/venv/bin/python3", "/venv/lib/python3.11/site-packages/v.py", "/venv/pyvenv.cfg"},
		},
		{
			name: "a virtual environment with its base's",
			tree: `file /venv/pyvenv.cfg "home=/usr/local/bin\nversion_info = 3.11.2.final.0\ninclude-system-site-packages = true\n"
				file SITE/w.py ""
				file /app/main.py "import w\n"`,
			trace: "/venv/pyvenv.cfg r\n",
			want:  []string{"SITE/w.py", "/venv/pyvenv.cfg"},
		},
		{
			name: "Debian's folders, and .egg-info",
			tree: `file /usr/bin/python3.9 0755 "python"
				file /usr/lib/python3.9/os.py ""
				file /usr/lib/python3.9/encodings/__init__.py ""
				file /usr/lib/python3/dist-packages/d/__init__.py ""
				file /usr/lib/python3/dist-packages/d/x.py "import _e"
				file /usr/lib/python3/dist-packages/_e.abi3.so ""
				file /usr/lib/python3/dist-packages/D-1.egg-info/top_level.txt "d\n_e\n"
				file /usr/lib/python3/dist-packages/D-1.egg-info/PKG-INFO "Name: D\n"
				file /usr/local/lib/python3.9/dist-packages/f.py ""
				file /app/main.py "import d, f"`,
			trace: "/usr/lib/python3.9/os.py r",
			want: []string{
				"/usr/lib/python3.9/encodings/__init__.py", "/usr/lib/python3.9/os.py", "/usr/lib/python3/dist-packages/D-1.egg-info/PKG-INFO",
				"/usr/lib/python3/dist-packages/D-1.egg-info/top_level.txt", "/usr/lib/python3/dist-packages/_e.abi3.so",
				"/usr/lib/python3/dist-packages/d/__init__.py", "/usr/lib/python3/dist-packages/d/x.py", "/usr/local/lib/python3.9/dist-packages/f.py",
			},
		},
		{
			name: "folders of .pth files, links, finders of editable installations",
			tree: `file SITE/x.pth "/srv/x\n# no\n/nowhere\n"
				file SITE/y.egg-link "/srv/y\n."
				file SITE/__editable__.z-1.pth "import __editable___z_finder; __editable___z_finder.install()"
				file SITE/__editable___z_finder.py "MAPPING: dict[str, str] = {'z': '/srv/z/src/z'}\nNAMESPACES = {}\n"
				file /srv/x/xx.py ""
				file /srv/y/yy/__init__.py ""
				file /srv/z/src/z/__init__.py "from . import part"
				file /srv/z/src/z/part.py ""
				file /app/main.py "import xx, yy\nimport z"`,
			trace: "SITE/__editable__.z-1.pth r\nSITE/__editable___z_finder.py r",
			want: []string{"/srv/x/xx.py", "/srv/y/yy/__init__.py", "/srv/z/src/z/__init__.py", "/srv/z/src/z/part.py",
				"SITE/__editable___z_finder.py", "SITE/__editable__.z-1.pth", "SITE/x.pth", "SITE/y.egg-link"},
		},
		{
			name: "namespaces in two folders, PYTHONPATH",
			tree: `file SITE/ns/one/__init__.py ""
				file /srv/ns/two.py ""
				file /app/main.py "import ns.one\nfrom ns import two"`,
			cfg:  v1.Config{Env: []string{"PYTHONPATH=/srv:/gone"}},
			want: []string{"/srv/ns/two.py", "SITE/ns/one/__init__.py"},
		},
		{
			name: "pip install --target",
			tree: `file /opt/libs/t/__init__.py "import u"
				file /opt/libs/u.py ""
				file /opt/libs/t-1.dist-info/METADATA "Name: t\n"
				file /opt/libs/t-1.dist-info/RECORD "t/__init__.py,,\n"
				file /app/main.py "sys.path.insert(0, '/opt/libs')\nimport t"`,
			want: []string{"/opt/libs/t-1.dist-info/METADATA", "/opt/libs/t-1.dist-info/RECORD", "/opt/libs/t/__init__.py", "/opt/libs/u.py"},
		},
		{
			name: "compiled modules: of the source's time and size, of this Python, without a source",
			tree: `file SITE/m.py "x" mtime=2020-01-02T03:04:05Z
				file SITE/__pycache__/m.cpython-311.pyc "\xa7\x0d\x0d\x0a\x00\x00\x00\x00\xa5\x5d\x0d\x5e\x01\x00\x00\x00"
				file SITE/__pycache__/m.cpython-311.opt-1.pyc "\xa7\x0d\x0d\x0a\x00\x00\x00\x00\xa5\x5d\x0d\x5e\x01\x00\x00\x00"
				file SITE/__pycache__/m.cpython-39.pyc "\xa7\x0d\x0d\x0a\x00\x00\x00\x00\xa5\x5d\x0d\x5e\x01\x00\x00\x00"
				file SITE/stale.py "x" mtime=2020-01-02T03:04:05Z
				file SITE/__pycache__/stale.cpython-311.pyc "\xa7\x0d\x0d\x0a\x00\x00\x00\x00\xa6\x5d\x0d\x5e\x01\x00\x00\x00"
				file SITE/hashed.py "x"
				file SITE/__pycache__/hashed.cpython-311.pyc "\xa7\x0d\x0d\x0a\x01\x00\x00\x00________"
				file SITE/bare.pyc ""
				file SITE/__pycache__/gone.cpython-311.pyc ""
				file /app/main.py "import m, stale, hashed, bare, gone"`,
			want: []string{"SITE/__pycache__/hashed.cpython-311.pyc", "SITE/__pycache__/m.cpython-311.pyc", "SITE/bare.pyc", "SITE/hashed.py", "SITE/m.py", "SITE/stale.py"},
		},
		{
			name: "names in literals, configuration and environment",
			tree: distA + `file SITE/django/apps.py ""
				file SITE/plug/__init__.py ""
				file SITE/log/handlers.py ""
				file SITE/work/er.py ""
				file /app/main.py "APPS = ['django.apps.Config', 'plug', 'json', 'cc', 'no.such.thing']"
				file /app/logging.yaml "class: log.handlers.Handler\n"`,
			cfg: v1.Config{Env: []string{"WORKER=work.er:Worker"}},
			want: []string{"/app/logging.yaml", "SITE/cc-1.dist-info/METADATA", "SITE/cc-1.dist-info/RECORD", "SITE/cc/__init__.py",
				"SITE/django/apps.py", "SITE/log/handlers.py", "SITE/plug/__init__.py", "SITE/work/er.py"},
		},
		{
			name: "entry points of a group that is loaded",
			tree: `file SITE/host.py "entry_points(group='host.plugins')\n"
				file SITE/plug.py ""
				file SITE/plug-1.dist-info/METADATA "Name: plug\n"
				file SITE/plug-1.dist-info/entry_points.txt "[console_scripts]\nx = y\n[host.plugins]\na = plug:a\n"
				file SITE/plug-1.dist-info/RECORD "plug.py,,\nplug-1.dist-info/entry_points.txt,,\n"
				file SITE/other.py ""
				file SITE/other-1.dist-info/METADATA "Name: other\n"
				file SITE/other-1.dist-info/entry_points.txt "[console_scripts]\nx = y\n"
				file SITE/other-1.dist-info/RECORD "other.py,,\n"
				file /app/main.py "import host"`,
			want: []string{"SITE/host.py", "SITE/plug-1.dist-info/METADATA", "SITE/plug-1.dist-info/RECORD", "SITE/plug-1.dist-info/entry_points.txt", "SITE/plug.py"},
		},
		{
			name: "a module that cannot be imported brings nothing in",
			tree: distA + `file SITE/h/__init__.py "try:\n    from ._main import main\nexcept ImportError:\n    pass\n"
				file SITE/h/_main.py "import rich\nimport cc\n"
				file /app/main.py "import h"`,
			want: []string{"SITE/h/__init__.py", "SITE/h/_main.py"},
		},
		{
			name: "large optional parts by a sign, small ones always",
			tree: `file SITE/p/__init__.py "from . import frame, stats"
				file SITE/p/frame.py "def to_big():\n    import big\ndef to_small():\n    import small\n"
				file SITE/p/stats.py "def odd():\n    import huge\n"
				file SITE/p/api.py ""
				file SITE/p/io.py ""
				file SITE/p/x.py ""
				file SITE/p/y.py ""
				file SITE/big.so size=20000000
				file SITE/huge.so size=20000000
				file SITE/small.py ""
				file /app/main.py "import p\np.Frame().to_big()\n"`,
			want: []string{"SITE/big.so", "SITE/p/__init__.py", "SITE/p/api.py", "SITE/p/frame.py", "SITE/p/io.py", "SITE/p/stats.py", "SITE/p/x.py", "SITE/p/y.py", "SITE/small.py"},
		},
		{
			name: "an application that is installed is the application",
			tree: distA + `file SITE/shop/__init__.py "NAMES = ['cc']"
				file SITE/shop-1.dist-info/METADATA "Name: shop\n"
				file SITE/shop-1.dist-info/direct_url.json "{\"dir_info\": {}, \"url\": \"file:///usr/src/shop\"}"
				file SITE/shop-1.dist-info/RECORD "shop/__init__.py,,\nshop-1.dist-info/direct_url.json,,\n"
				file /app/main.py "import shop"`,
			want: []string{"SITE/cc-1.dist-info/METADATA", "SITE/cc-1.dist-info/RECORD", "SITE/cc/__init__.py", "SITE/shop-1.dist-info/METADATA",
				"SITE/shop-1.dist-info/RECORD", "SITE/shop-1.dist-info/direct_url.json", "SITE/shop/__init__.py"},
		},
		{
			name: "modules by a computed name",
			tree: `file /usr/local/lib/python3.11/sysconfig.py "def f():\n    __import__(name, globals())"
				file /usr/local/lib/python3.11/_sysconfigdata__x86_64-linux-gnu.py ""
				file SITE/fam/__init__.py ""
				file SITE/fam/one.py ""
				file /app/plugins/a.py ""
				file /app/main.py "import sysconfig\nimport_module('fam.' + x)\n"`,
			want: []string{"/app/plugins/a.py", "/usr/local/lib/python3.11/_sysconfigdata__x86_64-linux-gnu.py",
				"/usr/local/lib/python3.11/sysconfig.py", "SITE/fam/__init__.py", "SITE/fam/one.py"},
		},
		{
			name: "star imports",
			tree: `file /usr/local/lib/python3.11/pack/__init__.py "__all__ = ['one', 'f']"
				file /usr/local/lib/python3.11/pack/one.py ""
				file /usr/local/lib/python3.11/pack/two.py ""
				file /app/main.py "from pack import *"`,
			want: []string{"/usr/local/lib/python3.11/pack/__init__.py", "/usr/local/lib/python3.11/pack/one.py"},
		},
		{
			name: "time zones",
			tree: `file /usr/local/lib/python3.11/zoneinfo/__init__.py ""
				file /usr/share/zoneinfo/Asia/Tokyo ""
				file /usr/share/zoneinfo/right/Asia/Tokyo ""
				file /app/main.py "import zoneinfo"`,
			want: []string{"/usr/local/lib/python3.11/zoneinfo/__init__.py", "/usr/share/zoneinfo/Asia/Tokyo"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := pythonKept(t, c.tree, pythonTrace+c.trace, c.cfg)
			slices.Sort(c.want)
			slices.Sort(got)
			diff(t, c.want, got)
		})
	}
}

// Without a run the config tells the interpreter, the scripts and the modules.
func TestPythonStatic(t *testing.T) {
	const tree = `
		file /usr/local/bin/serve 0755 "#!/usr/local/bin/python3\nimport server\n"
		file SITE/server.py ""
		file SITE/worker/__init__.py ""
		file SITE/worker/__main__.py "if __name__ == '__main__':\n    import json\n"
		file /src/web/__init__.py "from . import views"
		file /src/web/views.py ""
		file /app/main.py ""
	`
	web := []string{"/src/web/__init__.py", "/src/web/views.py"}
	worker := append([]string{"SITE/worker/__init__.py", "SITE/worker/__main__.py"}, jsonKept...)
	for _, c := range []struct {
		name string
		cfg  v1.Config
		want []string
	}{
		{"script", v1.Config{Cmd: []string{"python3", "/app/main.py"}}, []string{"/usr/local/bin/python3"}},
		{"module", v1.Config{Entrypoint: []string{"python3", "-m", "worker"}}, append(worker, "/usr/local/bin/python3")},
		{"server", v1.Config{Cmd: []string{"serve", "--bind", "0.0.0.0", "web:app"}, WorkingDir: "/src"},
			append([]string{"/usr/local/bin/python3", "/usr/local/bin/serve", "SITE/server.py"}, web...)},
		{"shell", v1.Config{Cmd: []string{"/bin/sh", "-c", "cd /src && exec serve -k worker web:app"}},
			slices.Concat([]string{"/usr/local/bin/python3", "/usr/local/bin/serve", "SITE/server.py"}, web, worker)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := pythonKept(t, tree, "", c.cfg)
			slices.Sort(c.want)
			slices.Sort(got)
			diff(t, c.want, got)
		})
	}
}

// Each kept path can be followed back to what was touched.
func TestPythonReasons(t *testing.T) {
	s, _ := pythonKept(t, distA+`file /app/main.py "\nimport a.core\n"`, pythonTrace, v1.Config{})
	for p, want := range map[string]string{
		"a/core.py":   "imported by /app/main.py:2 (import a.core)",
		"a/data.bin":  "part of Python distribution a, of which SITE/a/__init__.py is used",
		"b_module.py": "imported by SITE/a/core.py:1 (import b_module)",
	} {
		e, _ := s.Lookup(pythonSite + p)
		if got := strings.ReplaceAll(e.Reason.Text, pythonSite, "SITE/"); got != want {
			t.Errorf("%s: %s", p, got)
		}
		for n := 0; e.Reason.From != ""; n++ {
			if e, _ = s.Lookup(e.Reason.From); !e.Kept || n > 10 {
				t.Fatalf("%s leads to %v", p, e)
			}
		}
	}
	for p, want := range map[string]string{
		pythonSite + "a/data.bin":              "Python distribution a",
		pythonSite + "pytest/__init__.py":      "Python distribution pytest",
		"/usr/local/lib/python3.11/unused.py":  "Python standard library 3.11",
		"/usr/local/bin/pydoc3.11":             "Python standard library 3.11",
		pythonSite + "cc-1.dist-info/METADATA": "Python distribution cc",
		"/usr/local/bin/a":                     "Python distribution a",
	} {
		if e, _ := s.Lookup(p); s.Owner(e) != want {
			t.Errorf("%s is of %q", p, s.Owner(e))
		}
	}
	// Under Accessed nothing of it is kept, but the owners are known.
	tree := strings.ReplaceAll(pythonTree+distA+`file /app/main.py "import a"`, "SITE/", pythonSite)
	s = mustSelect(t, treetest.FS(t, tree), pythonTrace, v1.Config{}, keep.Options{Keep: keep.Accessed})
	diff(t, []string{"/app/main.py", "/usr/local/bin/python3.11", "/usr/local/lib/python3.11/os.py"}, keptPaths(s))
}
