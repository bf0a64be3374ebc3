package keep

import (
	"bytes"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseDpkgStatus(t *testing.T) {
	got := parseDpkgStatus([]byte(`Package: libc6
Status: install ok installed
Architecture: amd64
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
Pre-Depends: dpkg:any|cdebootstrap
Provides: libc6-2.36, x (= 1)
Description: x
 Package: no

Package: ../x
Package: old
Status: deinstall ok config-files

Package: noend
Architecture: all`))
	want := []packageRecord{
		{id: "libc6", arch: "amd64", depends: [][]string{{"libgcc-s1"}, {"libcrypt1"}, {"dpkg", "cdebootstrap"}}, provides: []string{"libc6-2.36", "x"}},
		{id: "noend", arch: "all"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// Whatever the records hold: clean names, absolute paths.
func FuzzPackageRecords(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nDepends: b (>= 1) | c:any, d\nProvides: e\n\nPackage: f\n"))
	f.Add([]byte("P:a\nD:so:libc.so.1=1 !x /bin/sh\np:cmd:a=1\nF:usr/bin\nR:a\n\n"))
	f.Add([]byte("/.\n/usr\n/usr/a\n"))
	f.Add([]byte("d41d8cd98f00b204e9800998ecf8427e  ./usr/a\n"))
	f.Add([]byte("/a\n/b\np\n"))
	f.Add([]byte("passwd: files [NOTFOUND=return] ldap # x\nmodule A// B// F 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range parseDpkgStatus(b) {
			if r.id == "" || strings.Contains(r.id, "/") || slices.ContainsFunc(r.depends, func(c []string) bool { return len(c) == 0 }) {
				t.Errorf("%+v", r)
			}
		}
		for _, r := range parseApk(b) {
			if r.id == "" || slices.ContainsFunc(r.paths, func(p string) bool { return !strings.HasPrefix(p, "/") }) {
				t.Errorf("%+v", r)
			}
		}
		for _, p := range slices.Concat(parseList(b), parseSums(b)) {
			if !path.IsAbs(p) {
				t.Errorf("%q", p)
			}
		}
		parseDiversions(b)
		for _, name := range slices.Concat(parseNsswitch(b), parseGconv(b)) {
			if name == "" || strings.Contains(name, "/") {
				t.Errorf("%q", name)
			}
		}
		for i := range b {
			if !bytes.HasPrefix(b[i:], []byte(".so")) {
				continue
			}
			if name := libraryName(b, i); strings.ContainsAny(name, "/\x00") {
				t.Errorf("%q", name)
			}
		}
	})
}
