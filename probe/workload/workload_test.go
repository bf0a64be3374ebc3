package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"slim/probe/record"
	"slim/probe/sandbox"
	"slim/testdata/skip"
)

var discard = log.New(io.Discard, "", 0)

func TestCommandLineProgram(t *testing.T) {
	says := func(status sandbox.ExitStatus) program {
		return func(_ context.Context, f *fake) sandbox.ExitStatus {
			fmt.Fprint(f.out.Stdout, "hello\n")
			fmt.Fprint(f.out.Stderr, "usage: tool\n")
			return status
		}
	}
	const out = "\nstdout = 6 bytes sha256:5891b5b522d5df08\nstderr = 12 bytes sha256:a8d95843f82007c5\n"
	for _, test := range []struct {
		name   string
		status sandbox.ExitStatus
		opts   Options
		want   string
	}{
		{"ok", sandbox.ExitStatus{}, Options{}, "exit status = 0" + out},
		{"exposes a port", sandbox.ExitStatus{}, Options{Exposed: []uint16{80}}, "exit status = 0" + out},
		{"fails", sandbox.ExitStatus{Code: 2}, Options{}, "! exit status = 2" + out},
		{"may fail", sandbox.ExitStatus{Code: 2}, Options{AnyExit: true}, "exit status = 2" + out},
		{"crashes", sandbox.ExitStatus{Code: 139, Signal: unix.SIGSEGV}, Options{AnyExit: true}, "! exit status = SIGSEGV" + out},
		{"did listen", sandbox.ExitStatus{}, Options{WaitPorts: []uint16{80, 8080}},
			"exit status = 0" + out + "! ready = ended before it listened"},
		{"has checks", sandbox.ExitStatus{},
			Options{Checks: []HTTPCheck{{Path: "/"}}, Exec: [][]string{{"ls", "a b"}}, Test: "true"},
			"exit status = 0" + out + `! GET / status = not run
			! exec ls "a b" exit status = not run
			! test exit status = not run`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen []record.Phase
			test.opts.OnPhase = phases(&seen)
			o := outcome(t, newFake(says(test.status)), test.opts)
			expect(t, rows(o, nil), test.want)
			if o.Server || o.Status != test.status {
				t.Errorf("server %v, status %v", o.Server, o.Status)
			}
			if want := []record.Phase{record.Start}; !slices.Equal(seen, want) {
				t.Errorf("phases %v, want %v", seen, want)
			}
		})
	}
}

func TestOutputDetail(t *testing.T) {
	f := newFake(func(_ context.Context, f *fake) sandbox.ExitStatus {
		fmt.Fprint(f.out.Stderr, "no such module: x\n")
		return sandbox.ExitStatus{Code: 1}
	})
	o := outcome(t, f, Options{})
	if got := row(t, o, "exit status").Detail; got != "no such module: x" {
		t.Errorf("detail of the exit status: %q", got)
	}
	if got := row(t, o, "stderr").Detail; got != "no such module: x\n" {
		t.Errorf("detail of stderr: %q", got)
	}
	if failed := o.failed(); len(failed) != 1 || failed[0].Name != "exit status" {
		t.Errorf("failed: %v", failed)
	}
}

func TestServer(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	f := newFake(serve(l, text(200, "hello")))
	var seen []record.Phase
	o := outcome(t, f, Options{Exposed: []uint16{port}, OnPhase: phases(&seen), StopSignal: "SIGQUIT"})
	expect(t, rows(o, map[uint16]string{port: "P"}), `
		GET :P/ status = 200
		GET :P/ Content-Type = text/plain
		GET :P/ body = 5 bytes sha256:2cf24dba5fb0a30e
		ports = 127.0.0.1:P
		stop = exit status 0`)
	if got := row(t, o, fmt.Sprintf("GET :%d/ body", port)).Detail; got != "hello" {
		t.Errorf("detail of the body: %q", got)
	}
	if want := []record.Phase{record.Start, record.Test, record.Stop}; !slices.Equal(seen, want) {
		t.Errorf("phases %v, want %v", seen, want)
	}
	if !o.Server || !slices.Equal(o.Ports, []uint16{port}) || o.Ready <= 0 {
		t.Errorf("server %v, ports %v, ready %v", o.Server, o.Ports, o.Ready)
	}
	if f.sig != unix.SIGQUIT {
		t.Errorf("stopped by %v", f.sig)
	}
}

// A slow starter is waited for: port after port, each announced only when the run has
// looked at the one before and waits again.
func TestReady(t *testing.T) {
	a, portA := listen(t, "127.0.0.1")
	b, portB := listen(t, "127.0.0.1")
	other, portOther := listen(t, "127.0.0.1")
	both := func(ctx context.Context, f *fake) sandbox.ExitStatus {
		srv := &http.Server{Handler: text(200, "x")}
		for _, l := range []net.Listener{other, b, a} {
			go srv.Serve(l)
			f.announce(l, "127.0.0.1")
			select {
			case f.listens <- struct{}{}: // when the run has taken that of announce
			case <-ctx.Done():
			}
		}
		<-ctx.Done()
		return sandbox.ExitStatus{}
	}
	names := map[uint16]string{portA: "A", portB: "B", portOther: "O"}
	for _, test := range []struct {
		name    string
		opts    Options
		primary uint16
		has     []string
	}{
		{"exposed", Options{Exposed: []uint16{portB}}, portB, []string{"GET :B/ status = 200\n"}},
		{"all of an earlier run", Options{Exposed: []uint16{portA, portB}, WaitPorts: []uint16{portB, portA}}, portB,
			[]string{"GET :A/ status = 200\n", "GET :B/ status = 200\n"}},
		{"named by a check", Options{Exposed: []uint16{portB}, Checks: []HTTPCheck{{Path: "/", Port: portA}}}, portB,
			[]string{"\nGET :A/ status = 200\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := outcome(t, newFake(both), test.opts)
			got := rows(o, names)
			for _, has := range test.has {
				if !strings.Contains("\n"+got, has) {
					t.Errorf("no %q in:\n%s", has, got)
				}
			}
			if failed := o.failed(); failed != nil || o.Ports[0] != test.primary {
				t.Errorf("failed %v, ports %v, want %d first", failed, o.Ports, test.primary)
			}
		})
	}
}

// What exposes one port and listens on another is checked there, in the end.
func TestListensElsewhere(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	o := outcome(t, newFake(serve(l, text(200, "x"))), Options{Exposed: []uint16{1}, ReadyTimeout: 50 * time.Millisecond})
	if failed := o.failed(); failed != nil || o.Ports[0] != port {
		t.Errorf("failed %v, ports %v", failed, o.Ports)
	}
	row(t, o, fmt.Sprintf("GET :%d/ status", port))
}

func idle(ctx context.Context, f *fake) sandbox.ExitStatus {
	fmt.Fprint(f.out.Stdout, "starting\n")
	<-ctx.Done()
	return sandbox.ExitStatus{Code: 143, Signal: unix.SIGTERM}
}

func TestNeverListens(t *testing.T) {
	health := &v1.HealthConfig{Test: []string{"CMD", "true"}}
	for _, test := range []struct {
		name string
		opts Options
		want string
	}{
		{"nothing to do", Options{}, "! ready = neither listens nor ends\nstop = exit status SIGTERM"},
		{"exposed", Options{Exposed: []uint16{80}}, "! ready = neither listens nor ends\nstop = exit status SIGTERM"},
		{"named check", Options{Checks: []HTTPCheck{{Path: "/"}}, Exec: [][]string{{"true"}}},
			"! ready = neither listens nor ends\nstop = exit status SIGTERM"},
		{"did listen", Options{WaitPorts: []uint16{80}, Exec: [][]string{{"true"}}},
			"! ready = neither listens nor ends\nstop = exit status SIGTERM"},
		{"commands", Options{Exposed: []uint16{80}, Exec: [][]string{{"true"}}, Test: "test -z $SLIM_PORT", Healthcheck: health}, `
			exec true exit status = 0
			exec true stdout = empty
			exec true stderr = empty
			test exit status = 0
			healthcheck exit status = 0
			ports = none
			stop = exit status SIGTERM`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.opts.ReadyTimeout = 50 * time.Millisecond
			o := outcome(t, newFake(idle), test.opts)
			expect(t, rows(o, nil), test.want)
			if !o.Server {
				t.Error("not taken for a server")
			}
			if failed := o.failed(); len(failed) > 0 && !strings.Contains(failed[0].Detail, "starting") {
				t.Errorf("detail without the program's output: %q", failed[0].Detail)
			}
		})
	}
}

// A deadline nearer than the default's patience leaves half of the time: the failure is
// observed, not lost in the end of the context.
func TestNeverListensBeforeDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	f := newFake(idle)
	o, err := Run(ctx, f, f.out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, rows(o, nil), "! ready = neither listens nor ends\nstop = exit status SIGTERM")
}

func TestPortMissing(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	o := outcome(t, newFake(serve(l, text(200, "x"))),
		Options{WaitPorts: []uint16{port, 2}, Exposed: []uint16{port}, ReadyTimeout: 50 * time.Millisecond})
	if got := row(t, o, "ports"); !got.Failed || got.Detail != "port 2 did not listen" {
		t.Errorf("ports: %+v", got)
	}
}

// A port that the kernel chose is another one in the next run: it is not waited for,
// and its number not compared.
func TestEphemeralPort(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	extra, chosen := listen(t, "127.0.0.1")
	if chosen < 32768 || chosen > 60999 {
		skip.Test(t, "this machine's ephemeral ports are not the usual ones: %d", chosen)
	}
	p := func(ctx context.Context, f *fake) sandbox.ExitStatus {
		f.announce(extra, "127.0.0.1")
		return serve(l, text(200, "x"))(ctx, f)
	}
	o := outcome(t, newFake(p), Options{Exposed: []uint16{port}, WaitPorts: []uint16{port, 33333}})
	got := strings.Replace(row(t, o, "ports").Value, fmt.Sprint(port), "P", 1)
	if failed := o.failed(); failed != nil || !strings.Contains(got, "127.0.0.1:ephemeral") || !strings.Contains(got, "127.0.0.1:P") {
		t.Errorf("failed %v, ports %q", failed, got)
	}
}

// A tool that talks to its own helpers over a port of the kernel's choice, and ends, is
// no server; one that stays is, in the end.
func TestEphemeralPortAlone(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	if port < 32768 || port > 60999 {
		skip.Test(t, "this machine's ephemeral ports are not the usual ones: %d", port)
	}
	ends := newFake(func(_ context.Context, f *fake) sandbox.ExitStatus {
		f.announce(l, "127.0.0.1")
		f.listens <- struct{}{} // the run has taken that of announce
		f.listens <- struct{}{} // and has looked, and waits again
		return sandbox.ExitStatus{}
	})
	expect(t, rows(outcome(t, ends, Options{}), nil), "exit status = 0\nstdout = empty\nstderr = empty")

	stays := newFake(serve(l, text(200, "x")))
	o := outcome(t, stays, Options{ReadyTimeout: 50 * time.Millisecond})
	if failed := o.failed(); failed != nil || !slices.Equal(o.Ports, []uint16{port}) {
		t.Errorf("failed %v, ports %v", failed, o.Ports)
	}
	again, port := listen(t, "127.0.0.1")
	o = outcome(t, newFake(serve(again, text(200, "x"))), Options{WaitPorts: o.Ports})
	if failed := o.failed(); failed != nil || !slices.Equal(o.Ports, []uint16{port}) {
		t.Errorf("next run: failed %v, ports %v", failed, o.Ports)
	}
}

func TestEndsDuringChecks(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	f := newFake(nil)
	f.program = func(ctx context.Context, f *fake) sandbox.ExitStatus {
		crash := make(chan struct{})
		srv := &http.Server{ErrorLog: discard, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/crash" {
				close(crash)
				panic(http.ErrAbortHandler)
			}
		})}
		go srv.Serve(l)
		f.announce(l, "127.0.0.1")
		<-crash
		srv.Close()
		fmt.Fprint(f.out.Stderr, "out of memory\n")
		return sandbox.ExitStatus{Code: 3}
	}
	o := outcome(t, f, Options{
		Exposed:     []uint16{port},
		NoDefault:   true,
		Checks:      []HTTPCheck{{Path: "/"}, {Path: "/crash", Method: "POST"}, {Path: "/after"}},
		Exec:        [][]string{{"true"}},
		Test:        "true",
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "true"}},
	})
	expect(t, rows(o, nil), `
		GET / status = 200
		GET / body = empty
		! POST /crash status = no answer, the program has ended
		! GET /after status = not run
		! exec true exit status = not run
		! test exit status = not run
		! healthcheck exit status = not run
		! program = ended during the checks, exit status 3`)
	if got := row(t, o, "program").Detail; got != "out of memory" {
		t.Errorf("detail: %q", got)
	}
}

// A program that listens and ends, whatever the checks found until then, is one that
// ends by itself: a server that leaves its work to a child, in a race with the checks.
func TestListensAndEnds(t *testing.T) {
	for _, code := range []int{0, 4} {
		l, port := listen(t, "127.0.0.1")
		f := newFake(nil)
		f.program = func(ctx context.Context, f *fake) sandbox.ExitStatus {
			asked := make(chan struct{}, 10)
			srv := &http.Server{ErrorLog: discard, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
			})}
			go srv.Serve(l)
			f.announce(l, "127.0.0.1")
			<-asked
			srv.Close()
			fmt.Fprint(f.out.Stdout, "done\n")
			return sandbox.ExitStatus{Code: code}
		}
		o := outcome(t, f, Options{Exposed: []uint16{port}})
		if o.Server || o.Ports != nil {
			t.Errorf("server: %v, ports %v", o.Server, o.Ports)
		}
		if got := row(t, o, "exit status"); got.Value != fmt.Sprint(code) || got.Failed != (code != 0) {
			t.Errorf("exit status: %+v", got)
		}
		if len(o.Observations) != 3 {
			t.Errorf("observations: %+v", o.Observations)
		}
	}
}

// When the context ends the error says what was waited for, at each stage.
func TestContextEnds(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	stubborn := func(release <-chan struct{}) program {
		return func(_ context.Context, f *fake) sandbox.ExitStatus {
			<-release
			return sandbox.ExitStatus{}
		}
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T) (*fake, Options)
		want string
	}{
		{"start", func(t *testing.T) (*fake, Options) {
			return newFake(idle), Options{Exposed: []uint16{80, 443}, ReadyTimeout: time.Minute}
		}, "exposed ports 80, 443"},
		{"request", func(t *testing.T) (*fake, Options) {
			l, port := listen(t, "127.0.0.1")
			return newFake(serve(l, hang)), Options{Exposed: []uint16{port}}
		}, "answer to GET"},
		{"test", func(t *testing.T) (*fake, Options) {
			return newFake(idle), Options{Test: "sleep 1000 & wait", ReadyTimeout: time.Millisecond}
		}, `test "sleep 1000 & wait"`},
		{"exec", func(t *testing.T) (*fake, Options) {
			f := newFake(idle)
			f.exec = func(ctx context.Context, _ sandbox.ExecOptions) (sandbox.ExitStatus, error) {
				<-ctx.Done()
				return sandbox.ExitStatus{Code: 137, Signal: unix.SIGKILL}, nil
			}
			return f, Options{Exec: [][]string{{"tail", "-f"}}, ReadyTimeout: time.Millisecond}
		}, "exec tail -f"},
		{"stop", func(t *testing.T) (*fake, Options) {
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			return newFake(stubborn(release)), Options{Exec: [][]string{{"true"}}, ReadyTimeout: time.Millisecond}
		}, "stop"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, opts := test.make(t)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := Run(ctx, f, f.out, opts)
			f.term()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one of the deadline that has %q", err, test.want)
			}
		})
	}
}

func TestKilled(t *testing.T) {
	f := newFake(func(ctx context.Context, _ *fake) sandbox.ExitStatus {
		<-ctx.Done()
		return sandbox.ExitStatus{Code: 137, Signal: unix.SIGKILL}
	})
	o := outcome(t, f, Options{ReadyTimeout: time.Millisecond, Exec: [][]string{{"true"}}, StopSignal: "INT"})
	if got := row(t, o, "stop"); got.Failed || got.Value != "killed, SIGINT did not stop it" {
		t.Errorf("row %+v", got)
	}
}

func TestStopSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"": unix.SIGTERM, "SIGTERM": unix.SIGTERM, "quit": unix.SIGQUIT, "9": unix.SIGKILL,
		"SIGRTMIN+3": 37, "RTMIN": 34, "SIGNONE": unix.SIGTERM, "0": unix.SIGTERM, "-1": unix.SIGTERM, "99": unix.SIGTERM,
	} {
		if got := stopSignal(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestExposedPorts(t *testing.T) {
	for _, test := range []struct {
		in   []string
		want []uint16
	}{
		{nil, nil},
		{[]string{"8080/tcp", "443", "53/udp", "9/sctp"}, []uint16{443, 8080}},
		{[]string{"8000-8002/tcp", "8001/TCP"}, []uint16{8000, 8001, 8002}},
		{[]string{"65535"}, []uint16{65535}},
		{[]string{"http/tcp", "$PORT", "", "0", "65536", "9-8", "80"}, []uint16{80}},
	} {
		cfg := v1.Config{ExposedPorts: map[string]struct{}{}}
		for _, p := range test.in {
			cfg.ExposedPorts[p] = struct{}{}
		}
		if got := ExposedPorts(cfg); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.in, got, test.want)
		}
	}
}
