package rootfs_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

func loadCached(t *testing.T, img v1.Image, dir string) {
	t.Helper()
	fsys, err := rootfs.Load(context.Background(), img, rootfs.Options{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	if got := treetest.Dump(fsys); got != treetest.Canon(small) {
		t.Errorf("tree %s", got)
	}
}

func TestCache(t *testing.T) {
	tar := treetest.Tar(t, small)
	b := newBlob(t, gzipped(tar), tar)
	img := treetest.ImageOf(t, b)
	dir := filepath.Join(t.TempDir(), "to", "make")
	path := filepath.Join(dir, "sha256", b.diffID.Hex)
	for _, c := range []struct {
		what   string
		change func() error
		opened int32 // how often the blob has been read by then
	}{
		{"empty", func() error { return nil }, 1},
		{"full", func() error { return nil }, 1},
		{"cut short", func() error { return os.Truncate(path, 100) }, 2},
		{"of zeros", func() error { return os.WriteFile(path, make([]byte, len(tar)), 0o600) }, 3},
		{"again full", func() error { return nil }, 3},
		{"gone", func() error { return os.Remove(path) }, 4},
		{"a link", func() error {
			if err := os.Rename(path, path+"x"); err != nil {
				return err
			}
			defer os.Remove(path + "x")
			return os.Symlink(path+"x", path)
		}, 5},
		{"a fifo", func() error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) }, 6},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		loadCached(t, img, dir)
		if got := b.opened.Load(); got != c.opened {
			t.Errorf("cache %s: blob read %d times, want %d", c.what, got, c.opened)
		}
		if n := checkCache(t, dir); n != 1 {
			t.Errorf("cache %s: %d layers afterwards", c.what, n)
		}
	}
	for _, p := range []string{dir, path} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v, %v", p, info.Mode(), err)
		}
	}
}

// TestCacheShared loads one image many times at once.
func TestCacheShared(t *testing.T) {
	img := treetest.Image(t, small)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { loadCached(t, img, dir) })
	}
	wg.Wait()
	if n := checkCache(t, dir); n != 1 {
		t.Errorf("%d layers in the cache", n)
	}
}

// TestLeftOvers: what a killed run leaves is removed, what a living one is
// writing is not.
func TestLeftOvers(t *testing.T) {
	dir := t.TempDir()
	dead, alive, other := filepath.Join(dir, ".tmp-1"), filepath.Join(dir, ".tmp-2"), filepath.Join(dir, "other")
	for _, path := range []string{dead, alive, other} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	loadCached(t, treetest.Image(t, small), dir)
	for path, want := range map[string]bool{dead: false, alive: true, other: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestNamed: the other way to write a file, while another run sweeps the folder.
func TestNamed(t *testing.T) {
	dir := t.TempDir()
	tar := treetest.Tar(t, small)
	other := treetest.Image(t, small+" 1:1")
	sweep := func() {
		if fsys, err := rootfs.Load(context.Background(), other, rootfs.Options{CacheDir: dir}); err != nil {
			t.Error(err)
		} else {
			fsys.Close()
		}
	}
	b := newBlob(t, nil, tar) // must not be read
	if err := rootfs.StoreNamed(dir, b.diffID, tar, sweep); err != nil {
		t.Fatal(err)
	}
	loadCached(t, treetest.ImageOf(t, b), dir)
	if b.opened.Load() != 0 || checkCache(t, dir) != 2 {
		t.Error("the layer is not in the cache")
	}
}

// TestNoCache: without a folder nothing has a name.
func TestNoCache(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	fsys := treetest.FS(t, small)
	if list, err := os.ReadDir(dir); len(list) > 0 || err != nil {
		t.Errorf("in the temporary folder: %v, %v", list, err)
	}
	if data, err := fsys.ReadFile("a"); string(data) != "content" || err != nil {
		t.Errorf("content %q, %v", data, err)
	}
}

// TestCacheUnusable: an error of this machine, which names the path.
func TestCacheUnusable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := rootfs.Load(context.Background(), treetest.Image(t, small), rootfs.Options{CacheDir: dir})
	if err == nil || errors.Is(err, rootfs.ErrInput) || !strings.Contains(err.Error(), dir) {
		t.Errorf("cache folder that is a file: %v", err)
	}
}

// TestDiskFull: an error of this machine too, and the source is not read on.
func TestDiskFull(t *testing.T) {
	tar := treetest.Tar(t, "file /a size=3000000")
	b := newBlob(t, gzipped(tar), tar)
	n, err := rootfs.Unpack(context.Background(), b, b.diffID, &shortWriter{left: 1 << 20})
	if !errors.Is(err, unix.ENOSPC) || errors.Is(err, rootfs.ErrInput) || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

// shortWriter is a disk with little space.
type shortWriter struct{ left int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, unix.ENOSPC
	}
	w.left -= len(p)
	return len(p), nil
}

var _ io.Writer = (*shortWriter)(nil)
