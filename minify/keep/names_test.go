package keep

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
)

const namesTree = `
	link /bin -> usr/bin
	file /usr/bin/git
	file /usr/bin/git-lfs
	file /etc/passwd
	file /etc/app/a.conf
	file "/etc/app/a file.conf"
	link /etc/current -> app
	link /etc/dangling -> nowhere
	file /srv/data/x.db
	file /usr/share/zoneinfo/UTC
	file /usr/share/zoneinfo/Etc/UTC
	file /x`

func finder(t testing.TB, tree string) *nameFinder {
	t.Helper()
	return newSelector(treetest.FS(t, tree), nil, v1.Config{}, Options{}).names
}

func TestNamesInText(t *testing.T) {
	f := finder(t, namesTree)
	for _, c := range []struct{ file, text, want string }{
		{"a.py", `open("/etc/passwd")`, "/etc/passwd:1"},
		{"a.py", "\n\nx = '/etc/app/a file.conf'\ny='/x'", "/etc/app/a file.conf:3 /x:4"},
		{"a.py", `run(["/bin/git", "/bin/git-lfs"])`, "/bin/git:1 /bin/git-lfs:1"},
		{"a.py", `"/bin/git-foo" "/bin/gitx" "/bin/git.exe"`, ""},
		{"a.py", `f"/srv/data/{name}.db" "/usr/share/zoneinfo/%s"`, "/srv/data:1 /usr/share/zoneinfo:1"},
		{"a.py", `"/srv/data/" + name`, "/srv/data:1"},
		{"a.py", `"/srv/data/none" "/none/x" "/srv/dat"`, "in /srv/data:1"},
		{"a.py", `"/srv/data"`, "/srv/data:1"},
		{"a.py", `"/etc/current/a.conf" "/etc/dangling"`, "/etc/current/a.conf:1"},
		{"a.py", `"http://x/etc/passwd" "a/etc/passwd" "./x" "$A/x" "${A}/x"`, ""},
		{"a.py", `"http://etc/passwd"`, ""},
		{"a.py", `"file:///etc/passwd" "sqlite:////srv/data/x.db"`, "/etc/passwd:1 /srv/data/x.db:1"},
		{"a.sh", "A=/etc/passwd:/x\ncat </srv/data/x.db>/x", "/etc/passwd:1 /x:1 /srv/data/x.db:2"},
		{"a.sh", "-C/etc/app --conf=/x -xyz/etc/passwd", "/etc/app:1 /x:1"},
		{"a.sh", "# /etc/passwd\n  #/x\n \t/srv/data", "/srv/data:3"},
		{"a.js", "// /etc/passwd\n/* /x\n * /x\n */ f('/srv/data')", ""},
		{"crontab", "* * * * * root /bin/git pull", "/bin/git:1"},
		{"a.txt", "See /etc/passwd. Or /x, or /srv/data/.", "/etc/passwd:1 /x:1 /srv/data:1"},
		{"a.conf", "Include /etc/app/*.conf\n;Include /x", "/etc/app:1"},
		{"a.conf", "root //srv//data/;", "/srv/data:1"},
		{"a.conf", "/ / //", ""},
		{"a.sh", "f=$(mktemp /srv/data/f.XXXXXX) g=/usr/none", "in /srv/data:1"},
	} {
		var got []string
		names, made := f.inText([]byte(c.text), c.file)
		for _, n := range names {
			got = append(got, fmt.Sprintf("%s:%d", n.path, n.line))
		}
		for _, n := range made {
			got = append(got, fmt.Sprintf("in %s:%d", n.path, n.line))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s: %s, want %s", c.file, c.text, got, c.want)
		}
	}
}

func TestNamesInBinary(t *testing.T) {
	f := finder(t, namesTree)
	for _, c := range []struct{ text, want string }{
		{"\x00/etc/passwd\x00/x\x00", "/etc/passwd /x"},
		{"/bin/git-foo\x00abc/x\x00", ""},
		{"\x00/usr/share/zoneinfo/\x00", "/usr/share/zoneinfo"},
		{"\x00--x=/srv/data/%s.db\x00", "/srv/data"},
		{"\x00/srv/data/new.db\x00", "in /srv/data"},
		// As Go and Rust have them.
		{"cannot open/etc/passwd/bin/gitmust/bin/git-lfsnot\x00runtime/proc.go\x00", "/etc/passwd /bin/git /bin/git-lfs"},
		{"/rustc/90b35a/library/core/src/x.rs,/srv/data/x.dbbad", "/srv/data/x.db"},
		{"cannot open/etc/passwd/bin/gitmust", ""},
		{"/go/src/runtime/proc.go\x00cannot open/etc/passwd/bin/gitmust", "/etc/passwd /bin/git"},
	} {
		for _, pad := range []int{0, nameChunk - 9, nameChunk + nameMargin - 9, nameChunk + nameMargin - 1} {
			var got []string
			names, made := f.inBinary(strings.NewReader(strings.Repeat("\x01", pad) + c.text))
			for _, n := range names {
				got = append(got, n.path)
			}
			for _, n := range made {
				got = append(got, "in "+n.path)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("%q after %d bytes: %s, want %s", c.text, pad, got, c.want)
			}
		}
	}
}

// What is found stands in the content, and is a name of the tree.
func FuzzNames(f *testing.F) {
	find := finder(f, namesTree)
	f.Add([]byte("x /etc/app/a file.conf\n//usr//share/zoneinfo/%s"))
	f.Add([]byte("/rustc/etc/passwd/bin/gitmust"))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, _ := find.inText(b, "a.py")
		binary, _ := find.inBinary(bytes.NewReader(b))
		for _, n := range append(names, binary...) {
			end, _, err := find.s.fs.Resolve(n.path)
			if err != nil || end != n.node {
				t.Errorf("%+v: %v", n, err)
			}
			if last := n.path[strings.LastIndexByte(n.path, '/'):]; !bytes.Contains(b, []byte(last)) {
				t.Errorf("%q is not in %q", n.path, b)
			}
			if n.line > 1+bytes.Count(b, []byte("\n")) {
				t.Errorf("%+v", n)
			}
		}
	})
}

func BenchmarkNamesInBinary(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		skip.Test(b, "%v", err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		b.Fatal(err)
	}
	f := finder(b, namesTree)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		f.inBinary(io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))))
	}
}
