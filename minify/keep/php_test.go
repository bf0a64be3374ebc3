package keep_test

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// Two layouts: PHP's own image, and Debian's with a configuration for each way to run it.
const (
	phpTree = `
		file /usr/local/bin/php 0755 "#"
		file /usr/local/etc/php/php.ini 0644 "; extension=ftp\n[PHP]\nerror_log = /var/log/php/errors.log ; where\nsession.save_path = \"5;/data/sessions\"\n"
		file /usr/local/etc/php/conf.d/intl.ini 0644 "extension=intl\n"
		file /usr/local/lib/php/extensions/no-debug-non-zts-20220829/intl.so 0755 "x"
		file /usr/local/lib/php/extensions/no-debug-non-zts-20220829/ftp.so 0755 "x"
		file /var/log/php/old.log 0644 "x"
		dir  /data/sessions
		file /usr/local/lib/php/PEAR.php 0644 "x"
		file /usr/local/lib/php/Mail/mime.php 0644 "require_once 'PEAR.php';"
		file /usr/local/lib/php/Mail/smtp.php 0644 "x"
		file /usr/local/lib/php/Mail/tests/x.php 0644 "x"
		file /usr/local/lib/php/Net/Url.php 0644 "x"
	`
	debianPHPTree = `
		file /usr/sbin/php-fpm8.2 0755 "#"
		file /etc/php/8.2/fpm/php.ini 0644 ""
		file /etc/php/8.2/fpm/php-fpm.conf 0644 "include=/etc/php/8.2/fpm/pool.d/*.conf\n"
		file /etc/php/8.2/fpm/pool.d/www.conf 0644 "[www]\nlisten = /run/shop/php.sock\nphp_admin_value[error_log] = /var/log/shop/x.log\n"
		link /etc/php/8.2/fpm/conf.d/20-intl.ini -> /etc/php/8.2/mods-available/intl.ini
		link /etc/php/8.2/cli/conf.d/20-ftp.ini -> /etc/php/8.2/mods-available/ftp.ini
		file /etc/php/8.2/mods-available/intl.ini 0644 "extension=intl.so\n"
		file /etc/php/8.2/mods-available/ftp.ini 0644 "extension=ftp.so\n"
		file /usr/lib/php/20220829/intl.so 0644 "x"
		file /usr/lib/php/20220829/ftp.so 0644 "x"
		dir  /var/log/shop
		dir  /run/shop
		dir  /var/lib/php/sessions
	`
)

func TestPHP(t *testing.T) {
	const always = `
		/app/run
		/usr/local/bin/php
		/usr/local/etc/php/conf.d/intl.ini
		/usr/local/etc/php/php.ini
		/usr/local/lib/php/extensions/no-debug-non-zts-20220829/intl.so
	`
	const vendor = `
		file /app/vendor/autoload.php 0644 "require_once __DIR__ . '/composer/autoload_real.php';"
		file /app/vendor/composer/autoload_real.php 0644 "x"
		file /app/vendor/composer/autoload_files.php 0644 "return array(\n 'abc' => $vendorDir . '/acme/dev/src/f.php',\n);"
		file /app/vendor/composer/semver/src/S.php 0644 "x"
		file /app/vendor/acme/lib/src/A.php 0644 "x"
		file /app/vendor/acme/lib/src/fixtures/F.php 0644 "x"
		file /app/vendor/acme/lib/src/Tests/A.php 0644 "x"
		file /app/vendor/acme/lib/tests/A.php 0644 "x"
		file /app/vendor/acme/lib/README.md 0644 "x"
		file /app/vendor/acme/lib/LICENSE 0644 "x"
		file /app/vendor/acme/dev/src/f.php 0644 "x"
		file /app/vendor/acme/dev/src/D.php 0644 "x"
		link /app/vendor/bin/dev -> ../acme/dev/src/D.php
	`
	const production = `
		/app/vendor/acme/dev/src/f.php
		/app/vendor/acme/lib/LICENSE
		/app/vendor/acme/lib/src/A.php
		/app/vendor/acme/lib/src/fixtures/F.php
		/app/vendor/autoload.php
		/app/vendor/composer/autoload_files.php
		/app/vendor/composer/autoload_real.php
		/app/vendor/composer/installed.json
	`
	for _, c := range []struct{ name, tree, script, want string }{
		{"extensions that are configured", "", ``, ``},
		{"library of the include path", "", `require_once 'Mail/mime.php';`, `
			/usr/local/lib/php/Mail/mime.php
			/usr/local/lib/php/Mail/smtp.php
			/usr/local/lib/php/PEAR.php`},
		{"not in comments", "", `// require 'Net/Url.php';`, ``},
		{"packages for production", vendor + `
			file /app/vendor/composer/installed.json 0644 "{\"packages\": [
				{\"name\": \"acme/lib\", \"version\": \"1.0\", \"install-path\": \"../acme/lib\"},
				{\"name\": \"acme/dev\", \"version\": \"1.0\", \"install-path\": \"../acme/dev\"},
				{\"name\": \"composer/semver\", \"version\": \"3\", \"install-path\": \"./semver\"}],
				\"dev\": true, \"dev-package-names\": [\"acme/dev\", \"composer/semver\"]}"`, `require __DIR__ . '/vendor/autoload.php';`, production},
		{"packages of Composer 1, by the lock file", vendor + `
			file /app/composer.lock 0644 "{\"packages-dev\": [{\"name\": \"acme/dev\"}]}"
			file /app/vendor/composer/installed.json 0644 "[{\"name\": \"acme/lib\"}, {\"name\": \"acme/dev\"}]"`, `require dirname(__FILE__) . '/vendor/autoload.php';`, production + `
			/app/composer.lock
			/app/vendor/composer/semver/src/S.php`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.tree = strings.ReplaceAll(c.tree, ",\n\t\t\t\t", ", ")
			c.tree = strings.ReplaceAll(c.tree, "[\n\t\t\t\t", "[")
			tree := phpTree + c.tree + "\nfile /app/run 0755 \"#!/usr/local/bin/php\\n<?php " + c.script + "\"\n"
			s := mustSelect(t, treetest.FS(t, tree), "", v1.Config{Entrypoint: []string{"/app/run"}}, keep.Options{Keep: keep.Units})
			want := strings.Fields(always + c.want)
			slices.Sort(want)
			got := keptPaths(s)
			slices.Sort(got)
			diff(t, want, got)
			for _, p := range []string{"/var/log/php", "/data/sessions"} {
				if e, _ := s.Lookup(p); !e.Kept {
					t.Errorf("%s, which PHP is told to write to, is not kept", p)
				}
			}
		})
	}
}

func TestPHPOfDebian(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, debianPHPTree), "", v1.Config{Entrypoint: []string{"/usr/sbin/php-fpm8.2"}}, keep.Options{Keep: keep.Units})
	got := keptPaths(s)
	slices.Sort(got)
	diff(t, strings.Fields(`
		/etc/php/8.2/fpm/conf.d/20-intl.ini
		/etc/php/8.2/fpm/php-fpm.conf
		/etc/php/8.2/fpm/php.ini
		/etc/php/8.2/fpm/pool.d/www.conf
		/etc/php/8.2/mods-available/intl.ini
		/usr/lib/php/20220829/intl.so
		/usr/sbin/php-fpm8.2`), got)
	for _, p := range []string{"/run/shop", "/var/log/shop", "/var/lib/php/sessions"} {
		if e, _ := s.Lookup(p); !e.Kept {
			t.Errorf("%s, which PHP writes to, is not kept", p)
		}
	}
}
