package sandbox

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// call is what a filter sees.
type call struct {
	audit, nr uint32
	args      [6]uint64
}

// machine runs a filter as the kernel would.
func machine(t testing.TB, filter []unix.SockFilter) *bpf.VM {
	t.Helper()
	raw := make([]bpf.RawInstruction, len(filter))
	for i, f := range filter {
		raw[i] = bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	prog, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("filter has an instruction that no BPF machine knows")
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// runVM is the machine's verdict.
func runVM(t testing.TB, vm *bpf.VM, c call) uint32 {
	t.Helper()
	// The machine reads big-endian words: the low word of an argument first.
	var data []byte
	word := func(v uint32) { data = append(data, byte(v>>24), byte(v>>16), byte(v>>8), byte(v)) }
	word(c.nr)
	word(c.audit)
	word(0)
	word(0)
	for _, a := range c.args {
		word(uint32(a))
		word(uint32(a >> 32))
	}
	verdict, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(verdict)
}

// judge reads the profile from top to bottom, the way compileSeccomp says it is meant.
func judge(t testing.TB, p *specs.LinuxSeccomp, c call) uint32 {
	t.Helper()
	b := abiOf(t, p, c)
	if b == nil {
		return unix.SECCOMP_RET_KILL_THREAD
	}
	var last uint32
	var whole, conditional []uint32
	fallback := value(t, p.DefaultAction, p.DefaultErrnoRet)
	for _, s := range p.Syscalls {
		action := value(t, s.Action, s.ErrnoRet)
		for _, name := range s.Names {
			nr, named := b.sysnr[name]
			if named {
				last = max(last, nr)
			}
			switch {
			case action == fallback:
			case named && b.base+nr == c.nr && len(s.Args) == 0:
				whole = append(whole, action)
			case named && b.base+nr == c.nr && holds(s.Args, c.args, b.wide),
				carries(b, c, name) && holds(afterFirst(s.Args), c.args, b.wide):
				conditional = append(conditional, action)
			}
		}
	}
	unknown := p.DefaultAction != specs.ActAllow && c.nr-b.base > last
	switch {
	case len(whole) > 0:
		return whole[0]
	case len(conditional) > 0:
		return conditional[0]
	case unknown:
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	return fallback
}

// abiOf is the ABI of the profile that a call belongs to.
func abiOf(t testing.TB, p *specs.LinuxSeccomp, c call) *abi {
	known, err := abis()
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range p.Architectures {
		x32 := c.audit == unix.AUDIT_ARCH_X86_64 && c.nr >= x32Bit
		if known[arch].audit == c.audit && x32 == (arch == specs.ArchX32) {
			return known[arch]
		}
	}
	return nil
}

// carries reports whether an i386 call is socketcall or ipc on behalf of name.
func carries(b *abi, c call, name string) bool {
	if b.audit != unix.AUDIT_ARCH_I386 {
		return false
	}
	s, i := socketcalls[name], ipcs[name]
	sub := c.args[0] & 0xffffffff
	return c.nr == 102 && s != 0 && s == sub || c.nr == 117 && i != 0 && i == sub
}

func afterFirst(args []specs.LinuxSeccompArg) []specs.LinuxSeccompArg {
	return slices.DeleteFunc(slices.Clone(args), func(a specs.LinuxSeccompArg) bool { return a.Index == 0 })
}

func value(t testing.TB, a specs.LinuxSeccompAction, data *uint) uint32 {
	t.Helper()
	v, err := seccompAction(a, data)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func holds(args []specs.LinuxSeccompArg, v [6]uint64, wide bool) bool {
	n, indexes := 0, map[uint]bool{}
	for _, a := range args {
		indexes[a.Index] = true
		if holdsOne(a, v[a.Index], wide) {
			n++
		}
	}
	if len(indexes) < len(args) {
		return n > 0
	}
	return n == len(args)
}

func holdsOne(a specs.LinuxSeccompArg, v uint64, wide bool) bool {
	k, two := a.Value, a.ValueTwo
	if !wide {
		v, k, two = v&0xffffffff, k&0xffffffff, two&0xffffffff
	}
	switch a.Op {
	case specs.OpEqualTo:
		return v == k
	case specs.OpNotEqual:
		return v != k
	case specs.OpLessThan:
		return v < k
	case specs.OpLessEqual:
		return v <= k
	case specs.OpGreaterThan:
		return v > k
	case specs.OpGreaterEqual:
		return v >= k
	case specs.OpMaskedEqual:
		return v&k == two
	}
	panic("operator " + string(a.Op))
}

// dockerProfile is the default profile as one of the architectures that have a
// table would get it, whatever this machine is.
func dockerProfile(t testing.TB, archs []specs.Arch, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
	p, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		t.Fatal(err)
	}
	p.Architectures = archs
	return p
}

var (
	amd64Archs = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
	arm64Archs = []specs.Arch{specs.ArchAARCH64, specs.ArchARM}
)

// TestFilterFollowsProfile compares verdicts over every number near a call of the
// ABI and arguments around every constant that the profile compares with.
func TestFilterFollowsProfile(t *testing.T) {
	enosys := uint(unix.ENOSYS)
	hostile := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: amd64Archs, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"listen"}, Action: specs.ActNotify},
		{Names: []string{"nosuchcall", "read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{
			{Index: 0, Value: 1<<40 | 7, Op: specs.OpGreaterEqual}, {Index: 1, Value: 5 << 32, Op: specs.OpLessEqual}}},
		{Names: []string{"read"}, Action: specs.ActTrap, Args: []specs.LinuxSeccompArg{
			{Index: 2, Value: 1<<33 | 1, ValueTwo: 1 << 33, Op: specs.OpMaskedEqual}}},
		{Names: []string{"write"}, Action: specs.ActErrno, ErrnoRet: &enosys, Args: []specs.LinuxSeccompArg{
			{Index: 3, Value: 3, Op: specs.OpEqualTo}, {Index: 3, Value: 9 << 32, Op: specs.OpNotEqual}}},
		{Names: []string{"close"}, Action: specs.ActLog, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 1, Op: specs.OpLessThan}}},
		{Names: []string{"close"}, Action: specs.ActKillProcess},
		{Names: []string{"msgget"}, Action: specs.ActTrace, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 4, Op: specs.OpGreaterThan}}},
	}}
	tests := map[string]*specs.LinuxSeccomp{
		"docker amd64":              dockerProfile(t, amd64Archs, defaultCapabilities...),
		"docker amd64, no 32 bits":  dockerProfile(t, amd64Archs[:1], defaultCapabilities...),
		"docker amd64, privileged":  dockerProfile(t, amd64Archs, append([]string{"CAP_SYS_ADMIN"}, defaultCapabilities...)...),
		"docker arm64":              dockerProfile(t, arm64Archs, defaultCapabilities...),
		"deny list with every test": hostile,
		"conditions on every call":  everyCall(t),
		"a rule of one ABI alone": {DefaultAction: specs.ActAllow, Architectures: amd64Archs,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"umount"}, Action: specs.ActErrno}}},
	}
	for name, p := range tests {
		t.Run(name, func(t *testing.T) {
			filter, err := compileSeccomp(p)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d instructions", len(filter))
			compare(t, p, filter)
		})
	}
}

// compare runs the filter and the judge over rows of calls.
func compare(t *testing.T, p *specs.LinuxSeccomp, filter []unix.SockFilter) {
	vm := machine(t, filter)
	rnd := rand.New(rand.NewPCG(1, 2))
	interesting := []uint64{0, 1, 2, 4, 13, 1 << 31, 1 << 32, 1 << 63}
	for _, s := range p.Syscalls {
		for _, a := range s.Args {
			for _, k := range []uint64{a.Value, a.ValueTwo} {
				interesting = append(interesting, k-1, k, k+1, k^1<<32, k^1<<63, k|rnd.Uint64())
			}
		}
	}
	seen := map[uint32]int{}
	detailed := detailedCalls(t, p)
	for _, audit := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_RISCV64} {
		for _, base := range []uint32{0, x32Bit, 0x0f0000} {
			for nr := base; nr < base+600; nr++ {
				rows := 1
				if detailed[call{audit: audit, nr: nr}] {
					rows = 10 + 4000/len(detailed)
				}
				for range rows {
					c := call{audit: audit, nr: nr}
					for i := range c.args {
						c.args[i] = interesting[rnd.IntN(len(interesting))]
					}
					got, want := runVM(t, vm, c), judge(t, p, c)
					if got != want {
						t.Fatalf("arch %#x call %#x args %#x: %#x, want %#x", audit, nr, c.args, got, want)
					}
					seen[got]++
				}
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("rows reached the verdicts %v only", slices.Collect(maps.Keys(seen)))
	}
}

// detailedCalls are the calls whose arguments count.
func detailedCalls(t *testing.T, p *specs.LinuxSeccomp) map[call]bool {
	t.Helper()
	known, err := abis()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[call]bool{}
	for _, arch := range p.Architectures {
		b := known[arch]
		names := []string{"socketcall", "ipc"}
		for _, s := range p.Syscalls {
			if len(s.Args) > 0 {
				names = append(names, s.Names...)
			}
		}
		for _, name := range names {
			if nr, ok := b.sysnr[name]; ok {
				calls[call{audit: b.audit, nr: b.base + nr}] = true
			}
		}
	}
	return calls
}

// everyCall is a profile whose program is so long that jumps must go by way of others.
func everyCall(t *testing.T) *specs.LinuxSeccomp {
	t.Helper()
	known, err := abis()
	if err != nil {
		t.Fatal(err)
	}
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Architectures: amd64Archs[:1]}
	for i, name := range slices.Sorted(maps.Keys(known[specs.ArchX86_64].sysnr))[:200] {
		errno := uint(i % 3)
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &errno,
			Args: []specs.LinuxSeccompArg{{Index: uint(i % 6), Value: uint64(i), Op: specs.OpGreaterThan}}})
	}
	return p
}
