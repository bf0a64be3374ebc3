package workload

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slim/probe/record"
	"slim/probe/sandbox"
)

// program is what runs in a fake container: it ends when it returns, and is to do so
// when its context ends, which is the stop signal.
type program func(ctx context.Context, f *fake) sandbox.ExitStatus

// fake is a container whose program is a goroutine on the machine's own loopback.
type fake struct {
	program program
	// exec answers Exec; nil exits with 0.
	exec    func(ctx context.Context, opts sandbox.ExecOptions) (sandbox.ExitStatus, error)
	out     *Output
	done    chan struct{}
	status  sandbox.ExitStatus
	listens chan struct{}
	term    context.CancelFunc
	sig     unix.Signal // the stop signal that came

	mu    sync.Mutex
	ports []sandbox.Port
	dials int
}

func newFake(p program) *fake {
	return &fake{
		program: p,
		out:     NewOutput(1 << 10),
		done:    make(chan struct{}),
		listens: make(chan struct{}, 1),
		term:    func() {},
	}
}

func (f *fake) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	f.term = cancel
	go func() {
		f.status = f.program(ctx, f)
		f.mu.Lock()
		f.ports = nil
		f.mu.Unlock()
		close(f.done)
	}()
	return nil
}

func (f *fake) Done() <-chan struct{}      { return f.done }
func (f *fake) Status() sandbox.ExitStatus { return f.status }
func (f *fake) Listens() <-chan struct{}   { return f.listens }

func (f *fake) Listening() ([]sandbox.Port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]sandbox.Port(nil), f.ports...), nil
}

func (f *fake) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	f.mu.Lock()
	f.dials++
	f.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func (f *fake) Exec(ctx context.Context, opts sandbox.ExecOptions) (sandbox.ExitStatus, error) {
	if f.exec == nil {
		return sandbox.ExitStatus{}, nil
	}
	return f.exec(ctx, opts)
}

func (f *fake) StartHost(cmd *exec.Cmd) error { return cmd.Start() }

func (f *fake) Stop(ctx context.Context, sig unix.Signal, grace time.Duration) error {
	f.sig = sig
	f.term()
	select {
	case <-f.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// announce makes a listener known, as bound.
func (f *fake) announce(l net.Listener, bound string) uint16 {
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	f.mu.Lock()
	f.ports = append(f.ports, sandbox.Port{Port: port, Addr: netip.MustParseAddr(bound)})
	f.mu.Unlock()
	select {
	case f.listens <- struct{}{}:
	default:
	}
	return port
}

// listen opens a port of the loopback before the test's program runs, so that its
// number is known; it is not announced.
func listen(t *testing.T, host string) (net.Listener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatalf("listen on %s: %v", host, err)
	}
	t.Cleanup(func() { l.Close() })
	return l, uint16(l.Addr().(*net.TCPAddr).Port)
}

// serve is a program that serves HTTP on l until it is stopped.
func serve(l net.Listener, h http.Handler) program {
	return func(ctx context.Context, f *fake) sandbox.ExitStatus {
		srv := &http.Server{Handler: h}
		go srv.Serve(l)
		f.announce(l, "127.0.0.1")
		<-ctx.Done()
		srv.Close()
		return sandbox.ExitStatus{}
	}
}

// serveTLS is the same with TLS.
func serveTLS(l net.Listener, h http.Handler, config *tls.Config) program {
	return func(ctx context.Context, f *fake) sandbox.ExitStatus {
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog = discard
		srv.Listener.Close()
		srv.Listener, srv.TLS = l, config
		srv.StartTLS()
		f.announce(l, "127.0.0.1")
		<-ctx.Done()
		srv.CloseClientConnections()
		srv.Close()
		return sandbox.ExitStatus{}
	}
}

// serveTCP is a program that gives each connection to handle.
func serveTCP(l net.Listener, handle func(net.Conn)) program {
	return func(ctx context.Context, f *fake) sandbox.ExitStatus {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					handle(conn)
				}()
			}
		}()
		f.announce(l, "0.0.0.0")
		<-ctx.Done()
		l.Close()
		return sandbox.ExitStatus{}
	}
}

// text answers with a status and a body.
func text(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

// outcome runs the fake; the whole must be over in a generous time.
func outcome(t *testing.T, f *fake, opts Options) *Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o, err := Run(ctx, f, f.out, opts)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return o
}

// rows are the observations as text, "name = value", failed ones with a "!" before
// it, ports replaced by the names given for them.
func rows(o *Outcome, names map[uint16]string) string {
	var b strings.Builder
	for _, row := range o.Observations {
		mark := ""
		if row.Failed {
			mark = "! "
		}
		fmt.Fprintf(&b, "%s%s = %s\n", mark, row.Name, row.Value)
	}
	s := b.String()
	for port, name := range names {
		s = strings.ReplaceAll(s, fmt.Sprintf(":%d", port), ":"+name)
	}
	return s
}

// expect compares rows with the lines of want.
func expect(t *testing.T, got, want string) {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	if want = strings.Join(lines, "\n"); strings.TrimSpace(got) != want {
		t.Errorf("observations:\n%s\nwant:\n%s", got, want)
	}
}

// failed are the observations that say that the program failed.
func (o *Outcome) failed() []Observation {
	var failed []Observation
	for _, row := range o.Observations {
		if row.Failed {
			failed = append(failed, row)
		}
	}
	return failed
}

// row finds an observation by name.
func row(t *testing.T, o *Outcome, name string) Observation {
	t.Helper()
	for _, r := range o.Observations {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no observation %q in:\n%s", name, rows(o, nil))
	return Observation{}
}

// phases collects the calls of OnPhase.
func phases(into *[]record.Phase) func(record.Phase) {
	return func(p record.Phase) { *into = append(*into, p) }
}
