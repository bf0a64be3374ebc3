package layer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	specv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// SourceDigest is the label and the manifest annotation that name the digest of
// the image a result was made from.
const SourceDigest = "slim.source.digest"

// ImageOptions of Image.
type ImageOptions struct {
	// Source is the digest of the original's manifest.
	Source v1.Hash
	// Base is the image below the layer, nil for scratch; BaseName and BaseDigest are
	// what its reference said, for the base-image annotations.
	Base       v1.Image
	BaseName   string
	BaseDigest v1.Hash
	// Start, if set, gives the entrypoint, command, environment, folder and user in
	// the original's place.
	Start *v1.Config
	// CreatedBy is the text of the one history entry.
	CreatedBy string
}

// Image puts l on the base and the original's config around it: the same
// environment, user, labels, volumes, ports, health check, stop signal, entrypoint
// and on-build triggers. The manifest is an OCI one, as zstd layers and
// annotations need it. The creation time stays the original's, so that the same
// input gives the same digest.
func Image(orig v1.Image, l *Layer, opts ImageOptions) (v1.Image, error) {
	img, err := image(orig, l, opts)
	if err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	return img, nil
}

func image(orig v1.Image, l *Layer, opts ImageOptions) (v1.Image, error) {
	cfg, err := orig.ConfigFile()
	if err != nil {
		return nil, err
	}
	manifest, err := orig.Manifest()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	adds, err := baseLayers(opts.Base)
	if err != nil {
		return nil, err
	}
	adds = append(adds, mutate.Addendum{
		Layer:       l,
		Annotations: l.Annotations,
		History:     v1.History{Created: cfg.Created, CreatedBy: opts.CreatedBy},
	})
	if img, err = mutate.Append(img, adds...); err != nil {
		return nil, err
	}
	img = mutate.Annotations(img, annotate(manifest.Annotations, opts)).(v1.Image)
	raw, err := orig.RawConfigFile()
	if err != nil {
		return nil, err
	}
	stacked, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	if raw, err = patchConfig(raw, stacked, annotate(cfg.Config.Labels, opts), opts.Start); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return withConfig(img, raw)
}

// patchConfig changes in an image config what slim changes, and nothing else: it may
// hold fields that no type here knows of.
func patchConfig(raw []byte, stacked *v1.ConfigFile, labels map[string]string, start *v1.Config) ([]byte, error) {
	var file, config map[string]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	if c, ok := file["config"]; ok {
		if err := json.Unmarshal(c, &config); err != nil {
			return nil, err
		}
	}
	if config == nil {
		config = make(map[string]json.RawMessage)
	}
	type change struct {
		in    map[string]json.RawMessage
		name  string
		value any
	}
	var changes []change
	if start != nil {
		changes = []change{
			{config, "Entrypoint", start.Entrypoint},
			{config, "Cmd", start.Cmd},
			{config, "Env", start.Env},
			{config, "WorkingDir", start.WorkingDir},
			{config, "User", start.User},
		}
	}
	for _, field := range append(changes, []change{
		{config, "Labels", labels},
		{file, "config", &config},
		{file, "rootfs", stacked.RootFS},
		{file, "history", stacked.History},
	}...) {
		value, err := json.Marshal(field.value)
		if err != nil {
			return nil, err
		}
		field.in[field.name] = value
	}
	return json.Marshal(file)
}

// withConfig is img with the given config.
func withConfig(img v1.Image, raw []byte) (v1.Image, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	manifest = manifest.DeepCopy()
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	manifest.Config.Digest, manifest.Config.Size = digest, size
	rawManifest, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&assembled{img, raw, rawManifest})
}

// assembled is an image whose config and manifest are given.
type assembled struct {
	layers           v1.Image
	config, manifest []byte
}

func (a *assembled) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (a *assembled) RawConfigFile() ([]byte, error)      { return a.config, nil }
func (a *assembled) RawManifest() ([]byte, error)        { return a.manifest, nil }
func (a *assembled) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	return a.layers.LayerByDigest(h)
}

// annotate copies m, adds where the image comes from, and makes the inherited
// base-image entries true or takes them out.
func annotate(m map[string]string, opts ImageOptions) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = make(map[string]string)
	}
	out[SourceDigest] = opts.Source.String()
	delete(out, specv1.AnnotationBaseImageName)
	delete(out, specv1.AnnotationBaseImageDigest)
	if opts.Base != nil {
		out[specv1.AnnotationBaseImageName] = opts.BaseName
		out[specv1.AnnotationBaseImageDigest] = opts.BaseDigest.String()
	}
	return out
}

// baseLayers are the base's layers under OCI media types, each with its history.
func baseLayers(base v1.Image) ([]mutate.Addendum, error) {
	if base == nil {
		return nil, nil
	}
	layers, err := base.Layers()
	if err != nil {
		return nil, err
	}
	cfg, err := base.ConfigFile()
	if err != nil {
		return nil, err
	}
	history := make([]v1.History, 0, len(layers)) // of the entries that made a layer
	for _, h := range cfg.History {
		if !h.EmptyLayer {
			history = append(history, h)
		}
	}
	adds := make([]mutate.Addendum, len(layers))
	for i, l := range layers {
		mt, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		adds[i] = mutate.Addendum{Layer: l, MediaType: ociLayer(mt)}
		if len(history) == len(layers) {
			adds[i].History = history[i]
		}
	}
	return adds, nil
}

// ociLayer is the OCI name of a layer's media type.
func ociLayer(mt types.MediaType) types.MediaType {
	switch {
	case mt == types.DockerLayer:
		return types.OCILayer
	case mt == types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	case strings.HasSuffix(string(mt), "zstd"):
		return types.OCILayerZStd
	}
	return mt
}
