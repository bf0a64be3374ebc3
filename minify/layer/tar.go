package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"golang.org/x/sys/unix"

	"slim/minify/keep"
	"slim/probe/rootfs"
)

// writeTar writes the kept entries that base has not, in the selection's order:
// parents before children, siblings sorted.
func (l *Layer) writeTar(ctx context.Context, w io.Writer, sel *keep.Selection, base *rootfs.FS) error {
	tw := tar.NewWriter(w)
	written := make(map[*rootfs.Inode]string) // the first name of each inode with several
	buf := make([]byte, 256<<10)
	for _, e := range sel.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.Kept || isUnlistedRoot(e.Node) {
			continue
		}
		in, err := hasSame(base, e.Node, sel.FS)
		if err != nil {
			return err
		}
		if in {
			continue
		}
		if err := l.writeEntry(tw, e.Node, sel.FS, written, buf); err != nil {
			return fmt.Errorf("%s: %w", e.Node.Path(), err)
		}
	}
	return tw.Close()
}

// isUnlistedRoot reports whether n is a root directory that no layer of the
// original lists: then the runtime's default stands, as it did before.
func isUnlistedRoot(n *rootfs.Node) bool { return n.Parent() == nil && n.Inode().Layer < 0 }

func (l *Layer) writeEntry(tw *tar.Writer, n *rootfs.Node, fsys *rootfs.FS, written map[*rootfs.Inode]string, buf []byte) error {
	hdr, err := header(n)
	if err != nil {
		return err
	}
	inode := n.Inode()
	if first, ok := written[inode]; ok {
		hdr.Typeflag, hdr.Linkname, hdr.Size, hdr.PAXRecords = tar.TypeLink, first, 0, nil
	} else if len(inode.Names) > 1 && !inode.IsDir() {
		written[inode] = hdr.Name
	}
	if err := tw.WriteHeader(hdr); err != nil {
		return err
	}
	l.Files++
	if hdr.Typeflag != tar.TypeReg {
		return nil
	}
	l.Bytes += hdr.Size
	// Hide ReaderFrom and WriterTo: they would allocate a buffer for each file.
	_, err = io.CopyBuffer(struct{ io.Writer }{tw}, struct{ io.Reader }{fsys.Content(inode)}, buf)
	return err
}

// header is the tar header of a name: as the PAX format writes it, which falls
// back to plain ustar where that holds everything.
func header(n *rootfs.Node) (*tar.Header, error) {
	i := n.Inode()
	hdr := &tar.Header{
		Format:  tar.FormatPAX,
		Name:    n.Path()[1:],
		Mode:    int64(i.Mode &^ unix.S_IFMT),
		Uid:     int(i.UID),
		Gid:     int(i.GID),
		ModTime: i.MTime,
	}
	switch i.Type() {
	case unix.S_IFREG:
		hdr.Typeflag, hdr.Size = tar.TypeReg, i.Size
	case unix.S_IFDIR:
		hdr.Typeflag, hdr.Name = tar.TypeDir, hdr.Name+"/"
		if n.Parent() == nil {
			hdr.Name = "./"
		}
	case unix.S_IFLNK:
		hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, i.Target
	case unix.S_IFCHR:
		hdr.Typeflag, hdr.Devmajor, hdr.Devminor = tar.TypeChar, int64(i.Major), int64(i.Minor)
	case unix.S_IFBLK:
		hdr.Typeflag, hdr.Devmajor, hdr.Devminor = tar.TypeBlock, int64(i.Major), int64(i.Minor)
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	default:
		return nil, fmt.Errorf("no tar entry for file type %#o", i.Type())
	}
	for name, value := range i.Xattrs {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = make(map[string]string)
		}
		hdr.PAXRecords["SCHILY.xattr."+name] = value
	}
	return hdr, nil
}

// hasSame reports whether base holds the same file under the same name: type,
// mode, owner, attributes and content. The mtime is not compared: the same
// package unpacked by another tool has another, and repeating it for that would
// make a base worthless.
func hasSame(base *rootfs.FS, n *rootfs.Node, fsys *rootfs.FS) (bool, error) {
	if base == nil {
		return false, nil
	}
	below := find(base, n)
	if below == nil {
		return false, nil
	}
	a, b := below.Inode(), n.Inode()
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.Size != b.Size && !a.IsDir() ||
		a.Target != b.Target || a.Major != b.Major || a.Minor != b.Minor || !maps.Equal(a.Xattrs, b.Xattrs) {
		return false, nil
	}
	if !a.IsRegular() {
		return true, nil
	}
	return sameContent(base.Content(a), fsys.Content(b))
}

// find looks a name up without following links: the layer's entries replace the
// base's name by name.
func find(base *rootfs.FS, n *rootfs.Node) *rootfs.Node {
	if n.Parent() == nil {
		return base.Root()
	}
	dir := find(base, n.Parent())
	if dir == nil {
		return nil
	}
	return dir.Child(n.Name())
}

func sameContent(a, b io.Reader) (bool, error) {
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
