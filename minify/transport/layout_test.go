package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcr "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// writeIndexLayout has go-containerregistry write a layout, the index tagged multi.
func writeIndexLayout(t *testing.T, dir string, idx v1.ImageIndex) {
	t.Helper()
	l, err := ggcr.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendIndex(idx, ggcr.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "multi"})); err != nil {
		t.Fatal(err)
	}
}

// A name is found in full first, then by its tag, wherever tools put it.
func TestLayoutNames(t *testing.T) {
	dir := t.TempDir()
	l, err := ggcr.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for what, annotations := range map[string]map[string]string{
		"full":    {"org.opencontainers.image.ref.name": "docker.io/library/app:v1"},
		"plain":   {"org.opencontainers.image.ref.name": "v2"},
		"buildx":  {"org.opencontainers.image.ref.name": "v3", "io.containerd.image.name": "docker.io/library/app:v3"},
		"nobody":  nil,
		"host":    {"org.opencontainers.image.ref.name": "example.org/x:both"},
		"another": {"org.opencontainers.image.ref.name": "example.net/x:both"},
	} {
		if err := l.AppendImage(testImage(t, what, gzipped), ggcr.WithAnnotations(annotations)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"":                          "nobody",
		":docker.io/library/app:v1": "full",
		":app:v1":                   "full",
		":v1":                       "full",
		":v2":                       "plain",
		":v3":                       "buildx",
		":app:v3":                   "buildx",
		":docker.io/library/app:v3": "buildx",
		":example.net/x:both":       "another",
	} {
		if got := word(t, mustLoad(t, "oci:"+dir+name, Options{}).Image); got != want {
			t.Errorf("oci:DIR%s is %s, want %s", name, got, want)
		}
	}
	if _, err := Load(context.Background(), parseRef(t, "oci:"+dir+":both"), Options{}); err == nil || !strings.Contains(err.Error(), "ambiguous") {
		t.Errorf("oci:DIR:both: %v", err)
	}
}

// Storing moves one tag and leaves the rest of a layout alone, what is not known
// of it too.
func TestLayoutKeepsOthers(t *testing.T) {
	dir := t.TempDir() + "/layout"
	one, two, three := testImage(t, "one", gzipped), testImage(t, "two", gzipped), testImage(t, "three", gzipped)
	mustStore(t, one, "oci:"+dir+":one")
	mustStore(t, two, "oci:"+dir+":two")

	path := filepath.Join(dir, "index.json")
	edit(t, path, func(idx map[string]any) { idx["x-tool"] = "keep" })
	mustStore(t, three, "oci:"+dir+":one")

	for tag, want := range map[string]string{"one": "three", "two": "two"} {
		if got := word(t, mustLoad(t, "oci:"+dir+":"+tag, Options{}).Image); got != want {
			t.Errorf("%s is %s, want %s", tag, got, want)
		}
	}
	edit(t, path, func(idx map[string]any) {
		if n := len(idx["manifests"].([]any)); n != 2 || idx["x-tool"] != "keep" {
			t.Errorf("index.json: %v", idx)
		}
	})
}

func edit(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	change(doc)
	if b, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLayoutConcurrentWriters(t *testing.T) {
	dir := t.TempDir() + "/layout"
	var group errgroup.Group
	const writers = 16
	for i := range writers {
		img := testImage(t, fmt.Sprint(i/2), gzipped) // pairs share all blobs
		ref := parseRef(t, fmt.Sprintf("oci:%s:v%d", dir, i))
		group.Go(func() error {
			_, err := Store(context.Background(), img, ref, Options{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		if got, want := word(t, mustLoad(t, fmt.Sprintf("oci:%s:v%d", dir, i), Options{}).Image), fmt.Sprint(i/2); got != want {
			t.Errorf("v%d is %s, want %s", i, got, want)
		}
	}
	for _, f := range files(t, dir) {
		if strings.HasPrefix(filepath.Base(f), ".") {
			t.Errorf("left behind: %s", f)
		}
	}
}

// brokenLayer yields other bytes than it should, or fails.
type brokenLayer struct {
	v1.Layer
	read func() (io.ReadCloser, error)
}

func (l brokenLayer) Compressed() (io.ReadCloser, error)  { return l.read() }
func (l brokenLayer) Descriptor() (*v1.Descriptor, error) { return l.desc() }
func (l brokenLayer) desc() (*v1.Descriptor, error) {
	h, err := l.Digest()
	if err != nil {
		return nil, err
	}
	size, err := l.Size()
	return &v1.Descriptor{MediaType: types.OCILayer, Digest: h, Size: size}, err
}

func appendLayer(t *testing.T, img v1.Image, l v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(img, l)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// junkLayer is a layer that is well digested but no tar archive.
func junkLayer(t *testing.T) v1.Layer {
	t.Helper()
	return static.NewLayer(bytes.Repeat([]byte("junk"), 1000), types.OCIUncompressedLayer)
}

func TestStoreFailureLeavesNothing(t *testing.T) {
	good := tarLayer(t, gzipped, "file", "good")
	errBroken := errors.New("cannot read")
	reads := map[string]func() (io.ReadCloser, error){
		"cannot read": func() (io.ReadCloser, error) { return nil, errBroken },
		"truncated":   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil },
		"wrong digest": func() (io.ReadCloser, error) {
			size, err := good.Size()
			return io.NopCloser(bytes.NewReader(make([]byte, size))), err
		},
		"longer": func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, 1<<16))), nil },
	}
	for says, read := range reads {
		dir := t.TempDir()
		before := testImage(t, "before", gzipped)
		refs := []string{"oci:" + dir + "/l:v1", "oci-archive:" + dir + "/o.tar:v1", "docker-archive:" + dir + "/d.tar:app:v1"}
		for _, ref := range refs {
			mustStore(t, before, ref)
		}
		was := strings.Join(files(t, dir), "\n")
		img := appendLayer(t, testImage(t, "new", gzipped), brokenLayer{good, read})
		for _, ref := range append(refs, "oci:"+dir+"/a/b:v1", "oci-archive:"+dir+"/c/o.tar", "docker-archive:"+dir+"/e/f/d.tar") {
			if _, err := Store(context.Background(), img, parseRef(t, ref), Options{}); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("Store(%s): %v, want %q", ref, err, says)
			}
		}
		if now := strings.Join(files(t, dir), "\n"); now != was {
			t.Errorf("%s: files were\n%s\nare\n%s", says, was, now)
		}
		for _, ref := range refs {
			if got := word(t, mustLoad(t, ref, Options{}).Image); got != "before" {
				t.Errorf("%s is %s", ref, got)
			}
		}
	}
}

// A blob that is there but broken is written anew.
func TestLayoutRepairsBlob(t *testing.T) {
	dir := t.TempDir() + "/layout"
	img := testImage(t, "good", gzipped)
	mustStore(t, img, "oci:"+dir+":v1")
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "blobs/sha256", h.Hex)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := Load(context.Background(), parseRef(t, "oci:"+dir+":v1"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	broken, err := src.Image.LayerByDigest(h)
	if err != nil {
		t.Fatal(err)
	}
	// As stored: to a decompressor the flipped bit may be an error of its own.
	r, err := broken.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, ErrInput) {
		t.Errorf("broken layer: %v", err)
	}
	mustStore(t, img, "oci:"+dir+":v2")
	mustLoad(t, "oci:"+dir+":v1", Options{})
}

// The bits of a name's file mode are the user's umask's, as for any new file.
func TestStoredMode(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(plain)
	if err != nil {
		t.Fatal(err)
	}
	mustStore(t, testImage(t, "x", gzipped), "docker-archive:"+dir+"/d.tar")
	got, err := os.Stat(dir + "/d.tar")
	if err != nil {
		t.Fatal(err)
	}
	if got.Mode() != want.Mode() {
		t.Errorf("mode %v, want %v", got.Mode(), want.Mode())
	}
}

// A link to an archive is written through.
func TestStoreThroughLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("real.tar", dir+"/link.tar"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the target missing, then there
		mustStore(t, testImage(t, "x", gzipped), "docker-archive:"+dir+"/link.tar")
		mustLoad(t, "docker-archive:"+dir+"/real.tar", Options{})
		if fi, err := os.Lstat(dir + "/link.tar"); err != nil || fi.Mode().Type() != os.ModeSymlink {
			t.Errorf("the link became %v, %v", fi.Mode(), err)
		}
	}
}
