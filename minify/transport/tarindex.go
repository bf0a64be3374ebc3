package transport

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"slim/probe/rootfs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// blobFiles are the files of a layout or archive, by slash-separated name.
type blobFiles interface {
	// open fails with fs.ErrNotExist where there is no such file.
	open(name string) (r io.ReadCloser, size int64, err error)
	io.Closer
}

// dirFiles are those of a folder. Links are followed: some build tools make
// layouts of links into their caches, and digests are checked in any case.
type dirFiles string

func (d dirFiles) Close() error { return nil }

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	file := path.Join(string(d), name)
	fi, err := os.Stat(file) // before Open, which waits at a FIFO
	if err != nil {
		return nil, 0, err
	}
	if !fi.Mode().IsRegular() {
		return nil, 0, mark(ErrInput, fmt.Errorf("%s is not a regular file", name))
	}
	f, err := os.Open(file)
	return f, fi.Size(), err
}

// tarIndex serves the files of a tar archive from where they lie in it.
type tarIndex struct {
	file    *os.File
	entries map[string]tarEntry
}

type tarEntry struct {
	off, size int64
	link      string // name of the entry meant
}

// openArchive indexes the archive at path. Bytes are copied only if they must be
// decompressed or come from a pipe, to an unnamed file.
func openArchive(ctx context.Context, path, tempDir string) (*tarIndex, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openErr(err)
	}
	defer func() { f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return nil, mark(ErrInput, fmt.Errorf("%s is a folder, not an archive", path))
	}
	if !fi.Mode().IsRegular() {
		if f, err = replace(f)(spool(ctx, f, tempDir)); err != nil {
			return nil, err
		}
	}
	plain, err := decompressor(f)
	if err != nil {
		return nil, err
	}
	if plain != nil {
		f, err = replace(f)(spool(ctx, plain, tempDir))
		plain.Close()
		if err != nil {
			return nil, inputErr("decompress", err)
		}
	}
	idx, err := indexTar(ctx, f)
	if err != nil {
		return nil, err
	}
	f = nil // the index has it now; Close of a nil *os.File does nothing
	return idx, nil
}

// replace closes old once its successor is there.
func replace(old *os.File) func(*os.File, error) (*os.File, error) {
	return func(f *os.File, err error) (*os.File, error) {
		old.Close()
		return f, err
	}
}

// spool copies r to an unnamed file.
func spool(ctx context.Context, r io.Reader, tempDir string) (*os.File, error) {
	f, err := rootfs.Unnamed(tempDir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, ctxReader{ctx, r}); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// decompressor reads what f compresses, nil if f is plain.
func decompressor(f *os.File) (io.ReadCloser, error) {
	head := make([]byte, 6)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	if bytes.HasPrefix(head, []byte("BZh")) || bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}) {
		return nil, mark(ErrUnsupported, errors.New("compressed with bzip2 or xz; decompress it first"))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch sniff(head) {
	case gzipped:
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, inputErr("decompress", err)
		}
		return z, nil
	case zstded:
		z, err := zstd.NewReader(f)
		if err != nil {
			return nil, inputErr("decompress", err)
		}
		return z.IOReadCloser(), nil
	}
	return nil, nil
}

// indexTar reads the headers of f, skipping content by seeking. Of entries of one
// name the last counts, as when unpacking. On success the index owns f.
func indexTar(ctx context.Context, f *os.File) (*tarIndex, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	idx := &tarIndex{f, make(map[string]tarEntry)}
	tr := tar.NewReader(f)
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, inputErr("archive is truncated or no tar archive", err)
		}
		name := entryName(hdr.Name)
		switch hdr.Typeflag {
		case tar.TypeReg:
			// archive/tar reads whole blocks only: the file is where content begins.
			off, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			idx.entries[name] = tarEntry{off: off, size: hdr.Size}
			for key := range hdr.PAXRecords {
				if strings.HasPrefix(key, "GNU.sparse.") {
					return nil, mark(ErrUnsupported, fmt.Errorf("%s: stored sparse", hdr.Name))
				}
			}
		case tar.TypeSymlink: // Docker before 25 links equal layers
			idx.entries[name] = tarEntry{link: entryName(path.Join(path.Dir(name), hdr.Linkname))}
		case tar.TypeLink:
			idx.entries[name] = tarEntry{link: entryName(hdr.Linkname)}
		case tar.TypeGNUSparse:
			return nil, mark(ErrUnsupported, fmt.Errorf("%s: stored sparse", hdr.Name))
		}
	}
	if len(idx.entries) == 0 {
		return nil, mark(ErrInput, errors.New("archive is empty"))
	}
	return idx, nil
}

func entryName(s string) string { return strings.TrimPrefix(path.Clean("/"+s), "/") }

func (t *tarIndex) Close() error { return t.file.Close() }

func (t *tarIndex) open(name string) (io.ReadCloser, int64, error) {
	s, err := t.section(name)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(s), s.Size(), nil
}

func (t *tarIndex) section(name string) (*io.SectionReader, error) {
	at := entryName(name)
	for range 8 { // links of links
		e, ok := t.entries[at]
		if !ok {
			break
		}
		if e.link == "" {
			return io.NewSectionReader(t.file, e.off, e.size), nil
		}
		at = e.link
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
