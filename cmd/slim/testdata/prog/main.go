// Prog is the program of the scripts' images. Its arguments are steps, done in
// order:
//
//	print TEXT | read FILE | stat FILE | list DIR | links FILE | write FILE TEXT | remove FILE
//	env NAME | owner | exec FILE | exit N
//	serve PORT DIR | stubborn PORT DIR (ignores SIGTERM) | tcp PORT | wait
//
// and those of odd.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() { os.Exit(prog(os.Args[1:])) }

func prog(args []string) int {
	for len(args) > 0 {
		step, ok := progSteps[args[0]]
		if !ok || len(args) <= step.args {
			fmt.Fprintln(os.Stderr, "prog: wrong step:", args)
			return 99
		}
		if err := step.do(args[1:]); err != nil {
			var code exitStatus
			if errors.As(err, &code) {
				return int(code)
			}
			fmt.Fprintln(os.Stderr, "prog:", err)
			return 1
		}
		args = args[1+step.args:]
	}
	return 0
}

type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// step takes args arguments.
type step struct {
	args int
	do   func([]string) error
}

var progSteps = map[string]step{
	"print": {1, func(a []string) error { fmt.Println(a[0]); return nil }},
	"read": {1, func(a []string) error {
		data, err := os.ReadFile(a[0])
		os.Stdout.Write(data)
		return err
	}},
	"stat": {1, func(a []string) error { _, err := os.Stat(a[0]); return err }},
	"list": {1, func(a []string) error { _, err := os.ReadDir(a[0]); return err }},
	"links": {1, func(a []string) error {
		target, err := os.Readlink(a[0])
		fmt.Println(target)
		return err
	}},
	"write":  {2, func(a []string) error { return os.WriteFile(a[0], []byte(a[1]), 0o600) }},
	"remove": {1, func(a []string) error { return os.Remove(a[0]) }},
	"env":    {1, func(a []string) error { fmt.Println(os.Getenv(a[0])); return nil }},
	"owner": {0, func([]string) error {
		groups, err := os.Getgroups()
		fmt.Println(os.Getuid(), os.Getgid(), groups)
		return err
	}},
	"exec": {1, func(a []string) error {
		cmd := exec.Command(a[0], "print", "executed")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}},
	"exit": {1, func(a []string) error {
		n, err := strconv.Atoi(a[0])
		if err != nil {
			return err
		}
		return exitStatus(n)
	}},
	"serve":    {2, func(a []string) error { return serve(a[0], a[1], false) }},
	"stubborn": {2, func(a []string) error { return serve(a[0], a[1], true) }},
	"tcp": {1, func(a []string) error {
		l, err := net.Listen("tcp", ":"+a[0])
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			c.Write([]byte("hello\n"))
			c.Close()
		}
	}},
	"wait": {0, func([]string) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
		return nil
	}},
}

// serve serves DIR, and at /gone a 404, at /fail a 500, at /random a body that differs each time,
// at /post what only POST may ask; until SIGTERM.
func serve(port, dir string, stubborn bool) error {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/fail", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "failed", 500) })
	mux.HandleFunc("/random", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getpid(), rand())
	})
	mux.HandleFunc("/post", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		fmt.Fprintln(w, strings.ToUpper(r.Header.Get("X-Test")))
	})
	server := &http.Server{Addr: ":" + port, Handler: mux}
	if stubborn {
		signal.Ignore(syscall.SIGTERM)
		return server.ListenAndServe()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	fmt.Println("stopped")
	return nil
}

func rand() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		return err.Error()
	}
	return string(data)
}
