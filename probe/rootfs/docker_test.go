package rootfs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
)

// TestDocker lets a Docker Engine show the trees of the merge table.
func TestDocker(t *testing.T) {
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		skip.Test(t, "no Docker Engine: %v: %s", err, out)
	}
	for i, c := range mergeCases {
		if c.docker != "" || len(c.layers) == 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ref, err := name.NewTag(fmt.Sprintf("slim-rootfs-test:%d-%d", os.Getpid(), i))
			if err != nil {
				t.Fatal(err)
			}
			got := dockerTree(t, ref, c.layers)
			if diff := cmp.Diff(withoutDocker(treetest.Canon(c.want)), got); diff != "" {
				t.Errorf("the Engine shows another tree (-want +Docker):\n%s", diff)
			}
		})
	}
}

// dockerTree is the tree of a container made from layers.
func dockerTree(t *testing.T, ref name.Tag, layers []string) string {
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(file, ref, treetest.Image(t, layers...)); err != nil {
		t.Fatal(err)
	}
	docker(t, "load", "-i", file)
	t.Cleanup(func() { docker(t, "rmi", ref.String()) })
	id := strings.TrimSpace(docker(t, "create", ref.String(), "/none"))
	t.Cleanup(func() { docker(t, "rm", id) })
	tree, err := treetest.DumpTar(strings.NewReader(docker(t, "export", id)))
	if err != nil {
		t.Fatal(err)
	}
	return withoutDocker(tree)
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", args[0], err, stderr.String())
	}
	return string(out)
}

// withoutDocker sorts the lines and drops what the Engine puts into each container.
func withoutDocker(tree string) string {
	var lines []string
	for line := range strings.Lines(tree) {
		path := strings.Fields(line)[1]
		switch top, _, _ := strings.Cut(path[1:], "/"); top {
		case ".dockerenv", "dev", "etc", "proc", "sys":
		default:
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
