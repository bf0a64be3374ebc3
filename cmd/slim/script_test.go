package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"slim/probe/rootfs/treetest"
	"slim/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){"slim": main})
}

// TestScripts runs testdata/script on the real command: the test binary under
// another name. Besides the usual commands there are
//
//	image FILE SPEC     makes a docker-archive of a text file: a line `config JSON`, then
//	                    layers in the notation of treetest, each begun by a line `layer`;
//	                    `prog PATH` puts the test program there
//	status N CMD ARG…   runs a command that must exit with N
//	digests A B         two --format json results name the same digest
//	clean               nothing of slim is left: no mount, process or temporary file
func TestScripts(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	prog := filepath.Join(t.TempDir(), "prog")
	build := exec.Command("go", "build", "-trimpath", "-o", prog, "./testdata/prog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // static: it runs in an empty image
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the test program: %v\n%s", err, out)
	}
	cache := t.TempDir() // one for all scripts: they share it as users' runs do
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			temp := filepath.Join(env.WorkDir, "tmp")
			env.Setenv("TMPDIR", temp)
			env.Setenv("SLIM_CACHE_DIR", cache)
			env.Setenv("HOME", env.WorkDir)
			return os.MkdirAll(temp, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"image": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) != 2 {
					ts.Fatalf("usage: image FILE SPEC")
				}
				ts.Check(writeImage(t, prog, ts.MkAbs(args[0]), ts.ReadFile(args[1])))
			},
			"status":  status,
			"digests": digests,
			"clean":   clean,
		},
	})
}

// writeImage makes a docker-archive out of a spec.
func writeImage(t *testing.T, prog, path, spec string) error {
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
				return fmt.Errorf("%s: %w", line, err)
			}
		case "layer":
			flush()
		case "prog":
			flush()
			l, err := progLayer(t, prog, strings.TrimSpace(rest))
			if err != nil {
				return err
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
		return err
	}
	file = file.DeepCopy()
	file.Config = cfg
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return err
	}
	tag, err := name.NewTag("fat:latest")
	if err != nil {
		return err
	}
	return tarball.WriteToFile(path, tag, img)
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
	if len(found) != 2 || found[0] != found[1] || found[0] == "" {
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
	cached, err := filepath.Glob(filepath.Join(ts.Getenv("SLIM_CACHE_DIR"), "slim-layer-*"))
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

// progLayer is a layer with the program at path.
func progLayer(t *testing.T, prog, path string) (v1.Layer, error) {
	out := filepath.Join(t.TempDir(), "layer.tar")
	file, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := os.Open(prog)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	info, err := data.Stat()
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(file)
	if err := tw.WriteHeader(&tar.Header{Name: path[1:], Mode: 0o755, Size: info.Size(), ModTime: treetest.MTime}); err != nil {
		return nil, err
	}
	if _, err := io.Copy(tw, data); err != nil {
		return nil, err
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(out, tarball.WithCompression(compression.None))
}
