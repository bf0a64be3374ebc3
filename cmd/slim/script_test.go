//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"slim/probe/rootfs/treetest"
	"slim/probe/sandbox"
	"slim/testdata/skip"
	"slim/testdata/static"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){"slim": main})
}

// TestScripts runs testdata/script on the real command: the test binary under
// another name. Besides the usual commands there are
//
//	image DEST SPEC [PLATFORM…]
//	                    makes an image of a text file: a line `config JSON`, then layers in
//	                    the notation of treetest, each begun by a line `layer`; `prog PATH…`
//	                    is a layer with the test program, and goes on as a line of `file`;
//	                    `many DIR N` stands for N files.
//	                    DEST is FILE.tar (a docker-archive), HOST:PORT/NAME[:TAG], or the
//	                    folder of an OCI layout, for which platforms make an index
//	damage DIR HOW      breaks the image of a layout; see damages
//	registry [private]
//	                    serves an empty registry on loopback, sets REGISTRY to HOST:PORT and makes
//	                    docker/config.json, which knows the account of a private one
//	[!] remote REF      prints the digest of an image in a registry, and sets DIGEST
//	estargz REF TRACE   an eStargz image's files lie in the order of the trace
//	layers REF N        prints the entries of the N-th layer, from 0, in that notation
//	dump REF            prints the tree of an image in the notation of treetest
//	engine              sets NAME to a name for images in the Docker Engine, all of whose
//	                    tags are removed in the end
//	takes REF           skopeo copies the image to the Engine, where it runs and writes
//	                    what the file want has
//	status N CMD ARG…   runs a command that must exit with N
//	[!] digests A B     two --format json results name the same digest
//	clean               nothing of slim is left: no mount, process or temporary file
func TestScripts(t *testing.T) {
	requireRoot(t)
	prog := static.Build(t, "./testdata/prog")
	cache := t.TempDir() // one for all scripts: they share it as users' runs do
	testscript.Run(t, testscript.Params{
		Dir:         "testdata/script",
		WorkdirRoot: t.TempDir(), // removed after the test, which the library leaves an empty folder of
		Setup: func(env *testscript.Env) error {
			temp := filepath.Join(env.WorkDir, "tmp")
			env.Setenv("TMPDIR", temp)
			env.Setenv("SLIM_CACHE_DIR", cache)
			env.Setenv("HOME", env.WorkDir)
			// Of images this small units would keep all.
			env.Setenv("SLIM_KEEP", "accessed")
			env.Setenv("DOCKER_HOST", os.Getenv("DOCKER_HOST"))
			return os.MkdirAll(temp, 0o755)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "engine" {
				return haveEngine()
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: image DEST SPEC [PLATFORM...]")
				}
				img, err := makeImage(t, prog, ts.ReadFile(args[1]))
				ts.Check(err)
				ts.Check(putImage(ts, t, args[0], img, args[2:]))
			},
			"damage":   damage,
			"registry": serveRegistry,
			"remote":   remoteDigest,
			"dump":     dump,
			"engine":   useEngine,
			"takes":    takes,
			"copyin":   copyIn,
			"layers":   dumpLayer,
			"estargz":  readEStargz,
			"status":   status,
			"digests":  digests,
			"clean":    clean,
		},
	})
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Test(t, "needs root")
	}
}

// makeImage makes an image out of a spec.
func makeImage(t *testing.T, prog, spec string) (v1.Image, error) {
	var cfg v1.Config
	var layers []v1.Layer
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			layers = append(layers, treetest.Layer(t, text.String()))
			text.Reset()
		}
	}
	for line := range strings.Lines(spec) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "config":
			if err := json.Unmarshal([]byte(rest), &cfg); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
		case "layer":
			flush()
		case "many":
			var dir string
			var n int
			if _, err := fmt.Sscan(rest, &dir, &n); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			for i := range n {
				fmt.Fprintf(&text, "file %s/%d %q\n", dir, i, fmt.Sprint(i))
			}
		case "prog":
			flush()
			l, err := progLayer(t, prog, strings.TrimSpace(rest))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			layers = append(layers, l)
		default:
			text.WriteString(line)
		}
	}
	flush()
	img := treetest.ImageOf(t, layers...)
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Config = cfg
	return mutate.ConfigFile(img, file)
}

// putImage stores an image where a script wants it.
func putImage(ts *testscript.TestScript, t *testing.T, dest string, img v1.Image, platforms []string) error {
	switch {
	case strings.HasSuffix(dest, ".tar"):
		return tarball.WriteToFile(ts.MkAbs(dest), name.MustParseReference("fat:latest"), img)
	case strings.Contains(dest, ":"):
		ref, err := name.ParseReference(dest)
		if err != nil {
			return err
		}
		return remote.Write(ref, img, remote.WithAuthFromKeychain(registryUser{}))
	}
	return writeLayout(t, ts.MkAbs(dest), img, platforms...)
}

// status runs a command whose exit status is known.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// digests compares the digests of two results.
func digests(ts *testscript.TestScript, neg bool, args []string) {
	var found []string
	for _, name := range args {
		var r resultView
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(name)), &r))
		found = append(found, r.Output.Digest)
	}
	if len(found) != 2 || found[0] == "" || (found[0] == found[1]) == neg {
		ts.Fatalf("digests: %v", found)
	}
}

// clean looks for what a run could have left.
func clean(ts *testscript.TestScript, neg bool, args []string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	ts.Check(err)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[0] == "slim" || strings.HasPrefix(f[1], ts.Getenv("WORK")) {
			ts.Fatalf("mount left: %s", line)
		}
	}
	work := ts.Getenv("WORK")
	left, err := os.ReadDir(filepath.Join(work, "tmp"))
	ts.Check(err)
	for _, f := range left {
		ts.Fatalf("temporary file left: %s", f.Name())
	}
	cached, err := filepath.Glob(filepath.Join(ts.Getenv("SLIM_CACHE_DIR"), "slim-*"))
	ts.Check(err)
	if len(cached) > 0 {
		ts.Fatalf("temporary files left: %v", cached)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/environ")
	ts.Check(err)
	for _, p := range procs {
		environ, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(environ), "WORK="+work+"\x00") || filepath.Dir(p) == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
		ts.Fatalf("process left: %s: %q", filepath.Dir(p), cmdline)
	}
}

// progLayer is a layer with the program, its path and attributes as treetest says.
func progLayer(t *testing.T, prog, line string) (v1.Layer, error) {
	entries, err := treetest.Parse("file " + line)
	if err != nil {
		return nil, err
	}
	e := entries[0]
	if e.Mode == 0o644 { // what a file has that says nothing
		e.Mode = 0o755
	}
	data, err := os.ReadFile(prog)
	if err != nil {
		return nil, err
	}
	hdr := &tar.Header{Name: e.Path[1:], Mode: e.Mode, Uid: e.UID, Gid: e.GID, Size: int64(len(data)),
		ModTime: e.MTime, PAXRecords: map[string]string{}}
	for name, value := range e.Xattrs {
		hdr.PAXRecords["SCHILY.xattr."+name] = value
	}
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	if err := tw.WriteHeader(hdr); err != nil {
		return nil, err
	}
	if _, err := tw.Write(data); err != nil {
		return nil, err
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return treetest.TarLayer(t, out.Bytes(), compression.GZip), nil
}
