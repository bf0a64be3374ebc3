// Package probe runs the tree of an image under a recorder, while a workload
// exercises it, and gives the trace of what was touched and the outcome that was
// observed.
//
// It knows nothing of minifying: a slim image is run by the same call as the
// original, and the two results are compared elsewhere. An event that was lost
// is an error, never a shorter trace.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/sandbox"
	"slim/probe/workload"
)

// outputLimit bounds what is kept of a program's output for display, in bytes;
// all of it is compared.
const outputLimit = 64 << 10

// Options of Run.
type Options struct {
	// Sandbox says how the image is run: its config and what the user changed.
	Sandbox sandbox.Config
	// Runs are the commands to run, each in a fresh container, as arguments after
	// the image (nil arguments are the image's own CMD). No runs is one run of
	// Sandbox.Command.
	Runs [][]string
	// Workload exercises every run. OnPhase and WaitPorts are set here.
	Workload workload.Options
	// WaitPorts are, for each run, the ports to wait for: those of the original's
	// Result when its slim image is run. nil waits as the workload's rules say.
	WaitPorts [][]uint16
	// Stdout, if set, also gets all that the program writes to its standard output.
	Stdout io.Writer
	// Programs asks for Result.Programs.
	Programs bool
}

// Result is what was recorded and observed.
type Result struct {
	Trace *Trace
	// Outcomes are those of the runs, in order.
	Outcomes []*workload.Outcome
	// Observations are those of all outcomes; with several runs each name begins
	// with its run's command.
	Observations []workload.Observation
	// Programs are what the processes of the first run were running when it was ready,
	// or had run when it ended by itself.
	Programs []sandbox.Program
	// Boot is the time until the programs were ready, Workload the time from then
	// until they had stopped; sums over the runs.
	Boot, Workload time.Duration
}

// Failed are the observations that say that the program failed by itself.
func (r *Result) Failed() []workload.Observation {
	var failed []workload.Observation
	for _, o := range r.Observations {
		if o.Failed {
			failed = append(failed, o)
		}
	}
	return failed
}

// Ports are the listening ports of each run, for Options.WaitPorts.
func (r *Result) Ports() [][]uint16 {
	ports := make([][]uint16, len(r.Outcomes))
	for i, o := range r.Outcomes {
		ports[i] = o.Ports
	}
	return ports
}

// Run runs every command of opts on the tree of fsys and unites what was
// recorded. A program that fails is not an error but a failed observation; one
// that cannot be started is sandbox.ErrStart, a machine that cannot do it
// sandbox.ErrUnsupported or record.ErrUnsupported.
func Run(ctx context.Context, fsys *rootfs.FS, opts Options) (*Result, error) {
	runs := opts.Runs
	if len(runs) == 0 {
		runs = [][]string{opts.Sandbox.Command}
	}
	result := &Result{}
	var traces []*Trace
	for i, command := range runs {
		one := opts
		one.Programs = opts.Programs && i == 0
		one.Sandbox.Command = command
		if i < len(opts.WaitPorts) {
			one.Workload.WaitPorts = opts.WaitPorts[i]
		}
		start := time.Now()
		trace, outcome, programs, err := runOnce(ctx, fsys, one)
		if one.Programs {
			result.Programs = programs
		}
		if err != nil {
			if len(runs) > 1 {
				err = fmt.Errorf("run %q: %w", strings.Join(command, " "), err)
			}
			return nil, err
		}
		result.Boot += outcome.Ready
		result.Workload += time.Since(start) - outcome.Ready
		traces = append(traces, trace)
		result.Outcomes = append(result.Outcomes, outcome)
		for _, o := range outcome.Observations {
			if len(runs) > 1 {
				o.Name = fmt.Sprintf("run %q: %s", strings.Join(command, " "), o.Name)
			}
			result.Observations = append(result.Observations, o)
		}
	}
	result.Trace = Merge(traces...)
	return result, nil
}

// runOnce makes one container over a recorder of its own: a recorder's mount
// answers each question of the kernel once, so a second run on it would look as
// if it had touched nothing.
func runOnce(ctx context.Context, fsys *rootfs.FS, opts Options) (_ *Trace, _ *workload.Outcome, programs []sandbox.Program, err error) {
	spec, err := sandbox.Plan(fsys, opts.Sandbox)
	if err != nil {
		return nil, nil, nil, err
	}
	rec, err := record.NewFUSE(fsys, record.FUSEOptions{})
	if err != nil {
		return nil, nil, nil, err
	}
	defer rec.Close()
	// A recorder that dies takes the run with it: the program would hang on it.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan struct{})
	serve := func() error {
		go func() {
			defer close(served)
			if err := rec.Serve(); err != nil {
				cancel(err)
			}
		}()
		return nil
	}

	output := workload.NewOutput(outputLimit)
	stdout := io.Writer(output.Stdout)
	if opts.Stdout != nil {
		stdout = io.MultiWriter(stdout, opts.Stdout)
	}
	c, err := sandbox.New(ctx, spec, sandbox.Options{
		Lower:    sandbox.Lower{Type: "fuse", Data: rec.MountData(), File: rec.Device(), Mounted: serve},
		Programs: opts.Programs,
		Stdout:   stdout,
		Stderr:   output.Stderr,
	})
	if err != nil {
		return nil, nil, nil, cause(ctx, err)
	}
	defer c.Close()
	rec.SetProc(c.Proc())
	rec.SetHelpers(c.InExec)
	var programsErr error
	look := func() {
		if opts.Programs && programs == nil {
			programs, programsErr = c.Programs()
		}
	}
	opts.Workload.OnPhase = func(p record.Phase) {
		if p == record.Test {
			look()
		}
		rec.SetPhase(p)
	}
	outcome, err := workload.Run(ctx, c, output, opts.Workload)
	if err != nil {
		return nil, nil, nil, cause(ctx, err)
	}
	if look(); programsErr != nil {
		return nil, nil, nil, programsErr
	}
	rec.SetPhase(record.Setup) // what follows is our own look at the tree
	changes, err := c.Changes(ctx)
	if err != nil {
		return nil, nil, nil, cause(ctx, err)
	}
	if err := c.Close(); err != nil {
		return nil, nil, nil, err
	}
	select {
	case <-served: // the mount went with the container
	case <-ctx.Done():
		return nil, nil, nil, fmt.Errorf("wait for the recorder's end: %w", context.Cause(ctx))
	}
	accesses, err := rec.Accesses()
	if err != nil {
		return nil, nil, nil, err
	}
	return &Trace{Accesses: withChanges(accesses, changes)}, outcome, programs, nil
}

// cause replaces the cancellation of ctx by what led to it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && errors.Is(err, context.Canceled) && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}

// withChanges marks what the run wrote: the recorder sees the reading side only.
func withChanges(accesses []record.Access, changes []sandbox.Change) []record.Access {
	index := make(map[string]int, len(accesses))
	for i, a := range accesses {
		index[a.Path] = i
	}
	for _, c := range changes {
		if i, ok := index[c.Path]; ok {
			accesses[i].Ops |= record.Write
			continue
		}
		accesses = append(accesses, record.Access{
			Path: c.Path, Ops: record.Write, First: len(accesses) + 1, Phase: record.Start,
		})
	}
	record.SortAccesses(accesses)
	return accesses
}
