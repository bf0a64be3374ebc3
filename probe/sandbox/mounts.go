package sandbox

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// volumeMount is the Type of a mount that binds its destination onto itself.
const volumeMount = "volume"

// defaultMounts are those of moby's oci/defaults.go, with /dev/shm of the size that docker
// run gives it.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
	}
}

// planMounts are all mounts in the order in which they are made: Docker's own, of which a
// mount of the user's replaces that on the same path (and /dev all below it), then the
// user's and the image's volumes, parents first (moby, daemon/oci_linux.go, withMounts).
func planMounts(cfg Config) ([]specs.Mount, error) {
	given := map[string]specs.Mount{}
	for _, text := range cfg.Mounts {
		m, err := parseMount(text)
		if err != nil {
			return nil, fmt.Errorf("%w: mount %q: %w", ErrUsage, text, err)
		}
		if _, twice := given[m.Destination]; twice {
			return nil, fmt.Errorf("%w: mount %q: %s is mounted on already", ErrUsage, text, m.Destination)
		}
		given[m.Destination] = m
	}
	for volume := range cfg.Image.Volumes {
		if !path.IsAbs(volume) || path.Clean(volume) == "/" {
			return nil, fmt.Errorf("%w: VOLUME %q: want an absolute path below /", ErrStart, volume)
		}
		volume = path.Clean(volume)
		if _, ok := given[volume]; !ok {
			given[volume] = specs.Mount{Destination: volume, Type: volumeMount}
		}
	}
	mounts := slices.DeleteFunc(defaultMounts(), func(m specs.Mount) bool {
		_, replaced := given[m.Destination]
		_, dev := given["/dev"]
		return replaced || dev && strings.HasPrefix(m.Destination, "/dev/")
	})
	paths := slices.SortedFunc(maps.Keys(given), func(a, b string) int {
		if n := strings.Count(a, "/") - strings.Count(b, "/"); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, p := range paths {
		mounts = append(mounts, given[p])
	}
	return mounts, nil
}

// mountFlag is one --mount as docker run understands it.
type mountFlag struct {
	kind, source, target string
	readOnly, shallow    bool
	size                 int64
	mode                 string
}

// parseMount reads the value of one --mount flag (docker/cli, opts/mount.go). Names of
// volumes say nothing here, for a volume lives no longer than the container.
func parseMount(text string) (specs.Mount, error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return specs.Mount{}, fmt.Errorf("want key=value,…: %w", err)
	}
	flag := mountFlag{kind: "volume"}
	for _, field := range fields {
		if err := flag.set(field); err != nil {
			return specs.Mount{}, err
		}
	}
	switch {
	case flag.target == "":
		return specs.Mount{}, errors.New("target is required")
	case !path.IsAbs(flag.target):
		return specs.Mount{}, fmt.Errorf("target %s: not an absolute path", flag.target)
	case path.Clean(flag.target) == "/":
		return specs.Mount{}, errors.New("target /: cannot be mounted on")
	case (flag.size != 0 || flag.mode != "") && flag.kind != "tmpfs":
		return specs.Mount{}, fmt.Errorf("tmpfs-size and tmpfs-mode do not go with type=%s", flag.kind)
	case flag.shallow && flag.kind != "bind":
		return specs.Mount{}, fmt.Errorf("bind-recursive does not go with type=%s", flag.kind)
	}
	return flag.mount()
}

// set takes one key=value in.
func (f *mountFlag) set(field string) (err error) {
	key, value, assigned := strings.Cut(field, "=")
	key = strings.ToLower(key)
	if !assigned {
		switch key {
		case "readonly", "ro", "bind-nonrecursive":
			value = "true"
		default:
			return fmt.Errorf("%s: want key=value", field)
		}
	}
	switch key {
	case "type":
		f.kind = strings.ToLower(value)
	case "source", "src":
		f.source = value
	case "target", "destination", "dst":
		f.target = value
	case "readonly", "ro":
		f.readOnly, err = strconv.ParseBool(value)
	case "bind-nonrecursive":
		f.shallow, err = strconv.ParseBool(value)
	case "bind-recursive":
		switch value {
		case "enabled", "disabled":
			f.shallow = value == "disabled"
		default:
			return fmt.Errorf("%s: want enabled or disabled", field)
		}
	case "bind-propagation":
		if value != "private" && value != "rprivate" {
			return fmt.Errorf("%s: nothing but rprivate is supported", field)
		}
	case "consistency": // Docker's, and means nothing on Linux
	case "tmpfs-size":
		f.size, err = units.RAMInBytes(value)
	case "tmpfs-mode":
		if _, err = strconv.ParseUint(value, 8, 12); err == nil {
			f.mode = strings.TrimLeft(value, "0")
		}
	default:
		return fmt.Errorf("%s: unknown key %s", field, key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// mount turns the flag into the mount that dockerd would ask its runtime for.
func (f *mountFlag) mount() (specs.Mount, error) {
	m := specs.Mount{Destination: path.Clean(f.target)}
	switch f.kind {
	case "bind":
		if f.source == "" {
			return m, errors.New("source is required")
		}
		source, err := filepath.Abs(f.source)
		if err != nil {
			return m, fmt.Errorf("source %s: %w", f.source, err)
		}
		if _, err := os.Stat(source); err != nil {
			return m, fmt.Errorf("source: %w", err)
		}
		m.Type, m.Source, m.Options = "bind", source, []string{"rbind", "rprivate"}
		if f.shallow {
			m.Options[0] = "bind"
		}
		if f.readOnly {
			m.Options = append(m.Options, "ro")
		}
	case "tmpfs":
		if f.source != "" {
			return m, errors.New("a tmpfs has no source")
		}
		m.Type, m.Source = "tmpfs", "tmpfs"
		m.Options = []string{"noexec", "nosuid", "nodev", "rprivate"}
		if f.readOnly {
			m.Options = append(m.Options, "ro")
		}
		if f.mode != "" {
			m.Options = append(m.Options, "mode="+f.mode)
		}
		if f.size != 0 {
			m.Options = append(m.Options, fmt.Sprintf("size=%d", f.size))
		}
	case "volume":
		m.Type = volumeMount
		if f.readOnly {
			if f.source == "" {
				return m, errors.New("a volume without a name cannot be read-only")
			}
			m.Options = []string{"ro"}
		}
	default:
		return m, fmt.Errorf("unknown type %q, want bind, tmpfs or volume", f.kind)
	}
	return m, nil
}
