package record

import (
	"cmp"
	"debug/elf"
	"io"
	"slices"
)

// Accesses is the record so far, sorted by path, one for each path. It is an error
// if any event was lost, an answer could not be given, or the image could not be
// read: then the record is not to be used at all.
func (f *FUSE) Accesses() ([]Access, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	var all []Access
	ran := f.executed()
	for i := range f.nodes {
		e := &f.nodes[i]
		a, ok := f.access(&e.mark)
		if !ok {
			continue
		}
		a.Path = e.node.Path()
		if by, ok := ran[uint32(i)]; ok {
			a.Ops |= Exec
			a.Process, a.Helper = by.name, by.helper
		}
		all = append(all, a)
	}
	f.missMu.Lock()
	for key, m := range f.misses {
		if a, ok := f.access(m); ok {
			dir := f.nodes[key.dir].node.Path()
			if dir != "/" {
				dir += "/"
			}
			a.Path = dir + key.name
			all = append(all, a)
		}
	}
	f.missMu.Unlock()
	// Two requests for one path may each have taken a number: close the gaps.
	slices.SortFunc(all, func(a, b Access) int { return cmp.Compare(a.First, b.First) })
	for i := range all {
		all[i].First = i + 1
	}
	SortAccesses(all)
	return all, nil
}

// access is a mark as others see it, but for the path; false if nothing was done.
func (f *FUSE) access(m *mark) (Access, bool) {
	ops := Op(m.bits.Load())
	if ops == 0 {
		return Access{}, false
	}
	who := m.user.Load()
	if who == 0 {
		who = m.toucher.Load()
	}
	first := m.first.Load()
	a := Access{Ops: ops, First: int(first >> 8), Phase: Phase(first & 0xff)}
	a.Process, a.Helper = f.procs.lookup(who)
	return a, true
}

// runs is told that some process, by the name given, runs the file at path. It
// finds what was executed from the kernel's cache, and the names that the
// executed go by. Only what was read through us can be it: a path from before
// the container's root was set could be the host's.
func (f *FUSE) runs(path string, name uint32) {
	at, ok := find(f.nodes, path)
	if !ok || f.now() == Setup || f.nodes[at].bits.Load()&served == 0 {
		return
	}
	f.touch(&f.nodes[at].mark, Read, 0)
	f.nodes[at].bits.Or(running)
	f.mu.Lock()
	defer f.mu.Unlock()
	if better(f.ran[at], name) {
		f.ran[at] = name
	}
}

// runner is a process that ran a file.
type runner struct {
	name   string
	helper bool
}

// executed is every entry that was run, with the process.
//
// The kernel opens the interpreter that an ELF program names (PT_INTERP) like the
// program itself. It is told apart by the programs: what one of them names
// counts as run only if it was the executable of a process, as in `ld.so prog`.
func (f *FUSE) executed() map[uint32]runner {
	ran := map[uint32]runner{}
	loaders := map[uint32]bool{}
	for i := range f.nodes {
		e := &f.nodes[i]
		if e.bits.Load()&(kernelExec|running) == 0 {
			continue
		}
		ran[uint32(i)] = f.ranAs(uint32(i))
		name := interpreter(f.fsys.Content(e.node.Inode()))
		if name == "" {
			continue
		}
		if n, _, err := f.fsys.Resolve(name); err == nil {
			if at, ok := find(f.nodes, n.Path()); ok {
				loaders[at] = true
			}
		}
	}
	for at := range loaders {
		if f.nodes[at].bits.Load()&running == 0 {
			delete(ran, at)
		}
	}
	return ran
}

// ranAs is the process that ran an entry: as seen, or when none was seen, the reader
// under the name that the kernel gives it then, from the last element of the path.
func (f *FUSE) ranAs(at uint32) (by runner) {
	f.mu.Lock()
	id, ok := f.ran[at]
	f.mu.Unlock()
	if ok {
		by.name, by.helper = f.procs.lookup(id)
		return by
	}
	const commLen = 15 // TASK_COMM_LEN without its zero
	_, by.helper = f.procs.lookup(f.nodes[at].user.Load())
	by.name = f.nodes[at].node.Name()
	by.name = by.name[:min(len(by.name), commLen)]
	return by
}

// interpreter is the path in the PT_INTERP header of an ELF program; "" if the
// file has none, or is none.
func interpreter(content io.ReaderAt) string {
	file, err := elf.NewFile(content)
	if err != nil {
		return ""
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		// The kernel takes two bytes to PATH_MAX, with a zero at the end
		// (load_elf_binary in fs/binfmt_elf.c).
		if p.Filesz < 2 || p.Filesz > 4096 {
			return ""
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil || b[len(b)-1] != 0 {
			return ""
		}
		if end := slices.Index(b, 0); end >= 0 {
			b = b[:end]
		}
		return string(b)
	}
	return ""
}
