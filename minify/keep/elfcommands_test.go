package keep

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs/treetest"
)

func TestCompiledCommands(t *testing.T) {
	for _, c := range []struct{ name, at, content, want string }{
		{"linked with popen", "/app/job", "\x00popen\x00git log %s\x00tar\x00see git log\x00Git log\x00nothere x\x00git x | tar x\x00", "/bin/git /bin/sh /bin/tar"},
		{"not linked with it", "/app/job", "\x00popens\x00git log\x00", ""},
		{"a language's own", "/app/python3.11", "\x00popen\x00git log\x00", ""},
		{"a library that names a shell", "/app/libc.so", "\x00/bin/sh\x00", ""},
		{"a program that names one", "/app/job", "\x00/bin/sh\x00", "/bin/sh"},
		{"the system's", "/usr/bin/job", "\x00popen\x00git log\x00", ""},
		{"installed by hand", "/usr/local/bin/job", "\x00system\x00git log\x00", "/bin/git /bin/sh"},
	} {
		content := string(smallELF(binary.LittleEndian)) + c.content
		fsys := treetest.FS(t, fmt.Sprintf("file %s 0755 %q\nfile /bin/git 0755\nfile /bin/tar 0755\nfile /bin/sh 0755 \"#!/x\"", c.at, content))
		trace := &probe.Trace{Accesses: []record.Access{{Path: c.at, Ops: record.Exec}}}
		s, err := Select(t.Context(), fsys, trace, v1.Config{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range s.Named {
			got = append(got, n.Path)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEachString(t *testing.T) {
	for _, pad := range []int{0, nameChunk - 5, nameChunk - 1, 3 * nameChunk} {
		var got []string
		text := strings.Repeat("\x01", pad) + "\x00abc d\x00\x02ef\x00" + strings.Repeat("x", maxCommandLine+1) + "\x00last"
		eachString(strings.NewReader(text), func(s string) { got = append(got, s) })
		if len(got) != 1 || got[0] != "abc d" {
			t.Errorf("after %d bytes: %q", pad, got)
		}
	}
}
