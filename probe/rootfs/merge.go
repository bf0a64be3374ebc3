package rootfs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
)

// apply lays one layer over the tree.
func (f *FS) apply(t *layerTree) error {
	if err := f.bindLinks(t); err != nil {
		return err
	}
	t.merge(f.root, t.root)
	return nil
}

// bindLinks gives the hard links to lower layers the inodes they name. The target
// is looked up in the tree as it is without this layer.
func (f *FS) bindLinks(t *layerTree) error {
	if len(t.low) == 0 {
		return nil
	}
	bound := make(map[*Inode]*Inode, len(t.low))
	var err error
	t.root.walk(func(n *Node) bool {
		target, ok := t.low[n.inode]
		if !ok {
			return true
		}
		if bound[n.inode] == nil {
			var to *Node
			to, err = f.Lookup(target)
			if err == nil && to.inode.IsDir() {
				err = syscall.EISDIR
			}
			if err != nil {
				err = entryError(fmt.Sprintf("entry %q", n.Path()[1:]), fmt.Errorf("hard link to %q: %w", target, cause(err)))
				return false
			}
			bound[n.inode] = to.inode
		}
		n.inode = bound[n.inode]
		return true
	})
	return err
}

// merge lays the directory upper of a layer over the directory lower of the tree.
func (t *layerTree) merge(lower, upper *Node) {
	// A directory that the layer only implies keeps the attributes it has below, as
	// containerd does; Docker's overlay2 resets them to 0755 root.
	if upper.inode.Layer >= 0 {
		lower.inode = upper.inode
	}
	keep := lower.children
	if t.opaque[upper] {
		keep = nil
	} else if hidden := t.hidden[upper]; len(hidden) > 0 {
		slices.Sort(hidden)
		keep = slices.DeleteFunc(keep, func(n *Node) bool {
			_, found := slices.BinarySearch(hidden, n.name)
			return found
		})
	}
	sortNodes(upper.children)
	lower.children = t.mergeLists(lower, keep, upper.children)
}

// mergeLists merges two sorted lists of names into parent's.
func (t *layerTree) mergeLists(parent *Node, lower, upper []*Node) []*Node {
	if len(upper) == 0 {
		return lower
	}
	merged := make([]*Node, 0, max(len(lower), len(upper)))
	for _, u := range upper {
		i := 0
		for i < len(lower) && lower[i].name < u.name {
			i++
		}
		merged, lower = append(merged, lower[:i]...), lower[i:]
		if len(lower) > 0 && lower[0].name == u.name {
			l := lower[0]
			lower = lower[1:]
			if l.inode.IsDir() && u.inode.IsDir() {
				t.merge(l, u)
				merged = append(merged, l)
				continue
			}
		}
		u.parent = parent
		sortTree(u)
		merged = append(merged, u)
	}
	return append(merged, lower...)
}

func sortNodes(nodes []*Node) {
	slices.SortFunc(nodes, func(a, b *Node) int { return strings.Compare(a.name, b.name) })
}

func sortTree(n *Node) {
	sortNodes(n.children)
	for _, c := range n.children {
		sortTree(c)
	}
}

// finish numbers the inodes, gives them their names and sums up.
func (f *FS) finish() error {
	for range f.All() {
		f.names++
	}
	slab := make([]*Node, 0, f.names)
	for n := range f.All() {
		i := n.inode
		if i.Ino != 0 {
			i.Names = append(i.Names, n)
			continue
		}
		slab = append(slab, n)
		i.Names = slab[len(slab)-1 : len(slab) : len(slab)]
		i.Ino = uint64(len(slab))
		f.xattrs = f.xattrs || i.Xattrs != nil
		if !i.IsRegular() {
			continue
		}
		if i.Size > math.MaxInt64-f.size {
			return fmt.Errorf("%w: all files together: %w", ErrInput, syscall.EFBIG)
		}
		f.size += i.Size
	}
	return nil
}

// cause strips operation and path, which the caller says better.
func cause(err error) error {
	if e := errors.Unwrap(err); e != nil {
		return e
	}
	return err
}
