package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestExec(t *testing.T) {
	tree := newTree(t)
	spec := newSpec("prog", "wait")
	withProfile(spec)
	spec.Process.Cwd = "/home/app"
	spec.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 7}}
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1777"}})
	s := boot(t, tree, spec)
	s.says("waiting")
	tests := []struct {
		args string
		code int
		want string
		err  string
	}{
		{"prog exit 3", 3, "", ""},
		{"prog status PPid Uid Gid Groups CapBnd Seccomp cwd hostname", 0, `PPid 0
Uid 1000 1000 1000 1000
Gid 1000 1000 1000 1000
Groups 7 1000
CapBnd 00000000a80425fb
Seccomp 2
cwd /home/app
hostname box
`, ""},
		{"prog fds", 0, "0 /dev/null\n1 pipe\n2 pipe\n", ""},
		{"prog write /data/x of-its-mounts , cat /data/x", 0, "of-its-mounts", ""},
		{"prog cat /data/x /proc/1/cmdline", 0, "of-its-mountsprog\x00wait\x00", ""},
		{"none", 0, "", `exec: "none": executable file not found in $PATH`},
		{"/data", 0, "", `exec: "/data": is a directory`},
		{"/etc/passwd", 0, "", `exec: "/etc/passwd": permission denied`},
	}
	for _, tt := range tests {
		out := newLines()
		status, err := s.Exec(t.Context(), ExecOptions{Args: strings.Fields(tt.args), Stdout: out, Stderr: out})
		if tt.err != "" {
			if !errors.Is(err, ErrExec) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want ErrExec with %q", tt.args, err, tt.err)
			}
			continue
		}
		if err != nil || status.Code != tt.code {
			t.Errorf("%s: %+v, %v", tt.args, status, err)
		}
		if diff := cmp.Diff(tt.want, out.String()); diff != "" {
			t.Errorf("%s: %s", tt.args, diff)
		}
	}
	t.Run("signal", func(t *testing.T) {
		status, err := s.Exec(t.Context(), ExecOptions{Args: strings.Fields("prog killself")})
		if want := (ExitStatus{128 + 9, unix.SIGKILL}); err != nil || status != want {
			t.Errorf("%+v, %v", status, err)
		}
	})
	t.Run("children that stay", func(t *testing.T) {
		start := time.Now()
		if _, err := s.Exec(t.Context(), ExecOptions{Args: strings.Fields("prog stay")}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 10*lateOutput {
			t.Errorf("took %v", took)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		out := newLines()
		go func() {
			out.wait(t, "waiting")
			cancel()
		}()
		if _, err := s.Exec(ctx, ExecOptions{Args: []string{"prog", "wait"}, Stdout: out}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("the program ends", func(t *testing.T) {
		out := newLines()
		go func() {
			out.wait(t, "waiting")
			s.Signal(unix.SIGKILL)
		}()
		status, err := s.Exec(t.Context(), ExecOptions{Args: []string{"prog", "wait"}, Stdout: out})
		if err != nil || status.Signal != unix.SIGKILL {
			t.Errorf("%+v, %v", status, err)
		}
		if status, _ := s.end(); status != killedStatus {
			t.Errorf("program: %+v", status)
		}
		if _, err := s.Exec(t.Context(), ExecOptions{Args: []string{"prog"}}); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("after the end: error %v", err)
		}
	})
}

// TestUnheardReplies gives up many requests before their replies come.
func TestUnheardReplies(t *testing.T) {
	s := boot(t, newTree(t), newSpec("prog", "wait"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, err := s.Exec(ctx, ExecOptions{Args: []string{"prog"}}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.Close()
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("Close hangs")
	}
}

func TestStop(t *testing.T) {
	tree := newTree(t)
	tests := []struct {
		name, program, says string
		sig                 unix.Signal
		grace               time.Duration
		status              ExitStatus
		late                bool // the time has to be up first
	}{
		{"handler", "trap", "trapping", unix.SIGTERM, time.Minute, ExitStatus{Code: 42}, false},
		{"no handler", "wait", "waiting", unix.SIGTERM, time.Minute, killedStatus, false},
		{"handler that goes on", "hold", "holding", unix.SIGTERM, 100 * time.Millisecond, killedStatus, true},
		{"kill", "wait", "waiting", unix.SIGKILL, time.Minute, killedStatus, false},
		{"ended already", "exit 5", "", unix.SIGTERM, time.Minute, ExitStatus{Code: 5}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := boot(t, tree, newSpec(append([]string{"prog"}, strings.Fields(tt.program)...)...))
			if tt.says == "" {
				<-s.Done()
			}
			s.says(tt.says)
			start := time.Now()
			must(t, s.Stop(t.Context(), tt.sig, tt.grace))
			if took := time.Since(start); took < tt.grace && tt.late || took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			if status, _ := s.end(); status != tt.status {
				t.Errorf("status %+v, want %+v", status, tt.status)
			}
			if err := s.Signal(unix.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("signal after the end: %v", err)
			}
		})
	}
	t.Run("canceled", func(t *testing.T) {
		s := boot(t, tree, newSpec("prog", "hold"))
		s.says("holding")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			s.stdout.wait(t, "term")
			cancel()
		}()
		if err := s.Stop(ctx, unix.SIGTERM, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		s.end()
	})
	t.Run("not started", func(t *testing.T) {
		s := create(t, tree, newSpec("prog"))
		must(t, s.Stop(t.Context(), unix.SIGKILL, time.Minute))
		if status, _ := s.end(); status != killedStatus {
			t.Errorf("status %+v", status)
		}
	})
}

func TestProc(t *testing.T) {
	s := boot(t, newTree(t), newSpec("prog", "wait"))
	s.says("waiting")
	comm, err := os.ReadFile(s.procPath(strconv.Itoa(s.program.pid) + "/comm"))
	if err != nil || string(comm) != "prog\n" {
		t.Errorf("%q, %v", comm, err)
	}
}

func TestChanges(t *testing.T) {
	tests := []struct {
		name string
		args string
		want []Change
	}{
		{"none", "prog cat /etc/passwd /etc/hosts", nil},
		{"created", "prog mkdir /data/d , write /data/d/f x , write /tmp/n x", []Change{{"/data/d", Created}, {"/data/d/f", Created}, {"/tmp/n", Created}}},
		{"modified", "prog append /data/a x", []Change{{"/data/a", Modified}}},
		{"attributes", "prog chmod 600 /data/a , chmod 700 /home/app", []Change{{"/data/a", Modified}, {"/home/app", Modified}}},
		{"attributes of the root", "prog chmod 700 /", []Change{{"/", Modified}}},
		{"replaced", "prog rm /data/a , write /data/a x", []Change{{"/data/a", Modified}}},
		{"replaced by a folder", "prog rm /data/a , mkdir /data/a , write /data/a/x y", []Change{{"/data/a", Modified}, {"/data/a/x", Created}}},
		{"removed", "prog rm /data/a", []Change{{"/data/a", Deleted}}},
		{"removed folder", "prog rm /data", []Change{{"/data", Deleted}}},
		{"folder made anew", "prog rm /etc/keep , mkdir /etc/keep , write /etc/keep/x new , write /etc/keep/z new", []Change{{"/etc/keep/x", Modified}, {"/etc/keep/y", Deleted}, {"/etc/keep/z", Created}}},
		{"renamed", "prog mv /data/a /data/z", []Change{{"/data/a", Deleted}, {"/data/z", Created}}},
		{"renamed folder", "prog mv /data /gone", []Change{{"/data", Deleted}, {"/gone", Created}}},
		{"in a volume", "prog write /vol/x y", []Change{{"/vol/x", Created}}},
		{"in a tmpfs", "prog write /dev/shm/x y", nil},
		{"a name that is not text", "prog write /data/\xff\xfe x", []Change{{"/data/\xff\xfe", Created}}},
	}
	tree := newTree(t)
	must(t, os.Chmod(tree, 0o555)) // which the container's root does not take over
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := newSpec(strings.Fields(tt.args)...)
			spec.Process.Cwd = "/made/by/set-up"
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/vol", Type: volumeMount})
			s := boot(t, tree, spec)
			if status, out := s.end(); status.Code != 0 {
				t.Fatalf("%+v %s", status, out)
			}
			got, err := s.Changes(t.Context())
			must(t, err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := must1(os.ReadFile(filepath.Join(tree, "data/a"))); string(got) != "a" {
		t.Errorf("the lower has changed: %q", got)
	}
}

// state is what a container could leave behind.
type state struct {
	mounts   []string
	children int
	fds      int
	temp     []string
}

// observe looks at this process, and at the folder for temporary files, which the test
// has made its own: scratch folders are mounted there.
func observe(t testing.TB) state {
	t.Helper()
	var mounts []string
	for line := range strings.Lines(string(must1(os.ReadFile("/proc/self/mounts")))) {
		if f := strings.Fields(line); strings.HasPrefix(f[1], os.TempDir()) || strings.Contains(f[3], "lowerdir=lower,") {
			mounts = append(mounts, line)
		}
	}
	temp := must1(filepath.Glob(filepath.Join(os.TempDir(), "*")))
	return state{
		mounts:   mounts,
		children: len(bytes.Fields(must1(os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))))),
		fds:      len(must1(os.ReadDir("/proc/self/fd"))),
		temp:     temp,
	}
}

func TestNothingLeft(t *testing.T) {
	tree := newTree(t)
	t.Setenv("TMPDIR", t.TempDir()) // nobody else's
	round := func(i int) {
		s := boot(t, tree, newSpec("prog", "listen", "127.0.0.1:80"))
		s.waitListening(1)
		switch i % 3 {
		case 0:
			if _, err := s.Exec(t.Context(), ExecOptions{Args: []string{"prog"}}); err != nil {
				t.Error(err)
			}
		case 1:
			must(t, s.Stop(t.Context(), unix.SIGTERM, time.Minute))
		case 2:
			conn, err := s.DialContext(t.Context(), "tcp", "127.0.0.1:80")
			must(t, err)
			conn.Close()
		}
		must(t, s.Close())
		must(t, s.Close())
	}
	round(0) // what is opened once and for all
	before := observe(t)
	for i := range 50 {
		round(i)
	}
	after := observe(t)
	if diff := cmp.Diff(before, after, cmp.AllowUnexported(state{})); diff != "" {
		t.Error(diff)
	}
}

// TestParentKilled kills a process that has a container, and waits for all that came of it.
func TestParentKilled(t *testing.T) {
	tree := newTree(t)
	t.Setenv("TMPDIR", t.TempDir())
	for lower, processes := range map[string]int{"bind": 2, "fuse": 2, "stuck": 1} {
		t.Run(lower, func(t *testing.T) {
			if lower != "bind" {
				needFuse(t)
			}
			cmd := helper(t, tree, lower)
			out := newLines()
			cmd.Stdout, cmd.Stderr = out, out
			must(t, cmd.Start())
			defer cmd.Process.Kill()
			out.wait(t, "waiting")
			pids := descendants(t, cmd.Process.Pid)
			if len(pids) != processes {
				t.Errorf("descendants: %v, want %d", pids, processes)
			}
			watches := map[int]int{}
			for _, pid := range pids {
				fd, err := unix.PidfdOpen(pid, 0)
				must(t, err)
				defer unix.Close(fd)
				watches[pid] = fd
			}
			must(t, cmd.Process.Signal(unix.SIGKILL))
			cmd.Wait()
			for pid, fd := range watches {
				if !ended(fd) {
					t.Errorf("process %d has not ended", pid)
				}
			}
			if after := observe(t); len(after.mounts)+len(after.temp) != 0 {
				t.Errorf("left: %v %v", after.mounts, after.temp)
			}
		})
	}
}

// ended waits for the end of a pidfd's process.
func ended(pidfd int) bool {
	for {
		poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 20000)
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// descendants are the processes below pid.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	var all []int
	for _, file := range must1(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))) {
		for _, field := range strings.Fields(string(must1(os.ReadFile(file)))) {
			child, err := strconv.Atoi(field)
			must(t, err)
			all = append(append(all, child), descendants(t, child)...)
		}
	}
	return all
}

func TestInitKilled(t *testing.T) {
	s := boot(t, newTree(t), newSpec("prog", "wait"))
	s.says("waiting")
	must(t, s.cmd.Process.Kill())
	if status, _ := s.end(); status != killedStatus {
		t.Errorf("status %+v", status)
	}
	if _, err := s.Changes(t.Context()); err == nil {
		t.Error("changes of a dead container")
	}
}

func TestStartTwice(t *testing.T) {
	s := boot(t, newTree(t), newSpec("prog"))
	if err := s.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
}
