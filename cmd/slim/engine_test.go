//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"slim/testdata/engine"
)

// haveEngine is the condition [engine]: whether a Docker Engine answers. In CI one must.
func haveEngine() (bool, error) {
	out, err := exec.Command("docker", "version").CombinedOutput()
	if err != nil && os.Getenv("CI") == "true" {
		return false, fmt.Errorf("needs a Docker Engine (testdata/setup): %w\n%s", err, out)
	}
	return err == nil, nil
}

// useEngine names images in the Engine for one script.
func useEngine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: engine")
	}
	name := fmt.Sprintf("slim-test/script-%d", os.Getpid())
	ts.Setenv("NAME", name)
	ts.Defer(func() {
		tags, err := exec.Command("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name).Output()
		ts.Check(err)
		for _, tag := range strings.Fields(string(tags)) {
			ts.Check(engine.Remove(tag))
		}
	})
}

// copyIn copies an image to the Engine by skopeo.
func copyIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: copyin REF TAG")
	}
	ts.Check(ts.Exec("skopeo", engine.CopyArgs(args[0], args[1])...))
}

// takes copies an image to the Engine by skopeo and runs it there.
func takes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: takes REF")
	}
	tag := ts.Getenv("NAME") + ":taken"
	ts.Check(ts.Exec("skopeo", "inspect", args[0]))
	copyIn(ts, false, []string{args[0], tag})
	ts.Check(ts.Exec("docker", "run", "--rm", "--network", "none", tag))
	if got, want := ts.ReadFile("stdout"), ts.ReadFile("want"); got != want {
		ts.Fatalf("%s writes %q, want %q", args[0], got, want)
	}
}
