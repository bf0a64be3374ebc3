//go:build linux

package main

import (
	"path/filepath"
	"runtime"
	"testing"

	"slim/testdata/engine"
	"slim/testdata/static"
)

// TestJlink links a run-time image in the place of a JDK, and wants the original's
// answers under Docker, of which the probe saw one.
func TestJlink(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	images, err := engine.Images(t.Context(), filepath.Join("..", ".."), "jdk")
	if err != nil {
		t.Fatal(err)
	}
	img := images[0]
	out := "oci:" + filepath.Join(t.TempDir(), "out")
	runSlim(t, bin, append([]string{"docker-archive:" + img.Archive, "-t", out, "--jlink", "--cache-dir", cacheDir(t)}, img.Args...)...)
	slim := img.Ref + "-jlink"
	if err := engine.Copy(t.Context(), out+":latest", slim); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Remove(slim) })
	askAlike(t, img.Ref, slim, img.Questions)

	fat, linked := loadFS(t, "docker-archive:"+img.Archive, cacheDir(t)), loadFS(t, out, cacheDir(t))
	modules := "usr/lib/jvm/java-17-openjdk-" + runtime.GOARCH + "/lib/modules"
	before, err := fat.Stat(modules)
	if err != nil {
		t.Fatal(err)
	}
	after, err := linked.Stat(modules)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("modules: %d bytes, were %d", after.Size(), before.Size())
	if after.Size() > before.Size()*6/10 {
		t.Errorf("%d of %d bytes of modules left", after.Size(), before.Size())
	}
}
