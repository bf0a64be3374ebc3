package keep_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
)

// What libraries, programs and configuration of the system name is kept, if it is
// data or a plugin.
func TestNamedBySystem(t *testing.T) {
	noLicenses := keep.Options{NoLicenses: true}
	for _, c := range []systemCase{{
		name: "data files, folders whole, lists of them, folders by links",
		files: `
			file /usr/lib/libmagic.so.1 ` + object("libmagic.so.1", "", "/etc/magic:/usr/share/misc/magic.mgc /usr/lib/ssl /usr/share/pg/15 /var/log/x /var/cache/x /usr/share/%s/y") + `
			file /etc/magic
			link /usr/share/misc/magic.mgc -> ../../lib/file/magic.mgc
			file /usr/lib/file/magic.mgc
			link /usr/lib/ssl/certs -> /etc/ssl/certs
			link /etc/ssl/certs/a.0 -> ca.pem
			link /etc/ssl/certs/ca.pem -> /usr/share/ca/ca.crt
			file /usr/share/ca/ca.crt
			file /usr/share/ca/other.crt
			file /usr/share/pg/15/extension/a.sql
			file /usr/share/pg/15/doc/README
			file /usr/share/pg/15/man/man1/pg.1
			file /usr/share/pg/15/bin/tool 0755
			file /usr/share/pg/15/run.sh 0755 "#!/bin/sh\n"
			file /usr/share/pg/14/a.sql
			file /var/log/x/log
			file /var/cache/x/cached
			file /usr/share/other/y`,
		trace: "/usr/lib/libmagic.so.1 r",
		want: `
			/etc/magic
			/etc/ssl/certs/a.0
			/etc/ssl/certs/ca.pem
			/usr/lib/file/magic.mgc
			/usr/lib/libmagic.so.1
			/usr/lib/ssl/certs
			/usr/share/ca/ca.crt
			/usr/share/misc/magic.mgc
			/usr/share/pg/15/extension/a.sql`,
	}, {
		name: "neither programs nor folders that the system shares, nor a language's, nor homes",
		files: `
			file /usr/lib/liba.so.1 ` + object("liba.so.1", "", "/bin/sh /usr/share /usr/lib /usr/bin /usr/lib/python3.11 /usr/share/locale /home /home/me /usr/include /usr/share/doc/a") + `
			file /bin/sh 0755
			file /usr/share/a
			file /usr/lib/python3.11/os.py
			file /usr/share/locale/de/LC_MESSAGES/a.mo
			file /home/me/secret
			file /usr/include/a.h
			file /usr/share/doc/a/README`,
		trace: "/usr/lib/liba.so.1 r",
		want:  "/usr/lib/liba.so.1",
	}, {
		name: "of the links in a folder to others, those right in the one named; a cache that is read at each start; plugins of libltdl",
		files: `
			file /usr/lib/liba.so.1 ` + object("liba.so.1", "", "/usr/share/fonts /var/cache/fontconfig /usr/lib/a/coders") + `
			link /usr/share/fonts/more -> ../more
			link /usr/share/fonts/cmap/far -> ../../far
			file /usr/share/more/a.ttf
			file /usr/share/far/cmap
			file /var/cache/fontconfig/x.cache-8
			file /usr/lib/a/coders/png.so ` + object("", "", "") + `
			file /usr/lib/a/coders/png.la
			file /usr/lib/a/coders/gone.la`,
		trace: "/usr/lib/liba.so.1 r",
		want: `
			/usr/lib/a/coders/png.la
			/usr/lib/a/coders/png.so
			/usr/lib/liba.so.1
			/usr/share/fonts/cmap/far
			/usr/share/fonts/more
			/usr/share/more/a.ttf
			/var/cache/fontconfig/x.cache-8`,
	}, {
		name: "folders for cron are cron's to name",
		files: `
			file /usr/sbin/cron 0755 ` + program("", "", "/etc/cron.d /etc/crontab") + `
			file /usr/lib/libc.so.1 ` + object("libc.so.1", "", "/etc/init.d") + `
			file /etc/cron.d/job
			file /etc/crontab
			file /etc/init.d/x`,
		trace: "/usr/sbin/cron x\n /usr/lib/libc.so.1 r",
		want:  "/etc/cron.d/job /etc/crontab /usr/lib/libc.so.1 /usr/sbin/cron",
	}, {
		name: "configuration names what its program looks for",
		packages: `
			Package: libfontconfig1
			Depends: fontconfig-config
			Files: /usr/lib/libfontconfig.so.1

			Package: fontconfig-config
			Files: /etc/fonts/fonts.conf

			Package: fonts-a
			Files: /usr/share/fonts/truetype/a.ttf

			Package: other
			Files: /etc/other.conf /usr/share/other/x`,
		files: `
			file /usr/lib/libfontconfig.so.1 ` + object("libfontconfig.so.1", "", "") + `
			file /etc/fonts/fonts.conf "<dir>/usr/share/fonts</dir>\n<dir prefix=\"xdg\">fonts</dir>\n"
			file /usr/share/fonts/truetype/a.ttf
			file /etc/other.conf "/usr/share/other/x\n"
			file /etc/passwd "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\n"
			file /var/www/secret
			file /usr/share/other/x`,
		trace: "/usr/lib/libfontconfig.so.1 r\n /etc/passwd r", opts: noLicenses,
		want: `
			/etc/fonts/fonts.conf
			/etc/passwd
			/usr/lib/libfontconfig.so.1
			/usr/share/fonts/truetype/a.ttf`,
	}, {
		name: "libraries to open: its own package's, those of packages that used ones depend on, the application's",
		packages: `
			Package: liba
			Depends: libb
			Files: /usr/lib/liba.so.1 /usr/lib/libaown.so.2

			Package: libb
			Files: /usr/lib/libb.so.1

			Package: libc
			Files: /usr/lib/libc9.so.1

			Package: libd
			Files: /usr/lib/libd.so.1`,
		files: `
			file /usr/lib/liba.so.1 ` + object("liba.so.1", "", "libaown.so.2 libb.so.1 libc9.so.1 xlibd.so.1 libd.so.1x libgone.so.1") + `
			file /usr/lib/libaown.so.2 ` + object("libaown.so.2", "", "") + `
			file /usr/lib/libb.so.1 ` + object("libb.so.1", "", "") + `
			file /usr/lib/libc9.so.1 ` + object("libc9.so.1", "", "") + `
			file /usr/lib/libd.so.1 ` + object("libd.so.1", "", "") + `
			file /usr/local/bin/app 0755 ` + program("", "", "") + `
			file /usr/local/lib/libapp.so ` + object("", "", "libd.so.1"),
		trace: "/usr/lib/liba.so.1 r\n /usr/local/bin/app x\n /usr/local/lib/libapp.so r", opts: noLicenses,
		want: `
			/usr/lib/liba.so.1
			/usr/lib/libaown.so.2
			/usr/lib/libb.so.1
			/usr/lib/libd.so.1
			/usr/local/bin/app
			/usr/local/lib/libapp.so`,
	}} {
		c.run(t)
	}
}

// What glibc and musl read for few: kept for who imports the functions that do.
func TestLibc(t *testing.T) {
	libc := `
		file /usr/lib/libc.so.6 ` + elfSpec{soname: "libc.so.6", imports: "localtime iconv_open setlocale getaddrinfo", strings: "/usr/share/zoneinfo /usr/lib/locale /usr/lib/gconv /etc/services"}.quoted() + `
		file /etc/services
		file /etc/localtime
		file /usr/share/zoneinfo/Europe/Berlin
		file /usr/share/zoneinfo/right/Europe/Berlin
		file /usr/lib/gconv/gconv-modules "# core\nmodule UTF-16// INTERNAL UTF-16 1\n"
		file /usr/lib/gconv/gconv-modules.d/extra.conf "module SJIS// INTERNAL SJIS 1\n"
		file /usr/lib/gconv/gconv-modules.cache
		file /usr/lib/gconv/UTF-16.so ` + object("", "", "") + `
		file /usr/lib/gconv/SJIS.so ` + object("", "", "") + `
		file /usr/lib/locale/locale-archive
		file /usr/lib/locale/C.utf8/LC_CTYPE
		file /usr/lib/locale/de_DE.utf8/LC_CTYPE
		file /usr/lib/locale/fr_FR.utf8/LC_CTYPE
		file /etc/nsswitch.conf "passwd: files systemd # x\nhosts: files [NOTFOUND=return] ldap\n"
		file /usr/lib/libnss_ldap.so.2 ` + object("libnss_ldap.so.2", "", "") + `
		file /usr/lib/libnss_hesiod.so.2 ` + object("libnss_hesiod.so.2", "", "")
	packages := `
		Package: libc6
		Files: /usr/lib/libc.so.6 /usr/lib/gconv/SJIS.so

		Package: tzdata
		Files: /usr/share/zoneinfo/Europe/Berlin

		Package: bash
		Files: /bin/bash

		Package: locales-all
		Files: /usr/lib/locale/C.utf8/LC_CTYPE /usr/lib/locale/de_DE.utf8/LC_CTYPE /usr/lib/locale/fr_FR.utf8/LC_CTYPE`
	tool := func(imports string) string {
		return libc + "\n file /usr/bin/tool 0755 " + program("libc.so.6", imports, "")
	}
	noLicenses := keep.Options{NoLicenses: true}
	for _, c := range []systemCase{{
		name: "nothing imported", packages: packages, files: tool("open"), trace: "/usr/bin/tool x", opts: noLicenses,
		want: "/etc/services /usr/bin/tool /usr/lib/libc.so.6",
	}, {
		name: "time zones", packages: packages, files: tool("localtime_r"), trace: "/usr/bin/tool x", opts: noLicenses,
		want: "/etc/localtime /etc/services /usr/bin/tool /usr/lib/libc.so.6 /usr/share/zoneinfo/Europe/Berlin",
	}, {
		name: "character sets", packages: packages, files: tool("iconv_open"), trace: "/usr/bin/tool x", opts: noLicenses,
		want: `
			/etc/services /usr/bin/tool
			/usr/lib/gconv/SJIS.so
			/usr/lib/gconv/UTF-16.so
			/usr/lib/gconv/gconv-modules
			/usr/lib/gconv/gconv-modules.cache
			/usr/lib/gconv/gconv-modules.d/extra.conf
			/usr/lib/libc.so.6`,
	}, {
		name: "character sets of a program that converts for itself", packages: packages, trace: "/bin/bash x", opts: noLicenses,
		files: libc + "\n file /bin/bash 0755 " + program("libc.so.6", "iconv_open nl_langinfo", ""),
		want: `
			/bin/bash /etc/services
			/usr/lib/gconv/UTF-16.so
			/usr/lib/gconv/gconv-modules
			/usr/lib/gconv/gconv-modules.cache
			/usr/lib/gconv/gconv-modules.d/extra.conf
			/usr/lib/libc.so.6`,
	}, {
		name: "locales: C.UTF-8, generated and configured ones", packages: packages, files: tool("setlocale"), trace: "/usr/bin/tool x", opts: noLicenses,
		cfg: v1.Config{Env: []string{"LC_ALL=de_DE.UTF-8"}},
		want: `
			/etc/services /usr/bin/tool
			/usr/lib/libc.so.6
			/usr/lib/locale/C.utf8/LC_CTYPE
			/usr/lib/locale/de_DE.utf8/LC_CTYPE
			/usr/lib/locale/locale-archive`,
	}, {
		name: "name services", packages: packages, files: tool("getaddrinfo"), trace: "/usr/bin/tool x", opts: noLicenses,
		want: "/etc/nsswitch.conf /etc/services /usr/bin/tool /usr/lib/libc.so.6 /usr/lib/libnss_ldap.so.2",
	}, {
		name: "musl", trace: "/usr/bin/tool x",
		files: `
			file /lib/ld-musl-x86_64.so.1 0755 ` + object("libc.musl-x86_64.so.1", "localtime", "/usr/share/zoneinfo/ /share/zoneinfo/") + `
			file /usr/share/zoneinfo/Europe/Berlin
			file /usr/bin/tool 0755 ` + elfSpec{interp: "/lib/ld-musl-x86_64.so.1", needed: "libc.musl-x86_64.so.1", imports: "localtime"}.quoted(),
		want: "/lib/ld-musl-x86_64.so.1 /usr/bin/tool /usr/share/zoneinfo/Europe/Berlin",
	}} {
		c.run(t)
	}
}
