package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// translate turns the spec into the orders for init and for the launch.
func translate(spec *specs.Spec, lower Lower) (*setup, *job, error) {
	if spec.Process == nil {
		return nil, nil, errors.New("the spec has no process")
	}
	if hasNamespace(spec, specs.UserNamespace) {
		return nil, nil, fmt.Errorf("%w: user namespaces", ErrUnsupported)
	}
	switch {
	case lower.Type != "fuse" && lower.Type != "bind":
		return nil, nil, fmt.Errorf("lower file system %q: want fuse or bind", lower.Type)
	case lower.Type == "fuse" && lower.File == nil:
		return nil, nil, errors.New("lower file system: no descriptor of /dev/fuse")
	}
	files, err := etcFiles(spec)
	if err != nil {
		return nil, nil, err
	}
	s := &setup{
		TempDir:   os.TempDir(),
		LowerType: lower.Type,
		LowerData: lower.Data,
		Domain:    spec.Domainname,
		Loopback:  hasNamespace(spec, specs.NetworkNamespace),
	}
	if hasNamespace(spec, specs.UTSNamespace) {
		s.Hostname = spec.Hostname
	}
	j := &job{Process: translateProcess(spec.Process), Files: files}
	if spec.Root != nil {
		j.ReadOnly = spec.Root.Readonly
	}
	for _, m := range spec.Mounts {
		t := mount{Target: m.Destination, Type: m.Type, Source: m.Source, Options: m.Options}
		switch {
		case m.Type == volumeMount:
			t.Type, t.Source = "bind", ""
		case m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind"):
			t.Type, t.Source = "bind", sourcePath(len(s.Sources))
			s.Sources = append(s.Sources, bindSource{m.Source, slices.Contains(m.Options, "rbind")})
		}
		j.Mounts = append(j.Mounts, t)
	}
	if l := spec.Linux; l != nil {
		s.Sysctl = l.Sysctl
		j.Masked, j.Fixed = l.MaskedPaths, l.ReadonlyPaths
		for _, d := range l.Devices {
			t, err := translateDevice(d)
			if err != nil {
				return nil, nil, err
			}
			j.Devices = append(j.Devices, t)
		}
	}
	return s, j, nil
}

func translateProcess(p *specs.Process) process {
	t := process{
		Args: p.Args, Env: p.Env, Cwd: p.Cwd,
		UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids,
		Umask:      0o022,
		Rlimits:    p.Rlimits,
		NoNewPrivs: p.NoNewPrivileges,
	}
	if p.User.Umask != nil {
		t.Umask = *p.User.Umask
	}
	if p.Capabilities != nil {
		t.Caps = *p.Capabilities
	}
	return t
}

func translateDevice(d specs.LinuxDevice) (device, error) {
	kinds := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	kind, ok := kinds[d.Type]
	if !ok {
		return device{}, fmt.Errorf("device %s: unknown type %q", d.Path, d.Type)
	}
	t := device{Path: d.Path, Mode: kind | 0o666, Dev: unix.Mkdev(uint32(d.Major), uint32(d.Minor))}
	if d.FileMode != nil {
		t.Mode = kind | uint32(d.FileMode.Perm())
	}
	if d.UID != nil {
		t.UID = *d.UID
	}
	if d.GID != nil {
		t.GID = *d.GID
	}
	return t, nil
}

// task is a process that init started for us: the program or a command of Exec.
type task struct {
	conn   *conn // to its launch, until that execs
	join   bool  // a command of Exec
	pid    int   // in init's pid namespace
	pidfd  *os.File
	output *output
	exited chan struct{}
	status ExitStatus // valid after exited
}

// spawn has init start a launch, with pipes for its output.
func (c *Container) spawn(ctx context.Context, join bool, stdout, stderr io.Writer) (*task, error) {
	conn, peer, err := newConnPair()
	if err != nil {
		return nil, err
	}
	t := &task{conn: conn, join: join, exited: make(chan struct{})}
	out, ends, err := newOutput(stdout, stderr)
	if err != nil {
		unix.Close(peer)
		conn.close()
		return nil, err
	}
	t.output = out
	c.mu.Lock()
	id := c.nextID
	c.nextID++
	if c.tasks != nil {
		c.tasks[id] = t
	} else {
		t.end(killedStatus)
	}
	c.mu.Unlock()
	r, err := c.ask(ctx, &message{Kind: msgSpawn, ID: id, Spawn: &spawn{Join: join}}, peer, ends[0], ends[1])
	unix.Close(peer)
	closeAll(ends)
	if err == nil && len(r.fds) != 1 {
		err = errors.New("init sent no pidfd")
		closeAll(r.fds)
	}
	if err != nil {
		c.mu.Lock()
		delete(c.tasks, id)
		c.mu.Unlock()
		t.close()
		return nil, err
	}
	t.pidfd = os.NewFile(uintptr(r.fds[0]), "pidfd")
	c.mu.Lock()
	t.pid = r.m.PID
	c.mu.Unlock()
	return t, nil
}

func (t *task) end(status ExitStatus) {
	t.status = status
	close(t.exited)
}

func (t *task) close() {
	t.conn.close()
	t.output.close()
	if t.pidfd != nil {
		t.pidfd.Close()
	}
}

func (t *task) ended() bool {
	select {
	case <-t.exited:
		return true
	default:
		return false
	}
}

// signal gives os.ErrProcessDone once the process has ended.
func (t *task) signal(sig unix.Signal) error {
	raw, err := t.pidfd.SyscallConn()
	if err != nil {
		return os.ErrProcessDone
	}
	var serr error
	err = raw.Control(func(fd uintptr) { serr = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if err != nil || errors.Is(serr, unix.ESRCH) {
		return os.ErrProcessDone
	}
	if serr != nil {
		return fmt.Errorf("send %s: %w", unix.SignalName(sig), serr)
	}
	return nil
}

// prepare hands the launch its job, and gives the paths it made when all but exec is done.
func (t *task) prepare(j *job) ([]string, error) {
	if err := t.conn.send(&message{Kind: msgJob, Job: j}); err != nil {
		return nil, t.died(err)
	}
	m, _, err := t.conn.recv()
	if err != nil {
		return nil, t.died(err)
	}
	return m.Made, m.err()
}

// start lets the launch exec, and watches what listens from then on.
func (t *task) start(ctx context.Context, c *Container) error {
	stop := context.AfterFunc(ctx, func() { t.signal(unix.SIGKILL) })
	defer stop()
	if err := t.conn.send(&message{Kind: msgStart}); err != nil {
		return t.died(err)
	}
	execing, watched := false, false
	for {
		m, fds, err := t.conn.recv()
		switch {
		case errors.Is(err, io.EOF) && execing:
			if !watched {
				c.background(c.watchListens)
			}
			return ctx.Err()
		case err != nil:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return t.died(err)
		case m.Kind == msgListen && len(fds) == 1:
			watched = true
			c.mu.Lock()
			c.watchesExec = c.notesExec
			c.mu.Unlock()
			listener := newListener(fds[0])
			if !c.background(func() { c.supervise(listener) }) {
				listener.Close()
			}
		case m.Kind == msgExec:
			execing = true
		default:
			closeAll(fds)
			if err := m.err(); err != nil {
				<-t.exited
				return err
			}
			return fmt.Errorf("launch: unexpected message %q", m.Kind)
		}
	}
}

// died explains a launch that is gone without a word.
func (t *task) died(err error) error {
	<-t.exited
	return fmt.Errorf("the launch ended with status %d: %w", t.status.Code, err)
}

// output copies what a process writes.
type output struct {
	pipes  []*os.File
	copies sync.WaitGroup
}

// newOutput gives the write ends for stdout and stderr as bare, blocking descriptors.
func newOutput(stdout, stderr io.Writer) (*output, []int, error) {
	o := &output{}
	var ends []int
	for i, w := range []io.Writer{stdout, stderr} {
		if i == 1 && stdout != nil && equal(stdout, stderr) {
			end, err := unix.FcntlInt(uintptr(ends[0]), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				closeAll(ends)
				o.close()
				return nil, nil, os.NewSyscallError("dup", err)
			}
			return o, append(ends, end), nil
		}
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			closeAll(ends)
			o.close()
			return nil, nil, os.NewSyscallError("pipe2", err)
		}
		unix.SetNonblock(p[0], true)
		r := os.NewFile(uintptr(p[0]), "output")
		o.pipes, ends = append(o.pipes, r), append(ends, p[1])
		if w == nil {
			w = io.Discard
		}
		o.copies.Go(func() {
			defer r.Close()
			if _, err := io.Copy(w, r); err != nil {
				io.Copy(io.Discard, r) // the writer's trouble is not the program's
			}
		})
	}
	return o, ends, nil
}

// equal compares writers, of which not all types can be.
func equal(a, b io.Writer) (same bool) {
	defer func() { recover() }()
	return a == b
}

// wait returns when all has been written, or some time after cut is closed.
func (o *output) wait(cut <-chan struct{}) {
	finished := make(chan struct{})
	go func() {
		o.copies.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-cut:
		for _, p := range o.pipes {
			p.SetReadDeadline(time.Now().Add(lateOutput))
		}
		<-finished
	}
}

// lateOutput is how long output is waited for after a command has ended whose children
// keep its pipes open.
const lateOutput = time.Second

// close ends the copies; what has not been read is lost.
func (o *output) close() {
	for _, p := range o.pipes {
		p.Close()
	}
	o.copies.Wait()
}
