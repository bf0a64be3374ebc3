package rootfs

import (
	"archive/tar"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileTypes are the st_mode bits of a tar entry's type.
var fileTypes = map[byte]uint32{
	tar.TypeReg:       unix.S_IFREG,
	tar.TypeCont:      unix.S_IFREG,
	tar.TypeGNUSparse: unix.S_IFREG,
	tar.TypeDir:       unix.S_IFDIR,
	tar.TypeSymlink:   unix.S_IFLNK,
	tar.TypeChar:      unix.S_IFCHR,
	tar.TypeBlock:     unix.S_IFBLK,
	tar.TypeFifo:      unix.S_IFIFO,
}

// inode is what a header says of a file whose content lies at data.
func (t *layerTree) inode(hdr *tar.Header, data content) (*Inode, error) {
	typ, ok := fileTypes[hdr.Typeflag]
	if !ok {
		return nil, fmt.Errorf("unknown type %q", hdr.Typeflag)
	}
	i := &Inode{
		Mode:  typ | uint32(hdr.Mode&0o7777),
		MTime: hdr.ModTime.UTC(),
		Layer: t.index,
	}
	var err error
	if i.UID, err = id("owner", hdr.Uid); err != nil {
		return nil, err
	}
	if i.GID, err = id("group", hdr.Gid); err != nil {
		return nil, err
	}
	if i.Xattrs, err = xattrs(hdr.PAXRecords); err != nil {
		return nil, err
	}
	switch typ {
	case unix.S_IFREG:
		if hdr.Size > maxFileSize {
			return nil, fmt.Errorf("%d bytes: %w", hdr.Size, syscall.EFBIG)
		}
		i.Size, i.content = hdr.Size, data
	case unix.S_IFLNK:
		i.Target, err = target(hdr.Linkname)
		i.Size = int64(len(i.Target))
	case unix.S_IFCHR, unix.S_IFBLK:
		i.Major, i.Minor, err = device(hdr.Devmajor, hdr.Devminor)
	}
	return i, err
}

// id checks a user or group number; the highest one means "no change" to chown(2).
func id(what string, n int) (uint32, error) {
	if n < 0 || int64(n) >= math.MaxUint32 {
		return 0, fmt.Errorf("%s %d is out of range", what, n)
	}
	return uint32(n), nil
}

// device checks a device number against the kernel's 12 and 20 bits.
func device(major, minor int64) (uint32, uint32, error) {
	if major < 0 || major >= 1<<12 || minor < 0 || minor >= 1<<20 {
		return 0, 0, fmt.Errorf("device %d:%d is out of range", major, minor)
	}
	return uint32(major), uint32(minor), nil
}

// target checks a symbolic link's target as symlink(2) does; where it leads is
// nobody's business here.
func target(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("a symbolic link to nothing")
	case len(s) > maxPathLen:
		return "", fmt.Errorf("symbolic link: %w", syscall.ENAMETOOLONG)
	case strings.IndexByte(s, 0) >= 0:
		return "", errors.New("a NUL in the target")
	}
	return strings.Clone(s), nil
}

// The PAX records that carry extended attributes: star's and GNU tar's, as raw
// bytes, which Docker writes; and libarchive's, with the name URL-encoded and the
// value in base64 (archive_write_set_format_pax.c).
const (
	paxSchily     = "SCHILY.xattr."
	paxLibarchive = "LIBARCHIVE.xattr."
)

// xattrs collects the extended attributes of a header, nil if it has none.
func xattrs(pax map[string]string) (map[string]string, error) {
	var attrs map[string]string
	for key, value := range pax {
		name, schily := strings.CutPrefix(key, paxSchily)
		if !schily {
			encoded, ok := strings.CutPrefix(key, paxLibarchive)
			if !ok {
				continue
			}
			var err error
			if name, value, err = libarchive(encoded, value); err != nil {
				return nil, fmt.Errorf("PAX record %q: %w", key, err)
			}
			if _, ok := pax[paxSchily+name]; ok {
				continue
			}
		}
		if name == "" || len(name) > maxNameLen || strings.IndexByte(name, 0) >= 0 || len(value) > maxXattrLen {
			return nil, fmt.Errorf("extended attribute %.300q: name or value out of range", name)
		}
		if attrs == nil {
			attrs = make(map[string]string)
		}
		// A record is a piece of the whole extended header: keep only the piece.
		attrs[strings.Clone(name)] = strings.Clone(value)
	}
	return attrs, nil
}

func libarchive(name, value string) (string, string, error) {
	name, err := url.PathUnescape(name)
	if err != nil {
		return "", "", err
	}
	// libarchive writes no padding.
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	return name, string(raw), err
}
