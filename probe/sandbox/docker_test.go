package sandbox

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
	"slim/testdata/static"
)

// report is what testdata/report prints.
type report struct {
	Args, Env []string
	Cwd       string
	UID, GID  int
	Groups    []int
	Hostname  string
	Status    map[string]string
	Mounts    map[string][]string
	Files     map[string]string
}

func docker(t *testing.T, stdin io.Reader, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// TestPlanAgainstEngine runs a program that reports on its container under a real Docker
// Engine and under our own launcher, and compares both with the plan for the same image
// and options.
func TestPlanAgainstEngine(t *testing.T) {
	if out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		skip.Test(t, "no Docker Engine: %v: %s", err, out)
	}
	tree := treetest.FS(t, accounts)
	image := v1.Config{
		Entrypoint: []string{"/report", "fixed"},
		Cmd:        []string{"cmd"},
		Env:        []string{"A=1", "PATH=/usr/bin", "B=2"},
		WorkingDir: "/not/there",
		Volumes:    map[string]struct{}{"/data": {}},
	}
	tests := []struct {
		name  string
		user  string
		cfg   Config
		flags []string
		args  []string
	}{
		{"as it is", "", Config{}, nil, nil},
		{"named user", "app", Config{Command: []string{"x", "y"}}, nil, []string{"x", "y"}},
		{"numbers and options", "4242:web", Config{Env: []string{"B=3", "C=4"}, Workdir: "/data", Mounts: []string{"type=tmpfs,dst=/t,tmpfs-size=1m"}},
			[]string{"-e", "B=3", "-e", "C=4", "-w", "/data", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m"}, nil},
	}
	prog := static.Build(t, "./testdata/report")
	ref := "slim-test/sandbox-plan:" + strconv.Itoa(os.Getpid())
	docker(t, engineImage(t, prog), "import",
		"-c", `ENTRYPOINT ["/report","fixed"]`, "-c", `CMD ["cmd"]`, "-c", "ENV A=1 PATH=/usr/bin B=2",
		"-c", "WORKDIR /not/there", "-c", "VOLUME /data", "-", ref)
	t.Cleanup(func() { docker(t, nil, "rmi", "-f", ref) })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := "FILES=/etc/hostname:/etc/hosts:/proc/sys/net/ipv4/ping_group_range:/proc/sys/net/ipv4/ip_unprivileged_port_start"
			tt.cfg.Image, tt.cfg.Image.User, tt.cfg.Hostname = image, tt.user, "box"
			tt.cfg.Env = append([]string{files}, tt.cfg.Env...)
			spec, err := Plan(tree, tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			flags := append([]string{"run", "--rm", "-u", tt.user, "--hostname", "box", "-e", files}, tt.flags...)
			out := docker(t, nil, append(append(flags, ref), tt.args...)...)
			compareReport(t, "Engine", spec, out)
			needRoot(t)
			_, text := run(t, launcherTree(t, prog), spec)
			compareReport(t, "launcher", spec, []byte(text))
		})
	}
}

// engineImage is an archive of the report program and the accounts.
func engineImage(t *testing.T, prog string) io.Reader {
	t.Helper()
	content, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, mode int64, content []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add("report", 0o755, content)
	entries, err := treetest.Parse(accounts)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Kind == "link" {
			h := &tar.Header{Typeflag: tar.TypeSymlink, Name: e.Path[1:], Linkname: e.Target}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			continue
		}
		add(e.Path[1:], e.Mode, []byte(e.Content))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// launcherTree is the same tree as a folder.
func launcherTree(t *testing.T, prog string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	entries, err := treetest.Parse(accounts)
	must(t, err)
	for _, e := range entries {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(e.Path)), 0o755))
		if e.Kind == "link" {
			must(t, os.Symlink(e.Target, filepath.Join(dir, e.Path)))
			continue
		}
		must(t, os.WriteFile(filepath.Join(dir, e.Path), []byte(e.Content), os.FileMode(e.Mode)))
	}
	copyFile(t, prog, filepath.Join(dir, "report"), 0o755)
	return dir
}

// compareReport checks what a program saw under who against the plan.
func compareReport(t *testing.T, who string, spec *specs.Spec, out []byte) {
	t.Helper()
	var got report
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: report %q: %v", who, out, err)
	}
	p := spec.Process
	want := report{Args: p.Args, Env: p.Env, Cwd: p.Cwd, UID: int(p.User.UID), GID: int(p.User.GID), Hostname: spec.Hostname}
	for _, gid := range p.User.AdditionalGids {
		want.Groups = append(want.Groups, int(gid))
	}
	slices.Sort(want.Groups)
	slices.Sort(got.Groups)
	// The docker command shuffles the variables of its options.
	want.Env = slices.Sorted(slices.Values(want.Env))
	slices.Sort(got.Env)
	seen := got
	seen.Status, seen.Mounts, seen.Files = nil, nil, nil
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("plan (-) and %s (+) differ: %s", who, diff)
	}
	effective := p.Capabilities.Effective
	if p.User.UID != 0 {
		effective = nil // by the kernel's rule for exec
	}
	status := map[string]string{"CapBnd": capMask(t, p.Capabilities.Bounding), "CapEff": capMask(t, effective), "CapPrm": capMask(t, effective),
		"CapInh": capMask(t, p.Capabilities.Inheritable), "CapAmb": capMask(t, p.Capabilities.Ambient), "NoNewPrivs": "0", "Seccomp": "2"}
	for name, value := range status {
		if got.Status[name] != value {
			t.Errorf("%s: plan %s, %s %s", name, value, who, got.Status[name])
		}
	}
	for name, value := range spec.Linux.Sysctl {
		file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if seen := strings.Join(strings.Fields(got.Files[file]), " "); seen != value {
			t.Errorf("%s: plan %q, %s %q", name, value, who, seen)
		}
	}
	compareMounts(t, who, spec, got.Mounts)
	files, err := etcFiles(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := got.Mounts[f.Path]; !ok {
			t.Errorf("%s: %s mounts no file there", f.Path, who)
		}
		if f.Path == "/etc/hostname" && got.Files[f.Path] != string(f.Content) {
			t.Errorf("%s: plan %q, %s %q", f.Path, f.Content, who, got.Files[f.Path])
		}
	}
	for _, line := range []string{"127.0.0.1\tlocalhost\n", "\tlocalhost ip6-localhost ip6-loopback\n", "\tbox\n"} {
		if hosts := string(files[2].Content); !strings.Contains(hosts, line) || !strings.Contains(got.Files["/etc/hosts"], line) {
			t.Errorf("/etc/hosts: no line with %q in both plan's %q and %s's %q", line, hosts, who, got.Files["/etc/hosts"])
		}
	}
}

// compareMounts wants each of the plan's mounts in the table of who with its options, and
// nothing more in that table than the plan and its comment account for.
func compareMounts(t *testing.T, who string, spec *specs.Spec, table map[string][]string) {
	t.Helper()
	known := map[string]bool{"/": true, "/etc/hosts": true, "/etc/hostname": true, "/etc/resolv.conf": true}
	for _, m := range spec.Mounts {
		known[m.Destination] = true
		seen, ok := table[m.Destination]
		if !ok {
			t.Errorf("mount %s: %s has none", m.Destination, who)
			continue
		}
		if m.Type == "cgroup" { // a tmpfs full of controllers, or cgroup2
			continue
		}
		if m.Type != volumeMount && seen[0] != m.Type {
			t.Errorf("mount %s: plan %s, %s %s", m.Destination, m.Type, who, seen[0])
		}
		for _, o := range m.Options {
			switch o {
			case "nosuid", "noexec", "nodev", "ro", "mode=755", "size=65536k":
				if !slices.Contains(seen, o) {
					t.Errorf("mount %s: %s's %q lack %s", m.Destination, who, seen, o)
				}
			}
		}
	}
	for _, p := range append(spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths...) {
		known[p] = true
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		known["/dev/"+device] = true // nodes to the Engine, binds of the host's to the launcher
	}
	for p := range table {
		if !known[p] && !strings.HasPrefix(p, "/sys/fs/cgroup/") {
			t.Errorf("mount %s: %s's alone", p, who)
		}
	}
}

// capMask is a set as /proc/PID/status prints it.
func capMask(t *testing.T, names []string) string {
	t.Helper()
	var mask uint64
	for _, c := range capability.ListKnown() {
		if slices.Contains(names, "CAP_"+strings.ToUpper(c.String())) {
			mask |= 1 << c
		}
	}
	return fmt.Sprintf("%016x", mask)
}
