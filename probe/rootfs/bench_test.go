package rootfs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// manyNames is a layer of 40,000 small files.
func manyNames() string {
	var b strings.Builder
	for d := range 400 {
		fmt.Fprintf(&b, "dir /usr/share/some/package-%d\n", d)
		for f := range 100 {
			fmt.Fprintf(&b, "file /usr/share/some/package-%d/file-%d.txt \"content\"\n", d, f)
		}
	}
	return b.String()
}

// BenchmarkIndex loads 40,000 names from a cached layer.
func BenchmarkIndex(b *testing.B) {
	img := treetest.Image(b, manyNames())
	dir := b.TempDir()
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		fsys, err := rootfs.Load(context.Background(), img, rootfs.Options{CacheDir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(fsys.Len()), "B/name")
		fsys.Close()
		b.StartTimer()
	}
}

// BenchmarkUnpack loads a layer of 200 MB.
func BenchmarkUnpack(b *testing.B) {
	const size = 200 << 20
	tar := bigTar(b, size)
	for _, c := range []compression.Compression{compression.GZip, compression.ZStd, compression.None} {
		b.Run(string(c), func(b *testing.B) {
			img := treetest.ImageOf(b, treetest.TarLayer(b, tar, c))
			b.SetBytes(size)
			for b.Loop() {
				fsys, err := rootfs.Load(context.Background(), img, rootfs.Options{})
				if err != nil {
					b.Fatal(err)
				}
				fsys.Close()
			}
		})
	}
}

// BenchmarkCached loads the same layer from the cache, where it is hashed again.
func BenchmarkCached(b *testing.B) {
	const size = 200 << 20
	img := treetest.ImageOf(b, treetest.TarLayer(b, bigTar(b, size), compression.None))
	opts := rootfs.Options{CacheDir: b.TempDir()}
	b.SetBytes(size)
	for b.Loop() {
		fsys, err := rootfs.Load(context.Background(), img, opts)
		if err != nil {
			b.Fatal(err)
		}
		fsys.Close()
	}
}

// bigTar holds one file that compresses about as programs do.
func bigTar(b *testing.B, size int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 4096)
	for i := range words {
		word := make([]byte, 3+rnd.IntN(12))
		for j := range word {
			word[j] = byte(rnd.Uint32())
		}
		words[i] = string(word)
	}
	var text strings.Builder
	for text.Len() < size {
		text.WriteString(words[rnd.IntN(len(words))])
	}
	return treetest.Tar(b, fmt.Sprintf("file /big %q", text.String()[:size]))
}
