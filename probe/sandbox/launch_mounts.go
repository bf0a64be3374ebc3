package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// build makes the program's mount namespace out of init's scratch folder, which is the
// current folder: every mount of the job beneath root/, then root/ becomes the root.
func (l *launch) build() error {
	unix.Umask(0o022)
	root, err := openTree("root")
	if err != nil {
		return err
	}
	l.root = root
	for _, m := range l.job.Mounts {
		if err := l.mount(m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	if err := l.devices(); err != nil {
		return err
	}
	if err := l.etcFiles(); err != nil {
		return err
	}
	cwd, err := root.place(l.job.Process.Cwd, true)
	if err != nil {
		return fmt.Errorf("%w: working directory: %w", ErrStart, err)
	}
	unix.Close(cwd)
	unix.Close(root.root)
	if err := pivot(); err != nil {
		return err
	}
	if err := reopenStdin(); err != nil {
		return err
	}
	return l.protect()
}

// pivot follows runc's pivotRoot (libcontainer/rootfs_linux.go): the old root is put on
// top of the new one, so it needs no folder, and is then taken away.
func pivot() error {
	if err := unix.Chdir("root"); err != nil {
		return &os.PathError{Op: "chdir", Path: "root", Err: err}
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return unsupported(err, "pivot_root")
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return unsupported(err, "unmount the old root")
	}
	return unix.Chdir("/")
}

// mountFlags are the options of mount(8) that are flags; with true they are taken away.
var mountFlags = map[string]struct {
	clear bool
	flag  uintptr
}{
	"async":         {true, unix.MS_SYNCHRONOUS},
	"atime":         {true, unix.MS_NOATIME},
	"bind":          {false, unix.MS_BIND},
	"defaults":      {false, 0},
	"dev":           {true, unix.MS_NODEV},
	"diratime":      {true, unix.MS_NODIRATIME},
	"dirsync":       {false, unix.MS_DIRSYNC},
	"exec":          {true, unix.MS_NOEXEC},
	"noatime":       {false, unix.MS_NOATIME},
	"nodev":         {false, unix.MS_NODEV},
	"nodiratime":    {false, unix.MS_NODIRATIME},
	"noexec":        {false, unix.MS_NOEXEC},
	"norelatime":    {true, unix.MS_RELATIME},
	"nostrictatime": {true, unix.MS_STRICTATIME},
	"nosuid":        {false, unix.MS_NOSUID},
	"rbind":         {false, unix.MS_BIND | unix.MS_REC},
	"relatime":      {false, unix.MS_RELATIME},
	"ro":            {false, unix.MS_RDONLY},
	"rro":           {false, unix.MS_RDONLY},
	"rw":            {true, unix.MS_RDONLY},
	"strictatime":   {false, unix.MS_STRICTATIME},
	"suid":          {true, unix.MS_NOSUID},
	"sync":          {false, unix.MS_SYNCHRONOUS},
	// Propagation: every mount is private here, and nothing of the host can follow.
	"private": {}, "rprivate": {}, "slave": {}, "rslave": {}, "shared": {}, "rshared": {},
	"unbindable": {}, "runbindable": {},
}

// parseOptions splits options into flags and data for the file system.
func parseOptions(options []string) (flags uintptr, data []string) {
	for _, o := range options {
		switch f, ok := mountFlags[o]; {
		case !ok:
			data = append(data, o)
		case f.clear:
			flags &^= f.flag
		default:
			flags |= f.flag
		}
	}
	return flags, data
}

// mount carries out one mount of the spec. Devices are closed on all of them but those
// of our own making: there is no device cgroup to keep a program that may mknod from
// the host's disks.
func (l *launch) mount(m mount) error {
	flags, data := parseOptions(m.Options)
	if m.Type == "bind" || flags&unix.MS_BIND != 0 {
		return l.bind(m, flags)
	}
	fd, err := l.root.place(m.Target, true)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	typ := m.Type
	switch typ {
	case "cgroup":
		if typ = cgroupType(); typ == "tmpfs" {
			data = []string{"mode=0755"}
		}
	case "tmpfs":
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		if !slices.ContainsFunc(data, func(o string) bool { return strings.HasPrefix(o, "mode=") }) {
			data = append(data, fmt.Sprintf("mode=%o", st.Mode&0o7777)) // as runc: the folder's
		}
	}
	if typ == "tmpfs" {
		flags |= unix.MS_NODEV
	}
	if err := unix.Mount(m.Source, fdPath(fd), typ, flags, strings.Join(data, ",")); err != nil {
		return unsupported(err, "mount "+typ)
	}
	return nil
}

// cgroupType is what can be shown at /sys/fs/cgroup: the unified hierarchy if the host has
// no other, else an empty folder, as where cgroups are not in use.
func cgroupType() string {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return "cgroup2"
	}
	return "tmpfs"
}

// bind binds a source of the host (by its name in the scratch folder), or with no source
// the target onto itself, which makes a mount of its own out of a folder.
func (l *launch) bind(m mount, flags uintptr) error {
	source := m.Source
	dir := true
	device := false
	if source != "" {
		var st unix.Stat_t
		if err := unix.Stat(source, &st); err != nil {
			return &os.PathError{Op: "stat", Path: source, Err: err}
		}
		kind := st.Mode & unix.S_IFMT
		dir = kind == unix.S_IFDIR
		device = kind == unix.S_IFCHR || kind == unix.S_IFBLK
	}
	fd, err := l.root.place(m.Target, dir)
	if err != nil {
		return err
	}
	if source == "" {
		source = fdPath(fd)
	}
	err = unix.Mount(source, fdPath(fd), "", unix.MS_BIND|flags&unix.MS_REC, "")
	unix.Close(fd)
	if err != nil {
		return unsupported(err, "bind")
	}
	if fd, err = l.root.place(m.Target, dir); err != nil { // now what is mounted there
		return err
	}
	defer unix.Close(fd)
	if !device {
		flags |= unix.MS_NODEV
	}
	if err := remountBind(fdPath(fd), flags); err != nil {
		return err
	}
	return setRecursively(fd, !device && flags&unix.MS_REC != 0, slices.Contains(m.Options, "rro"))
}

// remountBind sets the flags of one mount, and keeps those that restrict it already.
func remountBind(target string, flags uintptr) error {
	var st unix.Statfs_t
	if err := unix.Statfs(target, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: target, Err: err}
	}
	const restrict = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC // same bits in f_flags
	flags = flags&^unix.MS_REC | uintptr(st.Flags)&restrict | unix.MS_REMOUNT | unix.MS_BIND
	if err := unix.Mount("", target, "", flags, ""); err != nil {
		return unsupported(err, "remount")
	}
	return nil
}

// setRecursively needs Linux 5.12; before, the mounts below a source keep their flags.
func setRecursively(fd int, nodev, readonly bool) error {
	var attr unix.MountAttr
	if nodev {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if readonly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if attr.Attr_set == 0 {
		return nil
	}
	err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	if errors.Is(err, unix.ENOSYS) && !readonly {
		return nil
	}
	return os.NewSyscallError("mount_setattr", err)
}

// fdPath names a descriptor as a path, through the scratch folder's own procfs.
func fdPath(fd int) string { return fmt.Sprintf("proc/self/fd/%d", fd) }

// etcFiles lays content over paths of the image.
func (l *launch) etcFiles() error {
	for i, f := range l.job.Files {
		name := fmt.Sprintf("etc/%d", i)
		if err := os.WriteFile(name, f.Content, 0o644); err != nil {
			return err
		}
		if err := l.bind(mount{Target: f.Path, Source: name}, 0); err != nil {
			return fmt.Errorf("mount %s: %w", f.Path, err)
		}
	}
	return nil
}

// defaultDevices and devLinks are in every container (OCI runtime spec, config-linux.md,
// "Default Devices").
var defaultDevices = []device{
	{Path: "/dev/null", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 3)},
	{Path: "/dev/zero", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 5)},
	{Path: "/dev/full", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 7)},
	{Path: "/dev/random", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 8)},
	{Path: "/dev/urandom", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 9)},
	{Path: "/dev/tty", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(5, 0)},
}

var devLinks = [][2]string{
	{"/proc/self/fd", "fd"},
	{"/proc/self/fd/0", "stdin"},
	{"/proc/self/fd/1", "stdout"},
	{"/proc/self/fd/2", "stderr"},
	{"pts/ptmx", "ptmx"},
}

// devices fills /dev, if it is a mount of the job's and not the host's. Each node is bound
// from the scratch folder: the /dev it lies on allows no devices, so one that the
// program makes itself cannot be opened, and the host's own node is not at hand to chmod.
func (l *launch) devices() error {
	i := slices.IndexFunc(l.job.Mounts, func(m mount) bool { return path.Clean(m.Target) == "/dev" })
	if i < 0 || l.job.Mounts[i].Type != "tmpfs" {
		return nil
	}
	for i, d := range append(slices.Clone(defaultDevices), l.job.Devices...) {
		name := fmt.Sprintf("dev/%d", i)
		err := unix.Mknod(name, d.Mode, int(d.Dev))
		if errors.Is(err, unix.EPERM) {
			name = d.Path // no CAP_MKNOD: the host's
		} else if err != nil {
			return &os.PathError{Op: "mknod", Path: d.Path, Err: err}
		} else if err := unix.Chmod(name, d.Mode&0o7777); err != nil { // despite the umask
			return &os.PathError{Op: "chmod", Path: d.Path, Err: err}
		} else if err := os.Chown(name, int(d.UID), int(d.GID)); err != nil {
			return err
		}
		if err := l.bind(mount{Target: d.Path, Source: name}, 0); err != nil {
			return fmt.Errorf("mount %s: %w", d.Path, err)
		}
	}
	fd, err := l.root.place("/dev", true)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, link := range devLinks {
		if err := unix.Symlinkat(link[0], fd, link[1]); err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "symlink", Path: "/dev/" + link[1], Err: err}
		}
	}
	return nil
}

// protect hides and fixes paths of the new root, as runc's maskPath and readonlyPath.
func (l *launch) protect() error {
	for _, p := range l.job.Fixed {
		err := unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, "")
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = remountBind(p, unix.MS_RDONLY)
		}
		if err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	for _, p := range l.job.Masked {
		err := unix.Mount(os.DevNull, p, "", unix.MS_BIND, "")
		if errors.Is(err, unix.ENOTDIR) {
			err = unix.Mount("tmpfs", p, "tmpfs", unix.MS_RDONLY, "size=0k")
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	if l.job.ReadOnly {
		return remountBind("/", unix.MS_RDONLY|unix.MS_NODEV)
	}
	return nil
}
