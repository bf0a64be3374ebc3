// Package record watches which files of a tree a program uses.
//
// A recorder serves one tree during one run and keeps, for each path, what was done
// to it, in which order and phase and by whom. Events are
// never dropped: a recorder that could lose one fails the run instead.
package record

import (
	"slices"
	"strings"
)

// Op is a set of things done to one path.
type Op uint16

// What can be done to a path. The letters are those of the trace file.
const (
	// Lookup: the name was resolved and found, nothing more is known (a directory
	// walked through, access(2) on a file, one opened and not read). 'p', for passed.
	Lookup Op = 1 << iota
	// Stat: attributes were asked for, or an empty file was read. A read to the end
	// of a file asks for them too. 's'
	Stat
	// Read: content was read or mapped. 'r'
	Read
	// List: a directory's entries were read. 'l'
	List
	// Link: a symbolic link's target was read or followed. 'k'
	Link
	// Xattr: an extended attribute was read. 'a'
	Xattr
	// Exec: the file was executed, as a program or as a script. The ELF interpreter
	// that the kernel loads for a program is Read only. 'x'
	Exec
	// Write: created, changed or removed by the run (in the throw-away layer). 'w'
	Write
	// Miss: looked up and not there. 'm'
	Miss
)

const letters = "psrlkaxwm"

// String is the set as letters, in a fixed order: "psr".
func (o Op) String() string {
	var b strings.Builder
	for i := range letters {
		if o&(1<<i) != 0 {
			b.WriteByte(letters[i])
		}
	}
	return b.String()
}

// ParseOp reads what String wrote; false if a letter is unknown.
func ParseOp(s string) (Op, bool) {
	var o Op
	for i := range len(s) {
		j := strings.IndexByte(letters, s[i])
		if j < 0 {
			return 0, false
		}
		o |= 1 << j
	}
	return o, true
}

// Phase is the part of a run in which something happened.
type Phase uint8

// The phases of a run, in order. Nothing is recorded before Start.
const (
	Setup Phase = iota // the container is being made; not recorded
	Start              // from the program's exec until it is ready
	Test               // while the workload exercises it
	Stop               // from the stop signal to the end
)

var phases = [...]string{"setup", "start", "test", "stop"}

// String is "setup", "start", "test" or "stop".
func (p Phase) String() string { return phases[p] }

// ParsePhase reads what String wrote; false if it is none of them.
func ParsePhase(s string) (Phase, bool) {
	for i, name := range phases {
		if s == name {
			return Phase(i), true
		}
	}
	return 0, false
}

// Access is what happened to one path in one run.
type Access struct {
	// Path is absolute and clean, resolved: none of its directories is a link.
	Path string
	// Ops is everything done to it.
	Ops Op
	// First is the place of the first access among all, from 1.
	First int
	// Phase is that of the first access.
	Phase Phase
	// Process is the command name (comm, at most 15 bytes) of the first process
	// that read, listed or followed it; where none did, of the first that came by;
	// for what was executed, the name that it ran under. "" if it was gone before it
	// could be asked.
	Process string
	// Helper says that Process was a helper of the workload's: a command that it ran
	// in the container (--exec, a health check), or a child of one. The program is
	// named instead where it was seen to do the same, at any time; but what the kernel
	// has in its caches it does not ask for again, so nothing says that the program
	// can do without.
	Helper bool
}

// SortAccesses sorts by path, byte order.
func SortAccesses(a []Access) {
	slices.SortFunc(a, func(x, y Access) int { return strings.Compare(x.Path, y.Path) })
}
