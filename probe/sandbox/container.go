// Package sandbox starts an image's own process as Docker would: Plan says how, as an OCI
// runtime spec, New and Start carry it out in namespaces, without a runtime or a
// daemon, over a read-only tree and a layer for writes that is thrown away.
//
// Whatever ends it, this process included, nothing stays: no process, mount, network or
// file. The host's files and network are out of reach but for what the spec binds.
//
// It needs root and Linux 5.6; there are no cgroups, so no limits of memory or processors,
// and no terminal. Binaries that use it call Init first.
package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrUnsupported marks what this machine or this user cannot do (no root, no
// /dev/fuse, no namespaces); the text says what is missing. ErrStart marks an image whose
// process cannot be started: no such USER, ENTRYPOINT not found. ErrExec is the same for
// a command of Exec.
var (
	ErrUnsupported = errors.New("not supported here")
	ErrStart       = errors.New("the image cannot be started")
	ErrExec        = errors.New("the command cannot be executed in the container")
)

// Lower is the read-only file system with the image's tree, which the container's
// first process mounts as the lower layer of an overlay.
//
// This process must not touch that mount, be it through /proc/PID/root: where it serves
// the file system itself it would wait for its own answer.
type Lower struct {
	// Type is "fuse", or "bind" for a folder that holds the tree.
	Type string
	// Data is the mount data without the descriptor, "rootmode=40000,user_id=0,…";
	// for "bind" the folder.
	Data string
	// File is /dev/fuse, opened for this mount; passed as fd=N in the data. The
	// caller closes it, after Close. nil for "bind".
	File *os.File
	// Mounted, if not nil, is called once by New when the file system has been mounted:
	// only from then on can File be read, and New waits until the root folder's attributes
	// have been answered. The server must serve until Close has returned.
	Mounted func() error
}

// Options of New.
type Options struct {
	Lower Lower
	// Programs has the container note what its processes run, for the method.
	Programs       bool
	Stdout, Stderr io.Writer // of the program; nil discards. Equal ones get one pipe, so the order is kept
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int         // exit status; 128+signal where a signal ended it
	Signal unix.Signal // 0 if it ended by itself
}

var killedStatus = ExitStatus{Code: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL}

// Container is a container made by New. Its methods may be called by several goroutines.
//
// It is a tree of processes: init, this binary again, is PID 1 of a pid namespace and holds
// the network, ipc and uts namespaces and all mounts; below it the program is PID 1 of
// a pid namespace of its own with its own mounts, as under Docker. Whatever ends init
// ends everything, and init ends with this process: killed by the kernel if the thread
// that made it dies, and by itself when its socket closes. Nothing of it is visible in
// the host's mount namespace, so nothing can be left there.
//
// Device nodes that the program makes cannot be opened (mounts are nodev), which
// stands in for Docker's device cgroup. One thing is missing: a seccomp listener of
// the program's own, where the one for Listens is installed; the kernel allows one.
type Container struct {
	conn    *conn
	cmd     *exec.Cmd
	stderr  bytes.Buffer  // of init: what Go says when it crashes
	running chan struct{} // cmd has been started, or could not be
	gone    chan struct{} // init has been waited for
	lost    chan struct{} // the connection to init has ended

	request   sync.Mutex // one at a time
	requestID int
	replies   chan reply
	mounted   func() error
	mountErr  error // of mounted; written before lost is closed

	mu      sync.Mutex
	tasks   map[int]*task // nil once lost
	nextID  int
	closing bool
	// What processes run, by process; watchesExec once the kernel tells of it.
	programs    map[int]Program
	notesExec   bool
	watchesExec bool

	job     *job
	made    []string
	program *task
	proc    *os.File // procfs of init's pid namespace
	netns   *os.File // nil with the host's network
	started atomic.Bool
	listens chan struct{}
	done    chan struct{}

	work      sync.WaitGroup // reader, pumps, supervisors
	closeOnce sync.Once
}

type reply struct {
	m   *message
	fds []int
}

// New makes the namespaces and mounts; the program does not run yet. It needs root and
// Linux 5.6, and gives ErrUnsupported with what is missing otherwise.
func New(ctx context.Context, spec *specs.Spec, opts Options) (*Container, error) {
	c := &Container{
		running: make(chan struct{}),
		gone:    make(chan struct{}),
		lost:    make(chan struct{}),
		replies: make(chan reply, 1),
		mounted: opts.Lower.Mounted,
		tasks:   map[int]*task{},
		listens: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	stop := context.AfterFunc(ctx, c.kill) // whatever is waited for ends with init
	err := c.make(ctx, spec, opts)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("make container: %w", err)
	}
	return c, nil
}

func (c *Container) make(ctx context.Context, spec *specs.Spec, opts Options) error {
	s, j, err := translate(spec, opts.Lower)
	if err == nil {
		err = c.startInit(spec)
	} else {
		close(c.running)
		close(c.gone)
	}
	if err != nil {
		close(c.lost)
		return err
	}
	c.job, c.notesExec = j, opts.Programs
	// While init starts.
	if j.Seccomp, err = seccompFilter(spec); err != nil {
		return err
	}
	if j.Listen, err = listenNotifyFilter(opts.Programs); err != nil {
		j.Listen = nil // no such filter for this machine: see watchListens
	}
	if err := c.setup(ctx, s, opts.Lower); err != nil {
		return err
	}
	c.program, err = c.spawn(ctx, false, opts.Stdout, opts.Stderr)
	if err != nil {
		return err
	}
	c.work.Go(func() {
		<-c.program.exited
		c.program.output.wait(nil)
		close(c.done)
	})
	c.made, err = c.program.prepare(j)
	return err
}

// setup has init make the mounts.
func (c *Container) setup(ctx context.Context, s *setup, lower Lower) error {
	r, err := withFd(lower.File, func(fds ...int) (reply, error) {
		return c.ask(ctx, &message{Kind: msgSetup, Setup: s}, fds...)
	})
	if err != nil {
		return err
	}
	defer closeAll(r.fds)
	if len(r.fds) != 1 {
		return errors.New("init sent no procfs")
	}
	proc, err := unix.FcntlInt(uintptr(r.fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	c.proc = os.NewFile(uintptr(proc), "container's /proc")
	if s.Loopback {
		c.netns, err = os.Open(c.procPath("1/ns/net"))
	}
	return err
}

// withFd calls f with the bare descriptor of file, if there is one, and leaves its mode alone.
func withFd(file *os.File, f func(fds ...int) (reply, error)) (r reply, err error) {
	if file == nil {
		return f()
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return reply{}, err
	}
	if cerr := raw.Control(func(fd uintptr) { r, err = f(int(fd)) }); cerr != nil {
		return reply{}, cerr
	}
	return r, err
}

// startInit runs this binary again as init in new namespaces.
func (c *Container) startInit(spec *specs.Spec) error {
	conn, peer, err := newConnPair()
	if err != nil {
		close(c.running)
		close(c.gone)
		return err
	}
	c.conn = conn
	remote := os.NewFile(uintptr(peer), "init's socket")
	defer remote.Close()
	c.cmd = &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{initName},
		Env:        []string{"GOMAXPROCS=1", "GOTRACEBACK=single"},
		Dir:        "/",
		Stderr:     &c.stderr,
		ExtraFiles: []*os.File{remote},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: cloneFlags(spec),
			Pdeathsig:  unix.SIGKILL,
			Setsid:     true, // a terminal's signals are this process's to handle
		},
	}
	go func() {
		defer close(c.gone)
		// The death signal comes when the thread ends, not the process: this goroutine
		// keeps it until init is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err = c.cmd.Start()
		close(c.running)
		if err == nil {
			c.cmd.Wait() // how it ended is told by what it left unsaid: see lostError
		}
	}()
	if <-c.running; err != nil {
		return unsupported(err, "make namespaces")
	}
	c.work.Go(c.read)
	return nil
}

// cloneFlags are init's namespaces; those for pids and mounts are not a choice.
func cloneFlags(spec *specs.Spec) uintptr {
	flags := uintptr(unix.CLONE_NEWPID | unix.CLONE_NEWNS)
	for kind, flag := range map[specs.LinuxNamespaceType]uintptr{
		specs.NetworkNamespace: unix.CLONE_NEWNET,
		specs.IPCNamespace:     unix.CLONE_NEWIPC,
		specs.UTSNamespace:     unix.CLONE_NEWUTS,
		specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
	} {
		if hasNamespace(spec, kind) {
			flags |= flag
		}
	}
	return flags
}

// read hears init until the connection ends, and then speaks for it: what it ran is dead.
func (c *Container) read() {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, t := range c.tasks {
			t.end(killedStatus)
		}
		c.tasks = nil
		close(c.lost)
	}()
	for {
		m, fds, err := c.conn.recv()
		if err != nil {
			return
		}
		switch m.Kind {
		case msgMounted:
			if c.mounted != nil {
				if c.mountErr = c.mounted(); c.mountErr != nil {
					return
				}
			}
		case msgExited:
			c.mu.Lock()
			if t := c.tasks[m.ID]; t != nil {
				delete(c.tasks, m.ID)
				t.end(m.Status)
			}
			c.mu.Unlock()
		case msgReply:
			select {
			case old := <-c.replies: // nobody waits for it any more
				closeAll(old.fds)
			default:
			}
			c.replies <- reply{m, fds}
		}
	}
}

// ask sends init a request and waits for the reply. A request that ctx ends before has
// its reply thrown away when it comes.
func (c *Container) ask(ctx context.Context, m *message, fds ...int) (reply, error) {
	c.request.Lock()
	defer c.request.Unlock()
	c.requestID++
	m.Request = c.requestID
	if err := c.conn.send(m, fds...); err != nil {
		return reply{}, c.lostError(err)
	}
	for {
		select {
		case r := <-c.replies:
			if r.m.Request != m.Request {
				closeAll(r.fds)
				continue
			}
			if err := r.m.err(); err != nil {
				closeAll(r.fds)
				return reply{}, err
			}
			return r, nil
		case <-c.lost:
			return reply{}, c.lostError(io.ErrUnexpectedEOF)
		case <-ctx.Done():
			return reply{}, ctx.Err()
		}
	}
}

// lostError explains a broken connection: init is dead or about to die.
func (c *Container) lostError(err error) error {
	c.kill()
	<-c.lost
	<-c.gone
	if c.mountErr != nil {
		return c.mountErr
	}
	if c.closed() {
		return os.ErrClosed
	}
	if text := strings.TrimSpace(c.stderr.String()); text != "" {
		return fmt.Errorf("the container's init ended: %s", text)
	}
	return fmt.Errorf("the container's init ended (%v): %w", c.cmd.ProcessState, err)
}

// Proc is the procfs folder in which the kernel's process numbers, as the lower file
// system's requests carry them, can be looked up. It belongs to the container.
func (c *Container) Proc() *os.File { return c.proc }

// procPath names a file of Proc.
func (c *Container) procPath(name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", c.proc.Fd(), name)
}

// Start executes the program. An image that cannot be started gives ErrStart and Docker's
// words for it; it can be called once.
func (c *Container) Start(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("start container: it has been started before")
	}
	if err := c.program.start(ctx, c); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}

// Done is closed when the program has ended, every process of the container with it, and
// its output has been written.
func (c *Container) Done() <-chan struct{} { return c.done }

// Status is how the program ended; valid after Done.
func (c *Container) Status() ExitStatus { return c.program.status }

// Changes lists what the run has written, sorted by path; to be called after the program
// has ended and before Close. What the set-up made for mount points is left out, and so
// is a folder of which no more than the entries changed. A removed folder is one change,
// and so is one renamed as a whole.
//
// For each path that the run wrote it asks the lower file system what was there before,
// so a recorder must have been stopped, its server not.
func (c *Container) Changes(ctx context.Context) ([]Change, error) {
	r, err := c.ask(ctx, &message{Kind: msgChanges, Made: c.made})
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	return r.m.Changes, nil
}

// ChangeKind tells the changes of the throw-away layer apart.
type ChangeKind uint8

// The kinds of change.
const (
	Created ChangeKind = iota
	Modified
	Deleted
)

// Change is one path that the run created, changed or removed.
type Change struct {
	Path string
	Kind ChangeKind
}

// Close kills what is left and releases everything. It can be called at any time, more than
// once; when it returns no process of the container is there any more. It waits for
// the writers of the output, and for init, which needs the lower file system served.
func (c *Container) Close() error {
	c.closeOnce.Do(c.release)
	return nil
}

// kill ends init, and with it everything in its namespaces.
func (c *Container) kill() {
	<-c.running
	if c.cmd != nil && c.cmd.Process != nil {
		c.cmd.Process.Kill()
	}
}

// background runs f in a goroutine that Close waits for; false if Close has begun.
func (c *Container) background(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.work.Go(f)
	return true
}

func (c *Container) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

func (c *Container) release() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.kill()
	<-c.gone
	if c.conn != nil {
		c.conn.close()
	}
	<-c.lost
	c.work.Wait()
	if c.program != nil {
		c.program.close()
	}
	select {
	case r := <-c.replies:
		closeAll(r.fds)
	default:
	}
	for _, f := range []*os.File{c.proc, c.netns} {
		if f != nil {
			f.Close()
		}
	}
}
