package rootfs

import (
	"fmt"
	"io"
	"os"
)

// content says where the bytes of a regular file lie.
type content struct {
	blob   *os.File
	offset int64
	// extents are the pieces of a sparse file, in order; not nil if it is one.
	extents []extent
}

// position reads a flat layer file for the tar reader. That reader takes whole
// blocks without reading ahead and skips content by Seek, so that off tells where
// the content of the entry just returned begins.
type position struct {
	r    io.ReaderAt
	size int64
	off  int64

	buf   [4096]byte // what was read last
	start int64
	n     int
	err   error // of r
}

func (p *position) Read(b []byte) (int, error) {
	if p.off >= p.size {
		return 0, io.EOF
	}
	if p.off < p.start || p.off >= p.start+int64(p.n) {
		p.start = p.off
		n, err := p.r.ReadAt(p.buf[:min(int64(len(p.buf)), p.size-p.off)], p.off)
		if p.n = n; n == 0 {
			p.err = err
			return 0, err
		}
	}
	n := copy(b, p.buf[p.off-p.start:p.n])
	p.off += int64(n)
	return n, nil
}

// Seek is what archive/tar asks for: relative to where it is.
func (p *position) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || p.off+offset < 0 {
		return 0, fmt.Errorf("seek %d from %d", offset, whence)
	}
	p.off += offset
	return p.off, nil
}

// cause is the error of the file rather than what the tar reader made of it.
func (p *position) cause(err error) error {
	if p.err != nil {
		return p.err
	}
	return err
}

// onlyZeros reports anything behind the end of the archive: what another program
// may take for entries this one has not seen.
func (p *position) onlyZeros() error {
	buf := make([]byte, chunk)
	for p.off < p.size {
		n, err := p.r.ReadAt(buf[:min(chunk, p.size-p.off)], p.off)
		for _, c := range buf[:n] {
			if c != 0 {
				return fmt.Errorf("trailing garbage after byte %d", p.off)
			}
		}
		if p.off += int64(n); n == 0 {
			p.err = err
			return err
		}
	}
	return nil
}

// holes reads as zeros.
type holes struct{}

func (holes) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}
