package keep

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScanPHP(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`<?php require 'a.php'; include_once("b/c.php"); require_once ('d.php');`, "a.php b/c.php d.php"},
		{`require __DIR__ . '/../x.php'; require __DIR__.'/a'.'/b.php';`, "./../x.php ./a/b.php"},
		{`require dirname(__FILE__) . '/a.php'; require dirname(__DIR__) . '/b.php'; require \dirname(__DIR__, 2) . '/c.php';`, "./a.php ../b.php ../../c.php"},
		{`require dirname(dirname(__FILE__)) . '/a.php'; require_once dirname(__DIR__, 3) . "/b.php";`, "../a.php ../../../b.php"},
		{`require __DIR__ . '/lang/' . $x . '.php'; require "tpl/$y.php"; require $z; require $a . '/b.php';`, "./lang/* tpl/*"},
		{`$this->require('a'); X::include('b'); function include('c') {} $include = 'd'; $requires = 'e';`, "c"},
		{"// require 'a';\n# require 'b';\n/* require 'c' */\n * require 'd';\nf(); // require 'e';\n", ""},
		{`return require 'a.php'; $x = include 'b.php'; if (!@include 'c.php') {}`, "a.php b.php c.php"},
		{`require 'a' ? 'b' : 'c'; require`, ""},
	} {
		var got []string
		for _, in := range scanPHP([]byte(c.src)) {
			name := in.name
			if in.here {
				name = strings.TrimPrefix(name, "/")
				if in.up == 0 {
					name = "./" + name
				}
				name = strings.Repeat("../", in.up) + name
			}
			if in.prefix {
				name += "*"
			}
			got = append(got, name)
		}
		if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.src, d)
		}
	}
}

func TestPHPSettings(t *testing.T) {
	got := fmt.Sprint(parsePHPSettings([]byte("[PHP]\n;a=b\n# c=d\nextension = x.so ; why\nerror_log=\"/var/log/x;y\"\nphp_value[session.save_path] = 5;/tmp\nnothing\n=\n")))
	if want := "[{extension x.so} {error_log /var/log/x;y} {session.save_path 5;/tmp} { }]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzPHP(f *testing.F) {
	f.Add([]byte("<?php require dirname(dirname(__FILE__, 2)) . '/a' . $b; include __DIR__ . \"/c{$d}\";"))
	f.Add([]byte(`{"packages":[{"name":"a/b","install-path":"../a"}],"dev-package-names":[]}`))
	f.Add([]byte("extension = \"a\nphp_value[b = c"))
	f.Fuzz(func(t *testing.T, src []byte) {
		count := bytes.Count(src, []byte("\n")) + 1
		for _, in := range scanPHP(src) {
			if in.line < 1 || in.line > count || in.name == "" || in.up < 0 {
				t.Fatalf("%+v of %d lines", in, count)
			}
		}
		for _, set := range parsePHPSettings(src) {
			if !bytes.Contains(src, []byte(set.value)) {
				t.Fatal(set)
			}
		}
		for _, rel := range composerFiles(src) {
			if !bytes.Contains(src, []byte(rel)) {
				t.Fatal(rel)
			}
		}
		parseInstalled(src)
	})
}
