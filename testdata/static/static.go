// Package static builds programs for tests: static, as they run in empty images.
package static

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build compiles a main package, named as for go build, and returns the program's
// path. env is added to the environment, such as GOARCH=386.
func Build(t testing.TB, pkg string, env ...string) string {
	t.Helper()
	prog := filepath.Join(t.TempDir(), "prog")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", prog, pkg)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return prog
}
