package transport

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxManifest bounds the JSON documents that are read into memory. Registries
// commonly allow 4 MiB:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests
const maxManifest = 32 << 20

// compression of a layer.
type compression int

const (
	plainTar compression = iota
	gzipped
	zstded
)

// compressionOf reads a layer's media type, of OCI or Docker.
func compressionOf(mt types.MediaType) (compression, bool) {
	s := string(mt)
	if !strings.HasPrefix(s, "application/vnd.oci.image.layer.") && !strings.HasPrefix(s, "application/vnd.docker.image.rootfs.") {
		return 0, false
	}
	switch {
	case strings.HasSuffix(s, ".tar"):
		return plainTar, true
	case strings.HasSuffix(s, ".tar+gzip"), strings.HasSuffix(s, ".tar.gzip"):
		return gzipped, true
	case strings.HasSuffix(s, ".tar+zstd"), strings.HasSuffix(s, ".tar.zstd"):
		return zstded, true
	}
	return 0, false
}

// sniff tells a compression by the first bytes (RFC 1952, RFC 8878).
func sniff(head []byte) compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzipped
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstded
	}
	return plainTar
}

func newHash(algorithm string) (hash.Hash, error) {
	switch algorithm {
	case "sha256":
		return sha256.New(), nil
	case "sha512":
		return sha512.New(), nil
	}
	return nil, mark(ErrInput, fmt.Errorf("digest algorithm %q is not known", algorithm))
}

// verified reads a blob and fails at its end unless digest and size are right.
type verified struct {
	r    io.Reader
	c    io.Closer
	hash hash.Hash
	want v1.Hash
	left int64
}

func verify(rc io.ReadCloser, want v1.Hash, size int64) (io.ReadCloser, error) {
	h, err := newHash(want.Algorithm)
	if err != nil {
		rc.Close()
		return nil, err
	}
	return &verified{rc, rc, h, want, size}, nil
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	switch {
	case v.left < 0:
		return max(0, n+int(v.left)), mark(ErrInput, fmt.Errorf("blob %s: longer than its descriptor says", v.want))
	case err == io.EOF && v.left > 0:
		return n, mark(ErrInput, fmt.Errorf("blob %s: truncated, %d bytes are missing", v.want, v.left))
	case err == io.EOF:
		if got := hex.EncodeToString(v.hash.Sum(nil)); got != v.want.Hex {
			return n, mark(ErrInput, fmt.Errorf("blob %s: wrong digest %s:%s", v.want, v.want.Algorithm, got))
		}
	}
	return n, err
}

func (v *verified) Close() error { return v.c.Close() }

// readBlob reads a small blob, checked.
func readBlob(open func(v1.Descriptor) (io.ReadCloser, error), d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifest || d.Size < 0 {
		return nil, mark(ErrInput, fmt.Errorf("blob %s: %d bytes are too many for %s", d.Digest, d.Size, d.MediaType))
	}
	rc, err := open(d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// readSmall reads a JSON document whose digest nobody knows.
func readSmall(name string, r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(b) > maxManifest {
		err = mark(ErrInput, fmt.Errorf("%s: more than %d bytes", name, maxManifest))
	}
	return b, err
}

// blobImage is an image over a store of blobs; partial.CompressedToImage makes
// the rest of a v1.Image of it.
type blobImage struct {
	mediaType   types.MediaType
	rawManifest []byte
	manifest    *v1.Manifest
	open        func(v1.Descriptor) (io.ReadCloser, error) // checked while read
}

func (i *blobImage) MediaType() (types.MediaType, error)    { return i.mediaType, nil }
func (i *blobImage) RawManifest() ([]byte, error)           { return i.rawManifest, nil }
func (i *blobImage) Manifest() (*v1.Manifest, error)        { return i.manifest, nil }
func (i *blobImage) RawConfigFile() ([]byte, error)         { return readBlob(i.open, i.manifest.Config) }
func (i *blobImage) ConfigFile() (*v1.ConfigFile, error)    { return partial.ConfigFile(i) }
func (i *blobImage) diffID(digest v1.Hash) (v1.Hash, error) { return partial.BlobToDiffID(i, digest) }

func (i *blobImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if i.manifest.Config.Digest == h {
		return partial.ConfigLayer(i)
	}
	for _, d := range i.manifest.Layers {
		if d.Digest == h {
			return &blobLayer{i, d}, nil
		}
	}
	return nil, mark(ErrInput, fmt.Errorf("no blob %s in the image", h))
}

// blobLayer is a layer of a blobImage.
type blobLayer struct {
	image *blobImage
	desc  v1.Descriptor
}

func (l *blobLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *blobLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *blobLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *blobLayer) Descriptor() (*v1.Descriptor, error) { d := l.desc; return &d, nil }
func (l *blobLayer) DiffID() (v1.Hash, error)            { return l.image.diffID(l.desc.Digest) }
func (l *blobLayer) Compressed() (io.ReadCloser, error)  { return l.image.open(l.desc) }
