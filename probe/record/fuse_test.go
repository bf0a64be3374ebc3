package record

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"slim/probe/rootfs/treetest"
)

// What each act leaves in the record: all of it, nothing more.
func TestOps(t *testing.T) {
	fsys := treetest.FS(t, `
		dir  /d 0755
		dir  /d/e 0755
		file /d/e/f 0644 "content"
		file /d/empty 0644
		file /d/x 0755 "content"
		link /d/l -> e/f
		link /d/abs -> /d/e
		link /d/loop -> loop
		link /d/gone -> nowhere
		file /h1 0644 "hard"
		hard /h2 => /h1
	`)
	for _, c := range []struct {
		steps string // separated by ;
		want  string // lines "ops path", separated by ;
	}{
		{"", ""},
		{"stat /", ""}, // that is the upper layer's

		{"list /", "l /"},
		{"access /d/e/f", "p /d; p /d/e; p /d/e/f"},
		{"stat /d/e/f", "p /d; p /d/e; ps /d/e/f"},
		{"lstat /d/e/f", "p /d; p /d/e; ps /d/e/f"},
		{"stat /d/e", "p /d; ps /d/e"},
		{"open /d/e/f", "p /d; p /d/e; p /d/e/f"},
		{"opath /d/e/f", "p /d; p /d/e; p /d/e/f"},
		{"read /d/e/f", "p /d; p /d/e; psr /d/e/f"},
		{"mmap /d/e/f", "p /d; p /d/e; pr /d/e/f"},
		{"read /d/empty", "p /d; ps /d/empty"},
		{"list /d", "pl /d"},
		{"list /d/e", "p /d; pl /d/e"},
		{"chdir /d/e; stat f", "p /d; p /d/e; ps /d/e/f"},
		{"chdir /d/e; stat ../empty", "p /d; p /d/e; ps /d/empty"},
		{"lstat /d/l", "p /d; ps /d/l"},
		{"readlink /d/l", "p /d; pk /d/l"},
		{"stat /d/l", "p /d; p /d/e; ps /d/e/f; pk /d/l"},
		{"read /d/abs/f", "p /d; pk /d/abs; p /d/e; psr /d/e/f"},
		{"!stat /d/gone", "p /d; pk /d/gone; m /d/nowhere"},
		{"!stat /d/loop", "p /d; pk /d/loop"},
		{"!stat /d/none", "p /d; m /d/none"},
		{"!stat /none/x", "m /none"},
		{"!stat /d/e/f/x", "p /d; p /d/e; p /d/e/f"},
		{"read /h1", "psr /h1"},
		{"read /h2", "psr /h2"},
		{"same /h1 /h2", "ps /h1; ps /h2"},
		{"read /h1; stat /h2", "psr /h1; ps /h2"},
		{"!getxattr /d/e/f user.x", "p /d; p /d/e; p /d/e/f"},
		// The overlay above copies up: attributes of the file and its folders, and the
		// content only where it is kept.
		{"chown /d/e/f", "ps /d; ps /d/e; ps /d/e/f"},
		{"truncate /d/e/f", "ps /d; ps /d/e; ps /d/e/f"},
		{"append /d/e/f", "ps /d; ps /d/e; psr /d/e/f"},
		{"create /d/new; read /d/new", "ps /d; m /d/new"},
		{"truncate /d/e/f; read /d/e/f", "ps /d; ps /d/e; ps /d/e/f"},
		{"unlink /d/e/f; !stat /d/e/f", "ps /d; ps /d/e; p /d/e/f"},
		// Once is enough.
		{"read /d/e/f; read /d/e/f; stat /d/e/f; stat /d/e", "p /d; ps /d/e; psr /d/e/f"},
		// Not a program, but executed: the kernel reads it and says no.
		{"!exec /d/x", "p /d; psrx /d/x"},
		{"!exec /d/e/f", "p /d; p /d/e; p /d/e/f"},
	} {
		t.Run(c.steps, func(t *testing.T) {
			var steps []string
			if c.steps != "" {
				steps = strings.Split(c.steps, "; ")
			}
			got := strings.TrimSpace(format(run(t, fsys, plan{Steps: steps})))
			if diff := cmp.Diff(strings.Split(c.want, "; "), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What the launcher does before the program starts is not recorded, and does not
// keep the same act from being recorded later.
func TestSetup(t *testing.T) {
	fsys := treetest.FS(t, `
		file /d/f 0644 "content"
		link /d/l -> f
	`)
	all := []string{"stat /d", "list /d", "stat /d/f", "read /d/l", "access /", "readlink /d/l", "list /"}
	for _, steps := range append([][]string{nil, all}, split(all)...) {
		want := format(run(t, fsys, plan{Steps: steps}))
		got := format(run(t, fsys, plan{Setup: all, Steps: steps}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q after a setup that did it all (-without +with):\n%s", steps, diff)
		}
	}
	// A folder that stays open is not looked up again.
	for act, want := range map[string]string{"stat .": "s /d\n", "list .": "l /d\n"} {
		got := format(run(t, fsys, plan{Setup: []string{"chdir /d", act}, Steps: []string{act}}))
		if got != want {
			t.Errorf("%s in a folder from the setup: %q, want %q", act, got, want)
		}
	}
	if got := run(t, fsys, plan{Setup: all}); len(got) != 0 {
		t.Errorf("recorded of the setup: %v", got)
	}
}

// A path belongs to the phase, the place and the process of its first access.
func TestFirst(t *testing.T) {
	fsys := treetest.FS(t, `
		file /b 0644 "content"
		file /c 0644 "content"
		file /d/a 0644 "content"
		file /d/t 0644 "content"
	`)
	s := begin(t, fsys, FUSEOptions{}, plan{Steps: []string{
		"stat /c", "pause", "read /c", "read /b", "pause", "read /b", "read /d/a", "!stat /a", "thread /d/t",
	}})
	for i, p := range []Phase{Start, Test, Stop} {
		if i > 0 {
			s.paused()
		}
		s.f.SetPhase(p)
		s.goOn()
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	got, err := s.f.Accesses()
	if err != nil {
		t.Fatal(err)
	}
	comm := filepath.Base(os.Args[0])
	comm = comm[:min(len(comm), 15)]
	want := []Access{
		{"/a", Miss, 5, Stop, comm, false},
		{"/b", Lookup | Stat | Read, 2, Test, comm, false},
		{"/c", Lookup | Stat | Read, 1, Start, comm, false},
		{"/d", Lookup, 3, Stop, comm, false},
		{"/d/a", Lookup | Stat | Read, 4, Stop, comm, false},
		{"/d/t", Lookup | Stat | Read, 6, Stop, comm, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestXattr(t *testing.T) {
	fsys := treetest.FS(t, `
		file /f 0644 "content" xattr.user.x="y" xattr.trusted.overlay.metacopy=""
		file /g 0644 "content" xattr.security.capability="\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		file /h 0644 "content"
	`)
	for _, c := range []struct{ step, want string }{
		{"getxattr /f user.x", "pa /f\n"},
		{"!getxattr /f user.y", "p /f\n"},
		{"!getxattr /f trusted.overlay.metacopy", "p /f\n"},
		{"listxattr /f", "pa /f\n"},
		{"listxattr /h", "p /h\n"},
		{"getxattr /g security.capability", "pa /g\n"},
		{"!getxattr /h security.capability", "p /h\n"},
		{"read /f", "psr /f\n"},
	} {
		got := format(run(t, fsys, plan{Steps: []string{c.step}}))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.step, diff)
		}
	}
}

// What the kernel is told of a file is what the image says.
func TestAttributes(t *testing.T) {
	fsys := treetest.FS(t, `
		dir   /d 01777 3:4 mtime=1969-12-31T23:59:58.25Z
		dir   /d/e 0755
		file  /d/f 04755 1000:70000 "content" mtime=2030-01-02T03:04:05.000000006Z
		link  /d/l -> ../some/where
		char  /d/c 0666 5:6 1:300
		fifo  /d/p 0600
		file  /h1 0644
		hard  /h2 => /h1
	`)
	run(t, fsys, plan{Steps: []string{
		"attr /d 41777 3:4 4096 -2.250000000 3 0:0",
		"attr /d/e 40755 0:0 4096 1577934245.000000000 2 0:0",
		"attr /d/f 104755 1000:70000 7 1893553445.000000006 1 0:0",
		"attr /d/c 20666 5:6 0 1577934245.000000000 1 1:300",
		"attr /d/p 10600 0:0 0 1577934245.000000000 1 0:0",
		"attr /d/l 120777 0:0 13 1577934245.000000000 1 0:0",
		"target /d/l ../some/where",
		"same /h1 /h2",
	}})
}

// A directory of 100,000 entries lists to its end, no name twice; a tree of twice
// as many names takes no more memory than its bound.
func TestLargeTree(t *testing.T) {
	const many = 100_000
	fsys := load(t, t.TempDir(), func(w *tar.Writer) error {
		for i := range 2 * many {
			h := tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("d%d/file-%d", i/many, i), Mode: 0o644}
			if err := w.WriteHeader(&h); err != nil {
				return err
			}
		}
		return nil
	})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	f := newFUSE(t, fsys, FUSEOptions{})
	if grown := heap() - before; grown > 100<<20 {
		t.Errorf("table of %d names takes %d MB", fsys.Len(), grown>>20)
	}
	runtime.KeepAlive(f)
	got := run(t, fsys, plan{Steps: []string{"list /d0", fmt.Sprintf("stat /d0/file-%d", many-1), "!stat /d0/file"}})
	want := fmt.Sprintf("pl /d0\nm /d0/file\nps /d0/file-%d\n", many-1)
	if diff := cmp.Diff(want, format(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An image that cannot be read must not look like a program that fails.
func TestBrokenBlob(t *testing.T) {
	cache := t.TempDir()
	fsys := load(t, cache, func(w *tar.Writer) error {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, Size: 1 << 20})
		if err == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		return err
	})
	s := begin(t, fsys, FUSEOptions{}, plan{Steps: []string{"!read /f"}})
	s.f.SetPhase(Start)
	cut := 0
	err := filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			cut++
			err = os.Truncate(path, 4096)
		}
		return err
	})
	if err != nil || cut == 0 {
		t.Fatalf("cut %d files: %v", cut, err)
	}
	s.goOn()
	if err := s.end(); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "/f") {
		t.Errorf("Serve: %v", err)
	}
	if _, err := s.f.Accesses(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Accesses: %v", err)
	}
}

func TestTraceFull(t *testing.T) {
	fsys := treetest.FS(t, "dir /d")
	for _, c := range []struct {
		misses int
		full   bool
	}{{10, false}, {11, true}} {
		s := begin(t, fsys, FUSEOptions{MaxMisses: 10}, plan{Steps: []string{fmt.Sprintf("misses %d /d", c.misses)}})
		s.f.SetPhase(Start)
		s.goOn()
		s.end()
		got, err := s.f.Accesses()
		var full *FullError
		if errors.As(err, &full) != c.full {
			t.Errorf("%d misses: %v", c.misses, err)
		}
		if !c.full && len(got) != 1+c.misses {
			t.Errorf("%d misses: %d recorded", c.misses, len(got))
		}
	}
}

// Whatever ends the container ends the service, without an error.
func TestKilled(t *testing.T) {
	fsys := treetest.FS(t, `file /f 0644 "content"`)
	s := begin(t, fsys, FUSEOptions{}, plan{Steps: []string{"read /f", "pause"}})
	s.f.SetPhase(Start)
	s.goOn()
	s.paused()
	if err := s.child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.child.Wait()
	if err := <-s.serve; err != nil {
		t.Errorf("Serve: %v", err)
	}
	got, err := s.f.Accesses()
	if err != nil || format(got) != "psr /f\n" {
		t.Errorf("%s%v", format(got), err)
	}
}

// Without a mount there is nothing to serve.
func TestNeverMounted(t *testing.T) {
	fsys := treetest.FS(t, "dir /d")
	f := newFUSE(t, fsys, FUSEOptions{})
	if err := f.Serve(); err == nil {
		t.Error("Serve without a mount succeeds")
	}
	if _, err := f.Accesses(); err == nil {
		t.Error("the record of a recorder that could not serve is taken for one")
	}
	f = newFUSE(t, fsys, FUSEOptions{})
	f.Close()
	if err := f.Serve(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestOpenError(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.ENOENT: "fuse module loaded",
		unix.EACCES: "needs root",
		unix.EMFILE: "too many open files",
	} {
		err := openError(errno)
		if !errors.Is(err, ErrUnsupported) || !errors.Is(err, errno) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// What go-fuse can only log is not lost.
func TestComplaints(t *testing.T) {
	for line, bad := range map[string]bool{
		"Unimplemented opcode OPCODE-99\n":                                              false,
		"writer: Write/Writev failed, err: 2=no such file or directory. opcode: READ\n": false,
		"writer: Write/Writev failed, err: 22=invalid argument. opcode: READ\n":         true,
		"Failed to read from fuse conn: 1=operation not permitted\n":                    true,
		"something new\n": true,
	} {
		f := &FUSE{}
		complaints{f}.Write([]byte(line))
		if err := f.err(); (err != nil) != bad {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func split(steps []string) [][]string {
	var all [][]string
	for _, s := range steps {
		all = append(all, []string{s})
	}
	return all
}
