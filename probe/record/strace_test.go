package record

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slim/probe/rootfs"
	"slim/testdata/skip"
)

// Everything that strace saw a real workload ask for is in the record of the
// same run: each file it found, each link on the way, each name it missed.
func TestComplete(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		skip.Test(t, "%v", err)
	}
	fsys := machine(t, []string{
		"/bin/sh", "/bin/ls", "/bin/cat", "/usr/bin/find", "/bin/grep", "/usr/bin/sort", "/bin/readlink", "/usr/bin/stat",
		"/usr/bin/perl", "/usr/lib/x86_64-linux-gnu/perl-base", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
		"/etc/ld.so.cache", "/usr/share/perl5", "/usr/bin/awk",
	}, map[string]string{"/app/run": `#!/bin/sh
cd /usr/lib
ls -lR /etc >/app/list
test -x /usr/bin/perl && test ! -e /app/none
find . -name '*.pm' -newer /etc/passwd | sort >/app/found
grep -rl strict x86_64-linux-gnu/perl-base | cat >/dev/null
readlink /bin /usr/bin/awk
awk '{ print $1 }' /etc/passwd
stat -L /lib /bin/sh ../share/nothing
perl -MPOSIX -MFile::Spec -MIO::File -MSocket -e 'opendir(D, "/etc"); my @a = readdir D; stat($_) for @a; open(F, "<", "/etc/passwd") or die; print <F>; eval { require No::Such }'
cat /etc/group nothing
exit 0
`})
	out := filepath.Join(t.TempDir(), "truth")
	s := begin(t, fsys, FUSEOptions{}, plan{Setup: []string{"proc /proc", "devnull /dev"}, Steps: []string{"exec /app/run"}},
		strace, "-f", "-y", "-s", "0", "-o", out, "-e", "trace=%file,read,pread64,getdents64,chdir,fchdir,clone,clone3,fork,vfork")
	s.f.SetPhase(Start)
	s.goOn()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	got := map[string]Op{}
	all, err := s.f.Accesses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		got[a.Path] = a.Ops
	}
	truth := readStrace(t, out, fsys)
	t.Logf("%d paths recorded; truth: %v", len(got), truth.counts())
	for op, least := range map[Op]int{Exec: 8, Read: 100, Stat: 100, List: 50, Link: 5, Miss: 30} {
		if n := truth.counts()[op.String()]; n < least {
			t.Errorf("strace saw %d paths with %s, want at least %d: the test does not test", n, op, least)
		}
	}
	for path, ops := range truth {
		if got[path] == 0 || got[path]&ops != ops {
			t.Errorf("%s: %s, strace saw %s", path, got[path], ops)
		}
	}
}

// truth is what strace saw, by resolved path.
type truth map[string]Op

func (t truth) counts() map[string]int {
	n := map[string]int{}
	for _, ops := range t {
		for _, op := range []Op{Lookup, Stat, Read, List, Link, Exec, Miss} {
			if ops&op != 0 {
				n[op.String()]++
			}
		}
	}
	return n
}

var (
	// 123 openat(AT_FDCWD</usr>, "lib", O_RDONLY) = 3</usr/lib>
	call   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(?:<[^>]*>)?(?: (E\w+))?`)
	folder = regexp.MustCompile(`^(?:AT_FDCWD|\d+)<([^>]*)>`)
	quoted = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
)

// readStrace reads the calls made after the script was executed. Calls that another
// thread's call cut in two are put together.
func readStrace(t *testing.T, name string, fsys *rootfs.FS) truth {
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all := truth{}
	cwd := map[string]string{}
	cut := map[string]string{}
	begun := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		pid, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimLeft(rest, " ")
		if first, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
			cut[pid] = first
			continue
		}
		if _, second, ok := strings.Cut(rest, " resumed>"); ok && strings.HasPrefix(rest, "<... ") {
			line = pid + " " + cut[pid] + second
		}
		begun = begun || strings.Contains(line, `execve("/app/run"`)
		m := call.FindStringSubmatch(line)
		if !begun || m == nil {
			continue
		}
		if cwd[pid] == "" {
			cwd[pid] = "/"
		}
		switch {
		case strings.HasPrefix(m[2], "clone"), strings.HasSuffix(m[2], "fork"):
			cwd[m[4]] = cwd[pid]
		default:
			all.add(fsys, cwd, m)
		}
	}
	return all
}

// add takes a call in.
func (t truth) add(fsys *rootfs.FS, cwd map[string]string, m []string) {
	pid, name, args, result, errno := m[1], m[2], m[3], m[4], m[5]
	dir := cwd[pid]
	if at := folder.FindStringSubmatch(args); at != nil {
		dir = at[1]
	}
	switch name {
	case "getdents64":
		if n, err := fsys.Lookup(dir); err == nil {
			t[n.Path()] |= List
		}
		return
	case "read", "pread64":
		n, err := fsys.Lookup(dir)
		if err == nil && n.Inode().IsRegular() && result != "0" && errno == "" {
			t[n.Path()] |= Read
		}
		return
	}
	q := quoted.FindStringSubmatch(args)
	if q == nil || strings.Contains(q[1], `\`) {
		return
	}
	if q[1] == "" { // fstat by another name
		return
	}
	full := q[1]
	if !path.IsAbs(full) {
		full = dir + "/" + full // not path.Join: a link before ".." must be followed
	}
	if name == "chdir" && errno == "" {
		cwd[pid] = path.Clean(full)
	}
	if strings.HasPrefix(full, "/dev/") || strings.HasPrefix(full, "/proc/") || strings.Contains(args, "O_CREAT") {
		return
	}
	op := Lookup // of open too: an empty file shows no more
	switch name {
	case "execve":
		op = Exec
	case "stat", "lstat", "newfstatat", "statx":
		op = Stat
	case "readlink", "readlinkat":
		op = Link
	}
	last := op == Link || name == "lstat" || strings.Contains(args, "AT_SYMLINK_NOFOLLOW") || strings.Contains(args, "O_NOFOLLOW")
	t.resolve(fsys, full, op, last, errno)
}

// resolve adds the links passed on the way to a path, and the file at its end or
// the first name that is missing.
func (t truth) resolve(fsys *rootfs.FS, full string, op Op, lstat bool, errno string) {
	n, links, err := fsys.Resolve(full)
	if lstat {
		if n, err = fsys.Lookup(full); err == nil {
			if d, l, derr := fsys.Resolve(path.Dir(full)); derr == nil && d != nil {
				links = l
			}
		}
	}
	for _, l := range links {
		t[l.Path()] |= Link
	}
	switch {
	case err == nil && errno == "":
		if n.Path() != "/" { // that one is the upper layer's, and never looked up
			t[n.Path()] |= op
		}
	case errors.Is(err, fs.ErrNotExist) && errno == "ENOENT" && !lstat:
		if d, _, err := fsys.Resolve(path.Dir(full)); err == nil && len(links) == 0 {
			t[path.Join(d.Path(), path.Base(full))] |= Miss
		}
	}
}
