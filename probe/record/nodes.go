package record

import (
	"sort"
	"strings"
	"sync/atomic"

	"slim/probe/rootfs"
)

// A mark is what was done to one path. It is changed by many requests at once,
// without a lock: the bits only ever grow, the rest is set once.
type mark struct {
	bits atomic.Uint32 // Op bits, and the flags below
	// first is the place and the phase of the first access, as place<<8 | phase; 0
	// for none. It is set before any Op bit is.
	first atomic.Uint64
	// toucher is the first process that came by, user the first that wanted what is
	// in it; both as ids of the process table, 0 for not known. The program takes the
	// place of a helper of the workload's.
	toucher, user atomic.Uint32
}

// Flags beside the Op bits of a mark.
const (
	// served: content went to the kernel, in whatever phase.
	served = 1 << (16 + iota)
	// kernelExec: read through a file that the kernel opened to execute it.
	kernelExec
	// running: seen as the executable of a process.
	running
	// stale: the kernel may hold in its caches what it learnt during Setup.
	stale
)

// use is what makes a process the user of a path rather than a passer-by.
const use = Read | List | Link | Exec

// who is the place for the process that does op.
func (m *mark) who(op Op) *atomic.Uint32 {
	if op&use != 0 {
		return &m.user
	}
	return &m.toucher
}

// An entry is one name of the tree. Its place in the table plus one is its FUSE
// node id, so that the root has 1, as the protocol asks.
type entry struct {
	node *rootfs.Node
	kids uint32 // place of the first child; the others follow in the order of node.Children
	dirs uint32 // how many children are directories
	mark
}

// newTable lists the tree level by level, so that the children of a directory
// stand next to each other and no map from node to place is needed.
func newTable(root *rootfs.Node, size int) []entry {
	t := make([]entry, 1, max(size, 1))
	t[0].node = root
	for i := 0; i < len(t); i++ {
		kids := t[i].node.Children()
		t[i].kids = uint32(len(t))
		for _, kid := range kids {
			if kid.Inode().IsDir() {
				t[i].dirs++
			}
			t = append(t, entry{node: kid})
		}
	}
	return t
}

// child finds the place of a name in the directory at place dir.
func child(t []entry, dir uint32, name string) (uint32, bool) {
	kids := t[dir].node.Children()
	i := sort.Search(len(kids), func(i int) bool { return kids[i].Name() >= name })
	if i == len(kids) || kids[i].Name() != name {
		return 0, false
	}
	return t[dir].kids + uint32(i), true
}

// find is the place of an absolute path that holds no links.
func find(t []entry, path string) (uint32, bool) {
	var at uint32
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		var ok bool
		if at, ok = child(t, at, name); !ok {
			return 0, false
		}
	}
	return at, true
}

// touch notes that the process pid did op. The way for what is known already is
// one load of each word.
func (f *FUSE) touch(m *mark, op Op, pid uint32) {
	who := m.who(op)
	known := who.Load()
	open := pid != 0 && (known == 0 || known&byHelper != 0)
	if m.bits.Load()&uint32(op) == uint32(op) && !open {
		return
	}
	phase := f.now()
	if phase == Setup {
		return
	}
	if m.first.Load() == 0 {
		m.first.CompareAndSwap(0, f.order.Add(1)<<8|uint64(phase))
	}
	m.bits.Or(uint32(op))
	// Read-ahead and kernel threads come without a process: the next one that has a
	// number gives its name, as the earlier one did if there was any.
	if open {
		if id := f.procs.name(pid); better(known, id) {
			who.CompareAndSwap(known, id)
		}
	}
}

// better says whether an id is to take the place of the one known.
func better(known, id uint32) bool {
	return id != 0 && (known == 0 || known&byHelper > id&byHelper)
}

// miss notes that a name is not in the directory at place dir.
func (f *FUSE) miss(dir uint32, name string, pid uint32) {
	if f.now() == Setup {
		return
	}
	key := missing{dir, name}
	f.missMu.Lock()
	m := f.misses[key]
	if m == nil {
		if len(f.misses) >= f.maxMisses {
			f.missMu.Unlock()
			f.fail(&FullError{Limit: f.maxMisses})
			return
		}
		m = new(mark)
		f.misses[key] = m
	}
	f.missMu.Unlock()
	f.touch(m, Miss, pid)
}

// missing is a name that was looked for in a directory of the table.
type missing struct {
	dir  uint32
	name string
}
