// Demo makes a real fat image from what the machine has, and slims it: the Go
// toolchain, the source and build cache of a small HTTP server, its binary, a
// certificate bundle and time zones, in four layers as a careless Dockerfile
// leaves them. It needs no Docker and no network beyond Go modules.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// folder holds what the demo makes; git ignores it.
const folder = ".demo"

// epoch is the time of every file that the demo makes up.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func main() {
	if err := demo(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode()) // it has said why
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo() error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(folder, "fat.tar")
	fmt.Fprintln(os.Stderr, "making a fat image of the Go toolchain and a small server:", archive)
	if err := makeImage(archive); err != nil {
		return err
	}
	args := []string{"docker-archive:" + archive, "-t", "oci:" + filepath.Join(folder, "slim"),
		"--report", filepath.Join(folder, "report.json"), "--", "server", "--port", "8080"}
	fmt.Fprintf(os.Stderr, "\n$ slim %s\n", strings.Join(args, " "))
	cmd := exec.Command(filepath.Join("bin", "slim"), args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// makeImage builds the server and writes the image, in the form of docker save.
func makeImage(path string) error {
	goroot, err := goOutput("env", "GOROOT")
	if err != nil {
		return err
	}
	// Where it is a link, WalkDir would see the link alone.
	if goroot, err = filepath.EvalSymlinks(strings.TrimSpace(goroot)); err != nil {
		return err
	}
	binary := filepath.Join(folder, "server")
	if _, err := goOutput("build", "-trimpath", "-o", binary, "./testdata/demo/server"); err != nil {
		return err
	}
	cached, err := goOutput("list", "-trimpath", "-export", "-deps", "-f", "{{.Export}}", "./testdata/demo/server")
	if err != nil {
		return err
	}
	bundle, err := firstFile("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
	if err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	img := &image{tar: tar.NewWriter(out), temp: filepath.Join(folder, "layer.tar")}
	defer os.Remove(img.temp)
	img.layer("base", func(l *layer) {
		for _, dir := range []string{"etc", "etc/ssl", "etc/ssl/certs", "root", "usr", "usr/local", "usr/local/bin", "tmp"} {
			l.dir(dir)
		}
		l.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/app:/bin/false\n")
		l.text("etc/group", "root:x:0:\napp:x:1000:\n")
		l.text("etc/nsswitch.conf", "hosts: files dns\n")
		l.file("etc/ssl/certs/ca-certificates.crt", bundle)
	})
	img.layer("toolchain", func(l *layer) { l.tree("usr/local/go", goroot) })
	img.layer("build", func(l *layer) {
		l.tree("src/server", "testdata/demo/server")
		for _, name := range strings.Fields(cached) {
			l.file("root/.cache/go-build/"+filepath.Base(name), name)
		}
		l.text("tmp/build.log", strings.Repeat("compile\n", 1000))
	})
	img.layer("app", func(l *layer) {
		l.tree("app", "testdata/demo/app")
		l.file("usr/local/bin/server", binary)
		l.link("app/server", "usr/local/bin/server")
		l.text("tmp/.wh.build.log", "") // RUN rm, as Dockerfiles do it: the layer below keeps it
	})
	return errors.Join(img.close(), out.Close())
}

// image writes a docker archive, a layer at a time.
type image struct {
	tar    *tar.Writer
	temp   string
	layers []string
	diffs  []string
	err    error
}

// layer adds what fill puts into one layer.
func (i *image) layer(name string, fill func(*layer)) {
	if i.err != nil {
		return
	}
	file, err := os.Create(i.temp)
	if err != nil {
		i.err = err
		return
	}
	defer file.Close()
	sum := sha256.New()
	l := &layer{tar: tar.NewWriter(io.MultiWriter(file, sum))}
	fill(l)
	if i.err = errors.Join(l.err, l.tar.Close()); i.err != nil {
		return
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		i.err = err
		return
	}
	if _, i.err = file.Seek(0, io.SeekStart); i.err != nil {
		return
	}
	i.layers = append(i.layers, name+"/layer.tar")
	i.diffs = append(i.diffs, "sha256:"+hex.EncodeToString(sum.Sum(nil)))
	i.add(name+"/layer.tar", file, size)
}

func (i *image) add(name string, r io.Reader, size int64) {
	if i.err == nil {
		i.err = i.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: epoch})
	}
	if i.err == nil {
		_, i.err = io.Copy(i.tar, r)
	}
}

// close writes the config and the manifest, and ends the archive.
func (i *image) close() error {
	for _, part := range []struct {
		name  string
		value any
	}{
		{"config.json", map[string]any{
			"architecture": runtime.GOARCH, "os": "linux", "created": epoch,
			"config": map[string]any{
				"Env":          []string{"PATH=/usr/local/go/bin:/usr/local/bin", "ZONEINFO=/usr/local/go/lib/time/zoneinfo.zip"},
				"Cmd":          []string{"server"},
				"User":         "app",
				"WorkingDir":   "/app",
				"ExposedPorts": map[string]any{"8080/tcp": struct{}{}},
			},
			"rootfs": map[string]any{"type": "layers", "diff_ids": i.diffs},
		}},
		{"manifest.json", []map[string]any{{
			"Config": "config.json", "RepoTags": []string{"demo:latest"}, "Layers": i.layers,
		}}},
	} {
		data, err := json.Marshal(part.value)
		if err != nil {
			return err
		}
		i.add(part.name, bytes.NewReader(data), int64(len(data)))
	}
	return errors.Join(i.err, i.tar.Close())
}

// layer writes one layer's archive; its first error stands.
type layer struct {
	tar *tar.Writer
	err error
}

func (l *layer) header(h tar.Header) {
	if h.ModTime.IsZero() {
		h.ModTime = epoch
	}
	if l.err == nil {
		l.err = l.tar.WriteHeader(&h)
	}
}

func (l *layer) dir(name string) {
	h := tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}
	if name == "tmp" {
		h.Mode = 0o1777
	}
	l.header(h)
}

func (l *layer) text(name, content string) {
	l.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))})
	if l.err == nil {
		_, l.err = io.WriteString(l.tar, content)
	}
}

func (l *layer) link(name, target string) {
	l.header(tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o755})
}

func (l *layer) file(name, from string) {
	if l.err != nil {
		return
	}
	file, err := os.Open(from)
	if err != nil {
		l.err = err
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		l.err = err
		return
	}
	l.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()})
	if l.err == nil {
		_, l.err = io.Copy(l.tar, file)
	}
}

func (l *layer) tree(name, from string) {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(name, rel)
		switch {
		case d.IsDir():
			l.dir(to)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			l.header(tar.Header{Typeflag: tar.TypeSymlink, Name: to, Linkname: target})
		case d.Type().IsRegular():
			l.file(to, path)
		}
		return l.err
	})
	if l.err == nil {
		l.err = err
	}
}

func goOutput(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

func firstFile(paths ...string) (string, error) {
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no certificate bundle: tried %s", strings.Join(paths, ", "))
}
