// Package treetest writes file trees and image layers as text, one entry a line,
// so that a test's input and its expectation read alike:
//
//	dir   /etc 0755 0:0
//	file  /etc/motd 0644 1000:1000 "content" mtime=2020-01-02T03:04:05Z xattr.user.x="y"
//	file  /var/big size=1048576
//	link  /bin -> usr/bin
//	hard  /b => /a
//	char  /dev/null 0666 1:3
//	block /dev/sda 0660 0:6 8:0
//	fifo  /run/p 0600
//	white /etc/gone
//	opaque /etc
//
// Mode and owner may be left out (0755 for directories, else 0644; 0:0); so may
// the content. A device has its owner, if any, before its numbers. Names, targets
// and contents may be quoted as in Go ("a b\xff\n"); contents and values of
// extended attributes must be. mtime is in RFC 3339 or 0 for 1970; left out, it is
// MTime. Lines may be indented; empty lines and those that begin with # are skipped.
// Directories that are not listed get no entry of their own.
package treetest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MTime is the modification time of an entry that does not say one.
var MTime = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// Entry is one line of the notation.
type Entry struct {
	Kind         string // dir, file, link, hard, char, block, fifo, white, opaque
	Path         string // absolute
	Mode         int64  // permissions, setuid, setgid, sticky
	UID, GID     int
	Major, Minor int64
	Target       string // of link and hard
	Content      string
	Size         int64  // of a file; where Content is shorter, zeros follow
	Digest       string // of a long content, as Dump writes it; for comparison only
	MTime        time.Time
	Xattrs       map[string]string
}

// Parse reads the notation. The error names the line.
func Parse(text string) ([]Entry, error) {
	var entries []Entry
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Canon rewrites the notation as Dump prints it: nothing left out that Dump
// prints, in the same order. It panics on text that Parse refuses.
func Canon(text string) string {
	entries, err := Parse(text)
	if err != nil {
		panic("treetest: " + err.Error())
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func parseLine(line string) (Entry, error) {
	words, err := split(line)
	if err != nil {
		return Entry{}, err
	}
	if len(words) < 2 {
		return Entry{}, fmt.Errorf("no path")
	}
	e := Entry{Kind: words[0].text, Path: words[1].text, Mode: 0o644, MTime: MTime}
	words = words[2:]
	var arrow string
	switch e.Kind {
	case "dir":
		e.Mode = 0o755
	case "link":
		arrow, e.Mode = "->", 0o777
	case "hard":
		arrow = "=>"
	case "file", "char", "block", "fifo", "white", "opaque":
	default:
		return e, fmt.Errorf("unknown kind %q", e.Kind)
	}
	if arrow != "" {
		if len(words) < 2 || words[0].text != arrow {
			return e, fmt.Errorf("no %q and target", arrow)
		}
		e.Target = words[1].text
		words = words[2:]
	}
	var pairs [][2]int64
	for _, w := range words {
		if err := e.word(w, &pairs); err != nil {
			return e, fmt.Errorf("%q: %w", w.text, err)
		}
	}
	return e, e.numbers(pairs)
}

// word takes in one word that follows path and target.
func (e *Entry) word(w word, pairs *[][2]int64) (err error) {
	key, value, isPair := strings.Cut(w.text, "=")
	switch {
	case w.quoted:
		e.Content, e.Size = w.text, max(e.Size, int64(len(w.text)))
	case isPair && key == "mtime" && value == "0":
		e.MTime = time.Unix(0, 0).UTC()
	case isPair && key == "mtime":
		e.MTime, err = time.Parse(time.RFC3339Nano, value)
	case isPair && key == "size":
		e.Size, err = strconv.ParseInt(value, 10, 64)
	case isPair && key == "sha256":
		e.Digest = value
	case isPair && strings.HasPrefix(key, "xattr."):
		if e.Xattrs == nil {
			e.Xattrs = make(map[string]string)
		}
		e.Xattrs[key[len("xattr."):]] = value
	case strings.Contains(w.text, ":"):
		var p [2]int64
		if _, err = fmt.Sscanf(w.text, "%d:%d", &p[0], &p[1]); err == nil {
			*pairs = append(*pairs, p)
		}
	default:
		e.Mode, err = strconv.ParseInt(w.text, 8, 64)
	}
	return err
}

// numbers shares the pairs of numbers out to owner and device.
func (e *Entry) numbers(pairs [][2]int64) error {
	if e.Kind == "char" || e.Kind == "block" {
		if len(pairs) == 0 {
			return fmt.Errorf("no device numbers")
		}
		last := pairs[len(pairs)-1]
		e.Major, e.Minor = last[0], last[1]
		pairs = pairs[:len(pairs)-1]
	}
	switch len(pairs) {
	case 0:
	case 1:
		e.UID, e.GID = int(pairs[0][0]), int(pairs[0][1])
	default:
		return fmt.Errorf("more than one owner")
	}
	return nil
}

// word is a word of a line; quoted if it was one string in quotes.
type word struct {
	text   string
	quoted bool
}

// split cuts a line into words. A quoted string is one word, or the rest of one
// that it follows (xattr.user.x="a b").
func split(line string) ([]word, error) {
	var words []word
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		end := strings.IndexAny(line, " \t\"")
		if end < 0 {
			end = len(line)
		}
		w := word{text: line[:end]}
		line = line[end:]
		if strings.HasPrefix(line, `"`) {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			line = line[len(q):]
			s, err := strconv.Unquote(q)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q, err)
			}
			w = word{text: w.text + s, quoted: w.text == ""}
		}
		words = append(words, w)
	}
	return words, nil
}

// String writes the entry as a line, without the newline.
func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %s", e.Kind, quote(e.Path))
	switch e.Kind {
	case "white", "opaque":
		return b.String()
	case "hard":
		fmt.Fprintf(&b, " => %s", quote(e.Target))
		return b.String()
	case "link":
		fmt.Fprintf(&b, " -> %s", quote(e.Target))
		if e.UID != 0 || e.GID != 0 {
			fmt.Fprintf(&b, " %d:%d", e.UID, e.GID)
		}
	default:
		fmt.Fprintf(&b, " %04o %d:%d", e.Mode, e.UID, e.GID)
	}
	switch {
	case e.Kind == "char" || e.Kind == "block":
		fmt.Fprintf(&b, " %d:%d", e.Major, e.Minor)
	case e.Digest != "":
		fmt.Fprintf(&b, " size=%d sha256=%s", e.Size, e.Digest)
	case e.Size > int64(len(e.Content)) && e.Content == "":
		fmt.Fprintf(&b, " size=%d", e.Size)
	case e.Size > 0:
		fmt.Fprintf(&b, " %s", strconv.Quote(e.Content+strings.Repeat("\x00", int(e.Size)-len(e.Content))))
	}
	switch {
	case e.MTime.Equal(MTime):
	case e.MTime.Equal(time.Unix(0, 0)):
		b.WriteString(" mtime=0")
	default:
		b.WriteString(" mtime=" + e.MTime.UTC().Format(time.RFC3339Nano))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		fmt.Fprintf(&b, " xattr.%s=%s", name, strconv.Quote(e.Xattrs[name]))
	}
	return b.String()
}

// quote writes a name bare if it reads back as itself.
func quote(s string) string {
	if q := strconv.Quote(s); s == "" || q != `"`+s+`"` || strings.ContainsAny(s, " #") {
		return q
	}
	return s
}
