//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"slim/minify/transport"
	"slim/probe"
	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// registryAccount is the one account of a registry that wants one.
const registryAccount = "user:secret"

// registryUser answers for every registry; one without accounts asks nobody.
type registryUser struct{}

func (registryUser) Resolve(authn.Resource) (authn.Authenticator, error) {
	user, password, _ := strings.Cut(registryAccount, ":")
	return &authn.Basic{Username: user, Password: password}, nil
}

// serveRegistry serves a registry until the script ends: registry [private], the
// latter open to registryAccount alone. The Docker config in HOME that lets slim in
// is written to docker/config.json, for the script to name in DOCKER_CONFIG.
func serveRegistry(ts *testscript.TestScript, neg bool, args []string) {
	private := len(args) == 1 && args[0] == "private"
	if neg || len(args) > 0 && !private {
		ts.Fatalf("usage: registry [private]")
	}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if private {
		handler = withAccount(handler)
	}
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	host := strings.Replace(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", "localhost", 1)
	ts.Setenv("REGISTRY", host)
	config, err := json.Marshal(map[string]any{"auths": map[string]any{
		host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(registryAccount))},
	}})
	ts.Check(err)
	ts.Check(os.MkdirAll(ts.MkAbs("docker"), 0o755))
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("docker"), "config.json"), config, 0o600))
}

func withAccount(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user+":"+password != registryAccount {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// remoteDigest prints the digest of what a reference names in a registry, and sets
// DIGEST to it.
func remoteDigest(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] remote REF")
	}
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	desc, err := remote.Head(ref, remote.WithAuthFromKeychain(registryUser{}))
	if neg {
		if err == nil {
			ts.Fatalf("%s is there", ref)
		}
		return
	}
	ts.Check(err)
	ts.Setenv("DIGEST", desc.Digest.String())
	fmt.Fprintln(ts.Stdout(), desc.Digest)
}

// dump prints the tree of an image in the notation of treetest.
func dump(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dump REF")
	}
	src := loadImage(ts, args[0])
	defer src.Close()
	fsys, err := rootfs.Load(context.Background(), src.Image, rootfs.Options{})
	ts.Check(err)
	defer fsys.Close()
	fmt.Fprint(ts.Stdout(), treetest.Dump(fsys))
}

// dumpLayer prints the entries of one layer, in the order of its archive.
func dumpLayer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: layers REF N")
	}
	src := loadImage(ts, args[0])
	defer src.Close()
	all, err := src.Image.Layers()
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n >= len(all) {
		ts.Fatalf("%d layers", len(all))
	}
	plain, err := all[n].Uncompressed()
	ts.Check(err)
	defer plain.Close()
	text, err := treetest.DumpTar(plain)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), text)
}

// loadImage opens an image of the script's folder.
func loadImage(ts *testscript.TestScript, text string) *transport.Source {
	kind, path, _ := strings.Cut(text, ":")
	ref, err := transport.Parse(kind + ":" + ts.MkAbs(path))
	ts.Check(err)
	src, err := transport.Load(context.Background(), ref, transport.Options{})
	ts.Check(err)
	return src
}

// readEStargz opens an image's one layer with the library's reader: its files lie in
// the order of a trace's first accesses, then the landmark, then what was not read.
// estargz REF TRACE.
func readEStargz(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: estargz REF TRACE")
	}
	src := loadImage(ts, args[0])
	defer src.Close()
	layers, err := src.Image.Layers()
	ts.Check(err)
	blob, err := layers[0].Compressed()
	ts.Check(err)
	defer blob.Close()
	data, err := io.ReadAll(blob)
	ts.Check(err)
	r, err := estargz.Open(io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))))
	ts.Check(err)
	manifest, err := src.Image.Manifest()
	ts.Check(err)
	toc := digest.Digest(manifest.Layers[0].Annotations[estargz.TOCJSONDigestAnnotation])
	if _, err := r.VerifyTOC(toc); err != nil {
		ts.Fatalf("the annotation's digest %q: %v", toc, err)
	}
	landmark, ok := r.Lookup(estargz.PrefetchLandmark)
	if !ok {
		ts.Fatalf("no landmark")
	}
	trace, err := probe.ReadTrace(strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	first := make(map[string]bool)
	last, lastOffset := "", int64(-1)
	for _, path := range trace.Order() {
		e, ok := r.Lookup(path[1:])
		if !ok || e.Type != "reg" {
			continue
		}
		first[e.Name] = true
		if e.Offset <= lastOffset || e.Offset >= landmark.Offset {
			ts.Fatalf("%s at %d, not between %s at %d and the landmark at %d", path, e.Offset, last, lastOffset, landmark.Offset)
		}
		last, lastOffset = path, e.Offset
	}
	root, _ := r.Lookup("")
	var rest func(string, *estargz.TOCEntry) bool
	rest = func(name string, e *estargz.TOCEntry) bool {
		if e.Type == "reg" && e.Size > 0 && !first[e.Name] && e != landmark && e.Offset < landmark.Offset {
			ts.Fatalf("%s, which was not read, lies before the landmark", e.Name)
		}
		e.ForeachChild(rest)
		return true
	}
	rest("", root)
	if len(first) < 2 {
		ts.Fatalf("only %d files of the trace are in the layer", len(first))
	}
}
