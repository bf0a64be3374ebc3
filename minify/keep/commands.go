package keep

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"slim/probe/record"
	"slim/probe/rootfs"
)

// commander follows the programs that an application's scripts and sources name
// as commands.
type commander struct {
	s       *selector
	entries map[*rootfs.Node]bool // what the image's config starts
	touched map[*rootfs.Node]bool // what the run executed or read
	noted   map[[2]string]bool    // programs and places that stand in Selection.Named
	scripts map[*rootfs.Node]bool // that a shell is told to run, whatever their name
	read    map[*rootfs.Node]bool // scripts whose commands have been followed
	classes int                   // bytes of compiled Java read so far

	sources     []*rootfs.Node // of compiled programs, not yet followed
	sourceBytes int            // read so far
}

func newCommander(s *selector) *commander {
	return &commander{s: s, noted: make(map[[2]string]bool), scripts: make(map[*rootfs.Node]bool), read: make(map[*rootfs.Node]bool)}
}

// commands is the rule on used files that are the application's: the programs that
// scripts and sources name as commands are kept, with a shell where the call goes
// through one. Under Accessed they are told of, not kept.
func (s *selector) commands(i int) {
	n := s.sel.Entries[i].Node
	// A script of a package counts if the application starts it: gunzip starts gzip.
	started := s.sel.Entries[i].Reason.Rule == "command" && s.isScript(n)
	if !s.isApplication(i) && !s.isEntry(n) && !started || s.commander.read[n] {
		return
	}
	c := s.commander
	switch path.Ext(n.Name()) {
	case ".class", ".jar", ".war":
		c.read[n] = true
		c.java(n)
		return
	}
	if s.elf.file(n.Inode()) != nil {
		c.read[n] = true
		if !s.isOfSystem(n) {
			c.compiled(n)
		}
		return
	}
	b := s.readText(n)
	if !isText(b) {
		return
	}
	switch x := languageOf(n.Name(), b); {
	case c.scripts[n] || isShellScript(n.Name(), b):
		c.read[n] = true
		c.script(n, string(b))
	case x != nil:
		c.read[n] = true
		c.calls(n, s.paths[i], x.commandsIn(b))
	default:
		for _, line := range configuredCommands(s.paths[i], b) {
			place := fmt.Sprintf("%s:%d", s.paths[i], line.line)
			for _, cmd := range parseShell(line.text) {
				c.follow(n, place, cmd, line.text)
			}
			if line.shell {
				c.shell(n, place, line.text)
			}
		}
	}
}

// calls follows the commands that a source names.
func (c *commander) calls(n *rootfs.Node, p string, list []sourceCommand) {
	for _, call := range list {
		place := p
		if call.line > 0 {
			place = fmt.Sprintf("%s:%d", p, call.line)
		}
		if call.shell == "" {
			c.follow(n, place, shellCommand{words: call.words}, call.text)
			continue
		}
		found := false
		for _, cmd := range parseShell(call.shell) {
			found = c.follow(n, place, cmd, call.text) || found
		}
		if found {
			c.shell(n, place, call.text)
		}
	}
}

// isEntry reports whether the image's config names n as what it starts.
func (s *selector) isEntry(n *rootfs.Node) bool {
	if s.commander.entries == nil {
		s.commander.entries = make(map[*rootfs.Node]bool)
		for _, list := range [][]string{slices.Concat(s.cfg.Entrypoint, s.cfg.Cmd), slices.Concat(s.opts.Entrypoint, s.opts.Command)} {
			for k, arg := range list {
				p, ok := s.absolute(arg), true
				if k == 0 {
					p, ok = s.findProgram(arg)
				}
				if n, _, err := s.fs.Resolve(p); ok && err == nil {
					s.commander.entries[n] = true
				}
			}
		}
	}
	return s.commander.entries[n]
}

// configuredShell follows the texts for a shell in the image's config: a CMD in the
// shell's form, a health check.
func (s *selector) configuredShell() {
	texts := map[string][]string{"ENTRYPOINT and CMD": slices.Concat(s.cfg.Entrypoint, s.cfg.Cmd)}
	if h := s.cfg.Healthcheck; h != nil && len(h.Test) > 1 && h.Test[0] == "CMD-SHELL" {
		texts["HEALTHCHECK"] = []string{"/bin/sh", "-c", h.Test[1]}
	}
	for _, place := range slices.Sorted(maps.Keys(texts)) {
		words := texts[place]
		if len(words) == 0 {
			continue
		}
		p, ok := s.findProgram(words[0])
		if !ok {
			continue
		}
		n, _, _ := s.fs.Resolve(p)
		sh := &shellParser{}
		sh.started(path.Base(words[0]), words[1:], 1)
		for _, cmd := range sh.commands {
			s.commander.follow(n, place, cmd, strings.Join(cmd.words, " "))
		}
	}
}

// isShellScript reports whether a file is one by its first line or its name.
func isShellScript(name string, b []byte) bool {
	if program := scriptProgram(b); program != "" {
		return isShellName(program) || program == "busybox"
	}
	switch path.Ext(name) {
	case ".sh", ".bash", ".ash", ".ksh":
		return true
	}
	return false
}

// developers are programs that only those use who build, publish or deploy.
var developers = set(`docker docker-compose podman buildah kubectl helm terraform ansible ansible-playbook vagrant git make
	cmake go cargo rustc mvn gradle npm yarn pnpm pip pip3 poetry apt apt-get apk yum dnf gcc gh gcloud az eslint prettier
	black flake8 mypy pylint pytest tox jest mocha rspec rubocop phpunit`)

// isDevelopment reports whether a file is a shell script that serves those who build
// the application, not the application: it starts what only they have.
func (c *commander) isDevelopment(n *rootfs.Node) bool {
	i := c.s.sel.index[n]
	if c.s.used[i] || n.Inode().Size > maxShellText || !isExecutable(n) && path.Ext(n.Name()) != ".sh" {
		return false
	}
	if path.Ext(n.Name()) != ".sh" && !c.s.isScript(n) {
		return false
	}
	b := c.s.readText(n)
	return isText(b) && isShellScript(n.Name(), b) &&
		slices.ContainsFunc(parseShell(string(b)), func(cmd shellCommand) bool { return developers[path.Base(cmd.words[0])] })
}

// script follows the commands of a shell script.
func (c *commander) script(n *rootfs.Node, text string) {
	p := c.s.path(n)
	for _, cmd := range parseShell(text) {
		c.follow(n, fmt.Sprintf("%s:%d", p, cmd.line), cmd, cmd.words[0])
	}
}

// follow keeps the program of a command that a file names, and the files of the
// application that are its arguments; false if there is no such program.
func (c *commander) follow(n *rootfs.Node, place string, cmd shellCommand, text string) bool {
	c.arguments(n, place, cmd)
	name := cmd.words[0]
	if cmd.source || name == "" {
		return cmd.source
	}
	p, ok := c.program(n, name)
	if !ok {
		return false
	}
	c.run(n, place, p, text)
	// A script under another name runs the program that has it: pg_wrapper, pyenv's shims.
	if end, _, err := c.s.fs.Resolve(p); err == nil && end.Name() != name && !strings.Contains(name, "/") && c.s.isScript(end) {
		for _, q := range c.s.findPrograms(name) {
			c.run(n, place, q, text)
		}
	}
	c.startedBy(n, place, cmd)
	return true
}

// startedBy follows what a program that starts others is told to start, where
// the command stood in no shell script, which would have told it itself.
func (c *commander) startedBy(n *rootfs.Node, place string, cmd shellCommand) {
	if cmd.line != 0 {
		return
	}
	p := &shellParser{}
	p.started(path.Base(cmd.words[0]), cmd.words[1:], 1)
	for _, cmd := range p.commands {
		c.follow(n, place, cmd, cmd.words[0])
	}
}

// program finds a command's program: by PATH, by path, or from the folder of the
// file that names it.
func (c *commander) program(n *rootfs.Node, name string) (string, bool) {
	if strings.ContainsAny(name, " \t\n*?"+hole) || len(name) > maxNameBytes {
		return "", false
	}
	if p, ok := c.s.findProgram(name); ok {
		return p, true
	}
	if !strings.Contains(name, "/") || strings.HasPrefix(name, "/") {
		return "", false
	}
	p := path.Join(c.s.path(n.Parent()), name)
	end, _, err := c.s.fs.Resolve(p)
	return p, err == nil && isExecutable(end)
}

// arguments keeps the application's files that a command names: the script for a
// shell or an interpreter, a configuration.
func (c *commander) arguments(n *rootfs.Node, place string, cmd shellCommand) {
	if c.s.opts.Keep == Accessed {
		return
	}
	args := cmd.words
	if !cmd.source {
		args = args[1:]
	}
	for _, a := range args {
		if a == "" || strings.HasPrefix(a, "-") || len(a) > 1024 {
			continue
		}
		for _, base := range []string{rooted(c.s.cfg.WorkingDir), c.s.path(n.Parent())} {
			p := a
			if !strings.HasPrefix(a, "/") {
				p = join(base, a)
			}
			end, _, err := c.s.fs.Resolve(p)
			if err != nil || !end.Inode().IsRegular() {
				continue
			}
			i := c.s.sel.index[end]
			if c.s.unitOf[i] == nil && !isHard(c.s.category[i]) {
				if cmd.source {
					c.scripts[end] = true
				}
				c.s.usePath(p, Reason{Rule: "named", Text: "named as an argument in " + place, From: c.s.path(n)})
			}
			break
		}
	}
}

// shell keeps the shell that a call goes through.
func (c *commander) shell(n *rootfs.Node, place, text string) {
	if p, ok := c.program(n, "/bin/sh"); ok {
		c.run(n, place, p, text)
	}
}

// run notes a program and, unless the policy is Accessed, keeps it.
func (c *commander) run(n *rootfs.Node, place, p, text string) {
	end, _, err := c.s.fs.Resolve(p)
	if err != nil {
		return
	}
	if key := [2]string{p, place}; !c.noted[key] {
		c.noted[key] = true
		c.s.sel.Named = append(c.s.sel.Named, Named{Path: p, Place: place, Text: firstLine(text), Touched: c.isTouched(end)})
	}
	if c.s.opts.Keep != Accessed {
		c.s.usePath(p, Reason{Rule: "command", Text: "named as a command in " + place + " (" + firstLine(text) + ")", From: c.s.path(n)})
	}
}

// isTouched reports whether the run used the program.
func (c *commander) isTouched(n *rootfs.Node) bool {
	if c.touched == nil {
		c.touched = make(map[*rootfs.Node]bool)
		for _, a := range c.s.trace.Accesses {
			if a.Ops&(record.Read|record.Exec) != 0 && !a.Helper {
				if n, err := c.s.fs.Lookup(a.Path); err == nil {
					c.touched[n] = true
				}
			}
		}
	}
	return c.touched[n]
}

// firstLine is the beginning of a text, fit to stand in a sentence.
func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, hole, "…")), "\n")
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "…"
	}
	return text
}

// sortNamed puts Selection.Named into order.
func (s *selector) sortNamed() {
	slices.SortFunc(s.sel.Named, func(a, b Named) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Place, b.Place))
	})
}

// npmScript follows the script of package.json that npm, yarn or pnpm is told to start.
func (s *selector) npmScript() {
	words := slices.Concat(s.cfg.Entrypoint, s.cfg.Cmd)
	if len(words) < 2 || !slices.Contains([]string{"npm", "yarn", "pnpm"}, path.Base(words[0])) {
		return
	}
	name := words[1]
	if (name == "run" || name == "run-script") && len(words) > 2 {
		name = words[2]
	}
	n, _, err := s.fs.Resolve(path.Join(rooted(s.cfg.WorkingDir), "package.json"))
	if err != nil {
		return
	}
	b := s.readText(n)
	var manifest struct {
		Scripts map[string]string `json:"scripts"`
	}
	if json.Unmarshal(b, &manifest) != nil {
		return
	}
	for _, name := range []string{"pre" + name, name, "post" + name} {
		text := manifest.Scripts[name]
		place := fmt.Sprintf("%s:%d", s.path(n), 1+bytes.Count(b[:max(0, bytes.Index(b, []byte(`"`+name+`"`)))], []byte("\n")))
		for _, cmd := range parseShell(text) {
			if !s.commander.follow(n, place, cmd, text) {
				s.commander.localProgram(n, place, cmd.words[0], text)
			}
		}
	}
}

// localProgram keeps a command of a Node package that is installed beside n.
func (c *commander) localProgram(n *rootfs.Node, place, name, text string) {
	p := path.Join(c.s.path(n.Parent()), "node_modules/.bin", name)
	if end, _, err := c.s.fs.Resolve(p); err == nil && isExecutable(end) && !strings.Contains(name, "/") {
		c.run(n, place, p, text)
	}
}

// A configuredCommand is a command line in a configuration.
type configuredCommand struct {
	text  string
	line  int
	shell bool // a shell runs it
}

// configuredCommands lists the command lines of the kinds of configuration that
// start programs: cron tables, supervisord's programs, Procfiles.
func configuredCommands(p string, b []byte) []configuredCommand {
	dir, name := path.Split(p)
	var of func(string) (string, bool)
	shell := true
	switch {
	case name == "crontab" || strings.HasPrefix(dir, "/etc/cron") || strings.Contains(dir, "/crontabs/") || strings.HasSuffix(name, ".cron") ||
		strings.HasSuffix(name, ".crontab") || strings.HasSuffix(name, "crontab"):
		system := name == "crontab" && dir == "/etc/" || dir == "/etc/cron.d/"
		of = func(line string) (string, bool) { return cronCommand(line, system) }
	case name == "Procfile":
		of = func(line string) (string, bool) {
			_, cmd, ok := strings.Cut(line, ":")
			return cmd, ok
		}
	case strings.Contains(p, "supervisor") || bytes.Contains(b[:min(len(b), 64<<10)], []byte("[program:")):
		shell = false
		of = func(line string) (string, bool) {
			key, cmd, ok := strings.Cut(line, "=")
			return cmd, ok && strings.TrimSpace(key) == "command"
		}
	default:
		return nil
	}
	var list []configuredCommand
	k := 0
	for line := range strings.Lines(string(b)) {
		k++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if cmd, ok := of(line); ok && len(list) < maxNames {
			list = append(list, configuredCommand{strings.TrimSpace(cmd), k, shell})
		}
	}
	return list
}

// cronCommand is the command of a line of a cron table (crontab(5)): after five
// times or one name of them, and in the system's tables after the user.
func cronCommand(line string, system bool) (string, bool) {
	fields := 5
	switch {
	case strings.HasPrefix(line, "@"):
		fields = 1
	case !strings.ContainsAny(line[:1], "*0123456789"):
		return "", false // a variable
	}
	if system {
		fields++
	}
	for range fields {
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return "", false
		}
		line = strings.TrimLeft(line[i:], " \t")
	}
	cmd, _, _ := strings.Cut(line, "%") // what follows is its input
	return cmd, cmd != ""
}
