package sandbox

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// assembler writes a classic BPF program for seccomp back to front: every jump
// of such a program goes forward, so each target is there before what jumps to it.
// It uses none but the instructions of seccomp_check_filter (kernel/seccomp.c), and
// for a decision by number alone none but those that the kernel can run beforehand
// to fill its cache of calls that are always allowed (seccomp_is_const_allow).
type assembler struct {
	code []unix.SockFilter   // last instruction first
	rets map[uint32]bpfLabel // the latest return of each action
}

// bpfLabel is an instruction's place, counted from the end of the program.
type bpfLabel int

// near is how far a conditional jump is sure to reach: 255, less the long jump
// that may come to lie between.
const near = 254

func (a *assembler) emit(code uint16, jt, jf uint8, k uint32) bpfLabel {
	a.code = append(a.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
	return bpfLabel(len(a.code) - 1)
}

// distance is what the next instruction would have to skip to get to l.
func (a *assembler) distance(l bpfLabel) int { return len(a.code) - 1 - int(l) }

// ret ends the program with an action; one instruction serves all jumps in reach.
func (a *assembler) ret(action uint32) bpfLabel {
	if l, ok := a.rets[action]; ok && a.distance(l) < near/2 {
		return l
	}
	l := a.emit(unix.BPF_RET|unix.BPF_K, 0, 0, action)
	if a.rets == nil {
		a.rets = map[uint32]bpfLabel{}
	}
	a.rets[action] = l
	return l
}

// jump compares A with k by op (unix.BPF_JEQ, BPF_JGE, BPF_JGT) and goes on at yes or no.
func (a *assembler) jump(op uint16, k uint32, yes, no bpfLabel) bpfLabel {
	if yes == no {
		return yes
	}
	if a.distance(yes) > near {
		yes = a.far(yes)
	}
	if a.distance(no) > near {
		no = a.far(no)
	}
	return a.emit(unix.BPF_JMP|op|unix.BPF_K, uint8(a.distance(yes)), uint8(a.distance(no)), k)
}

// far makes a place from which any target can be reached.
func (a *assembler) far(l bpfLabel) bpfLabel {
	return a.emit(unix.BPF_JMP|unix.BPF_JA, 0, 0, uint32(a.distance(l)))
}

// load reads the 32-bit word of seccomp_data at offset into A and goes on at next.
func (a *assembler) load(offset uint32, next bpfLabel) bpfLabel {
	return a.before(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, next)
}

// and keeps the bits of mask in A and goes on at next.
func (a *assembler) and(mask uint32, next bpfLabel) bpfLabel {
	return a.before(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask, next)
}

func (a *assembler) before(code uint16, k uint32, next bpfLabel) bpfLabel {
	if a.distance(next) > 0 {
		a.far(next)
	}
	return a.emit(code, 0, 0, k)
}

// program is the finished filter, which begins at the last label made.
func (a *assembler) program() ([]unix.SockFilter, error) {
	if len(a.code) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp filter has %d instructions, the kernel takes %d", len(a.code), unix.BPF_MAXINSNS)
	}
	slices.Reverse(a.code)
	return a.code, nil
}
