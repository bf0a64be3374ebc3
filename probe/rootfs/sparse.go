package rootfs

import (
	"archive/tar"
	"io"
	"os"
)

// extent is a piece of a sparse file that has content: length bytes at offset,
// which lie in the layer's file at data.
type extent struct {
	offset, length, data int64
}

func isSparse(hdr *tar.Header) bool { return false }

func sparseExtents(hdr *tar.Header, data content, start int64) ([]extent, error) { return nil, nil }

// sparseFile reads a sparse file: its extents, and zeros between them.
type sparseFile struct {
	blob    *os.File
	extents []extent
}

func (s *sparseFile) ReadAt(p []byte, off int64) (int, error) { return 0, io.EOF }
