package rootfs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// FuzzLoad loads any two archives, one over the other: they give a sound tree, the
// same each time, or ErrInput.
func FuzzLoad(f *testing.F) {
	for _, c := range mergeCases {
		var tars [2][]byte
		for i, l := range c.layers {
			tars[i%2] = treetest.Tar(f, l)
		}
		f.Add(tars[0], tars[1])
	}
	f.Add(oldSparse(8<<40, "headtail", 0, 4, 100, 4), []byte(nil))
	f.Add([]byte("garbage"), make([]byte, 10240))
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		fixChecksums(lower)
		fixChecksums(upper)
		img := treetest.ImageOf(t, treetest.TarLayer(t, lower, compression.None), treetest.TarLayer(t, upper, compression.None))
		var dumps [2]string
		for i := range dumps {
			fsys, err := rootfs.Load(context.Background(), img, rootfs.Options{})
			if err != nil {
				if !errors.Is(err, rootfs.ErrInput) {
					t.Fatal(err)
				}
				return
			}
			checkTree(t, fsys)
			if fsys.Size() < 1<<20 {
				dumps[i] = treetest.Dump(fsys)
			}
			if err := fsys.Close(); err != nil {
				t.Error(err)
			}
		}
		if dumps[0] != dumps[1] {
			t.Errorf("one image, two trees:\n%s\n%s", dumps[0], dumps[1])
		}
	})
}

// fixChecksums lets a changed header through the reader's first check.
func fixChecksums(data []byte) {
	for ; len(data) >= 512; data = data[512:] {
		if string(data[257:262]) == "ustar" {
			setChecksum(data[:512])
		}
	}
}

// setChecksum fills in a header block's sum of its bytes.
func setChecksum(block []byte) {
	copy(block[148:], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
}
