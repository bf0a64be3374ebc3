package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"slim/probe/sandbox"
)

func TestTest(t *testing.T) {
	script := filepath.Join(t.TempDir(), "smoke.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexit 4\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		command string
		want    Observation
	}{
		{`echo "$SLIM_URL|$SLIM_HOST|$SLIM_PORT|$EXTRA"`,
			Observation{Name: testName, Value: "0", Detail: "http://127.0.0.1:P|127.0.0.1|P|a b\n"}},
		{"echo out; echo wrong >&2; exit 3", Observation{Name: testName, Value: "3", Failed: true, Detail: "wrong"}},
		{"kill -SEGV $$", Observation{Name: testName, Value: "SIGSEGV", Failed: true}},
		{script, Observation{Name: testName, Value: "4", Failed: true}},
		{"read line || exit 5", Observation{Name: testName, Value: "5", Failed: true}}, // nothing to read
	} {
		l, port := listen(t, "127.0.0.1")
		o := outcome(t, newFake(serve(l, text(200, "x"))), Options{
			Exposed: []uint16{port}, Test: test.command, TestEnv: []string{"EXTRA=a b"},
		})
		got := row(t, o, testName)
		got.Detail = strings.ReplaceAll(got.Detail, fmt.Sprint(port), "P")
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.command, got, test.want)
		}
	}
}

func TestTestOverTLS(t *testing.T) {
	for _, noDefault := range []bool{false, true} {
		l, port := listen(t, "127.0.0.1")
		o := outcome(t, newFake(serveTLS(l, text(200, "x"), nil)), Options{
			Exposed: []uint16{port}, Test: `echo "$SLIM_URL"`, NoDefault: noDefault,
		})
		if got, want := row(t, o, testName).Detail, fmt.Sprintf("https://127.0.0.1:%d\n", port); got != want {
			t.Errorf("NoDefault %v: SLIM_URL %q, want %q", noDefault, got, want)
		}
	}
}

// fifo is a pipe that a command can open by name. Its reader comes to the end when w
// is closed and every process that has it open for writing is gone.
func fifo(t *testing.T) (name string, r, w *os.File) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if w, err = os.OpenFile(name, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return name, r, w
}

func TestTestLeavesNothing(t *testing.T) {
	t.Run("behind", func(t *testing.T) {
		name, r, w := fifo(t)
		o := outcome(t, newFake(idle), Options{ReadyTimeout: time.Millisecond,
			Test: "exec 3>" + name + "; echo up >&3; sleep 1000 & exit 7"})
		if got := row(t, o, testName); got.Value != "7" {
			t.Errorf("row %+v", got)
		}
		w.Close()
		if got, err := io.ReadAll(r); string(got) != "up\n" || err != nil {
			t.Errorf("read %q, %v: the background process lives", got, err)
		}
	})
	t.Run("when interrupted", func(t *testing.T) {
		name, r, w := fifo(t)
		ctx, cancel := context.WithCancel(t.Context())
		f := newFake(idle)
		result := make(chan error)
		go func() {
			_, err := Run(ctx, f, f.out, Options{ReadyTimeout: time.Millisecond,
				Test: "exec 3>" + name + "; echo up >&3; sleep 1000 & wait"})
			result <- err
		}()
		if _, err := io.ReadFull(r, make([]byte, len("up\n"))); err != nil {
			t.Errorf("the test did not start: %v", err)
		}
		cancel()
		w.Close()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if got, err := io.ReadAll(r); len(got) > 0 || err != nil {
			t.Errorf("read %q, %v: the test lives", got, err)
		}
	})
}

func TestExec(t *testing.T) {
	f := newFake(idle)
	f.exec = func(_ context.Context, opts sandbox.ExecOptions) (sandbox.ExitStatus, error) {
		switch opts.Args[0] {
		case "missing":
			return sandbox.ExitStatus{}, fmt.Errorf("exec missing: %w", sandbox.ErrExec)
		case "fails":
			fmt.Fprint(opts.Stderr, "wrong\n")
			return sandbox.ExitStatus{Code: 1}, nil
		}
		fmt.Fprint(opts.Stdout, "a\n")
		return sandbox.ExitStatus{}, nil
	}
	o := outcome(t, f, Options{ReadyTimeout: time.Millisecond,
		Exec: [][]string{{"ls", "-l", "a b", ""}, {"fails"}, {"missing"}, {"ls", "\x1b\n"}}})
	expect(t, rows(o, nil), `
		exec ls -l "a b" "" exit status = 0
		exec ls -l "a b" "" stdout = 2 bytes sha256:87428fc522803d31
		exec ls -l "a b" "" stderr = empty
		! exec fails exit status = 1
		exec fails stdout = empty
		exec fails stderr = 6 bytes sha256:`+sum("wrong\n")+`
		! exec missing exit status = cannot be run
		exec ls "\x1b\n" exit status = 0
		exec ls "\x1b\n" stdout = 2 bytes sha256:87428fc522803d31
		exec ls "\x1b\n" stderr = empty
		ports = none
		stop = exit status SIGTERM`)
	if got := row(t, o, "exec missing exit status").Detail; got != "exec missing: "+sandbox.ErrExec.Error() {
		t.Errorf("detail %q", got)
	}
	if got := row(t, o, "exec fails exit status").Detail; got != "wrong" {
		t.Errorf("detail %q", got)
	}
}

// A program may end while a command is begun; what else goes wrong is an error.
func TestExecError(t *testing.T) {
	f := newFake(idle)
	f.exec = func(context.Context, sandbox.ExecOptions) (sandbox.ExitStatus, error) {
		f.term()
		return sandbox.ExitStatus{}, os.ErrProcessDone
	}
	opts := Options{ReadyTimeout: time.Millisecond, Exec: [][]string{{"ls"}}}
	expect(t, rows(outcome(t, f, opts), nil), `
		! exec ls exit status = not run
		! program = ended during the checks, exit status SIGTERM`)

	f = newFake(idle)
	lost := errors.New("the container is lost")
	f.exec = func(context.Context, sandbox.ExecOptions) (sandbox.ExitStatus, error) {
		return sandbox.ExitStatus{}, lost
	}
	if _, err := Run(t.Context(), f, f.out, opts); !errors.Is(err, lost) {
		t.Errorf("Run: %v, want %v", err, lost)
	}
	f.term()
}

func TestHealthcheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		health *v1.HealthConfig
		shell  []string
		args   []string // that are run
		status sandbox.ExitStatus
		want   string
	}{
		{"none", nil, nil, nil, sandbox.ExitStatus{}, ""},
		{"inherited", &v1.HealthConfig{}, nil, nil, sandbox.ExitStatus{}, ""},
		{"disabled", &v1.HealthConfig{Test: []string{"NONE"}}, nil, nil, sandbox.ExitStatus{}, ""},
		{"command", &v1.HealthConfig{Test: []string{"CMD", "check", "-x"}}, nil,
			[]string{"check", "-x"}, sandbox.ExitStatus{}, "healthcheck exit status = 0\n"},
		{"shell", &v1.HealthConfig{Test: []string{"CMD-SHELL", "check || exit 1"}}, nil,
			[]string{"/bin/sh", "-c", "check || exit 1"}, sandbox.ExitStatus{}, "healthcheck exit status = 0\n"},
		{"other shell", &v1.HealthConfig{Test: []string{"CMD-SHELL", "check"}}, []string{"/bin/bash", "-ec"},
			[]string{"/bin/bash", "-ec", "check"}, sandbox.ExitStatus{}, "healthcheck exit status = 0\n"},
		{"unhealthy", &v1.HealthConfig{Test: []string{"CMD", "check"}}, nil,
			[]string{"check"}, sandbox.ExitStatus{Code: 1}, "! healthcheck exit status = 1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(idle)
			var args []string
			f.exec = func(_ context.Context, opts sandbox.ExecOptions) (sandbox.ExitStatus, error) {
				if opts.Args[0] != "true" {
					args = opts.Args
					return test.status, nil
				}
				return sandbox.ExitStatus{}, nil
			}
			o := outcome(t, f, Options{Healthcheck: test.health, Shell: test.shell, Test: "true", ReadyTimeout: time.Millisecond})
			expect(t, rows(o, nil), "test exit status = 0\n"+test.want+"ports = none\nstop = exit status SIGTERM")
			if !slices.Equal(args, test.args) {
				t.Errorf("ran %q, want %q", args, test.args)
			}
		})
	}
	t.Run("hangs", func(t *testing.T) {
		f := newFake(idle)
		f.exec = func(ctx context.Context, _ sandbox.ExecOptions) (sandbox.ExitStatus, error) {
			<-ctx.Done()
			return sandbox.ExitStatus{}, ctx.Err()
		}
		o := outcome(t, f, Options{ReadyTimeout: time.Millisecond,
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "check"}, Timeout: 20 * time.Millisecond}})
		if got := row(t, o, "healthcheck exit status"); !got.Failed || got.Value != "none within 20ms" {
			t.Errorf("row %+v", got)
		}
	})
}
