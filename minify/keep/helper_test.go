package keep_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
)

// parseTrace reads a trace, one access a line: path, letters of record.Op and,
// if they matter, phase and process.
func parseTrace(t testing.TB, text string) *probe.Trace {
	t.Helper()
	trace := new(probe.Trace)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		letters, helper := strings.CutSuffix(f[1], "h") // as in a trace file
		ops, ok := record.ParseOp(letters)
		if !ok {
			t.Fatalf("trace: %s", line)
		}
		a := record.Access{Path: f[0], Ops: ops, First: len(trace.Accesses) + 1, Phase: record.Start, Helper: helper}
		if len(f) > 2 {
			if a.Phase, ok = record.ParsePhase(f[2]); !ok {
				t.Fatalf("trace: %s", line)
			}
		}
		if len(f) > 3 {
			a.Process = f[3]
		}
		trace.Accesses = append(trace.Accesses, a)
	}
	return trace
}

func mustSelect(t testing.TB, fsys *rootfs.FS, trace string, cfg v1.Config, opts keep.Options) *keep.Selection {
	t.Helper()
	s, err := keep.Select(t.Context(), fsys, parseTrace(t, trace), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kept is a Selection as text: "path rule: text" a line, the root left out.
func kept(s *keep.Selection) string {
	var b strings.Builder
	for e := range s.Kept() {
		if p := e.Node.Path(); p != "/" {
			fmt.Fprintf(&b, "%s %s: %s\n", p, e.Reason.Rule, e.Reason.Text)
		}
	}
	return b.String()
}

// keptPaths are the paths kept that are no directories.
func keptPaths(s *keep.Selection) []string {
	var list []string
	for e := range s.Kept() {
		if !e.Node.Inode().IsDir() {
			list = append(list, e.Node.Path())
		}
	}
	return list
}

func diff(t testing.TB, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// lines strips the indentation of an expectation.
func lines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// need skips a test that cannot run here, which in CI is a failure.
func need(t testing.TB, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		skip.Test(t, format, args...)
	}
}

// A selectCase is a tree, what is known of the program, and what is kept.
type selectCase struct {
	name, tree, trace string
	cfg               v1.Config
	opts              keep.Options
	want              string
}

func (c selectCase) run(t *testing.T) {
	t.Run(c.name, func(t *testing.T) {
		if c.opts.Keep == "" {
			c.opts.Keep = keep.Accessed
		}
		s := mustSelect(t, treetest.FS(t, c.tree), c.trace, c.cfg, c.opts)
		diff(t, lines(c.want), kept(s))
	})
}

// checkPaths compares the paths kept that are no directories, in any order.
func checkPaths(t *testing.T, name, tree, trace string, cfg v1.Config, opts keep.Options, want string) *keep.Selection {
	t.Helper()
	var s *keep.Selection
	t.Run(name, func(t *testing.T) {
		t.Helper()
		s = mustSelect(t, treetest.FS(t, tree), trace, cfg, opts)
		diff(t, slices.Sorted(strings.FieldsSeq(want)), slices.Sorted(slices.Values(keptPaths(s))))
	})
	return s
}
