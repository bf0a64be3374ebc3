package record

import (
	"bytes"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// slots is how many threads' proc files are kept open; each takes at most two
// descriptors.
const slots = 64

// processes gives names to the thread numbers that requests carry. A request
// holds its thread until it is answered, so the name is asked before that, and
// only for the first touch of a path.
//
// A thread's comm file stays open: reading it again costs a microsecond less than a
// look in procfs, it shows the name after an exec, and it fails once the thread
// has gone, so that a number used again cannot be taken for the old thread.
type processes struct {
	// exe is told which file a process runs, once when it is first met and again
	// whenever its name has changed. The path is as the kernel writes it.
	exe func(path string, name uint32)

	table [slots]slot

	mu     sync.RWMutex
	dir    int                    // descriptor of procfs, -1 for none
	helper func(session int) bool // nil for none
	names  []string
	ids    map[string]uint32
}

type slot struct {
	mu     sync.Mutex
	tid    uint32
	tgid   string
	self   int    // comm of the thread; -1 for an empty slot
	lead   int    // comm of its process's first thread; -1 if the thread is that
	helper uint32 // byHelper or 0
	name   string
	id     uint32
}

// byHelper is set in the id of a name under which a helper of the workload ran.
const byHelper = 1 << 31

func newProcesses(exe func(string, uint32)) *processes {
	p := &processes{exe: exe, dir: -1, names: []string{""}, ids: map[string]uint32{"": 0}}
	for i := range p.table {
		p.table[i].self, p.table[i].lead = -1, -1
	}
	return p
}

// setDir makes dir, which stays the caller's, the procfs to look in.
func (p *processes) setDir(dir *os.File) error {
	fd, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	p.close()
	p.mu.Lock()
	p.dir = fd
	p.mu.Unlock()
	return nil
}

// setHelper makes helper tell the sessions of the workload's helpers.
func (p *processes) setHelper(helper func(session int) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.helper = helper
}

// close lets go of every descriptor; names already given stay.
func (p *processes) close() {
	p.mu.Lock()
	if p.dir >= 0 {
		unix.Close(p.dir)
		p.dir = -1
	}
	p.mu.Unlock()
	for i := range p.table {
		s := &p.table[i]
		s.mu.Lock()
		s.drop()
		s.mu.Unlock()
	}
}

// lookup is the name behind an id, and whether it is a helper's.
func (p *processes) lookup(id uint32) (name string, helper bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.names[id&^byHelper], id&byHelper != 0
}

// id numbers a name; 0 is the empty one.
func (p *processes) id(name string) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.ids[name]
	if !ok {
		id = uint32(len(p.names))
		p.names = append(p.names, name)
		p.ids[name] = id
	}
	return id
}

// name is the id of the command name of the process that thread tid belongs to, with
// byHelper if that is one; 0 if it has gone, or there is no procfs to ask.
func (p *processes) name(tid uint32) uint32 {
	s := &p.table[tid%slots]
	s.mu.Lock()
	defer s.mu.Unlock()
	var buf [64]byte
	comm, ok := []byte(nil), false
	if s.self >= 0 && s.tid == tid {
		comm, ok = s.comm(&buf)
	}
	met := !ok
	if !ok {
		s.drop()
		p.open(s, tid)
		if comm, ok = s.comm(&buf); !ok {
			s.drop()
			return 0
		}
	}
	if met || s.name != string(comm) {
		s.name = string(comm)
		s.id = p.id(s.name) | s.helper
		if exe := p.readlink(s.tgid + "/exe"); exe != "" {
			p.exe(exe, s.id)
		}
	}
	return s.id
}

// open fills an empty slot as far as it can.
func (p *processes) open(s *slot, tid uint32) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.dir < 0 {
		return
	}
	s.tid, s.tgid = tid, strconv.FormatUint(uint64(tid), 10)
	s.self = openat(p.dir, s.tgid+"/comm")
	if s.self < 0 {
		return
	}
	// Threads have names of their own ("libuv-worker"); the process's is wanted.
	if lead := leader(p.dir, s.tgid); lead != "" && lead != s.tgid {
		s.tgid = lead
		s.lead = openat(p.dir, lead+"/comm")
	}
	s.helper = 0
	if p.helper != nil && p.helper(sessionOf(p.dir, s.tgid)) {
		s.helper = byHelper
	}
}

// readlink reads a link of procfs, which does not touch the file it points to:
// a stat of it would come back to us as a request.
func (p *processes) readlink(name string) string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.dir < 0 {
		return ""
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(p.dir, name, buf[:])
	if err != nil || n == len(buf) {
		return ""
	}
	return string(buf[:n])
}

// comm reads the process's name if the thread still lives.
func (s *slot) comm(buf *[64]byte) ([]byte, bool) {
	if s.self < 0 {
		return nil, false
	}
	n, err := unix.Pread(s.self, buf[:], 0)
	if err != nil || n <= 0 {
		return nil, false
	}
	if s.lead >= 0 {
		// The first thread may have ended before its process: then this one's name
		// is the best there is, and is in the buffer already.
		var b [64]byte
		if m, err := unix.Pread(s.lead, b[:], 0); err == nil && m > 0 {
			n = copy(buf[:], b[:m])
		}
	}
	return bytes.TrimSuffix(buf[:n], []byte("\n")), true
}

func (s *slot) drop() {
	for _, fd := range []*int{&s.self, &s.lead} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// leader is the number of the process that a thread belongs to (Tgid in
// proc_pid_status(5)); "" if the thread has gone.
func leader(dir int, tid string) string {
	var buf [1024]byte // Tgid is the fourth line
	_, rest, ok := bytes.Cut(readFile(dir, tid+"/status", buf[:]), []byte("\nTgid:\t"))
	tgid, _, end := bytes.Cut(rest, []byte("\n"))
	if !ok || !end {
		return ""
	}
	return string(tgid)
}

// sessionOf is the number of the session that a process belongs to (the sixth field in
// proc_pid_stat(5), the fourth after the name in brackets); 0 if the process has gone.
func sessionOf(dir int, pid string) int {
	var buf [512]byte
	stat := readFile(dir, pid+"/stat", buf[:])
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 4 {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[3]))
	return n
}

// readFile reads the start of a file of procfs into buf; nothing if it cannot.
func readFile(dir int, name string, buf []byte) []byte {
	fd := openat(dir, name)
	if fd < 0 {
		return nil
	}
	defer unix.Close(fd)
	n, err := unix.Pread(fd, buf, 0)
	if err != nil {
		return nil
	}
	return buf[:n]
}

func openat(dir int, name string) int {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}
