package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ExecOptions of Exec, as docker exec.
type ExecOptions struct {
	Args           []string
	Stdout, Stderr io.Writer // nil discards
}

// Exec runs a command inside, as docker exec, with the container's user, environment,
// folder, limits and filters, and waits for it. When ctx ends, or the program, the command
// is killed. Children that outlive it keep running, but what they write is waited for no
// longer than a second.
//
// A command that is not there or cannot be executed gives ErrExec and Docker's words for
// it, a program that has ended os.ErrProcessDone.
func (c *Container) Exec(ctx context.Context, opts ExecOptions) (ExitStatus, error) {
	status, err := c.exec(ctx, opts)
	if err != nil {
		return ExitStatus{}, fmt.Errorf("exec in container: %w", err)
	}
	return status, nil
}

func (c *Container) exec(ctx context.Context, opts ExecOptions) (ExitStatus, error) {
	if !c.started.Load() || c.program.ended() {
		return ExitStatus{}, os.ErrProcessDone
	}
	t, err := c.spawn(ctx, true, opts.Stdout, opts.Stderr)
	if err != nil {
		return ExitStatus{}, err
	}
	defer t.close()
	stop := context.AfterFunc(ctx, func() { t.signal(unix.SIGKILL) })
	defer stop()
	j := &job{Join: true, Process: c.job.Process, Listen: c.job.Listen, Seccomp: c.job.Seccomp}
	j.Process.Args = opts.Args
	if _, err = t.prepare(j); err == nil {
		err = t.start(ctx, c)
	}
	if ctx.Err() != nil {
		return ExitStatus{}, ctx.Err()
	}
	if err != nil {
		t.signal(unix.SIGKILL)
		<-t.exited
		if c.program.ended() {
			err = os.ErrProcessDone
		}
		return ExitStatus{}, err
	}
	<-t.exited
	t.output.wait(t.exited)
	if ctx.Err() != nil {
		return ExitStatus{}, ctx.Err()
	}
	return t.status, nil
}

// InExec reports whether a session (setsid(2)), by its number in Proc, was begun by a
// command of Exec that still runs: such a command is the first process of one, and its
// children stay in it unless they begin their own. While the command runs its number
// cannot become another's.
func (c *Container) InExec(session int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.join && t.pid == session && session > 0 {
			return true
		}
	}
	return false
}
