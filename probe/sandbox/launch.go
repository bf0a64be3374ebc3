package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launch becomes a process of the container: the program itself, which first makes its
// mount namespace (launch_mounts.go), or one that joins it, as docker exec does. All of
// it runs on one thread, which execs in the end: namespaces, credentials and filters are
// the thread's own until then.
type launch struct {
	conn *conn
	job  *job
	root *tree
}

func runLaunch() int {
	runtime.LockOSThread()
	c, err := newConn(controlFd)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l := &launch{conn: c}
	err = l.run()
	c.send(&message{Kind: msgFailed, Error: newRemoteError(err)})
	return 127
}

func (l *launch) run() error {
	m, err := l.hear(msgJob)
	if err != nil {
		return err
	}
	l.job = m.Job
	ready := &message{Kind: msgReady}
	if l.job.Join {
		err = joinMounts()
	} else {
		err = l.build()
		ready.Made = l.root.made()
	}
	if err != nil {
		return err
	}
	if err := l.conn.send(ready); err != nil {
		return err
	}
	if _, err := l.hear(msgStart); err != nil {
		return err
	}
	return l.exec()
}

// hear waits for the one message that can come now.
func (l *launch) hear(kind string) (*message, error) {
	m, _, err := l.conn.recv()
	if err != nil {
		return nil, fmt.Errorf("launch: wait for %s: %w", kind, err)
	}
	if m.Kind != kind {
		return nil, fmt.Errorf("launch: %s instead of %s", m.Kind, kind)
	}
	return m, nil
}

// joinMounts enters the program's mount namespace, whose root then is this process's.
// Before that it makes itself opaque to the container's processes, which otherwise
// could trace it or take its descriptors.
func joinMounts() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns asks for it
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Setns(mountNSFd, unix.CLONE_NEWNS); err != nil {
		return unsupported(err, "enter the mount namespace")
	}
	return unix.Close(mountNSFd)
}

// exec goes through runc's steps in runc's order (libcontainer/standard_init_linux.go and
// finalizeNamespace in init_linux.go), so that each fails where and as it does there.
func (l *launch) exec() error {
	p := &l.job.Process
	unix.Umask(int(p.Umask))
	if err := setRlimits(p.Rlimits); err != nil {
		return err
	}
	if err := giveStdio(p.UID); err != nil {
		return err
	}
	if p.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl no_new_privs", err)
		}
	} else if err := l.filter(); err != nil { // needs CAP_SYS_ADMIN, or no_new_privs
		return err
	}
	// Ours are all close-on-exec; this is for what the caller of this tool left open.
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil &&
		!errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return os.NewSyscallError("close_range", err)
	}
	setName(p)
	if err := dropPrivileges(p); err != nil {
		return err
	}
	path, err := lookPath(p)
	if err != nil {
		return l.mark(err)
	}
	if p.NoNewPrivs {
		if err := l.filter(); err != nil {
			return err
		}
	}
	if err := l.conn.send(&message{Kind: msgExec}); err != nil {
		return err
	}
	resetSignals()
	return l.mark(&os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, p.Args, p.Env)})
}

// mark tells an error that the image is to blame for.
func (l *launch) mark(err error) error {
	if l.job.Join {
		return fmt.Errorf("%w: %w", ErrExec, err)
	}
	return fmt.Errorf("%w: %w", ErrStart, err)
}

// lookPath finds the program in the PATH of its own environment; errors read as Docker's.
func lookPath(p *process) (string, error) {
	if len(p.Args) == 0 {
		return "", errors.New("no command specified")
	}
	os.Unsetenv("PATH")
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			os.Setenv("PATH", v)
		}
	}
	path, err := exec.LookPath(p.Args[0])
	if errors.Is(err, exec.ErrDot) { // a wish of Go's, not of execvp
		err = nil
	}
	return path, err
}

// setName makes what is looked up from here on count as the program's.
func setName(p *process) {
	if len(p.Args) == 0 {
		return
	}
	if name, err := unix.BytePtrFromString(filepath.Base(p.Args[0])); err == nil {
		unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0) // cut to 15 bytes
	}
}

// filter installs the listen filter, whose listener it sends away, and the profile's.
func (l *launch) filter() error {
	if len(l.job.Listen) > 0 {
		// From Linux 5.19 a signal does not interrupt a call that is being answered.
		fd, err := installFilter(l.job.Listen, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
		if errors.Is(err, unix.EINVAL) {
			fd, err = installFilter(l.job.Listen, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
		}
		// Without it the parent looks for listening sockets by itself.
		if err == nil {
			err = l.conn.send(&message{Kind: msgListen}, fd)
			unix.Close(fd)
			if err != nil {
				return err
			}
		}
	}
	if len(l.job.Seccomp) > 0 {
		if _, err := installFilter(l.job.Seccomp, 0); err != nil {
			return unsupported(err, "install the seccomp profile")
		}
	}
	return nil
}

func installFilter(filter []unix.SockFilter, flags uintptr) (int, error) {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// resetSignals undoes what Go and whoever started this tool have set: exec keeps the
// signal mask and ignored signals.
func resetSignals() {
	var zero [8]uint64 // struct sigaction of every architecture: SIG_DFL, no flags, no mask
	for sig := 1; sig <= 64; sig++ {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&zero)), 0, 8, 0, 0)
	}
	unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
}

// giveStdio makes the pipes of stdin, stdout and stderr the user's, so that /dev/stdout
// can be opened by a program that is not root (runc, fixStdioPermissions). The null
// device is left alone.
func giveStdio(uid uint32) error {
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		if st.Uid == uid || st.Mode&unix.S_IFMT == unix.S_IFCHR {
			continue
		}
		if err := unix.Fchown(fd, int(uid), int(st.Gid)); err != nil {
			return fmt.Errorf("give descriptor %d to user %d: %w", fd, uid, err)
		}
	}
	return nil
}

// reopenStdin makes the container's own null device standard input.
func reopenStdin() error {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	defer unix.Close(fd)
	return os.NewSyscallError("dup3", unix.Dup3(fd, 0, 0))
}
