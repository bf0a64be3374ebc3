package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"maps"

	"golang.org/x/sys/unix"

	"slim/minify/keep"
	"slim/probe/rootfs"
)

// writeTar writes the kept entries that base has not, in the selection's order:
// parents before children, siblings sorted.
func (l *Layer) writeTar(ctx context.Context, w io.Writer, sel *keep.Selection, opts Options) error {
	t := tarWriter{
		Writer: tar.NewWriter(w), fs: sel.FS, strip: opts.Strip,
		written: make(map[*rootfs.Inode]string), buf: make([]byte, 256<<10),
	}
	for _, e := range sel.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.Kept || isUnlistedRoot(e.Node) {
			continue
		}
		in, err := hasSame(opts.Base, e.Node, sel.FS)
		if err != nil {
			return err
		}
		if in {
			continue
		}
		size, err := t.entry(e.Node)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Node.Path(), err)
		}
		l.Files++
		l.Bytes += size
	}
	return t.Close()
}

// tarWriter writes names of fs.
type tarWriter struct {
	*tar.Writer
	fs      *rootfs.FS
	strip   bool
	written map[*rootfs.Inode]string // the first name of each inode with several
	buf     []byte
}

// isUnlistedRoot reports whether n is a root directory that no layer of the
// original lists: then the runtime's default stands, as it did before.
func isUnlistedRoot(n *rootfs.Node) bool { return n.Parent() == nil && n.Inode().Layer < 0 }

// entry writes one name and tells the bytes of its content.
func (t *tarWriter) entry(n *rootfs.Node) (int64, error) {
	hdr, err := header(n)
	if err != nil {
		return 0, err
	}
	inode := n.Inode()
	if first, ok := t.written[inode]; ok {
		hdr.Typeflag, hdr.Linkname, hdr.Size, hdr.PAXRecords = tar.TypeLink, first, 0, nil
	} else if len(inode.Names) > 1 && !inode.IsDir() {
		t.written[inode] = hdr.Name
	}
	if hdr.Typeflag != tar.TypeReg {
		return 0, t.WriteHeader(hdr)
	}
	var content io.Reader = t.fs.Content(inode)
	if t.strip {
		if r, size, err := strip(t.fs.Content(inode), inode.Size); err == nil {
			content, hdr.Size = r, size
		}
	}
	if err := t.WriteHeader(hdr); err != nil {
		return 0, err
	}
	// Hide ReaderFrom and WriterTo: they would allocate a buffer for each file.
	return io.CopyBuffer(struct{ io.Writer }{t}, struct{ io.Reader }{content}, t.buf)
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
	below := base.Counterpart(n)
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
	return rootfs.SameContent(base.Content(a), fsys.Content(b))
}
