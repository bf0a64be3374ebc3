package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What is said on the sockets between this process, init and the launch. gob
// and not JSON: names of files and environment are bytes, not text.
type (
	message struct {
		Kind    string
		Setup   *setup
		Spawn   *spawn
		Job     *job
		Made    []string
		Changes []Change
		Status  ExitStatus
		Request int // number of a request and its reply
		ID      int // of a spawned process, chosen by the asker
		PID     int // its number in init's pid namespace
		Error   *remoteError
	}

	// setup is what init does before anything of the image can run.
	setup struct {
		TempDir   string // an existing folder, covered in init's mount namespace only
		LowerType string
		LowerData string
		Sources   []bindSource
		Hostname  string
		Domain    string
		Sysctl    map[string]string
		Loopback  bool
	}

	// bindSource is a folder or file of the host, found again as src/N.
	bindSource struct {
		Path      string
		Recursive bool
	}

	// spawn starts a launch: the first one makes pid namespace B, the others join it.
	spawn struct{ Join bool }

	// job is what a launch carries out: the parts of the runtime spec that it follows.
	job struct {
		Join     bool // enter the program's mount namespace instead of making mounts
		Process  process
		ReadOnly bool
		Mounts   []mount
		Files    []etcFile
		Devices  []device
		Masked   []string
		Fixed    []string // paths made read-only
		Listen   []unix.SockFilter
		Seccomp  []unix.SockFilter
	}

	process struct {
		Args, Env  []string
		Cwd        string
		UID, GID   uint32
		Groups     []uint32
		Umask      uint32
		Caps       specs.LinuxCapabilities
		Rlimits    []specs.POSIXRlimit
		NoNewPrivs bool
	}

	mount struct {
		Target, Type, Source string
		Options              []string
	}

	device struct {
		Path     string
		Mode     uint32 // type and permissions
		UID, GID uint32
		Dev      uint64
	}

	// etcFile is content laid over a path of the image for the run.
	etcFile struct {
		Path    string
		Content []byte
	}
)

// Kinds of message.
const (
	msgSetup   = "setup"   // to init, with the lower's descriptor if it has one
	msgMounted = "mounted" // from init: the lower is mounted, its server can begin
	msgSpawn   = "spawn"   // to init, with the launch's socket, stdout, stderr
	msgChanges = "changes" // to init
	msgReply   = "reply"   // from init, to the last request
	msgExited  = "exited"  // from init: a spawned process ended
	msgJob     = "job"     // to the launch
	msgReady   = "ready"   // from the launch: all but exec is done
	msgStart   = "start"   // to the launch
	msgListen  = "listen"  // from the launch, with the seccomp listener
	msgExec    = "exec"    // from the launch: exec comes next, then the socket closes
	msgFailed  = "failed"  // from the launch
)

// remoteError carries an error, which of the package's marks it has, and the system's
// error number.
type remoteError struct {
	Text  string
	Mark  string
	Errno syscall.Errno
}

var marks = map[string]error{
	"start":       ErrStart,
	"unsupported": ErrUnsupported,
	"exec":        ErrExec,
	"missing":     os.ErrNotExist,
}

func newRemoteError(err error) *remoteError {
	if err == nil {
		return nil
	}
	r := &remoteError{Text: err.Error()}
	errors.As(err, &r.Errno)
	for mark, target := range marks {
		if errors.Is(err, target) && (r.Mark == "" || mark != "missing") {
			r.Mark = mark
		}
	}
	return r
}

func (r *remoteError) Error() string { return r.Text }

func (r *remoteError) Unwrap() (errs []error) {
	if mark := marks[r.Mark]; mark != nil {
		errs = append(errs, mark)
	}
	if r.Errno != 0 {
		errs = append(errs, r.Errno)
	}
	return errs
}

// err avoids the trap of a nil *remoteError in an error.
func (m *message) err() error {
	if m.Error == nil {
		return nil
	}
	return m.Error
}

// conn carries messages, with descriptors, over a unix stream socket. Each message is a
// frame: its length and number of descriptors, sent apart so that the descriptors come
// with that read and no other, then gob. send may be called by several goroutines,
// recv by one.
type conn struct {
	sock *net.UnixConn

	mu  sync.Mutex
	enc *gob.Encoder
	out bytes.Buffer

	dec *gob.Decoder
	in  bytes.Buffer
}

const (
	frameHead   = 8
	maxFrame    = 1 << 30
	maxFrameFds = 16
)

// newConn takes over the descriptor fd.
func newConn(fd int) (*conn, error) {
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("open control socket: not a unix socket")
	}
	cn := &conn{sock: sock}
	cn.enc, cn.dec = gob.NewEncoder(&cn.out), gob.NewDecoder(&cn.in)
	return cn, nil
}

// newConnPair gives a connection and the bare descriptor of its other end.
func newConnPair() (*conn, int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	c, err := newConn(p[0])
	if err != nil {
		unix.Close(p[1])
		return nil, -1, err
	}
	return c, p[1], nil
}

func (c *conn) close() error { return c.sock.Close() }

func (c *conn) send(m *message, fds ...int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Reset()
	if err := c.enc.Encode(m); err != nil {
		return fmt.Errorf("send %s: %w", m.Kind, err)
	}
	var head [frameHead]byte
	binary.NativeEndian.PutUint32(head[:], uint32(c.out.Len()))
	binary.NativeEndian.PutUint32(head[4:], uint32(len(fds)))
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.sock.WriteMsgUnix(head[:], rights, nil); err != nil {
		return fmt.Errorf("send %s: %w", m.Kind, err)
	}
	if _, err := c.sock.Write(c.out.Bytes()); err != nil {
		return fmt.Errorf("send %s: %w", m.Kind, err)
	}
	return nil
}

// recv gives io.EOF where the other end has closed between two messages.
func (c *conn) recv() (*message, []int, error) {
	var head [frameHead]byte
	oob := make([]byte, unix.CmsgSpace(maxFrameFds*4))
	var fds []int
	for got := 0; got < frameHead; {
		n, oobn, _, _, err := c.sock.ReadMsgUnix(head[got:], oob)
		if n > 0 || oobn > 0 {
			more, perr := parseRights(oob[:oobn])
			fds = append(fds, more...)
			if err == nil {
				err = perr
			}
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			closeAll(fds)
			if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
				err = io.EOF
			}
			return nil, nil, err
		}
		got += n
	}
	size := binary.NativeEndian.Uint32(head[:])
	if size > maxFrame || int(binary.NativeEndian.Uint32(head[4:])) != len(fds) {
		closeAll(fds)
		return nil, nil, errors.New("receive: damaged frame")
	}
	m := new(message)
	_, err := io.CopyN(&c.in, c.sock, int64(size))
	if err == nil {
		err = c.dec.Decode(m)
	}
	if err != nil {
		closeAll(fds)
		return nil, nil, fmt.Errorf("receive: %w", err)
	}
	return m, fds, nil
}

func parseRights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("receive descriptors: %w", err)
	}
	var fds []int
	for i := range cmsgs {
		more, err := unix.ParseUnixRights(&cmsgs[i])
		if err != nil {
			return fds, fmt.Errorf("receive descriptors: %w", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
