package treetest_test

import (
	"bytes"
	"testing"

	"slim/probe/rootfs/treetest"
)

const all = `
	dir   /dev 0755 0:0
	char  /dev/null 0666 1:3
	block /dev/sda 0660 0:6 8:1
	dir   /etc 0700 1:2 mtime=0
	file  /etc/motd 04755 1000:1000 "a \"b\"\n\x00\xff" mtime=2001-02-03T04:05:06.789Z xattr.user.x="y z" xattr.user.a="="
	file  /etc/zeros size=1048576
	file  "/etc/a b\n\xff#" ""
	link  /bin -> usr/bin 1:2
	hard  /etc/motd2 => /etc/motd
	fifo  /run/p 0600 5:5
	white /etc/gone
	opaque /etc
`

func TestTar(t *testing.T) {
	want := treetest.Canon(all)
	got, err := treetest.DumpTar(bytes.NewReader(treetest.Tar(t, all)))
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("Tar and DumpTar:\n%s\nwant:\n%s", got, want)
	}
	if again := treetest.Canon(want); again != want {
		t.Errorf("Canon of Canon:\n%s\nwant:\n%s", again, want)
	}
}

func TestDump(t *testing.T) {
	fsys := treetest.FS(t, `
		dir   /etc 0700
		file  /etc/motd 0600 1:2 "hello" xattr.user.x="y"
		file  /usr/bin/env 04755
		hard  /bin/env => /usr/bin/env
		link  /lib -> usr/lib
		file  /zeros size=300
		char  /null 0666 1:3`)
	want := treetest.Canon(`
		dir   /bin mtime=0
		file  /bin/env 04755
		dir   /etc 0700
		file  /etc/motd 0600 1:2 "hello" xattr.user.x="y"
		link  /lib -> usr/lib
		char  /null 0666 1:3
		dir   /usr mtime=0
		dir   /usr/bin mtime=0
		hard  /usr/bin/env => /bin/env
		file  /zeros size=300`)
	if got := treetest.Dump(fsys); got != want {
		t.Errorf("Dump:\n%s\nwant:\n%s", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	for _, line := range []string{
		"file", "what /x", "link /x", "link /x => y", "hard /x -> y", "char /x",
		`file /x "open`, "file /x 9", "file /x mtime=now", "file /x 1:2 3:4", "file /x size=x",
	} {
		if _, err := treetest.Parse(line); err == nil {
			t.Errorf("Parse(%q) gives no error", line)
		}
	}
}
