package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestJumpReach puts a jump's targets at every distance around what one jump can reach.
func TestJumpReach(t *testing.T) {
	pad := func(a *assembler, n int) {
		for range n {
			a.emit(unix.BPF_RET|unix.BPF_K, 0, 0, 99)
		}
	}
	for _, between := range []int{0, 1, 2, 253, 254, 255, 256, 600} {
		for gap := range 300 {
			for _, swap := range []bool{false, true} {
				a := &assembler{}
				yes := a.emit(unix.BPF_RET|unix.BPF_K, 0, 0, 1)
				pad(a, between)
				no := a.emit(unix.BPF_RET|unix.BPF_K, 0, 0, 2)
				pad(a, gap)
				if swap {
					yes, no = no, yes
				}
				a.load(offNr, a.jump(unix.BPF_JEQ, 7, yes, no))
				filter, err := a.program()
				if err != nil {
					t.Fatal(err)
				}
				vm := machine(t, filter)
				equal, other := runVM(t, vm, call{nr: 7}), runVM(t, vm, call{nr: 8})
				if swap {
					equal, other = other, equal
				}
				if equal != 1 || other != 2 {
					t.Fatalf("%d and %d apart, swapped %v: reached %d and %d", gap, between, swap, equal, other)
				}
			}
		}
	}
}

func TestProgramTooLong(t *testing.T) {
	a := &assembler{}
	for range unix.BPF_MAXINSNS + 1 {
		a.emit(unix.BPF_RET|unix.BPF_K, 0, 0, 0)
	}
	if _, err := a.program(); err == nil {
		t.Error("no error")
	}
}
