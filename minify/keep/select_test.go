package keep_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"slim/minify/keep"
	"slim/probe"
	"slim/probe/rootfs/treetest"
)

func TestTouched(t *testing.T) {
	for _, c := range []selectCase{{
		name: "reasons",
		tree: `
			file /app/a
			file /app/b
			file /app/c
			file /app/d
			file /app/e
			file /app/f
			file /app/dropped
			dir  /app/data
			file /app/data/inside
			dir  /app/walk
			file /usr/bin/tool 0755`,
		trace: `
			/app/a r start nginx
			/app/b psrh test
			/app/c s stop sh
			/app/d a start sh
			/app/e p start sh
			/app/f w start sh
			/app/dropped m start sh
			/app/data pl test python3
			/app/walk p start sh
			/usr/bin/tool prx start sh`,
		want: `
			/app parent: holds /app/a
			/app/a touched: read by nginx at start
			/app/b touched: read in the test, for a check inside the container
			/app/c touched: stat'ed by sh at stop
			/app/d touched: attributes read by sh at start
			/app/data touched: listed by python3 in the test
			/app/e touched: looked up by sh at start
			/app/walk touched: walked through by sh at start
			/usr parent: holds /usr/bin
			/usr/bin parent: holds /usr/bin/tool
			/usr/bin/tool touched: executed by sh at start`,
	}, {
		name:  "hard links: only the names that were touched",
		tree:  "file /a \"x\"\n hard /b => /a\n hard /c => /a",
		trace: "/b r",
		want:  "/b touched: read at start",
	}, {
		name: "link followed: chain and target",
		tree: `
			link /bin/editor -> ../etc/alternatives/editor
			link /etc/alternatives/editor -> /usr/bin/vi
			file /usr/bin/vi 0755 "v"`,
		trace: "/bin/editor k start sh",
		want: `
			/bin parent: holds /bin/editor
			/bin/editor touched: link followed by sh at start
			/etc parent: holds /etc/alternatives
			/etc/alternatives parent: holds /etc/alternatives/editor
			/etc/alternatives/editor link: link that /bin/editor leads through
			/usr parent: holds /usr/bin
			/usr/bin parent: holds /usr/bin/vi
			/usr/bin/vi link: target of the link /bin/editor`,
	}, {
		name: "link seen, not followed: no content",
		tree: `
			link /d/file -> via
			link /d/via -> /data/file
			link /d/dir -> /data/dir
			link /d/null -> /x/null
			char /x/null 1:3
			file /data/file "much"
			dir  /data/dir
			file /data/dir/inside`,
		trace: "/d/file s\n /d/dir p\n /d/null s",
		want: `
			/d parent: holds /d/dir
			/d/dir touched: looked up at start
			/d/file touched: stat'ed at start
			/d/null touched: stat'ed at start
			/d/via link: link that /d/file leads through
			/data parent: holds /data/dir
			/data/dir link: target of the link /d/dir
			/x parent: holds /x/null
			/x/null link: target of the link /d/null`,
	}, {
		name:  "links that lead nowhere, round and out of the tree",
		tree:  "link /a -> gone\n link /b -> c\n link /c -> b\n link /d -> ../../../../e\n file /e",
		trace: "/a k\n /b k\n /d k",
		want: `
			/a touched: link followed at start
			/b touched: link followed at start
			/c link: link that /b leads through
			/d touched: link followed at start
			/e link: target of the link /d`,
	}, {
		name:  "a trace written through links",
		tree:  "link /lib -> usr/lib\n file /usr/lib/x",
		trace: "/lib/x r",
		want: `
			/usr parent: holds /usr/lib
			/usr/lib parent: holds /usr/lib/x
			/usr/lib/x touched: read at start`,
	}, {
		name: "nothing touched",
		tree: "file /a",
	}} {
		c.run(t)
	}
}

func TestGone(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, "file /a"), "/z r\n /a/below s\n /a r\n /made rw\n /missed m\n /b k", v1.Config{}, keep.Options{Keep: keep.Accessed})
	diff(t, []string{"/a/below", "/b", "/z"}, s.Gone)
}

func TestNilTrace(t *testing.T) {
	s, err := keep.Select(t.Context(), treetest.FS(t, "file /a 0755"), nil, v1.Config{Cmd: []string{"/a"}}, keep.Options{Keep: keep.Accessed})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "/a config: program of CMD\n", kept(s))
}

func TestScripts(t *testing.T) {
	cfg := v1.Config{Env: []string{"PATH=/none:/opt/bin:/usr/bin"}, WorkingDir: "/srv"}
	for _, c := range []selectCase{{
		name: "interpreter, through links, and its own",
		tree: `
			link /bin -> usr/bin
			link /usr/bin/sh -> dash
			file /usr/bin/dash 0755
			file /a 0755 "#! /bin/sh -e\n"`,
		trace: "/a r",
		want: `
			/a touched: read at start
			/bin link: on the way to /bin/sh
			/usr parent: holds /usr/bin
			/usr/bin link: target of the link /bin
			/usr/bin/dash interpreter: #! interpreter of /a
			/usr/bin/sh interpreter: #! interpreter of /a`,
	}, {
		name: "env finds it in PATH; a script as interpreter has one too",
		tree: `
			file /a 0755 "#!/usr/bin/env run\n"
			file /usr/bin/env 0755
			file /usr/bin/run 0644
			file /opt/bin/run 0755 "#!/sh"
			file /sh 0755`,
		trace: "/a x",
		want: `
			/a touched: executed at start
			/opt parent: holds /opt/bin
			/opt/bin parent: holds /opt/bin/run
			/opt/bin/run interpreter: #! interpreter of /a (env run)
			/sh interpreter: #! interpreter of /opt/bin/run
			/usr parent: holds /usr/bin
			/usr/bin parent: holds /usr/bin/env
			/usr/bin/env interpreter: #! interpreter of /a`,
	}, {
		name: "env -S",
		tree: `
			file /a 0755 "#!/usr/bin/env -S -i LANG=C run -u\n"
			file /usr/bin/env 0755
			file /usr/bin/run 0755`,
		trace: "/a x",
		want: `
			/a touched: executed at start
			/usr parent: holds /usr/bin
			/usr/bin parent: holds /usr/bin/env
			/usr/bin/env interpreter: #! interpreter of /a
			/usr/bin/run interpreter: #! interpreter of /a (env run)`,
	}, {
		name:  "not executable, only stat'ed, carriage return, empty, alone",
		tree:  "file /a 0644 \"#!/sh\"\n file /b 0755 \"#!/sh\"\n file /c 0755 \"#!/sh\\r\\n\"\n file /d 0755 \"#!\\n/sh\"\n file /e 0755 \"#\"\n file /sh 0755",
		trace: "/a r\n /b s\n /c r\n /d r\n /e r",
		want: `
			/a touched: read at start
			/b touched: stat'ed at start
			/c touched: read at start
			/d touched: read at start
			/e touched: read at start`,
	}, {
		name:  "relative to the working directory",
		tree:  "file /a 0755 \"#!./sh\"\n file /srv/sh 0755",
		trace: "/a r",
		want: `
			/a touched: read at start
			/srv config: WORKDIR /srv
			/srv/sh interpreter: #! interpreter of /a`,
	}} {
		c.cfg = cfg
		c.run(t)
	}
}

// largeTree is a tree of about n names, and a trace of a third of them.
func largeTree(n int) (tree, trace string) {
	var a, b strings.Builder
	a.WriteString("dir /usr/share/doc\n")
	for i := range n {
		p := fmt.Sprintf("/usr/lib/python3/dist-packages/p%d/sub/f%d.py", i/50, i)
		switch i % 10 {
		case 0:
			p = fmt.Sprintf("/usr/share/doc/p%d/README.md", i)
		case 1:
			p = fmt.Sprintf("/usr/bin/x86_64-linux-gnu-tool-%d", i)
		case 2:
			p = fmt.Sprintf("/usr/lib/x86_64-linux-gnu/lib%d.so", i)
			fmt.Fprintf(&a, "link %s -> lib%d.so.1\n", p, i)
			p += ".1"
		}
		fmt.Fprintf(&a, "file %s 0755 \"x\"\n", p)
		if i%3 == 0 {
			fmt.Fprintf(&b, "%s sr\n", p)
		}
	}
	return a.String(), b.String()
}

func TestSameInputSameSelection(t *testing.T) {
	tree, text := largeTree(2000)
	fsys, trace := treetest.FS(t, tree), parseTrace(t, text)
	opts := keep.Options{Include: []string{"/usr/share/**/p10*"}, Exclude: []string{"/usr/bin/*7"}}
	want := ""
	for range 3 {
		s, err := keep.Select(t.Context(), fsys, trace, v1.Config{}, opts)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range s.Entries {
			got += fmt.Sprint(e.Node.Path(), e.Kept, e.Reason, e.Category, "\n")
		}
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatal(strings.Count(got, "\n"), "entries, not as before")
		}
		rand.Shuffle(len(trace.Accesses), func(i, j int) {
			a := trace.Accesses
			a[i], a[j] = a[j], a[i]
		})
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := keep.Select(ctx, treetest.FS(t, "file /a"), &probe.Trace{}, v1.Config{}, keep.Options{Keep: keep.Accessed})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A tree of 40,000 names is to be decided on in well under a second of one core.
func TestLargeTreeIsFast(t *testing.T) {
	tree, text := largeTree(40000)
	fsys, trace := treetest.FS(t, tree), parseTrace(t, text)
	before := processorTime(t)
	s, err := keep.Select(t.Context(), fsys, trace, v1.Config{}, keep.Options{Keep: keep.Accessed, Exclude: []string{"**/*.pyc", "/usr/share/{man,info}/**"}})
	took := processorTime(t) - before
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d names in %v", len(s.Entries), took)
	if took > time.Second {
		t.Errorf("%d names took %v", len(s.Entries), took)
	}
}

// processorTime is what this process has used so far: a busy machine does not
// slow it.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
