package transport

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	comp "github.com/google/go-containerregistry/pkg/compression"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"slim/testdata/skip"
)

// layerTar is a layer of one file.
func layerTar(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarLayer(t *testing.T, how compression, name, content string) v1.Layer {
	t.Helper()
	b := layerTar(t, name, content)
	if how == plainTar {
		return static.NewLayer(b, types.OCIUncompressedLayer)
	}
	c, mt := comp.GZip, types.OCILayer
	if how == zstded {
		c, mt = comp.ZStd, types.OCILayerZStd
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}, tarball.WithCompression(c), tarball.WithMediaType(mt))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testImage has a layer for each compression; word makes it another image.
func testImage(t *testing.T, word string, how ...compression) v1.Image {
	t.Helper()
	return imageFor(t, v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, word, how...)
}

func imageFor(t *testing.T, p v1.Platform, word string, how ...compression) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for i, c := range how {
		l := tarLayer(t, c, "file"+string(rune('a'+i)), strings.Repeat(word+" ", 1000*(i+1)))
		mt, err := l.MediaType()
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: mt}); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	cfg.Config.Env = []string{"WORD=" + word}
	cfg.Config.Cmd = []string{"/bin/true"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func parseRef(t *testing.T, s string) Reference {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustStore(t *testing.T, img v1.Image, to string) Stored {
	t.Helper()
	out, err := Store(context.Background(), img, parseRef(t, to), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mustLoad loads and recomputes all of the image.
func mustLoad(t *testing.T, from string, opts Options) *Source {
	t.Helper()
	src, err := Load(context.Background(), parseRef(t, from), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := checkImage(src.Image); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return src
}

// checkImage recomputes every digest. go-containerregistry's validate knows layers
// in gzip only.
func checkImage(img v1.Image) error {
	if err := validate.Image(img, validate.Fast); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		stored, err := l.Digest()
		if err != nil {
			return err
		}
		diffID, err := l.DiffID()
		if err != nil {
			return err
		}
		for want, open := range map[v1.Hash]func() (io.ReadCloser, error){stored: l.Compressed, diffID: l.Uncompressed} {
			rc, err := open()
			if err != nil {
				return fmt.Errorf("layer %d: %w", i, err)
			}
			got, _, err := v1.SHA256(rc)
			rc.Close()
			if err != nil {
				return fmt.Errorf("layer %d: %w", i, err)
			}
			if got != want {
				return fmt.Errorf("layer %d: digest %s, want %s", i, got, want)
			}
		}
	}
	return nil
}

func word(t *testing.T, img v1.Image) string {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.Join(cfg.Config.Env, ""), "WORD=")
}

// sameContent fails unless two images have the same layers and settings.
func sameContent(t *testing.T, got, want v1.Image) {
	t.Helper()
	a, err := got.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b, cmpopts.EquateEmpty()); diff != "" { // the diff IDs are in it
		t.Errorf("configuration (-got +want):\n%s", diff)
	}
}

// testRegistry is a registry in this process; its address ends in "/".
func testRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(ggcr.New(ggcr.Logger(nopLog())))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://") + "/"
}

func tool(t *testing.T, name string) func(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip.Test(t, "%s is not installed", name)
	}
	return func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := exec.Command(path, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

// files lists a tree's files, relative.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err == nil && path != dir {
			path, err = filepath.Rel(dir, path)
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
