package keep

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// Whatever a file holds: no panic, nothing unbounded.
func FuzzELF(f *testing.F) {
	for _, p := range []string{"/bin/true", "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"} {
		if b, err := os.ReadFile(p); err == nil {
			f.Add(b[:min(len(b), 64<<10)])
		}
	}
	f.Add([]byte("\x7fELF\x01\x02\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		start := time.Now()
		got, err := parseELF(bytes.NewReader(b))
		if (got == nil) == (err == nil) {
			t.Errorf("%v, %v", got, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if got != nil && len(got.needed) > 2*maxNeeded {
			t.Errorf("%d needed", len(got.needed))
		}
	})
}

func FuzzCache(f *testing.F) {
	if b, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		f.Add(b)
	}
	f.Add([]byte(oldCacheMagic + "\x00\x01\x00\x00\x00"))
	f.Add(append([]byte(cacheMagic), make([]byte, 100)...))
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
		t.Skip(err)
	}
	want, err := parseELF(bytes.NewReader(b))
	if err != nil {
		t.Skip(err)
	}
	clear(b[0x28:0x30])                                  // e_shoff
	copy(b[0x3a:], []byte{1, 2, 0xff, 0xff, 0xff, 0xff}) // e_shentsize, e_shnum, e_shstrndx
	got, err := parseELF(bytes.NewReader(b))
	if err != nil || got.interp != want.interp || len(got.needed) != len(want.needed) || len(got.needed) == 0 {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
