package treetest

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
)

// longContent is where Dump prints a hash instead of the content.
const longContent = 200

// Dump writes a tree in the notation, sorted by path. The root is there only if a
// layer lists it. The first name of an inode has its attributes, the others are
// hard links to it. A long content that is not all zeros shows as size and hash.
func Dump(fsys *rootfs.FS) string {
	nodes := slices.Collect(fsys.All())
	paths := make(map[*rootfs.Node]string, len(nodes))
	for _, n := range nodes {
		paths[n] = n.Path()
	}
	slices.SortFunc(nodes, func(a, b *rootfs.Node) int { return strings.Compare(paths[a], paths[b]) })
	first := make(map[*rootfs.Inode]string)
	var b strings.Builder
	for _, n := range nodes {
		i := n.Inode()
		if n.Parent() == nil && i.Layer < 0 {
			continue
		}
		var e Entry
		if target, ok := first[i]; ok {
			e = Entry{Kind: "hard", Path: paths[n], Target: target}
		} else {
			first[i] = paths[n]
			e = inodeEntry(fsys, i, paths[n])
		}
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

var kinds = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "link",
	unix.S_IFCHR: "char", unix.S_IFBLK: "block", unix.S_IFIFO: "fifo",
}

func inodeEntry(fsys *rootfs.FS, i *rootfs.Inode, name string) Entry {
	e := Entry{
		Kind: kinds[i.Type()], Path: name, Mode: int64(i.Mode & 0o7777),
		UID: int(i.UID), GID: int(i.GID), Major: int64(i.Major), Minor: int64(i.Minor),
		Target: i.Target, MTime: i.MTime, Xattrs: i.Xattrs,
	}
	if i.IsRegular() {
		e.Size = i.Size
		if err := e.setContent(fsys.Content(i)); err != nil {
			e.Digest = fmt.Sprintf("%q", err.Error())
		}
	}
	return e
}

// setContent reads the content: kept if it is short, else its hash, and neither
// if it is all zeros.
func (e *Entry) setContent(r io.Reader) error {
	short, err := io.ReadAll(io.LimitReader(r, longContent))
	if err != nil {
		return err
	}
	if e.Size <= longContent && int64(len(short)) == e.Size {
		e.Content = string(short)
		return nil
	}
	h := sha256.New()
	h.Write(short)
	zero := !slices.ContainsFunc(short, func(c byte) bool { return c != 0 })
	n := int64(len(short))
	buf := make([]byte, 64<<10)
	for {
		k, err := r.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		zero = zero && !slices.ContainsFunc(buf[:k], func(c byte) bool { return c != 0 })
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if n != e.Size {
		return fmt.Errorf("%d bytes instead of %d", n, e.Size)
	}
	if !zero {
		e.Digest = fmt.Sprintf("%.6x", h.Sum(nil))
	}
	return nil
}

// DumpTar writes the entries of a tar archive in the notation, in the order of the
// archive: whiteouts as such, names absolute and clean.
func DumpTar(r io.Reader) (string, error) {
	var b strings.Builder
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		e, err := headerEntry(hdr, tr)
		if err != nil {
			return b.String(), fmt.Errorf("%s: %w", hdr.Name, err)
		}
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
}

func headerEntry(hdr *tar.Header, r io.Reader) (Entry, error) {
	e := Entry{
		Path: path.Clean("/" + hdr.Name), Mode: hdr.Mode & 0o7777, UID: hdr.Uid, GID: hdr.Gid,
		Major: hdr.Devmajor, Minor: hdr.Devminor, Target: hdr.Linkname, MTime: hdr.ModTime,
	}
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			if e.Xattrs == nil {
				e.Xattrs = make(map[string]string)
			}
			e.Xattrs[name] = value
		}
	}
	dir, base := path.Split(e.Path)
	hidden, isWhiteout := strings.CutPrefix(base, ".wh.")
	switch {
	case base == ".wh..wh..opq":
		e.Kind, e.Path = "opaque", path.Clean(dir)
		return e, nil
	case isWhiteout:
		e.Kind, e.Path = "white", path.Join(dir, hidden)
		return e, nil
	}
	for kind, flag := range typeflags {
		if flag == hdr.Typeflag && kind != "white" && kind != "opaque" {
			e.Kind = kind
		}
	}
	switch e.Kind {
	case "":
		return e, fmt.Errorf("unknown type %q", hdr.Typeflag)
	case "hard":
		e.Target = path.Clean("/" + hdr.Linkname)
	case "file":
		e.Size = hdr.Size
		return e, e.setContent(r)
	}
	return e, nil
}
