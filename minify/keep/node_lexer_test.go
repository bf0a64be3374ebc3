package keep

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJSImports(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"require", `const a = require("a"), b = require('./b'), c = require(` + "`c`" + `)`, "a ./b c"},
		{"what is no call", `x.from "a"; require.x("b"); notrequire("c"); import.meta.x("d")`, ""},
		{"import", `import a from "a"; import {b as c, d} from "./b.js"; import * as e from '@x/e'; import "f"; export * from "g"; export {h} from "h"`,
			"a ./b.js @x/e f g h"},
		{"minified", `import{a}from"a";import b,{c}from"b";export*from"c";var d=require("d").default,e=(0,f.g)(require("e"))`, "a b c d e"},
		{"dynamic", `await import("a"); import('./b', {with: {type: "json"}}); require.resolve("c"); import.meta.resolve("d")`, "a ./b c d"},
		{"prefix", "require('./l/' + x); import(`./m/${y}.js`); require(`./n/${z}`)", "./l/+ ./m/+ ./n/+"},
		{"createRequire", `const load = createRequire(import.meta.url); load("a"); module.createRequire(__filename)("b"); const r = m.createRequire(x); r("c"); other("d")`,
			"a b c"},
		{"dirname", "path.join(__dirname, 'a', 'b.txt'); __dirname + '/c'; `${__dirname}/d`; `${__dirname}/e/${x}`; join(__dirname, '..', 'f', x)",
			"@a/b.txt @./c @./d @./e/+ @../f/+"},
		{"import.meta", `new Worker(new URL("./w.js", import.meta.url)); new URL("./x", base); path.join(import.meta.dirname, "y")`, "@./w.js @y"},
		{"comments", "// require('a')\n/* require('b') */ require(/* x */ 'c')", "c"},
		{"strings", `"require('a')"; 'it\'s require("b")'; ` + "`require('c') ${require('d')} require('e')`; require('f')", "d f"},
		{"nested templates", "`${`${require('a')}`}${{b: require('b')}}`; require('c')", "a b c"},
		{"regular expressions", `x = /require("a")/; if (x) /"/.test(y); require("b"); z = a / b; require("c"); d = e / f`, "b c"},
		{"a class in one", `x = /[/"]/; require("a")`, "a"},
		{"behind a block", `if (a) {} /'/.test(b); require("a")`, "a"},
		{"behind an object", `x = {} / 2; require("a") / 3`, "a"},
		{"increment", `i++ / 2; require("a"); j / 2`, "a"},
		{"words of others", `Array.from("a"); x.require("b"); x.import("c"); this.from`, "b"},
		{"types", `import type {A} from "a"; export type {B} from "b"; import type from "c"; import {type D} from "d"; import type E, {F} from "e"`, "c d"},
		{"import equals", `import a = require("a")`, "a"},
		{"a hash bang", "#!/usr/bin/env node 'x\nrequire('a')", "a"},
		{"a string never closed", "'abc\nrequire('a')", "a"},
		{"a comment never closed", "require('a') /* require('b')", "a"},
		{"markup", "<p>it's</p>\nimport a from 'a'", "a"},
		{"folders named", "at('docs', x); read(`doc/${y}`); z === 'test'; 'docserver'", "@./docs/+ @./doc/+"},
		{"escapes are no names", `require("\x61")`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, i := range jsImports([]byte(c.src)) {
				text := i.spec
				if i.asset {
					text = "@" + text
				}
				if i.prefix {
					text += "+"
				}
				got = append(got, text)
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// Whatever the source is, each import is a string of it, in order.
func FuzzJSImports(f *testing.F) {
	for _, src := range []string{`import a from "b"`, "`${require('a')}`", "/[/", "path.join(__dirname, 'a', b)", "a = createRequire(x)('y')",
		"`${`${__dirname}/x`}", "new URL('a', import", "'\\", "/\\", "`\\", "}}}((("} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, i := range jsImports(src) {
			if i.offset < 0 || i.offset > len(src) || i.spec == "" {
				t.Fatal(fmt.Sprintf("%+v", i))
			}
			if !i.asset && !strings.HasPrefix(string(src[i.offset:]), i.spec) && !strings.HasPrefix(string(src[i.offset+1:]), i.spec) {
				t.Fatalf("%+v is not in the source", i)
			}
		}
	})
}

// Source read again and again from each slash would take minutes here.
func TestJSImportsOfHostileSource(t *testing.T) {
	for _, text := range []string{"=/[", "`${", "(", "/*", "=/", "'\\", "__dirname,"} {
		jsImports([]byte(strings.Repeat(text, 1<<20)))
	}
}

func BenchmarkJSImports(b *testing.B) {
	src := []byte(strings.Repeat("const a = require('./b'); // a comment\nfunction f(x, y) { return x / y + `a${x}` }\n", 1e4))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		jsImports(src)
	}
}
