// Package layer writes a selection as one image layer and puts an image around
// it.
//
// Its promise is exactness: every header is the original's (mode with setuid and
// sticky bits, numeric owner, mtime, extended attributes, hard links as hard
// links, device numbers), content is copied from the original's blobs, entries
// are sorted, and the same selection gives the same bytes on any machine,
// whatever its core count. It chooses nothing. Options.Strip alone changes
// content, and of ELF files only.
//
// A tar archive cannot hold a socket, nor an access or change time that anyone
// restores; those are not kept.
package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"github.com/containerd/stargz-snapshotter/estargz"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"slim/minify/keep"
	"slim/probe/rootfs"
)

// Compression names the form of a layer's blob.
type Compression string

// The compressions.
const (
	Gzip    Compression = "gzip"
	Zstd    Compression = "zstd"
	EStargz Compression = "estargz" // gzip with a table of contents, lazily pullable
)

// Compressions lists the valid values, the default first.
var Compressions = []Compression{Gzip, Zstd, EStargz}

// Valid reports whether c is one of them.
func (c Compression) Valid() bool { return slices.Contains(Compressions, c) }

// Options of Write.
type Options struct {
	// Compression of the blob; "" is Gzip.
	Compression Compression
	// Order lists paths by first access; an eStargz layer holds these first, so
	// that a lazy pull fetches them in one go. Other compressions ignore it.
	Order []string
	// Base is the tree below the layer; what it has already is left out.
	Base *rootfs.FS
	// Strip leaves the symbol table and the debug information of ELF files out.
	Strip bool
	// Dir is the folder for the layer's bytes until Close; "" is os.TempDir.
	Dir string
}

// Layer is a written layer, a v1.Layer over a file that has no name any more: it
// is gone with Close, or with the process.
type Layer struct {
	v1.Layer
	file *os.File

	// Files and Bytes are what the layer holds: its entries, and the content of
	// its regular files.
	Files int
	Bytes int64
	// Annotations belong into the layer's descriptor (eStargz has some).
	Annotations map[string]string
}

// Close releases the layer's bytes.
func (l *Layer) Close() error { return l.file.Close() }

// Write writes the kept entries of sel as one layer.
func Write(ctx context.Context, sel *keep.Selection, opts Options) (_ *Layer, err error) {
	if opts.Compression == "" {
		opts.Compression = Gzip
	}
	if !opts.Compression.Valid() {
		return nil, fmt.Errorf("write layer: unknown compression %q", opts.Compression)
	}
	file, err := rootfs.Unnamed(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	l := &Layer{file: file}
	b := &blob{file: file, mediaType: types.OCILayer}
	if opts.Compression == EStargz {
		err = l.writeEStargz(ctx, b, sel, opts)
	} else {
		err = l.writeStream(ctx, b, sel, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	l.Layer, err = partial.CompressedToLayer(b)
	if err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	return l, nil
}

// writeStream compresses the archive while it is made: one pass, nothing stored
// but the blob.
func (l *Layer) writeStream(ctx context.Context, b *blob, sel *keep.Selection, opts Options) error {
	if opts.Compression == Zstd {
		b.mediaType = types.OCILayerZStd
	}
	out := newDigester(b.file)
	z, err := compressor(out, opts.Compression)
	if err != nil {
		return err
	}
	plain := newDigester(z)
	if err := l.writeTar(ctx, plain, sel, opts); err != nil {
		z.Close()
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	b.digest, b.size, b.diffID = out.sum(), out.n, plain.sum()
	return nil
}

// estargzWorkers fixes the number of parts an eStargz layer is compressed in:
// the library's default is the core count, and the parts show in the digest.
const estargzWorkers = 4

func (l *Layer) writeEStargz(ctx context.Context, b *blob, sel *keep.Selection, opts Options) error {
	plain, err := rootfs.Unnamed(opts.Dir)
	if err != nil {
		return err
	}
	defer plain.Close()
	counted := newDigester(plain)
	if err := l.writeTar(ctx, counted, sel, opts); err != nil {
		return err
	}
	var missed []string // a base's files are not in the layer
	built, err := estargz.Build(io.NewSectionReader(readerAt{ctx, plain}, 0, counted.n),
		estargz.WithPrioritizedFiles(prioritized(sel, opts.Order)),
		estargz.WithAllowPrioritizeNotFound(&missed),
		estargz.WithCompression(newEStargzCompression()),
		estargz.WithParallelism(estargzWorkers))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause // which the library's errors do not wrap
	}
	if err != nil {
		return err
	}
	defer built.Close()
	out := newDigester(b.file)
	if _, err := io.Copy(out, built); err != nil {
		return err
	}
	diffID, err := v1.NewHash(built.DiffID().String())
	if err != nil {
		return err
	}
	size, err := built.UncompressedSize()
	if err != nil {
		return err
	}
	b.digest, b.size, b.diffID = out.sum(), out.n, diffID
	l.Annotations = map[string]string{
		estargz.TOCJSONDigestAnnotation:         built.TOCDigest().String(),
		estargz.StoreUncompressedSizeAnnotation: fmt.Sprint(size),
	}
	return nil
}

// prioritized turns paths into the names of regular files and links in the
// layer: a directory among them would draw nothing in, and the root has no name.
func prioritized(sel *keep.Selection, order []string) []string {
	kept := make(map[string]bool, len(sel.Entries))
	for _, e := range sel.Entries {
		if e.Kept && !e.Node.Inode().IsDir() {
			kept[e.Node.Path()] = true
		}
	}
	var names []string
	for _, path := range order {
		if kept[path] {
			names = append(names, path[1:])
		}
	}
	return names
}

// blob is a compressed layer in a file.
type blob struct {
	file      *os.File
	digest    v1.Hash
	diffID    v1.Hash
	size      int64
	mediaType types.MediaType
}

func (b *blob) Digest() (v1.Hash, error)            { return b.digest, nil }
func (b *blob) DiffID() (v1.Hash, error)            { return b.diffID, nil }
func (b *blob) Size() (int64, error)                { return b.size, nil }
func (b *blob) MediaType() (types.MediaType, error) { return b.mediaType, nil }
func (b *blob) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(b.file, 0, b.size)), nil
}

// readerAt ends with the context. The library's own option for that removes its
// temporary files at once, and leaves those that it makes after that.
type readerAt struct {
	ctx context.Context
	io.ReaderAt
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.ReaderAt.ReadAt(p, off)
}

// digester counts and hashes what is written through it.
type digester struct {
	w io.Writer
	h hash.Hash
	n int64
}

func newDigester(w io.Writer) *digester { return &digester{w: w, h: sha256.New()} }

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.h.Write(p[:n])
	d.n += int64(n)
	return n, err
}

func (d *digester) sum() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(d.h.Sum(nil))}
}
