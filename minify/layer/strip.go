package layer

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// maxSections bounds the section table that strip reads; linkers write some forty.
const maxSections = 4096

var errKeepSymbols = errors.New("not to be stripped")

// strip gives the content of a linked ELF file without its symbol table and debug
// information, as strip --strip-all does: what is mapped into memory stays byte for
// byte and where it is, the sections behind it that are not for debugging move up,
// and a new section table closes the file. The error is errKeepSymbols for what is
// no such file, has nothing to lose, or carries data behind its sections, as
// programs do that bring an archive along.
//
// Format: System V gABI, chapter 4.
func strip(r io.ReaderAt, size int64) (io.Reader, int64, error) {
	f, err := readSections(r, size)
	if err != nil {
		return nil, 0, errKeepSymbols
	}
	end := f.loaded
	index := make([]uint32, len(f.sections)) // of each section in the new table; 0 if it goes
	kept := []section{{}}
	names := []byte{0}
	var tail []*io.SectionReader // moved sections with their padding
	var pos = end
	for i, s := range f.sections[1:] {
		if f.surplus(s) {
			continue
		}
		index[i+1] = uint32(len(kept))
		s.nameOffset = uint32(len(names))
		names = append(append(names, s.name...), 0)
		if !s.alloc() && s.kind != elf.SHT_NOBITS {
			at := align(pos, s.alignment)
			tail = append(tail, io.NewSectionReader(zeros{}, 0, at-pos), io.NewSectionReader(r, int64(s.offset), int64(s.bytes)))
			s.offset, pos = uint64(at), at+int64(s.bytes)
		}
		kept = append(kept, s)
	}
	for i := range kept {
		kept[i].link = moved(index, kept[i].link)
		if kept[i].kind == elf.SHT_REL || kept[i].kind == elf.SHT_RELA || kept[i].flags&uint64(elf.SHF_INFO_LINK) != 0 {
			kept[i].info = moved(index, kept[i].info)
		}
	}
	own := section{nameOffset: uint32(len(names)), kind: elf.SHT_STRTAB, offset: uint64(pos), alignment: 1}
	names = append(names, ".shstrtab\x00"...)
	own.bytes = uint64(len(names))
	kept = append(kept, own)
	table := align(pos+int64(len(names)), 8)
	var last bytes.Buffer
	last.Write(names)
	last.Write(make([]byte, table-pos-int64(len(names))))
	for _, s := range kept {
		f.writeSection(&last, s)
	}
	total := pos + int64(last.Len())
	if total >= size {
		return nil, 0, errKeepSymbols
	}
	head := f.patchHeader(table, len(kept))
	parts := []io.Reader{bytes.NewReader(head), io.NewSectionReader(r, int64(len(head)), end-int64(len(head)))}
	for _, t := range tail {
		parts = append(parts, t)
	}
	return io.MultiReader(append(parts, &last)...), total, nil
}

// section is a section header of either class.
type section struct {
	name                 string
	nameOffset           uint32
	kind                 elf.SectionType
	flags, addr          uint64
	offset, bytes        uint64
	link, info           uint32
	alignment, entrySize uint64
}

func (s section) alloc() bool { return s.flags&uint64(elf.SHF_ALLOC) != 0 }

// sections is an ELF file as strip sees it.
type sections struct {
	class    elf.Class
	order    binary.ByteOrder
	head     []byte // the file header
	loaded   int64  // the end of all that a program header or a mapped section covers
	sections []section
	strings  int // index of the section names
}

func readSections(r io.ReaderAt, size int64) (*sections, error) {
	file, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, err
	}
	f := &sections{class: file.Class, order: file.ByteOrder}
	linked := file.Type == elf.ET_EXEC || file.Type == elf.ET_DYN
	if !linked || len(file.Progs) == 0 || len(file.Sections) == 0 || len(file.Sections) > maxSections {
		return nil, errKeepSymbols
	}
	headSize, table, count := 64, int64(0), int64(0)
	if f.class == elf.ELFCLASS32 {
		headSize = 52
	}
	f.head = make([]byte, headSize)
	if _, err := r.ReadAt(f.head, 0); err != nil {
		return nil, err
	}
	f.loaded = int64(headSize)
	var entry, programs int64
	if f.class == elf.ELFCLASS64 {
		table, count, entry = int64(f.order.Uint64(f.head[40:])), int64(f.order.Uint16(f.head[60:])), 64
		programs = int64(f.order.Uint64(f.head[32:])) + 56*int64(len(file.Progs))
		f.strings = int(f.order.Uint16(f.head[62:]))
	} else {
		table, count, entry = int64(f.order.Uint32(f.head[32:])), int64(f.order.Uint16(f.head[48:])), 40
		programs = int64(f.order.Uint32(f.head[28:])) + 32*int64(len(file.Progs))
		f.strings = int(f.order.Uint16(f.head[50:]))
	}
	f.loaded = max(f.loaded, programs)
	for _, p := range file.Progs {
		f.loaded = max(f.loaded, int64(p.Off+p.Filesz))
	}
	// More sections than a header can count lie elsewhere; strip has no business there.
	if count != int64(len(file.Sections)) || f.strings >= len(file.Sections) {
		return nil, errKeepSymbols
	}
	end := max(f.loaded, table+count*entry)
	for _, s := range file.Sections {
		h := section{
			name: s.Name, kind: s.Type, flags: uint64(s.Flags), addr: s.Addr, offset: s.Offset, bytes: s.FileSize,
			link: s.Link, info: s.Info, alignment: s.Addralign, entrySize: s.Entsize,
		}
		f.sections = append(f.sections, h)
		if h.kind == elf.SHT_NOBITS || h.kind == elf.SHT_NULL {
			continue
		}
		last := int64(h.offset + h.bytes)
		if last < 0 || last > size || h.alignment > 1<<20 {
			return nil, errKeepSymbols
		}
		end = max(end, last)
		if h.alloc() {
			f.loaded = max(f.loaded, last)
		}
	}
	if end != size || f.loaded > size {
		return nil, errKeepSymbols
	}
	return f, nil
}

// surplus reports whether a section goes: those of debuggers and the static
// symbol table, none of which is mapped.
func (f *sections) surplus(s section) bool {
	if s.alloc() {
		return false
	}
	switch s.kind {
	case elf.SHT_NULL, elf.SHT_SYMTAB, elf.SHT_SYMTAB_SHNDX, elf.SHT_GROUP:
		return true
	case elf.SHT_STRTAB: // of the symbol table, and of the section names, which are made anew
		return true
	}
	for _, prefix := range []string{".debug", ".zdebug", ".stab", ".gdb_index", ".gnu_debug", ".gnu.debuglto_", ".line"} {
		if strings.HasPrefix(s.name, prefix) {
			return true
		}
	}
	return false
}

func (f *sections) writeSection(w *bytes.Buffer, s section) {
	var err error
	if f.class == elf.ELFCLASS64 {
		err = binary.Write(w, f.order, elf.Section64{
			Name: s.nameOffset, Type: uint32(s.kind), Flags: s.flags, Addr: s.addr, Off: s.offset, Size: s.bytes,
			Link: s.link, Info: s.info, Addralign: s.alignment, Entsize: s.entrySize,
		})
	} else {
		err = binary.Write(w, f.order, elf.Section32{
			Name: s.nameOffset, Type: uint32(s.kind), Flags: uint32(s.flags), Addr: uint32(s.addr), Off: uint32(s.offset),
			Size: uint32(s.bytes), Link: s.link, Info: s.info, Addralign: uint32(s.alignment), Entsize: uint32(s.entrySize),
		})
	}
	if err != nil {
		panic(err) // a bytes.Buffer and a struct of fixed size
	}
}

// patchHeader is the file header that points at the new table.
func (f *sections) patchHeader(table int64, count int) []byte {
	h := bytes.Clone(f.head)
	if f.class == elf.ELFCLASS64 {
		f.order.PutUint64(h[40:], uint64(table))
		f.order.PutUint16(h[60:], uint16(count))
		f.order.PutUint16(h[62:], uint16(count-1))
	} else {
		f.order.PutUint32(h[32:], uint32(table))
		f.order.PutUint16(h[48:], uint16(count))
		f.order.PutUint16(h[50:], uint16(count-1))
	}
	return h
}

// moved is where the section that a header refers to has gone; 0 if it is gone.
func moved(index []uint32, i uint32) uint32 {
	if int64(i) < int64(len(index)) {
		return index[i]
	}
	return i
}

func align(n int64, to uint64) int64 {
	if to <= 1 {
		return n
	}
	return (n + int64(to) - 1) / int64(to) * int64(to)
}

// zeros reads as nothing but zeros.
type zeros struct{}

func (zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}
