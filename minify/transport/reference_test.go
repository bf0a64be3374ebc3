package transport

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	hex64  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	digest = "sha256:" + hex64
)

func TestParse(t *testing.T) {
	tests := []struct{ in, canonical, name, slim string }{
		{"myapp", "myapp:latest", "myapp:latest", "myapp:latest-slim"},
		{"myapp:1.2", "myapp:1.2", "myapp:1.2", "myapp:1.2-slim"},
		{"docker.io/library/myapp", "myapp:latest", "myapp:latest", "myapp:latest-slim"},
		{"index.docker.io/me/app:1", "me/app:1", "me/app:1", "me/app:1-slim"},
		{"localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest", "localhost:5000/app:latest-slim"},
		{"docker:dind", "docker:dind", "docker:dind", "docker:dind-slim"},
		{"app@" + digest, "app@" + digest, "app@" + digest, "app:slim"},
		{"app:1@" + digest, "app:1@" + digest, "app:1@" + digest, "app:1-slim"},
		{"app:" + strings.Repeat("t", 128), "app:" + strings.Repeat("t", 128), "app:" + strings.Repeat("t", 128), "app:" + strings.Repeat("t", 123) + "-slim"},
		{digest, digest, "0123456789ab", "0123456789ab:slim"},
		{hex64, digest, "0123456789ab", "0123456789ab:slim"},
		{"docker://app", "docker://app:latest", "app:latest", "docker://app:latest-slim"},
		{"docker://[::1]:5000/app:2", "docker://[::1]:5000/app:2", "[::1]:5000/app:2", "docker://[::1]:5000/app:2-slim"},
		{"docker-daemon:app", "docker-daemon:app:latest", "app:latest", "docker-daemon:app:latest-slim"},
		{"docker-daemon:" + digest, "docker-daemon:" + digest, "0123456789ab", "docker-daemon:0123456789ab:slim"},
		{"oci:out", "oci:out", "out", "oci:out:latest-slim"},
		{"oci:./a/../out/:v1", "oci:out:v1", "out:v1", "oci:out:v1-slim"},
		{"oci:out:docker.io/library/app:v1", "oci:out:docker.io/library/app:v1", "out:docker.io/library/app:v1", "oci:out:docker.io/library/app:v1-slim"},
		{"oci:out:example.org/app", "oci:out:example.org/app", "out:example.org/app", "oci:out:example.org/app:latest-slim"},
		{"oci-archive:/d/fat.tar", "oci-archive:/d/fat.tar", "fat.tar", "oci-archive:/d/fat-slim.tar"},
		{"oci-archive:fat.tar.gz:v1", "oci-archive:fat.tar.gz:v1", "fat.tar.gz:v1", "oci-archive:fat-slim.tar:v1-slim"},
		{"docker-archive:fat.tar", "docker-archive:fat.tar", "fat.tar", "docker-archive:fat-slim.tar"},
		{"docker-archive:d.1/fat", "docker-archive:d.1/fat", "fat", "docker-archive:d.1/fat-slim"},
		{"docker-archive:app-1.2:app:1.2", "docker-archive:app-1.2:app:1.2", "app:1.2", "docker-archive:app-1.2-slim:app:1.2-slim"},
		{"docker-archive:f.tgz:docker.io/library/app", "docker-archive:f.tgz:app:latest", "app:latest", "docker-archive:f-slim.tar:app:latest-slim"},
		{"docker-archive:f.tar:@1", "docker-archive:f.tar:@1", "f.tar", "docker-archive:f-slim.tar"},
	}
	for _, test := range tests {
		r, err := Parse(test.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", test.in, err)
			continue
		}
		if got := r.String(); got != test.canonical {
			t.Errorf("Parse(%q).String() = %q, want %q", test.in, got, test.canonical)
		}
		if got := r.Name(); got != test.name {
			t.Errorf("Parse(%q).Name() = %q, want %q", test.in, got, test.name)
		}
		if got := r.Slim().String(); got != test.slim {
			t.Errorf("Parse(%q).Slim() = %q, want %q", test.in, got, test.slim)
		}
		for _, s := range []string{r.String(), r.Slim().String()} {
			if again, err := Parse(s); err != nil || again.String() != s {
				t.Errorf("Parse(%q) = %v, %v; want what it was printed from", s, again, err)
			}
		}
		if again, _ := Parse(r.String()); again != r {
			t.Errorf("Parse(%q) = %#v, want %#v", r.String(), again, r)
		}
		if Same(r, r.Slim()) {
			t.Errorf("%s.Slim() = %s overwrites it", r, r.Slim())
		}
		if !Same(r, r) && !r.digested() {
			t.Errorf("Same(%s, itself) = false", r)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "Upper:case", "app:", "app:a b", "app@sha256:12", "docker://", "docker://https://host/app",
		"docker-daemon:", "./fat.tar", "/fat.tar", "oci:", "oci::v1", "oci:out:-bad", "oci:out:a b",
		"docker-archive:", "docker-archive:f.tar:Bad", "docker-archive:f.tar:@x", "docker-archive:f.tar:@-1",
		"docker-archive:f.tar:app@" + digest, "containers-storage:app", "app:" + strings.Repeat("t", 129),
	} {
		r, err := Parse(s)
		if !errors.Is(err, ErrUsage) {
			t.Errorf("Parse(%q) = %v, %v; want ErrUsage", s, r, err)
			continue
		}
		if !r.IsZero() || strings.Contains(err.Error(), "\n") {
			t.Errorf("Parse(%q) = %#v, %q", s, r, err)
		}
	}
}

func TestSame(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f.tar"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "out", "index.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": "out", "l.tar": "f.tar", "here": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	tests := []struct {
		source, to string
		want       bool
	}{
		{"app", "app:latest", true},
		{"app", "docker-daemon:app", true},
		{"app", "docker://docker.io/library/app:latest", true},
		{"app:1@" + digest, "app:1", true},
		{"app@" + digest, "app:latest", false},
		{"docker-daemon:app", "docker://app", false},
		{"docker-daemon:app", "docker-daemon:app:slim", false},
		{"docker-daemon:" + digest, "docker-daemon:app", false},
		{"docker://a.example/app", "docker://b.example/app", false},
		{"docker://a.example/app", "docker://A.example:443/app:latest", true},
		{"docker://a.example/app", "docker://a.example:444/app", false},
		{"docker://localhost:5000/app", "docker://127.0.0.1:5000/app", true},
		{"docker://127.0.0.1/app", "docker://[::1]/app", true},
		{"docker://localhost:5000/app", "docker://127.0.0.1:5001/app", false},
		{"localhost:5000/app", "docker://[::1]:5000/app", true},
		{"oci:out:v1", "oci:link:v1", true},
		{"oci:out:v1", "oci:" + dir + "/out:v1", true},
		{"oci:out:v1", "oci:out:v1-slim", false},
		{"oci:out", "oci:out", true},
		{"oci:out:latest", "oci:out", true},
		{"oci:out:example.org/app:v1", "oci:out:v1", true}, // would be found first as out:v1
		{"oci:out:example.org/app:v1", "oci:out:example.org/b:v1", false},
		{"oci:new:v1", "oci:here/new:v1", true},
		{"oci:out:v1", "oci-archive:out/index.json:v1", true},
		{"oci:out:v1", "docker-archive:link/index.json", true},
		{"oci:out:v1", "oci-archive:out/new.tar", false},
		{"oci:out:v1", "oci-archive:out:v1", false},
		{"oci:out:v1", "oci-archive:g.tar:v1", false},
		{"docker-archive:f.tar:app:1", "docker-archive:f.tar:app:1-slim", true},
		{"docker-archive:f.tar", "oci-archive:l.tar", true},
		{"docker-archive:f.tar", "docker-archive:g.tar", false},
		{"docker-archive:f.tar:app:1", "docker-daemon:app:1", false},
	}
	for _, test := range tests {
		a, err := Parse(test.source)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(test.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := Same(a, b); got != test.want {
			t.Errorf("Same(%s, %s) = %v, want %v", a, b, got, test.want)
		}
	}
}

// Whatever parses prints as what parses to the same, and so does its default
// output, which never overwrites it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"app", "docker://h:1/a:b@" + digest, "oci:d:x/y@z", "docker-archive:f.tgz:@1", "oci-archive:a", digest} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Errorf("Parse(%q) prints as %q, which parses as %#v, %v", s, r, again, err)
		}
		slim := r.Slim()
		if again, err := Parse(slim.String()); err != nil || again != slim {
			t.Errorf("Parse(%q).Slim() prints as %q, which parses as %#v, %v", s, slim, again, err)
		}
		if Same(r, slim) {
			t.Errorf("%s overwrites %s", slim, r)
		}
	})
}
