package keep_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"

	"slim/minify/keep"
	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// treeOf is a tree with the named files of a folder of the host.
func treeOf(t testing.TB, root string, files []string) *rootfs.FS {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, p := range files {
		host := filepath.Join(root, p)
		fi, err := os.Lstat(host)
		if err != nil {
			t.Fatal(err)
		}
		target := ""
		if fi.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(host); err != nil {
				t.Fatal(err)
			}
		}
		hdr, err := tar.FileInfoHeader(fi, target)
		if err != nil {
			t.Fatal(err)
		}
		hdr.Name = strings.TrimPrefix(p, "/")
		if fi.IsDir() {
			hdr.Name += "/"
		}
		if err := tw.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag != tar.TypeReg {
			continue
		}
		f, err := os.Open(host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	layer := treetest.TarLayer(t, buf.Bytes(), compression.None)
	fsys, err := rootfs.Load(t.Context(), treetest.ImageOf(t, layer), rootfs.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// walkAll lists everything in root as absolute paths of the tree, parents first.
func walkAll(t testing.TB, root string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if p != root {
			list = append(list, strings.TrimPrefix(p, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// inRoot makes cmd run in another root directory, with the rights that this
// process has or gets.
func inRoot(cmd *exec.Cmd, root string) {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if id := os.Geteuid(); id != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
}

var loadedLine = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

// loaderLists asks the real loader what it loads for a program.
func loaderLists(t testing.TB, root, loader, program string, env []string) []string {
	t.Helper()
	args := []string{"--list", program}
	if strings.Contains(loader, "musl") {
		args = []string{program} // as ldd, by the name it is called
	}
	cmd := exec.Command(loader, args...)
	if root != "/" {
		inRoot(cmd, root)
	}
	if len(args) == 1 {
		cmd.Args[0] = "ldd"
	}
	cmd.Env = append([]string{"LC_ALL=C"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s --list %s: %v\n%s", loader, program, err, out)
	}
	var list []string
	for _, m := range loadedLine.FindAllStringSubmatch(string(out), -1) {
		list = append(list, m[1])
	}
	return list
}

// resolved are the regular files behind paths, sorted, each once.
func resolved(t testing.TB, fsys *rootfs.FS, paths []string) []string {
	t.Helper()
	var list []string
	for _, p := range paths {
		n, _, err := fsys.Resolve(p)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, n.Path())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// linked are the regular files that a Selection keeps by the rule "elf", but for
// the loaders' own configuration.
func linked(s *keep.Selection) []string {
	var list []string
	for e := range s.Kept() {
		if p := e.Node.Path(); e.Reason.Rule == "elf" && e.Node.Inode().IsRegular() && !strings.HasPrefix(p, "/etc/") {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

const glibcLoader = "/lib64/ld-linux-x86-64.so.2"

// A library or program of a test: its place, the flags to link it with and the
// libraries it needs.
type build struct {
	path  string
	flags string
	needs string // paths of builds before it
}

// buildTree compiles programs and libraries into a new root, with the host's C
// library.
func buildTree(t *testing.T, cc string, builds []build) (root string) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the expected paths are those of amd64")
	}
	compiler, err := exec.LookPath(cc)
	need(t, err == nil, "%s is not installed", cc)
	root = t.TempDir()
	for i, b := range builds {
		out := filepath.Join(root, b.path)
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			t.Fatal(err)
		}
		source := filepath.Join(t.TempDir(), "a.c")
		code := fmt.Sprintf("int f%d(void) { return %d; }\n", i, i)
		args := []string{"-o", out, source, "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"}
		if strings.Contains(b.path, ".so") {
			args = append(args, "-shared", "-fPIC")
			if !strings.Contains(b.flags, "-soname") {
				args = append(args, "-Wl,-soname,"+filepath.Base(b.path))
			}
		} else {
			code = "int main(void) { return 0; }\n"
		}
		if err := os.WriteFile(source, []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, strings.Fields(b.flags)...)
		for n := range strings.FieldsSeq(b.needs) {
			args = append(args, filepath.Join(root, n))
		}
		if text, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", cc, strings.Join(args, " "), err, text)
		}
	}
	return root
}

// copyFile copies a file of the host, at the end of its links, to a place in root.
func copyFile(t *testing.T, root, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	need(t, err == nil, "%v", err)
	to = filepath.Join(root, to)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, root, target, name string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// glibcRoot gives a root the host's loader and C library, in the layout of a
// merged /usr with multiarch folders.
func glibcRoot(t *testing.T, root string) {
	t.Helper()
	libc, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	need(t, err == nil, "gcc: %v", err)
	copyFile(t, root, strings.TrimSpace(string(libc)), "/usr/lib/x86_64-linux-gnu/libc.so.6")
	copyFile(t, root, glibcLoader, "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
	symlink(t, root, "usr/lib", "/lib")
	symlink(t, root, "usr/lib64", "/lib64")
	symlink(t, root, "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib64/ld-linux-x86-64.so.2")
}

// requireWay checks that everything that p leads through is kept.
func requireWay(t *testing.T, s *keep.Selection, p string) {
	t.Helper()
	n, links, err := s.FS.Resolve(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range append(links, n) {
		for ; n != nil; n = n.Parent() {
			if e, ok := s.Lookup(n.Path()); !ok || !e.Kept {
				t.Errorf("%s: %s is not kept", p, n.Path())
			}
		}
	}
}

// foreign makes an ELF file one of another machine (e_machine, offset 18).
func foreign(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{183, 0}, 18); err != nil { // EM_AARCH64
		t.Fatal(err)
	}
}

func makeCache(t *testing.T, root string, dirs []string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/ld.so.conf"), []byte(strings.Join(dirs, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	ldconfig, err := exec.LookPath("ldconfig")
	if err != nil {
		ldconfig = "/sbin/ldconfig"
	}
	out, err := exec.Command(ldconfig, "-r", root).CombinedOutput()
	need(t, err == nil, "ldconfig -r: %v\n%s", err, out)
	if err := os.Remove(filepath.Join(root, "etc/ld.so.conf")); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
