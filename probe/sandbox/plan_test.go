package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"slim/probe/rootfs/treetest"
)

// accounts is a tree with users, its files behind links as some images have them.
const accounts = `
	file /usr/lib/passwd "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/other:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nnohome:x:7:7:::\n"
	link /etc/passwd -> ../usr/lib/passwd
	file /etc/group "root:x:0:\napp:x:1001:\nweb:x:33:app,root\naudio:x:29:app\nstaff:x:50:\n"
`

func ptr[T any](v T) *T { return &v }

// refused checks that err is ErrStart with the text want, or nil where want is "".
func refused(t *testing.T, err error, want string) bool {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want ErrStart with %q", err, want)
	}
	return true
}

func TestPlanCommand(t *testing.T) {
	tests := []struct {
		name       string
		image      v1.Config
		command    []string
		entrypoint *string
		want       []string
		wantErr    string
	}{
		{"entrypoint and cmd", v1.Config{Entrypoint: []string{"/e", "-x"}, Cmd: []string{"c", "d"}}, nil, nil, []string{"/e", "-x", "c", "d"}, ""},
		{"cmd alone", v1.Config{Cmd: []string{"/bin/sh", "-c", "echo $HOME"}}, nil, nil, []string{"/bin/sh", "-c", "echo $HOME"}, ""},
		{"entrypoint alone", v1.Config{Entrypoint: []string{"/e"}}, nil, nil, []string{"/e"}, ""},
		{"command replaces cmd", v1.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}, []string{"x", "y"}, nil, []string{"/e", "x", "y"}, ""},
		{"command without entrypoint", v1.Config{Cmd: []string{"c"}}, []string{"ls"}, nil, []string{"ls"}, ""},
		{"entrypoint drops cmd", v1.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}, nil, ptr("/f"), []string{"/f"}, ""},
		{"entrypoint and command", v1.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}, []string{"x"}, ptr("/f"), []string{"/f", "x"}, ""},
		{"no entrypoint", v1.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}, []string{"x"}, ptr(""), []string{"x"}, ""},
		{"image's empty entrypoint", v1.Config{Entrypoint: []string{""}, Cmd: []string{"c"}}, nil, nil, []string{"c"}, ""},
		{"args escaped", v1.Config{ArgsEscaped: true, Cmd: []string{"a b"}}, nil, nil, []string{"a b"}, ""},
		{"nothing", v1.Config{}, nil, nil, nil, "no command: the image has neither ENTRYPOINT nor CMD; give one after --"},
		{"nothing left", v1.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}, nil, ptr(""), nil, "give one after --"},
	}
	fsys := treetest.FS(t, accounts)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec, err := Plan(fsys, Config{Image: tt.image, Command: tt.command, Entrypoint: tt.entrypoint})
			if refused(t, err, tt.wantErr) {
				return
			}
			if diff := cmp.Diff(tt.want, spec.Process.Args); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanEnv(t *testing.T) {
	t.Setenv("SLIM_TEST_GIVEN", "from here")
	os.Unsetenv("SLIM_TEST_UNSET")
	const path, host = "PATH=" + defaultPath, "HOSTNAME=" + defaultHostname
	tests := []struct {
		name  string
		image []string
		env   []string
		want  []string
	}{
		{"defaults", nil, nil, []string{path, host, "HOME=/root"}},
		{"image", []string{"A=1", "PATH=/bin", "B=x=y"}, nil, []string{"PATH=/bin", host, "A=1", "B=x=y", "HOME=/root"}},
		{"options first", []string{"A=1", "B=2"}, []string{"B=3", "C=4"}, []string{path, host, "B=3", "C=4", "A=1", "HOME=/root"}},
		{"twice", []string{"A=1", "A=2"}, nil, []string{path, host, "A=2", "HOME=/root"}},
		{"from this process", []string{"SLIM_TEST_GIVEN=image"}, []string{"SLIM_TEST_GIVEN"}, []string{path, host, "SLIM_TEST_GIVEN=from here", "HOME=/root"}},
		{"removed", []string{"SLIM_TEST_UNSET=image"}, []string{"SLIM_TEST_UNSET"}, []string{path, host, "HOME=/root"}},
		{"home", []string{"HOME=/h"}, nil, []string{path, host, "HOME=/h"}},
		{"empty home", []string{"HOME=", "Z=1"}, nil, []string{path, host, "HOME=/root", "Z=1"}},
		{"empty value", []string{"A="}, nil, []string{path, host, "A=", "HOME=/root"}},
		{"no assignment", []string{"JUNK"}, nil, []string{path, host, "HOME=/root"}},
	}
	fsys := treetest.FS(t, accounts)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec, err := Plan(fsys, Config{Image: v1.Config{Cmd: []string{"x"}, Env: tt.image}, Env: tt.env})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, spec.Process.Env); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanUser(t *testing.T) {
	tests := []struct {
		image, flag string
		want        specs.User
		home        string
		wantErr     string
	}{
		{"", "", specs.User{UID: 0, GID: 0, AdditionalGids: []uint32{0, 33}}, "/root", ""},
		{"app", "", specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 33, 29}}, "/home/app", ""},
		{"1000", "", specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 33, 29}}, "/home/app", ""},
		{"app:staff", "", specs.User{UID: 1000, GID: 50, AdditionalGids: []uint32{50}}, "/home/app", ""},
		{"app:77", "", specs.User{UID: 1000, GID: 77, AdditionalGids: []uint32{77}}, "/home/app", ""},
		{"4242", "", specs.User{UID: 4242, GID: 0, AdditionalGids: []uint32{0}}, "/", ""},
		{"4242:4343", "", specs.User{UID: 4242, GID: 4343, AdditionalGids: []uint32{4343}}, "/", ""},
		{"4242:web", "", specs.User{UID: 4242, GID: 33, AdditionalGids: []uint32{33}}, "/", ""},
		{"toor", "", specs.User{UID: 0, GID: 0, AdditionalGids: []uint32{0}}, "/root", ""},
		{"nohome", "", specs.User{UID: 7, GID: 7, AdditionalGids: []uint32{7}}, "/", ""},
		{"app", "root", specs.User{UID: 0, GID: 0, AdditionalGids: []uint32{0, 33}}, "/root", ""},
		{"nobody", "", specs.User{}, "", "USER nobody: no such user in the image's /etc/passwd"},
		{"", "nobody:web", specs.User{}, "", "USER nobody:web: no such user in the image's /etc/passwd"},
		{"app:nogroup", "", specs.User{}, "", "USER app:nogroup: no such group in the image's /etc/group"},
		{"4294967295", "", specs.User{}, "", "must be in range"},
	}
	fsys := treetest.FS(t, accounts)
	for _, tt := range tests {
		t.Run(tt.image+" "+tt.flag, func(t *testing.T) {
			spec, err := Plan(fsys, Config{Image: v1.Config{Cmd: []string{"x"}, User: tt.image}, User: tt.flag})
			if refused(t, err, tt.wantErr) {
				return
			}
			if diff := cmp.Diff(tt.want, spec.Process.User); diff != "" {
				t.Error(diff)
			}
			if want := "HOME=" + tt.home; !slices.Contains(spec.Process.Env, want) {
				t.Errorf("environment %q lacks %s", spec.Process.Env, want)
			}
		})
	}
}

// TestPlanUserWithoutAccounts has an image without /etc: numbers work, names do not.
func TestPlanUserWithoutAccounts(t *testing.T) {
	fsys := treetest.FS(t, "file /server 0755")
	for user, ok := range map[string]bool{"": true, "0": true, "65532:65532": true, "app": false, "0:app": false} {
		_, err := Plan(fsys, Config{Image: v1.Config{Cmd: []string{"/server"}, User: user}})
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrStart) {
			t.Errorf("USER %q: error %v", user, err)
		}
	}
}

// TestPlanRest checks what no flag decides.
func TestPlanRest(t *testing.T) {
	fsys := treetest.FS(t, accounts)
	image := v1.Config{Cmd: []string{"x"}, WorkingDir: "/srv/../app/", Hostname: "builder"}
	spec, err := Plan(fsys, Config{Image: image})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("slim"))
	if want := hex.EncodeToString(sum[:])[:12]; spec.Hostname != want {
		t.Errorf("hostname %s, want %s", spec.Hostname, want)
	}
	if spec.Process.Cwd != "/app" || spec.Process.Terminal || spec.Process.NoNewPrivileges || spec.Root.Readonly {
		t.Errorf("cwd %s, terminal %v, no new privileges %v, read-only %v",
			spec.Process.Cwd, spec.Process.Terminal, spec.Process.NoNewPrivileges, spec.Root.Readonly)
	}
	if c := spec.Process.Capabilities; len(c.Bounding) != 14 || len(c.Effective) != 14 || len(c.Permitted) != 14 || len(c.Inheritable)+len(c.Ambient) != 0 {
		t.Errorf("capabilities %+v", c)
	}
	if diff := cmp.Diff(map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv4.ping_group_range":           "0 2147483647",
	}, spec.Linux.Sysctl); diff != "" {
		t.Error(diff)
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	if l := spec.Process.Rlimits[0]; l.Type != "RLIMIT_NOFILE" || l.Hard > own.Max || l.Soft != l.Hard || l.Hard > maxOpenFiles {
		t.Errorf("limit %+v, own hard limit %d", l, own.Max)
	}
	again, err := Plan(fsys, Config{Image: image})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, again); diff != "" {
		t.Errorf("two plans differ: %s", diff)
	}
}

func TestPlanOptions(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		cfg      Config
		hostname string
		cwd      string
		network  bool
		want     error
	}{
		{"none", Config{}, defaultHostname, "/", true, nil},
		{"hostname", Config{Hostname: "db1"}, "db1", "/", true, nil},
		{"workdir", Config{Workdir: "/w", Image: v1.Config{WorkingDir: "/app"}}, defaultHostname, "/w", true, nil},
		{"host network", Config{Network: "host"}, own, "/", false, nil},
		{"host network, hostname", Config{Network: "host", Hostname: "db1"}, "db1", "/", false, nil},
		{"unknown network", Config{Network: "bridge", Hostname: "db1"}, "", "", false, ErrUsage},
		{"bad hostname", Config{Hostname: "a b"}, "", "", false, ErrUsage},
		{"relative workdir", Config{Workdir: "w"}, "", "", false, ErrUsage},
		{"relative WORKDIR", Config{Image: v1.Config{WorkingDir: "w"}}, "", "", false, ErrStart},
		{"nameless variable", Config{Env: []string{"=x"}}, "", "", false, ErrUsage},
		{"bad mount", Config{Mounts: []string{"type=bind"}}, "", "", false, ErrUsage},
	}
	fsys := treetest.FS(t, accounts)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Image.Cmd = []string{"x"}
			spec, err := Plan(fsys, tt.cfg)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			if spec.Hostname != tt.hostname || spec.Process.Cwd != tt.cwd {
				t.Errorf("hostname %s, cwd %s, want %s, %s", spec.Hostname, spec.Process.Cwd, tt.hostname, tt.cwd)
			}
			if !slices.Contains(spec.Process.Env, "HOSTNAME="+tt.hostname) {
				t.Errorf("environment %q", spec.Process.Env)
			}
			if got := hasNamespace(spec, specs.NetworkNamespace); got != tt.network || (len(spec.Linux.Sysctl) > 0) != tt.network {
				t.Errorf("network namespace %v, sysctls %v, want %v", got, spec.Linux.Sysctl, tt.network)
			}
			for _, kind := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.MountNamespace, specs.IPCNamespace, specs.UTSNamespace} {
				if !hasNamespace(spec, kind) {
					t.Errorf("no %s namespace", kind)
				}
			}
		})
	}
}

func TestParseMount(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("data", 0o755); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	tests := []struct {
		text    string
		want    specs.Mount
		wantErr string
	}{
		{"type=bind,src=" + data + ",dst=/d", specs.Mount{Type: "bind", Source: data, Destination: "/d", Options: []string{"rbind", "rprivate"}}, ""},
		{"type=bind,source=./data,destination=/d/,readonly", specs.Mount{Type: "bind", Source: data, Destination: "/d", Options: []string{"rbind", "rprivate", "ro"}}, ""},
		{"type=bind,source=data,target=/d,ro=false,bind-recursive=disabled", specs.Mount{Type: "bind", Source: data, Destination: "/d", Options: []string{"bind", "rprivate"}}, ""},
		{"type=tmpfs,dst=/t", specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t", Options: []string{"noexec", "nosuid", "nodev", "rprivate"}}, ""},
		{"type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=0700,ro=1", specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/t", Options: []string{"noexec", "nosuid", "nodev", "rprivate", "ro", "mode=700", "size=67108864"}}, ""},
		{"type=volume,dst=/v", specs.Mount{Type: volumeMount, Destination: "/v"}, ""},
		{"src=named,dst=/v,readonly", specs.Mount{Type: volumeMount, Destination: "/v", Options: []string{"ro"}}, ""},
		{`type=bind,"src=` + data + `",dst=/d`, specs.Mount{Type: "bind", Source: data, Destination: "/d", Options: []string{"rbind", "rprivate"}}, ""},
		{"type=bind,src=" + dir + "/none,dst=/d", specs.Mount{}, dir + "/none: no such file"},
		{"type=bind,dst=/d", specs.Mount{}, "source is required"},
		{"type=bind,src=/", specs.Mount{}, "target is required"},
		{"type=volume,dst=v", specs.Mount{}, "target v: not an absolute path"},
		{"type=tmpfs,dst=/..", specs.Mount{}, "target /: cannot"},
		{"type=tmpfs,dst=/t,src=/x", specs.Mount{}, "a tmpfs has no source"},
		{"type=tmpfs,dst=/t,tmpfs-size=big", specs.Mount{}, "tmpfs-size=big"},
		{"type=tmpfs,dst=/t,tmpfs-mode=9", specs.Mount{}, "tmpfs-mode=9"},
		{"type=bind,src=/,dst=/t,tmpfs-size=1m", specs.Mount{}, "do not go with type=bind"},
		{"type=volume,dst=/v,bind-nonrecursive", specs.Mount{}, "does not go with type=volume"},
		{"type=npipe,dst=/v", specs.Mount{}, `unknown type "npipe"`},
		{"type=volume,dst=/v,ro", specs.Mount{}, "cannot be read-only"},
		{"dst=/v,readonly=maybe", specs.Mount{}, "readonly=maybe"},
		{"dst=/v,colour=red", specs.Mount{}, "unknown key colour"},
		{"/host:/container", specs.Mount{}, "want key=value"},
		{"", specs.Mount{}, "want key=value"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := parseMount(tt.text)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanMounts(t *testing.T) {
	volumes := map[string]struct{}{"/var/lib/data": {}, "/data/": {}, "/data/a": {}}
	tests := []struct {
		name   string
		mounts []string
		want   []string // type and destination
	}{
		{"image's volumes", nil, []string{"proc /proc", "tmpfs /dev", "devpts /dev/pts", "sysfs /sys", "cgroup /sys/fs/cgroup", "mqueue /dev/mqueue", "tmpfs /dev/shm",
			"volume /data", "volume /data/a", "volume /var/lib/data"}},
		{"replaced", []string{"type=tmpfs,dst=/data/a", "type=bind,src=/tmp,dst=/dev/shm", "dst=/z"},
			[]string{"proc /proc", "tmpfs /dev", "devpts /dev/pts", "sysfs /sys", "cgroup /sys/fs/cgroup", "mqueue /dev/mqueue",
				"volume /data", "volume /z", "tmpfs /data/a", "bind /dev/shm", "volume /var/lib/data"}},
		{"own /dev", []string{"type=bind,src=/dev,dst=/dev"}, []string{"proc /proc", "sysfs /sys", "cgroup /sys/fs/cgroup",
			"volume /data", "bind /dev", "volume /data/a", "volume /var/lib/data"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mounts, err := planMounts(Config{Image: v1.Config{Volumes: volumes}, Mounts: tt.mounts})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range mounts {
				got = append(got, m.Type+" "+m.Destination)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, volume := range []string{"data", "/", "/a/..", ""} {
		if _, err := planMounts(Config{Image: v1.Config{Volumes: map[string]struct{}{volume: {}}}}); !errors.Is(err, ErrStart) {
			t.Errorf("VOLUME %q: error %v", volume, err)
		}
	}
	if _, err := planMounts(Config{Mounts: []string{"dst=/a", "type=tmpfs,dst=/a/"}}); !errors.Is(err, ErrUsage) {
		t.Errorf("mounted twice: error %v", err)
	}
}

func TestEtcFiles(t *testing.T) {
	fsys := treetest.FS(t, accounts)
	files := func(cfg Config) map[string]string {
		t.Helper()
		cfg.Image.Cmd = []string{"x"}
		spec, err := Plan(fsys, cfg)
		if err != nil {
			t.Fatal(err)
		}
		list, err := etcFiles(spec)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range list {
			got[f.Path] = string(f.Content)
		}
		return got
	}
	own := files(Config{Hostname: "box"})
	if own["/etc/hostname"] != "box\n" || !strings.Contains(own["/etc/hosts"], "127.0.0.1\tbox\n") || !strings.HasPrefix(own["/etc/resolv.conf"], "nameserver 127.0.0.1\n") {
		t.Errorf("own network: %q", own)
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	if host := files(Config{Network: "host"}); host["/etc/hosts"] != string(hosts) {
		t.Errorf("host's network: %q", host)
	}
	if mounted := files(Config{Mounts: []string{"type=bind,src=/etc/hosts,dst=/etc/hosts"}}); len(mounted) != 2 || mounted["/etc/hosts"] != "" {
		t.Errorf("with a mount on /etc/hosts: %q", mounted)
	}
}
