package main

import (
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
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"slim/minify/transport"
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

// remoteDigest prints the digest of what a reference names in a registry.
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
	fmt.Fprintln(ts.Stdout(), desc.Digest)
}

// dump prints the tree of an image in the notation of treetest.
func dump(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dump REF")
	}
	kind, path, _ := strings.Cut(args[0], ":")
	ref, err := transport.Parse(kind + ":" + ts.MkAbs(path))
	ts.Check(err)
	ctx := context.Background()
	src, err := transport.Load(ctx, ref, transport.Options{})
	ts.Check(err)
	defer src.Close()
	fsys, err := rootfs.Load(ctx, src.Image, rootfs.Options{})
	ts.Check(err)
	defer fsys.Close()
	fmt.Fprint(ts.Stdout(), treetest.Dump(fsys))
}
