package rootfs

import (
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Inode is what hard links share: everything a tar header says of a file
// except its name. It must not be changed once its FS is loaded.
type Inode struct {
	// Ino numbers the inode within its FS, from 1 (the root).
	Ino uint64
	// Mode is the Linux st_mode: type bits (S_IFREG, S_IFDIR, …), permissions,
	// setuid, setgid and sticky bits.
	Mode uint32
	// UID and GID are the owner, as numbers.
	UID, GID uint32
	// MTime is the modification time, to the nanosecond where the archive says it.
	MTime time.Time
	// Size is the length of the content in bytes: that of the file for a regular
	// file, of the target for a symbolic link, otherwise 0.
	Size int64
	// Major and Minor are a device node's numbers.
	Major, Minor uint32
	// Target is a symbolic link's target, as written.
	Target string
	// Xattrs are the extended attributes by full name ("security.capability",
	// "user.x"), values as raw bytes; nil where there are none.
	Xattrs map[string]string
	// Names are the paths of this inode in the merged tree, in no given order;
	// more than one for a file with hard links.
	Names []*Node
	// Layer is the index of the image layer the inode comes from, from 0 (the
	// lowest); -1 for a directory that no layer lists.
	Layer int

	content content
}

// Type returns the S_IFMT part of the mode.
func (i *Inode) Type() uint32 { return i.Mode & unix.S_IFMT }

// IsDir reports whether the inode is a directory.
func (i *Inode) IsDir() bool { return i.Type() == unix.S_IFDIR }

// IsRegular reports whether the inode is a regular file.
func (i *Inode) IsRegular() bool { return i.Type() == unix.S_IFREG }

// IsSymlink reports whether the inode is a symbolic link.
func (i *Inode) IsSymlink() bool { return i.Type() == unix.S_IFLNK }

// Node is one name in the merged tree. Two hard links are two nodes of one
// inode. It must not be changed once its FS is loaded.
type Node struct {
	name     string
	parent   *Node
	inode    *Inode
	children []*Node // sorted by name once loaded
}

// Name is the last element of the path; "/" for the root.
func (n *Node) Name() string { return n.name }

// Parent is the directory that holds the name; nil for the root.
func (n *Node) Parent() *Node { return n.parent }

// Inode is the file behind the name.
func (n *Node) Inode() *Inode { return n.inode }

// Children are a directory's entries, sorted by name (byte order). The slice
// belongs to the tree and must not be changed.
func (n *Node) Children() []*Node { return n.children }

// Child finds an entry of a directory by name, nil if there is none.
func (n *Node) Child(name string) *Node {
	i := sort.Search(len(n.children), func(i int) bool { return n.children[i].name >= name })
	if i < len(n.children) && n.children[i].name == name {
		return n.children[i]
	}
	return nil
}

// Path is the absolute, clean path of the name: "/usr/bin/env"; "/" for the root.
// File names are bytes: a path may hold a newline or invalid UTF-8.
func (n *Node) Path() string {
	if n.parent == nil {
		return "/"
	}
	var parts []string
	for ; n.parent != nil; n = n.parent {
		parts = append(parts, n.name)
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	return b.String()
}
