package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func nopLog() *log.Logger { return log.New(io.Discard, "", 0) }

// TestMain keeps the user's credentials and Engine out of the tests; those of the
// Engine set DOCKER_HOST back.
func TestMain(m *testing.M) {
	if os.Getenv(storeTo) != "" { // the child that TestKilledWriterLeavesNothing kills
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "transport-test-")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		log.Fatal(err)
	}
	engineHost, engineSet = os.LookupEnv("DOCKER_HOST")
	os.Setenv("DOCKER_CONFIG", dir)
	os.Setenv("DOCKER_HOST", "unix://"+dir+"/no.sock")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var (
	engineHost string
	engineSet  bool
)

var mixtures = map[string][]compression{
	"gzip":  {gzipped, gzipped},
	"zstd":  {zstded},
	"plain": {plainTar},
	"mixed": {gzipped, plainTar, zstded},
	"none":  nil,
}

func TestRoundTrip(t *testing.T) {
	for name, how := range mixtures {
		dir, reg := t.TempDir(), testRegistry(t)
		img := testImage(t, name, how...)
		manifest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		id, err := img.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			to, stored string
			digest     v1.Hash
		}{
			{"oci:" + dir + "/new/layout:v1", "oci:" + dir + "/new/layout:v1", manifest},
			{"oci:" + dir + "/other", "oci:" + dir + "/other:latest", manifest},
			{"oci-archive:" + dir + "/sub/oci.tar", "", manifest},
			{"oci-archive:" + dir + "/tagged.tar:v1", "", manifest},
			{"docker-archive:" + dir + "/docker.tar:app:1", "", id},
			{"docker-archive:" + dir + "/unnamed.tar", "", id},
			{"docker://" + reg + "app:1", "", manifest},
		}
		for _, test := range tests {
			t.Run(name+"/"+strings.SplitN(test.to, ":", 2)[0], func(t *testing.T) {
				if test.stored == "" {
					test.stored = test.to
				}
				if err := CheckStore(context.Background(), parseRef(t, test.to), Options{}); err != nil {
					t.Fatal(err)
				}
				out := mustStore(t, img, test.to)
				if out.Ref.String() != test.stored || out.Digest != test.digest {
					t.Errorf("Store(%s) = %s %s, want %s %s", test.to, out.Ref, out.Digest, test.stored, test.digest)
				}
				src := mustLoad(t, out.Ref.String(), Options{})
				sameContent(t, src.Image, img)
				if src.Ref != out.Ref || src.Digest != test.digest {
					t.Errorf("Load = %s %s, want %s %s", src.Ref, src.Digest, out.Ref, test.digest)
				}
				m, err := src.Image.Manifest()
				if err != nil {
					t.Fatal(err)
				}
				size := m.Config.Size
				for _, l := range m.Layers {
					size += l.Size
				}
				if src.Size != size {
					t.Errorf("Size = %d, want %d", src.Size, size)
				}
			})
		}
	}
}

func TestResolvedName(t *testing.T) {
	dir := t.TempDir()
	img := testImage(t, "one", gzipped)
	mustStore(t, img, "oci:"+dir+"/l:v1")
	mustStore(t, img, "oci-archive:"+dir+"/o.tar:v1")
	mustStore(t, img, "docker-archive:"+dir+"/d.tar:example.org/app:v1")
	for from, want := range map[string]string{
		"oci:" + dir + "/l":                    ":v1",
		"oci-archive:" + dir + "/o.tar":        ":v1",
		"docker-archive:" + dir + "/d.tar":     ":example.org/app:v1",
		"docker-archive:" + dir + "/d.tar:@0":  "",
		"docker-archive:" + dir + "/d.tar:@00": "",
	} {
		if got := mustLoad(t, from, Options{}).Ref.String(); got != from+want {
			t.Errorf("Load(%s).Ref = %s, want %s", from, got, from+want)
		}
	}
}

// The same image gives the same archive, byte for byte.
func TestArchivesReproducible(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{OCIArchive, DockerArchive} {
		var first string
		for _, n := range []string{"1", "2"} {
			file := filepath.Join(dir, kind+n)
			mustStore(t, testImage(t, "same", gzipped, zstded, plainTar), kind+":"+file)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = string(b)
			} else if string(b) != first {
				t.Errorf("%s differs between two runs", kind)
			}
		}
	}
}

// What skopeo reads of ours, and we of skopeo's.
func TestSkopeo(t *testing.T) {
	skopeo := tool(t, "skopeo")
	for name, how := range mixtures {
		if name == "none" {
			continue // skopeo 1.9 cannot convert an image without layers
		}
		dir := t.TempDir()
		img := testImage(t, name, how...)
		for _, to := range []string{
			"oci:" + dir + "/layout:v1",
			"oci:" + dir + "/default",
			"oci-archive:" + dir + "/oci.tar:v1",
			"oci-archive:" + dir + "/unnamed.tar",
			"docker-archive:" + dir + "/docker.tar:example.org/app:1",
			"docker-archive:" + dir + "/unnamed-docker.tar",
		} {
			t.Run(name+"/"+filepath.Base(to), func(t *testing.T) {
				out := mustStore(t, img, to)
				var seen struct{ Env, Layers []string }
				if err := json.Unmarshal([]byte(skopeo(t, "inspect", out.Ref.String())), &seen); err != nil {
					t.Fatal(err)
				}
				if len(seen.Layers) != len(how) || seen.Env[0] != "WORD="+name {
					t.Errorf("skopeo inspect %s = %+v", out.Ref, seen)
				}
				back := t.TempDir()
				for _, copied := range []string{
					"oci:" + back + "/layout:x", "oci-archive:" + back + "/o.tar:x", "docker-archive:" + back + "/d.tar:app:x",
				} {
					if out.Ref.Transport() != DockerArchive && copied[:6] == "docker" && slices.Contains(how, zstded) {
						continue // skopeo makes no Docker manifest of zstd
					}
					skopeo(t, "--insecure-policy", "copy", out.Ref.String(), copied)
					sameContent(t, mustLoad(t, copied, Options{}).Image, img)
				}
			})
		}
	}
}

func TestPodman(t *testing.T) {
	podman := tool(t, "podman")
	dir, err := os.MkdirTemp("", "slim-podman-") // podman makes an image's name of it, in small letters
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(conf, []byte("[engine]\nlock_type = \"file\"\n"), 0o644); err != nil { // no shared memory left behind
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_CONF", conf)
	global := []string{"--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs"}
	img := testImage(t, "podman", gzipped, zstded, plainTar)
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	for to, take := range map[string][]string{
		"docker-archive:" + dir + "/d.tar:example.org/app:1": {"load", "-q", "-i", dir + "/d.tar"},
		"oci-archive:" + dir + "/o.tar:v1":                   {"load", "-q", "-i", dir + "/o.tar"},
		"oci:" + dir + "/l:v1":                               {"pull", "-q", "oci:" + dir + "/l:v1"},
	} {
		mustStore(t, img, to)
		podman(t, append(global, take...)...)
		if list := podman(t, append(global, "images", "--no-trunc", "--quiet")...); !strings.Contains(list, id.String()) {
			t.Errorf("%s: podman has %s, not %s", to, list, id)
		}
		podman(t, append(global, "rmi", "--force", id.Hex)...)
	}
}

func TestMissing(t *testing.T) {
	dir, reg := t.TempDir(), testRegistry(t)
	img := testImage(t, "there", gzipped)
	mustStore(t, img, "oci:"+dir+"/layout:latest")
	mustStore(t, testImage(t, "other", gzipped), "oci:"+dir+"/layout:v1")
	mustStore(t, img, "oci-archive:"+dir+"/o.tar:v1")
	mustStore(t, img, "docker-archive:"+dir+"/d.tar:app:1")
	mustStore(t, img, "docker://"+reg+"app:1")
	if err := os.Mkdir(dir+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", dir+"/loop"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"junk": "not a tar archive, though long enough\n", "void": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(text, 100)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		from string
		kind error
		says string
	}{
		{"oci:" + dir + "/layout:v2", ErrInput, "no image tagged v2; it has latest, v1"},
		{"oci:" + dir + "/layout", ErrInput, "name one of latest, v1"},
		{"oci:" + dir + "/nowhere:v1", ErrInput, "no such file or directory"},
		{"oci:" + dir + "/junk/layout:v1", ErrInput, "not a directory"},
		{"oci:" + dir + "/empty:v1", ErrInput, "no OCI layout there"},
		{"oci:" + dir + "/o.tar", ErrInput, "say oci-archive:"},
		{"oci-archive:" + dir + "/o.tar:v2", ErrInput, "no image tagged v2; it has v1"},
		{"oci-archive:" + dir + "/nowhere.tar", ErrInput, "nowhere.tar: no such file or directory"},
		{"docker-archive:" + dir + "/junk/d.tar", ErrInput, "not a directory"},
		{"docker-archive:" + dir + "/loop", ErrInput, "too many levels of symbolic links"},
		{"oci-archive:" + dir + "/layout", ErrInput, "is a folder"},
		{"oci-archive:" + dir + "/d.tar", ErrInput, "no OCI layout there"},
		{"oci-archive:" + dir + "/junk", ErrInput, "no tar archive"},
		{"oci-archive:" + dir + "/void", ErrInput, "archive is empty"},
		{"docker-archive:" + dir + "/d.tar:app:2", ErrInput, "no image tagged app:2; the archive has app:1"},
		{"docker-archive:" + dir + "/d.tar:@1", ErrInput, "no image @1"},
		{"docker-archive:" + dir + "/o.tar", ErrInput, "say oci-archive:"},
		{"docker-archive:" + dir + "/junk", ErrInput, "no tar archive"},
		{"docker://" + reg + "app:2", ErrInput, "no such image in the registry"},
		{"docker://" + reg + "nowhere:1", ErrInput, "no such image in the registry"},
		{"docker://" + reg + "app@" + digest, ErrInput, "no such image in the registry"},
		{"docker://localhost:1/app", ErrUnavailable, "connection refused"},
		{"docker-daemon:app", ErrUnavailable, "no Docker Engine answers"},
		{digest, ErrUnavailable, "no Docker Engine answers"},
		{reg + "app:2", ErrInput, "no such image in the registry"},
		{"localhost:1/app", ErrUnavailable, "Docker Engine: no Docker Engine answers"},
	}
	for _, test := range tests {
		_, err := Load(context.Background(), parseRef(t, test.from), Options{TempDir: t.TempDir()})
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("Load(%s): %v\nwant %q of kind %v", test.from, err, test.says, test.kind)
			continue
		}
		if !strings.HasPrefix(err.Error(), test.from) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Load(%s): %q: want one line that begins with the reference", test.from, err)
		}
	}
}

func TestCheckStore(t *testing.T) {
	dir, reg := t.TempDir(), testRegistry(t)
	img := testImage(t, "there", gzipped)
	mustStore(t, img, "oci:"+dir+"/layout:v1")
	mustStore(t, img, "docker-archive:"+dir+"/d.tar:app:1")
	if err := os.WriteFile(dir+"/file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := parseRef(t, "docker-archive:"+dir+"/d.tar:app:1")
	tests := []struct {
		to   string
		kind error
		says string
	}{
		{"oci:" + dir + "/layout:v2", nil, ""},
		{"oci:" + dir + "/a/b/c:v2", nil, ""},
		{"oci-archive:" + dir + "/a/b/c.tar", nil, ""},
		{"docker-archive:" + dir + "/file", nil, ""},
		{"docker://" + reg + "app:2", nil, ""},
		{"oci:" + dir, ErrUsage, "no OCI layout"},
		{"oci:" + dir + "/file:v1", ErrUsage, "not a folder"},
		{"oci:" + dir + "/file/x:v1", nil, "not a directory"},
		{"oci-archive:" + dir + "/layout", ErrUsage, "is a folder"},
		{"docker-archive:/dev/null", ErrUsage, "not a regular file"},
		{"docker-archive:/proc/nowhere/x.tar", nil, "/proc"},
		{"docker-archive:" + dir + "/d.tar:app:2", ErrUsage, "would overwrite the source"},
		{"docker-archive:" + dir + "/e.tar:@1", ErrUsage, "cannot be stored to"},
		{"oci:" + dir + "/layout:app@" + digest, ErrUsage, "cannot be stored to"},
		{"docker://" + reg + "app@" + digest, ErrUsage, "cannot be stored to"},
		{"docker://localhost:1/app:2", ErrUnavailable, "connection refused"},
		{"docker-daemon:app:2", ErrUnavailable, "no Docker Engine answers"},
		{"app:2", ErrUnavailable, "no Docker Engine answers"},
	}
	before := strings.Join(files(t, dir), "\n")
	for _, test := range tests {
		err := CheckStore(context.Background(), parseRef(t, test.to), Options{Source: source})
		if test.says == "" {
			if err != nil {
				t.Errorf("CheckStore(%s): %v", test.to, err)
			}
			continue
		}
		if err == nil || test.kind != nil && !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("CheckStore(%s): %v\nwant %q of kind %v", test.to, err, test.says, test.kind)
			continue
		}
		if _, err := Store(context.Background(), img, parseRef(t, test.to), Options{Source: source}); err == nil {
			t.Errorf("Store(%s) went well, CheckStore did not", test.to)
		}
	}
	if after := strings.Join(files(t, dir), "\n"); after != before {
		t.Errorf("files before:\n%s\nafter:\n%s", before, after)
	}
	if err := CheckStore(context.Background(), Reference{}, Options{}); !errors.Is(err, ErrUsage) {
		t.Errorf("CheckStore of nothing: %v", err)
	}
	if _, err := Load(context.Background(), Reference{}, Options{}); !errors.Is(err, ErrUsage) {
		t.Errorf("Load of nothing: %v", err)
	}
}
