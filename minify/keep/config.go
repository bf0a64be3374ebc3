package keep

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/moby/sys/user"

	"slim/probe/rootfs"
)

// config keeps what the image's config names, and what the probe was told in its
// place: programs and files of the command line, folders, the user's records.
func (s *selector) config() {
	s.command("ENTRYPOINT", "CMD", s.cfg.Entrypoint, s.cfg.Cmd)
	if s.opts.Entrypoint != nil {
		s.command("--entrypoint", "the command", s.opts.Entrypoint, s.opts.Command)
	} else if s.opts.Command != nil {
		s.command("ENTRYPOINT", "the command", s.cfg.Entrypoint, s.opts.Command)
	}
	s.healthcheck()
	if dir := s.cfg.WorkingDir; dir != "" {
		s.keepConfig(rooted(dir), "WORKDIR "+dir)
	}
	for _, dir := range slices.Sorted(maps.Keys(s.cfg.Volumes)) {
		// Docker copies the image's content into a fresh volume.
		if n := s.keepConfig(rooted(dir), "VOLUME "+dir); n != nil {
			s.below(n, func(n *rootfs.Node) {
				s.keep(n, Reason{Rule: "config", Text: "content of VOLUME " + dir, From: s.path(n.Parent())})
			})
		}
	}
	s.user()
}

// command keeps the program of an argument vector in two parts, and the regular
// files that further arguments name.
func (s *selector) command(first, second string, entrypoint, cmd []string) {
	for i, arg := range slices.Concat(entrypoint, cmd) {
		from := first
		if i >= len(entrypoint) {
			from = second
		}
		if i == 0 {
			s.programOf(arg, from)
			continue
		}
		if arg == "" {
			continue
		}
		p := s.absolute(arg)
		if n, _, err := s.fs.Resolve(p); err == nil && n.Inode().IsRegular() {
			s.usePath(p, Reason{Rule: "config", Text: "named in " + from})
		}
	}
}

func (s *selector) programOf(name, from string) {
	if p, ok := s.findProgram(name); ok {
		s.usePath(p, Reason{Rule: "config", Text: "program of " + from})
	}
}

// healthcheck keeps the program that the health check starts; what it goes on to
// use shows in the trace, since it is run as a check.
func (s *selector) healthcheck() {
	if s.cfg.Healthcheck == nil || len(s.cfg.Healthcheck.Test) < 2 {
		return
	}
	switch test := s.cfg.Healthcheck.Test; test[0] {
	case "CMD":
		s.programOf(test[1], "HEALTHCHECK")
	case "CMD-SHELL":
		shell := "/bin/sh"
		if len(s.cfg.Shell) > 0 {
			shell = s.cfg.Shell[0]
		}
		s.programOf(shell, "HEALTHCHECK")
	}
}

// user keeps the records that Docker itself reads before the program starts, and
// the home directory.
func (s *selector) user() {
	passwd, group := "Docker sets HOME from it", "Docker takes the groups of the user from it"
	if s.cfg.User != "" {
		passwd, group = "USER "+s.cfg.User+" in /etc/passwd", "groups of USER "+s.cfg.User+" in /etc/group"
	}
	s.keepConfig("/etc/passwd", passwd)
	s.keepConfig("/etc/group", group)
	home := s.env("HOME", "")
	if home == "" {
		// A USER that does not exist is the sandbox's to report.
		u, err := user.GetExecUser(s.cfg.User, nil, s.text("/etc/passwd"), s.text("/etc/group"))
		if err != nil {
			return
		}
		home = u.Home
	}
	if home != "" {
		s.keepConfig(rooted(home), "home directory of the user")
	}
}

// text reads a file of the tree; nothing if there is none.
func (s *selector) text(p string) io.Reader {
	if n, _, err := s.fs.Resolve(p); err == nil && n.Inode().IsRegular() {
		return s.fs.Content(n.Inode())
	}
	return new(bytes.Reader)
}

// rooted is a folder of the config as the runtime takes it: from the root.
func rooted(dir string) string { return "/" + strings.Trim(dir, "/") }

// keepConfig keeps the file at p as named by the config, and the links on the
// way; nil if nothing is there.
func (s *selector) keepConfig(p, text string) *rootfs.Node {
	n, links, err := s.fs.Resolve(p)
	if err != nil {
		return nil
	}
	why := Reason{Rule: "config", Text: text}
	s.keepLinks(links, p, why)
	s.keep(n, why)
	return n
}

// below visits everything in a directory, parents first.
func (s *selector) below(n *rootfs.Node, visit func(*rootfs.Node)) {
	for _, c := range n.Children() {
		visit(c)
		s.below(c, visit)
	}
}

// mountPoints keeps the names on which every runtime mounts something, so that it
// need not make them with a mode and owner of its own, and the folders for
// temporary files, which programs expect with the sticky bit on the day that they
// first need them. Nothing in them is kept for that.
func (s *selector) mountPoints() {
	for _, p := range []string{"/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"} {
		s.keepNamed(p, Reason{Rule: "mount point", Text: "mount point of every runtime"})
	}
	for _, p := range []string{"/tmp", "/var/tmp"} {
		s.keepNamed(p, Reason{Rule: "mount point", Text: "folder for temporary files"})
	}
}

// keepNamed keeps the name at p, itself a link or not.
func (s *selector) keepNamed(p string, why Reason) {
	if n, err := s.fs.Lookup(p); err == nil {
		s.keep(n, why)
	}
}

// includedPrograms keeps the programs of Options.IncludeBin.
func (s *selector) includedPrograms() {
	for _, name := range s.opts.IncludeBin {
		p, ok := s.findProgram(name)
		if !ok || s.usePath(p, Reason{Rule: "include", Text: "program " + name + ", included by name"}) == nil {
			s.sel.Unmatched = append(s.sel.Unmatched, name)
		}
	}
}
