package keep_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// dpkgTree is a tree with dpkg's records of packages: each a stanza, of which the
// line "Files:" lists what it has; the folders are added.
func dpkgTree(packages, files string) string {
	var b, status strings.Builder
	for stanza := range strings.SplitSeq(lines(strings.ReplaceAll(packages, "\n\n", "\n%\n")), "%\n") {
		name := ""
		for line := range strings.Lines(stanza) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch field {
			case "Package":
				name = value
				status.WriteString("Package: " + name + "\\nStatus: install ok installed\\nArchitecture: amd64\\n")
			case "Files":
				seen := make(map[string]bool)
				list := "/.\\n"
				for file := range strings.FieldsSeq(value) {
					for i := range file {
						if dir := file[:i]; i > 0 && file[i] == '/' && !seen[dir] {
							seen[dir] = true
							list += dir + "\\n"
						}
					}
					list += file + "\\n"
				}
				b.WriteString("file /var/lib/dpkg/info/" + name + ".list \"" + list + "\"\n")
			default:
				status.WriteString(field + ": " + value + "\\n")
			}
		}
		status.WriteString("\\n")
	}
	return "file /var/lib/dpkg/status \"" + status.String() + "\"\n" + b.String() + files
}

// Who owns what is told under every policy.
func TestSystemPackageOwners(t *testing.T) {
	for _, c := range []struct{ name, tree, want string }{{
		name: "dpkg: lists, links of a merged /usr, folders of one package and of two, removed packages",
		tree: `
			link /lib -> usr/lib
			file /usr/lib/libz.so.1
			file /usr/share/doc/zlib1g/copyright
			file /usr/share/z/data
			file /etc/gone.conf
			file /var/lib/dpkg/status "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: all\n\nPackage: half\nStatus: install ok half-configured\nArchitecture: all\n"
			file /var/lib/dpkg/info/zlib1g:amd64.list "/.\n/lib\n/lib/libz.so.1\n/usr\n/usr/share\n/usr/share/doc\n/usr/share/doc/zlib1g\n/usr/share/doc/zlib1g/copyright\n/not/there\n"
			file /var/lib/dpkg/info/gone.list "/etc/gone.conf\n"
			file /var/lib/dpkg/info/half.list "/.\n/usr\n/usr/share\n/usr/share/z\n/usr/share/z/data\n"`,
		want: `
			/usr/lib Debian package zlib1g
			/usr/lib/libz.so.1 Debian package zlib1g
			/usr/share/doc Debian package zlib1g
			/usr/share/doc/zlib1g Debian package zlib1g
			/usr/share/doc/zlib1g/copyright Debian package zlib1g
			/usr/share/z Debian package half
			/usr/share/z/data Debian package half`,
	}, {
		name: "dpkg: a diverted file is another package's",
		tree: dpkgTree(`
			Package: dash
			Files: /bin/sh /bin/dash

			Package: bash
			Files: /bin/sh /bin/bash`, `
			file /var/lib/dpkg/diversions "/bin/sh\n/bin/sh.distrib\nbash\n"
			file /bin/sh
			file /bin/sh.distrib
			file /bin/dash
			file /bin/bash`),
		want: `
			/bin/bash Debian package bash
			/bin/dash Debian package dash
			/bin/sh Debian package bash
			/bin/sh.distrib Debian package dash`,
	}, {
		name: "dpkg: two architectures",
		tree: `
			file /lib/a
			file /lib/b
			file /var/lib/dpkg/status "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n\nPackage: libc6\nStatus: install ok installed\nArchitecture: i386\n"
			file /var/lib/dpkg/info/libc6:amd64.list "/lib/a\n"
			file /var/lib/dpkg/info/libc6:i386.list "/lib/b\n"`,
		want: `
			/lib/a Debian package libc6
			/lib/b Debian package libc6:i386`,
	}, {
		name: "dpkg: unpacked packages, as in distroless images",
		tree: `
			file /etc/ssl/certs/ca.crt
			file /usr/lib/libssl.so.3
			file /var/lib/dpkg/status.d/libssl3 "Package: libssl3\nVersion: 3\n"
			file /var/lib/dpkg/status.d/libssl3.md5sums "d41d8cd98f00b204e9800998ecf8427e  usr/lib/libssl.so.3\nd41d8cd98f00b204e9800998ecf8427e  ./gone\n"
			file /var/lib/dpkg/status.d/Y2E "Package: ca-certificates\n"`,
		want: "/usr/lib/libssl.so.3 Debian package libssl3",
	}, {
		name: "apk",
		tree: `
			file /usr/bin/jq
			file /usr/lib/libonig.so.5
			file /etc/x
			file /lib/apk/db/installed "C:Q1abc\nP:oniguruma\nA:x86_64\nF:usr\nF:usr/lib\nR:libonig.so.5\nZ:Q1x\n\nP:jq\nD:so:libonig.so.5\nF:\nM:0:0:755\nF:usr\nF:usr/bin\nR:jq\na:0:0:755\n"`,
		want: `
			/usr/bin Alpine package jq
			/usr/bin/jq Alpine package jq
			/usr/lib Alpine package oniguruma
			/usr/lib/libonig.so.5 Alpine package oniguruma`,
	}} {
		t.Run(c.name, func(t *testing.T) {
			s := mustSelect(t, treetest.FS(t, c.tree), "", v1.Config{}, keep.Options{Keep: keep.Accessed})
			var got strings.Builder
			for _, e := range s.Entries {
				if owner := s.Owner(e); owner != "" && !strings.HasPrefix(e.Node.Path(), "/var") {
					got.WriteString(e.Node.Path() + " " + owner + "\n")
				}
			}
			diff(t, lines(c.want), got.String())
		})
	}
}

// A database that is not read is told of.
func TestUnreadPackages(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, "link /var/lib/rpm -> ../../usr/lib/sysimage/rpm\n file /usr/lib/sysimage/rpm/rpmdb.sqlite"), "", v1.Config{}, keep.Options{})
	if len(s.Unread) != 1 || !strings.Contains(s.Unread[0], "rpm packages are not read") {
		t.Errorf("%q", s.Unread)
	}
	if s := mustSelect(t, treetest.FS(t, "dir /var/lib/rpm"), "", v1.Config{}, keep.Options{}); s.Unread != nil {
		t.Errorf("%q", s.Unread)
	}
}
