package transport

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// serve is a registry behind a handler that may answer in its place.
func serve(t *testing.T, before func(w http.ResponseWriter, r *http.Request) (done bool)) string {
	t.Helper()
	next := ggcr.New(ggcr.Logger(nopLog()))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before == nil || !before(w, r) {
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://") + "/"
}

func TestBareNameFallsToRegistry(t *testing.T) {
	reg := testRegistry(t)
	mustStore(t, testImage(t, "remote", gzipped), "docker://"+reg+"app:1")
	src := mustLoad(t, reg+"app:1", Options{})
	if got, want := src.Ref.String(), "docker://"+reg+"app:1"; got != want {
		t.Errorf("Ref = %s, want %s", got, want)
	}
	byDigest := mustLoad(t, reg+"app:void@"+src.Digest.String(), Options{})
	if byDigest.Digest != src.Digest {
		t.Errorf("by digest: %s, want %s", byDigest.Digest, src.Digest)
	}
}

func TestCredentials(t *testing.T) {
	var agent atomic.Value
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret"))
	reg := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		agent.Store(r.UserAgent())
		if r.Header.Get("Authorization") == want {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	ref := parseRef(t, "docker://"+reg+"app:1")
	img := testImage(t, "secret", gzipped)
	for what, err := range map[string]error{
		"CheckStore": CheckStore(context.Background(), ref, Options{}),
		"Store":      func() error { _, err := Store(context.Background(), img, ref, Options{}); return err }(),
		"Load":       func() error { _, err := Load(context.Background(), ref, Options{}); return err }(),
	} {
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "denies access") {
			t.Errorf("%s without credentials: %v", what, err)
		}
	}

	dir := t.TempDir()
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, strings.TrimSuffix(reg, "/"), strings.TrimPrefix(want, "Basic "))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	if err := CheckStore(context.Background(), ref, Options{}); err != nil {
		t.Error(err)
	}
	mustStore(t, img, ref.String())
	sameContent(t, mustLoad(t, ref.String(), Options{}).Image, img)
	if got := agent.Load().(string); !strings.HasPrefix(got, "slim") {
		t.Errorf("User-Agent = %q", got)
	}
}

// A layer's failure has its kind as well, though it comes up long after Load; and
// once the registry answers again, so does the image.
func TestRegistryFails(t *testing.T) {
	t.Parallel()
	img := testImage(t, "flaky", gzipped)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		answer     func(w http.ResponseWriter)
		kind       error
	}{
		{"teapot", "/manifests/", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }, ErrInput},
		{"server error", "/manifests/", func(w http.ResponseWriter) { http.Error(w, "<html>\nbroken\n</html>", 501) }, ErrUnavailable},
		{"rate limit", "/manifests/", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, ErrUnavailable},
		{"layer", "/blobs/", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, ErrUnavailable},
		{"layer gone", "/blobs/", func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, ErrInput},
		{"cut", "/blobs/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", strconv.FormatInt(m.Layers[0].Size, 10))
			w.Write([]byte("x"))
		}, ErrUnavailable},
		{"schema 1", "/manifests/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", string(types.DockerManifestSchema1))
			io.WriteString(w, `{"schemaVersion":1}`)
		}, ErrInput},
		{"other type", "/manifests/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/vnd.example.thing")
			io.WriteString(w, `{}`)
		}, ErrInput},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			var config v1.Hash
			reg := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if !broken.Load() || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, test.path) || strings.HasSuffix(r.URL.Path, config.Hex) {
					return false
				}
				test.answer(w)
				return true
			})
			config, err := img.ConfigName()
			if err != nil {
				t.Fatal(err)
			}
			out := mustStore(t, img, "docker://"+reg+"app:1")
			broken.Store(true)
			src, err := Load(context.Background(), out.Ref, Options{})
			if err == nil {
				defer src.Close()
				if test.path == "/manifests/" {
					t.Fatal("Load went well")
				}
				err = checkImage(src.Image)
			}
			if !errors.Is(err, test.kind) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant one line of kind %v", err, test.kind)
			}
		})
	}
}

// What a registry may mount from its own repositories must stay known as that.
func TestRegistryMountsBase(t *testing.T) {
	var mounts atomic.Int32
	reg := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Query().Get("mount") != "" && r.URL.Query().Get("from") == "base" {
			mounts.Add(1)
		}
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/top/blobs/") {
			w.WriteHeader(http.StatusNotFound) // the test registry knows no repositories of blobs
			return true
		}
		return false
	})
	mustStore(t, testImage(t, "base", gzipped), "docker://"+reg+"base:1")
	base := mustLoad(t, "docker://"+reg+"base:1", Options{})
	img, err := mutate.AppendLayers(base.Image, tarLayer(t, gzipped, "top", "top"))
	if err != nil {
		t.Fatal(err)
	}
	mustStore(t, img, "docker://"+reg+"top:1")
	if mounts.Load() == 0 {
		t.Error("the base's layer was not offered to be mounted")
	}
}

func TestCancel(t *testing.T) {
	cause := errors.New("enough")
	dir := t.TempDir()
	img := testImage(t, "late", gzipped, zstded)
	ctx, cancel := context.WithCancelCause(context.Background())
	reg := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		cancel(cause)
		<-r.Context().Done() // until the client goes away
		return true
	})
	if _, err := Load(ctx, parseRef(t, "docker://"+reg+"app"), Options{}); !errors.Is(err, cause) || hasKind(err) {
		t.Errorf("Load: %v", err)
	}
	for _, to := range []string{
		"docker://" + reg + "app", "oci:" + dir + "/l:v1", "oci-archive:" + dir + "/o.tar", "docker-archive:" + dir + "/d.tar", "docker-daemon:app",
	} {
		if _, err := Store(ctx, img, parseRef(t, to), Options{}); !errors.Is(err, cause) || hasKind(err) {
			t.Errorf("Store(%s): %v", to, err)
		}
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

// platforms is an index of images, each named by its platform, with an index
// inside and an attestation, as buildx makes them.
func platforms(t *testing.T) v1.ImageIndex {
	t.Helper()
	add := func(idx v1.ImageIndex, p v1.Platform) v1.ImageIndex {
		return mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add: imageFor(t, p, p.String(), gzipped), Descriptor: v1.Descriptor{Platform: &p}})
	}
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	idx = add(idx, v1.Platform{OS: "unknown", Architecture: "unknown"})
	for _, p := range []string{"windows/amd64", "linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/arm64"} {
		parsed, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		idx = add(idx, *parsed)
	}
	inner := add(empty.Index, v1.Platform{OS: "linux", Architecture: "s390x"})
	return mutate.AppendManifests(idx, mutate.IndexAddendum{
		Add: inner, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
}

func TestPlatforms(t *testing.T) {
	dir, reg := t.TempDir(), testRegistry(t)
	idx := platforms(t)
	n, err := name.ParseReference(reg + "app:multi")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(n, idx); err != nil {
		t.Fatal(err)
	}
	writeIndexLayout(t, dir+"/layout", idx)
	tests := []struct{ platform, want string }{
		{"", "linux/" + runtime.GOARCH},
		{"linux/amd64", "linux/amd64"},
		{"linux/x86_64", "linux/amd64"},
		{"linux/amd64/v3", "linux/amd64"},
		{"linux/arm64/v8", "linux/arm64"},
		{"linux/arm", "linux/arm/v7"},
		{"linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/v8", "linux/arm/v7"},
		{"linux/arm/v6", "linux/arm/v6"},
		{"windows/amd64", "windows/amd64"},
		{"linux/s390x", "linux/s390x"},
	}
	for _, from := range []string{"docker://" + reg + "app:multi", "oci:" + dir + "/layout:multi"} {
		for _, test := range tests {
			src := mustLoad(t, from, Options{Platform: test.platform})
			if got := word(t, src.Image); got != test.want {
				t.Errorf("%s for %q: %s, want %s", from, test.platform, got, test.want)
			}
		}
		for platform, says := range map[string]string{
			"linux/riscv64":   "no image for linux/riscv64; there is linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64, linux/s390x, windows/amd64",
			"linux/arm/v5":    "no image for linux/arm/v5; there is ",
			"unknown/unknown": "no image for unknown/unknown",
		} {
			_, err := Load(context.Background(), parseRef(t, from), Options{Platform: platform})
			if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s for %s: %v", from, platform, err)
			}
		}
	}
	for _, p := range []string{"linux", "a/b/c/d", "linux//v7", "/"} {
		_, err := Load(context.Background(), parseRef(t, "oci:"+dir+"/layout"), Options{Platform: p})
		if !errors.Is(err, ErrUsage) {
			t.Errorf("platform %q: %v", p, err)
		}
	}
}

// A platform asked for is that of an image that is no index, too.
func TestPlatformOfSingleImage(t *testing.T) {
	dir := t.TempDir()
	img := imageFor(t, v1.Platform{OS: "linux", Architecture: "s390x"}, "far", gzipped)
	mustStore(t, img, "docker-archive:"+dir+"/d.tar:app:1")
	mustStore(t, img, "oci:"+dir+"/l:v1")
	for _, from := range []string{"docker-archive:" + dir + "/d.tar", "oci:" + dir + "/l:v1"} {
		mustLoad(t, from, Options{Platform: "linux/s390x"})
		_, err := Load(context.Background(), parseRef(t, from), Options{Platform: "linux/riscv64"})
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "linux/s390x") {
			t.Errorf("%s: %v", from, err)
		}
	}
	mustLoad(t, "docker-archive:"+dir+"/d.tar", Options{}) // what is there, if nothing is asked for
}
