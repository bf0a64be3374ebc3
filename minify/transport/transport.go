// Package transport loads and stores container images, each named by a
// Reference in skopeo's spelling: a Docker Engine, a registry, an OCI layout in a
// folder or a tar archive, a `docker save` archive.
//
// Promise: every manifest, configuration and layer that a loaded image hands out
// is checked against its digest while it is read. A store is all or nothing: the
// tag or file appears, whole, as the last step, and the source is never written
// over. No temporary file outlives the process, however it ends, where the file
// system knows O_TMPFILE or unlinked files.
//
// Limits: schema 1 manifests, foreign layers without content, and archives inside
// other compressions than gzip and zstd are refused. Memory follows the number of
// an archive's entries and the size of its manifests, never that of its layers.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options of Load, Store and CheckStore. The zero value is useful.
type Options struct {
	// Platform picks an image of a multi-platform index: "os/arch[/variant]", as
	// docker's --platform. Empty is linux on this machine's architecture. If it is
	// given, an image that is no index must be of it too.
	Platform string

	// TempDir holds what a transport must buffer; the system's if empty.
	TempDir string

	// Source is what the image was loaded from (Source.Ref); Store and CheckStore
	// refuse to overwrite it.
	Source Reference
}

// Source is a loaded image.
type Source struct {
	// Image reads its layers lazily. Reading a registry's obeys the context that
	// Load was given, so that must live as long as the Source.
	Image v1.Image

	// Ref is the reference as it was resolved: a bare name has its transport, and
	// the only image of a layout or archive has its name.
	Ref Reference

	// Digest identifies the image in its source: the digest of its manifest, or
	// where there is none the image's ID, which is the digest of its configuration
	// (docker-archive; a Docker Engine that does not know the image's registry
	// digest).
	Digest v1.Hash

	// Size is the sum, in bytes, of the configuration and the layers as the source
	// holds them: compressed in a registry, mostly plain in a Docker Engine.
	Size int64

	closer io.Closer
}

// Close releases what the image is read from. The Image is of no use then.
func (s *Source) Close() error {
	if s == nil || s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// Stored tells what Store wrote.
type Stored struct {
	// Ref is what to give to Load, or to skopeo, to get the image back.
	Ref Reference

	// Digest is that of the manifest (registry, oci, oci-archive) or the image's ID
	// (docker-daemon, docker-archive).
	Digest v1.Hash
}

// Load opens the image that ref names. A bare name is looked for in the Docker
// Engine (DOCKER_HOST, else the default socket), if one answers, then in its
// registry; Source.Ref says which had it. Errors: ErrInput, ErrUnavailable,
// ErrUnsupported, ErrUsage, or the context's.
func Load(ctx context.Context, ref Reference, opts Options) (*Source, error) {
	want, err := parsePlatform(opts.Platform)
	if err != nil {
		return nil, err
	}
	src, err := load(ctx, ref, want, opts.TempDir)
	if err != nil {
		return nil, fail(ctx, ref, err)
	}
	if err := src.examine(want); err != nil {
		src.Close()
		return nil, fail(ctx, src.Ref, err)
	}
	return src, nil
}

func load(ctx context.Context, ref Reference, want platform, tempDir string) (*Source, error) {
	switch ref.transport {
	case Daemon:
		return loadDaemon(ctx, ref, want, tempDir)
	case Registry:
		return loadRegistry(ctx, ref, want)
	case OCI:
		return loadLayout(ref, want)
	case OCIArchive:
		return loadLayoutArchive(ctx, ref, want, tempDir)
	case DockerArchive:
		return loadDockerArchive(ctx, ref, tempDir)
	}
	if ref.IsZero() {
		return nil, mark(ErrUsage, errors.New("no image named"))
	}
	return loadBare(ctx, ref, want, tempDir)
}

// loadBare tries the Engine, then the registry. Only an Engine that is not there
// or does not have the image sends the search on: any other failure of it could
// otherwise yield another image of the same name.
func loadBare(ctx context.Context, ref Reference, want platform, tempDir string) (*Source, error) {
	src, daemonErr := loadDaemon(ctx, ref.in(Daemon), want, tempDir)
	if daemonErr == nil {
		return src, nil
	}
	if !errors.Is(daemonErr, errAbsent) && !errors.Is(daemonErr, errNoDaemon) {
		return nil, daemonErr
	}
	if ref.id() != "" { // an image ID means nothing to a registry
		return nil, daemonErr
	}
	src, err := loadRegistry(ctx, ref.in(Registry), want)
	if err != nil {
		return nil, fmt.Errorf("%w; Docker Engine: %s", err, oneLine(daemonErr.Error()))
	}
	return src, nil
}

// examine reads what is cheap to read, so that an image that cannot be used is
// refused before anything is done with it, and sets Size and, if the transport
// did not, Digest.
func (s *Source) examine(want platform) error {
	manifest, err := s.Image.Manifest()
	if err != nil {
		return inputErr("read manifest", err)
	}
	if !manifest.Config.MediaType.IsConfig() {
		return mark(ErrInput, fmt.Errorf("not a container image: its configuration is of type %q", manifest.Config.MediaType))
	}
	cfg, err := s.Image.ConfigFile()
	if err != nil {
		return inputErr("read configuration", err)
	}
	if n, m := len(manifest.Layers), len(cfg.RootFS.DiffIDs); n != m {
		return mark(ErrInput, fmt.Errorf("manifest has %d layers, configuration %d diff IDs", n, m))
	}
	s.Size = manifest.Config.Size
	for _, l := range manifest.Layers {
		if _, ok := compressionOf(l.MediaType); !ok {
			return mark(ErrInput, fmt.Errorf("layer %s: unknown media type %q", l.Digest, l.MediaType))
		}
		s.Size += l.Size
	}
	have := v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	if want.given && cfg.OS != "" && want.rank(&have) < 0 {
		return mark(ErrInput, fmt.Errorf("no image for %s; it is for %s", want, have))
	}
	if s.Digest == (v1.Hash{}) {
		s.Digest, err = s.Image.Digest()
	}
	return err
}

// Store writes img to a reference. The registry and the Engine get the tag, the
// layout its index and the archive its name as the very last step. A bare name is
// written to the Docker Engine; to push is for a docker:// reference alone. Files
// and folders are made as needed; an archive file that is there is replaced.
func Store(ctx context.Context, img v1.Image, to Reference, opts Options) (Stored, error) {
	if err := storable(to, opts.Source); err != nil {
		return Stored{}, err
	}
	var err error
	out := Stored{Ref: to.target()}
	switch out.Ref.transport {
	case Daemon:
		out.Digest, err = storeDaemon(ctx, img, out.Ref)
	case Registry:
		out.Digest, err = storeRegistry(ctx, img, out.Ref)
	case OCI:
		out.Digest, err = storeLayout(ctx, img, out.Ref)
	case OCIArchive:
		out.Digest, err = storeLayoutArchive(ctx, img, out.Ref)
	case DockerArchive:
		out.Digest, err = storeDockerArchive(ctx, img, out.Ref)
	}
	if err != nil {
		return Stored{}, fail(ctx, out.Ref, fmt.Errorf("store: %w", err))
	}
	return out, nil
}

// CheckStore tells early and cheaply whether Store could write to a reference:
// the Engine answers, the registry lets us begin an upload, the folder takes a
// file. It changes nothing but an upload that it begins and cancels.
func CheckStore(ctx context.Context, to Reference, opts Options) error {
	if err := storable(to, opts.Source); err != nil {
		return err
	}
	var err error
	to = to.target()
	switch to.transport {
	case Daemon:
		err = checkDaemon(ctx)
	case Registry:
		err = checkRegistry(ctx, to)
	case OCI:
		err = checkLayout(to.path)
	case OCIArchive, DockerArchive:
		err = checkFile(to.path)
	}
	if err != nil {
		return fail(ctx, to, fmt.Errorf("store: %w", err))
	}
	return nil
}

// storable refuses references that cannot be, or must not be, written to.
func storable(to, source Reference) error {
	switch {
	case to.IsZero():
		return mark(ErrUsage, errors.New("store: no reference to store to"))
	case to.digested():
		return mark(ErrUsage, fmt.Errorf("store: %s: a digest or an ID cannot be stored to; name a tag", to))
	case to.transport == DockerArchive && len(to.image) > 0 && to.image[0] == '@':
		return mark(ErrUsage, fmt.Errorf("store: %s: an index cannot be stored to; name a tag", to))
	case !source.IsZero() && Same(source, to):
		return mark(ErrUsage, fmt.Errorf("store: %s: would overwrite the source %s", to, source))
	}
	return nil
}
