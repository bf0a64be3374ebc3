package minify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/minify/transport"
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs/treetest"
	"slim/probe/workload"
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

func TestFirstDifference(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct{ original, slim, want string }{
		{"a\nb\nc\n", "a\nB\nc\n", `line 2 is "B", was "b"`},
		{"a\nb\n", "a\n", `line 2 is "", was "b"`},
		{"a\nb", "a", `line 2 is missing: "b"`},
		{"a", "a\nb", `line 2 was not there: "b"`},
		{"a\n", "a\n", ""},
		{"", "a", ""},
		{"a", "", ""},
		{long, "y", `line 1 is "y", was "` + long[:200] + `…"`},
	} {
		if got := firstDifference(tt.original, tt.slim); got != tt.want {
			t.Errorf("%q, %q: got %s, want %s", tt.original, tt.slim, got, tt.want)
		}
	}
}

func TestSilent(t *testing.T) {
	server := func(ports ...uint16) *workload.Outcome { return &workload.Outcome{Server: true, Ports: ports} }
	command := &workload.Outcome{}
	for _, tt := range []struct {
		name     string
		exposed  []uint16
		outcomes []*workload.Outcome
		want     []uint16
	}{
		{"all listen", []uint16{80, 443}, []*workload.Outcome{server(443, 80)}, nil},
		{"one does not", []uint16{80, 443}, []*workload.Outcome{server(80)}, []uint16{443}},
		{"in one run or another", []uint16{80, 443}, []*workload.Outcome{server(80), server(443), command}, nil},
		{"a command", []uint16{80}, []*workload.Outcome{command}, nil},
		{"nothing exposed", nil, []*workload.Outcome{server(80)}, nil},
	} {
		if got := silent(tt.exposed, &probe.Result{Outcomes: tt.outcomes}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A note for each program that is only named, up to a number.
func TestNamedNotes(t *testing.T) {
	tree := `
		file /usr/bin/seen 0755
		file /usr/bin/out 0755
		file /app/a.py "import subprocess\nsubprocess.run(['seen'])\nsubprocess.run(['out'])`
	for i := range 7 {
		tree += fmt.Sprintf("\\nsubprocess.run(['p%d']); subprocess.run(['p%d', 'again'])", i, i)
	}
	tree += "\"\n"
	for i := range 7 {
		tree += fmt.Sprintf("file /usr/bin/p%d 0755\n", i)
	}
	fsys := treetest.FS(t, tree)
	trace := &probe.Trace{Accesses: []record.Access{{Path: "/app/a.py", Ops: record.Read}, {Path: "/usr/bin/seen", Ops: record.Exec}}}
	for policy, want := range map[keep.Policy]string{
		keep.Units:    "/usr/bin/p0 is kept since /app/a.py:4 names it; --exclude it if it is never run",
		keep.Accessed: "named, not seen: /usr/bin/p0, by /app/a.py:4; --include-bin /usr/bin/p0 keeps it",
	} {
		opts := keep.Options{Keep: policy}
		if policy == keep.Units {
			opts.Exclude = []string{"/usr/bin/out"}
		}
		s, err := keep.Select(t.Context(), fsys, trace, v1.Config{}, opts)
		if err != nil {
			t.Fatal(err)
		}
		notes := (&Result{Selection: s}).Notes()
		if len(notes) != maxNamed+1 || !slices.Contains(notes, want) {
			t.Errorf("%s: %q", policy, notes)
		}
		if more := map[keep.Policy]string{keep.Units: "2 more", keep.Accessed: "3 more"}[policy]; !strings.HasPrefix(notes[maxNamed], more) {
			t.Errorf("%s: %q", policy, notes[maxNamed])
		}
	}
}
