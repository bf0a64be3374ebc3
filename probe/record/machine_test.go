package record

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slim/probe/rootfs"
	"slim/testdata/skip"
)

// machine makes a tree of files of this machine, with the links on the way to
// them and the libraries that programs need, and of the extra files given.
func machine(t testing.TB, paths []string, extra map[string]string) *rootfs.FS {
	t.Helper()
	m := collector{seen: map[string]bool{}}
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			skip.Test(t, "%v", err)
		}
		if err := m.add(p); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, t.TempDir(), func(w *tar.Writer) error {
		for _, name := range m.list {
			if err := copyIn(w, name); err != nil {
				return err
			}
		}
		for name, content := range extra {
			h := &tar.Header{Typeflag: tar.TypeReg, Name: name[1:], Mode: 0o755, Size: int64(len(content))}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.WriteString(w, content); err != nil {
				return err
			}
		}
		return nil
	})
}

type collector struct {
	seen map[string]bool
	list []string // of paths without links in their folders
}

// add takes path, all below it, and what it needs.
func (m *collector) add(path string) error {
	at := "/"
	elements := strings.Split(strings.Trim(path, "/"), "/")
	for i := 0; i < len(elements); i++ {
		at = filepath.Join(at, elements[i])
		if target, err := os.Readlink(at); err == nil {
			m.take(at)
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			elements = slices.Concat(strings.Split(strings.Trim(target, "/"), "/"), elements[i+1:])
			at, i = "/", -1
		}
	}
	if m.seen[at] {
		return nil
	}
	m.take(at)
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return filepath.WalkDir(at, func(p string, d fs.DirEntry, err error) error {
			if err != nil || p == at {
				return err
			}
			return m.add(p)
		})
	case info.Mode().IsRegular() && info.Mode()&0o111 != 0:
		out, _ := exec.Command("ldd", at).Output() // fails for what is not dynamic
		for field := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(field, "/") {
				if err := m.add(field); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (m *collector) take(path string) {
	if !m.seen[path] {
		m.seen[path] = true
		m.list = append(m.list, path)
	}
}

func copyIn(w *tar.Writer, name string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	target, _ := os.Readlink(name)
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name, h.Format = name[1:], tar.FormatPAX
	var content []byte
	if info.Mode().IsRegular() {
		if content, err = os.ReadFile(name); err != nil {
			return err
		}
		h.Size = int64(len(content))
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, bytes.NewReader(content))
	return err
}
