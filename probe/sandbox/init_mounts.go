package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The scratch folder: a tmpfs over an existing folder, seen in init's mount namespace
// alone and gone with it. It is init's current folder, and all paths here are relative
// to it, so that no byte of the folder's own path can disturb mount options.
//
//	lower/ upper/ work/ root/   the overlay and its parts
//	src/N                       bind sources of the host
//	proc/                       procfs of pid namespace A
//	dev/                        device nodes of the container
//	etc/                        files laid over the image's
//	exe                         this binary, read-only
//
// Read-only, because the program can name a launch's binary as /proc/PID/exe and write to
// it once it is not being run (CVE-2019-5736).
//
// Its size is that of the memory: what the program writes stays there until Close.
const scratchOptions = "mode=0755,size=100%,nr_inodes=0"

var scratchFolders = []string{"lower", "upper", "work", "root", "src", "proc", "dev", "etc"}

// setup makes all mounts below the container's root and gives a descriptor of proc/.
func (in *initProcess) setup(s *setup, fds []int) ([]int, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, unsupported(err, "make mounts private")
	}
	unix.Umask(0)
	held, err := openHeld(s)
	defer held.close()
	if err != nil {
		return nil, err
	}
	if err := makeScratch(s.TempDir); err != nil {
		return nil, err
	}
	if err := held.bind(s); err != nil {
		return nil, err
	}
	if err := unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, unsupported(err, "mount proc")
	}
	if s.LowerType == "fuse" {
		if err := mountFuse(s, fds); err != nil {
			return nil, err
		}
	}
	if err := in.conn.send(&message{Kind: msgMounted}); err != nil {
		return nil, err
	}
	if err := mountOverlay(); err != nil {
		return nil, err
	}
	if err := setupNames(s); err != nil {
		return nil, err
	}
	proc, err := unix.Open("proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "proc", Err: err}
	}
	return []int{proc}, nil
}

func makeScratch(over string) error {
	if err := unix.Mount("slim", over, "tmpfs", 0, scratchOptions); err != nil {
		return unsupported(err, "mount a tmpfs on "+over)
	}
	if err := os.Chdir(over); err != nil {
		return err
	}
	for _, name := range scratchFolders {
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// held are things of the host opened before the scratch folder may cover them.
type held struct {
	exe, lower int // -1 where there is none
	sources    []int
}

func openHeld(s *setup) (*held, error) {
	h := &held{exe: openExe(), lower: -1}
	var err error
	if s.LowerType == "bind" {
		if h.lower, err = openPath(s.LowerData); err != nil {
			return h, err
		}
	}
	for _, src := range s.Sources {
		fd, err := openPath(src.Path)
		if errors.Is(err, unix.ENOENT) {
			err = fmt.Errorf("bind source path does not exist: %s", src.Path) // Docker's words
		}
		if err != nil {
			return h, err
		}
		h.sources = append(h.sources, fd)
	}
	return h, nil
}

func (h *held) close() { closeAll(append(h.sources, h.exe, h.lower)) }

func (h *held) bind(s *setup) error {
	if h.exe < 0 {
		if err := copyExe(); err != nil {
			return err
		}
	} else if err := bindFd(h.exe, "exe", 0); err != nil {
		return err
	} else if err := unix.Mount("", "exe", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return unsupported(err, "mount this binary read-only")
	}
	if h.lower >= 0 {
		if err := bindFd(h.lower, "lower", 0); err != nil {
			return err
		}
		if err := unix.Mount("", "lower", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
			return unsupported(err, "mount "+s.LowerData+" read-only")
		}
	}
	for i, fd := range h.sources {
		flags := uintptr(0)
		if s.Sources[i].Recursive {
			flags = unix.MS_REC
		}
		if err := bindFd(fd, sourcePath(i), flags); err != nil {
			return fmt.Errorf("bind %s: %w", s.Sources[i].Path, err)
		}
	}
	return nil
}

func sourcePath(i int) string { return fmt.Sprintf("src/%d", i) }

// openExe opens this binary in this mount namespace; /proc/self/exe leads to the mount of
// the namespace it was started from, which cannot be bound. -1 if the name has gone or
// means another file by now.
func openExe() int {
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return -1
	}
	fd, err := openPath(name)
	if err != nil {
		return -1
	}
	var self, named unix.Stat_t
	if unix.Stat("/proc/self/exe", &self) != nil || unix.Fstat(fd, &named) != nil ||
		self.Dev != named.Dev || self.Ino != named.Ino {
		unix.Close(fd)
		return -1
	}
	return fd
}

// copyExe is for a binary that was removed or replaced while it ran.
func copyExe() error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile("exe", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return fmt.Errorf("copy this binary: %w", err)
	}
	return to.Close()
}

func openPath(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// bindFd makes target, a file or a folder as fd is, and binds fd on it.
func bindFd(fd int, target string, flags uintptr) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	var err error
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err = os.Mkdir(target, 0o755); errors.Is(err, os.ErrExist) {
			err = nil
		}
	} else {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND|flags, ""); err != nil {
		return unsupported(err, "bind "+target)
	}
	return nil
}

// mountFuse mounts the lower. No descriptor of the FUSE connection stays here: once the
// server is gone the kernel must see none, to fail the waiting requests.
func mountFuse(s *setup, fds []int) error {
	if len(fds) != 1 {
		return errors.New("mount fuse: no descriptor was sent")
	}
	data := fmt.Sprintf("fd=%d", fds[0])
	if s.LowerData != "" {
		data = s.LowerData + "," + data
	}
	err := unix.Mount("slim", "lower", "fuse", unix.MS_RDONLY|unix.MS_NODEV, data)
	unix.Close(fds[0])
	fds[0] = -1
	if err != nil {
		return unsupported(err, "mount fuse")
	}
	return nil
}

// overlayOptions, best first. metacopy: a chown or chmod of a big file would read all of
// it. redirect_dir: metacopy needs it. xino=off: otherwise each listing looks up every
// entry. index and the last lines: for kernels that know fewer.
var overlayOptions = []string{
	",xino=off,index=off,metacopy=on,redirect_dir=on",
	",xino=off,index=off",
	"",
}

func mountOverlay() error {
	// The root folder of an overlay has the upper folder's attributes: 0755 root:root,
	// as this one was made. Docker gives it that, whatever a layer says of "./".
	var err error
	for _, options := range overlayOptions {
		data := "lowerdir=lower,upperdir=upper,workdir=work" + options
		if err = unix.Mount("overlay", "root", "overlay", unix.MS_NODEV, data); !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	if err != nil {
		return unsupported(err, "mount overlay")
	}
	return nil
}

// setupNames sets what the namespaces hold besides mounts.
func setupNames(s *setup) error {
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return unsupported(err, "set the host name")
		}
	}
	if s.Domain != "" {
		if err := unix.Setdomainname([]byte(s.Domain)); err != nil {
			return unsupported(err, "set the domain name")
		}
	}
	if s.Loopback {
		if err := loopbackUp(); err != nil {
			return unsupported(err, "bring up lo")
		}
	}
	for name, value := range s.Sysctl {
		path := filepath.Join("proc/sys", strings.ReplaceAll(name, ".", "/"))
		if !strings.HasPrefix(path, "proc/sys/") {
			return fmt.Errorf("sysctl %s: bad name", name)
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return nil
}

// loopbackUp gives lo its addresses too, 127.0.0.1 and ::1.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}
