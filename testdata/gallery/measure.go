//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/minify/transport"
	"slim/minify/verify"
	"slim/probe/rootfs"
	"slim/testdata/engine"
)

// row is what is known of one image; sizes in bytes.
type row struct {
	Name             string
	Fat, Hand, Limit int64
	// Kept are the sizes of the slim images that slim made by each policy.
	Kept map[keep.Policy]int64
	// Seconds is how long slim took by the default policy, all of it.
	Seconds float64
	// Smoke says that slim's own verification passed, for each policy.
	Smoke map[keep.Policy]bool
	// Checks are those of full and the graceful stop; the others how many of them pass.
	Checks, Sandbox, Docker, HandDocker int
	Failures                            []failure `json:",omitempty"`

	detail []keptFile
}

// failure is a check that does not pass.
type failure struct {
	// Where is "fat", "sandbox", "Docker", "hand", "slim" for slim itself, or "gallery".
	Where, Check, Text string
	// Missed are the paths that a slim image's run looked up in vain.
	Missed []verify.Missed `json:",omitempty"`
}

func (r *row) fail(where, check, format string, args ...any) {
	r.Failures = append(r.Failures, failure{Where: where, Check: check, Text: strings.TrimSpace(fmt.Sprintf(format, args...))})
}

// tree is an image whose files can be read.
type tree struct {
	*rootfs.FS
	config v1.Config
	source *transport.Source
}

func load(ctx context.Context, ref string, opts rootfs.Options) (*tree, error) {
	r, err := transport.Parse(ref)
	if err != nil {
		return nil, err
	}
	t := &tree{}
	if t.source, err = transport.Load(ctx, r, transport.Options{}); err != nil {
		return nil, err
	}
	cfg, err := t.source.Image.ConfigFile()
	if err == nil {
		t.config = cfg.Config
		t.FS, err = rootfs.Load(ctx, t.source.Image, opts)
	}
	if err != nil {
		t.source.Close()
		return nil, err
	}
	return t, nil
}

func (t *tree) close() {
	t.FS.Close()
	t.source.Close()
}

// gauge measures one image.
type gauge struct {
	*row
	img  engine.Image
	opts options
	dir  string
	fat  *tree
	// original is full in slim's sandbox on the fat image, answers under Docker.
	original []*session
	answers  []engine.Answer
}

// measure returns what is known of the image when an error ends it, too.
func measure(ctx context.Context, img engine.Image, opts options) (*row, error) {
	g := &gauge{img: img, opts: opts, row: &row{
		Name: img.Name, Kept: make(map[keep.Policy]int64), Smoke: make(map[keep.Policy]bool)}}
	return g.row, g.measure(ctx)
}

func (g *gauge) measure(ctx context.Context) (err error) {
	if g.dir, err = os.MkdirTemp("", "slim-gallery-"); err != nil {
		return err
	}
	defer os.RemoveAll(g.dir)
	g.say("build")
	if err := g.img.Build(ctx, "."); err != nil {
		return err
	}
	if g.fat, err = load(ctx, "docker-archive:"+g.img.Archive, g.cached()); err != nil {
		return err
	}
	defer g.fat.close()
	g.Fat = g.fat.Size()
	for _, step := range []func(context.Context) error{g.byHand, g.fatFull, g.slim} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (g *gauge) say(what string) { fmt.Fprintf(os.Stderr, "gallery: %s: %s\n", g.Name, what) }

// cached has one copy of the fat image's layers serve the gallery and slim.
func (g *gauge) cached() rootfs.Options {
	return rootfs.Options{CacheDir: filepath.Join(g.dir, "cache")}
}

// fatFull puts full to the fat image: what it answers is right, and what it opens is
// the limit.
func (g *gauge) fatFull(ctx context.Context) (err error) {
	g.say("full on the fat image")
	if g.original, err = runFull(ctx, g.fat.FS, g.fat.config, g.img.Full, nil); err != nil {
		return err
	}
	for _, s := range g.original {
		for _, check := range s.checks() {
			g.Checks++
			if text := s.wrong(check); text != "" {
				g.fail("fat", check, "in the sandbox: %s", text)
			}
		}
	}
	_, g.Limit = opened(g.fat.FS, g.original)
	if g.opts.quick {
		return nil
	}
	for _, a := range g.answers {
		if a.Err != nil {
			g.fail("fat", a.Question, "under Docker: %v", a.Err)
		}
	}
	return ctx.Err()
}

// byHand measures the hand-written image, and asks it and the fat one under Docker.
func (g *gauge) byHand(ctx context.Context) error {
	g.say("the hand-written image")
	archive, ref, err := g.img.Hand(ctx, ".")
	if err != nil {
		return err
	}
	hand, err := load(ctx, "docker-archive:"+archive, rootfs.Options{TempDir: g.dir})
	if err != nil {
		return err
	}
	g.Hand = hand.Size()
	hand.close()
	if g.opts.quick {
		return nil
	}
	g.say("full under Docker")
	g.answers = engine.AskEach(ctx, g.img.Ref, g.img.Full)
	g.HandDocker = g.ask(ctx, "hand", ref)
	return ctx.Err()
}

// ask puts full to an image under Docker and counts the answers that are the fat one's.
func (g *gauge) ask(ctx context.Context, where, ref string) (passed int) {
	for i, a := range engine.AskEach(ctx, ref, g.img.Full) {
		switch {
		case a.Err != nil:
			g.fail(where, a.Question, "%v", a.Err)
		case i >= len(g.answers) || a.Text != g.answers[i].Text:
			var want engine.Answer
			if i < len(g.answers) {
				want = g.answers[i]
			}
			g.fail(where, a.Question, "- %s\n%s\n+ %s\n%s", want.Text, want.Body, a.Text, a.Body)
		default:
			passed++
		}
	}
	return passed
}

// slim makes the slim images, and puts full to the default policy's.
func (g *gauge) slim(ctx context.Context) error {
	for _, p := range g.opts.policies {
		g.say("slim --keep " + string(p))
		out := filepath.Join(g.dir, string(p))
		start := time.Now()
		size, err := g.runSlim(ctx, p, out)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p == keep.Units {
			g.Seconds = time.Since(start).Seconds()
		}
		if err != nil {
			g.fail("slim", "--keep "+string(p), "%v", err)
			continue
		}
		g.Kept[p], g.Smoke[p] = size, true
		if p == keep.Units {
			if err := g.slimFull(ctx, out); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(out); err != nil {
			return err
		}
	}
	return nil
}

func (g *gauge) runSlim(ctx context.Context, p keep.Policy, out string) (size int64, err error) {
	args := append([]string{"docker-archive:" + g.img.Archive, "-t", "oci:" + out, "--keep", string(p),
		"--cache-dir", g.cached().CacheDir, "--report", out + ".json", "--format", "json"}, g.img.Args...)
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "slim"), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, &stderr)
	}
	var r struct{ After struct{ Bytes int64 } }
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return 0, err
	}
	return r.After.Bytes, nil
}

// slimFull puts full to a slim image.
func (g *gauge) slimFull(ctx context.Context, layout string) error {
	g.say("full on the slim image")
	t, err := load(ctx, "oci:"+layout, rootfs.Options{TempDir: g.dir})
	if err != nil {
		return err
	}
	defer t.close()
	sessions, err := runFull(ctx, t.FS, t.config, g.img.Full, g.original)
	if err != nil {
		return err
	}
	passed, _, failures := compare(g.fat.FS, g.original, sessions)
	g.Sandbox, g.Failures = passed, append(g.Failures, failures...)
	if g.opts.detail {
		if err := g.readDetail(layout + ".json"); err != nil {
			return err
		}
	}
	if g.opts.quick {
		return nil
	}
	ref := g.img.Ref + "-gallery"
	defer engine.Remove(ref)
	if err := engine.Copy(ctx, "oci:"+layout+":latest", ref); err != nil {
		return err
	}
	g.Docker = g.ask(ctx, "Docker", ref)
	return ctx.Err()
}

// keptFile is a line of slim's report.
type keptFile struct {
	Path               string
	Size               int64
	Kept               bool
	Rule, Reason, From string
}

// readDetail finds what the slim image has and full did not open, largest first.
func (g *gauge) readDetail(report string) error {
	data, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	var r struct{ Paths []keptFile }
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	used, _ := opened(g.fat.FS, g.original)
	for _, f := range r.Paths {
		if !f.Kept {
			continue
		}
		n, err := g.fat.Lookup(f.Path)
		if errors.Is(err, os.ErrNotExist) {
			continue // a name that is not UTF-8
		}
		if err != nil {
			return err
		}
		if i := n.Inode(); i.IsRegular() && !used[i] {
			used[i] = true // a hard link is listed once
			g.detail = append(g.detail, f)
		}
	}
	return nil
}
