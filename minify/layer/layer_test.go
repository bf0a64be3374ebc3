package layer_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"slim/minify/keep"
	"slim/minify/layer"
	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// tree has one of everything that a header can hold.
const tree = `
	dir  /bin 0755 0:0
	file /bin/ping 0755 0:0 "ELF" xattr.security.capability="\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00"
	file /bin/su 04755 0:0 "set uid" mtime=2001-02-03T04:05:06Z
	hard /bin/sudo => /bin/su
	dir  /data 01777 1000:1000
	file /data/fine 0640 1000:2000 "nanoseconds" mtime=2020-01-02T03:04:05.123456789Z
	file /data/old 0600 1000:1000 "epoch" mtime=0
	file "/data/odd\n\xff name" "bytes"
	link /data/up -> ../../../etc/passwd 1000:1000
	char /dev/null 0666 1:3
	block /dev/sda 0660 0:6 8:0
	fifo /dev/pipe 0600
	file /empty
	hard /zz => /bin/su
`

// choose keeps what pick says of tree.
func choose(fsys *rootfs.FS, pick func(path string) bool) *keep.Selection {
	sel := &keep.Selection{FS: fsys}
	for n := range fsys.All() {
		sel.Entries = append(sel.Entries, keep.Entry{Node: n, Kept: pick(n.Path())})
	}
	return sel
}

func everything(string) bool { return true }

func write(t *testing.T, sel *keep.Selection, opts layer.Options) *layer.Layer {
	t.Helper()
	opts.Dir = t.TempDir()
	l, err := layer.Write(context.Background(), sel, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dumpLayer(t *testing.T, l v1.Layer) string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := treetest.DumpTar(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What is written and read again is the original, header for header.
func TestExact(t *testing.T) {
	fsys := treetest.FS(t, tree)
	for _, c := range layer.Compressions {
		t.Run(string(c), func(t *testing.T) {
			l := write(t, choose(fsys, everything), layer.Options{Compression: c})
			if err := validate.Layer(l); err != nil && c == layer.Gzip { // the validator reads gzip only
				t.Error(err)
			}
			got := strings.Split(treetest.Dump(treetest.Load(t, treetest.ImageOf(t, l))), "\n")
			got = slices.DeleteFunc(got, func(line string) bool { // the library's own entries
				return c == layer.EStargz && (strings.Contains(line, "/stargz.index.json") || strings.Contains(line, "prefetch.landmark"))
			})
			want := strings.Split(treetest.Dump(fsys), "\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOrderAndHardLinks(t *testing.T) {
	fsys := treetest.FS(t, `
		dir  /b
		file /b/two "x"
		file /a "y"
		hard /c => /b/two
		hard /d => /b/two
	`)
	l := write(t, choose(fsys, func(p string) bool { return p != "/b/two" }), layer.Options{})
	want := treetest.Canon(`
		file /a "y"
		dir  /b
		file /c "x"
		hard /d => /c
	`)
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(dumpLayer(t, l))); diff != "" {
		t.Error(diff)
	}
}

// The same selection gives the same digest whatever the core count.
func TestReproducible(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	big := tree + "\nfile /big/a size=5000000\nfile /big/b size=3000000\n"
	for i := range 200 {
		big += "file /many/" + strings.Repeat("n", i%17+1) + string(rune('a'+i%26)) + " \"" + strings.Repeat("content ", i) + "\"\n"
	}
	fsys := treetest.FS(t, big)
	sel := choose(fsys, everything)
	for _, c := range layer.Compressions {
		var digests []v1.Hash
		for _, procs := range []int{1, 2, 4, 2, 1} {
			runtime.GOMAXPROCS(procs)
			l := write(t, sel, layer.Options{Compression: c, Order: []string{"/big/b", "/bin/su"}})
			d, err := l.Digest()
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, d)
		}
		if len(slices.Compact(digests)) != 1 {
			t.Errorf("%s: digests differ: %v", c, digests)
		}
	}
}

// An eStargz layer opens with the library's reader, and begins with the files of
// the trace in the trace's order.
func TestEStargzOrder(t *testing.T) {
	fsys := treetest.FS(t, `
		file /a "1"
		file /b "2"
		file /c "3"
		dir  /d
		file /d/e "4"
		link /l -> a
	`)
	order := []string{"/d", "/d/e", "/c", "/gone", "/l", "/a"}
	l := write(t, choose(fsys, everything), layer.Options{Compression: layer.EStargz, Order: order})
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := estargz.Open(io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.VerifyTOC(opened.TOCDigest()); err != nil {
		t.Fatal(err)
	}
	if got, want := l.Annotations[estargz.TOCJSONDigestAnnotation], opened.TOCDigest().String(); got != want {
		t.Errorf("annotated TOC digest %s, want %s", got, want)
	}
	var names []string
	for line := range strings.Lines(dumpLayer(t, l)) {
		name := strings.Fields(line)[1]
		if strings.Contains(name, "landmark") {
			break
		}
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"/d", "/d/e", "/c", "/l", "/a"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestBase(t *testing.T) {
	base := `
		dir  /etc
		file /etc/same "same"
		file /etc/time "same" mtime=2001-01-01T00:00:00Z
		file /etc/content "aaa"
		file /etc/mode 0600 "same"
		file /etc/other "base only"
		dir  /lib
		link /link -> etc/same
		file /shared "linked"
	`
	fat := `
		dir  /etc
		file /etc/same "same"
		file /etc/time "same"
		file /etc/content "bbb"
		file /etc/mode 0644 "same"
		link /lib -> usr/lib
		link /link -> etc/same
		file /new "new"
		file /shared "linked"
		hard /linked => /shared
		dir  /usr
		dir  /usr/lib
	`
	l := write(t, choose(treetest.FS(t, fat), everything), layer.Options{Base: treetest.FS(t, base)})
	want := treetest.Canon(`
		file /etc/content "bbb"
		file /etc/mode 0644 "same"
		link /lib -> usr/lib
		file /linked "linked"
		file /new "new"
		dir  /usr
		dir  /usr/lib
	`)
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(dumpLayer(t, l))); diff != "" {
		t.Error(diff)
	}
}

func TestImage(t *testing.T) {
	orig := treetest.Image(t, `file /a "x"`, `white /a`, `file /b "y"`)
	cfg, err := orig.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Config = v1.Config{
		User: "app:staff", Env: []string{"A=b"}, Entrypoint: []string{"/b"}, Cmd: []string{"c"},
		WorkingDir: "/w", StopSignal: "SIGQUIT", OnBuild: []string{"RUN x"}, Shell: []string{"/bin/bash", "-c"},
		Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"80/tcp": {}},
		Labels:      map[string]string{"a": "b", "org.opencontainers.image.base.name": "debian"},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/b"}, Retries: 3},
	}
	orig, err = mutate.ConfigFile(orig, cfg)
	if err != nil {
		t.Fatal(err)
	}
	orig = mutate.Annotations(orig, map[string]string{"x": "y", "org.opencontainers.image.base.digest": "sha256:0"}).(v1.Image)
	fsys := treetest.Load(t, orig)
	source := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	base := treetest.Image(t, `file /base "z"`)

	for _, tt := range []struct {
		name        string
		opts        layer.ImageOptions
		compression layer.Compression
		layers      int
		labels      map[string]string
		annotations map[string]string
	}{
		{"scratch", layer.ImageOptions{Source: source}, layer.Gzip, 1,
			map[string]string{"a": "b", layer.SourceDigest: source.String()},
			map[string]string{"x": "y", layer.SourceDigest: source.String()}},
		{"zstd", layer.ImageOptions{Source: source}, layer.Zstd, 1,
			map[string]string{"a": "b", layer.SourceDigest: source.String()},
			map[string]string{"x": "y", layer.SourceDigest: source.String()}},
		{"base", layer.ImageOptions{Source: source, Base: base, BaseName: "distroless", BaseDigest: source}, layer.Gzip, 2,
			map[string]string{"a": "b", layer.SourceDigest: source.String(),
				"org.opencontainers.image.base.name": "distroless", "org.opencontainers.image.base.digest": source.String()},
			map[string]string{"x": "y", layer.SourceDigest: source.String(),
				"org.opencontainers.image.base.name": "distroless", "org.opencontainers.image.base.digest": source.String()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := write(t, choose(fsys, everything), layer.Options{Compression: tt.compression})
			tt.opts.CreatedBy = "slim"
			img, err := layer.Image(orig, l, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if tt.compression == layer.Gzip { // the validator reads gzip only
				if err := validate.Image(reload(t, img)); err != nil {
					t.Error(err)
				}
			}
			got, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			want := cfg.Config.DeepCopy()
			want.Labels = tt.labels
			if diff := cmp.Diff(*want, got.Config); diff != "" {
				t.Error(diff)
			}
			if len(got.History) != tt.layers || len(got.RootFS.DiffIDs) != tt.layers {
				t.Errorf("%d history entries and %d diff IDs for %d layers", len(got.History), len(got.RootFS.DiffIDs), tt.layers)
			}
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if m.MediaType != types.OCIManifestSchema1 {
				t.Errorf("media type %s", m.MediaType)
			}
			for _, d := range m.Layers {
				if !strings.HasPrefix(string(d.MediaType), "application/vnd.oci.image.layer.v1.tar") {
					t.Errorf("layer of media type %s", d.MediaType)
				}
			}
			if diff := cmp.Diff(tt.annotations, m.Annotations); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// reload writes an image to a layout and reads it again.
func reload(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	path, err := layout.Write(t.TempDir(), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	again, err := path.Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	return again
}
