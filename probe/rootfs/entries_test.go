package rootfs_test

import (
	"archive/tar"
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"

	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
)

// archive writes raw tar headers, each with Size zero bytes of content.
func archive(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		tw.Write(make([]byte, h.Size))
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func loadTar(t testing.TB, data []byte) *rootfs.FS {
	t.Helper()
	return treetest.Load(t, treetest.ImageOf(t, treetest.TarLayer(t, data, compression.None)))
}

func TestBadEntries(t *testing.T) {
	long, longPath := strings.Repeat("n", 256), strings.Repeat("dir/", 1024)
	reg := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeReg} }
	for _, c := range []struct {
		name string
		tar  []byte
		want []string
	}{
		{"climbs out", archive(t, reg("../x")), []string{`entry "../x"`, "climbs out of the tree"}},
		{"climbs out later", archive(t, reg("a/../../x")), []string{`entry "a/../../x"`, "climbs out of the tree"}},
		{"climbs out of the absolute root", archive(t, reg("/../x")), []string{`entry "/../x"`, "climbs out of the tree"}},
		{"climbs out as a directory", archive(t, &tar.Header{Name: "..", Typeflag: tar.TypeDir}), []string{"climbs out"}},
		{"hard link climbs out", treetest.Tar(t, "hard /a => /../x"), []string{`entry "a"`, `hard link to "../x"`, "climbs out"}},
		{"hard link to nothing", treetest.Tar(t, "hard /a => /x"), []string{`entry "a"`, `hard link to "x"`, "no such file"}},
		{"hard link to a directory", treetest.Tar(t, "dir /x\nhard /a => /x"), []string{`hard link to "x"`, "is a directory"}},
		{"hard link to the root", treetest.Tar(t, "hard /a => /"), []string{"is a directory"}},
		{"hard link before its target", treetest.Tar(t, "hard /a => /x\nfile /x"), []string{`hard link to "x"`, "no such file"}},
		{"hard link to a missing AUFS record", treetest.Tar(t, "hard /a => /.wh..wh.plnk/1"), []string{"no such file"}},
		{"file under a file", treetest.Tar(t, "file /a\nfile /a/b"), []string{`entry "a/b"`, "/a: not a directory"}},
		{"links in a circle", treetest.Tar(t, "link /a -> b\nlink /b -> a\nfile /a/x"), []string{`entry "a/x"`, "too many levels"}},
		{"below a whiteout", treetest.Tar(t, "file /.wh.a/b"), []string{`entry ".wh.a/b"`, "below a whiteout"}},
		{"whiteout of nothing", treetest.Tar(t, "file /d/.wh."), []string{`entry "d/.wh."`, "whiteout of nothing"}},
		{"whiteout of dots", treetest.Tar(t, "file /d/.wh..."), []string{"whiteout of nothing"}},
		{"root as a file", archive(t, reg(".")), []string{`entry "."`, "the root is not a directory"}},
		{"name too long", treetest.Tar(t, "file /"+long), []string{"file name too long"}},
		{"path too long", treetest.Tar(t, "file /"+longPath+"x"), []string{"file name too long"}},
		{"path too long over links", treetest.Tar(t, "link /l -> "+longPath[:4000]+"\nfile /l/"+longPath[:200]+"x"), []string{"file name too long"}},
		{"link to nothing", archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeSymlink}), []string{"symbolic link to nothing"}},
		{"link too long", treetest.Tar(t, "link /a -> "+longPath), []string{"file name too long"}},
		{"owner too high", treetest.Tar(t, "file /a 4294967295:0"), []string{`entry "a"`, "owner 4294967295 is out of range"}},
		{"owner far too high", treetest.Tar(t, "file /a 1099511627776:0"), []string{"owner 1099511627776 is out of range"}},
		{"group below 0", archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Gid: -1, Format: tar.FormatGNU}), []string{"group -1 is out of range"}},
		{"device too high", archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeChar, Devmajor: 4096}), []string{"device 4096:0 is out of range"}},
		{"unknown type", archive(t, &tar.Header{Name: "a", Typeflag: 'V'}), []string{`entry "a"`, "unknown type 'V'"}},
		{"xattr too long", treetest.Tar(t, `file /a xattr.user.x="`+strings.Repeat("x", 65537)+`"`), []string{"extended attribute", "out of range"}},
		{"bad libarchive xattr", archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg,
			PAXRecords: map[string]string{"LIBARCHIVE.xattr.user.x": "!"}}), []string{"LIBARCHIVE.xattr.user.x", "illegal base64"}},
		{"truncated header", treetest.Tar(t, small)[:300], []string{"tar header at byte 0", "unexpected EOF"}},
		{"truncated content", archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 4000})[:2000], []string{"unexpected EOF"}},
		{"truncated in the last byte", archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 4096})[:512+4095], []string{"unexpected EOF"}},
		{"broken checksum", append([]byte{'x'}, treetest.Tar(t, small)[1:]...), []string{"invalid tar header"}},
		{"garbage after the archive", append(treetest.Tar(t, small), "garbage"...), []string{"end of archive", "trailing garbage"}},
		{"archive after the archive", append(treetest.Tar(t, small), treetest.Tar(t, small)...), []string{"trailing garbage"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := treetest.TarLayer(t, c.tar, compression.None)
			digest, err := l.Digest()
			if err != nil {
				t.Fatal(err)
			}
			img := treetest.ImageOf(t, treetest.Layer(t, "file /.first"), l)
			checkRejected(t, img, append(c.want, "layer 1 ("+digest.String()[:19]+")"))
		})
	}
}

func TestHeaders(t *testing.T) {
	mtime := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, c := range []struct {
		name string
		hdrs []*tar.Header
		want string
	}{
		{"leading dots and slashes", []*tar.Header{
			{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700, ModTime: mtime},
			{Name: "./a", Typeflag: tar.TypeReg, ModTime: mtime},
			{Name: "//b//c/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: mtime},
			{Name: "d/./e/..", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: mtime},
			{Name: "./h", Linkname: "./a", Typeflag: tar.TypeLink},
		}, `
			dir  / 0700 mtime=2001-02-03T04:05:06Z
			file /a 0000 mtime=2001-02-03T04:05:06Z
			dir  /b mtime=0
			dir  /b/c mtime=2001-02-03T04:05:06Z
			dir  /d mtime=2001-02-03T04:05:06Z
			hard /h => /a`},
		{"global header", []*tar.Header{
			{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c", "path": "evil", "SCHILY.xattr.user.x": "1"}},
			{Name: "a", Typeflag: tar.TypeReg, ModTime: mtime},
		}, `file /a 0000 mtime=2001-02-03T04:05:06Z`},
		{"high owner and fine time", []*tar.Header{
			{Name: "a", Typeflag: tar.TypeReg, Uid: 4294967294, Gid: 1 << 31, ModTime: mtime.Add(123456789), Format: tar.FormatPAX},
		}, `file /a 0000 4294967294:2147483648 mtime=2001-02-03T04:05:06.123456789Z`},
		{"GNU names and numbers", []*tar.Header{
			{Name: strings.Repeat("d/", 120) + "../" + strings.Repeat("../", 118) + "f", Typeflag: tar.TypeReg, Uid: 1 << 30, ModTime: time.Unix(-1, 0), Format: tar.FormatGNU},
		}, `
			dir  /d mtime=0
			file /d/f 0000 1073741824:0 mtime=1969-12-31T23:59:59Z`},
		{"type bits in the mode", []*tar.Header{
			{Name: "a", Typeflag: tar.TypeReg, Mode: 0o104755, ModTime: mtime},
		}, `file /a 04755 mtime=2001-02-03T04:05:06Z`},
		{"contiguous file", []*tar.Header{
			{Name: "a", Typeflag: tar.TypeCont, Size: 600, ModTime: mtime},
			{Name: "b", Typeflag: tar.TypeReg, ModTime: mtime},
		}, "file /a 0000 size=600 mtime=2001-02-03T04:05:06Z\nfile /b 0000 mtime=2001-02-03T04:05:06Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := loadTar(t, archive(t, c.hdrs...))
			checkTree(t, fsys)
			want := treetest.Canon(c.want)
			if got := treetest.Dump(fsys); got != want {
				t.Errorf("tree:\n%swant:\n%s", got, want)
			}
		})
	}
}

// TestLibarchive reads the extended attributes that bsdtar writes; where both
// forms are there, the raw one counts.
func TestLibarchive(t *testing.T) {
	fsys := loadTar(t, archive(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{
		"LIBARCHIVE.xattr.user.a%20b": "AP8",
		"LIBARCHIVE.xattr.user.pad":   "eA==",
		"LIBARCHIVE.xattr.user.both":  "eA",
		"SCHILY.xattr.user.both":      "y",
		"SCHILY.acl.access":           "user::rw-",
	}}))
	want := map[string]string{"user.a b": "\x00\xff", "user.pad": "x", "user.both": "y"}
	if got := fsys.Root().Child("a").Inode().Xattrs; !maps.Equal(got, want) {
		t.Errorf("attributes %q, want %q", got, want)
	}
}
