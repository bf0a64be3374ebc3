package sandbox

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Port is a TCP port that listens in the container.
type Port struct {
	Port uint16
	Addr netip.Addr // as bound: 0.0.0.0, ::, 127.0.0.1, …
}

// Listens gets a value after a process of the container has begun to listen
// (it has a buffer of one and holds no more than "something changed"). When the value
// comes the socket does listen.
//
// The kernel tells of each listen(2) through a seccomp filter. Where it cannot (another
// filter has a listener already, or the kernel is older than Linux 5.6), values come
// at short intervals instead and mean "look".
func (c *Container) Listens() <-chan struct{} { return c.listens }

func (c *Container) notifyListen() {
	select {
	case c.listens <- struct{}{}:
	default:
	}
}

// lookInterval is how often Listens ticks where nothing tells of listen(2).
const lookInterval = 50 * time.Millisecond

// watchListens stands in for supervise.
func (c *Container) watchListens() {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.notifyListen()
		case <-c.program.exited:
			return
		}
	}
}

// seccompNotif is struct seccomp_notif, seccompResponse struct seccomp_notif_resp
// (linux/seccomp.h).
type (
	seccompNotif struct {
		id    uint64
		pid   uint32
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	seccompResponse struct {
		id    uint64
		val   int64
		errno int32
		flags uint32
	}
)

// supervise answers each listen(2) of the processes under one filter, until none is left.
// It makes the call itself on the process's own socket: then the socket listens before
// anybody hears of it, and the process goes on after that.
func (c *Container) supervise(listener *os.File) {
	defer listener.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-c.lost: // before Linux 5.9 the listener does not tell that nobody is left
			listener.Close()
		case <-over:
		}
	}()
	raw, err := listener.SyscallConn()
	if err != nil {
		return
	}
	blind := false
	raw.Read(func(fd uintptr) (done bool) {
		for {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(p, 0); errors.Is(err, unix.EINTR) {
				continue
			} else if n == 0 {
				return false
			}
			if p[0].Revents&unix.POLLIN == 0 { // POLLHUP: nobody is left
				return true
			}
			if !c.answer(int(fd)) && !blind {
				blind = true
				c.background(c.watchListens)
			}
		}
	})
}

// newListener takes over a seccomp listener; one that does not block is the poller's to watch.
func newListener(fd int) *os.File {
	unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "seccomp listener")
}

// answer deals with one call. It is false if the kernel had to be told to go on with a
// call that may be for TCP, and nobody knows when it is through.
func (c *Container) answer(listener int) bool {
	var req seccompNotif
	if notifIoctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&req)) != 0 {
		return true // it died or was interrupted, and will ask again
	}
	resp := seccompResponse{id: req.id}
	if isExec(&req) {
		c.noteExec(&req)
		resp.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		notifIoctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&resp))
		return true
	}
	sock, err := takeSocket(int(req.pid), int(int32(req.args[0])))
	if err == nil {
		defer unix.Close(sock)
		// Only now is it certain that req.pid was the asking process.
		err = errnoError(notifIoctl(listener, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&req.id)))
	}
	told := true
	switch {
	case errors.Is(err, unix.ENOENT):
		return true // it is gone
	case err == nil && isTCP(sock):
		var errno unix.Errno
		if errors.As(unix.Listen(sock, int(int32(req.args[1]))), &errno) {
			resp.errno = -int32(errno)
		}
	default:
		resp.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		told = err == nil || errors.Is(err, unix.EBADF) // it will not listen on TCP
	}
	notifIoctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&resp))
	c.notifyListen()
	return told
}

// isTCP reports whether a descriptor is a socket of the kind that Listening lists. For
// others the call cannot be made here: a unix socket keeps who called listen(2), for its
// clients to ask (SO_PEERCRED in unix(7)).
func isTCP(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && (domain == unix.AF_INET || domain == unix.AF_INET6)
}

// takeSocket duplicates a descriptor of a thread, of which only its process has a pidfd
// before Linux 6.9.
func takeSocket(tid, fd int) (int, error) {
	pidfd, err := unix.PidfdOpen(tid, unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) {
		var tgid int
		if tgid, err = processOf(tid); err == nil {
			pidfd, err = unix.PidfdOpen(tgid, 0)
		}
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(pidfd)
	return unix.PidfdGetfd(pidfd, fd, 0)
}

func processOf(tid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(status, []byte("\nTgid:"))
	if !ok {
		return 0, fmt.Errorf("/proc/%d/status has no Tgid", tid)
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(bytes.TrimSpace(line)))
}

func notifIoctl(fd int, request uint, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	return errno
}

func errnoError(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// Listening lists the TCP ports that listen now, sorted: those of which a process of the
// container has the socket, also where the network is the host's.
func (c *Container) Listening() ([]Port, error) {
	owned, err := c.sockets()
	if err != nil {
		return nil, fmt.Errorf("list the container's sockets: %w", err)
	}
	var ports []Port
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(c.procPath("1/net/" + table))
		if errors.Is(err, os.ErrNotExist) && table == "tcp6" {
			continue // no IPv6 in this kernel
		}
		if err != nil {
			return nil, fmt.Errorf("list listening ports: %w", err)
		}
		found, err := listeningIn(f, owned)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("list listening ports: %w", err)
		}
		ports = append(ports, found...)
	}
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr))
	})
	return slices.Compact(ports), nil
}

// listeningIn reads a table of /proc/net/tcp's form (Documentation/networking/proc_net_tcp.rst):
// the second field is the local address, the fourth the state (0A listens), the tenth
// the socket's inode.
func listeningIn(r io.Reader, owned map[string]bool) ([]Port, error) {
	var ports []Port
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != "0A" || !owned[f[9]] {
			continue
		}
		p, err := parsePort(f[1])
		if err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, lines.Err()
}

// parsePort reads "0100007F:1F90": the address in words of the host's byte order, the
// port as a number.
func parsePort(s string) (Port, error) {
	addr, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(addr)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return Port{}, fmt.Errorf("address %q of /proc/net/tcp", s)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return Port{}, fmt.Errorf("address %q of /proc/net/tcp", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, _ := netip.AddrFromSlice(raw)
	return Port{Port: uint16(n), Addr: ip}, nil
}

// sockets are the inodes of the sockets that the container's processes have open.
func (c *Container) sockets() (map[string]bool, error) {
	owned := map[string]bool{}
	pids, err := os.ReadDir(c.procPath(""))
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		if _, err := strconv.Atoi(pid.Name()); err != nil || pid.Name() == "1" {
			continue
		}
		dir := c.procPath(pid.Name() + "/fd")
		fds, _ := os.ReadDir(dir) // a process can end meanwhile
		for _, fd := range fds {
			target, _ := os.Readlink(dir + "/" + fd.Name())
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				owned[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return owned, nil
}
