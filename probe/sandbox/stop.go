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

// KillReason says why Stop had to kill.
type KillReason int32

// Why Stop had to kill.
const (
	// NotKilled: the program ended by itself, or has not ended.
	NotKilled KillReason = iota
	// KilledDeaf: the program does not handle the signal, and the kernel keeps a
	// signal's default action from PID 1, so waiting would have changed nothing.
	KilledDeaf
	// KilledLate: the program was still there when the time was up.
	KilledLate
)

// Killed says whether and why Stop killed the program.
func (c *Container) Killed() KillReason { return KillReason(c.killed.Load()) }

// Signal sends a signal to the program; os.ErrProcessDone if it has ended.
func (c *Container) Signal(sig unix.Signal) error { return c.program.signal(sig) }

// Stop sends sig and waits for the program, at most grace, then kills the container; when
// it returns nil, Done is closed. Where the signal cannot have an effect it kills at once,
// with the result that docker stop has after ten seconds; see Killed. If ctx ends, it
// kills too and gives the context's error.
func (c *Container) Stop(ctx context.Context, sig unix.Signal, grace time.Duration) error {
	reason := KilledLate
	deaf, err := c.deaf(sig)
	if err == nil && deaf {
		reason, grace = KilledDeaf, 0
	} else if err == nil {
		err = c.Signal(sig)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop container: %w", err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	if reason != KilledDeaf {
		select {
		case <-c.done:
			return nil
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := c.Signal(unix.SIGKILL); err == nil {
		c.killed.CompareAndSwap(int32(NotKilled), int32(reason))
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
