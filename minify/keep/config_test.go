package keep_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

func TestConfig(t *testing.T) {
	for _, c := range []selectCase{{
		name: "program in PATH, files among the arguments",
		tree: `
			file /usr/local/bin/serve 0644
			file /usr/bin/serve 0755
			file /srv/app.conf
			file /etc/app.ini
			dir  /etc/app
			file /srv/unnamed`,
		cfg: v1.Config{
			Entrypoint: []string{"serve", "-c", "app.conf"}, Cmd: []string{"/etc/app.ini", "/etc/app", "", "none"},
			WorkingDir: "/srv", Env: []string{"PATH=/usr/local/bin:/usr/bin"},
		},
		want: `
			/etc parent: holds /etc/app.ini
			/etc/app.ini config: named in CMD
			/srv config: WORKDIR /srv
			/srv/app.conf config: named in ENTRYPOINT
			/usr parent: holds /usr/bin
			/usr/bin parent: holds /usr/bin/serve
			/usr/bin/serve config: program of ENTRYPOINT`,
	}, {
		name: "no PATH: Docker's; shell form; health check in shell form",
		tree: `
			link /bin -> usr/bin
			link /usr/bin/sh -> dash
			file /usr/bin/dash 0755`,
		cfg: v1.Config{
			Cmd:         []string{"/bin/sh", "-c", "run"},
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "curl localhost"}},
		},
		want: `
			/bin link: on the way to /bin/sh
			/usr parent: holds /usr/bin
			/usr/bin link: target of the link /bin
			/usr/bin/dash config: program of CMD
			/usr/bin/sh config: program of CMD`,
	}, {
		name: "program beside the working directory; health check",
		tree: "file /app/run 0755\n file /app/bin/check 0755\n file /bin/bash 0755",
		cfg: v1.Config{
			Cmd: []string{"./run"}, WorkingDir: "/app/",
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "bin/check", "/bin/bash"}},
		},
		want: `
			/app config: WORKDIR /app/
			/app/bin parent: holds /app/bin/check
			/app/bin/check config: program of HEALTHCHECK
			/app/run config: program of CMD`,
	}, {
		name: "another command in the probe: both",
		tree: "file /bin/a 0755\n file /bin/b 0755\n file /bin/c 0755\n file /bin/d 0755\n file /x\n file /y",
		cfg:  v1.Config{Entrypoint: []string{"a"}, Cmd: []string{"/x"}},
		opts: keep.Options{Command: []string{"/y"}},
		want: `
			/bin parent: holds /bin/a
			/bin/a config: program of ENTRYPOINT
			/x config: named in CMD
			/y config: named in the command`,
	}, {
		name: "another entry point: the program of the command is an argument",
		tree: "file /bin/a 0755\n file /bin/b 0755\n file /x\n file /y",
		cfg:  v1.Config{Entrypoint: []string{"a"}, Cmd: []string{"/x"}},
		opts: keep.Options{Entrypoint: []string{"b"}, Command: []string{"/y"}},
		want: `
			/bin parent: holds /bin/a
			/bin/a config: program of ENTRYPOINT
			/bin/b config: program of --entrypoint
			/x config: named in CMD
			/y config: named in the command`,
	}, {
		name: "volumes with all their content, through links; the root as home",
		tree: `
			link /data -> var/data
			dir  /var/data/db
			file /var/data/db/1
			file /var/data/db/run 0755 "#!/sh"
			file /var/other
			file /sh 0755`,
		cfg: v1.Config{Volumes: map[string]struct{}{"/data": {}, "/none": {}}, Env: []string{"HOME=/"}},
		want: `
			/data config: VOLUME /data
			/var parent: holds /var/data
			/var/data config: VOLUME /data
			/var/data/db config: content of VOLUME /data
			/var/data/db/1 config: content of VOLUME /data
			/var/data/db/run config: content of VOLUME /data`,
	}, {
		name: "USER by name",
		tree: `
			file /etc/passwd "root:x:0:0::/root:/bin/sh\nnode:x:7:7::/home/node:/bin/sh\n"
			file /etc/group
			file /etc/shadow
			dir  /root
			file /home/node/.profile`,
		cfg: v1.Config{User: "node"},
		want: `
			/etc parent: holds /etc/group
			/etc/group config: groups of USER node in /etc/group
			/etc/passwd config: USER node in /etc/passwd
			/home parent: holds /home/node
			/home/node config: home directory of the user`,
	}, {
		name: "no USER; a passwd that is a link",
		tree: `
			link /etc/passwd -> ../usr/etc/passwd
			file /usr/etc/passwd "root:x:0:0::/root:/bin/sh\n"
			dir  /root`,
		want: `
			/etc parent: holds /etc/passwd
			/etc/passwd config: Docker sets HOME from it
			/root config: home directory of the user
			/usr parent: holds /usr/etc
			/usr/etc parent: holds /usr/etc/passwd
			/usr/etc/passwd config: Docker sets HOME from it`,
	}, {
		name: "a USER that does not exist",
		tree: "file /etc/passwd \"root:x:0:0::/root:/bin/sh\\n\"\n dir /root",
		cfg:  v1.Config{User: "nobody:nogroup"},
		want: `
			/etc parent: holds /etc/passwd
			/etc/passwd config: USER nobody:nogroup in /etc/passwd`,
	}, {
		name: "mount points, without what is in them",
		tree: `
			dir  /proc
			file /sys/x
			char /dev/null 1:3
			file /etc/hosts
			link /etc/resolv.conf -> ../run/resolv.conf
			file /run/resolv.conf
			dir  /tmp 1777
			file /tmp/leftover
			dir  /var/tmp 1777
			file /.dockerenv`,
		want: `
			/dev mount point: mount point of every runtime
			/etc parent: holds /etc/hosts
			/etc/hosts mount point: mount point of every runtime
			/etc/resolv.conf mount point: mount point of every runtime
			/proc mount point: mount point of every runtime
			/run parent: holds /run/resolv.conf
			/run/resolv.conf link: target of the link /etc/resolv.conf
			/sys mount point: mount point of every runtime
			/tmp mount point: folder for temporary files
			/var parent: holds /var/tmp
			/var/tmp mount point: folder for temporary files`,
	}} {
		c.run(t)
	}
}

func TestGlobs(t *testing.T) {
	const tree = `
		link /bin -> usr/bin
		link /usr/bin/sh -> dash
		file /usr/bin/dash 0755
		file /usr/bin/tool 0755 "#!/bin/sh"
		file /app/main.py
		file /app/t/deep/x.pem
		file /app/t/y.txt
		file "/app/[odd]"
		link /cur -> app/t`
	for _, c := range []selectCase{{
		name: "a folder takes all below",
		opts: keep.Options{Include: []string{"/app/t/"}},
		want: `
			/app parent: holds /app/t
			/app/t include: included by "/app/t/"
			/app/t/deep include: included by "/app/t/"
			/app/t/deep/x.pem include: included by "/app/t/"
			/app/t/y.txt include: included by "/app/t/"`,
	}, {
		name: "anywhere; alternatives; a quoted bracket",
		opts: keep.Options{Include: []string{"**/*.pem", "/app/{main,other}.py", `/app/\[odd\]`}},
		want: `
			/app parent: holds /app/[odd]
			/app/[odd] include: included by "/app/\\[odd\\]"
			/app/main.py include: included by "/app/{main,other}.py"
			/app/t parent: holds /app/t/deep
			/app/t/deep parent: holds /app/t/deep/x.pem
			/app/t/deep/x.pem include: included by "**/*.pem"`,
	}, {
		name: "through links, with what it needs",
		opts: keep.Options{Include: []string{"/bin/to*", "/cur"}},
		want: `
			/app parent: holds /app/t
			/app/t include: included by "/cur"
			/app/t/deep include: included by "/cur"
			/app/t/deep/x.pem include: included by "/cur"
			/app/t/y.txt include: included by "/cur"
			/bin include: included by "/bin/to*"
			/cur include: included by "/cur"
			/usr parent: holds /usr/bin
			/usr/bin link: target of the link /bin
			/usr/bin/dash interpreter: #! interpreter of /usr/bin/tool
			/usr/bin/sh interpreter: #! interpreter of /usr/bin/tool
			/usr/bin/tool include: included by "/bin/to*"`,
	}, {
		name:  "exclude wins over all",
		trace: "/usr/bin/tool x\n /app/main.py r\n /app/t/y.txt r",
		cfg:   v1.Config{Cmd: []string{"/app/t/y.txt"}},
		opts:  keep.Options{Include: []string{"/app/t"}, Exclude: []string{"/bin/dash", "/bin/sh", "/app/t"}},
		want: `
			/app parent: holds /app/main.py
			/app/main.py touched: read at start
			/bin link: on the way to /bin/sh
			/usr parent: holds /usr/bin
			/usr/bin parent: holds /usr/bin/tool
			/usr/bin/tool touched: executed at start`,
	}, {
		name:  "all but the root",
		trace: "/app/main.py r",
		opts:  keep.Options{Keep: keep.Accessed, Exclude: []string{"/"}},
	}, {
		name:  "all but the root, as a glob",
		trace: "/app/main.py r",
		opts:  keep.Options{Keep: keep.Accessed, Exclude: []string{"/**"}},
	}} {
		c.tree = tree
		c.run(t)
	}
}

func TestUnmatched(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, "file /a\n link /l -> gone"), "", v1.Config{}, keep.Options{Keep: keep.Accessed,
		Include: []string{"/a", "/none/*", "/l", "/b"}, Exclude: []string{"/z", "**/a"},
	})
	diff(t, []string{"/none/*", "/b", "/z"}, s.Unmatched)
	e, _ := s.Lookup("/a")
	diff(t, keep.Excluded, e.Category)
}

func TestBadGlobs(t *testing.T) {
	for _, c := range []struct {
		opts keep.Options
		want string
	}{
		{keep.Options{Include: []string{"/a", "/[a"}}, `include "/[a": syntax error in pattern`},
		{keep.Options{Keep: keep.Accessed, Exclude: []string{"/{a"}}, `exclude "/{a": syntax error in pattern`},
		{keep.Options{Keep: keep.Accessed, Exclude: []string{"a/b"}}, `exclude "a/b": not an absolute path`},
		{keep.Options{Include: []string{""}}, `include "": not an absolute path`},
	} {
		_, err := keep.Select(t.Context(), treetest.FS(t, "file /a"), nil, v1.Config{}, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.opts, err, c.want)
		}
	}
}
