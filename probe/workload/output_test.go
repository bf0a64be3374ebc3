package workload

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sum is what Capture.Sum shows of a hash.
func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return fmt.Sprintf("%x", h[:8])
}

func TestCapture(t *testing.T) {
	for _, test := range []struct {
		head, tail int
		in         string
		want       string
	}{
		{4, 4, "", ""},
		{4, 4, "abcd", "abcd"},
		{4, 4, "abcdefgh", "abcdefgh"},
		{4, 4, "abcdefghi", "abcd\n… 1 bytes left out …\nfghi"},
		{4, 4, "abcd" + strings.Repeat("x", 1000) + "wxyz", "abcd\n… 1000 bytes left out …\nwxyz"},
		{4, 0, "abcdef", "abcd\n… 2 bytes left out …\n"},
		{0, 0, "abc", "\n… 3 bytes left out …\n"},
		{4, 4, "a\xffb", "a\uFFFDb"},
		{1, 1, "äö", "\uFFFD\n… 2 bytes left out …\n\uFFFD"},
	} {
		// The same however it is cut into writes.
		random := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			c := newCapture(test.head, test.tail)
			for rest := test.in; rest != ""; {
				n := 1 + random.IntN(min(len(rest), 7))
				if got, err := c.Write([]byte(rest[:n])); got != n || err != nil {
					t.Fatalf("Write: %d, %v", got, err)
				}
				rest = rest[n:]
			}
			if got := c.Text(); got != test.want {
				t.Fatalf("%d+%d of %.20q: %q, want %q", test.head, test.tail, test.in, got, test.want)
			}
			want := fmt.Sprintf("%d bytes sha256:%s", len(test.in), sum(test.in))
			if test.in == "" {
				want = "empty"
			}
			if got := c.Sum(); got != want {
				t.Fatalf("%.20q: sum %q, want %q", test.in, got, want)
			}
			if cap(c.tail) > 16*(test.tail+8) {
				t.Fatalf("keeps %d bytes for a tail of %d", cap(c.tail), test.tail)
			}
		}
	}
}

func TestPreview(t *testing.T) {
	for _, test := range []struct {
		in   string
		n    int
		want string
	}{
		{"hello", 10, "hello"},
		{"hello", 2, "he"},
		{"aä", 2, "a"}, // not half a character
		{"a\U0001F600", 4, "a"},
		{"a\xff\xfe\xfd\xfcb", 10, ""},
		{"a\x00b", 10, ""},
		{"", 10, ""},
	} {
		c := newCapture(100, 0)
		c.Write([]byte(test.in))
		if got := c.preview(test.n); got != test.want {
			t.Errorf("%q, %d: %q, want %q", test.in, test.n, got, test.want)
		}
	}
}

func TestLastWords(t *testing.T) {
	out := NewOutput(100 << 10)
	fmt.Fprintln(out.Stdout, "ready")
	if got := out.lastWords(); got != "ready" {
		t.Errorf("stdout alone: %q", got)
	}
	fmt.Fprintln(out.Stderr, strings.Repeat("ä", 10000), "failed")
	got := out.lastWords()
	if !strings.HasSuffix(got, "ä failed") || len(got) > 4<<10 || strings.Contains(got, "\uFFFD") {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-20):])
	}
}
