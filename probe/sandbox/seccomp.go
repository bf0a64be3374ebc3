package sandbox

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h); arguments are little-endian.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// seccompFilter compiles the spec's seccomp profile; nil if it has none.
func seccompFilter(spec *specs.Spec) ([]unix.SockFilter, error) {
	if spec.Linux == nil || spec.Linux.Seccomp == nil {
		return nil, nil
	}
	return compileSeccomp(spec.Linux.Seccomp)
}

// listenNotifyFilter sends listen(2), in each ABI of this machine, to the filter's listener
// and allows all else. It is installed beside the profile's filter: of two verdicts the
// kernel takes the stricter one, so a listen that the profile refuses stays refused.
// With programs it sends execve(2) and execveat(2), too.
func listenNotifyFilter(programs bool) ([]unix.SockFilter, error) {
	archs := []specs.Arch{nativeArch[runtime.GOARCH]}
	switch runtime.GOARCH {
	case "amd64":
		archs = append(archs, specs.ArchX86, specs.ArchX32)
	case "arm64":
		archs = append(archs, specs.ArchARM)
	}
	calls := []string{"listen"}
	if programs {
		calls = append(calls, "execve", "execveat")
	}
	return compileSeccomp(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: archs,
		Syscalls:      []specs.LinuxSyscall{{Names: calls, Action: specs.ActNotify}},
	})
}

// compileSeccomp makes the filter that runc and libseccomp make of a profile:
//
//   - a call that no rule names gets the default action, but ENOSYS if its number is
//     higher than any the profile knows, for libraries then fall back to older calls
//     (runc, libcontainer/seccomp/patchbpf);
//   - a rule without conditions covers its call whole, whatever others say of it;
//   - a rule with two conditions on one argument counts as one rule for each condition;
//   - a rule with the default action, and a name that the ABI does not have, are passed over;
//   - 32-bit ABIs compare the lower halves of arguments;
//   - a call of an ABI that the profile does not list kills the thread.
//
// The i386 multiplexers get what the profile says of "socketcall" and "ipc" themselves,
// and each call they carry by the rule of its own name (libseccomp, arch-x86.c).
//
// gVisor's pkg/seccomp, the pure Go compiler there is, makes filters for the native ABI
// alone and with one action for all that is refused, so it cannot express this profile.
func compileSeccomp(profile *specs.LinuxSeccomp) ([]unix.SockFilter, error) {
	known, err := abis()
	if err != nil {
		return nil, err
	}
	archs := profile.Architectures
	if len(archs) == 0 {
		archs = []specs.Arch{nativeArch[runtime.GOARCH]}
	}
	entry := map[uint32][]callSpan{}
	var audits []uint32
	for _, arch := range archs {
		abi := known[arch]
		if abi == nil {
			return nil, fmt.Errorf("%w: seccomp filter for %s %s", ErrUnsupported, runtime.GOARCH, arch)
		}
		spans, err := abi.spans(profile)
		if err != nil {
			return nil, fmt.Errorf("compile seccomp profile for %s: %w", arch, err)
		}
		if !slices.Contains(audits, abi.audit) {
			audits = append(audits, abi.audit)
		}
		entry[abi.audit] = append(entry[abi.audit], spans...)
		if arch == specs.ArchX86_64 && !slices.Contains(archs, specs.ArchX32) {
			entry[abi.audit] = append(entry[abi.audit], callSpan{first: x32Bit, otherwise: unix.SECCOMP_RET_KILL_THREAD})
		}
	}
	a := &assembler{}
	next := a.ret(unix.SECCOMP_RET_KILL_THREAD)
	for _, audit := range slices.Backward(audits) {
		spans := entry[audit]
		slices.SortFunc(spans, func(x, y callSpan) int { return cmp.Compare(x.first, y.first) })
		next = a.jump(unix.BPF_JEQ, audit, a.load(offNr, a.tree(spans)), next)
	}
	a.load(offArch, next)
	return a.program()
}

// tree finds the span of the number in A by halving.
func (a *assembler) tree(spans []callSpan) bpfLabel {
	if len(spans) == 1 {
		return a.try(spans[0])
	}
	mid := len(spans) / 2
	upper := a.tree(spans[mid:])
	lower := a.tree(spans[:mid])
	return a.jump(unix.BPF_JGE, spans[mid].first, upper, lower)
}

// try goes through the rules of one span.
func (a *assembler) try(s callSpan) bpfLabel {
	next := a.ret(s.otherwise)
	for _, r := range slices.Backward(s.rules) {
		yes := a.ret(r.action)
		for _, c := range slices.Backward(r.when) {
			yes = a.test(c, yes, next)
		}
		next = yes
	}
	return next
}

// test goes on at yes if the condition holds, else at no.
func (a *assembler) test(c argTest, yes, no bpfLabel) bpfLabel {
	low, high := uint32(c.value), uint32(c.value>>32)
	offset := uint32(offArgs + 8*c.index)
	switch c.op {
	case specs.OpNotEqual:
		c.op = specs.OpEqualTo
		return a.test(c, no, yes)
	case specs.OpLessThan:
		c.op = specs.OpGreaterEqual
		return a.test(c, no, yes)
	case specs.OpLessEqual:
		c.op = specs.OpGreaterThan
		return a.test(c, no, yes)
	case specs.OpEqualTo:
		l := a.load(offset, a.jump(unix.BPF_JEQ, low, yes, no))
		if c.wide {
			l = a.load(offset+4, a.jump(unix.BPF_JEQ, high, l, no))
		}
		return l
	case specs.OpMaskedEqual:
		l := a.load(offset, a.and(low, a.jump(unix.BPF_JEQ, uint32(c.operand), yes, no)))
		if c.wide {
			l = a.load(offset+4, a.and(high, a.jump(unix.BPF_JEQ, uint32(c.operand>>32), l, no)))
		}
		return l
	default: // OpGreaterThan, OpGreaterEqual
		op := uint16(unix.BPF_JGT)
		if c.op == specs.OpGreaterEqual {
			op = unix.BPF_JGE
		}
		l := a.load(offset, a.jump(op, low, yes, no))
		if c.wide {
			l = a.jump(unix.BPF_JEQ, high, l, no)
			l = a.load(offset+4, a.jump(unix.BPF_JGT, high, yes, l))
		}
		return l
	}
}
