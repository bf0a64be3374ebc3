package rootfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"reflect"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// layerTypes are the media types of layers: those of the OCI image spec
// (media-types.md), of Docker's schema 2, and the two zstd ones that containerd
// and BuildKit write beside them. What a blob is compressed with is told from its
// first bytes, as Docker does, for the media type is often wrong about it.
var layerTypes = map[types.MediaType]bool{
	types.OCILayer:                       true,
	types.OCILayerZStd:                   true,
	types.OCIUncompressedLayer:           true,
	types.OCIRestrictedLayer:             true,
	types.OCIUncompressedRestrictedLayer: true,
	types.DockerLayer:                    true,
	types.DockerUncompressedLayer:        true,
	types.DockerForeignLayer:             true,
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": true,
	"application/vnd.docker.image.rootfs.diff.tar.zstd":            true,
}

// plainSource is the type of go-containerregistry's layers whose source is a
// plain tar: those of a docker-archive and of the daemon. Such a layer has no
// compressed blob; asked for its digest, size or compressed bytes it compresses
// the whole tar each time, for nothing that could be compared.
var plainSource = func() reflect.Type {
	l, _ := partial.UncompressedToLayer(nil)
	return reflect.TypeOf(l)
}()

// source is where one layer of an image is read from.
type source struct {
	layer  v1.Layer
	plain  bool    // see plainSource: digest and size are not there to check
	digest v1.Hash // of the blob
	size   int64   // of the blob
	diffID v1.Hash // of the tar
}

// String names the layer in errors by its digest, as registries do, or by its
// diff ID where there is no blob.
func (s *source) String() string {
	h := s.digest
	if s.plain {
		h = s.diffID
	}
	return h.Algorithm + ":" + h.Hex[:min(12, len(h.Hex))]
}

// imageLayers lists the layers of img, the lowest first, each with the diff ID
// that the config gives it: the layer's own DiffID may decompress to find out.
func imageLayers(img v1.Image) ([]*source, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read image config: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("list image layers: %w", err)
	}
	if len(layers) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%w: the manifest has %d layers, the config %d diff IDs",
			ErrInput, len(layers), len(cfg.RootFS.DiffIDs))
	}
	sources := make([]*source, len(layers))
	for i, l := range layers {
		s, err := newSource(l, cfg.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		sources[i] = s
	}
	return sources, nil
}

func newSource(l v1.Layer, diffID v1.Hash) (*source, error) {
	s := &source{layer: l, diffID: diffID, plain: reflect.TypeOf(l) == plainSource}
	mt, err := l.MediaType()
	if err != nil {
		return nil, fmt.Errorf("read media type: %w", err)
	}
	if !layerTypes[mt] {
		return nil, fmt.Errorf("%w: unknown media type %q", ErrInput, mt)
	}
	if _, err := v1.Hasher(diffID.Algorithm); err != nil {
		return nil, fmt.Errorf("%w: diff ID %q: %w", ErrInput, diffID, err)
	}
	if s.plain {
		return s, nil
	}
	if s.digest, err = l.Digest(); err != nil {
		return nil, fmt.Errorf("read digest: %w", err)
	}
	if s.size, err = l.Size(); err != nil {
		return nil, fmt.Errorf("read size: %w", err)
	}
	if _, err := v1.Hasher(s.digest.Algorithm); err != nil {
		return nil, fmt.Errorf("%w: digest %q: %w", ErrInput, s.digest, err)
	}
	return s, nil
}

// unpack writes the layer's tar to w and returns its length, after it has
// compared digest, size and diff ID.
//
// Reading (with the blob's hash), decompression, and writing (with the tar's
// hash) each have their own goroutine, so that on two cores the decompressor is
// the limit.
func (s *source) unpack(ctx context.Context, w io.Writer) (int64, error) {
	rc, err := s.open()
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	blob, tar := newMeter(s.digest), newMeter(s.diffID)
	fromBlob, toUnpack := io.Pipe()
	fromUnpack, toTar := io.Pipe()

	var readErr, unpackErr, writeErr error
	readCtx, stopRead := context.WithCancel(ctx)
	defer stopRead()
	var wg sync.WaitGroup
	wg.Go(func() {
		readErr = s.read(readCtx, io.MultiWriter(blob, toUnpack), rc)
		toUnpack.CloseWithError(readErr)
	})
	wg.Go(func() {
		unpackErr = decompress(toTar, fromBlob)
		toTar.CloseWithError(unpackErr)
		// What follows a broken stream is still hashed: "the digest is wrong" says
		// more than what the decompressor stumbled over.
		if unpackErr != nil {
			io.Copy(io.Discard, fromBlob)
		}
		fromBlob.Close()
	})
	_, err = io.CopyBuffer(io.MultiWriter(writer{w, &writeErr}, tar), struct{ io.Reader }{fromUnpack}, make([]byte, chunk))
	if writeErr != nil {
		stopRead()
	}
	fromUnpack.CloseWithError(err)
	wg.Wait()

	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case writeErr != nil:
		return 0, fmt.Errorf("write decompressed layer: %w", writeErr)
	}
	if err := s.checkBlob(blob, readErr); err != nil {
		return 0, err
	}
	if unpackErr != nil {
		return 0, fmt.Errorf("%w: decompress: %w", ErrInput, unpackErr)
	}
	if got := tar.sum(); got != s.diffID {
		return 0, fmt.Errorf("%w: diff ID is %s, the config says %s", ErrInput, got, s.diffID)
	}
	return tar.n, nil
}

func (s *source) open() (io.ReadCloser, error) {
	open := s.layer.Compressed
	if s.plain {
		open = s.layer.Uncompressed
	}
	rc, err := open()
	if err != nil {
		if mt, _ := s.layer.MediaType(); !mt.IsDistributable() {
			return nil, fmt.Errorf("%w: a %q layer without its content: %w", ErrInput, mt, err)
		}
		return nil, fmt.Errorf("open: %w", err)
	}
	return rc, nil
}

// read copies the blob, one byte more than it should have at the most: an endless
// source must not be followed.
func (s *source) read(ctx context.Context, w io.Writer, rc io.Reader) error {
	if !s.plain {
		rc = io.LimitReader(rc, s.size+1)
	}
	_, err := io.CopyBuffer(w, &ctxReader{ctx, rc}, make([]byte, chunk))
	return err
}

// checkBlob compares what was read with the descriptor.
func (s *source) checkBlob(blob *meter, readErr error) error {
	// A source may check the digest itself and then ends in an error of its own;
	// once all bytes are there, what is wrong with them is ours to say.
	if readErr != nil && (s.plain || blob.n != s.size || blob.sum() == s.digest) {
		if errors.Is(readErr, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: truncated: %w", ErrInput, readErr)
		}
		return fmt.Errorf("read: %w", readErr)
	}
	switch {
	case s.plain:
		return nil
	case blob.n > s.size:
		return fmt.Errorf("%w: longer than the %d bytes of its descriptor", ErrInput, s.size)
	case blob.n < s.size:
		return fmt.Errorf("%w: truncated: %d bytes, the descriptor says %d", ErrInput, blob.n, s.size)
	case blob.sum() != s.digest:
		return fmt.Errorf("%w: digest is %s, the descriptor says %s", ErrInput, blob.sum(), s.digest)
	}
	return nil
}

// maxWindow bounds the memory of the zstd decoder: 128 MiB is what the reference
// decoder grants where it is not told otherwise (ZSTD_WINDOWLOG_LIMIT_DEFAULT).
const maxWindow = 128 << 20

// decompress copies r to w, unpacked as its first bytes ask for.
func decompress(w io.Writer, r io.Reader) error {
	br := bufio.NewReaderSize(r, chunk)
	magic, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	var src io.Reader = br
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return err
		}
		defer z.Close()
		src = z
	case isZstd(magic):
		z, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
		defer z.Close()
		src = z
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, make([]byte, chunk))
	return err
}

// isZstd knows a zstd frame and a skippable frame, with which zstd:chunked and
// seekable archives may begin (RFC 8878, 3.1).
func isZstd(magic []byte) bool {
	return bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
}

// chunk is the unit in which a layer flows from goroutine to goroutine.
const chunk = 128 << 10

// meter counts and hashes what is written to it.
type meter struct {
	n    int64
	hash hash.Hash
	algo string
}

func newMeter(like v1.Hash) *meter {
	h, err := v1.Hasher(like.Algorithm)
	if err != nil { // a plain source has no digest
		return &meter{}
	}
	return &meter{hash: h, algo: like.Algorithm}
}

func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	if m.hash != nil {
		m.hash.Write(p)
	}
	return len(p), nil
}

func (m *meter) sum() v1.Hash {
	return v1.Hash{Algorithm: m.algo, Hex: fmt.Sprintf("%x", m.hash.Sum(nil))}
}

// writer keeps the error of w apart from those of the reader beside it.
type writer struct {
	w   io.Writer
	err *error
}

func (w writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	*w.err = err
	return n, err
}

// ctxReader ends when ctx does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
