package keep

import (
	"archive/zip"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"

	"slim/probe/rootfs"
)

// javaArchive keeps what an archive's manifest puts on the class path, and, where the
// run read it, the archives beside it: a folder of jars is searched as a whole,
// for plugins and services, and lazily.
func (s *selector) javaArchive(i int) {
	n := s.sel.Entries[i].Node
	if s.java.read[n.Inode()] {
		return
	}
	s.java.read[n.Inode()] = true
	for _, entry := range s.manifestPath(n) {
		p := entry
		if !path.IsAbs(p) {
			p = join(s.path(n.Parent()), entry)
		}
		s.onClassPath(p, Reason{Rule: "named", Text: fmt.Sprintf("on the class path of %s (%q in its manifest)", s.paths[i], entry), From: s.paths[i]})
	}
	if s.sel.Entries[i].Reason.Rule == "touched" && !isSharedJars(s.path(n.Parent())) {
		s.archivesIn(n.Parent(), Reason{Rule: "unit", Text: "beside " + s.paths[i] + ", which is used", From: s.paths[i]})
	}
}

// isSharedJars reports whether a folder holds archives that have nothing to do with
// each other: the system's, or what a build left.
func isSharedJars(dir string) bool {
	return dir == "/usr/share/java" || isSystem(dir) || strings.HasPrefix(dir, "/usr/share/maven-repo/") ||
		path.Base(dir) == "target" || strings.HasSuffix(dir, "/build/libs")
}

// archivesIn keeps the archives right in a folder, but for what only developers read.
func (s *selector) archivesIn(dir *rootfs.Node, why Reason) {
	for _, c := range dir.Children() {
		if !isArchive(c.Name()) || c.Inode().IsDir() {
			continue
		}
		if stem := strings.TrimSuffix(c.Name(), path.Ext(c.Name())); strings.HasSuffix(stem, "-sources") || strings.HasSuffix(stem, "-javadoc") ||
			strings.HasSuffix(stem, "-tests") || path.Ext(c.Name()) == ".original" {
			continue
		}
		s.usePath(s.path(c), why)
	}
}

// Bounds on an archive, which is read for its manifest alone.
const (
	maxArchive     = 2 << 30 // bytes
	maxJarManifest = 1 << 20 // bytes
)

// manifestPath is the Class-Path of an archive's manifest, as paths; nil if it is
// none or has none.
func (s *selector) manifestPath(n *rootfs.Node) []string {
	if !n.Inode().IsRegular() || n.Inode().Size > maxArchive {
		return nil
	}
	r, err := zip.NewReader(s.fs.Content(n.Inode()), n.Inode().Size)
	if err != nil {
		return nil
	}
	k := slices.IndexFunc(r.File, func(f *zip.File) bool { return f.Name == "META-INF/MANIFEST.MF" })
	if k < 0 {
		return nil
	}
	f, err := r.File[k].Open()
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJarManifest))
	if err != nil {
		return nil
	}
	return parseClassPath(string(b))
}

// parseClassPath lists the entries of Class-Path in the main section of a manifest
// (JAR File Specification, "JAR Manifest" and "Class-Path"): URLs relative to the
// archive. Those that lead to another host or kind of file are left out.
func parseClassPath(manifest string) []string {
	manifest = strings.ReplaceAll(manifest, "\r\n", "\n")
	manifest = strings.ReplaceAll(manifest, "\r", "\n")
	main, _, _ := strings.Cut(manifest, "\n\n")
	// A line that begins with a blank goes on with the one before.
	main = strings.ReplaceAll(main, "\n ", "")
	var list []string
	for line := range strings.SplitSeq(main, "\n") {
		name, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(name, "Class-Path") {
			continue
		}
		for entry := range strings.FieldsSeq(value) {
			if u, err := url.Parse(entry); err == nil && (u.Scheme == "" || u.Scheme == "file") && u.Host == "" && u.Path != "" && !strings.Contains(u.Path, "\x00") {
				list = append(list, u.Path)
			}
		}
	}
	return list
}

// onClassPath keeps one element of a class path: an archive, a folder with all in
// it, or all archives of a folder ("lib/*").
func (s *selector) onClassPath(p string, why Reason) {
	if dir, ok := strings.CutSuffix(p, "/*"); ok {
		if n, links, err := s.fs.Resolve(dir); err == nil && n.Inode().IsDir() {
			s.keepLinks(links, dir, why)
			s.archivesIn(n, why)
		}
		return
	}
	n, links, err := s.fs.Resolve(p)
	if err != nil {
		return
	}
	s.keepLinks(links, p, why)
	if !n.Inode().IsDir() {
		s.use(n, why)
		return
	}
	s.keep(n, why)
	if isSystem(s.path(n)) || s.java.homes[n] != nil {
		return // an application's files among others
	}
	s.walkClasses(n, why)
}

// walkClasses keeps classes and resources of a folder.
func (s *selector) walkClasses(dir *rootfs.Node, why Reason) {
	for _, c := range dir.Children() {
		i := s.sel.index[c]
		switch {
		case c.Inode().IsDir() && (s.java.homes[c] != nil || c.Name() == "node_modules" || s.category[i] == VersionControl || s.category[i] == Cache):
		case c.Inode().IsDir():
			s.walkClasses(c, why)
		case s.unitOf[i] == nil && path.Ext(c.Name()) != ".java":
			s.use(c, why)
		}
	}
}

// classPath keeps what the command line and the environment tell Java to load: as
// the launcher reads them (java(1), "Using @argfiles" and JDK_JAVA_OPTIONS there).
func (s *selector) classPath() {
	for _, name := range []string{"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JAVA_OPTS", "CATALINA_OPTS"} {
		value := s.env(name, "")
		if name == "CLASSPATH" {
			s.classPathList(value, "CLASSPATH in ENV")
		} else {
			s.javaOptions(javaWords(value), name+" in ENV", 0)
		}
	}
	for _, command := range []struct {
		args []string
		from string
	}{{s.cfg.Entrypoint, "ENTRYPOINT"}, {s.cfg.Cmd, "CMD"}, {s.opts.Entrypoint, "--entrypoint"}, {s.opts.Command, "the command"}} {
		s.javaOptions(command.args, command.from, 0)
		for _, arg := range command.args {
			if strings.Contains(arg, "java ") { // sh -c "exec java -cp …"
				s.javaOptions(javaWords(arg), command.from, 0)
			}
		}
	}
}

// classPathOptions are the options that take a class or module path as the next
// argument or behind "=".
var classPathOptions = set("-cp -classpath --class-path -p --module-path --upgrade-module-path -jar --patch-module")

// javaOptions keeps what a command line names.
func (s *selector) javaOptions(args []string, from string, depth int) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		why := func() Reason { return Reason{Rule: "named", Text: fmt.Sprintf("named in %s (%s)", from, arg)} }
		name, value, assigned := strings.Cut(arg, "=")
		switch {
		case classPathOptions[arg] && i+1 < len(args):
			i++
			s.classPathList(args[i], from)
		case assigned && classPathOptions[name]:
			if _, list, ok := strings.Cut(value, "="); ok && name == "--patch-module" {
				value = list
			}
			s.classPathList(value, from)
		case strings.HasPrefix(arg, "-javaagent:"), strings.HasPrefix(arg, "-agentpath:"):
			_, p, _ := strings.Cut(name, ":")
			s.usePath(s.absolute(p), why())
		case strings.HasPrefix(arg, "-Xbootclasspath"):
			_, list, _ := strings.Cut(arg, ":")
			s.classPathList(list, from)
		case name == "-Dloader.path":
			s.classPathList(strings.ReplaceAll(value, ",", ":"), from)
		case name == "-Djava.library.path", name == "-Djava.ext.dirs", name == "-Djava.endorsed.dirs":
			for dir := range strings.SplitSeq(value, ":") {
				if dir != "" {
					s.onClassPath(s.absolute(dir), why())
				}
			}
		case assigned && (strings.HasPrefix(arg, "-D") || strings.HasPrefix(arg, "-XX:")):
			// -Dlogback.configurationFile=file:/etc/app/log.xml
			p := strings.TrimPrefix(value, "file:")
			if n, _, err := s.fs.Resolve(s.absolute(p)); p != "" && err == nil && n.Inode().IsRegular() {
				s.usePath(s.absolute(p), why())
			}
		case strings.HasPrefix(arg, "@") && depth == 0:
			if n := s.usePath(s.absolute(arg[1:]), why()); n != nil {
				s.javaOptions(javaWords(string(s.readText(n))), from+" ("+arg+")", depth+1)
			}
		}
	}
}

// classPathList keeps the elements of a path in an option or variable.
func (s *selector) classPathList(list, from string) {
	for p := range strings.SplitSeq(list, ":") {
		if p != "" {
			s.onClassPath(s.absolute(p), Reason{Rule: "named", Text: fmt.Sprintf("on the class path in %s (%s)", from, p)})
		}
	}
}

// javaWords splits options as the launcher does in variables and argument files:
// at blanks, where quotes hold together, with "#" to the end of the line for
// comment.
func javaWords(text string) []string {
	var list []string
	var b strings.Builder
	open, quote := false, byte(0)
	end := func() {
		if open {
			list = append(list, b.String())
			b.Reset()
		}
		open = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			end()
		case c == '#' && !open:
			if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(text)
			}
		default:
			open = true
			b.WriteByte(c)
		}
	}
	end()
	return list
}
