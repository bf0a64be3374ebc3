package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
)

// ErrUsage marks a Config that says something wrong, as a mistaken flag of docker run
// would: a mount without a target, an unknown network.
var ErrUsage = errors.New("invalid option")

// Config says what to run: the image's config and what `docker run` flags would
// change in it. The zero value of each field leaves the image's.
type Config struct {
	Image      v1.Config
	Command    []string // replaces CMD, as arguments after the image do
	Entrypoint *string  // replaces ENTRYPOINT (and drops CMD), "" for none
	Env        []string // NAME=value, or NAME to take it from this process
	User       string   // name, number, or either with :group
	Workdir    string
	Hostname   string
	Mounts     []string // as docker run --mount: type=bind,src=…,dst=…,readonly | type=tmpfs,dst=… | type=volume,dst=…
	Network    string   // "" own loopback | "host"
}

const (
	// defaultPath is PATH where the image sets none (moby, oci/defaults.go).
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	// defaultHostname looks like Docker's, twelve hexadecimal digits, but is always the same
	// ones (SHA-256 of "slim"): a program that prints its host's name must print
	// the same in the original and in the slim image.
	defaultHostname = "ebe4136fc888"

	// maxOpenFiles is what Docker's own packages have given containers for years:
	// their service runs without a limit, which the kernel's fs.nr_open makes this.
	maxOpenFiles = 1 << 20
)

// Plan makes the container's runtime spec out of the config, as `docker run` of Docker
// Engine (20.10 to 28, no -t, no -i) would: a plain value in which nothing of this run
// is random. It differs from Docker's where a throw-away container must:
//
//   - the host name is fixed (see Config.Hostname for another), and the network is
//     a loopback with no way out;
//   - volumes, the image's and --mount type=volume, are mounts of Type "volume", which
//     is none of the runtime spec's: the path is bound onto itself, so that it is a
//     mount of its own with the image's content and owners, and dies with the run;
//   - no cgroup is made and no limit set: on a host with cgroups v2 alone the program
//     sees, in a cgroup namespace as Docker gives it, that of this process;
//   - AppArmor, SELinux and the OOM score are left as they are.
//
// The files of /etc that Docker provides follow from the spec; see etcFiles.
//
// An image that cannot be started (no command, no such USER, a WORKDIR that is not
// absolute) gives ErrStart, a mistake in the other fields ErrUsage.
func Plan(fsys *rootfs.FS, cfg Config) (*specs.Spec, error) {
	if cfg.Network != "" && cfg.Network != "host" {
		return nil, fmt.Errorf("%w: network %q: want host or nothing", ErrUsage, cfg.Network)
	}
	args, err := commandLine(cfg)
	if err != nil {
		return nil, err
	}
	cwd, err := workdir(cfg)
	if err != nil {
		return nil, err
	}
	user, home, err := lookupUser(fsys, cmp.Or(cfg.User, cfg.Image.User))
	if err != nil {
		return nil, err
	}
	mounts, err := planMounts(cfg)
	if err != nil {
		return nil, err
	}
	hostname, err := planHostname(cfg)
	if err != nil {
		return nil, err
	}
	env, err := environment(cfg, hostname, home)
	if err != nil {
		return nil, err
	}
	rlimits, err := planRlimits()
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: hostname,
		Mounts:   mounts,
		Process: &specs.Process{
			Args:    args,
			Cwd:     cwd,
			Env:     env,
			User:    user,
			Rlimits: rlimits,
			Capabilities: &specs.LinuxCapabilities{
				Bounding:  slices.Clone(defaultCapabilities),
				Permitted: slices.Clone(defaultCapabilities),
				Effective: slices.Clone(defaultCapabilities),
			},
		},
		Linux: planLinux(cfg),
	}
	if spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(spec); err != nil {
		return nil, fmt.Errorf("load Docker's seccomp profile: %w", err)
	}
	return spec, nil
}

// commandLine joins ENTRYPOINT and CMD (moby, daemon/commit.go, merge, and
// daemon/create.go). The shell forms are already "/bin/sh -c …" in the config; ArgsEscaped,
// which only Windows images mean, is not looked at.
func commandLine(cfg Config) ([]string, error) {
	entrypoint, command := cfg.Image.Entrypoint, cfg.Command
	if cfg.Entrypoint != nil {
		entrypoint = []string{*cfg.Entrypoint}
	} else if len(command) == 0 {
		command = cfg.Image.Cmd
	}
	if len(entrypoint) == 1 && entrypoint[0] == "" {
		entrypoint = nil
	}
	args := slices.Concat(entrypoint, command)
	switch {
	case len(args) > 0:
		return args, nil
	case cfg.Entrypoint != nil:
		return nil, fmt.Errorf("%w: no command: without an entrypoint, and CMD dropped with it; give one after --", ErrStart)
	}
	return nil, fmt.Errorf("%w: no command: the image has neither ENTRYPOINT nor CMD; give one after --", ErrStart)
}

// workdir is the folder to start in, which the launcher makes where it is missing.
func workdir(cfg Config) (string, error) {
	dir := cmp.Or(cfg.Workdir, cfg.Image.WorkingDir, "/")
	switch {
	case path.IsAbs(dir):
		return path.Clean(dir), nil
	case cfg.Workdir != "":
		return "", fmt.Errorf("%w: workdir %q: not an absolute path", ErrUsage, dir)
	}
	return "", fmt.Errorf("%w: WORKDIR %q: not an absolute path", ErrStart, dir)
}

// planHostname is the container's name. Docker ignores the one in the image's config, and
// takes the host's along with its network.
func planHostname(cfg Config) (string, error) {
	if cfg.Hostname != "" {
		if len(cfg.Hostname) > 64 || strings.ContainsAny(cfg.Hostname, " \t\n\x00") {
			return "", fmt.Errorf("%w: hostname %q: want at most 64 bytes without spaces", ErrUsage, cfg.Hostname)
		}
		return cfg.Hostname, nil
	}
	if cfg.Network != "host" {
		return defaultHostname, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("read the host's name: %w", err)
	}
	return name, nil
}

// environment is what the program sees: Docker's PATH and HOSTNAME, which the others may
// replace, the options' variables, those of the image that they do not replace (moby,
// container/container.go, CreateDaemonEnvironment), and HOME as runc adds it.
func environment(cfg Config, hostname, home string) ([]string, error) {
	entries := []string{"PATH=" + defaultPath, "HOSTNAME=" + hostname}
	given := map[string]bool{}
	for _, entry := range cfg.Env {
		name, _, assigned := strings.Cut(entry, "=")
		if name == "" {
			return nil, fmt.Errorf("%w: env %q: want NAME=value or NAME", ErrUsage, entry)
		}
		if !assigned {
			// Without a value here either, the bare name removes the variable.
			if value, ok := os.LookupEnv(name); ok {
				entry = name + "=" + value
			}
		}
		given[name] = true
		entries = append(entries, entry)
	}
	for _, entry := range cfg.Image.Env {
		if name, _, _ := strings.Cut(entry, "="); !given[name] {
			entries = append(entries, entry)
		}
	}
	env := make([]string, 0, len(entries)+1)
	at := map[string]int{}
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := at[name]; ok {
			env[i] = entry
			continue
		}
		at[name] = len(env)
		env = append(env, entry)
	}
	if i, ok := at["HOME"]; !ok {
		env = append(env, "HOME="+home)
	} else if env[i] == "HOME" || env[i] == "HOME=" {
		env[i] = "HOME=" + home
	}
	return slices.DeleteFunc(env, func(entry string) bool { return !strings.Contains(entry, "=") }), nil
}

// planRlimits sets the one limit that differs between a shell and a container, never above
// this process's own hard limit, for which privilege could be missing. The
// others are inherited, as Docker's containers inherit them.
func planRlimits() ([]specs.POSIXRlimit, error) {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return nil, fmt.Errorf("read the limit of open files: %w", err)
	}
	limit := min(maxOpenFiles, own.Max)
	return []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: limit, Hard: limit}}, nil
}

// planLinux is what isolates the container (moby, oci/defaults.go).
func planLinux(cfg Config) *specs.Linux {
	linux := &specs.Linux{
		Namespaces: []specs.LinuxNamespace{
			{Type: specs.MountNamespace},
			{Type: specs.UTSNamespace},
			{Type: specs.PIDNamespace},
			{Type: specs.IPCNamespace},
		},
		MaskedPaths:   maskedPaths(),
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		Resources:     &specs.LinuxResources{Devices: deviceRules()},
	}
	var hierarchy unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &hierarchy) == nil && hierarchy.Type == unix.CGROUP2_SUPER_MAGIC {
		linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	if cfg.Network == "host" {
		return linux
	}
	linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	linux.Sysctl = map[string]string{}
	for name, value := range map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv4.ping_group_range":           "0 2147483647",
	} {
		// A kernel without it would refuse to start the container.
		if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); err == nil {
			linux.Sysctl[name] = value
		}
	}
	return linux
}

// maskedPaths are the files of /proc and /sys that a container does not see.
func maskedPaths() []string {
	masked := []string{
		"/proc/asound",
		"/proc/acpi",
		"/proc/interrupts",
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
	// The pattern is constant and well-formed: there is no error to look at.
	perCPU, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return append(masked, perCPU...)
}

// deviceRules are the devices that Docker's containers may open or make: zero, null,
// urandom, random, tty and console, and no other.
func deviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	for _, d := range [][2]int64{{1, 5}, {1, 3}, {1, 9}, {1, 8}, {5, 0}, {5, 1}} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d[0], Minor: &d[1], Access: "rwm"})
	}
	return rules
}

// defaultCapabilities are Docker's (moby, oci/caps/defaults.go). A program that is not
// root's loses them on exec by the kernel's own rule; the inheritable set is empty since
// CVE-2022-24769.
var defaultCapabilities = []string{
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_FSETID",
	"CAP_FOWNER",
	"CAP_MKNOD",
	"CAP_NET_RAW",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETFCAP",
	"CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE",
	"CAP_SYS_CHROOT",
	"CAP_KILL",
	"CAP_AUDIT_WRITE",
}
