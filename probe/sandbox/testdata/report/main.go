// Command report prints, as JSON, what a program sees of its container.
package main

import (
	"encoding/json"
	"os"
	"strings"
)

type report struct {
	Args, Env []string
	Cwd       string
	UID, GID  int
	Groups    []int
	Hostname  string
	Status    map[string]string   // of /proc/self/status
	Mounts    map[string][]string // type and options by path
	Files     map[string]string   // contents of the files named in FILES
}

func main() {
	r := report{
		Args: os.Args, Env: os.Environ(), UID: os.Getuid(), GID: os.Getgid(),
		Status: map[string]string{}, Mounts: map[string][]string{}, Files: map[string]string{},
	}
	r.Cwd, _ = os.Getwd()
	r.Groups, _ = os.Getgroups()
	r.Hostname, _ = os.Hostname()
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		r.Status[name] = strings.TrimSpace(value)
	}
	mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mountinfo)) {
		head, tail, _ := strings.Cut(line, " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		options := strings.Split(h[5]+","+t[2], ",")
		r.Mounts[h[4]] = append([]string{t[0]}, options...)
	}
	for name := range strings.SplitSeq(os.Getenv("FILES"), ":") {
		content, err := os.ReadFile(name)
		if err != nil {
			content = []byte(err.Error())
		}
		r.Files[name] = string(content)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}
