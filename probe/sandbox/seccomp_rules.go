package sandbox

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// argTest is a test of one argument.
type argTest struct {
	index   uint
	op      specs.LinuxSeccompOperator
	value   uint64
	operand uint64 // ValueTwo, of OpMaskedEqual alone
	wide    bool   // all 64 bits count
}

// callRule gives an action to calls that fulfil all its conditions.
type callRule struct {
	when   []argTest
	action uint32 // SECCOMP_RET_* with its data
}

// callSpan is the calls from number first up to the next span. The first rule that holds
// decides, otherwise what it says.
type callSpan struct {
	first     uint32
	rules     []callRule
	otherwise uint32
}

// spans is the profile for one ABI: every number from the ABI's first on, ascending.
func (b *abi) spans(profile *specs.LinuxSeccomp) ([]callSpan, error) {
	fallback, err := seccompAction(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	calls, last, err := b.rules(profile, fallback)
	if err != nil {
		return nil, err
	}
	spans := []callSpan{{first: b.base, otherwise: fallback}}
	add := func(s callSpan) {
		latest := &spans[len(spans)-1]
		switch {
		case latest.first == s.first:
			*latest = s
		case latest.otherwise != s.otherwise || !reflect.DeepEqual(latest.rules, s.rules):
			spans = append(spans, s)
		}
	}
	for _, nr := range slices.Sorted(maps.Keys(calls)) {
		s := callSpan{first: b.base + nr, otherwise: fallback}
		for _, r := range calls[nr] {
			if len(r.when) == 0 {
				s.rules, s.otherwise = nil, r.action
				break
			}
			s.rules = append(s.rules, r)
		}
		add(s)
		add(callSpan{first: b.base + nr + 1, otherwise: fallback})
	}
	switch profile.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
	default:
		if last > 0 {
			add(callSpan{first: b.base + last + 1, otherwise: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
		}
	}
	return spans, nil
}

// rules are the profile's rules by system call number of the ABI, and the highest
// number that the profile names.
func (b *abi) rules(profile *specs.LinuxSeccomp, fallback uint32) (calls map[uint32][]callRule, last uint32, err error) {
	calls = map[uint32][]callRule{}
	for _, entry := range profile.Syscalls {
		action, err := seccompAction(entry.Action, entry.ErrnoRet)
		if err != nil {
			return nil, 0, err
		}
		variants, err := b.conditions(entry.Args)
		if err != nil {
			return nil, 0, fmt.Errorf("rule of %v: %w", entry.Names, err)
		}
		for _, name := range entry.Names {
			nr, ok := b.sysnr[name]
			if ok {
				last = max(last, nr)
			}
			if action == fallback {
				continue
			}
			for _, when := range variants {
				if ok {
					calls[nr] = append(calls[nr], callRule{when, action})
				}
				if mux, sub, ok := b.multiplexed(name); ok {
					calls[mux] = append(calls[mux], callRule{subcall(when, sub), action})
				}
			}
		}
	}
	return calls, last, nil
}

// conditions are the sets of conditions under any of which a rule holds.
func (b *abi) conditions(args []specs.LinuxSeccompArg) ([][]argTest, error) {
	var all []argTest
	var twice bool
	for _, arg := range args {
		switch arg.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
			specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
		default:
			return nil, fmt.Errorf("unknown operator %q", arg.Op)
		}
		if arg.Index > 5 {
			return nil, fmt.Errorf("argument %d: a system call has six", arg.Index)
		}
		twice = twice || slices.ContainsFunc(all, func(c argTest) bool { return c.index == arg.Index })
		all = append(all, argTest{arg.Index, arg.Op, arg.Value, arg.ValueTwo, b.wide})
	}
	if !twice {
		return [][]argTest{all}, nil
	}
	var each [][]argTest
	for _, c := range all {
		each = append(each, []argTest{c})
	}
	return each, nil
}

// socketcalls and ipcs are the calls that i386 has behind socketcall(2) and ipc(2),
// by the first argument that selects them (linux/net.h, linux/ipc.h).
var (
	socketcalls = map[string]uint64{
		"socket": 1, "bind": 2, "connect": 3, "listen": 4, "accept": 5, "getsockname": 6,
		"getpeername": 7, "socketpair": 8, "send": 9, "recv": 10, "sendto": 11, "recvfrom": 12,
		"shutdown": 13, "setsockopt": 14, "getsockopt": 15, "sendmsg": 16, "recvmsg": 17,
		"accept4": 18, "recvmmsg": 19, "sendmmsg": 20,
	}
	ipcs = map[string]uint64{
		"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12,
		"msgget": 13, "msgctl": 14, "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
	}
)

// multiplexed is the call that carries name in this ABI, and its selector.
func (b *abi) multiplexed(name string) (mux uint32, selector uint64, ok bool) {
	if b.audit != unix.AUDIT_ARCH_I386 {
		return 0, 0, false
	}
	if sub, ok := socketcalls[name]; ok {
		return b.sysnr["socketcall"], sub, true
	}
	if sub, ok := ipcs[name]; ok {
		return b.sysnr["ipc"], sub, true
	}
	return 0, 0, false
}

// subcall turns the conditions of a multiplexed call into those of what carries it. Its
// arguments lie in memory, out of a filter's reach: with libseccomp, the selector is all
// that counts of the first one.
func subcall(when []argTest, selector uint64) []argTest {
	carried := []argTest{{index: 0, op: specs.OpEqualTo, value: selector}}
	for _, c := range when {
		if c.index != 0 {
			carried = append(carried, c)
		}
	}
	return carried
}

// seccompAction is the kernel's value for an action (seccomp(2)); data is the
// error number or the tracer's message, EPERM if there is none, as in runc.
func seccompAction(action specs.LinuxSeccompAction, data *uint) (uint32, error) {
	value := uint32(unix.EPERM)
	if data != nil {
		value = uint32(*data) & unix.SECCOMP_RET_DATA
	}
	switch action {
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | value, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | value, nil
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF, nil
	}
	return 0, fmt.Errorf("unknown seccomp action %q", action)
}
