package keep

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs/treetest"
)

// class is a compiled class that refers to others and has literals; the pool has
// an entry of each kind.
func class(classes, literals []string) []byte {
	pool := []byte("\x05\x00\x00\x00\x00\x00\x00\x00\x01\x03\x00\x00\x00\x07\x0f\x06\x00\x01\x10\x00\x01\x0c\x00\x01\x00\x01\x01\x00\x04exec")
	count := 7 // a long takes two
	add := func(tag byte, text string) {
		pool = append(pool, 1)
		pool = binary.BigEndian.AppendUint16(pool, uint16(len(text)))
		pool = append(pool, text...)
		count++
		pool = append(pool, tag)
		pool = binary.BigEndian.AppendUint16(pool, uint16(count))
		count++
	}
	for _, name := range classes {
		add(7, name)
	}
	for _, text := range literals {
		add(8, text)
	}
	b := []byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61}
	b = binary.BigEndian.AppendUint16(b, uint16(count+1))
	return append(b, pool...)
}

func TestClassCommands(t *testing.T) {
	for _, c := range []struct {
		classes, literals []string
		want              string
	}{
		{[]string{"java/lang/ProcessBuilder"}, []string{"git", "a b", ""}, "git"},
		{[]string{"java/lang/Runtime"}, []string{"git log"}, "git log"},
		{[]string{"java/lang/ProcessBuilder"}, []string{"/bin/sh", "-c", "a | b"}, "/bin/sh, -c, $ a | b"},
		{[]string{"java/lang/Process"}, []string{"git"}, ""},
	} {
		f := parseClass(class(c.classes, c.literals))
		if f == nil || !slices.Equal(f.strings, c.literals) {
			t.Fatalf("%+v: %+v", c, f)
		}
		var got []string
		for _, cmd := range f.commands() {
			text := strings.Join(cmd.words, " ")
			if cmd.shell != "" {
				text = "$ " + cmd.shell
			}
			got = append(got, text)
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func FuzzClass(f *testing.F) {
	f.Add(class([]string{"java/lang/Runtime"}, []string{"git log"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c := parseClass(b); c != nil && len(c.strings) > len(b) {
			t.Error(len(c.strings))
		}
	})
}

// In archives only the application's own classes count.
func TestJarCommands(t *testing.T) {
	git, tar := class([]string{"java/lang/ProcessBuilder"}, []string{"git"}), class([]string{"java/lang/ProcessBuilder"}, []string{"tar"})
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"a/A.class": string(git), "b/B.class": string(tar)}, "/bin/git:/app/x.jar!/a/A.class /bin/tar:/app/x.jar!/b/B.class"},
		{map[string]string{"BOOT-INF/classes/A.class": string(git), "org/B.class": string(tar), "META-INF/MANIFEST.MF": "Main-Class: org.B"}, "/bin/git:/app/x.jar!/BOOT-INF/classes/A.class"},
		{map[string]string{"WEB-INF/classes/A.class": string(git), "B.class": string(tar)}, "/bin/git:/app/x.jar!/WEB-INF/classes/A.class"},
		{map[string]string{"com/me/x/A.class": string(git), "com/other/B.class": string(tar), "META-INF/MANIFEST.MF": "A: b\r\nMain-Class: com.me.Main\r\n"}, "/bin/git:/app/x.jar!/com/me/x/A.class"},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range slices.Sorted(maps.Keys(c.files)) {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(w, c.files[name])
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		fsys := treetest.FS(t, fmt.Sprintf("file /app/x.jar %q\nfile /bin/git 0755\nfile /bin/tar 0755", b.String()))
		trace := &probe.Trace{Accesses: []record.Access{{Path: "/app/x.jar", Ops: record.Read}}}
		s, err := Select(t.Context(), fsys, trace, v1.Config{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range s.Named {
			got = append(got, n.Path+":"+n.Place)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
