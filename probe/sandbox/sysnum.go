package sandbox

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run sysnum_gen.go

//go:embed sysnum.txt
var sysnumText string

// abi is one way into the kernel: what seccomp_data carries for it and which
// numbers its system calls have.
type abi struct {
	audit uint32 // seccomp_data.arch, AUDIT_ARCH_* of linux/audit.h
	base  uint32 // added to every number
	wide  bool   // arguments are 64 bits
	sysnr map[string]uint32
}

// x32Bit marks the numbers of x32 calls, which share amd64's AUDIT_ARCH
// (__X32_SYSCALL_BIT of asm/unistd.h).
const x32Bit = 0x40000000

// abis are the ABIs that a filter can be made for, by their name in the runtime spec:
// those of Docker's profile on amd64 and arm64, all of them little-endian.
var abis = sync.OnceValues(func() (map[specs.Arch]*abi, error) {
	columns, err := parseSysnum(sysnumText)
	if err != nil {
		return nil, fmt.Errorf("read system call numbers: %w", err)
	}
	return map[specs.Arch]*abi{
		specs.ArchX86_64:  {unix.AUDIT_ARCH_X86_64, 0, true, columns["amd64"]},
		specs.ArchX32:     {unix.AUDIT_ARCH_X86_64, x32Bit, false, columns["x32"]},
		specs.ArchX86:     {unix.AUDIT_ARCH_I386, 0, false, columns["386"]},
		specs.ArchAARCH64: {unix.AUDIT_ARCH_AARCH64, 0, true, columns["arm64"]},
		specs.ArchARM:     {unix.AUDIT_ARCH_ARM, 0, false, columns["arm"]},
	}, nil
})

// nativeArch names this build's own ABI by GOARCH.
var nativeArch = map[string]specs.Arch{
	"amd64": specs.ArchX86_64,
	"386":   specs.ArchX86,
	"arm64": specs.ArchAARCH64,
	"arm":   specs.ArchARM,
}

// parseSysnum reads the table: a line of column names, then a line per call,
// "-" where an ABI does not have it; "#" begins a comment.
func parseSysnum(text string) (map[string]map[string]uint32, error) {
	columns := map[string]map[string]uint32{}
	var head []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if head == nil {
			head = fields
			for _, c := range head[1:] {
				columns[c] = map[string]uint32{}
			}
			continue
		}
		if len(fields) != len(head) {
			return nil, fmt.Errorf("line %q: want %d columns", line, len(head))
		}
		for i, f := range fields[1:] {
			if f == "-" {
				continue
			}
			nr, err := strconv.ParseUint(f, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			columns[head[i+1]][fields[0]] = uint32(nr)
		}
	}
	return columns, nil
}
