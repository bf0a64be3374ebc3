//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slim/testdata/engine"
	"slim/testdata/static"
)

// TestDirectEntrypoint drops the starter of images whose start only waits, and wants
// the same answers under Docker; a start with work of its own is refused.
func TestDirectEntrypoint(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	images, err := engine.Images(t.Context(), filepath.Join("..", ".."), "busybox", "nginx", "node")
	if err != nil {
		t.Fatal(err)
	}
	gone := map[string]string{"node": "/usr/bin/npm"}
	for _, img := range images {
		t.Run(img.Name, func(t *testing.T) {
			out := "oci:" + filepath.Join(t.TempDir(), "out")
			args := append([]string{"docker-archive:" + img.Archive, "-t", out, "--direct-entrypoint",
				"--keep", "accessed", "--cache-dir", cacheDir(t)}, img.Args...)
			if img.Name == "nginx" { // its entrypoint makes configuration out of templates
				text, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput()
				if err == nil || !strings.Contains(string(text), "the start does work of its own") {
					t.Errorf("want a refusal, got %v\n%s", err, text)
				}
				return
			}
			runSlim(t, bin, args...)
			slim := img.Ref + "-direct"
			if err := engine.Copy(t.Context(), out+":latest", slim); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { engine.Remove(slim) })
			var answers [2][]string
			for i, ref := range []string{img.Ref, slim} {
				if answers[i], err = engine.Ask(t.Context(), ref, img.Questions); err != nil {
					t.Fatal(err)
				}
				// How npm ends on a signal is its own.
				answers[i] = slices.DeleteFunc(answers[i], func(s string) bool { return strings.HasPrefix(s, "stop: ") })
			}
			if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
				t.Errorf("under Docker fat (-) and direct (+) differ:\n%s", diff)
			}
			if p := gone[img.Name]; p != "" {
				if _, err := loadFS(t, out, cacheDir(t)).Lookup(p); err == nil {
					t.Errorf("%s is still there", p)
				}
			}
		})
	}
}
