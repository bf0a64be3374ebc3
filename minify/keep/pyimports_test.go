package keep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slim/testdata/skip"
)

var pyKindNames = map[pyRefKind]string{pyImport: "import", pyCall: "call", pyFamily: "family", pyLiteral: "literal", pyGroup: "group", pyVersion: "version", pyPath: "path"}

// refText is a source's references, one a line: line, kind, name, what it imports of
// that; "?" where it is not unconditional, "main" where it is for a program only.
func refText(refs []pyRef) string {
	var b strings.Builder
	for _, r := range refs {
		fmt.Fprintf(&b, "%d %s %s%s", r.line, pyKindNames[r.kind], strings.Repeat(".", r.level), r.name)
		for _, name := range r.names {
			fmt.Fprintf(&b, " %s", name)
		}
		if r.main {
			b.WriteString(" main")
		} else if !r.firm {
			b.WriteString(" ?")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestPythonRefs(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"plain", "import a\nimport a.b as c, d\n", "1 import a\n2 import a.b\n2 import d\n"},
		{"from", "from a import b\nfrom . import c\nfrom ..d.e import f as g, h\nfrom .i import *\n",
			"1 import a b\n2 import . c\n3 import ..d.e f h\n4 import .i *\n"},
		{"brackets", "from a import (  # why\n    b as c,\n\n    d,\n)\nimport e", "1 import a b d\n6 import e\n"},
		{"joined lines", "from a \\\n  import b, \\\n  c\nimport \\\n d\n", "1 import a b c\n4 import d\n"},
		{"line ends", "import a\r\nimport b\rimport c\n", "1 import a\n2 import b\n3 import c\n"},
		{"byte order mark", "\xef\xbb\xbfimport a\n", "1 import a\n"},
		{"semicolons", "x = 1; import a; import b; y = (2)\n", "1 import a\n1 import b\n"},
		{"no imports", "# import a\n'import b'\n\"\"\"\nimport c\n\"\"\"\nx.import_ = (\nimport_d)\nraise E from e\nyield from f\n", ""},
		{"strings", "s = r'\\' + b\"\\\"\" + Rb'''\n' \\''' import x''' + u\"#\"; import a\n", "2 import a\n"},
		{"open string", "s = 'it is\nimport a\n", "2 import a\n"},
		{"formatted strings", `f"{x['import b']:>{w}} {{import c"; import a` + "\n" + `f"{x["q"]!r:'>3}{'}'}\N{DASH}"; import b` + "\n" + `rf'\{x}{"'"}'; import c` + "\n",
			"1 import a\n2 import b\n3 import c\n"},
		{"field over lines", "f'''{\n  a # it's\n}'''\nimport b\n", "4 import b\n"},
		{"conditions", `
			import a
			def f():
			    import b
			    if x:
			        import c
			class C:
			    import d
			    def g(self): import e
			if x: import f
			else:
			    import g
			try:
			    import h
			except ImportError:
			    i = None
			else:
			    import j
			async def k():
			    import l
			with m: import n
			import o
			`, "2 import a\n4 import b ?\n6 import c ?\n8 import d\n9 import e ?\n10 import f ?\n12 import g ?\n14 import h ?\n18 import j ?\n20 import l ?\n21 import n\n22 import o\n"},
		{"match", "match x:\n    case 1: import a\n    case {'k': 2}:\n        import b\n", "2 import a\n4 import b\n"},
		{"for type checkers", `
			import typing as t
			if t.TYPE_CHECKING:
			    import a
			    if x:
			        import b
			elif y:
			    import c
			if TYPE_CHECKING: import d
			if not TYPE_CHECKING:
			    import e
			if TYPE_CHECKING or x:
			    import f
			if False:
			    import g
			`, "2 import typing\n8 import c ?\n11 import e ?\n13 import f ?\n"},
		{"main", "if __name__ == '__main__':\n    import a\n    def f():\n        import b\nimport c\n", "2 import a main\n4 import b main\n5 import c\n"},
		{"calls", `
			importlib.import_module("a.b")
			import_module(".c", package="a")
			import_module('.d', __name__)
			__import__('e', globals())
			if importlib.util.find_spec(name="f"): pass
			pkgutil.get_data(
			    "g.h", "x.bin")
			`, "2 call a.b \n3 call .c a\n4 call .d \n5 call e \n6 call f \n7 call g.h \n"},
		{"families", "import_module('a.b.' + x)\nimport_module(f'c.{x}')\nimport_module('d.%s' % x)\n__import__('.{}'.format(x))\nimport_module(f'{x}')\nimport_module('e' + x)\n",
			"1 family a.b \n2 family c \n3 family d \n4 family . \n"},
		{"literals", "X = ['a.b', \"c\", 'd e', 'f.g:H', '/x', '.i', 'j.', 'k..l', '0.9', 'dd', 'm\\n']\n", "1 literal a.b\n1 literal f.g:H\n1 literal dd\n"},
		{"groups", "entry_points(group='a.b')\niter_entry_points('c')\nentry_points().select(group='dd')\n", "1 group a.b\n2 group c\n3 literal dd\n"},
		{"versions", "version('Flask-Login')\nmetadata.version('x.y')\n", "1 version Flask-Login\n2 version x.y\n"},
		{"paths", `
			sys.path.insert(0, "/app/lib")
			sys.path.append(os.path.join(os.path.dirname(os.path.dirname(__file__)), "lib"))
			sys.path.append(str(Path(__file__).parent / "vendor"))
			os.path.join("a", "b")
			`, "2 path /app/lib\n3 path ../lib\n4 path vendor\n"},
		{"Python 2", "print 'a', `b`\nexec \"c\" in d\nimport e\nraise E, 'f'\n", "3 import e\n"},
		{"broken", "import\nfrom\nfrom x\nfrom import\nimport a.\nfrom . import\nimport b", "5 import a\n6 import .\n7 import b\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := strings.ReplaceAll(c.src, "\n\t\t\t", "\n")
			if d := cmp.Diff(c.want, refText(pythonRefs([]byte(src), nil))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// listImports prints for each source named on standard input a line of JSON: what the
// interpreter's own parser finds.
const listImports = `
import ast, json, sys, warnings
warnings.simplefilter("ignore")
for path in sys.stdin.read().split("\n"):
    try:
        tree = ast.parse(open(path, "rb").read())
    except (SyntaxError, ValueError, OSError):
        print("null")
        continue
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += ["%d import %s" % (node.lineno, a.name) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = "".join(" " + a.name for a in node.names)
            found.append("%d import %s%s%s" % (node.lineno, "." * node.level, node.module or "", names))
    print(json.dumps(sorted(found)))
`

// The sources of the machine's own Python: the tokens give the same imports as its parser.
func TestPythonStandardLibrary(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		skip.Test(t, "%v", err)
	}
	out, err := exec.Command(python, "-c", "import os, sys; print(os.path.dirname(os.__file__))").Output()
	if err != nil {
		skip.Test(t, "%s: %v", python, err)
	}
	var files []string
	err = filepath.WalkDir(strings.TrimSpace(string(out)), func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".py") && d.Type().IsRegular() && len(files) < 3000 {
			files = append(files, p)
		}
		return err
	})
	if err != nil || len(files) < 100 {
		skip.Test(t, "no standard library: %d files, %v", len(files), err)
	}
	cmd := exec.Command(python, "-c", listImports)
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n"))
	cmd.Stderr = os.Stderr
	if out, err = cmd.Output(); err != nil {
		t.Fatal(err)
	}
	compared, imports := 0, 0
	for i, line := range slices.Collect(bytes.Lines(out)) {
		var want []string
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		if want == nil && string(line) == "null\n" {
			continue // a source that is broken to test the parser
		}
		src, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "TYPE_CHECKING", "type_checking")
		}
		var got []string
		for _, r := range scanAll(src) {
			if r.kind == pyImport {
				r.firm, r.main = true, false
				got = append(got, strings.TrimSpace(refText([]pyRef{r})))
			}
		}
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %s", files[i], cmp.Diff(want, got))
		}
		compared, imports = compared+1, imports+len(want)
	}
	t.Logf("%d sources, %d imports", compared, imports)
}

// scanAll reads the references of a source, those for type checkers too.
func scanAll(src []byte) []pyRef {
	src = bytes.ReplaceAll(src, []byte("TYPE_CHECKING"), []byte("type_checking"))
	return pythonRefs(bytes.ReplaceAll(src, []byte("if False"), []byte("if false")), nil)
}

// Whatever the bytes: the end is reached, and a reference is in the source.
func FuzzPython(f *testing.F) {
	f.Add([]byte("from a import (b,\nc)\nf'{x[\"y\"]:>{z}}' \\\n'''\n'''; import d\n"))
	f.Add([]byte("if TYPE_CHECKING: import a\nsys.path.insert(0, 'x')\nimport_module(f'a.{b}')\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines := 1 + bytes.Count(b, []byte("\n")) + bytes.Count(b, []byte("\r"))
		for _, r := range pythonRefs(b, nil) {
			if r.line < 1 || r.line > lines {
				t.Errorf("line %d of %d", r.line, lines)
			}
			for part := range strings.SplitSeq(r.name, ".") {
				if r.kind != pyPath && !bytes.Contains(b, []byte(part)) {
					t.Errorf("%q is not in %q", part, b)
				}
			}
		}
		lex := newPyLexer(b)
		for n := 0; lex.next().kind != pyEOF; n++ {
			if n > len(b) {
				t.Fatal("more tokens than bytes")
			}
		}
	})
}
