package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slim/testdata/skip"
)

func TestMain(m *testing.M) {
	Init()
	if os.Args[0] == helperName {
		os.Exit(runHelper())
	}
	code := m.Run()
	if progDir != "" {
		os.RemoveAll(progDir)
	}
	os.Exit(code)
}

var progDir string

// buildProg builds the tests' program once.
var buildProg = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "slim-sandbox-test-")
	if err != nil {
		return "", err
	}
	progDir = dir
	prog := filepath.Join(dir, "prog")
	cmd := exec.Command("go", "build", "-o", prog, "./testdata/prog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v\n%s", err, out)
	}
	return prog, nil
})

// needRoot skips where containers cannot be made.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Test(t, "needs root")
	}
}

// newTree makes a folder with a small image in it.
func newTree(t testing.TB) string {
	t.Helper()
	needRoot(t)
	prog, err := buildProg()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	for _, d := range []string{"bin", "etc", "dev", "proc", "sys", "tmp", "data", "home/app", "etc/keep"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky))
	if err := os.Link(prog, filepath.Join(dir, "bin/prog")); err != nil {
		content, err := os.ReadFile(prog)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "bin/prog"), content, 0o755))
	}
	for name, content := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
		"data/a":     "a", "data/b": "b", "etc/keep/x": "x", "etc/keep/y": "y",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newSpec is a container of Docker's kind, without its seccomp profile.
func newSpec(args ...string) *specs.Spec {
	return &specs.Spec{
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "box",
		Mounts:   defaultMounts(),
		Process: &specs.Process{
			Args: args,
			Env:  []string{"PATH=/usr/bin:/bin", "HOME=/root"},
			Cwd:  "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding: defaultCapabilities, Effective: defaultCapabilities, Permitted: defaultCapabilities,
			},
		},
		Linux: planLinux(Config{}),
	}
}

// started is a container under test.
type started struct {
	*Container
	t              testing.TB
	stdout, stderr *lines
}

// boot makes a container over the folder and starts it.
func boot(t testing.TB, tree string, spec *specs.Spec) *started {
	t.Helper()
	s := create(t, tree, spec)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, tree string, spec *specs.Spec) *started {
	t.Helper()
	s := &started{t: t, stdout: newLines(), stderr: newLines()}
	c, err := New(t.Context(), spec, Options{Lower: Lower{Type: "bind", Data: tree}, Stdout: s.stdout, Stderr: s.stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s.Container = c
	return s
}

// end waits for the program's end.
func (s *started) end() (ExitStatus, string) {
	s.t.Helper()
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		s.t.Fatal("the program does not end")
	}
	return s.Status(), s.stdout.String()
}

// says waits for a line of output.
func (s *started) says(want string) {
	s.t.Helper()
	s.stdout.wait(s.t, want)
}

// run is boot and end.
func run(t testing.TB, tree string, spec *specs.Spec) (ExitStatus, string) {
	t.Helper()
	return boot(t, tree, spec).end()
}

// lines is a buffer in which a line can be waited for.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{}
}

func newLines() *lines { return &lines{grown: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) wait(t testing.TB, want string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		found, grown := bytes.Contains(l.buf.Bytes(), []byte(want)), l.grown
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("no output %q, only %q", want, l.String())
		}
	}
}

// helperName is the test binary as another slim, to be killed.
const helperName = "slim-test-helper"

// runHelper starts a container over the folder in its arguments, with "fuse" or "bind",
// and stays; with "stuck" it does not get as far, for the lower never answers.
func runHelper() int {
	lower, err := Lower{Type: "bind", Data: os.Args[1]}, error(nil)
	if os.Args[2] != "bind" {
		lower, err = fuseLower(os.Args[1])
	}
	if os.Args[2] == "stuck" {
		lower.Mounted = func() error {
			fmt.Println("waiting")
			select {}
		}
	}
	var c *Container
	if err == nil {
		c, err = New(context.Background(), newSpec("prog", "wait"), Options{Lower: lower, Stdout: os.Stdout, Stderr: os.Stderr})
	}
	if err == nil {
		err = c.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	select {}
}

// helper is the test binary as another slim; see runHelper.
func helper(t testing.TB, tree, lower string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	return &exec.Cmd{Path: exe, Args: []string{helperName, tree, lower}}
}
