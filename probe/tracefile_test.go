package probe

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"slim/probe/record"
)

const all = record.Lookup | record.Stat | record.Read | record.List | record.Link |
	record.Xattr | record.Exec | record.Write | record.Miss

// The file as it has to look, byte for byte: others read it too.
var samples = []struct {
	name string
	text string
	want []record.Access
}{
	{"empty", "", nil},
	{"plain",
		"pl\tstart\t1\tnginx\t/\n" +
			"psr\ttest\t3\tmy server\t/etc/a b\n" +
			"psrlkaxwm\tstop\t2\t\t/etc/ü\n",
		[]record.Access{
			{Path: "/", Ops: record.Lookup | record.List, First: 1, Phase: record.Start, Process: "nginx"},
			{Path: "/etc/a b", Ops: record.Lookup | record.Stat | record.Read, First: 3, Phase: record.Test, Process: "my server"},
			{Path: "/etc/ü", Ops: all, First: 2, Phase: record.Stop},
		}},
	{"helper",
		"mh\ttest\t1\tcurl\t/a\n" +
			"psrxh\ttest\t2\tcurl\t/b\n",
		[]record.Access{
			{Path: "/a", Ops: record.Miss, First: 1, Phase: record.Test, Process: "curl", Helper: true},
			{Path: "/b", Ops: record.Lookup | record.Stat | record.Read | record.Exec, First: 2, Phase: record.Test, Process: "curl", Helper: true},
		}},
	{"quoted",
		"m\tstart\t1\t\"a\\tb\"\t\"/a\\nb\"\n" +
			"m\tstart\t2\t\"\\\"\"\t\"/a\\xff\"\n" +
			"m\tstart\t0\t\"\\\\\"\t/b\"c\\d\n",
		[]record.Access{
			{Path: "/a\nb", Ops: record.Miss, First: 1, Phase: record.Start, Process: "a\tb"},
			{Path: "/a\xff", Ops: record.Miss, First: 2, Phase: record.Start, Process: `"`},
			{Path: `/b"c\d`, Ops: record.Miss, Phase: record.Start, Process: `\`},
		}},
}

func TestTraceFile(t *testing.T) {
	for _, c := range samples {
		t.Run(c.name, func(t *testing.T) {
			text := traceHeader + "\n" + c.text
			got, err := ReadTrace(iotest.OneByteReader(strings.NewReader(text)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Accesses); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			var b bytes.Buffer
			n, err := got.WriteTo(&b)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != text || n != int64(len(text)) {
				t.Errorf("wrote %d bytes:\n%s\nwant %d:\n%s", n, b.String(), len(text), text)
			}
		})
	}
}

func TestReadTraceRefuses(t *testing.T) {
	const h = traceHeader + "\n"
	const ok = "p\tstart\t1\tsh\t/b\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "line 1: not a slim trace"},
		{"something else", "hello\n", "line 1: not a slim trace"},
		{"another version", "# slim trace 2\n" + ok, `line 1: trace version "2" is not known`},
		{"header cut off", "# slim trace 1", "line 1: not a slim trace"},
		{"cut off", h + "p\tstart\t1\tsh\t/b", "line 2: cut off"},
		{"empty line", h + "\n", "line 2: 1 fields instead of 5"},
		{"a field too many", h + "p\tstart\t1\tsh\t/b\t\n", "line 2: 6 fields instead of 5"},
		{"unknown op", h + ok + "pz\tstart\t1\tsh\t/c\n", `line 3: unknown letter in ops "pz"`},
		{"helper first", h + "hp\tstart\t1\tsh\t/b\n", `line 2: unknown letter in ops "hp"`},
		{"only helper", h + "h\tstart\t1\tsh\t/b\n", `line 2: path "/b": no ops`},
		{"nameless helper", h + "ph\tstart\t1\t\t/b\n", `line 2: path "/b": a helper without a name`},
		{"no op", h + "\tstart\t1\tsh\t/c\n", `line 2: path "/c": no ops`},
		{"unknown phase", h + "p\tend\t1\tsh\t/b\n", `line 2: unknown phase "end"`},
		{"no place", h + "p\tstart\tx\tsh\t/b\n", `line 2: place "x" is not a number`},
		{"place below 0", h + "p\tstart\t-1\tsh\t/b\n", `line 2: path "/b": place -1`},
		{"twice", h + ok + ok, `line 3: path "/b" twice`},
		{"unsorted", h + ok + "p\tstart\t1\tsh\t/a\n", `line 3: path "/a" after "/b": not sorted`},
		{"relative", h + "p\tstart\t1\tsh\tb\n", `line 2: path "b" is not absolute and clean`},
		{"no path", h + "p\tstart\t1\tsh\t\n", `line 2: path "" is not absolute and clean`},
		{"unclean", h + "p\tstart\t1\tsh\t/b/../c\n", "is not absolute and clean"},
		{"slash at the end", h + "p\tstart\t1\tsh\t/b/\n", "is not absolute and clean"},
		{"zero byte", h + "p\tstart\t1\tsh\t\"/b\\x00\"\n", "is not absolute and clean"},
		{"bad quotes", h + "p\tstart\t1\tsh\t\"/b\n", "badly quoted"},
		{"carriage return", h + "p\tstart\t1\tsh\t/b\r\n", "has to be quoted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadTrace(strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	cause := errors.New("disk on fire")
	r := io.MultiReader(strings.NewReader(h+ok), iotest.ErrReader(cause))
	if _, err := ReadTrace(r); !errors.Is(err, cause) {
		t.Errorf("error %v, want one around %v", err, cause)
	}
}

func TestWriteToRefuses(t *testing.T) {
	a := record.Access{Path: "/a", Ops: record.Read, First: 1, Phase: record.Start}
	with := func(change func(*record.Access)) record.Access {
		b := a
		change(&b)
		return b
	}
	for _, c := range []struct {
		name string
		in   []record.Access
	}{
		{"twice", []record.Access{a, a}},
		{"unsorted", []record.Access{with(func(a *record.Access) { a.Path = "/b" }), a}},
		{"no path", []record.Access{with(func(a *record.Access) { a.Path = "" })}},
		{"no ops", []record.Access{with(func(a *record.Access) { a.Ops = 0 })}},
		{"unknown ops", []record.Access{with(func(a *record.Access) { a.Ops |= 1 << 15 })}},
		{"unknown phase", []record.Access{with(func(a *record.Access) { a.Phase = 9 })}},
		{"place below 0", []record.Access{with(func(a *record.Access) { a.First = -1 })}},
		{"nameless helper", []record.Access{with(func(a *record.Access) { a.Helper = true })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := (&Trace{Accesses: c.in}).WriteTo(io.Discard); err == nil {
				t.Error("no error")
			}
		})
	}
	cause := errors.New("disk full")
	if n, err := (&Trace{Accesses: []record.Access{a}}).WriteTo(failing{cause}); n != 0 || !errors.Is(err, cause) {
		t.Errorf("WriteTo a full disk: %d, %v", n, err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestMerge(t *testing.T) {
	trace := func(lines ...string) *Trace {
		t.Helper()
		tr, err := ReadTrace(strings.NewReader(traceHeader + "\n" + strings.Join(lines, "")))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	one := trace(
		"pl\tstart\t1\tsh\t/\n",
		"ps\tstop\t7\t\t/b\n",
		"w\tstart\t0\t\t/w\n",
	)
	two := trace(
		"pr\ttest\t2\tcat\t/a\n",
		"r\ttest\t3\tcat\t/b\n",
		"s\ttest\t1\tls\t/w\n",
	)
	helped := trace("p\tstart\t1\tsh\t/b\n", "rh\ttest\t2\tcurl\t/c\n", "rh\ttest\t3\tcurl\t/d\n")
	alone := trace("rh\ttest\t1\tcat\t/b\n", "s\tstart\t2\tls\t/c\n", "s\tstart\t3\t\t/d\n")
	for _, c := range []struct {
		name string
		in   []*Trace
		want *Trace
	}{
		{"helpers", []*Trace{helped, alone}, trace(
			"pr\tstart\t1\tsh\t/b\n",
			"rs\ttest\t2\tls\t/c\n",
			"rsh\ttest\t3\tcurl\t/d\n",
		)},
		{"nothing", nil, &Trace{}},
		{"one", []*Trace{one}, one},
		{"same again", []*Trace{one, one}, one},
		{"two", []*Trace{one, two}, trace(
			"pl\tstart\t1\tsh\t/\n",
			"pr\ttest\t9\tcat\t/a\n",
			"psr\tstop\t7\tcat\t/b\n",
			"sw\ttest\t8\tls\t/w\n",
		)},
		{"the other way", []*Trace{two, one}, trace(
			"pl\tstart\t4\tsh\t/\n",
			"pr\ttest\t2\tcat\t/a\n",
			"psr\ttest\t3\tcat\t/b\n",
			"sw\ttest\t1\tls\t/w\n",
		)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Merge(c.in...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if one.Accesses[1].Ops != record.Lookup|record.Stat {
		t.Error("Merge has changed its input")
	}
}

// Whatever is read can be written, and reads as the same; what is written is a
// fixed point.
func FuzzReadTrace(f *testing.F) {
	for _, c := range samples {
		f.Add([]byte(traceHeader + "\n" + c.text))
	}
	f.Add([]byte(traceHeader + "\nrsp\tstart\t01\t\"sh\"\t\"/b\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := ReadTrace(bytes.NewReader(b))
		if err != nil {
			return
		}
		var text bytes.Buffer
		if _, err := first.WriteTo(&text); err != nil {
			t.Fatalf("write what was read: %v", err)
		}
		second, err := ReadTrace(bytes.NewReader(text.Bytes()))
		if err != nil {
			t.Fatalf("read what was written: %v\n%s", err, text.Bytes())
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
		var again bytes.Buffer
		if _, err := second.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), text.Bytes()) {
			t.Fatalf("written again: %v\n%s\nfirst:\n%s", err, again.Bytes(), text.Bytes())
		}
	})
}
