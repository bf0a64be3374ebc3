//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/verify"
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/workload"
	"slim/testdata/engine"
)

// runTimeout bounds one run of an image in slim's sandbox.
const runTimeout = 5 * time.Minute

// session is one container in slim's sandbox and the lines of full put to it.
type session struct {
	lines  []string
	result *probe.Result
	err    error
	// rows are the observations of each line, and of "stop".
	rows map[string][]workload.Observation
}

// runFull puts full to an image in slim's sandbox: requests first and then EXEC to one
// container, RUN to one each. before are the sessions of the original, nil for itself.
func runFull(ctx context.Context, fsys *rootfs.FS, cfg v1.Config, full []string, before []*session) ([]*session, error) {
	var server []string
	var sessions []*session
	for _, kind := range []string{"request", "EXEC"} {
		for _, line := range full {
			k := engine.ParseQuestion(line).Kind
			if k == kind || kind == "request" && k != "EXEC" && k != "RUN" {
				server = append(server, line)
			}
		}
	}
	if len(server) > 0 {
		sessions = append(sessions, &session{lines: server})
	}
	for _, line := range full {
		if engine.ParseQuestion(line).Kind == "RUN" {
			sessions = append(sessions, &session{lines: []string{line}})
		}
	}
	for i, s := range sessions {
		opts, err := s.options(cfg)
		if err != nil {
			return nil, err
		}
		if before != nil && before[i].result != nil {
			opts.WaitPorts = before[i].result.Ports()
		}
		s.run(ctx, fsys, opts)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return sessions, nil
}

// options are those of the probe for the session's lines.
func (s *session) options(cfg v1.Config) (probe.Options, error) {
	var o probe.Options
	o.Sandbox.Image = cfg
	o.Workload.NoDefault = true
	o.Workload.Exposed = workload.ExposedPorts(cfg)
	o.Workload.StopSignal = cfg.StopSignal
	for _, line := range s.lines {
		q := engine.ParseQuestion(line)
		switch q.Kind {
		case "RUN", "EXEC":
			words, err := q.Words()
			if err != nil {
				return o, fmt.Errorf("%s: %w", line, err)
			}
			if q.Kind == "EXEC" {
				o.Workload.Exec = append(o.Workload.Exec, words)
				break
			}
			o.Sandbox.Command, o.Workload.AnyExit = words, true
		default:
			status, err := strconv.Atoi(q.Status)
			if err != nil {
				return o, fmt.Errorf("%s: %w", line, err)
			}
			path, body, kind := q.Request()
			c := workload.HTTPCheck{Method: q.Kind, Path: path, Body: []byte(body), Status: status}
			if kind != "" {
				c.Headers = map[string]string{"Content-Type": kind}
			}
			o.Workload.Checks = append(o.Workload.Checks, c)
		}
	}
	return o, nil
}

func (s *session) run(ctx context.Context, fsys *rootfs.FS, opts probe.Options) {
	limited, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if s.result, s.err = probe.Run(limited, fsys, opts); s.err != nil {
		return
	}
	s.rows = make(map[string][]workload.Observation)
	outcome := s.result.Outcomes[0]
	if len(opts.Workload.Checks)+len(opts.Workload.Exec) == 0 {
		s.rows[s.lines[0]] = outcome.Observations
		return
	}
	if !outcome.Server {
		s.err = fmt.Errorf("the server ended by itself: %s", outcome.Observations[0].Detail)
		return
	}
	// Observations come in the order of the checks, each one's status first.
	line := -1
	for _, o := range outcome.Observations {
		switch {
		case o.Name == "ports" || o.Name == "ready":
			continue
		case o.Name == "stop" || o.Name == "program":
			s.rows["stop"] = []workload.Observation{o}
			continue
		case strings.HasSuffix(o.Name, " status"):
			line++
		}
		if line >= 0 && line < len(s.lines) {
			s.rows[s.lines[line]] = append(s.rows[s.lines[line]], o)
		}
	}
}

// checks are the session's lines, and the end of a server.
func (s *session) checks() []string {
	if engine.ParseQuestion(s.lines[0]).Kind == "RUN" {
		return s.lines
	}
	return append(s.lines[:len(s.lines):len(s.lines)], "stop")
}

// wrong says what is wrong with a check by itself, "" if nothing is.
func (s *session) wrong(check string) string {
	switch rows := s.rows[check]; {
	case s.err != nil:
		return s.err.Error()
	case len(rows) == 0:
		return "was not put"
	case check == "stop" && rows[0].Name == "stop":
		return ""
	case rows[0].Value != engine.ParseQuestion(check).Status:
		return strings.TrimSpace(rows[0].Name + " " + rows[0].Value + "\n" + rows[0].Detail)
	}
	return ""
}

// differs says how a check of s differs from the original's, "" if it does not.
func (s *session) differs(original *session, check string) string {
	if text := s.wrong(check); text != "" {
		return text
	}
	want := make(map[string]workload.Observation)
	for _, o := range original.rows[check] {
		want[o.Name] = o
	}
	for _, o := range s.rows[check] {
		if w := want[o.Name]; w.Value != o.Value {
			return fmt.Sprintf("%s\n- %s %s\n+ %s %s", o.Name, w.Value, w.Detail, o.Value, o.Detail)
		}
		delete(want, o.Name)
	}
	for name := range want {
		return name + " is missing"
	}
	return ""
}

// compare holds the sessions of a slim image against the original's.
func compare(fat *rootfs.FS, original, slim []*session) (passed, all int, failures []failure) {
	for i, s := range slim {
		var failed []failure
		for _, check := range s.checks() {
			all++
			if text := s.differs(original[i], check); text != "" {
				failed = append(failed, failure{Where: "sandbox", Check: check, Text: text})
				continue
			}
			passed++
		}
		if len(failed) > 0 && s.result != nil && original[i].result != nil {
			failed[len(failed)-1].Missed = verify.Misses(fat, original[i].result.Trace, s.result.Trace)
		}
		failures = append(failures, failed...)
	}
	return passed, all, failures
}

// opened are the regular files whose content the sessions used, and their bytes.
func opened(fsys *rootfs.FS, sessions []*session) (files map[*rootfs.Inode]bool, bytes int64) {
	files = make(map[*rootfs.Inode]bool)
	for _, s := range sessions {
		if s.result == nil {
			continue
		}
		for _, a := range s.result.Trace.Accesses {
			n, err := fsys.Lookup(a.Path)
			if err != nil || a.Ops&(record.Read|record.Exec) == 0 || !n.Inode().IsRegular() || files[n.Inode()] {
				continue
			}
			files[n.Inode()] = true
			bytes += n.Inode().Size
		}
	}
	return files, bytes
}
