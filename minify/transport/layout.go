package transport

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

// The layout: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md

// containerdName is the annotation where containerd and buildkit put the full name
// of an image, its tag alone being in org.opencontainers.image.ref.name.
const containerdName = "io.containerd.image.name"

func loadLayout(ref Reference, want platform) (*Source, error) {
	if fi, err := os.Stat(ref.path); err != nil {
		return nil, openErr(err)
	} else if !fi.IsDir() {
		return nil, mark(ErrInput, fmt.Errorf("%s is a file; for a layout in an archive say %s:%s", ref.path, OCIArchive, ref.path))
	}
	return loadFromLayout(dirFiles(ref.path), ref, want)
}

func loadLayoutArchive(ctx context.Context, ref Reference, want platform, tempDir string) (*Source, error) {
	idx, err := openArchive(ctx, ref.path, tempDir)
	if err != nil {
		return nil, err
	}
	src, err := loadFromLayout(idx, ref, want)
	if err != nil {
		idx.Close()
		return nil, err
	}
	return src, nil
}

func loadFromLayout(files blobFiles, ref Reference, want platform) (*Source, error) {
	l := &layout{files}
	top, err := l.top()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mark(ErrInput, errors.New("no OCI layout there: it has no index.json"))
	}
	if err != nil {
		return nil, inputErr("read index.json", err)
	}
	found, err := named(top.Manifests, ref.image)
	if err != nil {
		return nil, err
	}
	img, err := pick(&layoutIndex{layout: l, manifest: &v1.IndexManifest{Manifests: found}}, want)
	if err != nil {
		return nil, err
	}
	if ref.image == "" && refName.MatchString(nameOf(found[0])) {
		ref.image = nameOf(found[0])
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	return &Source{Image: img, Ref: ref, Digest: digest, closer: files}, nil
}

// nameOf is the name that a layout gives an image.
func nameOf(d v1.Descriptor) string { return d.Annotations[specs.AnnotationRefName] }

// named finds the image of a name among a layout's: several descriptors if they
// are its platforms. A name matches in full, else by the tag of either's full
// form. Without a name it is the only image, or the only one that has no name.
func named(all []v1.Descriptor, name string) ([]v1.Descriptor, error) {
	all = slices.DeleteFunc(slices.Clone(all), func(d v1.Descriptor) bool { return isUnknown(d.Platform) })
	var found []v1.Descriptor
	if name == "" {
		if found = all; !oneImage(found) {
			found = filter(all, func(d v1.Descriptor) bool { return nameOf(d) == "" })
		}
	} else {
		for _, match := range []func(v1.Descriptor) bool{
			func(d v1.Descriptor) bool { return nameOf(d) == name },
			func(d v1.Descriptor) bool { return fullName(d.Annotations[containerdName]) == fullName(name) },
			func(d v1.Descriptor) bool { return nameOf(d) != "" && fullName(nameOf(d)) == fullName(name) },
			func(d v1.Descriptor) bool {
				return refTag(nameOf(d)) == name || refTag(d.Annotations[containerdName]) == name
			},
		} {
			if found = filter(all, match); len(found) > 0 {
				break
			}
		}
	}
	switch {
	case len(all) == 0:
		return nil, mark(ErrInput, errors.New("the layout has no image"))
	case len(found) == 0 && name == "":
		return nil, mark(ErrInput, fmt.Errorf("the layout has several images; name one of %s", names(all)))
	case len(found) == 0:
		return nil, mark(ErrInput, fmt.Errorf("no image tagged %s; it has %s", name, names(all)))
	case !oneImage(found):
		return nil, mark(ErrInput, fmt.Errorf("%s is ambiguous; it has %s", cmp.Or(name, "the image without a name"), names(all)))
	}
	return found, nil
}

// oneImage reports whether descriptors are one image: one descriptor, one digest,
// or one for each platform under one name.
func oneImage(ds []v1.Descriptor) bool {
	if len(ds) == 0 {
		return false
	}
	seen := make(map[string]v1.Hash)
	for _, d := range ds {
		if nameOf(d) != nameOf(ds[0]) {
			return false
		}
		key := ""
		if d.Platform != nil {
			key = normal(*d.Platform).String()
		}
		if have, ok := seen[key]; ok && have != d.Digest {
			return false
		}
		seen[key] = d.Digest
	}
	return true
}

func filter(ds []v1.Descriptor, keep func(v1.Descriptor) bool) []v1.Descriptor {
	return slices.DeleteFunc(slices.Clone(ds), func(d v1.Descriptor) bool { return !keep(d) })
}

func fullName(s string) string {
	if s == "" || !strings.ContainsAny(s, "/:") { // a plain tag is no name
		return s
	}
	if named, err := reference.ParseNormalizedNamed(s); err == nil {
		return reference.TagNameOnly(named).String()
	}
	return s
}

// names lists what a layout's images are called.
func names(ds []v1.Descriptor) string {
	var out []string
	for _, d := range ds {
		out = append(out, cmp.Or(nameOf(d), d.Annotations[containerdName], "one without a name"))
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) > 20 {
		out = append(out[:20], "…")
	}
	return strings.Join(out, ", ")
}

// layout reads the blobs of a layout, each checked.
type layout struct{ files blobFiles }

func (l *layout) top() (*v1.IndexManifest, error) {
	rc, _, err := l.files.open("index.json")
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := readSmall("index.json", rc)
	if err != nil {
		return nil, err
	}
	return v1.ParseIndexManifest(bytes.NewReader(b))
}

func (l *layout) blob(d v1.Descriptor) (io.ReadCloser, error) {
	rc, size, err := l.files.open("blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mark(ErrInput, fmt.Errorf("blob %s is missing", d.Digest))
	}
	if err != nil {
		return nil, err
	}
	if size != d.Size {
		rc.Close()
		return nil, mark(ErrInput, fmt.Errorf("blob %s has %d bytes, its descriptor says %d", d.Digest, size, d.Size))
	}
	return verify(rc, d.Digest, d.Size)
}

func (l *layout) image(d v1.Descriptor) (v1.Image, error) {
	raw, err := readBlob(l.blob, d)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, mark(ErrInput, fmt.Errorf("read manifest %s: %w", d.Digest, err))
	}
	return partial.CompressedToImage(&blobImage{mediaType: d.MediaType, rawManifest: raw, manifest: m, open: l.blob})
}

// layoutIndex is an index of a layout. That of the top, index.json, has no blob.
type layoutIndex struct {
	layout   *layout
	desc     v1.Descriptor
	raw      []byte
	manifest *v1.IndexManifest
}

func (i *layoutIndex) MediaType() (types.MediaType, error)         { return i.desc.MediaType, nil }
func (i *layoutIndex) Digest() (v1.Hash, error)                    { return i.desc.Digest, nil }
func (i *layoutIndex) Size() (int64, error)                        { return i.desc.Size, nil }
func (i *layoutIndex) RawManifest() ([]byte, error)                { return i.raw, nil }
func (i *layoutIndex) IndexManifest() (*v1.IndexManifest, error)   { return i.manifest, nil }
func (i *layoutIndex) Image(h v1.Hash) (v1.Image, error)           { return i.layout.image(i.child(h)) }
func (i *layoutIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) { return i.layout.index(i.child(h)) }

// child is the descriptor of a digest that pick took from the same list.
func (i *layoutIndex) child(h v1.Hash) v1.Descriptor {
	at := slices.IndexFunc(i.manifest.Manifests, func(d v1.Descriptor) bool { return d.Digest == h })
	return i.manifest.Manifests[at]
}

func (l *layout) index(d v1.Descriptor) (v1.ImageIndex, error) {
	raw, err := readBlob(l.blob, d)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	var m v1.IndexManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, mark(ErrInput, fmt.Errorf("read index %s: %w", d.Digest, err))
	}
	return &layoutIndex{l, d, raw, &m}, nil
}
