//go:build linux

// Slim makes a small container image out of a fat one: it runs the image under a
// file-access probe, keeps what the program needs, and verifies that the result
// behaves the same.
//
// This package is the command's face: flags, terminal, exit codes and report
// files. It decides nothing about images; slim/minify does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"slim/minify"
	"slim/minify/transport"
	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/sandbox"
)

// version is set by the build.
var version = "dev"

func main() {
	sandbox.Init() // becomes the container's first process when started as that
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit status. A first signal ends the work in order, a
// second at once.
func run(args []string) int {
	ctx, stop := signalContext(context.Background())
	defer stop()
	ui := newTerminal(os.Stdout, os.Stderr)
	cmd := newCommand(ui)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if c := context.Cause(ctx); c != nil && errors.Is(err, c) {
		err = c
	}
	ui.fail(err)
	return exitCode(err)
}

// errUsage marks a command line or settings file that cannot be understood.
var errUsage = errors.New("usage")

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ sig syscall.Signal }

func (i interrupted) Error() string {
	return fmt.Sprintf("stopped by %s: nothing was stored", unix.SignalName(i.sig))
}

func signalContext(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // the next one has its default effect
			cancel(interrupted{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// exitCode follows the table in the help text.
func exitCode(err error) int {
	var sig interrupted
	switch {
	case errors.As(err, &sig):
		return 128 + int(sig.sig)
	case errors.Is(err, errUsage), errors.Is(err, errNoPath), errors.Is(err, transport.ErrUsage), errors.Is(err, sandbox.ErrUsage):
		return 2
	case errors.Is(err, minify.ErrDiffers):
		return 4
	case errors.Is(err, minify.ErrOriginal), errors.Is(err, sandbox.ErrStart):
		return 3
	case errors.Is(err, minify.ErrGate):
		return 5
	case errors.Is(err, rootfs.ErrInput), errors.Is(err, transport.ErrInput):
		return 6
	case errors.Is(err, sandbox.ErrUnsupported), errors.Is(err, record.ErrUnsupported), errors.Is(err, transport.ErrUnsupported):
		return 7
	case errors.Is(err, transport.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return 75
	}
	return 1
}
