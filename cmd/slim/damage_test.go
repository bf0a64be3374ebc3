//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"slim/probe/rootfs/treetest"
)

// damages are ways in which the one image of a layout can be broken. All but the
// first four keep every digest right, so that only what they name is wrong.
var damages = map[string]func(*damaged) error{
	"flip": func(d *damaged) error { // one bit of the last layer's blob
		return d.editBlob(d.lastLayer().Digest, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	},
	"truncate": func(d *damaged) error {
		return d.editBlob(d.lastLayer().Digest, func(b []byte) []byte { return b[:len(b)/2] })
	},
	"swap": func(d *damaged) error { // another good blob of the same length under its name
		first := d.manifest.Layers[0].Digest
		return d.editBlob(first, func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) })
	},
	"missing": func(d *damaged) error { return os.Remove(d.path(d.lastLayer().Digest)) },
	"gzip": func(d *damaged) error {
		return d.replaceLayer(func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b })
	},
	"cut": func(d *damaged) error { // a whole gzip stream of half an archive
		return d.replaceLayer(func(b []byte) []byte {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil
			}
			plain, _ := io.ReadAll(z)
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			w.Write(plain[:700]) // within the first file
			w.Close()
			return out.Bytes()
		})
	},
	"mediatype": func(d *damaged) error {
		d.lastLayer().MediaType = "application/vnd.example.layer.v1.tar+lz4"
		return nil
	},
	"diffid": func(d *damaged) error {
		return d.editConfig(func(c []byte) []byte {
			at := bytes.LastIndex(c, []byte("sha256:")) + len("sha256:")
			return slices.Concat(c[:at], bytes.Repeat([]byte("0"), 64), c[at+64:])
		})
	},
	"diffids": func(d *damaged) error { // fewer than layers
		d.manifest.Layers = append(d.manifest.Layers, *d.lastLayer())
		return nil
	},
	"config": func(d *damaged) error {
		return d.editConfig(func([]byte) []byte { return []byte("no JSON at all") })
	},
}

// damaged is an OCI layout with one image, being broken.
type damaged struct {
	dir      string
	index    *v1.IndexManifest
	manifest *v1.Manifest
}

// damage breaks the image of a layout: damage DIR HOW.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || damages[args[1]] == nil {
		ts.Fatalf("usage: damage DIR HOW")
	}
	d := &damaged{dir: ts.MkAbs(args[0])}
	ts.Check(d.read())
	ts.Check(damages[args[1]](d))
	ts.Check(d.write())
}

func (d *damaged) read() (err error) {
	if d.index, err = readJSON[v1.IndexManifest](filepath.Join(d.dir, "index.json")); err != nil {
		return err
	}
	if len(d.index.Manifests) != 1 {
		return fmt.Errorf("%d images in the layout, want one", len(d.index.Manifests))
	}
	d.manifest, err = readJSON[v1.Manifest](d.path(d.index.Manifests[0].Digest))
	return err
}

// write makes the manifest and the index anew.
func (d *damaged) write() error {
	raw, err := json.Marshal(d.manifest)
	if err != nil {
		return err
	}
	desc := &d.index.Manifests[0]
	if desc.Digest, desc.Size, err = d.put(raw); err != nil {
		return err
	}
	if raw, err = json.Marshal(d.index); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "index.json"), raw, 0o644)
}

func (d *damaged) path(h v1.Hash) string {
	return filepath.Join(d.dir, "blobs", h.Algorithm, h.Hex)
}

func (d *damaged) lastLayer() *v1.Descriptor {
	return &d.manifest.Layers[len(d.manifest.Layers)-1]
}

func (d *damaged) put(b []byte) (v1.Hash, int64, error) {
	h, size, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		return h, 0, err
	}
	return h, size, os.WriteFile(d.path(h), b, 0o644)
}

// editBlob changes a blob under its name.
func (d *damaged) editBlob(h v1.Hash, edit func([]byte) []byte) error {
	b, err := os.ReadFile(d.path(h))
	if err != nil {
		return err
	}
	return os.WriteFile(d.path(h), edit(b), 0o644)
}

// replaceLayer changes the last layer and its descriptor with it.
func (d *damaged) replaceLayer(edit func([]byte) []byte) error {
	l := d.lastLayer()
	b, err := os.ReadFile(d.path(l.Digest))
	if err != nil {
		return err
	}
	l.Digest, l.Size, err = d.put(edit(b))
	return err
}

func (d *damaged) editConfig(edit func([]byte) []byte) error {
	b, err := os.ReadFile(d.path(d.manifest.Config.Digest))
	if err != nil {
		return err
	}
	d.manifest.Config.Digest, d.manifest.Config.Size, err = d.put(edit(b))
	return err
}

func readJSON[T any](path string) (*T, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := new(T)
	return v, json.Unmarshal(data, v)
}

// writeLayout puts img into a new layout as latest; with platforms, an index of an
// image for each of them, in this order.
func writeLayout(t *testing.T, dir string, img v1.Image, platforms ...string) error {
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	name := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"})
	if len(platforms) == 0 {
		return p.AppendImage(img, name)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return err
		}
		one, err := forPlatform(t, img, platform)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return p.AppendIndex(index, name)
}

// forPlatform is img with another platform, and a file that names it.
func forPlatform(t *testing.T, img v1.Image, p *v1.Platform) (v1.Image, error) {
	img, err := mutate.AppendLayers(img, treetest.Layer(t, fmt.Sprintf("file /platform %q", p.String()+"\n")))
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	return mutate.ConfigFile(img, cfg)
}
