package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What programs do that their tester did not hope for:
//
//	run FILE STEPS (of FILE, in one argument) | orphan (leaves a child behind)
//	daemon (goes on as an orphan in a session of its own, and ends)
//	deaf (ignores SIGTERM) | hang (never listens nor ends) | unix PATH | udp PORT
//	stdin | spam BYTES | babble | readall DIR | append FILE TEXT
func init() {
	for name, s := range map[string]step{
		"run":     {2, func(a []string) error { return start(a[0], strings.Fields(a[1])...).Run() }},
		"orphan":  {0, func([]string) error { return start("/proc/self/exe", "hang").Start() }},
		"daemon":  {0, func([]string) error { return daemon() }},
		"deaf":    {0, func([]string) error { signal.Ignore(syscall.SIGTERM); select {} }},
		"hang":    {0, func([]string) error { return hang() }},
		"unix":    {1, func(a []string) error { return listenUnix(a[0]) }},
		"udp":     {1, func(a []string) error { return listenUDP(a[0]) }},
		"spam":    {1, func(a []string) error { return spam(a[0]) }},
		"readall": {1, func(a []string) error { return readAll(a[0]) }},
		"stdin": {0, func([]string) error {
			n, err := io.Copy(io.Discard, os.Stdin)
			fmt.Println(n, "bytes of stdin")
			return err
		}},
		"babble": {0, func([]string) error {
			os.Stderr.WriteString("\x1b]0;title\x07\x1b[2J\x1b[31mred \xff\xfe\u202eabc \x9b31m\x08\r\n")
			return exitStatus(5)
		}},
		"append": {2, func(a []string) error {
			f, err := os.OpenFile(a[0], os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString(a[1])
			return err
		}},
	} {
		progSteps[name] = s
	}
}

func start(file string, args ...string) *exec.Cmd {
	cmd := exec.Command(file, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// daemon hangs in a new session, by a process between that ends.
func daemon() error {
	if os.Getenv("DAEMON") != "" {
		return start("/proc/self/exe", "hang").Start()
	}
	cmd := start("/proc/self/exe", "daemon")
	cmd.Env = append(os.Environ(), "DAEMON=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Run()
}

func hang() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}

func listenUnix(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	return hang()
}

func listenUDP(port string) error {
	c, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return err
	}
	defer c.Close()
	return hang()
}

func spam(size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	line := bytes.Repeat([]byte("all work and no play makes a dull program\n"), 1000)
	for ; n > 0; n -= len(line) {
		if _, err := os.Stdout.Write(line[:min(n, len(line))]); err != nil {
			return err
		}
	}
	return nil
}

func readAll(dir string) error {
	files, size := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files, size = files+1, size+len(data)
		return err
	})
	fmt.Println(files, "files,", size, "bytes")
	return err
}
