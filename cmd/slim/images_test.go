//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slim/minify/transport"
	"slim/probe/rootfs"
	"slim/testdata/engine"
	"slim/testdata/skip"
	"slim/testdata/static"
)

// TestImages slims every image of testdata/images and asks a Docker Engine
// whether fat and slim answer alike; then it holds every entry of the result
// against the original's.
func TestImages(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	images, err := engine.Images(t.Context(), filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		t.Run(img.Name, func(t *testing.T) {
			dir, cache := t.TempDir(), cacheDir(t)
			out := "oci:" + filepath.Join(dir, "out")
			report := filepath.Join(dir, "report.json")
			args := append([]string{"docker-archive:" + img.Archive, "-t", out, "--report", report, "--cache-dir", cache}, img.Args...)
			runSlim(t, bin, args...)

			// skopeo takes it, and so does the Engine.
			slim := img.Ref + "-slim"
			if err := engine.Copy(t.Context(), out+":latest", slim); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { engine.Remove(slim) })
			askAlike(t, img.Ref, slim, img.Questions)
			fatFS, slimFS := loadFS(t, "docker-archive:"+img.Archive, cache), loadFS(t, out, cache)
			compareEntries(t, fatFS, slimFS)
			checkReport(t, report, fatFS, slimFS)
		})
	}
}

// TestEngineRoundTrip slims an image out of the Engine into the Engine.
func TestEngineRoundTrip(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	images, err := engine.Images(t.Context(), filepath.Join("..", ".."), "busybox")
	if err != nil {
		t.Fatal(err)
	}
	img := images[0]
	slim := img.Ref + "-slim"
	t.Cleanup(func() { engine.Remove(slim) })
	out := runSlim(t, bin, append([]string{img.Ref, "--cache-dir", cacheDir(t)}, img.Args...)...)
	if out != slim+"\n" {
		t.Errorf("stdout %q, want the reference of the result, %q", out, slim)
	}
	askAlike(t, img.Ref, slim, img.Questions)
}

// askAlike wants the same answers of both images under the Engine.
func askAlike(t *testing.T, fat, slim string, questions []string) {
	t.Helper()
	want, err := engine.Ask(t.Context(), fat, questions)
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine.Ask(t.Context(), slim, questions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("under Docker fat (-) and slim (+) differ:\n%s", diff)
	}
}

func requireEngine(t *testing.T) {
	t.Helper()
	requireRoot(t)
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		skip.Test(t, "needs a Docker Engine (testdata/setup): %v\n%s", err, out)
	}
}

// cacheDir is one for all tests of a run: the images share their base's layers.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "slim-test", "layers")
}

func runSlim(t *testing.T, bin string, args ...string) (stdout string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	t.Logf("slim %v\n%s", args, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func loadFS(t *testing.T, ref, cache string) *rootfs.FS {
	t.Helper()
	r, err := transport.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	src, err := transport.Load(context.Background(), r, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	fsys, err := rootfs.Load(context.Background(), src.Image, rootfs.Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// compareEntries holds every entry of slim against the original's: type, mode
// with setuid and sticky bits, owner, mtime, attributes, link target, device
// numbers, content, and which names are hard links of one file.
func compareEntries(t *testing.T, fat, slim *rootfs.FS) {
	t.Helper()
	type entry struct {
		Mode, UID, GID, Major, Minor uint32
		MTime, Target, Content       string
		Xattrs                       map[string]string
	}
	view := func(fsys *rootfs.FS, i *rootfs.Inode) entry {
		e := entry{i.Mode, i.UID, i.GID, i.Major, i.Minor, i.MTime.UTC().String(), i.Target, "", i.Xattrs}
		if i.IsRegular() {
			h := sha256.New()
			if _, err := io.Copy(h, fsys.Content(i)); err != nil {
				t.Fatal(err)
			}
			e.Content = fmt.Sprintf("%x", h.Sum(nil))
		}
		return e
	}
	links := make(map[*rootfs.Inode]*rootfs.Inode) // slim's inode of fat's
	special := 0
	for n := range slim.All() {
		orig := fat.Root()
		if n.Parent() != nil {
			parent, err := fat.Lookup(n.Parent().Path())
			if err != nil || parent.Child(n.Name()) == nil {
				t.Errorf("%s is not in the original", n.Path())
				continue
			}
			orig = parent.Child(n.Name())
		}
		a, b := orig.Inode(), n.Inode()
		if diff := cmp.Diff(view(fat, a), view(slim, b)); diff != "" {
			t.Errorf("%s: original (-), slim (+):\n%s", n.Path(), diff)
		}
		if first, ok := links[a]; ok && first != b {
			t.Errorf("%s is no hard link any more", n.Path())
		}
		links[a] = b
		if b.Mode&0o7000 != 0 || len(b.Xattrs) > 0 || len(b.Names) > 1 || b.UID != 0 {
			special++
		}
	}
	t.Logf("%d entries equal, %d of them with setuid, setgid, sticky, attributes, hard links or an owner", slim.Len(), special)
}

// checkReport wants every path of the original in the report, kept or dropped as
// the result says.
func checkReport(t *testing.T, path string, fat, slim *rootfs.FS) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r reportView
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Paths) != fat.Len() {
		t.Errorf("%d paths in the report, %d in the original", len(r.Paths), fat.Len())
	}
	kept := 0
	for _, p := range r.Paths {
		switch {
		case p.Kept && p.Reason == "":
			t.Errorf("%s is kept without a reason", p.Path)
		case !p.Kept && p.Category == "":
			t.Errorf("%s is dropped without a category", p.Path)
		}
		if p.Kept {
			kept++
		}
	}
	if kept != slim.Len() {
		t.Errorf("%d paths kept in the report, %d in the result", kept, slim.Len())
	}
}
