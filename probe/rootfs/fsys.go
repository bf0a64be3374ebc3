package rootfs

import (
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

// validPath is fs.ValidPath for names that are bytes: it does not ask for UTF-8,
// so that whatever a directory lists can be opened.
func validPath(name string) bool {
	if name == "." {
		return true
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// find looks a name up for the methods of io/fs.
func (f *FS) find(op, name string, follow bool) (*Node, error) {
	if !validPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	w := walker{root: f.root}
	n, err := w.walk(f.root, name, follow)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, nil
}

// Open opens a file, following links. What is neither a regular file nor a
// directory (a device, a fifo) opens as empty.
func (f *FS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	info := fileInfo{n, baseName(name)}
	if n.inode.IsDir() {
		return &dirFile{info: info, rest: n.children}, nil
	}
	return &file{SectionReader: f.Content(n.inode), info: info}, nil
}

// Stat describes a file, following links. Its Sys is the *Node.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	n, err := f.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return fileInfo{n, baseName(name)}, nil
}

// Lstat describes a file without following a link at the end of name. Its Sys is
// the *Node.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return fileInfo{n, baseName(name)}, nil
}

// ReadDir lists a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !n.inode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	return dirEntries(n.children), nil
}

// maxReadFile bounds what ReadFile takes into memory: a sparse file of a few bytes
// can claim to be larger than that.
const maxReadFile = 256 << 20

// ReadFile reads a whole regular file into memory. One of more than 256 MiB gives
// syscall.EFBIG and is to be read through Content.
func (f *FS) ReadFile(name string) ([]byte, error) {
	n, err := f.find("readfile", name, true)
	if err != nil {
		return nil, err
	}
	if n.inode.IsDir() {
		return nil, &fs.PathError{Op: "readfile", Path: name, Err: syscall.EISDIR}
	}
	r := f.Content(n.inode)
	if r.Size() > maxReadFile {
		return nil, &fs.PathError{Op: "readfile", Path: name, Err: syscall.EFBIG}
	}
	data := make([]byte, r.Size())
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, &fs.PathError{Op: "readfile", Path: name, Err: err}
	}
	return data, nil
}

// ReadLink is the target of a symbolic link, as written.
func (f *FS) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !n.inode.IsSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
	}
	return n.inode.Target, nil
}

func baseName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// fileInfo describes a node under the name it was asked for by: a link's own name
// where a link led to the node.
type fileInfo struct {
	n    *Node
	name string
}

func (i fileInfo) Name() string               { return i.name }
func (i fileInfo) Size() int64                { return i.n.inode.Size }
func (i fileInfo) Mode() fs.FileMode          { return i.n.inode.fileMode() }
func (i fileInfo) ModTime() time.Time         { return i.n.inode.MTime }
func (i fileInfo) IsDir() bool                { return i.n.inode.IsDir() }
func (i fileInfo) Sys() any                   { return i.n }
func (i fileInfo) Type() fs.FileMode          { return i.Mode().Type() }
func (i fileInfo) Info() (fs.FileInfo, error) { return i, nil }
func (i fileInfo) String() string             { return fs.FormatFileInfo(i) }

// fileMode is the mode as package io/fs writes it.
func (i *Inode) fileMode() fs.FileMode {
	m := fs.FileMode(i.Mode & 0o777)
	switch i.Type() {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	}
	if i.Mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if i.Mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if i.Mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}

func dirEntries(nodes []*Node) []fs.DirEntry {
	list := make([]fs.DirEntry, len(nodes))
	for i, n := range nodes {
		list[i] = fileInfo{n, n.name}
	}
	return list
}

// file is an open file that is not a directory.
type file struct {
	*io.SectionReader
	info fileInfo
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// dirFile is an open directory.
type dirFile struct {
	info fileInfo
	rest []*Node
}

func (d *dirFile) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dirFile) Close() error               { return nil }

func (d *dirFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: syscall.EISDIR}
}

func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	list := dirEntries(d.rest[:n])
	d.rest = d.rest[n:]
	return list, nil
}
