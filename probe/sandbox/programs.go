package sandbox

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Program is what a process of the container runs, as execve(2) was asked for it: a
// program that rewrites its title shows other arguments in /proc.
type Program struct {
	// PID and Parent are the process and its parent, as this process sees them.
	PID, Parent int
	// Path is the file, as named; Args and Env are whole.
	Path      string
	Args, Env []string
	// Dir is the working directory. User and Umask are those of the process then.
	Dir   string
	User  specs.User
	Umask uint32
	// First marks the process that the container was started with, Ended one that runs
	// no more.
	First, Ended bool
}

// Programs lists what the container's processes run, or ran last, by process, where
// Options.Programs asked for it; a process that was only forked is not among them.
// ErrUnsupported where the kernel does not tell of execve(2).
func (c *Container) Programs() ([]Program, error) {
	c.mu.Lock()
	blind := !c.watchesExec
	var list []Program
	for _, p := range c.programs {
		list = append(list, p)
	}
	c.mu.Unlock()
	if blind {
		return nil, fmt.Errorf("%w: the kernel gives no seccomp notification of execve", ErrUnsupported)
	}
	for i := range list {
		status, err := readStatus(list[i].PID)
		list[i].Ended = err != nil || strings.HasPrefix(status["State"], "Z")
	}
	slices.SortFunc(list, func(a, b Program) int { return cmp.Compare(a.PID, b.PID) })
	return list, nil
}

// isExec reports whether a notification is of an execve(2) or execveat(2) of the
// native ABI; programs of others are not followed.
func isExec(req *seccompNotif) bool {
	known, err := abis()
	native := known[nativeArch[runtime.GOARCH]]
	return err == nil && native != nil && uint32(req.arch) == native.audit &&
		(req.nr == unix.SYS_EXECVE || req.nr == unix.SYS_EXECVEAT)
}

// noteExec records what a process is about to run. The call may yet fail, and be
// tried again with another path: the last one counts.
func (c *Container) noteExec(req *seccompNotif) {
	args := req.args[:]
	if req.nr == unix.SYS_EXECVEAT {
		args = args[1:]
	}
	p, err := c.readExec(int(req.pid), args)
	if err != nil {
		return // it is gone, or its memory is not what the call claims
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.programs) == 0 {
		p.First = true
		c.programs = make(map[int]Program)
	} else {
		p.First = c.programs[p.PID].First
	}
	c.programs[p.PID] = p
}

// maxExec bounds what is read of a call's vectors, in strings and in bytes; the
// kernel's own limit depends on the stack's (execve(2), "Limits on size").
const (
	maxExecStrings = 1 << 16
	maxExecBytes   = 8 << 20
)

func (c *Container) readExec(tid int, args []uint64) (p Program, err error) {
	status, err := readStatus(tid)
	if err != nil {
		return p, err
	}
	m := &memory{pid: tid, left: maxExecBytes}
	if p.Path, err = m.text(args[0]); err != nil {
		return p, err
	}
	if p.Args, err = m.vector(args[1]); err != nil {
		return p, err
	}
	if p.Env, err = m.vector(args[2]); err != nil {
		return p, err
	}
	if p.Dir, err = os.Readlink(fmt.Sprintf("/proc/%d/cwd", tid)); err != nil {
		return p, err
	}
	p.PID, _ = strconv.Atoi(status["Tgid"])
	p.Parent, _ = strconv.Atoi(status["PPid"])
	umask, _ := strconv.ParseUint(status["Umask"], 8, 32)
	p.Umask = uint32(umask)
	p.User.UID, p.User.GID = fieldID(status["Uid"]), fieldID(status["Gid"])
	for g := range strings.FieldsSeq(status["Groups"]) {
		p.User.AdditionalGids = append(p.User.AdditionalGids, fieldID(g))
	}
	return p, nil
}

// fieldID is the effective id of a line of /proc/PID/status: the second of four, or
// the only one.
func fieldID(s string) uint32 {
	f := strings.Fields(s)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(f[min(1, len(f)-1)], 10, 32)
	return uint32(n)
}

// readStatus reads /proc/PID/status (proc_pid_status(5)) into its fields.
func readStatus(pid int) (map[string]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields, nil
}

// memory reads another process's memory, left bytes at most.
type memory struct {
	pid, left int
}

var errMemory = errors.New("memory of the process cannot be read")

// read fills b from addr on, and tells how much there was.
func (m *memory) read(addr uint64, b []byte) (int, error) {
	local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
	remote := []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}
	n, err := unix.ProcessVMReadv(m.pid, local, remote, 0)
	if err != nil || n == 0 {
		return 0, errMemory
	}
	return n, nil
}

// text is the NUL-terminated string at addr. It reads up to the end of a page, which
// is as far as memory is there for certain.
func (m *memory) text(addr uint64) (string, error) {
	const page = 4096
	var out []byte
	for m.left > 0 {
		b := make([]byte, page-addr%page)
		n, err := m.read(addr, b)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b[:n], 0); i >= 0 {
			m.left -= i
			return string(append(out, b[:i]...)), nil
		}
		out, addr, m.left = append(out, b[:n]...), addr+uint64(n), m.left-n
	}
	return "", errMemory
}

// vector is the list of strings at addr, which a null pointer ends.
func (m *memory) vector(addr uint64) ([]string, error) {
	var list []string
	if addr == 0 {
		return nil, nil // Linux takes it for an empty list
	}
	for range maxExecStrings {
		var word [8]byte
		if n, err := m.read(addr, word[:]); err != nil || n < len(word) {
			return nil, errMemory
		}
		at := binary.NativeEndian.Uint64(word[:])
		if at == 0 {
			return list, nil
		}
		s, err := m.text(at)
		if err != nil {
			return nil, err
		}
		list, addr = append(list, s), addr+8
	}
	return nil, errMemory
}
