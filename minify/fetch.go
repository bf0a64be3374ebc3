package minify

import (
	"context"
	"fmt"

	"slim/minify/transport"
)

// fetchSource resolves the original.
func (r *run) fetchSource(ctx context.Context) (string, error) {
	ref, err := transport.Parse(r.ref)
	if err != nil {
		return "", err
	}
	if r.source, err = transport.Load(ctx, ref, transport.Options{Platform: r.opts.Platform}); err != nil {
		return "", err
	}
	r.closers = append(r.closers, r.source.Close)
	cfg, err := r.source.Image.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("%w: %s: read config: %w", transport.ErrInput, r.source.Ref, err)
	}
	r.config = cfg.Config
	r.result.Source = ImageInfo{Reference: r.source.Ref.String(), Digest: r.source.Digest.String()}
	return r.source.Ref.String(), nil
}

// fetch resolves all references and refuses what cannot end well before anything
// is run.
func (r *run) fetch(ctx context.Context) (string, error) {
	text, err := r.fetchSource(ctx)
	if err != nil {
		return "", err
	}
	if r.output, err = r.outputRef(); err != nil {
		return "", err
	}
	topts := transport.Options{Platform: r.opts.Platform, Source: r.source.Ref}
	if err := transport.CheckStore(ctx, r.output, topts); err != nil {
		return "", err
	}
	if r.opts.Base != "" && r.opts.Base != "scratch" {
		ref, err := transport.Parse(r.opts.Base)
		if err != nil {
			return "", fmt.Errorf("--base: %w", err)
		}
		if r.base, err = transport.Load(ctx, ref, topts); err != nil {
			return "", fmt.Errorf("base: %w", err)
		}
		r.closers = append(r.closers, r.base.Close)
		if transport.Same(r.base.Ref, r.output) {
			return "", fmt.Errorf("%w: --tag %s would overwrite the base", transport.ErrUsage, r.output)
		}
	}
	return text, nil
}

// outputRef says where the result goes.
func (r *run) outputRef() (transport.Reference, error) {
	name := r.opts.Output
	if name == "" {
		out := r.source.Ref.Slim()
		if !r.opts.Push || out.Transport() == transport.Registry {
			return out, nil
		}
		if out.Transport() != transport.Daemon {
			return out, fmt.Errorf("%w: --push needs --tag: %s is in no registry", transport.ErrUsage, r.source.Ref)
		}
		name = out.Name()
	}
	ref, err := transport.Parse(name)
	if err != nil {
		return ref, fmt.Errorf("--tag: %w", err)
	}
	if ref.Transport() != "" {
		if r.opts.Push && ref.Transport() != transport.Registry {
			return ref, fmt.Errorf("%w: --push stores in a registry, and --tag %s is none", transport.ErrUsage, name)
		}
		return ref, nil
	}
	if r.opts.Push || r.source.Ref.Transport() == transport.Registry {
		return transport.Parse("docker://" + name)
	}
	return transport.Parse("docker-daemon:" + name)
}
