package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func port(addr string) Port {
	ap := netip.MustParseAddrPort(addr)
	return Port{Port: ap.Port(), Addr: ap.Addr()}
}

var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// TestListens lets a server listen one port at a time: after each value of Listens the
// port must be there at once.
func TestListens(t *testing.T) {
	tree := newTree(t)
	shared := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(shared, "go"), 0o644))
	for _, edit := range []func(*specs.Spec){nil, withProfile} {
		spec := newSpec(strings.Fields("prog listen after /mnt/go 127.0.0.1:80 [::1]:80 0.0.0.0:9000 [::]:8080")...)
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: shared})
		if edit != nil {
			edit(spec)
		}
		s := boot(t, tree, spec)
		if ports, err := s.Listening(); err != nil || len(ports) != 0 {
			t.Errorf("listening before: %v, %v", ports, err)
		}
		select {
		case <-s.Listens():
			t.Error("an event before anything listens")
		default:
		}
		must(t, os.WriteFile(filepath.Join(shared, "go"), []byte("go\n"), 0))
		want := []Port{port("127.0.0.1:80"), port("[::1]:80"), port("[::]:8080"), port("0.0.0.0:9000")}
		for deadline := time.After(20 * time.Second); ; {
			select {
			case <-s.Listens():
			case <-deadline:
				t.Fatal("no event")
			}
			ports, err := s.Listening()
			if err != nil || len(ports) == 0 {
				t.Fatalf("listening after an event: %v, %v", ports, err)
			}
			if len(ports) == len(want) {
				if diff := cmp.Diff(want, ports, compareAddrs); diff != "" {
					t.Error(diff)
				}
				break
			}
		}
		must(t, s.Close())
	}
}

// waitListening waits until n ports listen.
func (s *started) waitListening(n int) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		ports, err := s.Listening()
		must(s.t, err)
		if len(ports) >= n {
			return
		}
		select {
		case <-s.Listens():
		case <-deadline:
			s.t.Fatalf("only %v listen", ports)
		}
	}
}

// TestCoarse is what Listens does where no filter tells.
func TestCoarse(t *testing.T) {
	s := create(t, newTree(t), newSpec("prog", "listen", "127.0.0.1:80"))
	s.job.Listen = nil
	// The job has been sent with its filter: start another as Exec does, without.
	must(t, s.Start(t.Context()))
	s.waitListening(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Exec(t.Context(), ExecOptions{Args: []string{"prog", "listen", "127.0.0.1:81"}})
	}()
	s.waitListening(2)
	must(t, s.Signal(unix.SIGKILL))
	<-done
}

func TestListenAnswers(t *testing.T) {
	// A listen that fails must fail for the program as if it had made the call itself.
	s := boot(t, newTree(t), newSpec("prog", "badlisten"))
	if status, out := s.end(); status.Code != 0 || out != "EOPNOTSUPP EBADF ENOTSOCK ok\n" {
		t.Errorf("status %+v, output %q", status, out)
	}
}

// TestListenUnix: a unix socket's clients see the program behind it, not who supervises.
func TestListenUnix(t *testing.T) {
	spec := newSpec("prog", "peer")
	spec.Process.User = specs.User{UID: 1000, GID: 1001}
	if status, out := run(t, newTree(t), spec); status.Code != 0 || out != "&{1 1000 1001} <nil>\n" {
		t.Errorf("status %+v, output %q", status, out)
	}
}

func TestDial(t *testing.T) {
	s := boot(t, newTree(t), newSpec(strings.Fields("prog listen 127.0.0.1:80 [::1]:81")...))
	s.waitListening(2)
	tests := []struct {
		addr, want, err string
	}{
		{"127.0.0.1:80", "hello from 127.0.0.1:80\n", ""},
		{"[::1]:81", "hello from [::1]:81\n", ""},
		{"127.0.0.1:82", "", "connection refused"},
		{"localhost:80", "", "want a literal address"},
		{"127.0.0.1", "", "missing port"},
		{"192.0.2.1:80", "", "network is unreachable"},
	}
	for _, tt := range tests {
		conn, err := s.DialContext(t.Context(), "tcp", tt.addr)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("dial %s: error %v, want %q", tt.addr, err, tt.err)
			}
			continue
		}
		must(t, err)
		if got, err := io.ReadAll(conn); err != nil || string(got) != tt.want {
			t.Errorf("dial %s: %q, %v", tt.addr, got, err)
		}
		conn.Close()
	}
	// The threads that went in have come back: here nothing listens there.
	own, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	for _, task := range must1(filepath.Glob("/proc/self/task/*/ns/net")) {
		if ns, err := os.Readlink(task); err == nil && ns != own {
			t.Errorf("%s is %s", task, ns)
		}
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestStartHost(t *testing.T) {
	s := boot(t, newTree(t), newSpec("prog", "listen", "127.0.0.1:80"))
	s.waitListening(1)
	prog, err := buildProg()
	must(t, err)
	out := newLines()
	cmd := exec.CommandContext(t.Context(), prog, "dial", "127.0.0.1:80", ",", "ls", "/proc/self/task")
	cmd.Stdout = out
	must(t, s.StartHost(cmd))
	must(t, cmd.Wait())
	if !strings.HasPrefix(out.String(), "hello from 127.0.0.1:80\n") {
		t.Errorf("output %q", out)
	}
	// What a host command listens on is not the container's.
	listener := exec.CommandContext(t.Context(), prog, "listen", "127.0.0.1:81")
	must(t, s.StartHost(listener))
	defer func() {
		listener.Process.Kill()
		listener.Wait()
	}()
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := s.DialContext(t.Context(), "tcp", "127.0.0.1:81")
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if ports, err := s.Listening(); err != nil || len(ports) != 1 {
		t.Errorf("listening: %v, %v", ports, err)
	}
	if err := s.StartHost(exec.Command("/no/such")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestHostNetwork(t *testing.T) {
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer outside.Close()
	spec := newSpec("prog", "listen", "127.0.0.1:0")
	spec.Linux = planLinux(Config{Network: "host"})
	s := boot(t, newTree(t), spec)
	s.waitListening(1)
	ports, err := s.Listening()
	if err != nil || len(ports) != 1 {
		t.Fatalf("listening: %v, %v", ports, err)
	}
	addr := netip.AddrPortFrom(ports[0].Addr, ports[0].Port).String()
	if addr == outside.Addr().String() {
		t.Errorf("%s is the host's", addr)
	}
	conn, err := s.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	conn.Close()
}

func TestDialCanceled(t *testing.T) {
	s := boot(t, newTree(t), newSpec("prog", "wait"))
	s.says("waiting")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.DialContext(ctx, "tcp", "127.0.0.1:80"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestParsePort(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   3: 00000000:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
`
	ports, err := listeningIn(strings.NewReader(table), map[string]bool{"11": true, "12": true})
	must(t, err)
	if diff := cmp.Diff([]Port{port("127.0.0.1:8080"), port("[::1]:80")}, ports, compareAddrs); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "0100007F", "0100007F:zz", "01:0050", "xx00007F:0050"} {
		if _, err := parsePort(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
