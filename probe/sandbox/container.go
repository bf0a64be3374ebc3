// Package sandbox starts an image's own process as Docker would, in namespaces.
package sandbox

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"errors"
	"io"
	"time"
)

// ErrUnsupported marks what this machine or this user cannot do (no root, no
// /dev/fuse, no namespaces); the text says what is missing. ErrStart marks an image whose
// process cannot be started: no such USER, ENTRYPOINT not found.
var (
	ErrUnsupported = errors.New("not supported here")
	ErrStart       = errors.New("the image cannot be started")
)

// Lower is the read-only file system with the image's tree, which the container's
// first process mounts as the lower layer of an overlay.
type Lower struct {
	Type string   // "fuse"
	Data string   // mount data without the descriptor: "rootmode=40000,user_id=0,…"
	File *os.File // passed as fd=N in the data
}

// Options of New.
type Options struct {
	Lower          Lower
	Stdout, Stderr io.Writer // of the program; nil discards
}

// Port is a TCP port that listens in the container.
type Port struct {
	Port uint16
	Addr netip.Addr // as bound: 0.0.0.0, ::, 127.0.0.1, …
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int         // exit status; 128+signal where a signal ended it
	Signal unix.Signal // 0 if it ended by itself
}

// ExecOptions of Exec, as docker exec.
type ExecOptions struct {
	Args           []string
	Stdout, Stderr io.Writer
}

// Container is a container made by New.
type Container struct{}

// New makes the namespaces and mounts; the program does not run yet.
func New(ctx context.Context, spec *specs.Spec, opts Options) (*Container, error) {
	panic("to be written")
}

// Proc is the procfs folder in which the kernel's process numbers, as the lower file
// system's requests carry them, can be looked up.
func (c *Container) Proc() *os.File { panic("to be written") }

// Start executes the program. An image that cannot be started gives ErrStart.
func (c *Container) Start(ctx context.Context) error { panic("to be written") }

// Done is closed when the program has ended.
func (c *Container) Done() <-chan struct{} { panic("to be written") }

// Status is how the program ended; valid after Done.
func (c *Container) Status() ExitStatus { panic("to be written") }

// Listening lists the TCP ports that listen now, sorted.
func (c *Container) Listening() ([]Port, error) { panic("to be written") }

// Listens gets a value after a process of the container has begun to listen
// (it has a buffer of one and holds no more than "something changed").
func (c *Container) Listens() <-chan struct{} { panic("to be written") }

// DialContext dials from inside the container's network.
func (c *Container) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	panic("to be written")
}

// Exec runs a command inside, as docker exec, with the container's user,
// environment, folder and limits.
func (c *Container) Exec(ctx context.Context, opts ExecOptions) (ExitStatus, error) {
	panic("to be written")
}

// StartHost starts a command of the host inside the container's network.
func (c *Container) StartHost(cmd *exec.Cmd) error { panic("to be written") }

// Signal sends a signal to the program.
func (c *Container) Signal(sig unix.Signal) error { panic("to be written") }

// Stop sends sig and waits for the program, at most grace, then kills the container.
func (c *Container) Stop(ctx context.Context, sig unix.Signal, grace time.Duration) error {
	panic("to be written")
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

// Changes lists what the run has written, sorted by path; to be called after the program
// has ended and before Close.
func (c *Container) Changes(ctx context.Context) ([]Change, error) { panic("to be written") }

// Close kills what is left and releases everything. It can be called at any time, more than once.
func (c *Container) Close() error { panic("to be written") }
