package record

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// step does one thing in a child: a verb and a path. The calls are bare, so that
// the Go library adds none of its own.
func step(text string) error {
	verb, path, _ := strings.Cut(text, " ")
	args := strings.Fields(path)
	verb, missing := strings.CutPrefix(verb, "!")
	do, ok := verbs[verb]
	if !ok {
		return errors.New("no such verb")
	}
	err := do(path, args)
	if missing {
		if err == nil {
			return errors.New("should have failed")
		}
		return nil
	}
	return err
}

var verbs = map[string]func(path string, args []string) error{
	"stat":     func(p string, _ []string) error { return unix.Stat(p, new(unix.Stat_t)) },
	"lstat":    func(p string, _ []string) error { return unix.Lstat(p, new(unix.Stat_t)) },
	"access":   func(p string, _ []string) error { return unix.Access(p, unix.R_OK) },
	"chdir":    func(p string, _ []string) error { return unix.Chdir(p) },
	"mkdir":    func(p string, _ []string) error { return unix.Mkdir(p, 0o755) },
	"unlink":   func(p string, _ []string) error { return unix.Unlink(p) },
	"chown":    func(p string, _ []string) error { return unix.Chown(p, 7, 7) },
	"truncate": func(p string, _ []string) error { return withFile(p, unix.O_WRONLY|unix.O_TRUNC, write) },
	"append":   func(p string, _ []string) error { return withFile(p, unix.O_WRONLY|unix.O_APPEND, write) },
	"create":   func(p string, _ []string) error { return withFile(p, unix.O_WRONLY|unix.O_CREAT, write) },
	"open":     func(p string, _ []string) error { return withFile(p, unix.O_RDONLY, func(int) error { return nil }) },
	"opath":    func(p string, _ []string) error { return withFile(p, unix.O_PATH, func(int) error { return nil }) },
	"read":     func(p string, _ []string) error { return withFile(p, unix.O_RDONLY, readAll) },
	"list":     func(p string, _ []string) error { return withFile(p, unix.O_RDONLY|unix.O_DIRECTORY, list) },
	"mmap":     func(p string, _ []string) error { return withFile(p, unix.O_RDONLY, mapped) },
	"readlink": func(p string, _ []string) error {
		_, err := unix.Readlink(p, make([]byte, 4096))
		return err
	},
	"getxattr": func(_ string, a []string) error {
		_, err := unix.Lgetxattr(a[0], a[1], make([]byte, 4096))
		return err
	},
	"listxattr": func(p string, _ []string) error {
		_, err := unix.Llistxattr(p, make([]byte, 4096))
		return err
	},
	"exec": func(_ string, a []string) error { return start(a, false) },
	// helper is exec in a session of its own.
	"helper": func(_ string, a []string) error { return start(a, true) },
	// thread reads a file from a thread with a name of its own.
	"thread": func(p string, _ []string) error {
		return onThread(func() error {
			name := []byte("worker\x00")
			if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
				return err
			}
			return withFile(p, unix.O_RDONLY, readAll)
		})
	},
	// misses looks for n names that are not there.
	"misses": func(_ string, a []string) error {
		n := 0
		fmt.Sscan(a[0], &n)
		for i := range n {
			if err := unix.Access(fmt.Sprintf("%s/%d", a[1], i), unix.F_OK); err != unix.ENOENT {
				return err
			}
		}
		return nil
	},
	"proc": func(p string, _ []string) error {
		return errors.Join(unix.Mkdir(p, 0o755), unix.Mount("proc", p, "proc", 0, ""))
	},
	"devnull": func(p string, _ []string) error {
		return errors.Join(unix.Mkdir(p, 0o755), unix.Mknod(p+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	},
	"pause": func(string, []string) error { return pause() },
	// same fails unless two paths are one inode with two links.
	"same": func(_ string, a []string) error {
		var one, two unix.Stat_t
		if err := errors.Join(unix.Lstat(a[0], &one), unix.Lstat(a[1], &two)); err != nil {
			return err
		}
		if one.Ino != two.Ino || one.Dev != two.Dev || one.Nlink != 2 || two.Nlink != 2 {
			return fmt.Errorf("%+v and %+v", one, two)
		}
		return nil
	},
	// attr compares what lstat says with: mode, owner, size, mtime, links, device.
	"attr": func(p string, a []string) error {
		var st unix.Stat_t
		if err := unix.Lstat(a[0], &st); err != nil {
			return err
		}
		got := fmt.Sprintf("%s %o %d:%d %d %d.%09d %d %d:%d", a[0], st.Mode, st.Uid, st.Gid, st.Size,
			st.Mtim.Sec, st.Mtim.Nsec, st.Nlink, unix.Major(st.Rdev), unix.Minor(st.Rdev))
		if got != p {
			return fmt.Errorf("got %s", got)
		}
		return nil
	},
	// link compares a link's target.
	"target": func(_ string, a []string) error {
		b := make([]byte, 4096)
		n, err := unix.Readlink(a[0], b)
		if err == nil && string(b[:n]) != a[1] {
			err = fmt.Errorf("got %s", b[:n])
		}
		return err
	},
	"touch-all": func(_ string, a []string) error { return touchAll(a[0]) },
}

// start runs a command to its end.
func start(args []string, session bool) error {
	p, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Files: []*os.File{nil, os.Stderr, os.Stderr},
		Env:   []string{"PATH=/usr/bin:/bin"},
		Sys:   &syscall.SysProcAttr{Setsid: session},
	})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err != nil {
		return err
	}
	if !state.Success() {
		return fmt.Errorf("%s: %s", args[0], state)
	}
	return nil
}

// onThread runs do on a thread that is not the process's first one and ends with it.
func onThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onThread(do) // while this goroutine keeps the first thread
			return
		}
		done <- do()
	}()
	return <-done
}

func withFile(path string, flags int, do func(fd int) error) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}

func write(fd int) error {
	_, err := unix.Write(fd, []byte("new"))
	return err
}

func readAll(fd int) error {
	var buf [64 << 10]byte
	for {
		if n, err := unix.Read(fd, buf[:]); n <= 0 {
			return err
		}
	}
}

// list reads a directory to its end, and fails if a name comes twice.
func list(fd int) error {
	buf := make([]byte, 64<<10)
	seen := map[string]bool{}
	for {
		n, err := unix.Getdents(fd, buf)
		if n <= 0 {
			return err
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if seen[name] {
				return fmt.Errorf("name %s twice", name)
			}
			seen[name] = true
		}
	}
}

func mapped(fd int) error {
	b, err := unix.Mmap(fd, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if b[0] == 0 {
		return errors.New("a zero")
	}
	return unix.Munmap(b)
}

// touchAll lists, stats and reads everything below dir.
func touchAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		if dir == "/" {
			path = dir + e.Name()
		}
		if err := unix.Lstat(path, new(unix.Stat_t)); err != nil {
			return err
		}
		switch {
		case e.IsDir():
			err = touchAll(path)
		case e.Type().IsRegular():
			err = withFile(path, unix.O_RDONLY, readAll)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
