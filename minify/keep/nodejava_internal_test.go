package keep

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseClassPath(t *testing.T) {
	for _, c := range []struct{ name, manifest, want string }{
		{"entries", "Manifest-Version: 1.0\r\nClass-Path: a.jar lib/b.jar ../c/\r\nMain-Class: X\r\n", "a.jar lib/b.jar ../c/"},
		{"continued", "Class-Path: a.jar lib/b\n .jar\n  c.jar\nX: y\n", "a.jar lib/b.jar c.jar"},
		{"carriage returns alone", "class-path: a.jar\rX: y\r", "a.jar"},
		{"URLs", "Class-Path: file:/opt/a.jar a%20b.jar http://x/y.jar %zz %00\n", "/opt/a.jar a b.jar"},
		{"only in the main section", "A: b\n\nName: x\nClass-Path: a.jar\n", ""},
		{"none", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, strings.Join(parseClassPath(c.manifest), " ")); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// No entry is empty or holds what no path can.
func FuzzParseClassPath(f *testing.F) {
	f.Add("Class-Path: a.jar file:/b.jar\n c")
	f.Fuzz(func(t *testing.T, manifest string) {
		for _, p := range parseClassPath(manifest) {
			if p == "" || strings.Contains(p, "\x00") {
				t.Fatalf("%q", p)
			}
		}
	})
}

func TestJavaWords(t *testing.T) {
	for text, want := range map[string]string{
		"-Xmx1g  -cp a:b\n":               "-Xmx1g|-cp|a:b",
		`-Da="b c" 'd e' f\g`:             `-Da=b c|d e|f\g`,
		"# all\n-cp a # b\n\"x\\\"y\" ''": `-cp|a|x"y|`,
		`"open`:                           "open",
		"":                                "",
	} {
		if d := cmp.Diff(want, strings.Join(javaWords(text), "|")); d != "" {
			t.Errorf("%q: -want +got:\n%s", text, d)
		}
	}
}

func FuzzNodeManifest(f *testing.F) {
	for _, text := range []string{`{"dependencies":{"a":"1"},"exports":{".":{"import":"./a*.js"}}}`, `{"exports":[[[{"x":[1]}]]],"bin":7}`, `[]`, `{"os":"!x"}`} {
		f.Add([]byte(text), "a/b")
	}
	f.Fuzz(func(t *testing.T, b []byte, subpath string) {
		m := parseManifest(b)
		m.targets(subpath)
		for _, name := range m.needs {
			if !isNodePackage(name) {
				t.Fatalf("%q is no package", name)
			}
		}
		for _, name := range m.entries {
			if strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") {
				t.Fatalf("%q leads out of the package", name)
			}
		}
	})
}

func TestNodeTargets(t *testing.T) {
	for _, c := range []struct{ manifest, subpath, want string }{
		{`{}`, "", "index"},
		{`{"main":"lib/x"}`, "", "lib/x index"},
		{`{"main":"lib/x"}`, "sub/y", "sub/y"},
		{`{"exports":"./e.js","main":"m"}`, "", "e.js"},
		{`{"exports":{"types":"./t.d.ts","import":"./i.mjs","default":{"require":"./r.cjs","browser":"./b.js"}}}`, "", "r.cjs i.mjs"},
		{`{"exports":{".":"./e.js","./f/*":"./lib/*.js","./g":null}}`, "f/a/b", "lib/a/b.js"},
		{`{"exports":{".":"./e.js","./g":null}}`, "g", ""},
		{`{"exports":{".":["./a.js",{"x":"./b.js"}]}}`, "", "a.js b.js"},
	} {
		if d := cmp.Diff(c.want, strings.Join(parseManifest([]byte(c.manifest)).targets(c.subpath), " ")); d != "" {
			t.Errorf("%s %q: -want +got:\n%s", c.manifest, c.subpath, d)
		}
	}
}

func TestSplitSpecifier(t *testing.T) {
	for spec, want := range map[string]string{"a": "a ", "a/b/c": "a b/c", "@s/a": "@s/a ", "@s/a/b": "@s/a b", "a/": "a ", "@s": "@s ", "/": " "} {
		name, subpath := splitSpecifier(spec)
		if got := name + " " + subpath; got != want {
			t.Errorf("%q: %q, want %q", spec, got, want)
		}
	}
}

// Whatever .pnp.cjs holds is read without a fault, and no string is longer than
// its literal.
func FuzzPnP(f *testing.F) {
	f.Add([]byte("const RAW_RUNTIME_STATE =\n'{\\\n\"packageRegistryData\": [[null, [[null, {\"packageLocation\":\"./\",\"packageDependencies\":[[\"a\",\"npm:1\"]]}]]]]}';"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsePnP(b)
		if got := unquoteJS(string(b), '\''); len(got) > len(b) {
			t.Fatalf("%q", got)
		}
	})
}
