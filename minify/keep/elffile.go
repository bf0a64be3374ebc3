package keep

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// An elfFile is what the loader looks at in an executable or shared object. It is
// found the way the kernel and ld.so find it, through the program headers:
// debug/elf wants a sound section table, which stripped and packed files lack and
// the loader never reads; its constants and structures are used here.
// Format: System V gABI, chapters 4 and 5; GNU extensions in elf.h of glibc.
type elfFile struct {
	class   elf.Class
	data    elf.Data
	machine elf.Machine

	interp  string    // PT_INTERP
	needed  []elfNeed // in the order of the dynamic section
	soname  string    // DT_SONAME
	rpath   *string   // DT_RPATH, nil if absent
	runpath *string   // DT_RUNPATH, nil if absent
	flags1  elf.DynFlag1

	names, namesSize uint64 // where the file has the names of its dynamic symbols
}

// elfNeed is a request for another object.
type elfNeed struct {
	tag  elf.DynTag // DT_NEEDED, DT_FILTER, DT_AUXILIARY, DT_AUDIT, DT_DEPAUDIT
	name string
}

// matches reports whether the loader would take g into a process of f.
func (f *elfFile) matches(g *elfFile) bool {
	return f.class == g.class && f.data == g.data && f.machine == g.machine
}

// Bounds on what a file can make us read; the first two are the kernel's
// (load_elf_phdrs, PATH_MAX), the others far above what linkers write.
const (
	maxProgramHeaders = 64 << 10 // bytes
	maxInterp         = 4096     // bytes
	maxDynamic        = 1 << 20  // bytes
	maxPath           = 64 << 10 // bytes of an RPATH
	maxName           = 4096     // bytes of a name
	maxNeeded         = 4096     // objects
)

var errNotELF = errors.New("not an ELF file")

// segment is a program header of either class.
type segment struct {
	kind                elf.ProgType
	offset, addr, bytes uint64
}

// parseELF reads the headers and the dynamic section of r.
func parseELF(r io.ReaderAt) (*elfFile, error) {
	var ident [elf.EI_NIDENT]byte
	if _, err := r.ReadAt(ident[:], 0); err != nil || string(ident[:4]) != elf.ELFMAG {
		return nil, errNotELF
	}
	f := &elfFile{class: elf.Class(ident[elf.EI_CLASS]), data: elf.Data(ident[elf.EI_DATA])}
	var order binary.ByteOrder = binary.LittleEndian
	if f.data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	} else if f.data != elf.ELFDATA2LSB {
		return nil, errNotELF
	}
	segments, err := f.segments(r, order)
	if err != nil {
		return nil, err
	}
	var dynamic []byte
	for _, s := range segments {
		switch s.kind {
		case elf.PT_INTERP:
			f.interp = cstring(r, s.offset, min(s.bytes, maxInterp))
		case elf.PT_DYNAMIC:
			dynamic = make([]byte, min(s.bytes, maxDynamic))
			n, err := r.ReadAt(dynamic, int64(s.offset))
			if err != nil && err != io.EOF {
				return nil, errNotELF
			}
			dynamic = dynamic[:n]
		}
	}
	f.readDynamic(r, order, dynamic, segments)
	return f, nil
}

// segments reads the program headers.
func (f *elfFile) segments(r io.ReaderAt, order binary.ByteOrder) ([]segment, error) {
	var off uint64
	var size, count uint16
	head := io.NewSectionReader(r, 0, 64)
	switch f.class {
	case elf.ELFCLASS32:
		var h elf.Header32
		if err := binary.Read(head, order, &h); err != nil {
			return nil, errNotELF
		}
		f.machine, off, size, count = elf.Machine(h.Machine), uint64(h.Phoff), h.Phentsize, h.Phnum
	case elf.ELFCLASS64:
		var h elf.Header64
		if err := binary.Read(head, order, &h); err != nil {
			return nil, errNotELF
		}
		f.machine, off, size, count = elf.Machine(h.Machine), h.Phoff, h.Phentsize, h.Phnum
	default:
		return nil, errNotELF
	}
	want := binary.Size(elf.Prog64{})
	if f.class == elf.ELFCLASS32 {
		want = binary.Size(elf.Prog32{})
	}
	bytes := int64(size) * int64(count)
	if count > 0 && int(size) != want || bytes > maxProgramHeaders || int64(off) < 0 {
		return nil, errNotELF
	}
	table := io.NewSectionReader(r, int64(off), bytes)
	segments := make([]segment, count)
	for i := range segments {
		if f.class == elf.ELFCLASS32 {
			var p elf.Prog32
			if err := binary.Read(table, order, &p); err != nil {
				return nil, errNotELF
			}
			segments[i] = segment{elf.ProgType(p.Type), uint64(p.Off), uint64(p.Vaddr), uint64(p.Filesz)}
			continue
		}
		var p elf.Prog64
		if err := binary.Read(table, order, &p); err != nil {
			return nil, errNotELF
		}
		segments[i] = segment{elf.ProgType(p.Type), p.Off, p.Vaddr, p.Filesz}
	}
	return segments, nil
}

// dynEntry is an entry of the dynamic section of either class.
type dynEntry struct {
	tag   elf.DynTag
	value uint64
}

// readDynamic takes from the dynamic section what names other files. An entry
// that leads nowhere is left out.
func (f *elfFile) readDynamic(r io.ReaderAt, order binary.ByteOrder, dynamic []byte, segments []segment) {
	var entries []dynEntry
	strtab := uint64(0)
	for d := range dynEntries(dynamic, order, f.class) {
		switch d.tag {
		case elf.DT_STRTAB:
			strtab = fileOffset(segments, d.value)
		case elf.DT_STRSZ:
			f.namesSize = d.value
		case elf.DT_FLAGS_1:
			f.flags1 = elf.DynFlag1(d.value)
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH, elf.DT_DEPAUDIT, elf.DT_AUDIT, elf.DT_AUXILIARY, elf.DT_FILTER:
			if len(entries) < maxNeeded {
				entries = append(entries, d)
			}
		}
	}
	if f.names = strtab; strtab == 0 {
		f.namesSize = 0
		return
	}
	for _, d := range entries {
		limit := uint64(maxName)
		if d.tag == elf.DT_RPATH || d.tag == elf.DT_RUNPATH {
			limit = maxPath
		}
		text := cstring(r, strtab+d.value, limit)
		switch {
		case d.tag == elf.DT_RPATH:
			f.rpath = &text
		case d.tag == elf.DT_RUNPATH:
			f.runpath = &text
		case text == "":
		case d.tag == elf.DT_SONAME:
			f.soname = text
		case d.tag == elf.DT_AUDIT || d.tag == elf.DT_DEPAUDIT:
			for name := range strings.SplitSeq(text, ":") {
				if len(f.needed) == maxNeeded {
					return
				}
				f.needed = append(f.needed, elfNeed{d.tag, name})
			}
		default:
			f.needed = append(f.needed, elfNeed{d.tag, text})
		}
	}
}

// dynEntries yields the entries up to DT_NULL.
func dynEntries(b []byte, order binary.ByteOrder, class elf.Class) func(func(dynEntry) bool) {
	return func(yield func(dynEntry) bool) {
		word := 8
		if class == elf.ELFCLASS32 {
			word = 4
		}
		number := func(b []byte) uint64 {
			if word == 4 {
				return uint64(order.Uint32(b))
			}
			return order.Uint64(b)
		}
		for ; len(b) >= 2*word; b = b[2*word:] {
			d := dynEntry{elf.DynTag(number(b)), number(b[word:])}
			if d.tag == elf.DT_NULL || !yield(d) {
				return
			}
		}
	}
}

// fileOffset is where the file holds a virtual address; 0 if no segment does.
func fileOffset(segments []segment, addr uint64) uint64 {
	for _, s := range segments {
		if s.kind == elf.PT_LOAD && addr >= s.addr && addr-s.addr < s.bytes {
			return addr - s.addr + s.offset
		}
	}
	return 0
}

// cstring reads the string at off, up to its NUL; "" if there is none within
// limit bytes.
func cstring(r io.ReaderAt, off, limit uint64) string {
	if int64(off) < 0 {
		return ""
	}
	var b []byte
	for step := uint64(128); uint64(len(b)) < limit; step *= 4 {
		chunk := make([]byte, min(step, limit-uint64(len(b))))
		n, err := r.ReadAt(chunk, int64(off)+int64(len(b)))
		if i := bytes.IndexByte(chunk[:n], 0); i >= 0 {
			return string(append(b, chunk[:i]...))
		}
		b = append(b, chunk[:n]...)
		if err != nil {
			return ""
		}
	}
	return ""
}
