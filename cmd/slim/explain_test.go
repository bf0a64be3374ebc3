//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"slim/testdata/engine"
	"slim/testdata/static"
)

// TestExplain asks for the reasons of ten kept and ten dropped paths of an image.
func TestExplain(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	images, err := engine.Images(t.Context(), filepath.Join("..", ".."), "python")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ path, state, reason string }{
		{"/usr/bin/gunicorn", "kept, of Debian package gunicorn", "executed by gunicorn at start"},
		{"/data", "kept", "stat'ed by gunicorn"},
		{"/etc/group", "kept", "read by gunicorn"},
		{"/usr/lib/x86_64-linux-gnu/libfreetype.so.6", "kept, of Debian package libfreetype6", "needed by /usr/lib/python3/dist-packages/PIL/_imagingft.cpython-311-x86_64-linux-gnu.so (DT_NEEDED libfreetype.so.6)"},
		{"/usr/lib/python3.11/lib-dynload/_codecs_jp.cpython-311-x86_64-linux-gnu.so", "kept, of Python standard library 3.11", "imported by /usr/lib/python3.11/encodings/cp932.py:7 (import _codecs_jp)"},
		{"/usr/lib/python3/dist-packages/sqlalchemy/dialects/mysql/base.py", "kept, of Python distribution sqlalchemy", "imported by /usr/lib/python3/dist-packages/sqlalchemy/dialects/mysql/__init__.py:8 (from . import base)"},
		{"/usr/share/python-babel-localedata/locale-data/sv.dat", "kept, of Debian package python-babel-localedata", "data of Debian package python-babel-localedata, of which /usr/share/python-babel-localedata/global.dat is used"},
		{"/usr/share/doc/python3-flask/copyright", "kept, of Debian package python3-flask", "license of Debian package python3-flask"},
		{"/usr/share/zoneinfo/Asia/Tokyo", "kept, of Debian package tzdata", "read by gunicorn in the test"},
		{"/usr/lib", "kept", "stat'ed by gunicorn at start"},
		{"/usr/bin/gcc", "dropped: toolchain, of Debian package gcc", ""},
		{"/usr/bin/pip3", "dropped: package manager, of Debian package python3-pip", ""},
		{"/usr/bin/git", "dropped: version control, of Debian package git", ""},
		{"/usr/include/stdio.h", "dropped: headers, of Debian package libc6-dev", ""},
		{"/usr/lib/x86_64-linux-gnu/libc.a", "dropped: static library, of Debian package libc6-dev", ""},
		{"/usr/lib/python3/dist-packages/_pytest/main.py", "dropped: dev dependency, of Python distribution pytest", ""},
		{"/bin/bash", "dropped: shell, of Debian package bash", ""},
		{"/usr/share/locale/de", "dropped: locale", ""},
		{"/var/lib/dpkg/status", "dropped: package manager", ""},
		{"/usr/bin/perl", "dropped: unused package, of Debian package perl-base", ""},
	}
	args := append([]string{"explain", "docker-archive:" + images[0].Archive, "--cache-dir", cacheDir(t)}, images[0].Args...)
	for _, c := range cases {
		args = append(args, c.path)
	}
	// A path's line, and below it, further in, its reasons.
	var answers []string
	for line := range strings.Lines(runSlim(t, bin, args...)) {
		if strings.HasPrefix(line, "  ") {
			answers[len(answers)-1] += line
		} else {
			answers = append(answers, line)
		}
	}
	if len(answers) != len(cases) {
		t.Fatalf("%d answers to %d questions", len(answers), len(cases))
	}
	for i, c := range cases {
		head, because, _ := strings.Cut(answers[i], "\n")
		if _, state, _ := strings.Cut(head, "  "); !strings.HasPrefix(state, c.state) || !strings.HasPrefix(strings.TrimSpace(because), c.reason) {
			t.Errorf("%s: want %s, %s; got\n%s", c.path, c.state, c.reason, answers[i])
		}
	}
}

// TestSelectionTime wants a tree of more than 40,000 names selected within two
// seconds on one core.
func TestSelectionTime(t *testing.T) {
	requireEngine(t)
	bin := static.Build(t, ".")
	images, err := engine.Images(t.Context(), filepath.Join("..", ".."), "node")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"explain", "docker-archive:" + images[0].Archive, "/", "--cache-dir", cacheDir(t)}, images[0].Args...)
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`(?m)^select +([0-9.]+)s +\d+ of (\d+) files`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no time in\n%s", out)
	}
	seconds, _ := strconv.ParseFloat(string(m[1]), 64)
	names, _ := strconv.Atoi(string(m[2]))
	t.Logf("%d names in %.2f s", names, seconds)
	if names < 40_000 || seconds > 2 {
		t.Errorf("%d names took %.2f s", names, seconds)
	}
}
