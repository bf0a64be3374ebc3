package keep

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxShebang is how much of a file the kernel looks at for "#!" and the
// interpreter's path (BINPRM_BUF_SIZE, Linux 5.1 and later).
const maxShebang = 256

// script keeps the interpreter of a file that can be executed and starts with
// "#!" (execve(2), "Interpreter scripts"), and the program that env runs there.
func (s *selector) script(i int) {
	inode := s.sel.Entries[i].Node.Inode()
	if inode.Mode&(unix.S_IXUSR|unix.S_IXGRP|unix.S_IXOTH) == 0 {
		return
	}
	head := make([]byte, min(maxShebang, inode.Size))
	if _, err := s.fs.Content(inode).ReadAt(head, 0); err != nil {
		return
	}
	interpreter, arg, ok := parseShebang(string(head))
	if !ok {
		return
	}
	p := s.paths[i]
	why := Reason{Rule: "interpreter", Text: "#! interpreter of " + p, From: p}
	s.usePath(s.absolute(interpreter), why)
	if path.Base(interpreter) != "env" {
		return
	}
	name := envProgram(arg)
	if program, ok := s.findProgram(name); ok {
		why.Text = "#! interpreter of " + p + " (env " + name + ")"
		s.usePath(program, why)
	}
}

// parseShebang splits the first line of a script into the interpreter and what
// is left, which the kernel passes as one argument.
func parseShebang(head string) (interpreter, arg string, ok bool) {
	line, ok := strings.CutPrefix(head, "#!")
	if !ok {
		return "", "", false
	}
	line, _, _ = strings.Cut(line, "\n")
	line, _, _ = strings.Cut(line, "\x00")
	line = strings.Trim(line, " \t")
	interpreter, arg = line, ""
	if n := strings.IndexAny(line, " \t"); n >= 0 {
		interpreter, arg = line[:n], strings.TrimLeft(line[n:], " \t")
	}
	return interpreter, arg, interpreter != ""
}

// envProgram is the program that env runs for the one argument of a "#!" line:
// the argument, or with -S (GNU coreutils, FreeBSD) the first word that is neither
// an option nor an assignment.
func envProgram(arg string) string {
	rest, split := strings.CutPrefix(arg, "-S")
	if !split {
		if rest, split = strings.CutPrefix(arg, "--split-string="); !split {
			// One argument: the spaces belong to the name.
			return arg
		}
	}
	for word := range strings.FieldsSeq(rest) {
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}
