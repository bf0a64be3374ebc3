package rootfs

import (
	"archive/tar"
	"errors"
	"path"
	"strings"
	"syscall"
)

// Names with a meaning, from AUFS: see "Whiteouts" in layer.md of the OCI image
// spec. Names that begin with whiteoutMeta are AUFS's own records; but for the
// opaque marker they are not part of the tree.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
	whiteoutLinks  = ".wh..wh.plnk"
)

// whiteout hides what lower layers have: one name of parent, or all of them. What
// this layer itself puts there stays, whatever the order in the archive.
func (t *layerTree) whiteout(parent *Node, base string) error {
	name := base[len(whiteoutPrefix):]
	switch {
	case base == whiteoutOpaque:
		t.opaque[parent] = true
		return nil
	case strings.HasPrefix(base, whiteoutMeta):
		return nil
	case name == "" || name == "." || name == "..":
		return errors.New("a whiteout of nothing")
	}
	if err := t.count.add(); err != nil {
		return err
	}
	t.hidden[parent] = append(t.hidden[parent], strings.Clone(name))
	return nil
}

// addAufs takes in what AUFS kept at the top of a layer. Its hard links all point
// to files in one folder, so these are remembered; the rest means nothing.
func (t *layerTree) addAufs(name string, hdr *tar.Header, data content) error {
	dir, base := path.Split(name)
	if dir != whiteoutLinks+"/" || hdr.Typeflag == tar.TypeDir {
		return nil
	}
	if hdr.Typeflag == tar.TypeLink {
		return syscall.EINVAL
	}
	if err := t.count.add(); err != nil {
		return err
	}
	inode, err := t.inode(hdr, data)
	if err != nil {
		return err
	}
	t.aufs[strings.Clone(base)] = inode
	return nil
}
