package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestProgram(t *testing.T) {
	asUser := func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 33, 29}}
	}
	var processes unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NPROC, &processes))
	const more = 1 << 62 // than may be had, unless CAP_SYS_RESOURCE is there
	if held, err := heldCapabilities(); err != nil {
		t.Fatal(err)
	} else if held&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		processes.Max = more
	}
	tests := []struct {
		name string
		args string
		edit func(*specs.Spec)
		code int
		want string
	}{
		{"status of zero", "prog", nil, 0, ""},
		{"status of its own", "prog exit 7", nil, 7, ""},
		{"absolute path", "/bin/prog echo a", nil, 0, "a\n"},
		{"relative path", "./prog echo a", func(s *specs.Spec) { s.Process.Cwd = "/bin" }, 0, "a\n"},
		{"name in the current folder", "prog echo a", func(s *specs.Spec) {
			s.Process.Cwd = "/bin"
			s.Process.Env = []string{"PATH=."}
		}, 0, "a\n"},
		{"environment is the spec's alone", "prog cat /proc/self/environ", func(s *specs.Spec) {
			s.Process.Env = []string{"PATH=/bin", "A=\xff b", "A=c"}
		}, 0, "PATH=/bin\x00A=\xff b\x00A=c\x00"},
		{"first process of its session", "prog status pid NSpid PPid sid", nil, 0, "pid 1\nNSpid 1\nPPid 0\nsid 1\n"},
		{"root", "prog status Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs umask", nil, 0, `Uid 0 0 0 0
Gid 0 0 0 0
Groups 
CapInh 0000000000000000
CapPrm 00000000a80425fb
CapEff 00000000a80425fb
CapBnd 00000000a80425fb
CapAmb 0000000000000000
NoNewPrivs 0
umask 022
`},
		{"user", "prog status Uid Gid Groups CapPrm CapEff CapBnd", asUser, 0, `Uid 1000 1000 1000 1000
Gid 1001 1001 1001 1001
Groups 29 33 1001
CapPrm 0000000000000000
CapEff 0000000000000000
CapBnd 00000000a80425fb
`},
		{"ambient capability", "prog status CapEff CapAmb", func(s *specs.Spec) {
			asUser(s)
			one := []string{"CAP_NET_BIND_SERVICE"}
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: one, Effective: one, Permitted: one, Inheritable: one, Ambient: one}
		}, 0, "CapEff 0000000000000400\nCapAmb 0000000000000400\n"},
		{"no capabilities", "prog status CapEff CapBnd", func(s *specs.Spec) { s.Process.Capabilities = nil }, 0,
			"CapEff 0000000000000000\nCapBnd 0000000000000000\n"},
		{"setuid program", "suid status Uid CapEff", asUser, 0, "Uid 1000 0 0 0\nCapEff 00000000a80425fb\n"},
		{"setuid program without new privileges", "suid status Uid NoNewPrivs", func(s *specs.Spec) {
			asUser(s)
			s.Process.NoNewPrivileges = true
		}, 0, "Uid 1000 1000 1000 1000\nNoNewPrivs 1\n"},
		{"profile and listen filter", "prog status Seccomp Seccomp_filters , mount /tmp", withProfile, 1,
			"Seccomp 2\nSeccomp_filters 2\noperation not permitted\n"},
		{"profile without new privileges", "prog status Seccomp Seccomp_filters", func(s *specs.Spec) {
			withProfile(s)
			s.Process.NoNewPrivileges = true
		}, 0, "Seccomp 2\nSeccomp_filters 2\n"},
		{"umask", "prog status umask", func(s *specs.Spec) { s.Process.User.Umask = ptr(uint32(0o077)) }, 0, "umask 077\n"},
		{"signals", "prog status SigBlk SigIgn", nil, 0, "SigBlk 0000000000000000\nSigIgn 0000000000000000\n"},
		{"folder that is there", "prog status cwd", func(s *specs.Spec) { s.Process.Cwd = "/data" }, 0, "cwd /data\n"},
		{"folder that is not there", "prog status cwd", func(s *specs.Spec) { s.Process.Cwd = "/new/one" }, 0, "cwd /new/one\n"},
		{"limits", "prog limits", func(s *specs.Spec) {
			// That of open files is raised by Go itself, to the hard one.
			s.Process.Rlimits = []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 456, Hard: 456},
				{Type: "RLIMIT_CORE", Soft: 5, Hard: 1 << 20},
				{Type: "RLIMIT_NPROC", Soft: more, Hard: more},
			}
		}, 0, fmt.Sprintf("NOFILE 456 456\nCORE 5 1048576\nNPROC %d %d\n", processes.Max, processes.Max)},
		{"descriptors", "prog fds", nil, 0, "0 /dev/null\n1 pipe\n2 pipe\n"},
		{"stdout of a user", "prog append /dev/stdout out", asUser, 0, "out"},
		{"host name", "prog status hostname , cat /etc/hostname", nil, 0, "hostname box\nbox\n"},
	}
	// exec keeps ignored signals and the program must not see ours.
	signal.Ignore(unix.SIGUSR1, unix.SIGHUP)
	defer signal.Reset(unix.SIGUSR1, unix.SIGHUP)
	tree := newTree(t)
	copyFile(t, filepath.Join(tree, "bin/prog"), filepath.Join(tree, "bin/suid"), 0o755|os.ModeSetuid)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := newSpec(strings.Fields(tt.args)...)
			if tt.edit != nil {
				tt.edit(spec)
			}
			status, out := run(t, tree, spec)
			if status != (ExitStatus{Code: tt.code}) {
				t.Errorf("status %+v, want code %d", status, tt.code)
			}
			if out != tt.want {
				t.Error(cmp.Diff(tt.want, out))
			}
		})
	}
}

func withProfile(s *specs.Spec) {
	profile, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		panic(err)
	}
	s.Linux.Seccomp = profile
}

func copyFile(t testing.TB, from, to string, mode os.FileMode) {
	t.Helper()
	content, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, content, 0o755))
	must(t, os.Chmod(to, mode))
}

func TestMounts(t *testing.T) {
	shared := t.TempDir()
	must(t, os.Chmod(shared, 0o755))
	must(t, os.WriteFile(filepath.Join(shared, "f"), []byte("from the host"), 0o644))
	with := func(m ...specs.Mount) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m...) }
	}
	volume := func(path string) specs.Mount { return specs.Mount{Destination: path, Type: volumeMount} }
	tests := []struct {
		name string
		args string
		edit func(*specs.Spec)
		want string
	}{
		{"devices", "prog stat /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty", nil, `/dev/null 20666 0:0 1:3
/dev/zero 20666 0:0 1:5
/dev/full 20666 0:0 1:7
/dev/random 20666 0:0 1:8
/dev/urandom 20666 0:0 1:9
/dev/tty 20666 0:0 5:0
`},
		{"entries of /dev", "prog ls /dev /dev/pts", nil, "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\nptmx\n"},
		{"null device works", "prog write /dev/null x , cat /dev/null", nil, ""},
		{"another device", "prog stat /dev/net/tun", func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: ptr(os.FileMode(0o620)), GID: ptr(uint32(5))}}
		}, "/dev/net/tun 20620 0:5 10:200\n"},
		{"own device on the root", "prog mknod /tmp/d , cat /tmp/d", nil, "open /tmp/d: permission denied\n"},
		{"own device in /dev", "prog mknod /dev/d , cat /dev/d", nil, "open /dev/d: permission denied\n"},
		{"own device in shared memory", "prog mknod /dev/shm/d , cat /dev/shm/d", nil, "open /dev/shm/d: permission denied\n"},
		{"own device on a bind", "prog mknod /data/d , rm /data/e , cat /data/d", with(specs.Mount{Destination: "/data", Type: "bind", Source: shared, Options: []string{"rbind"}}), "open /data/d: permission denied\n"},
		{"may not mount", "prog mount /tmp", nil, "operation not permitted\n"},
		{"masked file", "prog cat /proc/keys", nil, ""},
		{"masked folder", "prog ls /sys/firmware", nil, ""},
		{"fixed path", "prog write /proc/sys/kernel/hostname x", nil, "open /proc/sys/kernel/hostname: read-only file system\n"},
		{"sysfs", "prog mkdir /sys/x", nil, "mkdir /sys/x: read-only file system\n"},
		{"namespaced sysctl", "prog cat /proc/sys/net/ipv4/ip_unprivileged_port_start", nil, "0\n"},
		{"read-only root", "prog write /tmp/x x", func(s *specs.Spec) { s.Root.Readonly = true }, "open /tmp/x: read-only file system\n"},
		{"volume in a read-only root", "prog write /data/x x , cat /data/x", func(s *specs.Spec) {
			s.Root.Readonly = true
			with(volume("/data"))(s)
		}, "x"},
		{"volume is a mount", "prog mv /data/a /tmp/a", with(volume("/data")), "rename /data/a /tmp/a: invalid cross-device link\n"},
		{"no volume is none", "prog mv /data/a /tmp/a , cat /tmp/a", nil, "a"},
		{"volume keeps content", "prog cat /data/a , stat /data", with(volume("/data")), "a/data 40755 0:0\n"},
		{"volume of a missing folder", "prog stat /vol/x", with(volume("/vol/x")), "/vol/x 40755 0:0\n"},
		{"folder of the host", "prog cat /mnt/f , write /mnt/g back , cat /mnt/g", with(specs.Mount{Destination: "/mnt", Type: "bind", Source: shared, Options: []string{"rbind", "rprivate"}}), "from the hostback"},
		{"file of the host", "prog cat /etc/passwd", with(specs.Mount{Destination: "/etc/passwd", Type: "bind", Source: shared + "/f", Options: []string{"rbind", "ro"}}), "from the host"},
		{"device of the host", "prog write /null x , stat /null", with(specs.Mount{Destination: "/null", Type: "bind", Source: "/dev/null", Options: []string{"bind"}}), "/null 20666 0:0 1:3\n"},
		{"read-only", "prog write /mnt/f x", with(specs.Mount{Destination: "/mnt", Type: "bind", Source: shared, Options: []string{"rbind", "ro"}}), "open /mnt/f: read-only file system\n"},
		{"read-only to the bottom", "prog write /mnt/f x", with(specs.Mount{Destination: "/mnt", Type: "bind", Source: shared, Options: []string{"rbind", "rro"}}), "open /mnt/f: read-only file system\n"},
		{"tmpfs takes the folder's mode", "prog stat /tmp , ls /tmp", with(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid"}}), "/tmp 41777 0:0\n"},
		{"tmpfs with a mode", "prog stat /data", with(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=700"}}), "/data 40700 0:0\n"},
		{"mount through an absolute link", "prog ls /real , cat /real/sub/f", with(specs.Mount{Destination: "/abs/sub", Type: "bind", Source: shared, Options: []string{"rbind"}}), "sub\nfrom the host"},
		{"mount through a climbing link", "prog cat /real/f", with(specs.Mount{Destination: "/climb", Type: "bind", Source: shared, Options: []string{"rbind"}}), "from the host"},
		{"mount on a dangling link", "prog cat /real/later/f", with(specs.Mount{Destination: "/dangling", Type: "bind", Source: shared, Options: []string{"rbind"}}), "from the host"},
		{"resolv.conf through a link", "prog cat /run/resolv/conf", nil, loopbackResolv},
		{"nothing of the host is mounted", "prog ls /", nil, "abs\nbin\nclimb\ndangling\ndata\ndev\netc\nhome\nproc\nreal\nrun\nsys\ntmp\n"},
	}
	tree := newTree(t)
	must(t, os.Mkdir(filepath.Join(tree, "real"), 0o755))
	for name, target := range map[string]string{
		"abs": "/real", "climb": "../../../../real", "dangling": "/real/later", "etc/resolv.conf": "../run/resolv/conf",
	} {
		must(t, os.Symlink(target, filepath.Join(tree, name)))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := newSpec(strings.Fields(tt.args)...)
			if tt.edit != nil {
				tt.edit(spec)
			}
			_, out := run(t, tree, spec)
			if out != tt.want {
				t.Error(cmp.Diff(tt.want, out))
			}
		})
	}
}

// TestRootFolder checks that "/" is as Docker makes it, whatever the image says of it.
func TestRootFolder(t *testing.T) {
	tree := newTree(t)
	must(t, os.Chmod(tree, 0o700))
	must(t, os.Chown(tree, 12, 34))
	if _, out := run(t, tree, newSpec("prog", "stat", "/")); out != "/ 40755 0:0\n" {
		t.Error(out)
	}
}

func TestStartErrors(t *testing.T) {
	tree := newTree(t)
	for name, content := range map[string]string{
		"plain": "text", "bad-interpreter": "#!/bin/none\n", "empty": "",
	} {
		must(t, os.WriteFile(filepath.Join(tree, "bin", name), []byte(content), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(tree, "bin/closed"), nil, 0o644))
	must(t, os.Mkdir(filepath.Join(tree, "shut"), 0o700))
	tests := []struct {
		name string
		args string
		edit func(*specs.Spec)
		want string
	}{
		{"not in PATH", "server", nil, `exec: "server": executable file not found in $PATH`},
		{"not there", "/server", nil, `exec: "/server": stat /server: no such file or directory`},
		{"not executable", "/bin/closed", nil, `exec: "/bin/closed": permission denied`},
		{"a folder", "/bin", nil, `exec: "/bin": is a directory`},
		{"not a program", "plain", nil, `exec /bin/plain: exec format error`},
		{"empty", "empty", nil, `exec /bin/empty: exec format error`},
		{"no interpreter", "bad-interpreter", nil, `exec /bin/bad-interpreter: no such file or directory`},
		{"no command", "", nil, "no command specified"},
		{"folder is a file", "prog", func(s *specs.Spec) { s.Process.Cwd = "/data/a" }, "make mount point /data/a: not a directory"},
		{"folder is shut", "prog", func(s *specs.Spec) {
			s.Process.Cwd = "/shut"
			s.Process.User.UID = 1000
			s.Process.Capabilities = nil
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := newSpec(strings.Fields(tt.args)...)
			if tt.edit != nil {
				tt.edit(spec)
			}
			c, err := New(t.Context(), spec, Options{Lower: Lower{Type: "bind", Data: tree}})
			if err == nil {
				defer c.Close()
				err = c.Start(t.Context())
			}
			if tt.want == "" { // as runc: root enters the folder first
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want ErrStart with %q", err, tt.want)
			}
		})
	}
}

func TestNewErrors(t *testing.T) {
	tree := newTree(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name  string
		ctx   context.Context
		edit  func(*specs.Spec)
		lower Lower
		want  string
	}{
		{"no source", t.Context(), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/no/such"})
		}, Lower{Type: "bind", Data: tree}, "bind source path does not exist: /no/such"},
		{"no lower", t.Context(), nil, Lower{Type: "bind", Data: "/no/such"}, "open /no/such: no such file or directory"},
		{"unknown lower", t.Context(), nil, Lower{}, "want fuse or bind"},
		{"fuse without a descriptor", t.Context(), nil, Lower{Type: "fuse"}, "no descriptor"},
		{"mount on a file's child", t.Context(), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data/a/x", Type: "tmpfs", Source: "tmpfs"})
		}, Lower{Type: "bind", Data: tree}, "make mount point /data/a/x: not a directory"},
		{"file on a folder", t.Context(), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: "/dev/null"})
		}, Lower{Type: "bind", Data: tree}, "make mount point /data: is a directory"},
		{"unknown file system", t.Context(), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "nosuchfs", Source: "x"})
		}, Lower{Type: "bind", Data: tree}, "nosuchfs: the kernel has no such file system"},
		{"server fails", t.Context(), nil, Lower{Type: "bind", Data: tree, Mounted: func() error { return errors.New("no server") }}, "no server"},
		{"canceled", canceled, nil, Lower{Type: "bind", Data: tree}, "context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := newSpec("prog")
			if tt.edit != nil {
				tt.edit(spec)
			}
			_, err := New(tt.ctx, spec, Options{Lower: tt.lower})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestUnprivileged runs New as another user.
func TestUnprivileged(t *testing.T) {
	needRoot(t)
	dir, err := os.MkdirTemp("", "slim-sandbox-test-")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	cmd := helper(t, "/", "bind")
	copyFile(t, cmd.Path, filepath.Join(dir, "slim"), 0o755)
	cmd.Path = filepath.Join(dir, "slim")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	want := fmt.Sprint(ErrUnsupported) + ": to make namespaces needs root (CAP_SYS_ADMIN)"
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, output %q, want %q", err, out, want)
	}
}

func TestOutput(t *testing.T) {
	tree := newTree(t)
	t.Run("long", func(t *testing.T) {
		s := boot(t, tree, newSpec("prog", "zeros", "50000000"))
		if status, out := s.end(); status.Code != 0 || len(out) != 50000000 {
			t.Errorf("status %+v, %d bytes", status, len(out))
		}
	})
	t.Run("one writer keeps the order", func(t *testing.T) {
		both := newLines()
		c, err := New(t.Context(), newSpec(strings.Fields("prog echo 1 , stderr 2 , echo 3")...), Options{
			Lower: Lower{Type: "bind", Data: tree}, Stdout: both, Stderr: both,
		})
		must(t, err)
		defer c.Close()
		must(t, c.Start(t.Context()))
		<-c.Done()
		if got := both.String(); got != "1\n2\n3\n" {
			t.Errorf("output %q", got)
		}
	})
	t.Run("a failing writer does not stop the program", func(t *testing.T) {
		c, err := New(t.Context(), newSpec("prog", "zeros", "1000000"), Options{
			Lower: Lower{Type: "bind", Data: tree}, Stdout: failing{},
		})
		must(t, err)
		defer c.Close()
		must(t, c.Start(t.Context()))
		<-c.Done()
		if c.Status().Code != 0 {
			t.Errorf("status %+v", c.Status())
		}
	})
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestOrphans(t *testing.T) {
	status, out := run(t, newTree(t), newSpec("prog", "orphans", "5"))
	if status.Code != 0 || out != "reaped 5\n" {
		t.Errorf("status %+v, output %q", status, out)
	}
}
