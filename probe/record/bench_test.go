package record

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkTree lists, stats and reads a tree of many small files and one large
// one: through a fresh mount, again through the same mount, and the same files as
// plain ones in the page cache.
func BenchmarkTree(b *testing.B) {
	const dirs, files, small, large = 100, 50, 4 << 10, 128 << 20
	plain := b.TempDir()
	content := make([]byte, large)
	for i := range content {
		content[i] = byte(i * 7)
	}
	add := func(w *tar.Writer, name string, content []byte) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
		path := filepath.Join(plain, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, content, 0o644)
	}
	fsys := load(b, b.TempDir(), func(w *tar.Writer) error {
		for i := range dirs * files {
			if err := add(w, fmt.Sprintf("small/%d/%d", i%dirs, i), content[:small]); err != nil {
				return err
			}
		}
		return add(w, "large/file", content)
	})
	for _, part := range []struct {
		dir   string
		bytes int64
	}{{"/small", dirs * files * small}, {"/large", large}} {
		b.Run(part.dir[1:], func(b *testing.B) {
			b.SetBytes(part.bytes)
			var again, bare time.Duration
			for b.Loop() {
				b.StopTimer()
				walk := "touch-all " + part.dir
				s := begin(b, fsys, FUSEOptions{}, plan{Steps: []string{walk, "pause", walk, "pause"}})
				s.f.SetPhase(Start)
				b.StartTimer()
				s.goOn()
				s.paused()
				b.StopTimer()
				start := time.Now()
				s.goOn()
				s.paused()
				again += time.Since(start)
				s.goOn()
				if err := s.end(); err != nil {
					b.Fatal(err)
				}
				s.f.Close()
				start = time.Now()
				if err := touchAll(plain + part.dir); err != nil {
					b.Fatal(err)
				}
				bare += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(float64(again.Nanoseconds())/float64(b.N), "again-ns/op")
			b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "plain-ns/op")
		})
	}
}

// BenchmarkNew indexes a tree of 200,000 names.
func BenchmarkNew(b *testing.B) {
	fsys := load(b, b.TempDir(), func(w *tar.Writer) error {
		for i := range 200_000 {
			h := tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("d%d/file-%d", i/100, i), Mode: 0o644}
			if err := w.WriteHeader(&h); err != nil {
				return err
			}
		}
		return nil
	})
	b.ReportAllocs()
	for b.Loop() {
		newFUSE(b, fsys, FUSEOptions{}).Close()
	}
}
