package transport

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

// blob is one of a layout's files.
type blob struct {
	desc v1.Descriptor
	open func() (io.ReadCloser, error) // checked
}

// blobsOf lists an image's blobs in the order of their names, each once, and
// describes its manifest.
func blobsOf(img v1.Image) ([]blob, v1.Descriptor, error) {
	p, err := partsOf(img)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	desc, err := partial.Descriptor(img)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	inMemory := func(d v1.Descriptor, b []byte) blob {
		return blob{d, func() (io.ReadCloser, error) { return verify(io.NopCloser(bytes.NewReader(b)), d.Digest, d.Size) }}
	}
	blobs := []blob{inMemory(*desc, raw), inMemory(p.manifest.Config, p.config)}
	for i, l := range p.layers {
		d := p.manifest.Layers[i]
		blobs = append(blobs, blob{d, func() (io.ReadCloser, error) { return checkedLayer(l, d) }})
	}
	slices.SortStableFunc(blobs, func(a, b blob) int { return strings.Compare(a.desc.Digest.String(), b.desc.Digest.String()) })
	blobs = slices.CompactFunc(blobs, func(a, b blob) bool { return a.desc.Digest == b.desc.Digest })
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	top := v1.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	if cfg.OS != "" && cfg.Architecture != "" {
		top.Platform = &v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	}
	return blobs, top, nil
}

const layoutVersion = `{"imageLayoutVersion":"` + specs.ImageLayoutVersion + `"}`

func storeLayoutArchive(ctx context.Context, img v1.Image, to Reference) (v1.Hash, error) {
	blobs, top, err := blobsOf(img)
	if err != nil {
		return v1.Hash{}, err
	}
	index, err := addToIndex(newIndex(), top, to.image)
	if err != nil {
		return v1.Hash{}, err
	}
	return top.Digest, replaceFile(to.path, func(f io.Writer) error {
		w := archiveWriter{ctx, tar.NewWriter(f)}
		for _, b := range blobs {
			if err := w.blob(b); err != nil {
				return err
			}
		}
		if err := w.bytes("index.json", index); err != nil {
			return err
		}
		if err := w.bytes(specs.ImageLayoutFile, []byte(layoutVersion)); err != nil {
			return err
		}
		return w.Close()
	})
}

func (w archiveWriter) blob(b blob) error {
	rc, err := b.open()
	if err != nil {
		return err
	}
	defer rc.Close()
	return w.file("blobs/"+b.desc.Digest.Algorithm+"/"+b.desc.Digest.Hex, b.desc.Size, rc)
}

// checkLayout tells whether dir is, or can become, a layout.
func checkLayout(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if fi, serr := os.Stat(dir); serr == nil && !fi.IsDir() {
			return mark(ErrUsage, fmt.Errorf("%s is not a folder", dir))
		}
		return err
	}
	known := func(e os.DirEntry) bool {
		return slices.Contains([]string{"index.json", specs.ImageLayoutFile, "blobs"}, e.Name())
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, known) {
		return mark(ErrUsage, fmt.Errorf("folder %s is not empty and no OCI layout", dir))
	}
	return checkDir(dir)
}

// storeLayout adds the image to the layout in to.path under its name: the blobs
// first, each appearing whole, then index.json anew. What a failure leaves behind
// is what was there before.
func storeLayout(ctx context.Context, img v1.Image, to Reference) (_ v1.Hash, err error) {
	if err := checkLayout(to.path); err != nil {
		return v1.Hash{}, err
	}
	blobs, top, err := blobsOf(img)
	if err != nil {
		return v1.Hash{}, err
	}
	made, err := makeDirs(to.path)
	if err != nil {
		return v1.Hash{}, err
	}
	unlock, err := lockDir(ctx, to.path)
	if err != nil {
		removeDirs(made)
		return v1.Hash{}, err
	}
	defer unlock()
	undo := []func(){func() { removeDirs(made) }}
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(undo) {
				f()
			}
		}
	}()
	for _, b := range blobs {
		dir := filepath.Join(to.path, "blobs", b.desc.Digest.Algorithm)
		made, err := makeDirs(dir)
		if err != nil {
			return v1.Hash{}, err
		}
		undo = append(undo, func() { removeDirs(made) })
		wrote, err := writeBlob(ctx, dir, b)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("blob %s: %w", b.desc.Digest, err)
		}
		if wrote {
			undo = append(undo, func() { os.Remove(filepath.Join(dir, b.desc.Digest.Hex)) })
		}
	}
	return top.Digest, writeIndex(to, top, &undo)
}

// writeBlob writes a blob that is not there in good order, and tells if there was
// none at all.
func writeBlob(ctx context.Context, dir string, b blob) (isNew bool, err error) {
	name := b.desc.Digest.Hex
	f, err := os.Open(filepath.Join(dir, name))
	switch {
	case err == nil:
		have, err := verify(f, b.desc.Digest, b.desc.Size)
		if err != nil {
			return false, err
		}
		_, err = io.Copy(io.Discard, ctxReader{ctx, have})
		have.Close()
		if err == nil || isContext(err) {
			return false, err
		}
	case errors.Is(err, fs.ErrNotExist):
		isNew = true
	default:
		return false, err
	}
	rc, err := b.open()
	if err != nil {
		return false, err
	}
	defer rc.Close()
	return isNew, writeFile(dir, name, func(w io.Writer) error {
		_, err := io.Copy(w, ctxReader{ctx, rc})
		return err
	})
}

// index keeps what this program does not know of an index.json as it is.
type index map[string]json.RawMessage

func newIndex() index {
	return index{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + types.OCIImageIndex + `"`)}
}

// writeIndex names the image in index.json.
func writeIndex(to Reference, top v1.Descriptor, undo *[]func()) error {
	version := filepath.Join(to.path, specs.ImageLayoutFile)
	if _, err := os.Stat(version); errors.Is(err, fs.ErrNotExist) {
		err := writeFile(to.path, specs.ImageLayoutFile, func(w io.Writer) error {
			_, err := io.WriteString(w, layoutVersion)
			return err
		})
		if err != nil {
			return err
		}
		*undo = append(*undo, func() { os.Remove(version) })
	}
	idx := newIndex()
	have, err := os.ReadFile(filepath.Join(to.path, "index.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(have, &idx); err != nil {
			return mark(ErrInput, fmt.Errorf("read index.json: %w", err))
		}
	}
	b, err := addToIndex(idx, top, to.image)
	if err != nil {
		return err
	}
	return writeFile(to.path, "index.json", func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// addToIndex puts d into an index, in place of those of the same name.
func addToIndex(idx index, d v1.Descriptor, name string) ([]byte, error) {
	var all []json.RawMessage
	if raw, ok := idx["manifests"]; ok {
		if err := json.Unmarshal(raw, &all); err != nil {
			return nil, mark(ErrInput, fmt.Errorf("read index.json: manifests: %w", err))
		}
	}
	all = slices.DeleteFunc(all, func(raw json.RawMessage) bool {
		var have v1.Descriptor
		return json.Unmarshal(raw, &have) == nil && name != "" && nameOf(have) == name
	})
	if name != "" {
		d.Annotations = map[string]string{specs.AnnotationRefName: name}
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if idx["manifests"], err = json.Marshal(append(all, raw)); err != nil {
		return nil, err
	}
	return json.Marshal(idx)
}
