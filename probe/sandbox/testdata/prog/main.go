// Prog is what the tests run inside containers: many small programs in one static binary.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var commands = map[string]func(args []string) error{
	"exit":      func(a []string) error { n, err := strconv.Atoi(a[0]); os.Exit(n); return err },
	"echo":      func(a []string) error { fmt.Println(strings.Join(a, " ")); return nil },
	"stderr":    func(a []string) error { fmt.Fprintln(os.Stderr, strings.Join(a, " ")); return nil },
	"status":    status,
	"cat":       cat,
	"ls":        ls,
	"write":     func(a []string) error { return os.WriteFile(a[0], []byte(a[1]), 0o644) },
	"append":    appendTo,
	"mkdir":     func(a []string) error { return os.Mkdir(a[0], 0o755) },
	"rm":        func(a []string) error { return os.RemoveAll(a[0]) },
	"mv":        func(a []string) error { return os.Rename(a[0], a[1]) },
	"chmod":     chmod,
	"mknod":     func(a []string) error { return syscall.Mknod(a[0], syscall.S_IFCHR|0o666, 1<<8|3) },
	"mount":     func(a []string) error { return syscall.Mount("tmpfs", a[0], "tmpfs", 0, "") },
	"stat":      stat,
	"kill":      kill,
	"wait":      wait,
	"trap":      trap,
	"hold":      hold,
	"listen":    listen,
	"dial":      dial,
	"orphans":   orphans,
	"zeros":     zeros,
	"closed":    closed,
	"fds":       fds,
	"limits":    limits,
	"badlisten": badListen,
	"peer":      peer,
	"killself":  func([]string) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) },
	"stay":      stay,
	"child":     child,
}

func main() {
	// Several commands in one run: a b , c d
	args := os.Args[1:]
	for len(args) > 0 {
		n := slices.Index(args, ",")
		if n < 0 {
			n = len(args)
		}
		if err := commands[args[0]](args[1:n]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		args = args[min(n+1, len(args)):]
	}
}

// status prints the named fields of /proc/self/status and more of the kind.
func status(names []string) error {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, name := range names {
		switch name {
		case "pid":
			fmt.Println("pid", os.Getpid())
		case "sid":
			sid, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
			fmt.Println("sid", sid)
		case "hostname":
			h, err := os.Hostname()
			if err != nil {
				return err
			}
			fmt.Println("hostname", h)
		case "cwd":
			wd, err := os.Getwd()
			if err != nil {
				return err
			}
			fmt.Println("cwd", wd)
		case "umask":
			fmt.Printf("umask %03o\n", syscall.Umask(0))
		default:
			for _, line := range strings.Split(string(raw), "\n") {
				if k, v, _ := strings.Cut(line, ":"); k == name {
					fmt.Println(name, strings.Join(strings.Fields(v), " "))
				}
			}
		}
	}
	return nil
}

func cat(paths []string) error {
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		os.Stdout.Write(b)
	}
	return nil
}

func ls(paths []string) error {
	for _, p := range paths {
		entries, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	}
	return nil
}

func appendTo(a []string) error {
	f, err := os.OpenFile(a[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(a[1])
	return err
}

func chmod(a []string) error {
	mode, err := strconv.ParseUint(a[0], 8, 32)
	if err != nil {
		return err
	}
	return syscall.Chmod(a[1], uint32(mode))
}

func stat(paths []string) error {
	for _, p := range paths {
		var st syscall.Stat_t
		if err := syscall.Lstat(p, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: p, Err: err}
		}
		fmt.Printf("%s %o %d:%d", p, st.Mode, st.Uid, st.Gid)
		if st.Mode&syscall.S_IFMT == syscall.S_IFCHR {
			fmt.Printf(" %d:%d", st.Rdev>>8, st.Rdev&0xff)
		}
		fmt.Println()
	}
	return nil
}

func kill(a []string) error {
	pid, err := strconv.Atoi(a[0])
	if err != nil {
		return err
	}
	sig, err := strconv.Atoi(a[1])
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.Signal(sig))
}

// wait blocks for good, as one that ignores SIGTERM.
func wait([]string) error {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("waiting")
	time.Sleep(time.Hour) // the runtime takes a bare select for a deadlock
	return nil
}

// trap exits with a status of its own on SIGTERM.
func trap([]string) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println("trapping")
	<-c
	os.Exit(42)
	return nil
}

// hold takes note of SIGTERM and goes on.
func hold([]string) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println("holding")
	for range c {
		fmt.Println("term")
	}
	return nil
}

// listen serves a greeting on each address, in order, after reading a byte of the
// fifo if the first is "after FIFO".
func listen(addrs []string) error {
	if addrs[0] == "after" {
		b, err := os.ReadFile(addrs[1])
		if err != nil {
			return err
		}
		fmt.Printf("%s", b)
		addrs = addrs[2:]
	}
	errs := make(chan error)
	for _, a := range addrs {
		network := "tcp4" // "tcp" would make 0.0.0.0 a socket of both
		if strings.HasPrefix(a, "[") {
			network = "tcp6"
		}
		l, err := net.Listen(network, a)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					errs <- err
					return
				}
				fmt.Fprintf(c, "hello from %s\n", a)
				c.Close()
			}
		}()
	}
	return <-errs
}

func dial(a []string) error {
	c, err := net.DialTimeout("tcp", a[0], 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.Copy(os.Stdout, c)
	return err
}

// orphans makes processes whose parent ends at once, and waits until they are all
// its own and dead: PID 1 must get them.
func orphans(a []string) error {
	n, err := strconv.Atoi(a[0])
	if err != nil {
		return err
	}
	for range n {
		// The middle one starts a child that outlives it.
		cmd := exec.Command("/proc/self/exe", "closed", "leave")
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	reaped := 0
	for reaped < n {
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(-1, &ws, 0, nil); err != nil {
			return err
		}
		reaped++
	}
	fmt.Println("reaped", reaped)
	return nil
}

// closed leave starts a child and ends before it; the child goes when the pipe closes.
func closed(a []string) error {
	if len(a) > 0 && a[0] == "leave" {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd := exec.Command("/proc/self/exe", "closed")
		cmd.Stdin = r
		if err := cmd.Start(); err != nil {
			return err
		}
		_ = w // closed by this process's end
		return nil
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func zeros(a []string) error {
	n, err := strconv.ParseInt(a[0], 10, 64)
	if err != nil {
		return err
	}
	_, err = io.CopyN(os.Stdout, bytes.NewReader(make([]byte, n)), n)
	return err
}

// fds prints the descriptors that came with exec.
func fds([]string) error {
	for fd := range 64 {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) != nil {
			continue
		}
		target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if strings.HasPrefix(target, "anon_inode:[event") { // the Go runtime's own
			continue
		}
		kind, _, _ := strings.Cut(target, ":")
		fmt.Println(fd, kind)
	}
	return nil
}

func limits([]string) error {
	for _, l := range []struct {
		name  string
		which int
	}{{"NOFILE", syscall.RLIMIT_NOFILE}, {"CORE", syscall.RLIMIT_CORE}, {"NPROC", 6}} {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(l.which, &r); err != nil {
			return err
		}
		fmt.Println(l.name, r.Cur, r.Max)
	}
	return nil
}

// badListen prints what listen(2) says of things that cannot, and of one that can.
func badListen([]string) error {
	say := func(err error) string {
		switch err {
		case nil:
			return "ok"
		case syscall.EBADF:
			return "EBADF"
		case syscall.ENOTSOCK:
			return "ENOTSOCK"
		case syscall.EOPNOTSUPP:
			return "EOPNOTSUPP"
		}
		return err.Error()
	}
	udp, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	tcp, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	fmt.Println(say(syscall.Listen(udp, 1)), say(syscall.Listen(-1, 1)), say(syscall.Listen(0, 1)), say(syscall.Listen(tcp, 1)))
	return nil
}

// peer prints whom a client of its own unix socket takes for the server.
func peer([]string) error {
	l, err := net.Listen("unix", "@peer")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("unix", "@peer")
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		fmt.Println(cred, err)
	})
}

// stay leaves a child behind that keeps stdout and stderr open.
func stay([]string) error {
	cmd := exec.Command("/proc/self/exe", "wait")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Start()
}

// child runs one of these programs as another process.
func child(a []string) error {
	cmd := exec.Command("/proc/self/exe", a...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
