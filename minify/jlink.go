package minify

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"slim/minify/verify"
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/sandbox"
)

// linkSource is run by the image's own JDK, in source-file mode (JEP 330, Java 11).
//
//go:embed jlink/Link.java
var linkSource []byte

// linkDir is where the container sees linkSource and what it is to link.
const linkDir = "/slim-jlink"

// jlink puts a run-time image of the modules that the application needs in the place of
// the JDK's: the image's own jdeps and jlink make it, inside the sandbox. Files of
// the JDK that the new run-time image has as well stay as they are, for they may have
// been configured; its other files go. The original is probed again with it, and has
// to behave as before.
func (r *run) jlink(ctx context.Context) error {
	refuse := func(err error) error { return fmt.Errorf("%w: --jlink: %w", ErrGate, err) }
	home, err := javaHome(r.fat, r.original.Trace)
	if err != nil {
		return refuse(err)
	}
	linked, err := r.link(ctx, home)
	if err != nil {
		return refuse(err)
	}
	defer linked.Close()
	file, err := rootfs.Unnamed(r.opts.CacheDir)
	if err != nil {
		return err
	}
	r.closers = append(r.closers, file.Close)
	if err := replaceRuntime(file, r.fat, home, linked); err != nil {
		return refuse(err)
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(file, 0, size)), nil
	})
	if err != nil {
		return refuse(err)
	}
	img, err := mutate.AppendLayers(r.source.Image, l)
	if err != nil {
		return refuse(err)
	}
	// The same input gives the same layer, so it may be met again.
	fat, _, err := r.load(ctx, img, rootfs.Options{CacheDir: r.opts.CacheDir})
	if err != nil {
		return refuse(err)
	}
	opts := r.probeOptions(r.config)
	opts.WaitPorts = r.original.Ports()
	second, err := probe.Run(ctx, fat, opts)
	if err != nil {
		return refuse(err)
	}
	v := &verify.Verdict{Rows: verify.Compare(r.original, second)}
	if !v.Equal() {
		again, err := probe.Run(ctx, r.fat, r.probeOptions(r.config))
		if err != nil {
			return fmt.Errorf("run the original again: %w", err)
		}
		verify.Excuse(v.Rows, r.original, again, second)
	}
	if !v.Equal() {
		return refuse(fmt.Errorf("with the linked run-time image the program differs: %s", differences(v)))
	}
	r.fat, r.original, r.result.Trace = fat, second, second.Trace
	r.result.Linked = home
	return nil
}

// javaHome is the folder of the JDK whose virtual machine the run used.
func javaHome(fsys *rootfs.FS, trace *probe.Trace) (string, error) {
	var homes []string
	for _, a := range trace.Accesses {
		if a.Ops&(record.Read|record.Exec) == 0 || !strings.HasSuffix(a.Path, "/lib/server/libjvm.so") {
			continue
		}
		n, _, err := fsys.Resolve(a.Path)
		if err != nil {
			continue
		}
		if home := strings.TrimSuffix(n.Path(), "/lib/server/libjvm.so"); !slices.Contains(homes, home) {
			homes = append(homes, home)
		}
	}
	switch {
	case len(homes) == 0:
		return "", errors.New("the run started no Java virtual machine of Java 9 or later")
	case len(homes) > 1:
		return "", fmt.Errorf("the run used several: %s", strings.Join(homes, ", "))
	}
	for _, name := range []string{"bin/java", "bin/jlink", "lib/modules"} {
		if _, _, err := fsys.Resolve(path.Join(homes[0], name)); err != nil {
			return "", fmt.Errorf("%s is no JDK: it has no %s", homes[0], name)
		}
	}
	return homes[0], nil
}

// link runs linkSource and returns its output.
func (r *run) link(ctx context.Context, home string) (_ *os.File, err error) {
	dir, err := os.MkdirTemp("", "slim-jlink-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var list bytes.Buffer
	for _, line := range linkInput(r.original.Trace, home) {
		fmt.Fprintln(&list, line)
	}
	for name, data := range map[string][]byte{"Link.java": linkSource, "list": list.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	out, err := rootfs.Unnamed(r.opts.CacheDir)
	if err != nil {
		return nil, err
	}
	java := path.Join(home, "bin/java")
	result, err := probe.Run(ctx, r.fat, probe.Options{
		Sandbox: sandbox.Config{
			Image: r.config, Entrypoint: &java, User: "0:0", Workdir: "/",
			Command: []string{linkDir + "/Link.java", linkDir + "/list"},
			Env:     []string{"JAVA_TOOL_OPTIONS=", "JDK_JAVA_OPTIONS=", "CLASSPATH="},
			Mounts:  []string{"type=bind,src=" + dir + ",dst=" + linkDir + ",readonly"},
		},
		Stdout: out,
	})
	if err == nil {
		if failed := result.Failed(); len(failed) > 0 {
			err = fmt.Errorf("jlink in the image: %s", describe(failed))
		}
	}
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// linkInput names what the run used of the application and of the JDK: jars, the top
// folders of loose classes, and native libraries.
func linkInput(trace *probe.Trace, home string) []string {
	var list []string
	for _, a := range trace.Accesses {
		switch inside := strings.HasPrefix(a.Path, home+"/"); {
		case a.Ops&record.Read == 0, strings.ContainsAny(a.Path, "\n"):
		case inside && strings.HasSuffix(a.Path, ".so"):
			list = append(list, "l "+path.Base(a.Path))
		case inside:
		case strings.HasSuffix(a.Path, ".jar"), strings.HasSuffix(a.Path, ".war"):
			list = append(list, "j "+a.Path)
		case strings.HasSuffix(a.Path, ".class"):
			list = append(list, "j "+path.Dir(a.Path))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// maxModules bounds a file of a run-time image, in bytes.
const maxModules = 1 << 30

// replaceRuntime writes the layer that turns the JDK at home into the run-time image
// that linkSource wrote: each of its files that is new, and a whiteout for each that
// the image does not have. Headers are those of the file in whose place one comes.
func replaceRuntime(w io.Writer, fsys *rootfs.FS, home string, linked io.Reader) error {
	in := bufio.NewReader(linked)
	tw := tar.NewWriter(w)
	kept := make(map[string]bool)
	for {
		name, size, err := readLinked(in)
		if err != nil {
			return fmt.Errorf("read the linked run-time image: %w", err)
		}
		if name == "" {
			break
		}
		p := path.Join(home, name)
		kept[p] = true
		if size < 0 {
			continue
		}
		n, err := fsys.Lookup(p)
		if err != nil || !n.Inode().IsRegular() {
			return fmt.Errorf("the JDK has no file %s", p)
		}
		i := n.Inode()
		if err := tw.WriteHeader(&tar.Header{
			Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: p[1:], Size: size,
			Mode: int64(i.Mode & 0o7777), Uid: int(i.UID), Gid: int(i.GID), ModTime: i.MTime,
		}); err != nil {
			return err
		}
		if _, err := io.CopyN(tw, in, size); err != nil {
			return err
		}
	}
	dir, err := fsys.Lookup(home)
	if err != nil {
		return err
	}
	if err := whiteOut(tw, dir, kept); err != nil {
		return err
	}
	return tw.Close()
}

// readLinked reads one file's head as Link.java writes it: the name as DataOutput.writeUTF
// has it, and the length of the content that follows, -1 for none. "" is the end.
func readLinked(r io.Reader) (name string, size int64, err error) {
	var length uint16
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return "", 0, err
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", 0, err
	}
	if length == 0 {
		return "", 0, nil
	}
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return "", 0, err
	}
	name = string(text)
	if size > maxModules || !filepath.IsLocal(name) {
		return "", 0, fmt.Errorf("file %q of %d bytes", name, size)
	}
	return name, size, nil
}

// whiteOut removes the files below dir that are not kept. Folders stay: links into
// the JDK's configuration lead there.
func whiteOut(tw *tar.Writer, dir *rootfs.Node, kept map[string]bool) error {
	for _, n := range dir.Children() {
		p := n.Path()
		switch {
		case n.Inode().IsDir():
			if err := whiteOut(tw, n, kept); err != nil {
				return err
			}
		case !kept[p] && !n.Inode().IsSymlink():
			name := path.Join(path.Dir(p), ".wh."+path.Base(p))
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name[1:], Mode: 0o644}); err != nil {
				return err
			}
		}
	}
	return nil
}
