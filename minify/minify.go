// Package minify is the whole way from a fat image to a slim one: load, index,
// probe, select, write, verify, store.
//
// Its promise: nothing is stored before the slim image behaved like the
// original under the same workload (Options.NoRun alone has none, and the Result
// says so), the source is never overwritten, and what was made on the way is gone
// when Run returns. It parses no archive and talks
// to no terminal; progress goes to Options.Progress.
package minify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/minify/layer"
	"slim/minify/transport"
	"slim/minify/verify"
	"slim/probe"
	"slim/probe/rootfs"
	"slim/probe/sandbox"
	"slim/probe/workload"
)

// What can go wrong besides what the packages below name. Test with errors.Is.
var (
	// ErrOriginal: the original image failed its own test.
	ErrOriginal = errors.New("the original image fails its own test")
	// ErrDiffers: the slim image does not behave like the original.
	ErrDiffers = errors.New("the slim image differs from the original")
	// ErrGate: a limit on the result is not met.
	ErrGate = errors.New("the result is not accepted")
)

// Options of Run. The zero value slims an image with a default workload and stores
// the result beside it.
type Options struct {
	// Output is the reference of the result; "" is the source's with -slim
	// appended to the tag. A bare name goes where the input came from: to the
	// registry if that was one (or with Push), else to the Docker daemon.
	Output string
	Push   bool
	// Platform picks from a multi-platform image ("linux/arm64"); "" is this machine's.
	Platform string
	// Base is the reference of the image below the result; "" or "scratch" is none.
	Base string
	// CacheDir holds decompressed layers between runs; "" is slim in the user's
	// cache folder.
	CacheDir string

	// Sandbox says how the image is run; its Image is set here. Runs are commands
	// to run each in a container of its own; none is one run.
	Sandbox sandbox.Config
	Runs    [][]string
	// Workload exercises it; Exposed, Healthcheck and StopSignal are set here.
	Workload workload.Options
	// Timeout bounds the whole; 0 does not.
	Timeout time.Duration

	// Trace replaces what the probe run touched in the selection; the original is
	// still run, for the verification.
	Trace *probe.Trace
	// Keep, Include, Exclude, IncludeBin and NoLicenses are those of keep.Options.
	Keep             keep.Policy
	Include, Exclude []string
	IncludeBin       []string
	NoLicenses       bool
	// DirectEntrypoint makes the program that the image's start leads to the entrypoint,
	// so that shell and starter can go; ErrGate where the start does more than that.
	DirectEntrypoint bool
	// Jlink makes a run-time image of the modules that a Java program needs, with the
	// image's own JDK, in the place of that; ErrGate where that cannot be or the program
	// behaves otherwise with it.
	Jlink bool
	// NoRun decides by rules alone, from the image's config, where the image cannot be
	// run: nothing is tested, and the verification holds files against files.
	NoRun bool
	// Strip leaves symbol tables and debug information of ELF files out.
	Strip bool
	// Compression of the layer.
	Compression layer.Compression

	// Progress, if set, is told of each step's beginning and end.
	Progress func(Step)
}

// Run slims the image named by ref and stores the result. An error after the
// probe comes with the Result so far.
func Run(ctx context.Context, ref string, opts Options) (*Result, error) {
	return do(ctx, ref, opts, func(r *run) []step {
		if opts.NoRun {
			return []step{
				{Fetch, r.fetch}, {Index, r.index}, {Select, r.choose}, {Write, r.write}, {Verify, r.verifyFiles}, {Store, r.store},
			}
		}
		return []step{
			{Fetch, r.fetch},
			{Index, r.index},
			{Probe, r.probe},
			{Select, r.choose},
			{Write, r.write},
			{Verify, r.verify},
			{Store, r.store},
		}
	}, nil)
}

// Explain does as much of Run as decides what is kept, nothing is written, and
// hands the Result, its Selection filled, to use while the image can still be read.
// The original is run only where no Options.Trace says what it touches.
func Explain(ctx context.Context, ref string, opts Options, use func(*Result) error) error {
	_, err := do(ctx, ref, opts, func(r *run) []step {
		steps := []step{{Fetch, r.fetchSource}, {Index, r.index}, {Probe, r.probe}, {Select, r.choose}}
		if opts.Trace != nil || opts.NoRun {
			steps = slices.Delete(steps, 2, 3)
		}
		return steps
	}, use)
	return err
}

// step is one part of a run.
type step struct {
	phase Phase
	do    func(context.Context) (string, error)
}

func do(ctx context.Context, ref string, opts Options, steps func(*run) []step, use func(*Result) error) (*Result, error) {
	if opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, opts.Timeout, timeout(opts.Timeout))
		defer cancel()
	}
	r := &run{opts: opts, ref: ref, result: &Result{}}
	defer r.close()
	for _, s := range steps(r) {
		if err := r.step(ctx, s.phase, s.do); err != nil {
			return r.result, err
		}
	}
	if use != nil {
		return r.result, use(r.result)
	}
	return r.result, nil
}

// run is one Run under way.
type run struct {
	opts    Options
	ref     string
	result  *Result
	closers []func() error

	source *transport.Source
	output transport.Reference
	base   *transport.Source
	config v1.Config
	fat    *rootfs.FS
	baseFS *rootfs.FS

	start     *v1.Config // of Options.DirectEntrypoint; nil keeps the original's
	original  *probe.Result
	selection *keep.Selection
	image     v1.Image
}

// close releases what was opened, the last first. What fails here has no bearing
// on a result that is already stored.
func (r *run) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
}

func (r *run) step(ctx context.Context, p Phase, do func(context.Context) (string, error)) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	start := time.Now()
	if r.opts.Progress != nil {
		r.opts.Progress(Step{Phase: p})
	}
	text, err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = ended(ctx, p, err)
	}
	took := time.Since(start)
	r.result.Phases = append(r.result.Phases, PhaseTime{Phase: p, Seconds: took.Seconds()})
	if r.opts.Progress != nil {
		r.opts.Progress(Step{Phase: p, Done: true, Text: text, Err: err, Took: took})
	}
	return err
}

// timeout is the cause of a context that Options.Timeout ended.
type timeout time.Duration

func (t timeout) Error() string {
	return fmt.Sprintf("not done within %v (see --timeout)", time.Duration(t))
}

func (timeout) Is(target error) bool { return target == context.DeadlineExceeded }

// ended puts the cause of ctx's end before what a phase was at. An original that
// needs more time than there is fails its test.
func ended(ctx context.Context, p Phase, err error) error {
	cause := context.Cause(ctx)
	if p == Probe && errors.Is(cause, context.DeadlineExceeded) {
		cause = fmt.Errorf("%w: %w", ErrOriginal, cause)
	}
	at := strings.TrimSuffix(strings.TrimSuffix(err.Error(), ctx.Err().Error()), ": ")
	if at == "" || strings.Contains(at, context.Cause(ctx).Error()) {
		return fmt.Errorf("%s: %w", p, cause)
	}
	return fmt.Errorf("%s: %w: %s", p, cause, at)
}

// index reads the layers of the original and of the base.
func (r *run) index(ctx context.Context) (text string, err error) {
	if r.opts.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir() // no HOME, as in a bare CI job
		}
		r.opts.CacheDir = filepath.Join(dir, "slim")
	}
	cached := rootfs.Options{CacheDir: r.opts.CacheDir}
	if r.fat, r.result.Before, err = r.load(ctx, r.source.Image, cached); err != nil {
		return "", fmt.Errorf("%s: %w", r.source.Ref, err)
	}
	if r.base != nil {
		if r.baseFS, _, err = r.load(ctx, r.base.Image, cached); err != nil {
			return "", fmt.Errorf("base %s: %w", r.base.Ref, err)
		}
	}
	b := r.result.Before
	return fmt.Sprintf("%d files in %d layers, %s", b.Files, b.Layers, Bytes(b.Bytes)), nil
}

func (r *run) load(ctx context.Context, img v1.Image, opts rootfs.Options) (*rootfs.FS, Size, error) {
	fsys, err := rootfs.Load(ctx, img, opts)
	if err != nil {
		return nil, Size{}, err
	}
	r.closers = append(r.closers, fsys.Close)
	size := Size{Files: fsys.Len(), Bytes: fsys.Size()}
	layers, err := img.Layers()
	if err != nil {
		return nil, Size{}, err
	}
	size.Layers = len(layers)
	return fsys, size, nil
}

// probe runs the original. An original that fails its own test proves nothing
// about a slim image.
func (r *run) probe(ctx context.Context) (string, error) {
	var err error
	r.original, err = probe.Run(ctx, r.fat, r.probeOptions(r.config))
	if errors.Is(err, syscall.ENOEXEC) && r.foreign() != "" {
		return "", fmt.Errorf("%w: the image is for %s, this machine is linux/%s: %v", sandbox.ErrUnsupported, r.foreign(), runtime.GOARCH, err)
	}
	if err != nil {
		return "", err
	}
	r.result.Trace = r.original.Trace
	r.result.Silent = silent(workload.ExposedPorts(r.config), r.original)
	if failed := r.original.Failed(); len(failed) > 0 {
		return "", fmt.Errorf("%w: %s", ErrOriginal, describe(failed))
	}
	if r.opts.DirectEntrypoint {
		if err := r.direct(ctx); err != nil {
			return "", err
		}
	}
	if r.opts.Jlink {
		if err := r.jlink(ctx); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d paths touched, %s", len(r.original.Trace.Accesses), summary(r.original)), nil
}

// foreign is the platform of the original if it is not this machine's. That alone is no
// obstacle: binfmt_misc may know an interpreter for it.
func (r *run) foreign() string {
	cfg, err := r.source.Image.ConfigFile()
	if err != nil || cfg.Architecture == runtime.GOARCH {
		return ""
	}
	return cfg.Platform().String()
}

func (r *run) probeOptions(cfg v1.Config) probe.Options {
	o := probe.Options{
		Sandbox: r.opts.Sandbox, Runs: r.opts.Runs, Workload: r.opts.Workload, Programs: r.opts.DirectEntrypoint,
	}
	o.Sandbox.Image = cfg
	o.Workload.Exposed = workload.ExposedPorts(cfg)
	o.Workload.Healthcheck, o.Workload.Shell = cfg.Healthcheck, cfg.Shell
	if o.Workload.StopSignal == "" {
		o.Workload.StopSignal = cfg.StopSignal
	}
	return o
}

// trace is what the selection goes by; an empty one if nothing was run.
func (r *run) trace() *probe.Trace {
	switch {
	case r.opts.Trace != nil:
		return r.opts.Trace
	case r.original == nil:
		return new(probe.Trace)
	}
	return r.original.Trace
}

// choose selects what to keep.
func (r *run) choose(ctx context.Context) (string, error) {
	kopts := keep.Options{
		Keep: r.opts.Keep, Include: r.opts.Include, Exclude: r.opts.Exclude,
		IncludeBin: r.opts.IncludeBin, NoLicenses: r.opts.NoLicenses,
		Command: r.opts.Sandbox.Command,
	}
	if e := r.opts.Sandbox.Entrypoint; e != nil && *e != "" {
		kopts.Entrypoint = []string{*e}
	}
	var err error
	if r.selection, err = keep.Select(ctx, r.fat, r.trace(), r.config, kopts); err != nil {
		return "", err
	}
	r.result.Selection = r.selection
	if r.original == nil {
		r.result.Trace, r.result.NoRun = r.trace(), r.opts.NoRun
	}
	t := r.selection.Totals()
	return fmt.Sprintf("%d of %d files kept, %s", t.Kept.Files, t.Kept.Files+t.Dropped.Files, Bytes(t.Kept.Bytes)), nil
}

// write makes the slim image; nothing of it is stored yet.
func (r *run) write(ctx context.Context) (string, error) {
	l, err := layer.Write(ctx, r.selection, layer.Options{
		Compression: r.opts.Compression, Strip: r.opts.Strip, Base: r.baseFS, Order: r.trace().Order(), Dir: r.opts.CacheDir,
	})
	if err != nil {
		return "", err
	}
	r.closers = append(r.closers, l.Close)
	iopts := layer.ImageOptions{Source: r.source.Digest, CreatedBy: "slim", Start: r.start}
	if r.base != nil {
		iopts.Base, iopts.BaseName, iopts.BaseDigest = r.base.Image, r.base.Ref.Name(), r.base.Digest
	}
	if r.image, err = layer.Image(r.source.Image, l, iopts); err != nil {
		return "", err
	}
	size, err := l.Size()
	if err != nil {
		return "", err
	}
	r.result.After = Size{Layers: 1, Files: l.Files, Bytes: l.Bytes, Compressed: size}
	return fmt.Sprintf("one layer, %s", Bytes(size)), nil
}

// readBack indexes the written image.
func (r *run) readBack(ctx context.Context) (*rootfs.FS, error) {
	// Its layer is not one to meet again; a base's are.
	opts := rootfs.Options{TempDir: r.opts.CacheDir}
	if r.base != nil {
		opts = rootfs.Options{CacheDir: r.opts.CacheDir}
	}
	slim, size, err := r.load(ctx, r.image, opts)
	if err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	r.result.After.Files, r.result.After.Bytes, r.result.After.Layers = size.Files, size.Bytes, size.Layers
	if r.result.After.Bytes > r.result.Before.Bytes {
		return nil, fmt.Errorf("%w: %s of files became %s", ErrGate, Bytes(r.result.Before.Bytes), Bytes(r.result.After.Bytes))
	}
	return slim, nil
}

// verifyFiles is all that can be verified of an image that was not run: that it
// holds what was selected, as the original has it.
func (r *run) verifyFiles(ctx context.Context) (string, error) {
	slim, err := r.readBack(ctx)
	if err != nil {
		return "", err
	}
	row, err := verify.Files(ctx, r.selection, slim, verify.FilesOptions{Base: r.base != nil, Stripped: r.opts.Strip})
	if err != nil {
		return "", err
	}
	r.result.Verdict = &verify.Verdict{Rows: []verify.Row{row}}
	if !row.Equal {
		return "", fmt.Errorf("%w: %s: %s", ErrDiffers, row.Slim, row.Detail)
	}
	return "not run; " + row.Slim, nil
}

// verify boots the written image with the same workload and compares. Where a
// row differs the original is run again, to know whether it varies by nature.
func (r *run) verify(ctx context.Context) (string, error) {
	slim, err := r.readBack(ctx)
	if err != nil {
		return "", err
	}
	cfg, err := r.image.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("read back: %w", err)
	}
	popts := r.probeOptions(cfg.Config)
	popts.WaitPorts = r.original.Ports()
	again, err := probe.Run(ctx, slim, popts)
	if errors.Is(err, sandbox.ErrStart) {
		return "", fmt.Errorf("%w: it does not start: %w", ErrDiffers, err)
	}
	if err != nil {
		return "", err
	}
	v := &verify.Verdict{
		Rows:   verify.Compare(r.original, again),
		Missed: verify.Misses(r.fat, r.original.Trace, again.Trace),
	}
	r.result.Verdict = v
	if !v.Equal() {
		second, err := probe.Run(ctx, r.fat, r.probeOptions(r.config))
		if err != nil {
			return "", fmt.Errorf("run the original again: %w", err)
		}
		verify.Excuse(v.Rows, r.original, second, again)
	}
	if different := v.Different(); len(different) > 0 {
		return "", fmt.Errorf("%w: %s", ErrDiffers, differences(v))
	}
	return fmt.Sprintf("%d of %d observations equal", len(v.Rows)-v.Varying(), len(v.Rows)), nil
}

// store puts the verified image in its place.
func (r *run) store(ctx context.Context) (string, error) {
	stored, err := transport.Store(ctx, r.image, r.output, transport.Options{
		Platform: r.opts.Platform, Source: r.source.Ref,
	})
	if err != nil {
		return "", err
	}
	r.result.Output = ImageInfo{Reference: stored.Ref.String(), Digest: stored.Digest.String(), Pull: pullName(stored)}
	return r.result.Output.Reference, nil
}
