package rootfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
)

const linkTree = `
	file /a/f
	dir  /a/d
	file /a/d/x
	link /l -> a
	link /abs -> /a/d
	link /up -> ../../../a/./d/..
	link /file -> a/f
	link /slash -> a/f/
	link /dirslash -> a/
	link /gone -> nowhere
	link /loop -> loop
	link /loop1 -> loop2/x
	link /loop2 -> loop1/y
	link /a/rel -> d/x
	link /a/back -> ../l/d
	link /root -> /
	link /dot -> .
	file /...`

// chain makes links c1 -> c2 -> … -> cN -> a, so that N of them are followed.
func chain(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "link /c%d -> c%d\n", i+1, i+2)
	}
	fmt.Fprintf(&b, "link /c%d -> a\n", n+1)
	return b.String()
}

func TestResolve(t *testing.T) {
	fsys := treetest.FS(t, linkTree+"\n"+chain(45))
	for _, c := range []struct {
		path  string
		want  string // path, or the error
		links string
	}{
		{"/", "/", ""},
		{"", "no such file or directory", ""},
		{"a/f", "/a/f", ""},
		{"//a//./d/../f", "/a/f", ""},
		{"/../../a", "/a", ""},
		{"/l/f", "/a/f", "/l"},
		{"/l/", "/a", "/l"},
		{"/abs/x", "/a/d/x", "/abs"},
		{"/up", "/a", "/up"},
		{"/up/back/x", "/a/d/x", "/up /a/back /l"},
		{"/a/rel", "/a/d/x", "/a/rel"},
		{"/file", "/a/f", "/file"},
		{"/file/", "not a directory", "/file"},
		{"/file/.", "not a directory", "/file"},
		{"/file/..", "not a directory", "/file"},
		{"/slash", "not a directory", "/slash"},
		{"/dirslash/d", "/a/d", "/dirslash"},
		{"/a/f/x", "not a directory", ""},
		{"/gone", "no such file or directory", "/gone"},
		{"/gone/x", "no such file or directory", "/gone"},
		{"/a/none/..", "no such file or directory", ""},
		{"/root/root/a", "/a", "/root /root"},
		{"/dot/dot/...", "/...", "/dot /dot"},
		{"/c7", "/a", list("/c%d", 7, 46)},                                // 40 links
		{"/c6", "too many levels of symbolic links", list("/c%d", 6, 45)}, // 41
	} {
		n, links, err := fsys.Resolve(c.path)
		got := ""
		if err != nil {
			got = errors.Unwrap(err).Error()
			if pe := (*fs.PathError)(nil); !errors.As(err, &pe) || pe.Path != c.path {
				t.Errorf("Resolve(%q): error %v does not name the path", c.path, err)
			}
		} else {
			got = n.Path()
		}
		var passed []string
		for _, l := range links {
			passed = append(passed, l.Path())
		}
		if got != c.want || strings.Join(passed, " ") != c.links {
			t.Errorf("Resolve(%q) = %q over %v, want %q over [%s]", c.path, got, passed, c.want, c.links)
		}
	}
	for _, path := range []string{"/loop", "/loop1", "/loop/x"} {
		if _, links, err := fsys.Resolve(path); !errors.Is(err, syscall.ELOOP) || len(links) != 40 {
			t.Errorf("Resolve(%q): %v after %d links", path, err, len(links))
		}
	}
	if _, err := fsys.Lookup("/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup of nothing: %v", err)
	}
}

func list(format string, from, to int) string {
	var words []string
	for i := from; i <= to; i++ {
		words = append(words, fmt.Sprintf(format, i))
	}
	return strings.Join(words, " ")
}

func TestResolveFrom(t *testing.T) {
	fsys := treetest.FS(t, linkTree)
	dir, err := fsys.Lookup("/a/d")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"x": "/a/d/x", ".": "/a/d", "../f": "/a/f", "../../../..": "/", "/a/f": "/a/f", "../rel": "/a/d/x",
	} {
		if n, _, err := fsys.ResolveFrom(dir, path); err != nil || n.Path() != want {
			t.Errorf("ResolveFrom(/a/d, %q) = %v, %v, want %s", path, n, err, want)
		}
	}
	if _, _, err := fsys.ResolveFrom(dir.Child("x"), "y"); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("ResolveFrom a file: %v", err)
	}
}

// TestResolveAsKernel asks the kernel for the same paths in an unpacked tree, with
// openat2's RESOLVE_IN_ROOT.
func TestResolveAsKernel(t *testing.T) {
	fsys := treetest.FS(t, linkTree+"\n"+chain(45))
	dir := unpack(t, fsys)
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	if _, err := kernelPath(root, dir, "/", 0); errors.Is(err, unix.ENOSYS) {
		skip.Test(t, "openat2: %v", err)
	}

	names := []string{"", ".", "..", "none"}
	for n := range fsys.All() {
		names = append(names, n.Name())
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		parts := make([]string, 1+rnd.IntN(5))
		for i := range parts {
			parts[i] = names[rnd.IntN(len(names))]
		}
		path := "/" + strings.Join(parts, "/")

		got, gotErr := fsys.Lookup(path)
		want, wantErr := kernelPath(root, dir, path, unix.O_NOFOLLOW)
		compareResolved(t, "Lookup", path, got, gotErr, want, wantErr)

		got, _, gotErr = fsys.Resolve(path)
		want, wantErr = kernelPath(root, dir, path, 0)
		compareResolved(t, "Resolve", path, got, gotErr, want, wantErr)
	}
}

func compareResolved(t *testing.T, what, path string, got *rootfs.Node, gotErr error, want string, wantErr error) {
	t.Helper()
	switch {
	case wantErr != nil && !errors.Is(gotErr, wantErr):
		t.Errorf("%s(%q): %v, the kernel says %v", what, path, gotErr, wantErr)
	case wantErr == nil && (gotErr != nil || got.Path() != want):
		t.Errorf("%s(%q) = %v, %v, the kernel says %s", what, path, got, gotErr, want)
	}
}

// kernelPath resolves path below root and says where it leads. A rename or mount
// anywhere on the machine meanwhile gives EAGAIN (openat2(2)); or the kernel starts
// over by itself, and then counts the links twice. So both are asked again.
func kernelPath(root int, dir, path string, flags uint64) (string, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | flags, Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(root, path, how)
	for again := 0; err == unix.EAGAIN && again < 10000 || err == unix.ELOOP && again < 20; again++ {
		fd, err = unix.Openat2(root, path, how)
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return "/" + strings.TrimPrefix(strings.TrimPrefix(name, dir), "/"), err
}

// unpack makes the files, directories and links of a tree in a new folder.
func unpack(t *testing.T, fsys *rootfs.FS) string {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for n := range fsys.All() {
		path := filepath.Join(dir, n.Path())
		switch i := n.Inode(); {
		case n.Parent() == nil:
		case i.IsDir():
			err = os.Mkdir(path, 0o755)
		case i.IsSymlink():
			err = os.Symlink(i.Target, path)
		default:
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
