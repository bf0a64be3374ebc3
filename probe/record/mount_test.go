package record

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
	"slim/testdata/skip"
)

// The tests mount the recorder as the sandbox does: in a child process, in a
// mount namespace of its own, under an overlay that becomes the root. The child
// is this program again, told by a variable what to do.
const childEnv = "SLIM_RECORD_TEST_CHILD"

func TestMain(m *testing.M) {
	if plan := os.Getenv(childEnv); plan != "" {
		os.Unsetenv(childEnv)
		if err := runChild(plan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// plan is what a child is to do.
type plan struct {
	Dir   string   // an empty folder to mount on
	Data  string   // mount data of the recorder
	Setup []string // steps before the phase is Start
	Steps []string // steps after
}

// Descriptors of a child beside the usual three.
const (
	childDevice = 3 + iota
	childReady  // a byte is written when the recorder is mounted, one when Setup is done
	childGo     // a byte comes when Steps may begin
)

func runChild(text string) error {
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	unix.CloseOnExec(childReady)
	unix.CloseOnExec(childGo)
	if err := enter(p.Dir, p.Data); err != nil {
		return err
	}
	for _, s := range p.Setup {
		if err := step(s); err != nil {
			return fmt.Errorf("setup %s: %w", s, err)
		}
	}
	if err := pause(); err != nil {
		return err
	}
	for _, s := range p.Steps {
		if err := step(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// pause tells the parent that all before is done, and waits until it says go.
func pause() error {
	if _, err := unix.Write(childReady, []byte{1}); err != nil {
		return err
	}
	_, err := unix.Read(childGo, make([]byte, 1))
	return err
}

// enter makes an overlay on the recorder the root.
func enter(dir, data string) error {
	mount := func(src, at, kind string, flags uintptr, data string) error {
		if err := unix.Mount(src, at, kind, flags, data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", kind, at, err)
		}
		return nil
	}
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "upper", "work", "root"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			return err
		}
	}
	if err := mount("slim", at("lower"), "fuse", unix.MS_RDONLY|unix.MS_NODEV, fmt.Sprintf("%s,fd=%d", data, childDevice)); err != nil {
		return err
	}
	unix.Close(childDevice)
	if _, err := unix.Write(childReady, []byte{1}); err != nil { // served from here on
		return err
	}
	if err := mount("overlay", at("root"), "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,xino=off,metacopy=on", at("lower"), at("upper"), at("work"))); err != nil {
		return err
	}
	if err := os.Chdir(at("root")); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}

// session is a recorder with a child in it.
type session struct {
	t      testing.TB
	f      *FUSE
	child  *exec.Cmd
	serve  chan error
	ready  *os.File
	start  *os.File
	stderr bytes.Buffer
}

// begin mounts fsys and stops before the steps of p.
func begin(t testing.TB, fsys *rootfs.FS, opts FUSEOptions, p plan, wrap ...string) *session {
	t.Helper()
	f := newFUSE(t, fsys, opts)
	s := &session{t: t, f: f, serve: make(chan error, 1)}

	dir, err := os.MkdirTemp("", "slim-record-") // a test's own may have a comma in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p.Dir, p.Data = dir, f.MountData()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	ready, childReady, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	childGo, start, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.ready, s.start = ready, start
	t.Cleanup(func() { ready.Close(); start.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	s.child = exec.Command(args[0], args[1:]...)
	s.child.Env = append(os.Environ(), childEnv+"="+string(text))
	s.child.Stderr = &s.stderr
	s.child.ExtraFiles = []*os.File{f.Device(), childReady, childGo}
	s.child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := s.child.Start(); err != nil {
		t.Fatal(err)
	}
	childReady.Close()
	childGo.Close()
	s.paused()
	go func() { s.serve <- f.Serve() }()
	s.paused()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	f.SetProc(proc)
	return s
}

// paused waits for the child's next byte.
func (s *session) paused() {
	s.t.Helper()
	if _, err := io.ReadFull(s.ready, make([]byte, 1)); err != nil {
		s.t.Fatalf("child did not come to a pause: %v: %s", s.child.Wait(), s.stderr.String())
	}
}

// goOn lets the child go on.
func (s *session) goOn() {
	s.t.Helper()
	if _, err := s.start.Write([]byte{1}); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the child and the server.
func (s *session) end() error {
	s.t.Helper()
	if err := s.child.Wait(); err != nil {
		s.t.Errorf("child: %v: %s", err, s.stderr.String())
	}
	return <-s.serve
}

// run does everything and gives the record.
func run(t testing.TB, fsys *rootfs.FS, p plan) []Access {
	t.Helper()
	s := begin(t, fsys, FUSEOptions{}, p)
	s.f.SetPhase(Start)
	s.goOn()
	if err := s.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	got, err := s.f.Accesses()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// newFUSE skips the test where there can be no recorder, except in CI.
func newFUSE(t testing.TB, fsys *rootfs.FS, opts FUSEOptions) *FUSE {
	t.Helper()
	f, err := NewFUSE(fsys, opts)
	if err == nil && os.Geteuid() != 0 {
		f.Close()
		err = fmt.Errorf("%w: mounting needs root", ErrUnsupported)
	}
	if errors.Is(err, ErrUnsupported) {
		skip.Test(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// load makes a tree of entries that are too large or too real for a notation.
func load(t testing.TB, cache string, write func(*tar.Writer) error) *rootfs.FS {
	t.Helper()
	name := filepath.Join(t.TempDir(), "layer.tar")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(out)
	if err := errors.Join(write(w), w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(name)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := rootfs.Load(context.Background(), img, rootfs.Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// format writes a record as lines "ops path", for comparison.
func format(all []Access) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s %s\n", a.Ops, a.Path)
	}
	return b.String()
}
