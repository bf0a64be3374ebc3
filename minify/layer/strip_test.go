package layer

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// stripBytes gives the stripped content, nil for what is left as it is.
func stripBytes(t testing.TB, data []byte) []byte {
	t.Helper()
	r, size, err := strip(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		if !errors.Is(err, errKeepSymbols) {
			t.Fatal(err)
		}
		return nil
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(out)) != size {
		t.Fatalf("%d bytes, %d announced", len(out), size)
	}
	return out
}

// TestStrip strips a program as a linker leaves it, which must run as before.
func TestStrip(t *testing.T) {
	prog := filepath.Join(t.TempDir(), "prog")
	if out, err := exec.Command("go", "build", "-o", prog, "slim/cmd/slim").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	out := stripBytes(t, data)
	if out == nil || len(out) > len(data)*9/10 {
		t.Fatalf("%d of %d bytes left", len(out), len(data))
	}
	f, err := elf.NewFile(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := elf.NewFile(bytes.NewReader(data))
	for _, s := range before.Sections {
		switch now := f.Section(s.Name); {
		case s.Flags&elf.SHF_ALLOC == 0:
		case now == nil:
			t.Errorf("section %s is gone", s.Name)
		case now.Offset != s.Offset || now.FileSize != s.FileSize || now.Addr != s.Addr:
			t.Errorf("section %s moved: %+v, was %+v", s.Name, now.SectionHeader, s.SectionHeader)
		}
	}
	for _, name := range []string{".symtab", ".strtab", ".debug_info", ".debug_line"} {
		if f.Section(name) != nil {
			t.Errorf("section %s is there", name)
		}
	}
	if err := os.WriteFile(prog, out, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(prog, "--version").CombinedOutput(); err != nil {
		t.Errorf("stripped: %v\n%s", err, out)
	}
	if again := stripBytes(t, out); again != nil {
		t.Errorf("stripped twice: %d bytes, then %d", len(out), len(again))
	}
	if stripBytes(t, append(data, "an archive behind the program"...)) != nil {
		t.Error("data behind the sections is lost")
	}
}

func FuzzStrip(f *testing.F) {
	if data, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(data[:min(len(data), 64<<10)])
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out := stripBytes(t, data)
		if out != nil && len(out) >= len(data) {
			t.Errorf("%d bytes became %d", len(data), len(out))
		}
	})
}
