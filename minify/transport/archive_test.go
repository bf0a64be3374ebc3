package transport

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/zstd"
)

// Cut anywhere, an archive is refused, when it is opened or when what is missing
// is read: never taken for good.
func TestTruncatedArchive(t *testing.T) {
	for _, kind := range []string{OCIArchive, DockerArchive} {
		dir := t.TempDir()
		whole := filepath.Join(dir, "whole.tar")
		mustStore(t, testImage(t, "whole", gzipped, plainTar), kind+":"+whole)
		b, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		last := bytes.LastIndex(b, []byte("}]")) // then comes nothing that tells anything
		for n := 0; n < last; n += 256 {
			refused(t, kind, filepath.Join(dir, "cut.tar"), b[:n], fmt.Sprintf("cut to %d of %d", n, len(b)))
		}
		z := compress(t, b)
		for _, n := range []int{1, 5, 30, len(z) / 2, len(z) - 1} {
			refused(t, kind, filepath.Join(dir, "cut.tar.gz"), z[:n], fmt.Sprintf("gzip cut to %d of %d", n, len(z)))
		}
	}
}

// So is one with a bit flipped, unless it changed nothing that is read.
func TestCorruptArchive(t *testing.T) {
	for _, kind := range []string{OCIArchive, DockerArchive} {
		dir := t.TempDir()
		whole := filepath.Join(dir, "whole.tar")
		img := testImage(t, "whole", gzipped, plainTar)
		mustStore(t, img, kind+":"+whole)
		b, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{"whole whole", "diff_ids"} { // the plain layer, the configuration
			at := bytes.Index(b, []byte(what))
			if at < 0 {
				t.Fatalf("%s: no %q", kind, what)
			}
			bad := bytes.Clone(b)
			bad[at] ^= 1
			refused(t, kind, filepath.Join(dir, "bad.tar"), bad, "changed "+what)
		}
	}
}

func refused(t *testing.T, kind, path string, b []byte, what string) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := Load(context.Background(), Reference{transport: kind, path: path}, Options{TempDir: filepath.Dir(path)})
	if err == nil {
		err = checkImage(src.Image)
		src.Close()
	}
	if !errors.Is(err, ErrInput) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s %s: %v; want one line of kind ErrInput", kind, what, err)
	}
}

func compress(t *testing.T, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// A compressed archive, or one from a pipe, is buffered where nothing can be left
// behind.
func TestBufferedArchives(t *testing.T) {
	for _, kind := range []string{OCIArchive, DockerArchive} {
		dir, temp := t.TempDir(), t.TempDir()
		img := testImage(t, "packed", gzipped)
		mustStore(t, img, kind+":"+dir+"/a.tar")
		b, err := os.ReadFile(dir + "/a.tar")
		if err != nil {
			t.Fatal(err)
		}
		enc, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{"a.tar.gz": compress(t, b), "a.tar.zst": enc.EncodeAll(b, nil)} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
			sameContent(t, mustLoad(t, kind+":"+dir+"/"+name, Options{TempDir: temp}).Image, img)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			w.Write(b)
			w.Close()
		}()
		sameContent(t, mustLoad(t, fmt.Sprintf("%s:/proc/self/fd/%d", kind, r.Fd()), Options{TempDir: temp}).Image, img)
		r.Close()
		if left := files(t, temp); len(left) > 0 {
			t.Errorf("with the images open there is %s", left)
		}
		if err := os.WriteFile(dir+"/a.tar.xz", append([]byte{0xfd, '7', 'z', 'X', 'Z', 0}, b...), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(context.Background(), parseRef(t, kind+":"+dir+"/a.tar.xz"), Options{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("xz: %v", err)
		}
	}
}

func TestDockerArchiveOfSeveral(t *testing.T) {
	file := filepath.Join(t.TempDir(), "many.tar")
	images := make(map[name.Tag]v1.Image)
	for _, tag := range []string{"one:1", "example.org/two:2"} {
		parsed, err := name.NewTag(tag)
		if err != nil {
			t.Fatal(err)
		}
		images[parsed] = testImage(t, tag, gzipped)
	}
	if err := tarball.MultiWriteToFile(file, images); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"one:1", "docker.io/library/one:1", "example.org/two:2"} {
		src := mustLoad(t, "docker-archive:"+file+":"+tag, Options{})
		if got := word(t, src.Image); !strings.HasSuffix(tag, got) {
			t.Errorf("%s is %s", tag, got)
		}
	}
	_, err := Load(context.Background(), parseRef(t, "docker-archive:"+file), Options{})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "2 images; name one of example.org/two:2, one:1") {
		t.Error(err)
	}
}

// Docker before 25 names layers ID/layer.tar and links equal ones; the names of
// an archive may begin with "./"; later entries win.
func TestDockerArchiveOddities(t *testing.T) {
	layer := layerTar(t, "file", "content")
	h, _, err := v1.SHA256(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(hdr tar.Header, content []byte) {
		hdr.Size = int64(len(content))
		if err := w.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add(tar.Header{Name: "./c.json"}, []byte("an older one"))
	add(tar.Header{Name: "./one/"}, nil)
	add(tar.Header{Name: "./one/layer.tar"}, layer)
	add(tar.Header{Name: "./two/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../one/layer.tar"}, nil)
	add(tar.Header{Name: "./three/layer.tar", Typeflag: tar.TypeLink, Linkname: "./two/layer.tar"}, nil)
	add(tar.Header{Name: "./loop", Typeflag: tar.TypeSymlink, Linkname: "loop"}, nil)
	add(tar.Header{Name: "./c.json"}, fmt.Appendf(nil,
		`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["%s","%s","%s"]}}`, h, h, h))
	manifest := `[{"Config":"c.json","RepoTags":null,"Layers":["one/layer.tar","two/layer.tar","%s"]}]`
	add(tar.Header{Name: "./manifest.json"}, fmt.Appendf(nil, manifest, "three/layer.tar"))
	good := bytes.Clone(b.Bytes())
	add(tar.Header{Name: "./manifest.json"}, fmt.Appendf(nil, manifest, "loop"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "odd.tar")
	if err := os.WriteFile(file, good, 0o644); err != nil {
		t.Fatal(err)
	}
	src := mustLoad(t, "docker-archive:"+file, Options{})
	layers, err := src.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 3 {
		t.Errorf("%d layers", len(layers))
	}
	for _, l := range layers {
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if err != nil || !bytes.Equal(got, layer) {
			t.Errorf("layer differs: %v", err)
		}
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(context.Background(), parseRef(t, "docker-archive:"+file), Options{}); !errors.Is(err, ErrInput) {
		t.Errorf("layer linked to itself: %v", err)
	}
}

const storeTo = "TRANSPORT_TEST_STORE_TO"

// What is killed while it writes leaves nothing. The test runs itself as the
// program that is killed.
func TestKilledWriterLeavesNothing(t *testing.T) {
	if to := os.Getenv(storeTo); to != "" {
		endless := brokenLayer{tarLayer(t, gzipped, "file", "x"), func() (io.ReadCloser, error) {
			fmt.Println("writing")
			r, _, err := os.Pipe() // nothing will come
			return r, err
		}}
		mustStore(t, appendLayer(t, testImage(t, "x", gzipped), endless), to)
	}
	dir := t.TempDir()
	for _, to := range []string{"oci-archive:" + dir + "/o.tar", "docker-archive:" + dir + "/d.tar"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriterLeavesNothing$")
		cmd.Env = append(os.Environ(), storeTo+"="+to)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("writing\n"))); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("left behind: %s", left)
		}
	}
}
