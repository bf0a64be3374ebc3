package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"slim/testdata/skip"
	"slim/testdata/static"
)

// onOwnThread runs fn on a thread that ends with it. It is never the first thread, which Go
// only parks when its goroutine ends locked to it.
func onOwnThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			onOwnThread(fn)
			runtime.UnlockOSThread()
			return
		}
		fn()
	}()
	<-done
}

// filtered runs fn on a thread of its own under the filters. The descriptor is the
// listener of the first filter, if flags ask for one.
func filtered(t *testing.T, flags uintptr, filters [][]unix.SockFilter, fn func(listener int)) {
	t.Helper()
	onOwnThread(func() {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Errorf("set no_new_privs: %v", err)
			return
		}
		listener := -1
		for i, filter := range filters {
			if i > 0 {
				flags = 0
			}
			prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
			fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
			switch {
			case errno != 0:
				t.Errorf("install filter %d: %v", i, errno)
				return
			case flags != 0:
				listener = int(fd)
			}
		}
		fn(listener)
	})
}

// nativeFilter is Docker's filter on this machine.
func nativeFilter(t *testing.T) []unix.SockFilter {
	t.Helper()
	profile := dockerProfile(t, nil, defaultCapabilities...)
	switch runtime.GOARCH {
	case "amd64":
		profile.Architectures = amd64Archs
	case "arm64":
		profile.Architectures = arm64Archs
	default:
		t.Skipf("no system call table for %s", runtime.GOARCH)
	}
	filter, err := seccompFilter(&specs.Spec{Linux: &specs.Linux{Seccomp: profile}})
	if err != nil {
		t.Fatal(err)
	}
	return filter
}

// TestFilterInKernel makes calls under Docker's filter, most of which the kernel itself would
// answer otherwise to root.
func TestFilterInKernel(t *testing.T) {
	const null = 0
	tests := []struct {
		name string
		nr   uintptr
		args [3]uintptr
		want unix.Errno
	}{
		{"getpid", unix.SYS_GETPID, [3]uintptr{}, 0},
		{"read", unix.SYS_READ, [3]uintptr{^uintptr(0)}, unix.EBADF},
		{"mount", unix.SYS_MOUNT, [3]uintptr{}, unix.EPERM},
		{"unshare", unix.SYS_UNSHARE, [3]uintptr{null}, unix.EPERM},
		{"clone of a user namespace", unix.SYS_CLONE, [3]uintptr{unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)}, unix.EPERM},
		{"clone3", unix.SYS_CLONE3, [3]uintptr{}, unix.ENOSYS},
		{"keyctl", unix.SYS_KEYCTL, [3]uintptr{}, unix.EPERM},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [3]uintptr{1}, unix.EPERM},
		{"personality, asked", unix.SYS_PERSONALITY, [3]uintptr{0xffffffff}, 0},
		{"personality, BSD", unix.SYS_PERSONALITY, [3]uintptr{0x0006}, unix.EPERM},
		{"socket, Unix", unix.SYS_SOCKET, [3]uintptr{unix.AF_UNIX, 1 << 20}, unix.EINVAL},
		{"socket, AF_ALG", unix.SYS_SOCKET, [3]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET}, unix.EPERM},
		{"socket, AF_VSOCK", unix.SYS_SOCKET, [3]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}, unix.EPERM},
		{"one that no kernel has", 8000, [3]uintptr{}, unix.ENOSYS},
		{"a number that is free", 400, [3]uintptr{}, unix.EPERM},
	}
	filtered(t, 0, [][]unix.SockFilter{nativeFilter(t)}, func(int) {
		for _, tt := range tests {
			_, _, errno := unix.RawSyscall(tt.nr, tt.args[0], tt.args[1], tt.args[2])
			if errno != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, errno, tt.want)
			}
		}
	})
}

// listenerSource is a program that listens, and tries what it must not; for GOARCH=386, where
// Go's package syscall makes sockets by socketcall(2).
const listenerSource = `package main

import "syscall"

func main() {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Listen(s, 1)
	}
	if err != nil {
		println("listen:", err.Error())
	}
	println("mount:", syscall.Mount("", "", "", 0, "").Error())
	const keyctl = 288
	_, _, errno := syscall.RawSyscall(keyctl, 0, 0, 0)
	println("keyctl:", errno.Error())
}
`

// TestFilterOtherABI runs a 32-bit program under both filters.
func TestFilterOtherABI(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for i386 under amd64")
	}
	source := filepath.Join(t.TempDir(), "listener.go")
	if err := os.WriteFile(source, []byte(listenerSource), 0o644); err != nil {
		t.Fatal(err)
	}
	prog := static.Build(t, source, "GOARCH=386")
	if err := exec.Command(prog).Run(); err != nil {
		skip.Test(t, "this kernel does not run 32-bit programs: %v", err)
	}
	listen, err := listenNotifyFilter(false)
	if err != nil {
		t.Fatal(err)
	}
	heard := 0
	var out []byte
	filtered(t, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, [][]unix.SockFilter{listen, nativeFilter(t)}, func(listener int) {
		ended, end, perr := os.Pipe()
		if perr != nil {
			t.Error(perr)
			return
		}
		counted := make(chan struct{})
		go func() {
			heard = countListens(t, listener, int(ended.Fd()))
			close(counted)
		}()
		out, err = exec.Command(prog).CombinedOutput()
		end.Close()
		<-counted
		ended.Close()
		unix.Close(listener)
	})
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	if want := "mount: operation not permitted\nkeyctl: operation not permitted\n"; string(out) != want {
		t.Errorf("output %q, want %q", out, want)
	}
	if heard != 1 {
		t.Errorf("heard of %d listens, want 1", heard)
	}
}

// countListens lets calls go on, and counts them, until the pipe's other end is closed.
func countListens(t *testing.T, listener, pipe int) int {
	type notification struct { // struct seccomp_notif
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	type response struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}
	for n := 0; ; n++ {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(pipe), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(poll, -1); err == nil {
				break
			} else if err != unix.EINTR {
				t.Errorf("poll: %v", err)
				return n
			}
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return n
		}
		var note notification
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&note)); err != 0 {
			t.Errorf("receive notification: %v", err)
			return n
		}
		answer := response{id: note.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)); err != 0 {
			t.Errorf("answer notification: %v", err)
			return n
		}
	}
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}
