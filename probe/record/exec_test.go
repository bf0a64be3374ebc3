package record

import (
	"path/filepath"
	"strings"
	"testing"
)

// What was executed, and under which name, told apart from what was only read.
func TestExec(t *testing.T) {
	const loader = "/lib64/ld-linux-x86-64.so.2"
	ld, err := filepath.EvalSymlinks(loader)
	if err != nil {
		skip(t, err)
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
