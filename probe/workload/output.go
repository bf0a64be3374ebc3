package workload

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"strings"
	"sync"
	"unicode/utf8"
)

// Output takes what a program writes.
type Output struct {
	Stdout, Stderr *Capture
}

// NewOutput makes an Output that keeps at most limit bytes of each stream, half of
// them from its start and half from its end. All bytes count for the comparison.
func NewOutput(limit int) *Output {
	return &Output{
		Stdout: newCapture(limit/2, limit/2),
		Stderr: newCapture(limit/2, limit/2),
	}
}

// lastWords is the end of what the program said, for the report of a failure.
func (o *Output) lastWords() string {
	const limit = 4 << 10
	for _, c := range []*Capture{o.Stderr, o.Stdout} {
		if text := strings.TrimSpace(c.Text()); text != "" {
			if cut := len(text) - limit; cut > 0 {
				text = strings.ToValidUTF8(text[cut:], "")
			}
			return text
		}
	}
	return ""
}

// Capture is a writer that keeps the start and the end of a stream, its length and
// its hash: bounded memory for a stream of any length. It is safe for use by several
// goroutines.
type Capture struct {
	mu               sync.Mutex
	headMax, tailMax int
	head, tail       []byte // tail holds up to 2*tailMax and is cut then
	size             int64
	hash             hash.Hash
}

func newCapture(head, tail int) *Capture {
	return &Capture{headMax: head, tailMax: tail, hash: sha256.New()}
}

// Write takes p. It never fails.
func (c *Capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hash.Write(p)
	c.size += int64(len(p))
	rest := p
	if n := min(len(rest), c.headMax-len(c.head)); n > 0 {
		c.head = append(c.head, rest[:n]...)
		rest = rest[n:]
	}
	rest = rest[max(0, len(rest)-c.tailMax):]
	c.tail = append(c.tail, rest...)
	if len(c.tail) > 2*c.tailMax {
		c.tail = c.tail[:copy(c.tail, c.tail[len(c.tail)-c.tailMax:])]
	}
	return len(p), nil
}

// Sum identifies all that was written: "empty", or its length and the start of its
// SHA-256 ("612 bytes sha256:1b4f0e9851971998").
func (c *Capture) Sum() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size == 0 {
		return "empty"
	}
	return fmt.Sprintf("%d bytes sha256:%x", c.size, c.hash.Sum(nil)[:8])
}

// Text is what was kept, with a line in between that says how much is left out. It
// is as raw as the program wrote it, but for bytes that are not UTF-8.
func (c *Capture) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	tail := c.tail[max(0, len(c.tail)-c.tailMax):]
	text := string(c.head)
	if left := c.size - int64(len(c.head)) - int64(len(tail)); left > 0 {
		text += fmt.Sprintf("\n… %d bytes left out …\n", left)
	}
	return strings.ToValidUTF8(text+string(tail), "\uFFFD")
}

// preview is the first n bytes if they are text, "" if not.
func (c *Capture) preview(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.head[:min(n, len(c.head))]
	for i := 0; i < utf8.UTFMax-1 && len(b) > 0 && !utf8.Valid(b); i++ {
		b = b[:len(b)-1] // a character cut in two
	}
	if !utf8.Valid(b) || strings.ContainsRune(string(b), 0) {
		return ""
	}
	return string(b)
}
