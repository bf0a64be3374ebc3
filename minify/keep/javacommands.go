package keep

import (
	"archive/zip"
	"encoding/binary"
	"io"
	"path"
	"strings"

	"slim/probe/rootfs"
)

// Bounds on what is read of compiled Java, which has no lines to name and whose
// libraries are large.
const (
	maxClass   = 1 << 20  // bytes of a class
	maxClasses = 32 << 20 // bytes of all classes read for one selection
)

// A classFile is what a compiled class says of starting programs: format in The
// Java Virtual Machine Specification, 4.4.
type classFile struct {
	builder bool     // it uses ProcessBuilder
	runtime bool     // it calls Runtime's exec
	strings []string // its literals, in order
}

// parseClass reads the constant pool of a class; nil if b is none.
func parseClass(b []byte) *classFile {
	if len(b) < 10 || binary.BigEndian.Uint32(b) != 0xcafebabe {
		return nil
	}
	count := int(binary.BigEndian.Uint16(b[8:]))
	texts := make(map[uint16]string)
	var literals, classes []uint16
	b = b[10:]
	for i := 1; i < count; i++ {
		if len(b) < 3 {
			return nil
		}
		size := 0
		at := binary.BigEndian.Uint16(b[1:])
		switch tag := b[0]; tag {
		case 1: // Utf8
			size = 3 + int(at)
			if len(b) < size {
				return nil
			}
			texts[uint16(i)] = string(b[3:size])
		case 7, 8: // Class, String
			if size = 3; tag == 7 {
				classes = append(classes, at)
			} else {
				literals = append(literals, at)
			}
		case 16, 19, 20: // MethodType, Module, Package
			size = 3
		case 15: // MethodHandle
			size = 4
		case 5, 6: // Long and Double take two places
			size = 9
			i++
		case 3, 4, 9, 10, 11, 12, 17, 18:
			size = 5
		default:
			return nil
		}
		if len(b) < size {
			return nil
		}
		b = b[size:]
	}
	c := new(classFile)
	names, runtime := false, false
	for _, at := range classes {
		switch texts[at] {
		case "java/lang/ProcessBuilder":
			c.builder = true
		case "java/lang/Runtime":
			runtime = true
		}
	}
	for _, text := range texts {
		names = names || text == "exec"
	}
	c.runtime = runtime && names
	for _, at := range literals {
		c.strings = append(c.strings, texts[at])
	}
	return c
}

// commands are those that the literals of a class can be: each that is a word, the
// text for a shell where one is started with -c, and what Runtime's exec splits.
func (c *classFile) commands() []sourceCommand {
	if !c.builder && !c.runtime {
		return nil
	}
	var list []sourceCommand
	shell, option := false, false
	for _, text := range c.strings {
		shell = shell || isShellName(path.Base(text))
		option = option || text == "-c"
	}
	for _, text := range c.strings {
		switch words := strings.Fields(text); {
		case len(words) == 0 || len(text) > 4096:
		case len(words) == 1:
			list = append(list, sourceCommand{text: text, words: words})
		case shell && option:
			list = append(list, sourceCommand{text: text, shell: text})
		case c.runtime:
			list = append(list, sourceCommand{text: text, words: words})
		}
	}
	return list
}

// java follows the commands that the application's compiled classes name: those of
// a file, or of an archive, there only of the application's own part if that can be
// told.
func (c *commander) java(n *rootfs.Node) {
	p := c.s.path(n)
	if path.Ext(p) == ".class" {
		if n.Inode().Size <= maxClass {
			c.class(n, p, c.s.fs.Content(n.Inode()))
		}
		return
	}
	r, err := zip.NewReader(c.s.fs.Content(n.Inode()), n.Inode().Size)
	if err != nil {
		return
	}
	for _, f := range applicationClasses(r) {
		if f.UncompressedSize64 > maxClass {
			continue
		}
		content, err := f.Open()
		if err != nil {
			continue
		}
		c.class(n, p+"!/"+f.Name, content)
		content.Close()
	}
}

// applicationClasses are the classes of an archive that are the application's: the
// folder of its own in Spring's and servlets' archives; of others those of the same
// organisation as the main class; all if there is none.
func applicationClasses(r *zip.Reader) []*zip.File {
	own := ""
	for _, f := range r.File {
		switch {
		case strings.HasPrefix(f.Name, "BOOT-INF/classes/"), strings.HasPrefix(f.Name, "WEB-INF/classes/"):
			inf, _, _ := strings.Cut(f.Name, "/")
			own = inf + "/classes/"
		case !strings.HasSuffix(own, "-INF/classes/") && f.Name == "META-INF/MANIFEST.MF" && f.UncompressedSize64 < maxClass:
			if m, err := f.Open(); err == nil {
				b, _ := io.ReadAll(io.LimitReader(m, maxClass))
				m.Close()
				own = organisation(string(b))
			}
		}
	}
	var list []*zip.File
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, ".class") && strings.HasPrefix(f.Name, own) {
			list = append(list, f)
		}
	}
	return list
}

// organisation is the folder of the first two parts of the main class's package.
func organisation(manifest string) string {
	for line := range strings.Lines(manifest) {
		if name, ok := strings.CutPrefix(line, "Main-Class:"); ok {
			parts := strings.Split(strings.TrimSpace(name), ".")
			parts = parts[:min(2, len(parts)-1)]
			if len(parts) > 0 {
				return strings.Join(parts, "/") + "/"
			}
		}
	}
	return ""
}

// class follows the commands of one class.
func (c *commander) class(n *rootfs.Node, place string, r io.Reader) {
	if c.classes >= maxClasses {
		return
	}
	b, err := io.ReadAll(io.LimitReader(r, maxClass))
	c.classes += len(b)
	if err != nil {
		return
	}
	if f := parseClass(b); f != nil {
		c.calls(n, place, f.commands())
	}
}
