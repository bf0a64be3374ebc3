package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// dropPrivileges makes the calling thread the user's, with the folder and capabilities of
// p: the bounding set first and the others last, as only root may change the user.
func dropPrivileges(p *process) error {
	held, err := heldCapabilities()
	if err != nil {
		return err
	}
	caps, err := capability.NewPid2(0)
	if err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	set := func(which capability.CapType, names []string) {
		for _, name := range names {
			// A capability that this process itself was not given cannot be passed on.
			if c, ok := capabilityNames()[name]; ok && held&(1<<c) != 0 {
				caps.Set(which, c)
			}
		}
	}
	set(capability.BOUNDING, p.Caps.Bounding)
	if err := caps.Apply(capability.BOUNDING); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl keepcaps", err)
	}
	// Root may enter where the user may not, and the other way round on network file systems.
	early := unix.Chdir(p.Cwd)
	if err := setUser(p); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl keepcaps", err)
	}
	set(capability.EFFECTIVE, p.Caps.Effective)
	set(capability.PERMITTED, p.Caps.Permitted)
	set(capability.INHERITABLE, p.Caps.Inheritable)
	set(capability.AMBIENT, p.Caps.Ambient)
	if err := caps.Apply(capability.CAPS | capability.AMBS); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	if early != nil {
		if err := unix.Chdir(p.Cwd); err != nil {
			return fmt.Errorf("%w: chdir to cwd (%q): %w", ErrStart, p.Cwd, err)
		}
	}
	return nil
}

// setUser changes this thread only: the others end with exec.
func setUser(p *process) error {
	groups := p.Groups
	var first *uint32
	if len(groups) > 0 {
		first = &groups[0]
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(first)), 0); errno != 0 {
		return fmt.Errorf("setgroups %v: %w", groups, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(p.GID), uintptr(p.GID), uintptr(p.GID)); errno != 0 {
		return fmt.Errorf("setgid %d: %w", p.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(p.UID), uintptr(p.UID), uintptr(p.UID)); errno != 0 {
		return fmt.Errorf("setuid %d: %w", p.UID, errno)
	}
	return nil
}

var capabilityNames = sync.OnceValue(func() map[string]capability.Cap {
	names := map[string]capability.Cap{}
	for _, c := range capability.ListKnown() {
		names["CAP_"+strings.ToUpper(c.String())] = c
	}
	return names
})

// heldCapabilities is this thread's permitted set.
func heldCapabilities() (uint64, error) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted), nil
}

var rlimitNumbers = map[string]int{
	"RLIMIT_AS":         unix.RLIMIT_AS,
	"RLIMIT_CORE":       unix.RLIMIT_CORE,
	"RLIMIT_CPU":        unix.RLIMIT_CPU,
	"RLIMIT_DATA":       unix.RLIMIT_DATA,
	"RLIMIT_FSIZE":      unix.RLIMIT_FSIZE,
	"RLIMIT_LOCKS":      unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK":    unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE":   unix.RLIMIT_MSGQUEUE,
	"RLIMIT_NICE":       unix.RLIMIT_NICE,
	"RLIMIT_NOFILE":     unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC":      unix.RLIMIT_NPROC,
	"RLIMIT_RSS":        unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO":     unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME":     unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_STACK":      unix.RLIMIT_STACK,
}

// setRlimits sets the limits; where this process may not raise one (no CAP_SYS_RESOURCE),
// the highest it may set takes its place.
func setRlimits(limits []specs.POSIXRlimit) error {
	for _, l := range limits {
		which, ok := rlimitNumbers[l.Type]
		if !ok {
			return fmt.Errorf("unknown resource limit %q", l.Type)
		}
		want := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		err := unix.Prlimit(0, which, &want, nil)
		if errors.Is(err, unix.EPERM) {
			var has unix.Rlimit
			if err := unix.Prlimit(0, which, nil, &has); err != nil {
				return fmt.Errorf("read %s: %w", l.Type, err)
			}
			want.Max = min(want.Max, has.Max)
			want.Cur = min(want.Cur, want.Max)
			err = unix.Prlimit(0, which, &want, nil)
		}
		if err != nil {
			return fmt.Errorf("set %s: %w", l.Type, err)
		}
	}
	return nil
}
