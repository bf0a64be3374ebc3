package rootfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// blob is a layer of given bytes that says of itself what a test wants.
type blob struct {
	data           []byte
	digest, diffID v1.Hash
	size           int64
	mediaType      types.MediaType
	open           func() (io.ReadCloser, error) // nil: data
	opened         atomic.Int32
}

// newBlob is a good layer of compressed bytes.
func newBlob(t testing.TB, data, tar []byte) *blob {
	t.Helper()
	b := &blob{data: data, size: int64(len(data)), mediaType: types.OCILayer}
	b.digest, b.diffID = sum(t, data), sum(t, tar)
	return b
}

func sum(t testing.TB, data []byte) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (b *blob) Digest() (v1.Hash, error)             { return b.digest, nil }
func (b *blob) DiffID() (v1.Hash, error)             { return b.diffID, nil }
func (b *blob) Size() (int64, error)                 { return b.size, nil }
func (b *blob) MediaType() (types.MediaType, error)  { return b.mediaType, nil }
func (b *blob) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("not asked for") }
func (b *blob) Compressed() (io.ReadCloser, error) {
	b.opened.Add(1)
	if b.open != nil {
		return b.open()
	}
	return io.NopCloser(bytes.NewReader(b.data)), nil
}

func gzipped(data []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(data)
	z.Close()
	return buf.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

const small = `file /a 0600 "content"`

func TestCompressions(t *testing.T) {
	tar := treetest.Tar(t, small)
	half := len(tar) / 2
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
	for _, c := range []struct {
		name      string
		data      []byte
		mediaType types.MediaType
	}{
		{"gzip", gzipped(tar), types.OCILayer},
		{"gzip, Docker", gzipped(tar), types.DockerLayer},
		{"gzip, foreign with content", gzipped(tar), types.DockerForeignLayer},
		{"gzip of two members", append(gzipped(tar[:half]), gzipped(tar[half:])...), types.OCILayer},
		{"gzip called tar", gzipped(tar), types.OCIUncompressedLayer},
		{"zstd", zstded(t, tar), types.OCILayerZStd},
		{"zstd, Docker", zstded(t, tar), "application/vnd.docker.image.rootfs.diff.tar.zstd"},
		{"zstd of two frames", append(zstded(t, tar[:half]), zstded(t, tar[half:])...), types.OCILayerZStd},
		{"zstd after a skippable frame", append(skippable, zstded(t, tar)...), types.OCILayerZStd},
		{"tar", tar, types.OCIUncompressedLayer},
		{"tar called gzip", tar, types.DockerLayer},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBlob(t, c.data, tar)
			b.mediaType = c.mediaType
			got := treetest.Dump(treetest.Load(t, treetest.ImageOf(t, b)))
			if want := treetest.Canon(small); got != want {
				t.Errorf("tree %s, want %s", got, want)
			}
		})
	}
	for _, c := range []compression.Compression{compression.GZip, compression.ZStd, compression.None} {
		fsys := treetest.Load(t, treetest.ImageOf(t, treetest.LayerWith(t, small, c)))
		if got := treetest.Dump(fsys); got != treetest.Canon(small) {
			t.Errorf("%s: tree %s", c, got)
		}
	}
}

// plain is a layer that only exists as a tar, as in a docker-archive.
type plain struct{ tar []byte }

func (p plain) DiffID() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(p.tar))
	return h, err
}
func (p plain) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(p.tar)), nil
}
func (p plain) MediaType() (types.MediaType, error)                      { return types.DockerLayer, nil }
func (p plain) LayerByDiffID(v1.Hash) (partial.UncompressedLayer, error) { return p, nil }
func (p plain) RawConfigFile() ([]byte, error) {
	h, _ := p.DiffID()
	return []byte(`{"rootfs":{"type":"layers","diff_ids":["` + h.String() + `"]}}`), nil
}

// TestPlainSource: such a layer must not be compressed to learn a digest nobody
// has written down.
func TestPlainSource(t *testing.T) {
	p := plain{treetest.Tar(t, small)}
	img, err := partial.UncompressedToImage(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := treetest.Dump(treetest.Load(t, img)); got != treetest.Canon(small) {
		t.Errorf("tree %s", got)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if !rootfs.IsPlain(layers[0]) || rootfs.IsPlain(treetest.Layer(t, small)) {
		t.Error("a plain source is not told from a compressed one")
	}
}

func TestBadLayers(t *testing.T) {
	tar := treetest.Tar(t, small)
	gz := gzipped(tar)
	other := sum(t, []byte("other"))
	broken := bytes.Clone(gz)
	broken[len(broken)/2] ^= 0xff
	for _, c := range []struct {
		name string
		blob func() *blob
		want []string
	}{
		{"truncated blob", func() *blob {
			b := newBlob(t, gz, tar)
			b.data = gz[:len(gz)-9]
			return b
		}, []string{"truncated", "the descriptor says"}},
		{"blob too long", func() *blob {
			b := newBlob(t, gz, tar)
			b.open = func() (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(bytes.NewReader(gz), endless{})), nil
			}
			return b
		}, []string{"longer than"}},
		{"wrong digest", func() *blob {
			b := newBlob(t, gz, tar)
			b.digest = other
			return b
		}, []string{"digest is sha256:", "the descriptor says " + other.String(), "layer 0 (" + other.String()[:19] + ")"}},
		{"corrupt blob", func() *blob {
			b := newBlob(t, gz, tar)
			b.data = broken
			return b
		}, []string{"digest is sha256:"}},
		{"corrupt gzip under a right digest", func() *blob { return newBlob(t, broken, tar) }, []string{"decompress: "}},
		{"truncated gzip under a right digest", func() *blob { return newBlob(t, gz[:len(gz)-9], tar) }, []string{"decompress: unexpected EOF"}},
		{"garbage after gzip", func() *blob { return newBlob(t, append(bytes.Clone(gz), "garbage"...), tar) }, []string{"decompress: "}},
		{"garbage after zstd", func() *blob { return newBlob(t, append(zstded(t, tar), "garbage"...), tar) }, []string{"decompress: "}},
		{"wrong diff ID", func() *blob {
			b := newBlob(t, gz, tar)
			b.diffID = other
			return b
		}, []string{"diff ID is " + sum(t, tar).String(), "the config says " + other.String()}},
		{"unknown media type", func() *blob {
			b := newBlob(t, gz, tar)
			b.mediaType = "application/vnd.in-toto+json"
			return b
		}, []string{`unknown media type "application/vnd.in-toto+json"`}},
		{"foreign layer without content", func() *blob {
			b := newBlob(t, gz, tar)
			b.mediaType = types.DockerForeignLayer
			b.open = func() (io.ReadCloser, error) { return nil, errors.New("not found") }
			return b
		}, []string{"foreign", "without its content: not found"}},
		{"not a tar", func() *blob { return newBlob(t, []byte("hello"), []byte("hello")) }, []string{"tar header at byte 0", "EOF"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkRejected(t, treetest.ImageOf(t, c.blob()), append(c.want, "layer 0"))
		})
	}
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// checkRejected loads an image that must give ErrInput, in one line that holds all
// of want, and leave nothing in the cache but whole layers.
func checkRejected(t *testing.T, img v1.Image, want []string) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := rootfs.Load(context.Background(), img, rootfs.Options{CacheDir: dir})
	if err == nil {
		fsys.Close()
		t.Fatal("loaded")
	}
	if !errors.Is(err, rootfs.ErrInput) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q is not one line of ErrInput", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	checkCache(t, dir)
}

// checkCache asserts that a cache holds whole layers and nothing else.
func checkCache(t *testing.T, dir string) (layers int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Base(path) != sum(t, data).Hex {
			t.Errorf("left in the cache: %s", path)
		}
		layers++
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return layers
}

// TestCountMismatch: a config with fewer diff IDs than the manifest has layers.
func TestCountMismatch(t *testing.T) {
	img := treetest.Image(t, small, small)
	checkRejected(t, &otherConfig{img}, []string{"the manifest has 2 layers, the config 1 diff IDs"})
}

type otherConfig struct{ v1.Image }

func (o *otherConfig) ConfigFile() (*v1.ConfigFile, error) {
	cfg, err := o.Image.ConfigFile()
	if err == nil {
		cfg.RootFS.DiffIDs = cfg.RootFS.DiffIDs[:1]
	}
	return cfg, err
}

// TestSourceFails: what goes wrong on this side is not the image's fault.
func TestSourceFails(t *testing.T) {
	tar := treetest.Tar(t, small)
	broken := errors.New("connection reset")
	for name, open := range map[string]func() (io.ReadCloser, error){
		"open": func() (io.ReadCloser, error) { return nil, broken },
		"read": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(gzipped(tar)[:20]), failing{broken})), nil
		},
	} {
		b := newBlob(t, gzipped(tar), tar)
		b.open = open
		dir := t.TempDir()
		_, err := rootfs.Load(context.Background(), treetest.ImageOf(t, b), rootfs.Options{CacheDir: dir})
		if !errors.Is(err, broken) || errors.Is(err, rootfs.ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
		if checkCache(t, dir) != 0 {
			t.Errorf("%s: something is in the cache", name)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestCancel cancels after each part of the layer that the source hands out.
func TestCancel(t *testing.T) {
	tar := treetest.Tar(t, "file /a size=3000000")
	data := zstded(t, tar)
	const step = 16
	for stop := 0; stop <= len(data)+step; stop += step {
		ctx, cancel := context.WithCancel(context.Background())
		b := newBlob(t, data, tar)
		b.open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(data[:min(stop, len(data))]),
				call(cancel), bytes.NewReader(data[min(stop, len(data)):]))), nil
		}
		dir := t.TempDir()
		fsys, err := rootfs.Load(ctx, treetest.ImageOf(t, b), rootfs.Options{CacheDir: dir})
		if err == nil {
			fsys.Close()
		}
		if !errors.Is(err, context.Canceled) || errors.Is(err, rootfs.ErrInput) {
			t.Errorf("canceled after %d bytes: %v", stop, err)
		}
		checkCache(t, dir)
	}
}

// call is an empty reader that calls a function when it is its turn.
type call func()

func (c call) Read([]byte) (int, error) {
	c()
	return 0, io.EOF
}
