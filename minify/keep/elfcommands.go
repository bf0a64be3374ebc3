package keep

import (
	"bytes"
	"io"
	"path"
	"strings"

	"slim/probe/rootfs"
)

// maxCommandLine bounds a command line in a compiled program.
const maxCommandLine = 1024

// compiled follows the command lines in the strings of an application's compiled
// program that hands them to a shell: one that is linked with C's system or popen.
// A literal counts if it has more than one word and the first is a program's name.
func (c *commander) compiled(n *rootfs.Node) {
	c.s.namesIn(n)
	for _, name := range c.s.names.from[n.Inode()] {
		c.source(name.node)
	}
	f := c.s.elf.file(n.Inode())
	if f == nil || f.interp == "" || isInterpreter(n.Name()) {
		return
	}
	if !c.s.names.contains(n, "\x00system\x00") && !c.s.names.contains(n, "\x00popen\x00") {
		return
	}
	place := c.s.path(n)
	c.shell(n, place, "system")
	eachString(c.s.fs.Content(n.Inode()), func(text string) {
		first, rest, _ := strings.Cut(text, " ")
		if rest == "" || !isCommandName(first) {
			return
		}
		if _, ok := c.program(n, first); !ok {
			return
		}
		for _, cmd := range parseShell(formats.Replace(text)) {
			c.follow(n, place, cmd, text)
		}
	})
}

// source notes a source of a compiled program, to follow the commands that it names.
// It is not kept; those of the toolchain and of modules from a cache say nothing.
func (c *commander) source(n *rootfs.Node) {
	i := c.s.sel.index[n]
	if compiledLanguages[path.Ext(n.Name())] == nil || c.read[n] || c.s.unitOf[i] != nil || c.s.category[i] != "" && c.s.category[i] != Sources {
		return
	}
	c.read[n] = true
	c.sources = append(c.sources, n)
}

// maxSources bounds the bytes of compiled programs' sources that are looked at.
const maxSources = 8 << 20

// compiledSources follows the commands in the sources noted. A function that hands
// on what it is given may be in one and be called in another.
func (c *commander) compiledSources() {
	list := c.sources
	c.sources = nil
	texts := make([][]byte, len(list))
	for k, n := range list {
		if b := c.s.readText(n); isText(b) && c.sourceBytes+len(b) <= maxSources {
			texts[k] = b
			c.sourceBytes += len(b)
		}
	}
	own := make(map[*language]map[string]call)
	for _, x := range compiledLanguages {
		own[x] = make(map[string]call)
	}
	commandsOf := func(k int) []sourceCommand {
		x := compiledLanguages[path.Ext(list[k].Name())]
		return x.commandsWith(texts[k], own[x])
	}
	for known := 0; ; { // until no more such functions are found
		for k := range list {
			commandsOf(k)
		}
		count := 0
		for _, functions := range own {
			count += len(functions)
		}
		if count == known || count > maxHandedOn {
			break
		}
		known = count
	}
	for k, n := range list {
		c.calls(n, c.s.path(n), commandsOf(k))
	}
}

// maxHandedOn bounds the functions that hand on.
const maxHandedOn = 256

// formats makes what printf fills in a word that is not known.
var formats = strings.NewReplacer("%s", hole, "%d", hole, "%u", hole, "%i", hole)

// isCommandName reports whether a word is written as programs' names are: a sentence
// begins with a capital.
func isCommandName(word string) bool {
	name := path.Base(word)
	return len(name) > 1 && strings.ToLower(name) == name && strings.IndexFunc(word, func(r rune) bool {
		return !(r == '/' || r == '.' || r < 0x80 && isNameByte(byte(r)))
	}) < 0
}

// eachString visits the strings of a binary as C has them: printable, between NULs.
func eachString(r io.Reader, visit func(string)) {
	buf := make([]byte, nameChunk)
	for have, total := 0, 0; total < maxScanned; {
		k, err := io.ReadFull(r, buf[have:])
		b := buf[:have+k]
		total += k
		for {
			i := bytes.IndexByte(b, 0)
			if i < 0 {
				break
			}
			if i > 2 && i <= maxCommandLine && isPrintable(b[:i]) {
				visit(string(b[:i]))
			}
			b = b[i+1:]
		}
		if err != nil {
			return
		}
		if len(b) > maxCommandLine {
			b = b[len(b)-maxCommandLine-1:] // too long for a string, whatever it goes on with
		}
		have = copy(buf, b)
	}
}

func isPrintable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c >= 0x7f) && c != '\t' && c != '\n' {
			return false
		}
	}
	return true
}
