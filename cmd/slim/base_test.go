//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/transport"
	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
	"slim/testdata/engine"
	"slim/testdata/static"
)

// TestBase puts real programs, a dynamic and a static one, on a base made of
// Debian's packages: the base's layers as they are, one on top with nothing of the
// base in it, and the same answers under a Docker Engine.
func TestBase(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	root := filepath.Join("..", "..")
	build := exec.CommandContext(t.Context(), filepath.Join(root, "testdata", "images", "build"), "distroless")
	build.Stderr = os.Stderr
	archive, err := build.Output()
	if err != nil {
		t.Fatal(err)
	}
	base := "docker-archive:" + strings.TrimSpace(string(archive))
	images, err := engine.Images(t.Context(), root, "cprog", "goserver")
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		t.Run(img.Name, func(t *testing.T) {
			out := "oci:" + filepath.Join(t.TempDir(), "out")
			args := append([]string{"docker-archive:" + img.Archive, "-t", out, "--base", base, "--cache-dir", cacheDir(t)}, img.Args...)
			runSlim(t, bin, args...)
			checkBase(t, out, base)

			slim := img.Ref + "-on-base"
			if err := engine.Copy(t.Context(), out+":latest", slim); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { engine.Remove(slim) })
			// The base has /etc/services, which the server's image lacks and this page tells of.
			questions := slices.DeleteFunc(img.Questions, func(q string) bool { return strings.HasSuffix(q, "/machine") })
			askAlike(t, img.Ref, slim, questions)
		})
	}
}

// checkBase wants the base's layers below one that repeats nothing of them.
func checkBase(t *testing.T, ref, base string) {
	t.Helper()
	result, below := openImage(t, ref), openImage(t, base)
	diffIDs := func(img v1.Image) []v1.Hash {
		cfg, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		return cfg.RootFS.DiffIDs
	}
	all, want := diffIDs(result), diffIDs(below)
	if len(all) != len(want)+1 {
		t.Fatalf("%d layers on a base of %d", len(all), len(want))
	}
	if diff := cmp.Diff(want, all[:len(want)]); diff != "" {
		t.Errorf("layers of the base (-) and of the result (+):\n%s", diff)
	}
	layers, err := result.Layers()
	if err != nil {
		t.Fatal(err)
	}
	top := treetest.Load(t, treetest.ImageOf(t, layers[len(layers)-1]))
	baseFS := treetest.Load(t, below)
	entries := 0
	for n := range top.All() {
		entries++
		have, err := baseFS.Lookup(n.Path())
		if err == nil && n.Parent() != nil && n.Inode().Layer >= 0 && sameEntry(t, baseFS, top, have.Inode(), n.Inode()) {
			t.Errorf("%s is the base's, and in the layer again", n.Path())
		}
	}
	t.Logf("%d entries on %d of the base", entries, baseFS.Len())
}

func sameEntry(t *testing.T, fa, fb *rootfs.FS, a, b *rootfs.Inode) bool {
	t.Helper()
	attributes := func(i *rootfs.Inode) string {
		return fmt.Sprintln(i.Mode, i.UID, i.GID, i.Major, i.Minor, i.MTime.UTC(), i.Target, i.Size, i.Xattrs)
	}
	if attributes(a) != attributes(b) || !a.IsRegular() {
		return attributes(a) == attributes(b)
	}
	ca, err := io.ReadAll(fa.Content(a))
	if err != nil {
		t.Fatal(err)
	}
	cb, err := io.ReadAll(fb.Content(b))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(ca, cb)
}

func openImage(t *testing.T, text string) v1.Image {
	t.Helper()
	ref, err := transport.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	src, err := transport.Load(t.Context(), ref, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.Image
}
