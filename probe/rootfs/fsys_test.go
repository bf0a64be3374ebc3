package rootfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

const fsTree = `
	dir   /etc 0700 1:2
	file  /etc/motd 0644 "hello, world\n"
	file  /etc/empty
	file  "/etc/a b" "x"
	hard  /etc/motd2 => /etc/motd
	link  /etc/rel -> ../bin/tool
	file  /bin/tool 06755 "#!/bin/sh\n"
	link  /sbin -> /bin
	dir   /tmp 01777
	char  /dev/null 0666 1:3
	block /dev/sda 0660 8:1
	fifo  /run/p 0600
	file  /big size=100000`

func TestFSTest(t *testing.T) {
	fsys := treetest.FS(t, fsTree)
	if err := fstest.TestFS(fsys, "etc/motd", "etc/a b", "etc/rel", "sbin", "bin/tool", "dev/null", "big"); err != nil {
		t.Error(err)
	}
	sub, err := fs.Sub(fsys, "etc")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "motd", "rel"); err != nil {
		t.Error(err)
	}
}

func TestStat(t *testing.T) {
	fsys := treetest.FS(t, fsTree)
	for _, c := range []struct {
		stat       func(string) (fs.FileInfo, error)
		path, want string
		node       string
	}{
		{fsys.Stat, ".", "drwxr-xr-x 0 1970-01-01 00:00:00 ./", "/"},
		{fsys.Stat, "etc", "drwx------ 0 2020-01-02 03:04:05 etc/", "/etc"},
		{fsys.Stat, "etc/rel", "ugrwxr-xr-x 10 2020-01-02 03:04:05 rel", "/bin/tool"},
		{fsys.Lstat, "etc/rel", "Lrwxrwxrwx 11 2020-01-02 03:04:05 rel", "/etc/rel"},
		{fsys.Lstat, "sbin/tool", "ugrwxr-xr-x 10 2020-01-02 03:04:05 tool", "/bin/tool"},
		{fsys.Stat, "tmp", "dtrwxrwxrwx 0 2020-01-02 03:04:05 tmp/", "/tmp"},
		{fsys.Stat, "dev/null", "Dcrw-rw-rw- 0 2020-01-02 03:04:05 null", "/dev/null"},
		{fsys.Stat, "dev/sda", "Drw-rw---- 0 2020-01-02 03:04:05 sda", "/dev/sda"},
		{fsys.Stat, "run/p", "prw------- 0 2020-01-02 03:04:05 p", "/run/p"},
	} {
		info, err := c.stat(c.path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := fs.FormatFileInfo(info); got != c.want {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
		if n, ok := info.Sys().(*rootfs.Node); !ok || n.Path() != c.node {
			t.Errorf("%s: Sys is %v, want the node of %s", c.path, info.Sys(), c.node)
		}
	}
}

func TestFSErrors(t *testing.T) {
	fsys := treetest.FS(t, fsTree)
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"Open", second(fsys.Open("etc/none")), fs.ErrNotExist},
		{"Open absolute", second(fsys.Open("/etc")), fs.ErrInvalid},
		{"Open slash", second(fsys.Open("etc/")), fs.ErrInvalid},
		{"Stat dots", second(fsys.Stat("etc/../etc")), fs.ErrInvalid},
		{"ReadDir of a file", second(fsys.ReadDir("etc/motd")), syscall.ENOTDIR},
		{"ReadFile of a directory", second(fsys.ReadFile("etc")), syscall.EISDIR},
		{"ReadLink of a file", second(fsys.ReadLink("etc/motd")), syscall.EINVAL},
	} {
		if pe := (*fs.PathError)(nil); !errors.Is(c.err, c.want) || !errors.As(c.err, &pe) {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		}
	}
	if target, err := fsys.ReadLink("sbin"); target != "/bin" || err != nil {
		t.Errorf("ReadLink: %q, %v", target, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestOddNames opens what a directory lists, whatever bytes the name has.
func TestOddNames(t *testing.T) {
	fsys := treetest.FS(t, `file "/\xff" "1"
		file "/a\\b" "2"
		file "/new\nline" "3"`)
	list, err := fsys.ReadDir(".")
	if err != nil || len(list) != 3 {
		t.Fatalf("ReadDir: %v, %v", list, err)
	}
	for _, e := range list {
		if data, err := fsys.ReadFile(e.Name()); err != nil || len(data) != 1 {
			t.Errorf("ReadFile(%q) = %q, %v", e.Name(), data, err)
		}
	}
}

func TestContent(t *testing.T) {
	fsys := treetest.FS(t, fsTree)
	n, err := fsys.Lookup("/etc/motd2")
	if err != nil {
		t.Fatal(err)
	}
	r := fsys.Content(n.Inode())
	buf := make([]byte, 5)
	if allocs := testing.AllocsPerRun(100, func() { r.ReadAt(buf, 7) }); allocs != 0 {
		t.Errorf("%v allocations per read", allocs)
	}
	if string(buf) != "world" {
		t.Errorf("read %q", buf)
	}
	null, err := fsys.Lookup("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(fsys.Content(null.Inode())); len(data) > 0 || err != nil {
		t.Errorf("content of a device: %q, %v", data, err)
	}
	if err := fsys.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(buf, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if got := n.Inode().MTime; !got.Equal(treetest.MTime) || got.Location() != time.UTC {
		t.Errorf("mtime %v", got)
	}
}
