package transport

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// archiveWriter writes tar entries that tell nothing of machine and time.
type archiveWriter struct {
	ctx context.Context
	*tar.Writer
}

func (w archiveWriter) file(name string, size int64, r io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := io.Copy(w, ctxReader{w.ctx, r})
	return err
}

func (w archiveWriter) bytes(name string, b []byte) error {
	return w.file(name, int64(len(b)), bytes.NewReader(b))
}

// checkedLayer opens a layer's blob as it is stored, checked against d.
func checkedLayer(l v1.Layer, d v1.Descriptor) (io.ReadCloser, error) {
	rc, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return verify(rc, d.Digest, d.Size)
}

// parts of an image, as its manifest describes them.
type parts struct {
	manifest *v1.Manifest
	config   []byte
	layers   []v1.Layer
}

func partsOf(img v1.Image) (p parts, err error) {
	if p.manifest, err = img.Manifest(); err != nil {
		return p, err
	}
	if p.config, err = img.RawConfigFile(); err != nil {
		return p, err
	}
	if p.layers, err = img.Layers(); err != nil {
		return p, err
	}
	if len(p.layers) != len(p.manifest.Layers) {
		return p, fmt.Errorf("image has %d layers, its manifest %d", len(p.layers), len(p.manifest.Layers))
	}
	return p, nil
}

func storeDockerArchive(ctx context.Context, img v1.Image, to Reference) (v1.Hash, error) {
	err := replaceFile(to.path, func(w io.Writer) error { return writeDockerArchive(ctx, w, img, to.image) })
	if err != nil {
		return v1.Hash{}, err
	}
	return img.ConfigName()
}

// writeDockerArchive writes what `docker load` reads. Layers go in as they are,
// but for zstd, which Docker before 23 and others' loaders do not know: those are
// decompressed, twice, as a tar entry begins with its size.
func writeDockerArchive(ctx context.Context, to io.Writer, img v1.Image, name string) error {
	p, err := partsOf(img)
	if err != nil {
		return err
	}
	id, err := img.ConfigName()
	if err != nil {
		return err
	}
	w := archiveWriter{ctx, tar.NewWriter(to)}
	a := archived{Config: id.Hex + ".json", Layers: []string{}}
	if err := w.bytes(a.Config, p.config); err != nil {
		return err
	}
	for i, l := range p.layers {
		file, err := w.layer(l, p.manifest.Layers[i], a.Layers)
		if err != nil {
			return fmt.Errorf("layer %s: %w", p.manifest.Layers[i].Digest, err)
		}
		a.Layers = append(a.Layers, file)
	}
	if name != "" {
		a.RepoTags = []string{familiar(name)}
	}
	b, err := json.Marshal([]archived{a})
	if err != nil {
		return err
	}
	if err := w.bytes("manifest.json", b); err != nil {
		return err
	}
	return w.Close()
}

// layer writes a layer, unless it is one of those written, and returns its name.
func (w archiveWriter) layer(l v1.Layer, d v1.Descriptor, written []string) (string, error) {
	how, ok := compressionOf(d.MediaType)
	if !ok {
		return "", fmt.Errorf("unknown media type %q", d.MediaType)
	}
	name, size := d.Digest.Hex+".tar", d.Size
	open := func() (io.ReadCloser, error) { return checkedLayer(l, d) }
	switch how {
	case gzipped:
		name += ".gz"
	case zstded:
		diffID, err := l.DiffID()
		if err != nil {
			return "", err
		}
		if size, err = plainSize(w.ctx, l); err != nil {
			return "", err
		}
		name = diffID.Hex + ".tar"
		open = func() (io.ReadCloser, error) {
			rc, err := l.Uncompressed()
			if err != nil {
				return nil, err
			}
			return verify(rc, diffID, size)
		}
	}
	if slices.Contains(written, name) {
		return name, nil
	}
	rc, err := open()
	if err != nil {
		return "", err
	}
	defer rc.Close()
	return name, w.file(name, size, rc)
}

func plainSize(ctx context.Context, l v1.Layer) (int64, error) {
	rc, err := l.Uncompressed()
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	return io.Copy(io.Discard, ctxReader{ctx, rc})
}
