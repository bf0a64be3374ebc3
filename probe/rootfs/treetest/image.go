package treetest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"slim/probe/rootfs"
)

// Tar writes the entries of text as a tar archive, in the order of the lines,
// with the names of an ordinary layer ("etc/", "etc/motd").
func Tar(t testing.TB, text string) []byte {
	t.Helper()
	entries, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := writeEntry(tw, e); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var typeflags = map[string]byte{
	"dir": tar.TypeDir, "file": tar.TypeReg, "link": tar.TypeSymlink, "hard": tar.TypeLink,
	"char": tar.TypeChar, "block": tar.TypeBlock, "fifo": tar.TypeFifo,
	"white": tar.TypeReg, "opaque": tar.TypeReg,
}

func writeEntry(tw *tar.Writer, e Entry) error {
	hdr := &tar.Header{
		Typeflag: typeflags[e.Kind],
		Name:     strings.TrimPrefix(e.Path, "/"),
		Linkname: e.Target,
		Size:     e.Size,
		Mode:     e.Mode,
		Uid:      e.UID,
		Gid:      e.GID,
		Devmajor: e.Major,
		Devminor: e.Minor,
		ModTime:  e.MTime,
		Format:   tar.FormatPAX,
	}
	switch e.Kind {
	case "dir":
		hdr.Name = strings.TrimSuffix(hdr.Name, "/") + "/"
		if hdr.Name == "/" {
			hdr.Name = "./"
		}
	case "hard":
		hdr.Linkname = strings.TrimPrefix(e.Target, "/")
	case "white":
		dir, base := path.Split(hdr.Name)
		hdr.Name = dir + ".wh." + base
	case "opaque":
		hdr.Name = path.Join(hdr.Name, ".wh..wh..opq")
	}
	for name, value := range e.Xattrs {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = make(map[string]string)
		}
		hdr.PAXRecords["SCHILY.xattr."+name] = value
	}
	if err := tw.WriteHeader(hdr); err != nil {
		return err
	}
	if _, err := io.WriteString(tw, e.Content); err != nil {
		return err
	}
	_, err := io.CopyN(tw, zeros{}, e.Size-int64(len(e.Content)))
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Layer makes a gzip layer with the entries of text.
func Layer(t testing.TB, text string) v1.Layer {
	t.Helper()
	return TarLayer(t, Tar(t, text), compression.GZip)
}

// LayerWith makes a layer with the entries of text in another compression: GZip,
// ZStd or None.
func LayerWith(t testing.TB, text string, c compression.Compression) v1.Layer {
	t.Helper()
	return TarLayer(t, Tar(t, text), c)
}

// TarLayer makes a layer of any tar archive.
func TarLayer(t testing.TB, data []byte, c compression.Compression) v1.Layer {
	t.Helper()
	mediaType := types.OCILayer
	switch c {
	case compression.None:
		return static.NewLayer(data, types.OCIUncompressedLayer)
	case compression.ZStd:
		mediaType = types.OCILayerZStd
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	l, err := tarball.LayerFromOpener(open, tarball.WithCompression(c),
		tarball.WithMediaType(mediaType), tarball.WithCompressedCaching)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Image makes an OCI image for linux/amd64 of gzip layers, the lowest first.
func Image(t testing.TB, layers ...string) v1.Image {
	t.Helper()
	var list []v1.Layer
	for _, text := range layers {
		list = append(list, Layer(t, text))
	}
	return ImageOf(t, list...)
}

// ImageOf makes an OCI image for linux/amd64 of layers, the lowest first.
func ImageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		Architecture: "amd64",
		OS:           "linux",
		RootFS:       v1.RootFS{Type: "layers"},
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(mutate.ConfigMediaType(img, types.OCIConfigJSON), layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// FS loads the image that Image makes, without a cache; it is closed with the test.
func FS(t testing.TB, layers ...string) *rootfs.FS {
	t.Helper()
	return Load(t, Image(t, layers...))
}

// Load loads any image, without a cache; it is closed with the test.
func Load(t testing.TB, img v1.Image) *rootfs.FS {
	t.Helper()
	f, err := rootfs.Load(context.Background(), img, rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close tree: %v", err)
		}
	})
	return f
}
