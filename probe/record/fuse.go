package record

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"slim/probe/rootfs"
)

// ErrUnsupported marks a recorder that cannot work here; the text says what is
// missing. Test with errors.Is.
var ErrUnsupported = errors.New("cannot record here")

// FullError is the failure of a run that looked for more different missing
// names than are kept.
type FullError struct {
	Limit int // names
}

func (e *FullError) Error() string {
	return fmt.Sprintf("record: more than %d different missing names were looked up: trace full", e.Limit)
}

// FUSEOptions of NewFUSE. The zero value is right.
type FUSEOptions struct {
	// MaxRead is the size of the largest read request in bytes; 0 means 128 KiB.
	// More gained nothing: the kernel's read-ahead ends there.
	MaxRead int
	// MaxMisses bounds how many different missing names are kept, so that a program
	// that makes names up cannot use all memory; one more fails the record. 0 means
	// a million.
	MaxMisses int
}

// FUSE is a recorder that serves the tree itself, read-only, as a file system.
// The kernel asks it once for everything it needs and then works from its caches,
// so the record is complete and steady state costs nothing.
//
// It is meant to be the lower layer of an overlay mounted with xino=off and
// metacopy=on in a mount namespace of its own, by another process than the one
// that serves it: a process that waits in the kernel for an answer it must give
// itself cannot even be killed. One FUSE serves one mount, once: what the caches
// of an earlier run hold, a later one would not ask for.
//
// How the ops come about: LOOKUP is answered with attributes that are at once
// out of date, so GETATTR is the sign that somebody asked for them. Files are
// not opened (the kernel's no-open mode), so READ is the sign that content was
// used. The kernel passes the open flags in READ, with a bit of its own for files
// that it opened to execute (FMODE_EXEC in include/linux/fs.h).
//
// Its limits: an empty file that was opened shows as Stat, or as Lookup if it was
// not read either. An executable whose content was all in the cache before it ran
// is seen as Exec only if its process went on to touch something new. A name that
// was missing during Setup may stay unseen when it is looked for later.
type FUSE struct {
	fsys  *rootfs.FS
	dev   *os.File
	opts  fuse.MountOptions
	nodes []entry
	procs *processes

	phase  atomic.Uint32
	order  atomic.Uint64
	server atomic.Pointer[fuse.Server]

	maxMisses int
	missMu    sync.Mutex
	misses    map[missing]*mark

	mu     sync.Mutex
	failed error
	ran    map[uint32]uint32 // executed entry: name of its process
}

// NewFUSE indexes the tree and opens /dev/fuse. Where it cannot be opened, or not
// by this user, the error wraps ErrUnsupported. fsys must stay open for as long
// as the recorder is.
//
// At least two Ps are needed, and set if there is but one: a goroutine that
// blocks in the kernel until a request is answered would keep the one that
// answers from running for as long as the runtime takes to notice.
func NewFUSE(fsys *rootfs.FS, opts FUSEOptions) (*FUSE, error) {
	// Not os.OpenFile: it makes the descriptor non-blocking, for everyone who has it.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(err)
	}
	if opts.MaxRead <= 0 {
		opts.MaxRead = 128 << 10
	}
	if opts.MaxMisses <= 0 {
		opts.MaxMisses = 1_000_000
	}
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	f := &FUSE{
		fsys:      fsys,
		dev:       os.NewFile(uintptr(fd), "/dev/fuse"),
		nodes:     newTable(fsys.Root(), fsys.Len()),
		maxMisses: opts.MaxMisses,
		misses:    map[missing]*mark{},
		ran:       map[uint32]uint32{},
	}
	f.procs = newProcesses(f.runs)
	f.opts = fuse.MountOptions{
		Name:                     "slim",
		MaxWrite:                 opts.MaxRead,
		DisableXAttrs:            !fsys.HasXattrs(),
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		// READDIRPLUS would bring the attributes along, and no stat after it be seen.
		DisableReadDirPlus:   true,
		DisableSplice:        true,
		ExtraCapabilities:    fuse.CAP_NO_OPENDIR_SUPPORT,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
		Logger:               log.New(complaints{f}, "", 0),
		PanicHandler: func(v any) fuse.Status {
			f.fail(fmt.Errorf("record: serve a request: panic: %v", v))
			return fuse.EIO
		},
	}
	return f, nil
}

// openError says what to do about a /dev/fuse that does not open.
func openError(err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		hint = " (is the kernel's fuse module loaded, and the device passed in?)"
	case errors.Is(err, fs.ErrPermission):
		hint = " (needs root, or a device that this user may open)"
	}
	return fmt.Errorf("%w: open /dev/fuse: %w%s", ErrUnsupported, err, hint)
}

// Device is the open /dev/fuse, to be handed to the process that mounts. It stays
// the recorder's. The mounting process must not keep its copy: only when nobody
// holds the device any more does the kernel give up waiting for a server that died.
func (f *FUSE) Device() *os.File { return f.dev }

// MountData is the data of mount(2) for file system type "fuse", without the
// descriptor: ",fd=N" is to be appended. The flags are MS_RDONLY and MS_NODEV, not
// MS_NOSUID: setuid bits and file capabilities are to work.
//
// There is no default_permissions: it makes the kernel ask for the attributes of
// every directory on the way, which would look like a stat. The overlay above
// checks permissions.
func (f *FUSE) MountData() string {
	return fmt.Sprintf("rootmode=40000,user_id=0,group_id=0,allow_other,max_read=%d", f.opts.MaxWrite)
}

// Serve answers the kernel until the mount has gone, by umount or with the last
// process of its namespace: that is no error. The device must have been mounted by
// then; mount(2) returns before the first answer is needed. To end it, end the
// processes in the mount, and with them the mount, or they would wait for answers.
// An error that Accesses would report is reported here too; should the mount still
// be there then, Close makes its processes get errors instead of waiting. Serve is
// to be called once.
func (f *FUSE) Serve() error {
	fd, err := f.dup()
	if err != nil {
		return fmt.Errorf("record: serve fuse: %w", err)
	}
	// NewServer owns the descriptor unless it fails before it has looked at it,
	// which it does not with a name of this form.
	server, err := fuse.NewServer(newRaw(f), fmt.Sprintf("/dev/fd/%d", fd), &f.opts)
	if err != nil {
		err = fmt.Errorf("record: serve fuse: %w", err)
		f.fail(err)
		return err
	}
	const need = fuse.CAP_NO_OPEN_SUPPORT | fuse.CAP_NO_OPENDIR_SUPPORT
	if server.KernelSettings().Flags64()&need != need {
		f.fail(fmt.Errorf("%w: the kernel's FUSE always opens files (Linux 5.1 is needed)", ErrUnsupported))
	}
	f.server.Store(server)
	server.Serve()
	return f.err()
}

// dup is a descriptor of the device for the server to own.
func (f *FUSE) dup() (fd int, err error) {
	conn, err := f.dev.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := conn.Control(func(dev uintptr) { fd, err = unix.FcntlInt(dev, unix.F_DUPFD_CLOEXEC, 3) }); cerr != nil {
		return -1, os.ErrClosed // as it says in an error of its own
	}
	return fd, os.NewSyscallError("dup", err)
}

// SetPhase says that what happens from now on belongs to phase p. At first it is
// Setup, in which nothing is recorded, and nothing may stay in the kernel's caches
// that would hide a later access.
func (f *FUSE) SetPhase(p Phase) {
	old := Phase(f.phase.Swap(uint32(p)))
	server := f.server.Load()
	if old != Setup || p == Setup || server == nil {
		return
	}
	// Names and attributes were given out without any validity. Content, listings
	// and link targets have none; they have to be taken back.
	for i := range f.nodes {
		if f.nodes[i].bits.Load()&stale == 0 {
			continue
		}
		if st := server.InodeNotify(uint64(i)+1, 0, 0); !st.Ok() && st != fuse.ENOENT {
			f.fail(fmt.Errorf("record: invalidate %s: %v", f.nodes[i].node.Path(), st))
		}
	}
}

func (f *FUSE) now() Phase { return Phase(f.phase.Load()) }

// SetProc says where the processes behind the requests can be looked up: a procfs
// folder of the PID namespace of the process that mounted. The file stays the
// caller's. Without it no access has a Process. Paths of executables are taken to
// be those of the tree, so the overlay must be the root of its mount namespace,
// as pivot_root(2) makes it.
func (f *FUSE) SetProc(dir *os.File) {
	if err := f.procs.setDir(dir); err != nil {
		f.fail(fmt.Errorf("record: set procfs: %w", err))
	}
}

// SetHelpers says which processes are helpers of the workload's: those in a session
// (setsid(2)) for whose number, as the folder of SetProc has it, helper is true. It is
// asked when a thread is first met, by several goroutines, and must not wait for
// anything that uses the mount.
func (f *FUSE) SetHelpers(helper func(session int) bool) { f.procs.setHelper(helper) }

// Close releases the device. It does not end a mount that is being served. The record
// stays.
func (f *FUSE) Close() error {
	f.procs.close()
	if err := f.dev.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// fail remembers the first failure: from then on the record cannot be trusted.
func (f *FUSE) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
}

func (f *FUSE) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// complaints takes what go-fuse writes to its log. It logs what it cannot read,
// parse or answer, and goes on; here that is a lost event and fails the record.
type complaints struct{ f *FUSE }

// harmless complaints: an operation that we do not have was answered with ENOSYS;
// an answer found its request, or the whole mount, gone.
var harmless = []string{
	"Unimplemented opcode",
	"writer: Write/Writev failed, err: " + fuse.ENOENT.String(),
	"writer: Write/Writev failed, err: " + fuse.ENODEV.String(),
}

func (c complaints) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	for _, prefix := range harmless {
		if strings.HasPrefix(text, prefix) {
			return len(line), nil
		}
	}
	c.f.fail(fmt.Errorf("record: fuse server: %s", text))
	return len(line), nil
}
