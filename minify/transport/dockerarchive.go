package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// The archive of `docker save`: manifest.json lists images, each the names of its
// configuration and layers in the archive. Its description:
// https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
//
// The archive has no image manifest. Here it is made as skopeo does: of the layers
// as they lie in the archive, so that nothing needs to be compressed to name it.
// Not go-containerregistry's tarball package: it searches the archive for each
// file, and takes all layers to be compressed as the first one is.

// archived is an image in manifest.json.
type archived struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

func loadDockerArchive(ctx context.Context, ref Reference, tempDir string) (*Source, error) {
	idx, err := openArchive(ctx, ref.path, tempDir)
	if err != nil {
		return nil, err
	}
	img, found, err := archiveImage(idx, ref.image)
	if err != nil {
		idx.Close()
		return nil, err
	}
	if ref.image == "" && len(found.RepoTags) == 1 {
		if name, err := imageName(found.RepoTags[0]); err == nil {
			ref.image = name
		}
	}
	id, err := img.ConfigName()
	if err != nil {
		idx.Close()
		return nil, err
	}
	return &Source{Image: img, Ref: ref, Digest: id, closer: idx}, nil
}

// archiveImage is the image of a name in an archive, or the only one.
func archiveImage(idx *tarIndex, name string) (v1.Image, archived, error) {
	raw, err := idx.readSmall("manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		if _, ok := idx.entries["index.json"]; ok {
			return nil, archived{}, mark(ErrInput, fmt.Errorf("no docker archive but an OCI one: it has no manifest.json; say %s:", OCIArchive))
		}
		return nil, archived{}, mark(ErrInput, errors.New("no docker archive: it has no manifest.json"))
	}
	if err != nil {
		return nil, archived{}, inputErr("read manifest.json", err)
	}
	var all []archived
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, archived{}, mark(ErrInput, fmt.Errorf("read manifest.json: %w", err))
	}
	found, err := findArchived(all, name)
	if err != nil {
		return nil, archived{}, err
	}
	img, err := idx.image(found)
	return img, found, err
}

func findArchived(all []archived, name string) (archived, error) {
	switch {
	case len(all) == 0:
		return archived{}, mark(ErrInput, errors.New("the archive has no image"))
	case name == "" && len(all) == 1:
		return all[0], nil
	case name == "":
		return archived{}, mark(ErrInput, fmt.Errorf("the archive has %d images; name one of %s", len(all), archivedTags(all)))
	case name[0] == '@':
		if n, err := strconv.Atoi(name[1:]); err == nil && n < len(all) {
			return all[n], nil
		}
		return archived{}, mark(ErrInput, fmt.Errorf("no image %s; the archive has %d", name, len(all)))
	}
	for _, a := range all {
		for _, tag := range a.RepoTags {
			if full, err := imageName(tag); err == nil && full == name {
				return a, nil
			}
		}
	}
	return archived{}, mark(ErrInput, fmt.Errorf("no image tagged %s; the archive has %s", familiar(name), archivedTags(all)))
}

func archivedTags(all []archived) string {
	var tags []string
	for i, a := range all {
		if len(a.RepoTags) == 0 {
			tags = append(tags, "@"+strconv.Itoa(i))
		}
		for _, t := range a.RepoTags {
			tags = append(tags, familiar(t))
		}
	}
	slices.Sort(tags)
	return strings.Join(tags, ", ")
}

func (t *tarIndex) readSmall(name string) ([]byte, error) {
	rc, _, err := t.open(name)
	if err != nil {
		return nil, err
	}
	return readSmall(name, rc)
}

// image makes the manifest of an archived image.
func (t *tarIndex) image(a archived) (v1.Image, error) {
	config, err := t.readSmall(a.Config)
	if err != nil {
		return nil, inputErr("read configuration", err)
	}
	cfg, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, mark(ErrInput, fmt.Errorf("read configuration %s: %w", a.Config, err))
	}
	diffIDs := cfg.RootFS.DiffIDs
	if len(diffIDs) != len(a.Layers) {
		return nil, mark(ErrInput, fmt.Errorf("manifest.json has %d layers, configuration %d diff IDs", len(a.Layers), len(diffIDs)))
	}
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Layers: make([]v1.Descriptor, len(a.Layers))}
	m.Config, err = describe(types.DockerConfigJSON, config)
	if err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range a.Layers {
		group.Go(func() (err error) {
			m.Layers[i], err = t.layer(name, diffIDs[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	where := map[v1.Hash]string{m.Config.Digest: a.Config}
	for i, d := range m.Layers {
		where[d.Digest] = a.Layers[i]
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&blobImage{
		mediaType: m.MediaType, rawManifest: raw, manifest: m,
		open: func(d v1.Descriptor) (io.ReadCloser, error) {
			rc, _, err := t.open(where[d.Digest])
			if err != nil {
				return nil, err
			}
			return verify(rc, d.Digest, d.Size)
		},
	})
}

// blobPath is where an archive that is an OCI layout too has its blobs.
var blobPath = regexp.MustCompile(`^blobs/sha256/([0-9a-f]{64})$`)

// layer describes a layer as it lies in the archive. A plain one's digest is its
// diff ID; that of a compressed one is in its name or must be computed.
func (t *tarIndex) layer(name string, diffID v1.Hash) (v1.Descriptor, error) {
	s, err := t.section(name)
	if err != nil {
		return v1.Descriptor{}, mark(ErrInput, fmt.Errorf("layer %s is not in the archive", name))
	}
	head := make([]byte, 4)
	n, err := s.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return v1.Descriptor{}, fmt.Errorf("read layer %s: %w", name, err)
	}
	d := v1.Descriptor{MediaType: types.DockerUncompressedLayer, Size: s.Size(), Digest: diffID}
	switch sniff(head[:n]) {
	case plainTar:
		return d, nil
	case gzipped:
		d.MediaType = types.DockerLayer
	case zstded:
		d.MediaType = types.OCILayerZStd
	}
	if m := blobPath.FindStringSubmatch(name); m != nil {
		d.Digest = v1.Hash{Algorithm: "sha256", Hex: m[1]}
		return d, nil
	}
	d.Digest, _, err = v1.SHA256(s)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read layer %s: %w", name, err)
	}
	return d, nil
}

func describe(mt types.MediaType, b []byte) (v1.Descriptor, error) {
	h, size, err := v1.SHA256(bytes.NewReader(b))
	return v1.Descriptor{MediaType: mt, Digest: h, Size: size}, err
}
