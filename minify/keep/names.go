package keep

import (
	"bytes"
	"io"
	"path"
	"slices"
	"sort"
	"strings"

	"slim/probe/rootfs"
)

// A pathName is an absolute path of the tree that stands in some content.
type pathName struct {
	path string       // as it stands there
	node *rootfs.Node // what it leads to, links followed
	line int          // from 1; 0 where the content has no lines
}

// A nameFinder finds the paths of the tree that content names literally. It walks the
// tree along the text instead of cutting the text into words: where strings stand
// without anything between them, as in Go and Rust programs, only the tree knows
// where a path ends. "/srv/data/%s" and "/etc/x/*.conf" name the folder.
type nameFinder struct {
	s     *selector
	first [256]bool                     // what the names in "/" begin with
	ends  map[*rootfs.Node]*rootfs.Node // of links; nil for those that lead nowhere
	found map[*rootfs.Inode][]pathName  // by content
	made  map[*rootfs.Inode][]pathName  // the folders in which content names files that are not there
	from  map[*rootfs.Inode][]pathName  // the sources that a program was compiled from
}

// Bounds on what is looked for in one file.
const (
	maxNames   = 4096 // paths found
	nameChunk  = 1 << 20
	nameMargin = 8 << 10 // more than the longest path, PATH_MAX
	maxScanned = 1 << 30 // bytes of a binary
)

func newNameFinder(s *selector) *nameFinder {
	f := &nameFinder{
		s: s, ends: make(map[*rootfs.Node]*rootfs.Node), found: make(map[*rootfs.Inode][]pathName), made: make(map[*rootfs.Inode][]pathName),
		from: make(map[*rootfs.Inode][]pathName),
	}
	for _, n := range s.fs.Root().Children() {
		f.first[n.Name()[0]] = true
	}
	return f
}

// namesIn lists the absolute paths of the tree that the content of a file names:
// an ELF file's strings, or a text's words, those in lines of comment left out.
// Each path is listed once, in the order of the content; nothing of other binaries.
// The content is read once, however often it is asked for.
func (s *selector) namesIn(n *rootfs.Node) []pathName {
	i := n.Inode()
	if !i.IsRegular() {
		return nil
	}
	if list, ok := s.names.found[i]; ok {
		return list
	}
	var list, made []pathName
	if s.elf.file(i) != nil {
		list, made = s.names.inBinary(s.fs.Content(i))
		list = slices.DeleteFunc(list, func(name pathName) bool {
			// Where it was compiled from.
			c := appFiles.match("x/"+name.node.Name(), name.node.Name())
			source := c != nil && (c.category == Sources || c.category == Headers) && name.node.Inode().IsRegular()
			if source {
				s.names.from[i] = append(s.names.from[i], name)
			}
			return source
		})
	} else if b := s.readText(n); isText(b) {
		list, made = s.names.inText(b, n.Name())
	}
	s.names.found[i], s.names.made[i] = list, made
	return list
}

// foldersIn lists the folders in which the content of a file names files that are
// not there, by a path of which the folder is: there they will be made.
func (s *selector) foldersIn(n *rootfs.Node) []pathName {
	s.namesIn(n)
	return s.names.made[n.Inode()]
}

// contains reports whether the content of a file has the words, in whatever sense.
func (f *nameFinder) contains(n *rootfs.Node, words string) bool {
	if !n.Inode().IsRegular() {
		return false
	}
	r := f.s.fs.Content(n.Inode())
	buf := make([]byte, nameChunk)
	for have, total := 0, 0; total < maxScanned; {
		k, err := io.ReadFull(r, buf[have:])
		if bytes.Contains(buf[:have+k], []byte(words)) {
			return true
		}
		if err != nil {
			break
		}
		total += k
		have = copy(buf, buf[len(buf)-len(words):])
	}
	return false
}

// isText reports whether content is text: no NUL near its beginning.
func isText(b []byte) bool {
	return len(b) > 0 && bytes.IndexByte(b[:min(len(b), 8<<10)], 0) < 0
}

// inText finds the names in a text, whose file's name tells of its comments.
func (f *nameFinder) inText(b []byte, file string) (list, made []pathName) {
	seen := make(map[string]bool)
	comment := commentStyle(file)
	line, counted := 1, 0
	for i := 0; len(list) < maxNames; {
		k := bytes.IndexByte(b[i:], '/')
		if k < 0 {
			break
		}
		i += k
		if !f.starts(b, i) {
			i++
			continue
		}
		n, size, whole, folder := f.walk(b[i:])
		if n == nil || !whole {
			if p := f.s.path(folder); n == nil && !isSystem(p) && !seen[p] {
				line, counted = line+bytes.Count(b[counted:i], []byte("\n")), i
				seen[p] = true
				made = append(made, pathName{p, folder, line})
			}
			i++
			continue
		}
		if comment.is(lineAt(b, i)) {
			i += size
			continue
		}
		line, counted = line+bytes.Count(b[counted:i], []byte("\n")), i
		if p := pathText(b[i : i+size]); !seen[p] {
			seen[p] = true
			list = append(list, pathName{p, n, line})
		}
		i += size
	}
	return list, made
}

// inBinary finds the names in an ELF file's strings: between NULs as C has them
// or, in a Go or Rust program, anywhere.
func (f *nameFinder) inBinary(r io.Reader) (names, made []pathName) {
	type candidate struct {
		pathName
		whole bool
	}
	var list []candidate
	seen := make(map[string]int)
	packed := false
	buf := make([]byte, nameChunk+nameMargin)
	have, at := 0, 0 // bytes in buf, and the first not yet looked at
	for total := 0; total < maxScanned && len(list) < maxNames; {
		n, err := io.ReadFull(r, buf[have:])
		total, have = total+n, have+n
		end := have
		if err == nil {
			end -= nameMargin
		}
		b := buf[:have]
		for at < end {
			k := bytes.IndexByte(b[at:end], '/')
			if k < 0 {
				break
			}
			at += k
			packed = packed || fromPackedLanguage(b, at)
			size := 0
			if at+1 < have && f.first[b[at+1]] {
				var node *rootfs.Node
				var whole bool
				var folder *rootfs.Node
				if node, size, whole, folder = f.walk(b[at:]); node == nil {
					if p := f.s.path(folder); !isSystem(p) && at > 0 && b[at-1] == 0 {
						if _, ok := seen[p]; !ok {
							seen[p] = -1
							made = append(made, pathName{path: p, node: folder})
						}
					}
				} else {
					whole = whole && f.starts(b, at)
					p := pathText(b[at : at+size])
					// The toolchain may be in the image, and its source be named whole.
					packed = packed || strings.HasSuffix(p, "/runtime/proc.go") || strings.Contains(p, "/library/std/src/")
					if j, ok := seen[p]; ok && j >= 0 {
						list[j].whole = list[j].whole || whole
					} else if len(list) < maxNames {
						seen[p] = len(list)
						list = append(list, candidate{pathName{path: p, node: node}, whole})
					}
				}
			}
			at += max(size, 1)
		}
		if err != nil {
			break
		}
		// What stands before a path is looked at, too.
		from := end - 16
		have, at = copy(buf, b[from:]), max(at, end)-from
	}
	for _, c := range list {
		// A single element in the midst of text is too little to go by.
		if c.whole || packed && strings.Count(c.path, "/") > 1 {
			names = append(names, c.pathName)
		}
	}
	return names, made
}

// fromPackedLanguage reports whether what stands around the slash at b[i] gives
// away that the program's strings lie without anything between them: the name of a
// source file of Go's or Rust's runtime.
func fromPackedLanguage(b []byte, i int) bool {
	switch rest := b[i+1:]; {
	case len(rest) == 0:
		return false
	case rest[0] == 'p':
		return bytes.HasPrefix(rest, []byte("proc.go")) && bytes.HasSuffix(b[:i], []byte("runtime"))
	case rest[0] == 'r':
		return bytes.HasPrefix(rest, []byte("rustc/"))
	case rest[0] == 's' || rest[0] == 'c':
		return (bytes.HasPrefix(rest, []byte("std/src/")) || bytes.HasPrefix(rest, []byte("core/src/"))) && bytes.HasSuffix(b[:i], []byte("library"))
	}
	return false
}

// starts reports whether an absolute path can begin with the slash at b[i]: not
// inside a relative path, after a variable, or in a URL with a host.
func (f *nameFinder) starts(b []byte, i int) bool {
	if i+1 < len(b) && !f.first[b[i+1]] {
		return false
	}
	from := i
	for from > 0 && b[from-1] == '/' {
		from--
	}
	if from == 0 {
		return true
	}
	prev := b[from-1]
	if i > from {
		// "http://host", but "file:///etc" and "sqlite:////data/x".
		return i-from >= 2 || prev != ':'
	}
	if isNameByte(prev) || prev == '.' || prev == '}' || prev == ')' || prev == ']' || prev == '*' {
		// An option's letter: -C/etc/x, -L/opt/lib.
		return from > 1 && isLetter(prev) && b[from-2] == '-' && (from == 2 || !isNameByte(b[from-3]))
	}
	return prev < 0x80
}

// walk follows the text from its slash on through the tree: what it leads to, nil
// if nothing, how long the name is, and whether it ends there for certain.
func (f *nameFinder) walk(b []byte) (n *rootfs.Node, size int, whole bool, dir *rootfs.Node) {
	dir = f.s.fs.Root()
	for pos := 0; ; {
		for pos < len(b) && b[pos] == '/' {
			pos++
		}
		text := b[pos:min(len(b), pos+maxNameBytes+1)]
		if k := bytes.IndexByte(text, 0); k >= 0 {
			text = text[:k]
		}
		if k := bytes.IndexByte(text, '/'); k > 0 {
			if c := f.end(dir.Child(string(text[:k]))); c != nil && c.Inode().IsDir() {
				dir, pos = c, pos+k
				continue
			}
			text = text[:k]
		}
		var longest *rootfs.Node
		length := 0
		for c := longestChild(dir, text); c != nil; c = longestChild(dir, text) {
			end := pos + len(c.Name())
			if node := f.end(c); node != nil {
				if endsAt(b, end) {
					return node, end, true, dir
				}
				if longest == nil {
					longest, length = node, end
				}
			}
			text = text[:len(c.Name())-1]
		}
		if dir.Parent() != nil && goesOn(b[pos:]) {
			return dir, pos, true, dir
		}
		return longest, length, false, dir
	}
}

// maxNameBytes is NAME_MAX of Linux.
const maxNameBytes = 255

// end is what a name leads to.
func (f *nameFinder) end(n *rootfs.Node) *rootfs.Node {
	if n == nil || !n.Inode().IsSymlink() {
		return n
	}
	end, ok := f.ends[n]
	if !ok {
		end, _, _ = f.s.fs.Resolve(f.s.path(n))
		f.ends[n] = end
	}
	return end
}

// longestChild is the entry of dir with the longest name that text begins with.
func longestChild(dir *rootfs.Node, text []byte) *rootfs.Node {
	children := dir.Children()
	for len(text) > 0 {
		i := sort.Search(len(children), func(i int) bool { return children[i].Name() > string(text) }) - 1
		if i < 0 {
			return nil
		}
		// The last name not after the text: it or what it has in common with the text.
		name := children[i].Name()
		k := 0
		for k < len(name) && k < len(text) && name[k] == text[k] {
			k++
		}
		if k == len(name) {
			return children[i]
		}
		children, text = children[:i], text[:k]
	}
	return nil
}

// endsAt reports whether a name that ends before b[i] ends there: what follows is
// no part of a name, or the full stop of a sentence.
func endsAt(b []byte, i int) bool {
	if i >= len(b) {
		return true
	}
	switch c := b[i]; c {
	case '.', '-', '+', '@', '~':
		return i+1 >= len(b) || !isNameByte(b[i+1]) && b[i+1] != c
	case '/', '%', '$', '{', '*', '?', '[', '#':
		return false
	default:
		return !isNameByte(c) && c < 0x80
	}
}

// goesOn reports whether text after a folder's slash is no name but what stands
// for one, or nothing: "%s.dat", "*.conf", "{lang}.json", the end of the string.
func goesOn(b []byte) bool {
	for i, c := range b[:min(len(b), maxNameBytes)] {
		switch c {
		case '%', '$', '{', '*', '?', '[':
			return true
		case '#':
			return i+1 < len(b) && b[i+1] == '{'
		}
		if !isNameByte(c) && c != '.' {
			return (i == 0 || i == 1 && b[0] == '.') && c < 0x80
		}
	}
	return len(b) == 0 || string(b) == "."
}

func isNameByte(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '+' || c == '@' || c == '~'
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// pathText is a path without a slash too many.
func pathText(b []byte) string {
	if p := string(b); strings.HasSuffix(p, "/") || strings.Contains(p, "//") {
		return path.Clean(p)
	}
	return string(b)
}

// lineAt is the line around b[i], up to there.
func lineAt(b []byte, i int) []byte {
	return b[bytes.LastIndexByte(b[:i], '\n')+1 : i]
}

// A commentMark tells the lines that are a comment from their first bytes on;
// comments that begin in a line, and those of several lines without a mark on each, are not told.
type commentMark []string

func (m commentMark) is(line []byte) bool {
	line = bytes.TrimLeft(line, " \t")
	for _, mark := range m {
		if bytes.HasPrefix(line, []byte(mark)) {
			return true
		}
	}
	return false
}

// commentStyle is how lines of comment begin in a file of that name.
func commentStyle(file string) commentMark {
	switch strings.ToLower(path.Ext(file)) {
	case ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".java", ".kt", ".scala", ".groovy", ".go", ".rs", ".c", ".h",
		".cc", ".cpp", ".hpp", ".cs", ".swift", ".css", ".scss", ".less", ".json", ".vue", ".svelte":
		return commentMark{"//", "*", "/*"}
	case ".php":
		return commentMark{"//", "*", "/*", "#"}
	case ".html", ".htm", ".xml", ".svg", ".md", ".txt":
		return commentMark{"<!--"}
	case ".sql", ".lua":
		return commentMark{"--"}
	case ".ini", ".cfg", ".conf", ".cnf", ".properties":
		return commentMark{"#", ";", "!"}
	}
	return commentMark{"#", "//"}
}
