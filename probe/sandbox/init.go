package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Names (argv[0]) under which this binary runs itself.
const (
	initName   = "slim-init"
	launchName = "slim-launch"
)

// Numbers of inherited descriptors.
const (
	controlFd = 3 // the socket of init and of a launch
	mountNSFd = 4 // of a launch that joins
)

// Init must be the first call of main, and of TestMain, in every binary that makes a
// Container: a container's first processes are the same binary run again. In such a
// process Init does its work and never returns; in any other it returns at once.
func Init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case initName:
		os.Exit(runInit())
	case launchName:
		os.Exit(runLaunch())
	}
}

// initProcess is PID 1 of pid namespace A, which holds the container's other namespaces.
// It stays outside the image's tree and runs nothing of it: it makes the mounts below the
// container's root, starts launches, reaps them and reads the throw-away layer. The
// program runs in pid namespace B beneath, where it is PID 1 as under Docker.
type initProcess struct {
	conn *conn
	// Of the program, for those that join it.
	pidNS, mountNS *os.File
}

// runInit serves until the parent closes its end, on purpose or by dying; then the kernel
// ends everything in the pid namespace and unmounts all, as it does if init itself is killed.
func runInit() int {
	c, err := newConn(controlFd)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	in := &initProcess{conn: c}
	for {
		m, fds, err := c.recv()
		if err != nil {
			return 0
		}
		reply, out := in.serve(m, fds)
		closeAll(fds)
		reply.Kind, reply.Request = msgReply, m.Request
		err = c.send(reply, out...)
		closeAll(out)
		if err != nil {
			return 0
		}
	}
}

// serve answers one request; the descriptors it returns are to be sent, then closed.
func (in *initProcess) serve(m *message, fds []int) (*message, []int) {
	reply := new(message)
	var out []int
	var err error
	switch {
	case m.Kind == msgSetup && m.Setup != nil:
		out, err = in.setup(m.Setup, fds)
	case m.Kind == msgSpawn && m.Spawn != nil && len(fds) == 3:
		reply.PID, out, err = in.spawn(m.ID, m.Spawn.Join, fds)
	case m.Kind == msgChanges:
		reply.Changes, err = changes("upper", "lower", m.Made)
	default:
		err = fmt.Errorf("init: unexpected request %q", m.Kind)
	}
	reply.Error = newRemoteError(err)
	return reply, out
}

// spawn starts a launch, PID 1 of a new pid namespace or a member of the one there is,
// with its socket, stdout and stderr, and gives its pid and a pidfd. Every process that
// init can become the parent of is one it started itself: orphans of B go to B's PID 1,
// and A has no others. So waiting for each one reaps all.
func (in *initProcess) spawn(id int, join bool, fds []int) (pid int, out []int, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	files := []*os.File{null}
	for _, i := range []int{1, 2, 0} { // stdout, stderr, socket
		fd, err := unix.FcntlInt(uintptr(fds[i]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return 0, nil, os.NewSyscallError("dup", err)
		}
		f := os.NewFile(uintptr(fd), "")
		defer f.Close()
		files = append(files, f)
	}
	pidfd := -1
	attr := &os.ProcAttr{Files: files, Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	var p *os.Process
	if join {
		attr.Files = append(attr.Files, in.mountNS)
		p, err = in.startInside(attr)
	} else {
		attr.Sys.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
		p, err = os.StartProcess("exe", []string{launchName}, attr)
	}
	if err != nil {
		return 0, nil, unsupported(err, "start a process in new namespaces")
	}
	if pidfd < 0 {
		err = fmt.Errorf("%w: pidfd needs Linux 5.6", ErrUnsupported)
	} else if !join {
		err = in.openNamespaces(p.Pid)
	}
	if err != nil {
		p.Kill()
		p.Wait()
		return 0, nil, err
	}
	pid = p.Pid
	go func() {
		exited := &message{Kind: msgExited, ID: id}
		state, err := p.Wait()
		if err != nil {
			exited.Error = newRemoteError(err)
		} else {
			exited.Status = exitStatus(state.Sys().(syscall.WaitStatus))
		}
		in.conn.send(exited) // fails only if the parent is gone, and init with it
	}()
	return pid, []int{pidfd}, nil
}

func (in *initProcess) openNamespaces(pid int) (err error) {
	if in.pidNS, err = os.Open(fmt.Sprintf("proc/%d/ns/pid", pid)); err != nil {
		return err
	}
	in.mountNS, err = os.Open(fmt.Sprintf("proc/%d/ns/mnt", pid))
	return err
}

// startInside starts a launch as a child in the program's pid namespace. Only the calling
// thread's children are moved, and only until it is set back.
func (in *initProcess) startInside(attr *os.ProcAttr) (p *os.Process, err error) {
	if in.pidNS == nil {
		return nil, errors.New("the program has not been started")
	}
	own, err := os.Open("proc/self/ns/pid")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(in.pidNS.Fd()), unix.CLONE_NEWPID); err != nil {
		runtime.UnlockOSThread()
		return nil, os.NewSyscallError("setns", err)
	}
	p, err = os.StartProcess("exe", []string{launchName}, attr)
	// A thread that could not be set back stays locked, so that nothing else uses it.
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWPID); back == nil {
		runtime.UnlockOSThread()
	}
	if errors.Is(err, unix.ENOMEM) { // what fork says of a pid namespace whose PID 1 has ended
		err = os.ErrProcessDone
	}
	return p, err
}

func exitStatus(ws syscall.WaitStatus) ExitStatus {
	if ws.Signaled() {
		return ExitStatus{Code: 128 + int(ws.Signal()), Signal: ws.Signal()}
	}
	return ExitStatus{Code: ws.ExitStatus()}
}

// unsupported marks errors that say this machine or user may not do something.
func unsupported(err error, what string) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: to %s needs root (CAP_SYS_ADMIN): %w", ErrUnsupported, what, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %s: the kernel has no such file system: %w", ErrUnsupported, what, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return fmt.Errorf("%w: %s: limit of namespaces reached (sysctl user.max_*_namespaces): %w", ErrUnsupported, what, err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %s: the kernel is too old: %w", ErrUnsupported, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
