//go:build ignore

// Command sysnum_gen writes sysnum.txt: the system calls' numbers by name for
// the ABIs of Docker's seccomp profile, as golang.org/x/sys/unix has them from
// the kernel's headers.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// x32Own are the calls that have their own number in the x32 ABI, all other
// numbers being amd64's; "Do not add": the list is closed.
// Source: Linux arch/x86/entry/syscalls/syscall_64.tbl, 512 and up.
var x32Own = strings.Fields(`rt_sigaction rt_sigreturn ioctl readv writev
	recvfrom sendmsg recvmsg execve ptrace rt_sigpending rt_sigtimedwait
	rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load waitid
	set_robust_list get_robust_list vmsplice move_pages preadv pwritev
	rt_tgsigqueueinfo recvmmsg sendmmsg process_vm_readv process_vm_writev
	setsockopt getsockopt io_setup io_submit execveat preadv2 pwritev2`)

// armOwn are ARM's private calls, which x/sys/unix leaves out.
// Source: Linux arch/arm/include/uapi/asm/unistd.h.
var armOwn = map[string]int{
	"breakpoint": 0x0f0001, "cacheflush": 0x0f0002, "usr26": 0x0f0003,
	"usr32": 0x0f0004, "set_tls": 0x0f0005, "get_tls": 0x0f0006,
	"sync_file_range2": 341, // "arm_sync_file_range" under its later name
}

var constant = regexp.MustCompile(`^\s+SYS_(\w+)\s+= (\d+)$`)

func main() {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "golang.org/x/sys").Output()
	if err != nil {
		log.Fatalf("find golang.org/x/sys: %v", err)
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	table := map[string]map[string]int{}
	for _, arch := range []string{"amd64", "386", "arm64", "arm"} {
		if table[arch], err = read(filepath.Join(dir, "unix", "zsysnum_linux_"+arch+".go")); err != nil {
			log.Fatal(err)
		}
	}
	maps.Copy(table["arm"], armOwn)
	table["x32"] = maps.Clone(table["amd64"])
	for i, name := range x32Own {
		table["x32"][name] = 512 + i
	}
	if err := write("sysnum.txt", version, table); err != nil {
		log.Fatal(err)
	}
}

func read(path string) (map[string]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	numbers := map[string]int{}
	s := bufio.NewScanner(f)
	for s.Scan() {
		if m := constant.FindStringSubmatch(s.Text()); m != nil {
			nr, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", path, err)
			}
			numbers[strings.ToLower(m[1])] = nr
		}
	}
	return numbers, s.Err()
}

func write(path, version string, table map[string]map[string]int) error {
	columns := []string{"amd64", "x32", "386", "arm64", "arm"}
	names := map[string]bool{}
	for _, numbers := range table {
		for name := range numbers {
			names[name] = true
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made by sysnum_gen.go from golang.org/x/sys %s; do not edit.\n", version)
	fmt.Fprintf(&b, "name %s\n", strings.Join(columns, " "))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b.WriteString(name)
		for _, c := range columns {
			if nr, ok := table[c][name]; ok {
				fmt.Fprintf(&b, " %d", nr)
			} else {
				b.WriteString(" -")
			}
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
