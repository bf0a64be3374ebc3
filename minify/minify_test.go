package minify

import (
	"strings"
	"testing"

	"slim/minify/transport"
)

func TestOutputRef(t *testing.T) {
	for _, tt := range []struct {
		source, tag string
		push        bool
		want        string // or "error: …"
	}{
		{"docker-daemon:app:1", "", false, "docker-daemon:app:1-slim"},
		{"docker-daemon:app:1", "small", false, "docker-daemon:small:latest"},
		{"docker-daemon:app:1", "reg.example/small:2", true, "docker://reg.example/small:2"},
		{"docker-daemon:reg.example/app:1", "", true, "docker://reg.example/app:1-slim"},
		{"docker://reg.example/app:1", "", false, "docker://reg.example/app:1-slim"},
		{"docker://reg.example/app:1", "", true, "docker://reg.example/app:1-slim"},
		{"docker://reg.example/app:1", "reg.example/small:1", false, "docker://reg.example/small:1"},
		{"docker://reg.example/app:1", "docker-daemon:small", false, "docker-daemon:small:latest"},
		{"docker-archive:fat.tar:app:1", "small", false, "docker-daemon:small:latest"},
		{"docker-archive:fat.tar:app:1", "small", true, "docker://small:latest"},
		{"docker-archive:fat.tar:app:1", "", false, "docker-archive:fat-slim.tar:app:1-slim"},
		{"oci:dir:v1", "", false, "oci:dir:v1-slim"},
		{"oci:dir:v1", "oci:other", false, "oci:other"},
		{"oci:dir:v1", "", true, "error: --push needs --tag"},
		{"oci:dir:v1", "oci:other", true, "error: --tag oci:other is none"},
		{"oci:dir:v1", "BAD NAME", false, "error: --tag"},
	} {
		t.Run(strings.TrimSpace(tt.source+" "+tt.tag), func(t *testing.T) {
			source, err := transport.Parse(tt.source)
			if err != nil {
				t.Fatal(err)
			}
			r := &run{opts: Options{Output: tt.tag, Push: tt.push}, source: &transport.Source{Ref: source}}
			ref, err := r.outputRef()
			got := ref.String()
			if err != nil {
				got = "error: " + err.Error()
			}
			want, isError := strings.CutPrefix(tt.want, "error: ")
			if isError && (err == nil || !strings.Contains(got, want)) || !isError && got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
