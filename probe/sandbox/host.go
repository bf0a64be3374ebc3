package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// DialContext dials from inside the container's network. The address must be a literal
// one ("127.0.0.1:80", "[::1]:80"): a name would be looked up in the host's network.
func (c *Container) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial in container: %w", err)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return nil, fmt.Errorf("dial in container: %s: want a literal address: %w", addr, err)
	}
	// With one literal address and no fallback the dialer stays on this goroutine until
	// the socket is made, and a socket keeps the network it was made in.
	dialer := net.Dialer{FallbackDelay: -1}
	var conn net.Conn
	err = c.inNetwork(func() (err error) {
		conn, err = dialer.DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial in container: %w", err)
	}
	return conn, nil
}

// StartHost starts a command of the host inside the container's network; all else of it,
// files included, is the host's. A Pdeathsig of its own works: the thread it is started
// from stays.
func (c *Container) StartHost(cmd *exec.Cmd) error {
	if err := c.inNetwork(cmd.Start); err != nil {
		return fmt.Errorf("start in the container's network: %w", err)
	}
	return nil
}

// inNetwork calls f on a thread that is in the container's network namespace meanwhile.
func (c *Container) inNetwork(f func() error) error {
	if c.netns == nil {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer own.Close()
			err = c.enterNetwork()
		}
		if err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		err = f()
		// A thread that could not go back ends with this goroutine, never to be used again.
		if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

func (c *Container) enterNetwork() error {
	raw, err := c.netns.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
		return err
	}
	return os.NewSyscallError("setns", serr)
}
