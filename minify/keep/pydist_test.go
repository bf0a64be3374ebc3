package keep

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPythonRequires(t *testing.T) {
	got := parseRequires([]byte(strings.ReplaceAll(strings.ReplaceAll(`Metadata-Version: 2.1
		License: one
		        two
		SP
		Requires-Dist: Zope.Interface
		requires-dist: uvicorn[standard,x_y] >=0.30 ; python_version >= "3.8"
		Requires-Dist: A (>=1.0)
		Requires-Dist: b ; extra == 'Test_All'
		Requires-Dist: c@ https://example.org/c.whl
		Requires-Dist: colorama ; sys_platform == "win32"
		Requires-Dist: d ; sys_platform == 'win32' or python_version > '3'
		Requires-Dist: e>1;python_version<"3.11" and extra=="f"
		Requires-Dist: >=1

		Requires-Dist: text
		`, "\t", ""), "SP", "        ")))
	want := []pyRequirement{
		{name: "zope-interface"}, {name: "uvicorn", extras: []string{"standard", "x-y"}, perhaps: true}, {name: "a"},
		{name: "b", extra: "test-all"}, {name: "c"}, {name: "d", perhaps: true}, {name: "e", extra: "f", perhaps: true},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pyRequirement{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	got = parseEggRequires([]byte("a>=1\nb\n\n[c]\nd\n\n[:python_version<'3']\ne\n"))
	want = []pyRequirement{{name: "a"}, {name: "b"}, {name: "d", extra: "c"}, {name: "e"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pyRequirement{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestPythonNames(t *testing.T) {
	for name, want := range map[string]string{"Zope.Interface": "zope-interface", "a__b--c": "a-b-c", "PyYAML": "pyyaml", "": "", "_a_": "a", "-": ""} {
		if got := normalizePy(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, want := range map[string]bool{"python": true, "python3.11": true, "python3.13t": true, "pypy3": true, "python3-config": false, "ipython": false} {
		if isPython(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	for name, want := range map[string]bool{
		"a.so": true, "a.abi3.so": true, "a.cpython-311-x86_64-linux-gnu.so": true, "a.cpython-311.pyc": true, "a.cpython-38m-x.so": true,
		"a.cpython-39.pyc": false, "a.cpython-3110-x.so": false,
	} {
		tag := "311"
		if strings.Contains(name, "38") {
			tag = "38"
		}
		if fitsTag(name, tag) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// The words of a file that is no Python, of what an image's own config says.
func TestPythonWords(t *testing.T) {
	got := refText(wordRefs([]byte("exec gunicorn -k a.B \"shop.wsgi:app\" --bind 0.0.0.0:80 -c /app/conf\npython -m jobs && echo done.\nclass: x.Y\n")))
	want := "1 call a.B.__main__  ?\n1 literal shop.wsgi:app ?\n1 path /app/conf ?\n2 call jobs.__main__  ?\n3 literal x.Y ?\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Whatever the records hold: names come out clean, and nothing is made up.
func FuzzPythonRecords(f *testing.F) {
	f.Add([]byte("a/b.py,sha256=x,1\r\n\"c,d\"\"e\",,\n"))
	f.Add([]byte("Requires-Dist: a[b,c]>=1 ; extra == \"d\"\n[e]\nhome = /usr\n"))
	f.Add([]byte("MAPPING = {'a': '/b'}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range slices.Concat(parseRequires(b), parseEggRequires(b)) {
			if strings.ContainsAny(r.name, " \n_.ABC") || r.name != normalizePy(r.name) {
				t.Errorf("requirement %q", r.name)
			}
		}
		for _, name := range parseRecord(b) {
			if name == "" && !strings.Contains(string(b), `"",`) || strings.Contains(name, "\n") {
				t.Errorf("record %q", name)
			}
		}
		for _, group := range parseEntryGroups(b) {
			if !strings.Contains(string(b), group) {
				t.Errorf("group %q", group)
			}
		}
		for name, dir := range parseFinder(b) {
			if !strings.HasPrefix(dir, "/") || !strings.Contains(string(b), name) {
				t.Errorf("finder %q: %q", name, dir)
			}
		}
		wordRefs(b)
		parsePyvenv(b)
	})
}
