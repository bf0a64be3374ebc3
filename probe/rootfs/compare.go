package rootfs

import (
	"bytes"
	"errors"
	"io"
)

// Counterpart is the node of f at the path of n, a node of another tree, without
// following links: trees are laid upon each other name by name. nil if there is none.
func (f *FS) Counterpart(n *Node) *Node {
	if n.Parent() == nil {
		return f.Root()
	}
	dir := f.Counterpart(n.Parent())
	if dir == nil {
		return nil
	}
	return dir.Child(n.Name())
}

// SameContent reports whether a and b yield the same bytes to their ends.
func SameContent(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		na, errA := io.ReadFull(a, bufA)
		nb, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:na], bufB[:nb]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if errA != nil || errB != nil {
			return true, nil
		}
	}
}
