package transport

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const userAgent = "slim"

// registry is a connection pool of our own, so that nothing of it is left after
// Close, and the options that go with it.
type registry struct {
	http    *http.Transport
	options []remote.Option
}

func newRegistry(ctx context.Context) *registry {
	t := remote.DefaultTransport.(*http.Transport).Clone()
	return &registry{t, []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(t),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithUserAgent(userAgent),
	}}
}

func (r *registry) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// remoteName is ref for go-containerregistry, which also decides who is spoken to
// in plain HTTP (loopback and private addresses).
func remoteName(ref Reference) (name.Reference, error) {
	image := ref.image
	if base, digest, ok := strings.Cut(image, "@"); ok { // a digest makes the tag void
		image = strings.TrimSuffix(base, ":"+refTag(base)) + "@" + digest
	}
	n, err := name.ParseReference(image)
	if err != nil {
		return nil, mark(ErrUsage, err)
	}
	return n, nil
}

func loadRegistry(ctx context.Context, ref Reference, want platform) (*Source, error) {
	n, err := remoteName(ref)
	if err != nil {
		return nil, err
	}
	reg := newRegistry(ctx)
	img, err := reg.image(n, want)
	if err != nil {
		reg.Close()
		return nil, fmt.Errorf("registry %s: %w", n.Context().RegistryStr(), netErr(err))
	}
	return &Source{Image: img, Ref: ref, closer: reg}, nil
}

func (r *registry) image(n name.Reference, want platform) (v1.Image, error) {
	desc, err := remote.Get(n, r.options...)
	if err != nil {
		return nil, err
	}
	var img v1.Image
	switch {
	case desc.MediaType.IsIndex():
		var idx v1.ImageIndex
		if idx, err = desc.ImageIndex(); err == nil {
			img, err = pick(idx, want)
		}
	case desc.MediaType.IsImage() || desc.MediaType.IsSchema1():
		img, err = desc.Image()
	default:
		err = mark(ErrInput, fmt.Errorf("manifest of unknown media type %q", desc.MediaType))
	}
	if err != nil {
		return nil, err
	}
	return &remoteImage{img}, nil
}

// remoteImage gives the failures of an image's lazy reading their kinds.
type remoteImage struct{ v1.Image }

func (i *remoteImage) RawConfigFile() ([]byte, error) {
	b, err := i.Image.RawConfigFile()
	return b, netErr(err)
}

func (i *remoteImage) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(i) }

func (i *remoteImage) Layers() ([]v1.Layer, error) {
	layers, err := i.Image.Layers()
	for n, l := range layers {
		layers[n] = wrapRemote(l)
	}
	return layers, netErr(err)
}

func (i *remoteImage) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	l, err := i.Image.LayerByDigest(h)
	if err != nil {
		return nil, netErr(err)
	}
	return wrapRemote(l), nil
}

func (i *remoteImage) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	l, err := i.Image.LayerByDiffID(h)
	if err != nil {
		return nil, netErr(err)
	}
	return wrapRemote(l), nil
}

// wrapRemote keeps the outer type by which remote.Write knows a layer that a
// registry may mount from another of its repositories.
func wrapRemote(l v1.Layer) v1.Layer {
	if m, ok := l.(*remote.MountableLayer); ok {
		return &remote.MountableLayer{Layer: &remoteLayer{m.Layer}, Reference: m.Reference}
	}
	return &remoteLayer{l}
}

type remoteLayer struct{ v1.Layer }

func (l *remoteLayer) Descriptor() (*v1.Descriptor, error) { return partial.Descriptor(l.Layer) }
func (l *remoteLayer) Exists() (bool, error)               { return partial.Exists(l.Layer) }
func (l *remoteLayer) MediaType() (types.MediaType, error) { return l.Layer.MediaType() }
func (l *remoteLayer) Compressed() (io.ReadCloser, error)  { return wrapReader(l.Layer.Compressed()) }
func (l *remoteLayer) Uncompressed() (io.ReadCloser, error) {
	return wrapReader(l.Layer.Uncompressed())
}

type remoteReader struct{ io.ReadCloser }

func wrapReader(rc io.ReadCloser, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, netErr(err)
	}
	return remoteReader{rc}, nil
}

func (r remoteReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = netErr(err)
	}
	return n, err
}

func storeRegistry(ctx context.Context, img v1.Image, to Reference) (v1.Hash, error) {
	n, err := remoteName(to)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	reg := newRegistry(ctx)
	defer reg.Close()
	if err := remote.Write(n, img, reg.options...); err != nil {
		return v1.Hash{}, fmt.Errorf("registry %s: %w", n.Context().RegistryStr(), netErr(err))
	}
	return digest, nil
}

// checkRegistry begins an upload and cancels it, the only way to know of the right
// to push.
func checkRegistry(ctx context.Context, to Reference) error {
	n, err := remoteName(to)
	if err != nil {
		return err
	}
	// The check of go-containerregistry takes no context and cancels the upload in
	// the background, on a connection that its pool may keep.
	t := withContext{ctx, transport.NewRetry(transport.NewUserAgent(remote.DefaultTransport, userAgent))}
	if err := remote.CheckPushPermission(n, authn.DefaultKeychain, t); err != nil {
		return fmt.Errorf("registry %s: %w", n.Context().RegistryStr(), netErr(err))
	}
	return nil
}

// withContext makes each request end with the context, too.
type withContext struct {
	ctx  context.Context
	next http.RoundTripper
}

func (t withContext) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := context.Cause(t.ctx); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(req.WithContext(t.ctx))
}
