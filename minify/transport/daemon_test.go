package transport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/client"

	"slim/testdata/skip"
)

// realEngine points DOCKER_HOST at the machine's Engine again. Images that the
// test tags with the prefix returned go away with it.
func realEngine(t *testing.T) (*client.Client, string) {
	t.Helper()
	if engineSet {
		t.Setenv("DOCKER_HOST", engineHost)
	} else {
		t.Setenv("DOCKER_HOST", "")
	}
	c, err := engine(context.Background())
	if err != nil {
		skip.Test(t, "%v", err)
	}
	prefix := "slim-transport-test-" + strings.ToLower(filepath.Base(t.TempDir())) + fmt.Sprint(os.Getpid())
	t.Cleanup(func() {
		ctx := context.Background()
		list, err := c.ImageList(ctx, client.ImageListOptions{})
		if err != nil {
			t.Error(err)
		}
		for _, i := range list.Items {
			for _, tag := range i.RepoTags {
				if strings.HasPrefix(tag, prefix) {
					if _, err := c.ImageRemove(ctx, tag, client.ImageRemoveOptions{Force: true}); err != nil {
						t.Error(err)
					}
				}
			}
		}
		c.Close()
	})
	return c, prefix
}

func TestEngine(t *testing.T) {
	c, prefix := realEngine(t)
	temp := t.TempDir()
	for name, how := range mixtures {
		if name == "none" {
			continue // the Engine wants a layer
		}
		t.Run(name, func(t *testing.T) {
			img := testImage(t, prefix+name, how...)
			id, err := img.ConfigName()
			if err != nil {
				t.Fatal(err)
			}
			to := "docker-daemon:" + prefix + ":" + name
			if err := CheckStore(context.Background(), parseRef(t, to), Options{}); err != nil {
				t.Fatal(err)
			}
			out := mustStore(t, img, to)
			if out.Ref.String() != to || out.Digest != id {
				t.Errorf("Store = %s %s, want %s %s", out.Ref, out.Digest, to, id)
			}
			short := strings.TrimPrefix(id.String(), "sha256:")[:12]
			for from, want := range map[string]string{
				to:                             to,
				prefix + ":" + name:            to, // bare
				id.String():                    "docker-daemon:" + id.String(),
				"docker-daemon:" + id.String(): "docker-daemon:" + id.String(),
				short:                          "docker-daemon:" + id.String(),
			} {
				src := mustLoad(t, from, Options{TempDir: temp})
				sameContent(t, src.Image, img)
				if src.Ref.String() != want || src.Digest != id {
					t.Errorf("Load(%s) = %s %s, want %s %s", from, src.Ref, src.Digest, want, id)
				}
				if left := files(t, temp); len(left) > 0 {
					t.Errorf("with the image open there is %s", left)
				}
			}
			// The second time it is there already, so nothing is sent.
			mustStore(t, img, "docker-daemon:"+prefix+":again-"+name)
			info, err := c.ImageInspect(context.Background(), prefix+":again-"+name)
			if err != nil || info.ID != id.String() {
				t.Errorf("again: %s, %v", info.ID, err)
			}
		})
	}
}

func TestEngineRefuses(t *testing.T) {
	c, prefix := realEngine(t)
	ctx := context.Background()
	reg := testRegistry(t)
	_, err := Load(ctx, parseRef(t, "docker-daemon:"+prefix+":none"), Options{})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "has no such image") {
		t.Errorf("missing: %v", err)
	}
	_, err = Load(ctx, parseRef(t, reg+"none"), Options{})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "registry") || !strings.Contains(err.Error(), "Docker Engine has no such image") {
		t.Errorf("missing in both: %v", err)
	}
	mustStore(t, testImage(t, prefix, gzipped), "docker-daemon:"+prefix+":here")
	_, err = Load(ctx, parseRef(t, "docker-daemon:"+prefix+":here"), Options{Platform: "linux/riscv64"})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "linux/riscv64") {
		t.Errorf("other platform: %v", err)
	}
	// A layer that breaks the load moves no tag.
	broken := brokenLayer{tarLayer(t, gzipped, "file", prefix), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("x")), nil
	}}
	_, err = Store(ctx, appendLayer(t, testImage(t, prefix+"2", gzipped), broken), parseRef(t, "docker-daemon:"+prefix+":here"), Options{})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("broken layer: %v", err)
	}
	if got := word(t, mustLoad(t, "docker-daemon:"+prefix+":here", Options{}).Image); got != prefix {
		t.Errorf("the tag is %s now", got)
	}
	// What the Engine itself refuses: a layer that is no tar archive.
	_, err = Store(ctx, appendLayer(t, testImage(t, prefix+"3", gzipped), junkLayer(t)), parseRef(t, "docker-daemon:"+prefix+":junk"), Options{})
	if err == nil || !strings.Contains(err.Error(), "the Engine says") {
		t.Errorf("junk layer: %v", err)
	}
	if _, err := c.ImageInspect(ctx, prefix+":junk"); err == nil {
		t.Error("the junk has its tag")
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Load(canceled, parseRef(t, "docker-daemon:"+prefix+":here"), Options{}); !errors.Is(err, context.Canceled) || hasKind(err) {
		t.Errorf("canceled: %v", err)
	}
}

// fakeEngine answers as an Engine does until it does not: the failures that no
// real one can be made to have.
func fakeEngine(t *testing.T, routes map[string]http.HandlerFunc) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.41")
			return
		}
		for suffix, h := range routes {
			if strings.HasSuffix(r.URL.Path, suffix) {
				h(w, r)
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"message":"No such image"}`)
	}))
	sock := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	t.Setenv("DOCKER_HOST", "unix://"+sock)
}

func inspected(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"Id": digest, "Os": "linux", "Architecture": "amd64"})
}

func TestEngineDies(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	mustStore(t, testImage(t, "x", gzipped), "docker-archive:"+archive+":app:latest")
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]http.HandlerFunc{
		"cut off": func(w http.ResponseWriter, r *http.Request) {
			w.Write(whole[:1000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"ends early": func(w http.ResponseWriter, r *http.Request) { w.Write(whole[:1000]) },
		"error in the stream": func(w http.ResponseWriter, r *http.Request) { // as Docker 20.10 does
			w.Write(whole[:1536])
			io.WriteString(w, `{"errorDetail":{"message":"disk gone"},"error":"disk gone"}`+"\r\n")
		},
		"fails": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no\nway", http.StatusInternalServerError) },
	}
	for name, save := range tests {
		t.Run(name, func(t *testing.T) {
			fakeEngine(t, map[string]http.HandlerFunc{"/json": inspected, "/images/get": save})
			temp := t.TempDir()
			for _, ref := range []string{"docker-daemon:app", "app"} { // neither is looked for in a registry
				_, err := Load(context.Background(), parseRef(t, ref), Options{TempDir: temp})
				if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "save") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v", ref, err)
				}
			}
			if left := files(t, temp); len(left) > 0 {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func TestEngineLoadFails(t *testing.T) {
	drain := func(r *http.Request) { io.Copy(io.Discard, r.Body) }
	tests := map[string]struct {
		load http.HandlerFunc
		says string
	}{
		"error in the stream": {func(w http.ResponseWriter, r *http.Request) {
			drain(r)
			io.WriteString(w, `{"stream":"Loading"}{"errorDetail":{"message":"no space left"},"error":"no space left"}`)
		}, "the Engine says: no space left"},
		"silence": {func(w http.ResponseWriter, r *http.Request) { drain(r) }, "ended before it told of an image"},
		"not json": {func(w http.ResponseWriter, r *http.Request) {
			drain(r)
			io.WriteString(w, "<html>")
		}, "load: invalid character"},
		"refused": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }, "load: "},
		"dies": {func(w http.ResponseWriter, r *http.Request) {
			r.Body.Read(make([]byte, 100))
			panic(http.ErrAbortHandler)
		}, "load: "},
		"lies": {func(w http.ResponseWriter, r *http.Request) {
			drain(r)
			io.WriteString(w, `{"stream":"Loaded image: app:slim\n"}`)
		}, "does not have the image it loaded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fakeEngine(t, map[string]http.HandlerFunc{"/images/load": test.load})
			_, err := Store(context.Background(), testImage(t, "x", gzipped, zstded), parseRef(t, "app:slim"), Options{})
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

func TestDockerHost(t *testing.T) {
	for host, want := range map[string]error{
		"ssh://me@example.org":   ErrUnsupported,
		"nonsense":               ErrUnsupported,
		"unix:///nowhere/d.sock": ErrUnavailable,
		"tcp://localhost:1":      ErrUnavailable,
	} {
		t.Setenv("DOCKER_HOST", host)
		_, err := Load(context.Background(), parseRef(t, "docker-daemon:app"), Options{})
		if !errors.Is(err, want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("DOCKER_HOST=%s: %v", host, err)
		}
	}
}

func TestDockerContext(t *testing.T) {
	fakeEngine(t, map[string]http.HandlerFunc{"/json": inspected, "/images/get": func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "found by its context", http.StatusInternalServerError)
	}})
	host := os.Getenv("DOCKER_HOST")
	t.Setenv("DOCKER_HOST", "")
	dir := t.TempDir()
	config.SetDir(dir)
	t.Cleanup(func() { config.SetDir(os.Getenv("DOCKER_CONFIG")) })
	sum := sha256.Sum256([]byte("mine"))
	meta := filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]))
	if err := os.MkdirAll(meta, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(dir, "config.json"): `{"currentContext":"mine"}`,
		filepath.Join(meta, "meta.json"):  fmt.Sprintf(`{"Name":"mine","Metadata":{},"Endpoints":{"docker":{"Host":%q,"SkipTLSVerify":false}}}`, host),
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(context.Background(), parseRef(t, "docker-daemon:app"), Options{}); err == nil || !strings.Contains(err.Error(), "found by its context") {
		t.Error(err)
	}
	t.Setenv("DOCKER_CONTEXT", "default")
	if got := contextHost(); got != "" {
		t.Errorf("default context is at %q", got)
	}
}
