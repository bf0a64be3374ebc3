package rootfs_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/compression"

	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
)

// sparseFile makes a file of size bytes with pieces of content at every step.
func sparseFile(t *testing.T, path string, size, step int64) []byte {
	t.Helper()
	data := make([]byte, size)
	rnd := rand.NewChaCha8([32]byte{1})
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); step > 0 && at < size; at += step {
		piece := data[at:min(at+4096, size)]
		rnd.Read(piece)
		if _, err := f.WriteAt(piece, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSparse reads what GNU tar writes in each of its formats.
func TestSparse(t *testing.T) {
	if out, err := exec.Command("tar", "--version").Output(); err != nil || !strings.Contains(string(out), "GNU tar") {
		skip.Test(t, "no GNU tar: %v", err)
	}
	dir := t.TempDir()
	files := map[string][]byte{}
	for name, shape := range map[string][2]int64{
		"two":       {100 << 10, 64 << 10},
		"four":      {256 << 10, 64 << 10}, // as many as a header block holds
		"many":      {1 << 20, 32 << 10},   // three blocks of the old format
		"end":       {200<<10 + 7, 0},      // a hole only
		"odd":       {130<<10 + 7, 65 << 10},
		"huge-name": {100 << 10, 64 << 10},
	} {
		if name == "huge-name" {
			name = strings.Repeat("n", 200) // takes a header of its own
		}
		files[name] = sparseFile(t, filepath.Join(dir, name), shape[0], shape[1])
	}
	if err := os.WriteFile(filepath.Join(dir, "zz-plain"), []byte("after them all"), 0o644); err != nil {
		t.Fatal(err)
	}
	files["zz-plain"] = []byte("after them all")
	for _, format := range []string{
		"--format=gnu", "--format=posix --sparse-version=0.0", "--format=posix --sparse-version=0.1", "--format=posix --sparse-version=1.0",
	} {
		t.Run(format, func(t *testing.T) {
			args := append(strings.Fields(format), "--sparse", "--hole-detection=raw", "-C", dir, "-c", ".")
			data, err := exec.Command("tar", args...).Output()
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 3<<20 {
				t.Fatalf("the archive of %d bytes is not sparse", len(data))
			}
			fsys := loadTar(t, data)
			checkTree(t, fsys)
			for name, want := range files {
				n, err := fsys.Lookup(name)
				if err != nil {
					t.Error(err)
					continue
				}
				if err := iotest.TestReader(fsys.Content(n.Inode()), want); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// oldSparse writes an entry of the old GNU format.
func oldSparse(size int64, data string, pieces ...int64) []byte {
	block := make([]byte, 512)
	copy(block, "sparse")
	copy(block[100:], "0000644\x000000000\x000000000\x00")
	copy(block[124:], fmt.Sprintf("%011o\x00", len(data)))
	copy(block[136:], "00000000000\x00")
	block[156] = 'S'
	copy(block[257:], "ustar  \x00")
	for i, n := range pieces {
		copy(block[386+12*i:], binary(n))
	}
	copy(block[483:], binary(size))
	setChecksum(block)
	content := append([]byte(data), make([]byte, (512-len(data)%512)%512)...)
	return append(append(block, content...), make([]byte, 1024)...)
}

// binary is a number field too high for octal digits.
func binary(n int64) []byte {
	field := make([]byte, 12)
	for i := 11; i > 0; i-- {
		field[i], n = byte(n), n>>8
	}
	field[0] = 0x80
	return field
}

// TestSparseHuge: a hole costs neither disk nor time.
func TestSparseHuge(t *testing.T) {
	const size = 8 << 40
	fsys := loadTar(t, oldSparse(size, "headtail", 0, 4, size-4, 4))
	i := fsys.Root().Child("sparse").Inode()
	if i.Size != size || fsys.Size() != size {
		t.Errorf("size %d", i.Size)
	}
	if _, err := fsys.ReadFile("sparse"); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("ReadFile: %v", err)
	}
	for at, want := range map[int64]string{0: "head\x00\x00", 2: "ad\x00\x00\x00\x00", 1 << 40: "\x00\x00\x00\x00\x00\x00", size - 6: "\x00\x00tail"} {
		buf := make([]byte, 6)
		if n, err := fsys.Content(i).ReadAt(buf, at); n != 6 || err != nil && err != io.EOF || string(buf) != want {
			t.Errorf("at %d: %q, %v, want %q", at, buf[:n], err, want)
		}
	}
}

func TestBadSparse(t *testing.T) {
	for _, c := range []struct {
		name string
		tar  []byte
		want string
	}{
		{"larger than any disk", oldSparse(1<<50, "x", 0, 1), "file too large"},
		{"more map than content", oldSparse(100, "x", 0, 2), "sparse map"},
		{"less map than content", oldSparse(100, "xyz", 0, 2), "sparse map"},
		{"beyond the end", oldSparse(1, "xyz", 0, 3), "invalid tar header"},
		{"truncated", oldSparse(100, "xyz", 0, 3)[:513], "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := treetest.ImageOf(t, treetest.TarLayer(t, c.tar, compression.None))
			checkRejected(t, img, []string{c.want, "layer 0"})
		})
	}
}

// TestSparseTestdata reads the archives that archive/tar itself is tested with.
func TestSparseTestdata(t *testing.T) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		skip.Test(t, "no Go toolchain: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "src/archive/tar/testdata")
	for _, name := range []string{"sparse-formats.tar", "gnu-nil-sparse-data.tar", "gnu-nil-sparse-hole.tar", "pax-nil-sparse-data.tar", "pax-nil-sparse-hole.tar"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			skip.Test(t, "%v", err)
		}
		fsys := loadTar(t, data)
		for tr := tar.NewReader(bytes.NewReader(data)); ; {
			hdr, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			got, err := fsys.ReadFile(hdr.Name)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s: %d bytes, %v, want %d", name, hdr.Name, len(got), err, len(want))
			}
		}
	}
}
