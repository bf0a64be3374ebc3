package rootfs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"slim/probe/rootfs/treetest"
)

// mergeCase is an image and the tree it makes.
type mergeCase struct {
	name   string
	layers []string
	want   string
	// docker is why Docker shows another tree or refuses the image; "" where it
	// must agree.
	docker string
}

var mergeCases = []mergeCase{
	{name: "no layers"},
	{
		name: "every kind", layers: []string{`
			dir   /d 01777 1:2
			file  /d/f 06755 3:4 "content" mtime=2001-02-03T04:05:06.123456789Z
			link  /l -> ../../up
			char  /null 0666 0:5 1:3
			block /sda 0660 8:1
			fifo  /p 0600`},
		want: `
			dir   /d 01777 1:2
			file  /d/f 06755 3:4 "content" mtime=2001-02-03T04:05:06.123456789Z
			link  /l -> ../../up
			char  /null 0666 0:5 1:3
			fifo  /p 0600
			block /sda 0660 8:1`,
		docker: "docker export rounds mtime to seconds",
	},
	{
		name: "names", layers: []string{`
			file "/a b" "1"
			file "/new\nline" "2"
			file "/\xff\xfe" "3"
			file /.hidden "4"
			file /... "5"
			file /b/../c "6"`},
		want: `
			file /... "5"
			file /.hidden "4"
			file "/a b" "1"
			file /c "6"
			file "/new\nline" "2"
			file "/\xff\xfe" "3"`,
	},
	{
		name: "attributes of the root", layers: []string{"dir / 0700 5:6 mtime=2001-01-01T00:00:00Z"},
		want:   "dir / 0700 5:6 mtime=2001-01-01T00:00:00Z",
		docker: "ignores them; a root is always 0755 0:0 there",
	},
	{
		name: "upper file wins", layers: []string{`file /a 0600 "old"`, `file /a 0644 1:1 "new"`},
		want: `file /a 0644 1:1 "new"`,
	},
	{
		name: "upper directory has its attributes and the lower's children",
		layers: []string{
			`dir /d 0700 1:1 xattr.user.low="1"
			file /d/a "a"
			file /d/c "c"`,
			`dir /d 0755 2:2
			file /d/b "b"
			file /d/c "C"`,
		},
		want: `
			dir  /d 0755 2:2
			file /d/a "a"
			file /d/b "b"
			file /d/c "C"`,
	},
	{
		name: "unlisted directory keeps the lower's attributes",
		layers: []string{`
			dir  /d 0700 1:1 xattr.user.x="1"
			file /d/a`, `
			file /d/b`},
		want: `
			dir  /d 0700 1:1 xattr.user.x="1"
			file /d/a
			file /d/b`,
		docker: "overlay2 resets them to 0755 0:0, containerd does not",
	},
	{
		name: "unlisted directories", layers: []string{`file /a/b/c`},
		want: `
			dir  /a mtime=0
			dir  /a/b mtime=0
			file /a/b/c`,
		docker: "gives them the time of the unpacking",
	},
	{
		name: "directory listed after its children", layers: []string{`
			file /d/a
			dir  /d 0700 1:1`},
		want: `
			dir  /d 0700 1:1
			file /d/a`,
	},
	{
		name: "whiteout", layers: []string{`
			file /a
			dir  /d
			file /d/x
			dir  /d/sub
			file /d/sub/y`, `
			white /a
			dir   /d
			white /d/sub
			white /d/none`},
		want: `
			dir  /d
			file /d/x`,
	},
	{
		name: "whiteout reaches all lower layers, not the upper ones",
		layers: []string{
			"file /a \"1\"\nfile /b", "file /a \"2\"", "white /a\nwhite /b", "file /b 0600",
		},
		want: "file /b 0600",
	},
	{
		name: "whiteout before a file of its own layer", layers: []string{`file /a "old"`, "white /a\nfile /a 0600"},
		want: "file /a 0600",
	},
	{
		name: "whiteout after a file of its own layer", layers: []string{`file /a "old"`, "file /a 0600\nwhite /a"},
		want:   "file /a 0600",
		docker: "refuses the layer",
	},
	{
		name: "whiteout beside a directory of its own layer",
		layers: []string{
			"dir /d\nfile /d/old",
			"white /d\ndir /d 0700\nfile /d/new",
		},
		want:   "dir /d 0700\nfile /d/new",
		docker: "shows /d/old, against layer.md",
	},
	{
		name: "whiteout where no directory is", layers: []string{"file /a", "white /foo/b"},
		want:   "file /a\ndir /foo mtime=0",
		docker: "gives /foo the time of the unpacking",
	},
	{
		name: "whiteout below a file", layers: []string{"file /a", "white /a/b"},
		want:   "dir /a mtime=0",
		docker: "gives /a the time of the unpacking",
	},
	{
		name: "opaque", layers: []string{`
			dir  /d 0700
			file /d/a
			dir  /d/sub
			file /d/sub/b
			file /e`, `
			dir  /d 0711
			file /d/new
			dir  /d/sub 0711
			opaque /d
			file /d/later`},
		want: `
			dir  /d 0711
			file /d/later
			file /d/new
			dir  /d/sub 0711
			file /e`,
	},
	{
		name: "opaque where nothing lies below", layers: []string{"file /a", "dir /d\nopaque /d\nfile /d/b"},
		want: "file /a\ndir /d\nfile /d/b",
	},
	{
		name: "opaque root", layers: []string{"file /a\nfile /d/b", "opaque /\nfile /c"},
		want:   "file /c",
		docker: "does not make its own root opaque, against layer.md",
	},
	{
		name: "opaque twice", layers: []string{"dir /d\nfile /d/a", "dir /d\nopaque /d\nfile /d/b", "dir /d\nopaque /d\nfile /d/c"},
		want: "dir /d\nfile /d/c",
	},
	{
		name: "records of AUFS", layers: []string{`
			file /.wh..wh.aufs
			dir  /.wh..wh.plnk
			file /.wh..wh.plnk/12.34 0600 "linked"
			dir  /.wh..wh.orph
			file /.wh..wh.orph/x
			hard /a => /.wh..wh.plnk/12.34
			hard /b => /.wh..wh.plnk/12.34`},
		want: `
			file /a 0600 "linked"
			hard /b => /a`,
		docker: "has given up AUFS",
	},
	{
		name: "hard links", layers: []string{`
			file /a 04755 1:1 "x" xattr.user.x="1"
			hard /b => /a
			hard /d/c => b
			link /l -> nowhere
			hard /m => /l`},
		want: `
			file /a 04755 1:1 "x" xattr.user.x="1"
			hard /b => /a
			dir  /d mtime=0
			hard /d/c => /a
			link /l -> nowhere
			hard /m => /l`,
		docker: "gives /d the time of the unpacking",
	},
	{
		name: "hard link with the name of a replaced file", layers: []string{`file /a "1"
			hard /b => /a`, `file /a "2"`},
		want: `file /a "2"
			file /b "1"`,
	},
	{
		name: "hard link of which one name is removed", layers: []string{`file /a "1"
			hard /b => /a
			hard /c => /a`, `white /a`},
		want: `file /b "1"
			hard /c => /b`,
	},
	{
		name: "hard link to a lower layer", layers: []string{`dir /d
			link /l -> d
			file /d/a "1"`, `hard /b => /l/a
			hard /c => /b
			white /d/a`},
		want: `file /b "1"
			hard /c => /b
			dir  /d
			link /l -> d`,
		docker: "refuses it",
	},
	{
		name: "hard link to itself", layers: []string{"file /a \"1\"\nhard /a => /a"},
		want: `file /a "1"`, docker: "refuses it",
	},
	{
		name: "directory becomes a file", layers: []string{"dir /d\nfile /d/a\ndir /d/e\nfile /d/e/f", "file /d"},
		want: "file /d",
	},
	{
		name: "directory becomes a link", layers: []string{"dir /d\nfile /d/a\ndir /e", "link /d -> e"},
		want: "link /d -> e\ndir /e",
	},
	{
		name: "file becomes a directory", layers: []string{"file /d", "dir /d\nfile /d/a"},
		want: "dir /d\nfile /d/a",
	},
	{
		name: "file becomes an unlisted directory", layers: []string{"file /d", "file /d/a"},
		want: "dir /d mtime=0\nfile /d/a", docker: "gives /d the time of the unpacking",
	},
	{
		name: "link becomes a directory, listed", layers: []string{
			"dir /usr\ndir /usr/lib\nfile /usr/lib/a\nlink /lib -> usr/lib", "dir /lib\nfile /lib/b"},
		want: "dir /lib\nfile /lib/b\ndir /usr\ndir /usr/lib\nfile /usr/lib/a",
	},
	{
		// Not usr/lib/b: each layer is unpacked by itself, and an overlay then
		// puts the upper directory in the place of the lower link.
		name: "link becomes a directory, unlisted", layers: []string{
			"dir /usr\ndir /usr/lib\nfile /usr/lib/a\nlink /lib -> usr/lib", "file /lib/b"},
		want:   "dir /lib mtime=0\nfile /lib/b\ndir /usr\ndir /usr/lib\nfile /usr/lib/a",
		docker: "gives /lib the time of the unpacking",
	},
	{
		name: "entry through a link of its own layer", layers: []string{`
			dir  /usr
			dir  /usr/lib
			link /lib -> usr/lib
			link /abs -> /usr/lib
			link /up -> ../../usr/lib
			file /lib/a
			file /abs/b
			file /up/c`},
		want: `
			link /abs -> /usr/lib
			link /lib -> usr/lib
			link /up -> ../../usr/lib
			dir  /usr
			dir  /usr/lib
			file /usr/lib/a
			file /usr/lib/b
			file /usr/lib/c`,
	},
	{
		name: "entry through a link to a directory that is not listed", layers: []string{"link /l -> d/e\nfile /l/a"},
		want:   "dir /d mtime=0\ndir /d/e mtime=0\nfile /d/e/a\nlink /l -> d/e",
		docker: "refuses it, containerd does not",
	},
	{
		name: "duplicates", layers: []string{`
			file /a "1"
			dir  /d 0700
			file /d/x "1"
			file /a "2"
			dir  /d 0711
			file /d/x 0600 "2"`},
		want: `
			file /a "2"
			dir  /d 0711
			file /d/x 0600 "2"`,
		docker: "refuses a layer with duplicates",
	},
	{
		name: "duplicate of another type", layers: []string{`
			dir  /d
			file /d/x
			file /d
			file /e
			dir  /e
			file /e/x`},
		want:   "file /d\ndir /e\nfile /e/x",
		docker: "refuses a layer with duplicates",
	},
	{
		name: "extended attributes", layers: []string{
			`file /ping 0755 "" xattr.security.capability="\x01\x00\x00\x02\x00 \x00\x00" xattr.user.empty=""`},
		want:   `file /ping 0755 xattr.security.capability="\x01\x00\x00\x02\x00 \x00\x00" xattr.user.empty=""`,
		docker: "docker export leaves out user attributes",
	},
	{
		name: "same layer twice", layers: []string{"file /a\nfile /b", "white /a", "file /a\nfile /b"},
		want: "file /a\nfile /b",
	},
}

func TestMerge(t *testing.T) {
	for _, c := range mergeCases {
		t.Run(c.name, func(t *testing.T) {
			fsys := treetest.FS(t, c.layers...)
			if diff := cmp.Diff(treetest.Canon(c.want), treetest.Dump(fsys)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			checkTree(t, fsys)
		})
	}
}
