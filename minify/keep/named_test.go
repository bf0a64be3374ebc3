package keep_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// programsTree has programs that nothing touches.
const programsTree = `
	link /bin -> usr/bin
	file /usr/bin/dash 0755
	link /usr/bin/sh -> dash
	file /usr/bin/git 0755 "#!/usr/lib/gitrun"
	file /usr/lib/gitrun 0755
	file /usr/bin/tar 0755
	file /usr/bin/apt-get 0755
	file /usr/bin/env 0755
	file /usr/bin/gosu 0755
	file /usr/local/bin/server 0755
`

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		name, tree, trace string
		cfg               v1.Config
		want              string // besides the application's files
	}{{
		name:  "a list needs no shell",
		tree:  `file /app/a.py "import subprocess\nsubprocess.run(['git', 'log'])\nsubprocess.run(['nothere'])\nx = 'tar'"`,
		trace: "/app/a.py r",
		want:  "/usr/bin/git /usr/lib/gitrun",
	}, {
		name:  "a text does",
		tree:  `file /app/a.py "import os\nos.system('tar cf x | git x')"`,
		trace: "/app/a.py r",
		want:  "/bin /usr/bin/dash /usr/bin/sh /usr/bin/tar /usr/bin/git /usr/lib/gitrun",
	}, {
		name:  "a text that names nothing brings no shell",
		tree:  `file /app/a.py "import os\nos.system('nothere x')"`,
		trace: "/app/a.py r",
	}, {
		name: "a file that the run did not touch, beside one that it did",
		tree: `file /app/a.py
			file /app/lazy.js "require('child_process').execFile('tar')"`,
		trace: "/app/a.py r",
		want:  "/usr/bin/tar",
	}, {
		name: "from the entrypoint on",
		tree: `file /entrypoint.sh 0755 "#!/bin/sh\n. /opt/lib.sh\nif [ -n \"$X\" ]; then\n  exec gosu app server\nfi\n"
			file /opt/lib.sh "tar x"`,
		cfg:  v1.Config{Entrypoint: []string{"/entrypoint.sh"}},
		want: "/bin /usr/bin/dash /usr/bin/sh /usr/bin/gosu /usr/local/bin/server /usr/bin/tar",
	}, {
		name: "not what a script does that only developers run",
		tree: `file /app/a.py
			file /app/build.sh "apt-get install x\ntar x"`,
		trace: "/app/a.py r",
	}, {
		name: "a table of cron",
		tree: `file /app/a.py
			file /app/jobs/crontab "# git\n0 1 * * * tar cf /x"`,
		trace: "/app/a.py r",
		want:  "/bin /usr/bin/dash /usr/bin/sh /usr/bin/tar",
	}, {
		name: "without a run",
		cfg:  v1.Config{Cmd: []string{"/bin/sh", "-c", "tar x; exec server"}},
		want: "/bin /usr/bin/dash /usr/bin/sh /usr/bin/tar /usr/local/bin/server",
	}, {
		name:  "an absolute path",
		tree:  `file /app/a.conf.py "GIT = '/bin/git'"`,
		trace: "/app/a.conf.py r",
		want:  "/bin /usr/bin/git /usr/lib/gitrun",
	}} {
		t.Run(c.name, func(t *testing.T) {
			s := mustSelect(t, treetest.FS(t, programsTree+c.tree), c.trace, c.cfg, keep.Options{})
			got := slices.DeleteFunc(keptPaths(s), func(p string) bool {
				return strings.HasPrefix(p, "/app/") || strings.HasPrefix(p, "/opt/") || p == "/entrypoint.sh"
			})
			diff(t, slices.Sorted(strings.FieldsSeq(c.want)), slices.Sorted(slices.Values(got)))
		})
	}
}

// What is named stands in the report with its place; under Accessed it is only told.
func TestNamedPrograms(t *testing.T) {
	const tree = programsTree + `
		file /app/a.py "import subprocess\nsubprocess.run(['tar', 'x'])\n\nsubprocess.run('git x', shell=True)"`
	for _, c := range []struct {
		keep keep.Policy
		git  bool
	}{{keep.Accessed, false}, {keep.Units, true}, {keep.Packages, true}} {
		s := mustSelect(t, treetest.FS(t, tree), "/app/a.py r\n /usr/bin/tar x", v1.Config{}, keep.Options{Keep: c.keep})
		got := ""
		for _, n := range s.Named {
			got += fmt.Sprintln(n.Path, n.Place, n.Text, n.Touched)
		}
		diff(t, lines(`
			/bin/sh /app/a.py:4 git x false
			/usr/bin/git /app/a.py:4 git x false
			/usr/bin/tar /app/a.py:2 tar true`), got)
		if e, _ := s.Lookup("/usr/bin/git"); e.Kept != c.git {
			t.Errorf("%s: git kept: %v", c.keep, e.Kept)
		} else if want := "named as a command in /app/a.py:4 (git x)"; e.Kept && (e.Reason.Text != want || e.Reason.From != "/app/a.py") {
			t.Errorf("%+v", e.Reason)
		}
	}
}

func TestNamed(t *testing.T) {
	const tree = `
		file /data/model/a.bin
		file /data/model/b/c.bin
		file /data/other
		file /etc/site/a.conf
		file /etc/site/b.conf
		file /usr/share/fonts/x.ttf
		file /usr/share/doc/x
		file /usr/lib/python3/x.py
		file /var/cache/x
		link /current -> data`
	for _, c := range []struct{ name, tree, trace, want string }{
		{"a file", `file /app/a.py "open('/data/model/a.bin')"`, "/app/a.py r", "/data/model/a.bin"},
		{"a folder", `file /app/a.py "for x in os.listdir('/data/model'): pass"`, "/app/a.py r", "/data/model/a.bin /data/model/b/c.bin"},
		{"what is set in", `file /app/a.py "open(f'/data/model/{x}.bin')"`, "/app/a.py r", "/data/model/a.bin /data/model/b/c.bin"},
		{"through a link", `file /app/a.py "open('/current/model/a.bin')"`, "/app/a.py r", "/current /data/model/a.bin"},
		{"in a configuration", `file /etc/site.conf "include /etc/site/*.conf"`, "/etc/site.conf r", "/etc/site.conf /etc/site/a.conf /etc/site/b.conf"},
		{"in a file that nothing reads", `file /app/a.py "open('/data/other')"`, "", ""},
		{"not folders of the system, languages or caches",
			`file /app/a.py "'/usr' '/usr/share' '/etc' '/data/' '/usr/lib/python3' '/var/cache' '/var/cache/x' '/usr/share/doc' '/'"`, "/app/a.py r",
			"/data/model/a.bin /data/model/b/c.bin /data/other"},
		{"not in a comment", `file /app/a.py "# /data/other\nx = 1"`, "/app/a.py r", ""},
		{"of a kind that is left out", `file /app/a.py "open('docs/a.md').read() + open('../app/README.md').read()"
			file /app/docs/a.md
			file /app/docs/b.md
			file /app/README.md
			file /app/.env`, "/app/a.py r", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustSelect(t, treetest.FS(t, tree, c.tree), c.trace, v1.Config{}, keep.Options{})
			got := slices.DeleteFunc(keptPaths(s), func(p string) bool { return strings.HasPrefix(p, "/app/") })
			diff(t, slices.Sorted(strings.FieldsSeq(c.want)), slices.Sorted(slices.Values(got)))
			if c.name != "of a kind that is left out" {
				return
			}
			for p, want := range map[string]bool{"/app/docs/a.md": true, "/app/docs/b.md": false, "/app/README.md": true, "/app/.env": false} {
				if e, _ := s.Lookup(p); e.Kept != want {
					t.Errorf("%s: %+v", p, e)
				}
			}
		})
	}
}
