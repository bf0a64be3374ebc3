package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Signal sends a signal to the program; os.ErrProcessDone if it has ended.
func (c *Container) Signal(sig unix.Signal) error { return c.program.signal(sig) }

// Stop sends sig and waits for the program, at most grace, then kills the container; when
// it returns nil, Done is closed. Where the signal cannot have an effect it kills at once,
// with the result that docker stop has after ten seconds. If ctx ends, it kills too and
// gives the context's error.
func (c *Container) Stop(ctx context.Context, sig unix.Signal, grace time.Duration) error {
	deaf, err := c.deaf(sig)
	if err == nil && !deaf {
		err = c.Signal(sig)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop container: %w", err)
	}
	if !deaf {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.done:
			return nil
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := c.Signal(unix.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop container: %w", err)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// deaf reports whether the program, as PID 1, can never act on sig: it neither handles nor
// blocks it. A blocked signal stays pending for sigwait(3) or a later handler; one with
// its default action is dropped (sig_task_ignored in kernel/signal.c).
func (c *Container) deaf(sig unix.Signal) (bool, error) {
	if sig == unix.SIGKILL || sig == unix.SIGSTOP {
		return false, nil
	}
	if c.program.ended() {
		return false, os.ErrProcessDone
	}
	status, err := os.ReadFile(c.procPath(strconv.Itoa(c.program.pid) + "/status"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return false, os.ErrProcessDone
	}
	if err != nil {
		return false, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigBlk" && name != "SigCgt" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return false, fmt.Errorf("parse %s: %w", name, err)
		}
		if mask&(1<<(sig-1)) != 0 {
			return false, nil
		}
	}
	return true, nil
}
