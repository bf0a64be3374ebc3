package keep_test

import (
	"slices"
	"strconv"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// What a run of node on /app/server.js touches; the program is no ELF file, which
// the rules can do without.
const (
	nodeTree = `
		file /usr/bin/node 0755 "node"
		file /app/package.json "{\"name\":\"app\",\"dependencies\":{\"a\":\"1\"},\"devDependencies\":{\"dev\":\"1\"}}"
		file /app/server.js "require('a')"
	`
	nodeTrace = `
		/usr/bin/node x
		/app/package.json r
		/app/server.js r
	`
)

// nodeKept are the files kept below /app/node_modules and in other places of
// modules, under units.
func nodeKept(t *testing.T, tree, trace string, cfg v1.Config) []string {
	t.Helper()
	s := mustSelect(t, treetest.FS(t, tree), trace, cfg, keep.Options{Keep: keep.Units})
	return keptPaths(s)
}

func TestNodeClosure(t *testing.T) {
	for _, c := range []struct {
		name, tree, trace string
		want              []string // besides node, package.json and server.js
	}{
		{
			name: "npm: dependencies, nested copies, no devDependencies",
			tree: nodeTree + `
				file /app/node_modules/a/package.json "{\"name\":\"a\",\"main\":\"lib\",\"dependencies\":{\"b\":\"1\"},\"optionalDependencies\":{\"gone\":\"1\"},\"devDependencies\":{\"dev\":\"1\"}}"
				file /app/node_modules/a/lib/index.js ""
				file /app/node_modules/a/node_modules/b/package.json "{\"name\":\"b\"}"
				file /app/node_modules/a/node_modules/b/index.js ""
				file /app/node_modules/b/package.json "{\"name\":\"b\"}"
				file /app/node_modules/b/index.js ""
				file /app/node_modules/dev/package.json "{\"name\":\"dev\"}"
				file /app/node_modules/dev/index.js ""
				file /app/node_modules/.package-lock.json "{}"
			`,
			want: []string{
				"/app/node_modules/a/lib/index.js", "/app/node_modules/a/node_modules/b/index.js",
				"/app/node_modules/a/node_modules/b/package.json", "/app/node_modules/a/package.json",
			},
		},
		{
			name: "peers: those that must be there; optional ones not for that",
			tree: nodeTree + `
				file /app/node_modules/a/package.json "{\"peerDependencies\":{\"p\":\"1\",\"q\":\"1\"},\"peerDependenciesMeta\":{\"q\":{\"optional\":true}}}"
				file /app/node_modules/a/index.js "try { require('q') } catch {}"
				file /app/node_modules/p/index.js ""
				file /app/node_modules/q/index.js ""
			`,
			want: []string{"/app/node_modules/a/index.js", "/app/node_modules/a/package.json", "/app/node_modules/p/index.js"},
		},
		{
			name: "pnpm: links into a store",
			tree: nodeTree + `
				link /app/node_modules/a -> .pnpm/a@1.0.0/node_modules/a
				file /app/node_modules/.pnpm/a@1.0.0/node_modules/a/package.json "{\"dependencies\":{\"@s/b\":\"1\"}}"
				file /app/node_modules/.pnpm/a@1.0.0/node_modules/a/index.js ""
				link /app/node_modules/.pnpm/a@1.0.0/node_modules/@s/b -> ../../../@s+b@1.0.0/node_modules/@s/b
				file /app/node_modules/.pnpm/@s+b@1.0.0/node_modules/@s/b/package.json "{}"
				file /app/node_modules/.pnpm/@s+b@1.0.0/node_modules/@s/b/index.js ""
				file /app/node_modules/.pnpm/dev@1.0.0/node_modules/dev/index.js ""
				link /app/node_modules/dev -> .pnpm/dev@1.0.0/node_modules/dev
			`,
			want: []string{
				"/app/node_modules/.pnpm/@s+b@1.0.0/node_modules/@s/b/index.js", "/app/node_modules/.pnpm/@s+b@1.0.0/node_modules/@s/b/package.json",
				"/app/node_modules/.pnpm/a@1.0.0/node_modules/@s/b",
				"/app/node_modules/.pnpm/a@1.0.0/node_modules/a/index.js", "/app/node_modules/.pnpm/a@1.0.0/node_modules/a/package.json",
				"/app/node_modules/a",
			},
		},
		{
			name: "workspace: a link to a folder of sources, with its own dependencies",
			tree: nodeTree + `
				link /app/node_modules/a -> ../packages/a
				file /app/packages/a/package.json "{\"name\":\"a\",\"main\":\"dist/a.js\",\"dependencies\":{\"b\":\"*\"}}"
				file /app/packages/a/dist/a.js ""
				file /app/packages/a/src/a.ts ""
				file /app/packages/a/test/a.js ""
				file /app/node_modules/b/index.js ""
				link /app/node_modules/other -> ../packages/other
				file /app/packages/other/package.json "{\"name\":\"other\"}"
				link /app/node_modules/app -> ..
			`,
			want: []string{"/app/node_modules/a", "/app/node_modules/b/index.js", "/app/packages/a/dist/a.js", "/app/packages/a/package.json"},
		},
		{
			name: "a cycle, a missing package, fields of wrong types",
			tree: nodeTree + `
				file /app/node_modules/a/package.json "{\"name\":7,\"main\":[],\"dependencies\":{\"b\":{},\"../../etc\":\"1\"},\"bundledDependencies\":[\"c\",1,null]}"
				file /app/node_modules/b/package.json "{\"dependencies\":{\"a\":\"1\",\"b\":\"1\",\"gone\":\"1\"},\"exports\":true,\"os\":{}}"
				file /app/node_modules/c/package.json "not JSON"
			`,
			want: []string{"/app/node_modules/a/package.json", "/app/node_modules/b/package.json", "/app/node_modules/c/package.json"},
		},
		{
			name: "platforms: those of another system stay out",
			tree: nodeTree + `
				file /app/node_modules/a/package.json "{\"optionalDependencies\":{\"@a/linux\":\"1\",\"@a/darwin\":\"1\",\"@a/not\":\"1\"}}"
				file /app/node_modules/@a/linux/package.json "{\"os\":[\"linux\"]}"
				file /app/node_modules/@a/darwin/package.json "{\"os\":[\"darwin\"]}"
				file /app/node_modules/@a/not/package.json "{\"os\":[\"!linux\"]}"
			`,
			want: []string{"/app/node_modules/@a/linux/package.json", "/app/node_modules/a/package.json"},
		},
		{
			name: "a development tool that production depends on",
			tree: nodeTree + `
				file /app/node_modules/a/package.json "{\"dependencies\":{\"typescript\":\"1\"}}"
				file /app/node_modules/typescript/package.json "{\"main\":\"./lib/typescript.js\",\"bin\":{\"tsc\":\"./bin/tsc\"}}"
				file /app/node_modules/typescript/lib/typescript.js ""
				file /app/node_modules/typescript/bin/tsc 0755 "#!/usr/bin/env node\nrequire('../lib/tsc.js')"
				file /app/node_modules/typescript/lib/tsc.js ""
				file /usr/bin/env 0755 ""
			`,
			want: []string{
				"/app/node_modules/a/package.json", "/app/node_modules/typescript/bin/tsc", "/app/node_modules/typescript/lib/tsc.js",
				"/app/node_modules/typescript/lib/typescript.js", "/app/node_modules/typescript/package.json",
			},
		},
		{
			name: "imported though only development lists it, and by a chain of sources",
			tree: nodeTree + `
				file /app/routes.mjs "import('dev/sub'); require('typed')"
				file /app/node_modules/a/index.js ""
				file /app/node_modules/dev/package.json "{\"exports\":{\"./sub\":{\"types\":\"./sub.d.ts\",\"import\":\"./tests/sub.mjs\"}}}"
				file /app/node_modules/dev/tests/sub.mjs ""
				file /app/node_modules/dev/sub.d.ts ""
			`,
			trace: "/app/routes.mjs r",
			want: []string{
				"/app/node_modules/a/index.js", "/app/node_modules/dev/package.json", "/app/node_modules/dev/tests/sub.mjs", "/app/routes.mjs",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := nodeKept(t, c.tree, nodeTrace+c.trace, v1.Config{})
			var rest []string
			for _, p := range got {
				if p != "/usr/bin/node" && p != "/app/package.json" && p != "/app/server.js" {
					rest = append(rest, p)
				}
			}
			diff(t, c.want, rest)
		})
	}
}

func TestNodeModuleParts(t *testing.T) {
	got := nodeKept(t, nodeTree+`
		file /app/node_modules/a/package.json "{\"main\":\"index.js\",\"types\":\"index.d.ts\",\"unpkg\":\"dist/a.min.js\"}"
		file /app/node_modules/a/LICENSE.md ""
		file /app/node_modules/a/README.md ""
		file /app/node_modules/a/binding.gyp ""
		file /app/node_modules/a/build/Release/obj.target/a.o ""
		file /app/node_modules/a/build/Makefile ""
		file /app/node_modules/a/data/table.bin ""
		file /app/node_modules/a/deps/big.c ""
		file /app/node_modules/a/dist/a.min.js ""
		file /app/node_modules/a/docs/index.html ""
		file /app/node_modules/a/docs/page.txt ""
		file /app/node_modules/a/index.d.ts ""
		file /app/node_modules/a/index.js "require('./test/helper'); require('./docs/' + name); fs.readFile(path.join(__dirname, 'examples', 'x.txt'))"
		file /app/node_modules/a/index.js.map ""
		file /app/node_modules/a/docs/a.json ""
		file /app/node_modules/a/examples/x.txt ""
		file /app/node_modules/a/examples/y.txt ""
		file /app/node_modules/a/locales/de.json ""
		file /app/node_modules/a/prebuilds/darwin-arm64/a.node "no ELF"
		file /app/node_modules/a/src/a.cc ""
		file /app/node_modules/a/src/a.ts ""
		file /app/node_modules/a/test/helper.js ""
		file /app/node_modules/a/test/other.js ""
		file /app/node_modules/a/tool.sh 0755 "#!/bin/bash"
		file /bin/bash 0755 ""
	`, nodeTrace, v1.Config{})
	diff(t, []string{
		"/app/node_modules/a/LICENSE.md", "/app/node_modules/a/data/table.bin", "/app/node_modules/a/docs/a.json",
		"/app/node_modules/a/examples/x.txt", "/app/node_modules/a/index.js", "/app/node_modules/a/locales/de.json",
		"/app/node_modules/a/package.json", "/app/node_modules/a/test/helper.js", "/app/node_modules/a/tool.sh",
		"/app/package.json", "/app/server.js", "/usr/bin/node",
	}, got)
}

// Sources that the run loaded as TypeScript are parts, too.
func TestNodeTypeScript(t *testing.T) {
	got := nodeKept(t, `
		file /usr/bin/node 0755 "node"
		file /app/package.json "{\"name\":\"app\"}"
		file /app/main.ts "import {a} from './a.js'; import type {T} from 'types'; import b from 'b'"
		file /app/a.ts ""
		file /app/node_modules/b/package.json "{\"main\":\"b.ts\"}"
		file /app/node_modules/b/b.ts ""
		file /app/node_modules/b/b.d.ts ""
		file /app/node_modules/types/index.js ""
	`, "/usr/bin/node x\n/app/package.json r\n/app/main.ts r", v1.Config{})
	diff(t, []string{"/app/a.ts", "/app/main.ts", "/app/node_modules/b/b.ts", "/app/node_modules/b/package.json", "/app/package.json", "/usr/bin/node"}, got)
}

// Folders that are otherwise of no use, when a source names them; source maps when
// Node is told to read them.
func TestNodeNamed(t *testing.T) {
	tree := `
		file /usr/bin/node 0755 "node"
		file /app/package.json "{\"name\":\"app\"}"
		file /app/dist/server.js "const at = (...p) => path.join(root, ...p); at('docs', page + '.md'); import('./lazy.js')"
		file /app/dist/server.js.map "m"
		file /app/dist/lazy.js "l"
		file /app/dist/lazy.js.map "m"
		file /app/docs/care.md "c"
		file /app/docs/more/loans.md "c"
	`
	want := []string{"/app/dist/lazy.js", "/app/dist/server.js", "/app/docs/care.md", "/app/docs/more/loans.md", "/app/package.json", "/usr/bin/node"}
	const trace = "/usr/bin/node x\n/app/package.json r\n/app/dist/server.js r"
	diff(t, want, nodeKept(t, tree, trace, v1.Config{}))
	want = slices.Insert(want, 1, "/app/dist/lazy.js.map")
	want = slices.Insert(want, 3, "/app/dist/server.js.map")
	diff(t, want, nodeKept(t, tree, trace, v1.Config{Env: []string{"NODE_OPTIONS=--enable-source-maps"}}))
}

// A package manager is used in part: npm's commands of another day stay out.
func TestNodeManager(t *testing.T) {
	got := nodeKept(t, `
		file /usr/bin/node 0755 "node"
		file /usr/share/nodejs/npm/package.json "{\"name\":\"npm\",\"dependencies\":{\"nopt\":\"1\",\"pacote\":\"1\"}}"
		file /usr/share/nodejs/npm/lib/cli.js "require('nopt'); require('./' + command); require('./error.js')"
		file /usr/share/nodejs/npm/lib/error.js ""
		file /usr/share/nodejs/npm/lib/publish.js "require('pacote')"
		file /usr/share/nodejs/nopt/package.json "{\"main\":\"lib/nopt.js\",\"dependencies\":{\"abbrev\":\"1\"}}"
		file /usr/share/nodejs/nopt/lib/nopt.js "require('abbrev')"
		file /usr/share/nodejs/nopt/lib/other.js ""
		file /usr/share/nodejs/abbrev/index.js ""
		file /usr/share/nodejs/pacote/index.js ""
	`, "/usr/bin/node x\n/usr/share/nodejs/npm/lib/cli.js r", v1.Config{})
	diff(t, []string{
		"/usr/bin/node", "/usr/share/nodejs/abbrev/index.js", "/usr/share/nodejs/nopt/lib/nopt.js", "/usr/share/nodejs/nopt/package.json",
		"/usr/share/nodejs/npm/lib/cli.js", "/usr/share/nodejs/npm/lib/error.js", "/usr/share/nodejs/npm/package.json",
	}, got)
}

// Without Node, what a web server serves asks for no packages.
func TestNodeServedOnly(t *testing.T) {
	tree := nodeTree + `
		file /usr/sbin/nginx 0755 ""
		file /app/node_modules/a/index.js ""
		file /app/dist/bundle.js "import 'a'"
	`
	want := []string{"/app/dist/bundle.js", "/usr/sbin/nginx"}
	diff(t, want, nodeKept(t, tree, "/usr/sbin/nginx x\n/app/dist/bundle.js r", v1.Config{}))

	// A package.json that the run did not read is not that of a program.
	want = []string{"/app/dist/bundle.js", "/usr/bin/node"}
	diff(t, want, nodeKept(t, tree, "/usr/bin/node x\n/app/dist/bundle.js r", v1.Config{}))
}

// Without a run, the entrypoint leads to all.
func TestNodeStatic(t *testing.T) {
	tree := nodeTree + `
		file /app/node_modules/a/index.js ""
		file /app/node_modules/dev/index.js ""
	`
	want := []string{"/app/node_modules/a/index.js", "/app/package.json", "/app/server.js", "/usr/bin/node"}
	diff(t, want, nodeKept(t, tree, "", v1.Config{Entrypoint: []string{"node", "server.js"}, WorkingDir: "/app"}))
}

// Yarn's archives: those that production needs, by .pnp.cjs.
func TestNodePnP(t *testing.T) {
	state := `const RAW_RUNTIME_STATE =
'{\
  "packageRegistryData": [\
    [null, [[null, {"packageLocation": "./", "packageDependencies": [["a", "npm:1"], ["dev", "npm:1"], ["it\'s", null]]}]]],\
    ["a", [["npm:1", {"packageLocation": "./.yarn/cache/a.zip/node_modules/a/", "packageDependencies": [["b", ["c", "virtual:x"]]]}]]],\
    ["c", [["virtual:x", {"packageLocation": "./.yarn/__virtual__/c-12/0/cache/c.zip/node_modules/c/", "packageDependencies": [["c", "virtual:x"]]}]]],\
    ["dev", [["npm:1", {"packageLocation": "./.yarn/cache/dev.zip/node_modules/dev/", "packageDependencies": []}]]]\
  ]\
}';`
	got := nodeKept(t, nodeTree+`
		file /app/.pnp.cjs `+strconv.Quote(state)+`
		file /app/.yarn/cache/a.zip "a"
		file /app/.yarn/cache/c.zip "c"
		file /app/.yarn/cache/dev.zip "dev"
		file /app/.yarn/cache/other.zip "o"
	`, nodeTrace+"/app/.pnp.cjs r", v1.Config{})
	diff(t, []string{"/app/.pnp.cjs", "/app/.yarn/cache/a.zip", "/app/.yarn/cache/c.zip", "/app/package.json", "/app/server.js", "/usr/bin/node"}, got)
}
