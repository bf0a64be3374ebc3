package rootfs_test

import (
	"slices"
	"strings"
	"testing"

	"slim/probe/rootfs"
)

// checkTree asserts what must hold for every tree.
func checkTree(t testing.TB, fsys *rootfs.FS) {
	t.Helper()
	seen := make(map[*rootfs.Node]bool)
	inodes := make(map[uint64]*rootfs.Inode)
	var size int64
	xattrs := false
	for n := range fsys.All() {
		i, path := n.Inode(), n.Path()
		switch {
		case n.Parent() == nil && (n != fsys.Root() || path != "/" || i.Ino != 1):
			t.Errorf("%q: no parent", path)
		case n.Parent() != nil && !seen[n.Parent()]:
			t.Errorf("%q before its parent", path)
		case n.Parent() != nil && n.Parent().Child(n.Name()) != n:
			t.Errorf("%q is not the child of its parent", path)
		case n.Parent() != nil && (strings.Contains(n.Name(), "/") || slices.Contains([]string{"", ".", ".."}, n.Name())):
			t.Errorf("%q is no name", n.Name())
		case len(path) > 4095:
			t.Errorf("path of %d bytes", len(path))
		case !i.IsDir() && len(n.Children()) > 0:
			t.Errorf("%q has children", path)
		case !slices.IsSortedFunc(n.Children(), func(a, b *rootfs.Node) int { return strings.Compare(a.Name(), b.Name()) }):
			t.Errorf("%q: children not sorted", path)
		case !slices.Contains(i.Names, n):
			t.Errorf("%q is not among the names of its inode", path)
		case i.IsDir() && len(i.Names) != 1:
			t.Errorf("directory %q has %d names", path, len(i.Names))
		case inodes[i.Ino] != nil && inodes[i.Ino] != i:
			t.Errorf("%q: inode number %d twice", path, i.Ino)
		}
		if found, err := fsys.Lookup(path); err != nil || found != n {
			t.Errorf("Lookup(%q) gives %v, %v", path, found, err)
		}
		if inodes[i.Ino] == nil && i.IsRegular() {
			size += i.Size
			if got := fsys.Content(i).Size(); got != i.Size {
				t.Errorf("%q: content of %d bytes instead of %d", path, got, i.Size)
			}
		}
		xattrs = xattrs || i.Xattrs != nil
		inodes[i.Ino] = i
		seen[n] = true
	}
	names := 0
	for _, i := range inodes {
		names += len(i.Names)
		for _, n := range i.Names {
			if !seen[n] {
				t.Errorf("inode %d has the name %q, which is not in the tree", i.Ino, n.Path())
			}
		}
	}
	if names != fsys.Len() || len(seen) != fsys.Len() {
		t.Errorf("Len is %d; %d nodes, %d names of inodes", fsys.Len(), len(seen), names)
	}
	if size != fsys.Size() || xattrs != fsys.HasXattrs() {
		t.Errorf("Size is %d instead of %d, HasXattrs %t", fsys.Size(), size, fsys.HasXattrs())
	}
}
