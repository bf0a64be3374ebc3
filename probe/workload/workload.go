// Package workload exercises a container's program and observes it.
//
// A run starts the program, waits until it is ready or has ended, puts the checks
// to it, and stops it. What comes out is a list of observations: named rows with a
// short value each, equal between two runs where the program behaved the same, so
// that a slim image is compared with its original row by row. A program that
// misbehaves is a failed observation, never an error.
//
// It waits on events (a port begins to listen, the program ends, the context ends)
// under deadlines, and never sleeps. It speaks HTTP/1.1, with and without TLS, to
// TCP ports; of another protocol it sees only that the port accepts connections,
// and that is what Exec and Test are for.
package workload

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"slim/probe/record"
	"slim/probe/sandbox"
)

// Container is what a run needs of a *sandbox.Container.
type Container interface {
	Start(ctx context.Context) error
	Done() <-chan struct{}
	Status() sandbox.ExitStatus
	Listening() ([]sandbox.Port, error)
	Listens() <-chan struct{}
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	Exec(ctx context.Context, opts sandbox.ExecOptions) (sandbox.ExitStatus, error)
	StartHost(cmd *exec.Cmd) error
	Stop(ctx context.Context, sig unix.Signal, grace time.Duration) error
}

var _ Container = (*sandbox.Container)(nil)

// What the zero values of Options stand for.
const (
	DefaultReadyTimeout   = 60 * time.Second
	DefaultRequestTimeout = 30 * time.Second
	DefaultStopTimeout    = 10 * time.Second // as docker stop
)

// Options of Run. The zero value takes a program that ends by itself for a
// command-line tool and one that listens for a server, and crawls the latter.
type Options struct {
	// Exposed are the TCP ports that the image exposes, sorted; see ExposedPorts.
	Exposed []uint16
	// WaitPorts are the Ports of an earlier Outcome: the checks begin when all of
	// them listen, or after ReadyTimeout those that do. Without, they begin when the
	// first exposed port listens; where none is exposed, the first that the kernel has
	// not chosen itself; after ReadyTimeout, any.
	WaitPorts []uint16

	// Checks are HTTP requests that must succeed.
	Checks []HTTPCheck
	// Exec are commands to run inside the container, which must exit with 0.
	Exec [][]string
	// Test is a command line for /bin/sh -c on the host, run inside the container's
	// network; it must exit with 0. It finds the port of Outcome.Ports[0] in
	// SLIM_PORT, a literal address to reach it in SLIM_HOST, and both in SLIM_URL
	// (http://127.0.0.1:8080, https if the port speaks TLS; brackets around IPv6).
	Test string
	// TestEnv is added to this process's environment for Test, as NAME=value.
	TestEnv []string
	// Healthcheck is that of the image's config; it is run once, after all else.
	Healthcheck *v1.HealthConfig
	// Shell is that of the image's config, for a health check in shell form.
	// nil is /bin/sh -c.
	Shell []string
	// NoDefault leaves out the default checks: GET / on each exposed port that
	// listens (each port that listens if none of them is exposed) and, unless
	// Checks, Exec or Test say what to do, a crawl from there.
	NoDefault bool
	// AnyExit permits exit statuses other than 0 to a program that ends by itself
	// ("tool --help" is 2 in many tools). An end by a signal still fails.
	AnyExit bool

	// StopSignal is a name or number, as in the image's config. What Docker does
	// not know stands for SIGTERM there and here.
	StopSignal string
	// StopTimeout is how long the program may take to stop; 0 is DefaultStopTimeout.
	StopTimeout time.Duration
	// ReadyTimeout is how long the checks wait for the ports named above, or for any
	// if Exec, Test or Healthcheck can do without; then they take what there is. A
	// program that neither listens nor ends by then has failed. 0 is
	// DefaultReadyTimeout, or half of the time that is left to ctx if that is less; a
	// program without any port has that half in any case.
	ReadyTimeout time.Duration
	// RequestTimeout bounds one HTTP request with its answer's body (a crawled page
	// has a third of it); 0 is DefaultRequestTimeout.
	RequestTimeout time.Duration

	// OnPhase, if set, is called with Start just before the program is started, with
	// Test when it is ready, and with Stop before the stop signal.
	OnPhase func(record.Phase)
}

// StopName is the name of the observation of how a server ended when it was told to.
const StopName = "stop"

// Observation is one thing seen in a run.
type Observation struct {
	// Name is unique in an Outcome, and the same in each run of the same program.
	Name string
	// Value is short and printable, and equal exactly where the behaviour was.
	Value string
	// Failed says that this is wrong by itself, whatever another run shows.
	Failed bool
	// Detail is text of bounded length that shows more: the start of a body, the
	// output. It may differ where Value does not.
	Detail string
}

// Outcome is what a run has shown.
type Outcome struct {
	// Server is false for a program that ended by itself before it was exercised.
	Server bool
	// Ports are the TCP ports that listened at the end of the checks: first the one
	// that checks without a port went to, then the others in numeric order.
	Ports []uint16
	// Observations are in a fixed order: that of the checks.
	Observations []Observation
	// Ready is the time from the start to the first check, or to the end of a
	// program that ended by itself.
	Ready time.Duration
	// Status is how the program ended.
	Status sandbox.ExitStatus
}

// run is one run in the making.
type run struct {
	c    Container
	out  *Output
	opts Options
	http *client
	// primary is where checks without a port go; 0 while none listens.
	primary uint16
	names   map[string]int
	outcome *Outcome
}

// Run starts the program of c, whose output goes to out, exercises it as opts say,
// stops it, and tells what it saw. An error means that the run could not be
// completed: the program could not be started (sandbox.ErrStart), the container
// failed, or ctx ended, in which case the error says what was being waited for and
// wraps ctx.Err(). The caller closes the container.
func Run(ctx context.Context, c Container, out *Output, opts Options) (*Outcome, error) {
	setDefault(&opts.RequestTimeout, DefaultRequestTimeout)
	setDefault(&opts.StopTimeout, DefaultStopTimeout)
	r := &run{
		c: c, out: out, opts: opts,
		http:    newClient(c.DialContext, opts.RequestTimeout),
		names:   map[string]int{},
		outcome: &Outcome{},
	}
	r.phase(record.Start)
	begin := time.Now()
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	state, err := r.wait(ctx)
	if err != nil {
		return nil, err
	}
	r.outcome.Ready = time.Since(begin)
	if state == ended {
		r.endedByItself()
		return r.outcome, nil
	}
	r.outcome.Server = true
	if state == ready {
		r.phase(record.Test)
		if err := r.exercise(ctx); err != nil {
			return nil, err
		}
	}
	if r.ended() && !r.explicit() {
		// It listened for a while, as a server does that leaves the work to a child and
		// ends: how far the checks got is chance, how it ended is not.
		r.outcome = &Outcome{Ready: r.outcome.Ready}
		r.endedByItself()
		return r.outcome, nil
	}
	if err := r.stop(ctx); err != nil {
		return nil, err
	}
	return r.outcome, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

func (r *run) phase(p record.Phase) {
	if r.opts.OnPhase != nil {
		r.opts.OnPhase(p)
	}
}

func (r *run) add(o Observation) {
	r.outcome.Observations = append(r.outcome.Observations, o)
}

// unique numbers the name of a check that is put more than once.
func (r *run) unique(name string) string {
	r.names[name]++
	if n := r.names[name]; n > 1 {
		return fmt.Sprintf("%s (%d)", name, n)
	}
	return name
}

// exercise puts all checks to a program that is ready.
func (r *run) exercise(ctx context.Context) error {
	steps := []func(context.Context) error{
		r.defaultChecks, r.namedChecks, r.execs, r.test, r.healthcheck, r.ports,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the checks to be done: %w", ctx.Err())
		}
	}
	return nil
}

// ended says whether the program has.
func (r *run) ended() bool {
	select {
	case <-r.c.Done():
		return true
	default:
		return false
	}
}

// endedByItself observes a command-line program, or a server that failed to start.
func (r *run) endedByItself() {
	status := r.c.Status()
	r.outcome.Status = status
	failed := status.Signal != 0 || status.Code != 0 && !r.opts.AnyExit
	row := Observation{Name: "exit status", Value: statusText(status), Failed: failed}
	if failed {
		row.Detail = r.out.lastWords()
	}
	r.add(row)
	r.addOutput("", r.out)
	if len(r.opts.WaitPorts) > 0 {
		r.add(Observation{Name: "ready", Value: "ended before it listened", Failed: true,
			Detail: "waited for " + portList(r.opts.WaitPorts)})
	}
	for _, c := range r.opts.Checks {
		r.notRun(r.unique(c.String()) + " status")
	}
	for _, args := range r.opts.Exec {
		r.notRun(r.unique(execName(args)) + " exit status")
	}
	if r.opts.Test != "" {
		r.notRun(testName)
	}
}

// explicit says whether the caller has said what to check.
func (r *run) explicit() bool {
	return len(r.opts.Checks) > 0 || len(r.opts.Exec) > 0 || r.opts.Test != ""
}

// addOutput observes both streams of a program or command.
func (r *run) addOutput(prefix string, out *Output) {
	r.add(Observation{Name: prefix + "stdout", Value: out.Stdout.Sum(), Detail: out.Stdout.Text()})
	r.add(Observation{Name: prefix + "stderr", Value: out.Stderr.Sum(), Detail: out.Stderr.Text()})
}

// notRun fails a check for which the program was gone.
func (r *run) notRun(name string) {
	r.add(Observation{Name: name, Value: "not run", Failed: true,
		Detail: "the program had ended (exit status " + statusText(r.c.Status()) +
			"); a check needs one that keeps running"})
}

// stop ends the program as docker stop does and observes how it ended.
func (r *run) stop(ctx context.Context) error {
	if r.ended() {
		status := r.c.Status()
		r.outcome.Status = status
		r.add(Observation{Name: "program", Failed: true,
			Value:  "ended during the checks, exit status " + statusText(status),
			Detail: r.out.lastWords()})
		return nil
	}
	r.phase(record.Stop)
	sig := stopSignal(r.opts.StopSignal)
	if err := r.c.Stop(ctx, sig, r.opts.StopTimeout); err != nil {
		return fmt.Errorf("stop the program: %w", err)
	}
	select {
	case <-r.c.Done():
	case <-ctx.Done():
		return fmt.Errorf("waiting for the program to stop: %w", ctx.Err())
	}
	status := r.c.Status()
	r.outcome.Status = status
	value := "exit status " + statusText(status)
	if status.Signal == unix.SIGKILL && sig != unix.SIGKILL {
		value = "killed, " + statusText(sandbox.ExitStatus{Signal: sig}) + " did not stop it"
	}
	r.add(Observation{Name: StopName, Value: value})
	return nil
}

// stopSignal reads STOPSIGNAL as Docker does at run time, by its own parser.
func stopSignal(s string) unix.Signal {
	if sig, err := signal.ParseSignal(s); err == nil && sig > 0 && sig <= 64 {
		return sig
	}
	return unix.SIGTERM
}

// statusText is an exit status as a number or the name of the signal.
func statusText(s sandbox.ExitStatus) string {
	if s.Signal == 0 {
		return fmt.Sprint(s.Code)
	}
	if name := unix.SignalName(s.Signal); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s.Signal))
}

// portList is "port 80" or "ports 80, 443".
func portList(ports []uint16) string {
	const most = 8
	var texts []string
	for _, p := range slices.Sorted(slices.Values(ports)) {
		texts = append(texts, fmt.Sprint(p))
	}
	if more := len(texts) - most; more > 0 {
		texts = append(texts[:most], fmt.Sprintf("%d more", more))
	}
	if len(ports) == 1 {
		return "port " + texts[0]
	}
	return "ports " + strings.Join(texts, ", ")
}
