package record

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"slim/testdata/skip"
)

// What was executed, and under which name, told apart from what was only read.
func TestExec(t *testing.T) {
	const loader = "/lib64/ld-linux-x86-64.so.2"
	ld, err := filepath.EvalSymlinks(loader)
	if err != nil {
		skip.Test(t, "%v", err)
	}
	fsys := machine(t, []string{"/bin/sh", "/bin/cat", "/bin/true", "/sbin/ldconfig", "/etc/passwd"}, map[string]string{
		"/app/run":   "#!/bin/sh\ncat /app/data\n",
		"/app/twice": "#!/app/run\n",
		"/app/bare":  "cat /app/data\n",
		"/app/data":  "content\n",
	})
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		steps []string
		want  map[string]string // path: ops process
	}{
		{"static", []string{"exec /sbin/ldconfig -V"}, map[string]string{
			"/usr/sbin/ldconfig": "psrx ldconfig",
		}},
		{"dynamic", []string{"exec /bin/true"}, map[string]string{
			"/usr/bin/true": "psrx true", ld: "psr record.test",
			"/usr/lib/x86_64-linux-gnu/libc.so.6": "psr true",
		}},
		{"its name is a link's", []string{"exec /bin/sh -c :"}, map[string]string{
			sh: "psrx sh",
		}},
		{"read before", []string{"read /usr/bin/true", "exec /bin/true"}, map[string]string{
			"/usr/bin/true": "psrx true", ld: "psr record.test",
		}},
		{"only read", []string{"exec /bin/cat /usr/bin/true /usr/bin/sh"}, map[string]string{
			"/usr/bin/true": "psr cat", sh: "psr cat", "/usr/bin/cat": "psrx cat",
		}},
		{"script", []string{"exec /app/run"}, map[string]string{
			"/app/run": "psrx run", sh: "psrx run", "/usr/bin/cat": "psrx cat",
			"/app/data": "psr cat", ld: "psr record.test",
		}},
		{"script of a script", []string{"exec /app/twice"}, map[string]string{
			"/app/twice": "psrx twice", "/app/run": "psrx run", sh: "psrx twice", "/usr/bin/cat": "psrx cat",
		}},
		{"script given to a shell", []string{"exec /bin/sh /app/run"}, map[string]string{
			"/app/run": "psr sh", sh: "psrx sh", "/usr/bin/cat": "psrx cat",
		}},
		{"no program, the shell's then", []string{"exec /bin/sh -c /app/bare"}, map[string]string{
			"/app/bare": "psrx bare", sh: "psrx sh", "/usr/bin/cat": "psrx cat",
		}},
		{"by the loader", []string{"exec " + loader + " /usr/bin/true"}, map[string]string{
			ld: "psrx ld-linux-x86-64", "/usr/bin/true": "pr ld-linux-x86-64",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]string{}
			for _, a := range run(t, fsys, plan{Steps: c.steps}) {
				got[a.Path] = a.Ops.String() + " " + a.Process
			}
			for path, want := range c.want {
				if have := got[path]; have != strings.TrimSpace(want) {
					t.Errorf("%s: %q, want %q", path, have, want)
				}
			}
			for path, have := range got {
				ops, _, _ := strings.Cut(have, " ")
				if strings.Contains(ops, "x") && !strings.Contains(c.want[path], "x ") {
					t.Errorf("%s: %q", path, have)
				}
			}
		})
	}
}

// Helpers are told by their session, with their children; the program comes first
// wherever it was seen.
func TestHelpers(t *testing.T) {
	fsys := machine(t, []string{"/bin/sh", "/bin/cat", "/usr/bin/head"}, map[string]string{
		"/app/own":    "content\n",
		"/app/given":  "content\n",
		"/app/late":   "content\n",
		"/app/large":  strings.Repeat("content\n", 1<<18),
		"/app/script": "#!/bin/sh\ncat /app/given /app/own /app/late\n",
	})
	own, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	s := begin(t, fsys, FUSEOptions{}, plan{Steps: []string{
		"read /app/own", "helper /usr/bin/head -c1 /app/large", "helper /app/script",
		"read /app/large", "read /app/late", "exec /bin/cat /app/own",
	}})
	s.f.SetHelpers(func(session int) bool { return session > 0 && session != own })
	s.f.SetPhase(Start)
	s.goOn()
	if err := s.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	accesses, err := s.f.Accesses()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Access{
		"/app/own":      {Process: "record.test"},
		"/app/large":    {Process: "record.test"}, // its end was not in the cache
		"/app/given":    {Process: "cat", Helper: true},
		"/app/late":     {Process: "cat", Helper: true}, // as the program found it in the cache
		"/app/script":   {Process: "script", Helper: true},
		"/usr/bin/head": {Process: "head", Helper: true},
		sh:              {Process: "script", Helper: true},
	}
	got := map[string]Access{}
	for _, a := range accesses {
		if _, ok := want[a.Path]; ok {
			got[a.Path] = Access{Process: a.Process, Helper: a.Helper}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
