package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slim/probe/sandbox"
)

// outputLimit bounds what is kept of each stream of a command, in bytes.
const outputLimit = 16 << 10

// testName is the row that decides Options.Test.
const testName = "test exit status"

// execs runs the commands inside the container.
func (r *run) execs(ctx context.Context) error {
	for _, args := range r.opts.Exec {
		name := r.unique(execName(args))
		if r.ended() {
			r.notRun(name + " exit status")
			continue
		}
		out := NewOutput(outputLimit)
		status, err := r.c.Exec(ctx, sandbox.ExecOptions{Args: args, Stdout: out.Stdout, Stderr: out.Stderr})
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for %s: %w", name, ctx.Err())
		}
		if err != nil {
			if err := r.unexecuted(ctx, name+" exit status", err); err != nil {
				return err
			}
			continue
		}
		r.addExit(name+" exit status", status, out)
		r.addOutput(name+" ", out)
	}
	return nil
}

// unexecuted observes a command that could not be executed inside, for it is not there
// or the program has ended. Other causes are the container's, and returned.
func (r *run) unexecuted(ctx context.Context, name string, err error) error {
	switch {
	case errors.Is(err, sandbox.ErrExec):
		r.add(Observation{Name: name, Value: "cannot be run", Failed: true, Detail: err.Error()})
		return nil
	case errors.Is(err, os.ErrProcessDone):
		select {
		case <-r.c.Done():
			r.notRun(name)
			return nil
		case <-ctx.Done():
			return fmt.Errorf("waiting for the program to end: %w", ctx.Err())
		}
	}
	return err
}

// execName names a command on one line, with quotes where an argument needs them.
func execName(args []string) string {
	name := "exec"
	for _, arg := range args {
		if arg == "" || strings.ContainsFunc(arg, func(c rune) bool { return c <= ' ' || c == '"' || c == '\'' || !strconv.IsPrint(c) }) {
			arg = strconv.Quote(arg)
		}
		name += " " + arg
	}
	return name
}

// addExit observes how a command ended, which must be by exit status 0.
func (r *run) addExit(name string, status sandbox.ExitStatus, out *Output) {
	row := Observation{Name: name, Value: statusText(status), Detail: out.Stdout.Text() + out.Stderr.Text()}
	if status != (sandbox.ExitStatus{}) {
		row.Failed, row.Detail = true, out.lastWords()
	}
	r.add(row)
}

// healthArgs is the command of the health check; nil if the image has none.
func (r *run) healthArgs() []string {
	h := r.opts.Healthcheck
	if h == nil || len(h.Test) < 2 {
		return nil
	}
	switch h.Test[0] {
	case "CMD":
		return h.Test[1:]
	case "CMD-SHELL":
		shell := r.opts.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(shell[:len(shell):len(shell)], h.Test[1])
	}
	return nil // NONE
}

// healthcheck runs the image's health check once. It comes last: the server is warm
// by then, so the retries that Docker would grant are not needed. Its exit status
// alone is compared, as Docker does; its output is often a progress display.
func (r *run) healthcheck(ctx context.Context) error {
	const name = "healthcheck exit status"
	args := r.healthArgs()
	if args == nil {
		return nil
	}
	if r.ended() {
		r.notRun(name)
		return nil
	}
	timeout := r.opts.Healthcheck.Timeout
	setDefault(&timeout, 30*time.Second) // as Docker
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := NewOutput(outputLimit)
	status, err := r.c.Exec(limited, sandbox.ExecOptions{Args: args, Stdout: out.Stdout, Stderr: out.Stderr})
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for the health check: %w", ctx.Err())
	}
	if limited.Err() != nil {
		r.add(Observation{Name: name, Value: fmt.Sprintf("none within %v", timeout), Failed: true, Detail: out.lastWords()})
		return nil
	}
	if err != nil {
		return r.unexecuted(ctx, name, err)
	}
	r.addExit(name, status, out)
	return nil
}

// test runs the host's test inside the container's network. Its exit status is the
// verdict and all that is compared: what it prints is for people.
func (r *run) test(ctx context.Context) error {
	if r.opts.Test == "" {
		return nil
	}
	if r.ended() {
		r.notRun(testName)
		return nil
	}
	env, err := r.testEnv(ctx)
	if err != nil {
		return err
	}
	out := NewOutput(outputLimit)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", r.opts.Test)
	cmd.Env = env
	status, err := runGroup(cmd, r.c.StartHost, out)
	if ctx.Err() != nil {
		err := fmt.Errorf("waiting for the test %q: %w", r.opts.Test, ctx.Err())
		if r.ended() {
			err = fmt.Errorf("the program ended (exit status %s); %w", statusText(r.c.Status()), err)
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("run the test %q: %w", r.opts.Test, err)
	}
	r.addExit(testName, status, out)
	return nil
}

// testEnv is the environment of the test.
func (r *run) testEnv(ctx context.Context) ([]string, error) {
	env := append(os.Environ(), r.opts.TestEnv...)
	if r.primary == 0 {
		return env, nil
	}
	listening, err := r.listening()
	if err != nil && !r.ended() {
		return nil, err
	}
	e := r.http.endpoint(r.primary, listening)
	scheme := e.scheme
	if scheme == "" {
		scheme = "http"
		if !e.asked && r.http.speaksTLS(ctx, e) {
			scheme = "https"
		}
	}
	return append(env,
		"SLIM_URL="+scheme+"://"+e.address(),
		"SLIM_HOST="+e.hosts[0],
		"SLIM_PORT="+strconv.Itoa(int(e.port))), nil
}

// runGroup runs a command as the leader of a process group and kills what the group
// has left when the leader has ended or the command's context does, so that nothing
// stays behind and nothing left behind holds the output open. A process that has made
// a session of its own escapes. Where this process is killed, the leader dies with it.
func runGroup(cmd *exec.Cmd, start func(*exec.Cmd) error, out *Output) (sandbox.ExitStatus, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	kill := func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.Cancel = kill
	cmd.Stdout, cmd.Stderr = out.Stdout, out.Stderr
	cmd.WaitDelay = time.Second // for output that an escaped process holds open
	if err := start(cmd); err != nil {
		return sandbox.ExitStatus{}, err
	}
	// Not reaped yet, the leader keeps its number, and so the group its own.
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	kill() // ESRCH is what is hoped for
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return sandbox.ExitStatus{}, err
	}
	if w := cmd.ProcessState.Sys().(syscall.WaitStatus); w.Signaled() {
		return sandbox.ExitStatus{Code: 128 + int(w.Signal()), Signal: w.Signal()}, nil
	}
	return sandbox.ExitStatus{Code: cmd.ProcessState.ExitCode()}, nil
}
