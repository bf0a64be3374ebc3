package keep

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"slim/testdata/skip"
)

// smallELF is a program with an interpreter, an RPATH and two needed libraries.
func smallELF(order binary.ByteOrder) []byte {
	const strings, interp, dynamic, size = 0x200, 0x240, 0x100, 0x260
	text := "\x00liba.so\x00libb.so\x00$ORIGIN/../lib\x00"
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	if order.String() == "BigEndian" {
		b[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	put := func(at int, v any) {
		b = append(b, make([]byte, max(0, at-len(b)))...)
		var err error
		if b, err = binary.Append(b, order, v); err != nil {
			panic(err)
		}
	}
	put(16, [2]uint16{uint16(elf.ET_DYN), uint16(elf.EM_X86_64)})
	put(32, uint64(64)) // e_phoff
	put(54, [2]uint16{56, 3})
	put(64, []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Filesz: size}, {Type: uint32(elf.PT_INTERP), Off: interp, Filesz: 7},
		{Type: uint32(elf.PT_DYNAMIC), Off: dynamic, Filesz: 7 * 16},
	})
	put(dynamic, []elf.Dyn64{
		{Tag: int64(elf.DT_NEEDED), Val: 1}, {Tag: int64(elf.DT_NEEDED), Val: 9}, {Tag: int64(elf.DT_RPATH), Val: 17},
		{Tag: int64(elf.DT_STRTAB), Val: strings}, {Tag: int64(elf.DT_FLAGS_1), Val: 8}, {Tag: int64(elf.DT_AUDIT), Val: 1}, {},
	})
	put(strings, []byte(text))
	put(interp, []byte("/ld.so\x00"))
	return b
}

func TestSmallELF(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f, err := parseELF(bytes.NewReader(smallELF(order)))
		if err != nil {
			t.Fatal(err)
		}
		want := []elfNeed{{elf.DT_NEEDED, "liba.so"}, {elf.DT_NEEDED, "libb.so"}, {elf.DT_AUDIT, "liba.so"}}
		if f.interp != "/ld.so" || f.rpath == nil || *f.rpath != "$ORIGIN/../lib" || f.flags1 != elf.DF_1_NODELETE || !slices.Equal(f.needed, want) {
			t.Errorf("%v: %+v", order, f)
		}
	}
}

// Whatever a file holds: no panic, nothing unbounded.
func FuzzELF(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f.Add(smallELF(order))
	}
	f.Add([]byte("\x7fELF\x01\x02\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseELF(bytes.NewReader(b))
		if (got == nil) == (err == nil) {
			t.Errorf("%v, %v", got, err)
		}
		if got != nil && len(got.needed) > 2*maxNeeded {
			t.Errorf("%d needed", len(got.needed))
		}
	})
}

func FuzzCache(f *testing.F) {
	f.Add([]byte(oldCacheMagic + "\x00\x01\x00\x00\x00"))
	small := append([]byte(cacheMagic), make([]byte, 28+24)...)
	small[20], small[48+4], small[48+8] = 1, 72, 80 // nlibs, key, value
	small = append(small, "liba.so\x00/lib/liba.so\x00"...)
	if got := parseCache(small)["liba.so"]; !slices.Equal(got, []cacheEntry{{"/lib/liba.so", false}}) {
		f.Errorf("%v", got)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, list := range parseCache(b) {
			if name == "" || len(list) == 0 {
				t.Errorf("%q: %v", name, list)
			}
		}
	})
}

func FuzzShebang(f *testing.F) {
	f.Add("#!/usr/bin/env -S a b\n")
	f.Fuzz(func(t *testing.T, head string) {
		interpreter, arg, ok := parseShebang(head)
		if ok != (interpreter != "") {
			t.Errorf("%q %q %v", interpreter, arg, ok)
		}
		envProgram(arg)
	})
}

// A file that ld.so takes and debug/elf does not: no sections at all.
func TestELFWithoutSections(t *testing.T) {
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		skip.Test(t, "%v", err)
	}
	want, err := parseELF(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	clear(b[0x28:0x30])                                  // e_shoff
	copy(b[0x3a:], []byte{1, 2, 0xff, 0xff, 0xff, 0xff}) // e_shentsize, e_shnum, e_shstrndx
	got, err := parseELF(bytes.NewReader(b))
	if err != nil || got.interp != want.interp || len(got.needed) != len(want.needed) || len(got.needed) == 0 {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
