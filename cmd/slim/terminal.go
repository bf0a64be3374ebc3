//go:build linux

package main

// The rules of the terminal, all in this file:
//   - the result, and only it, goes to stdout: the reference, or JSON;
//   - everything else goes to stderr: one line per phase, then the summary;
//   - a terminal sees the running phase live, a pipe gets its line at the end;
//   - an error is one line that begins with "slim: ";
//   - text that comes from an image never reaches the terminal as control codes;
//   - colour only on a terminal, and never with NO_COLOR; no prompts.

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"slim/minify"
	"slim/minify/verify"
)

type terminal struct {
	out, err io.Writer
	live     *mpb.Progress // nil unless err is a terminal
	bar      *mpb.Bar
	color    bool
}

func newTerminal(out, err *os.File) *terminal {
	t := &terminal{out: out, err: err}
	if term.IsTerminal(int(err.Fd())) && os.Getenv("TERM") != "dumb" {
		t.live = mpb.New(mpb.WithOutput(err), mpb.WithAutoRefresh(), mpb.WithWidth(12))
		t.color = os.Getenv("NO_COLOR") == ""
	}
	return t
}

// step shows a phase: live while it runs, one line at its end.
func (t *terminal) step(s minify.Step) {
	if !s.Done {
		if t.live != nil {
			t.bar = t.live.New(0, mpb.SpinnerStyle().PositionLeft(), mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-7s", s.Phase))),
				mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO)))
		}
		return
	}
	if t.bar != nil {
		t.bar.Abort(true)
		t.bar.Wait()
		t.bar = nil
	}
	if s.Err != nil {
		return // the error is told once, by fail
	}
	line := fmt.Sprintf("%-7s %7s  %s\n", s.Phase, seconds(s.Took), printable(s.Text))
	if t.live != nil {
		io.WriteString(t.live, line)
		return
	}
	io.WriteString(t.err, line)
}

// done ends the live part; what is printed from then on stays below it.
func (t *terminal) done() {
	if t.live != nil {
		t.live.Wait()
		t.live = nil
	}
}

// fail prints an error as one line.
func (t *terminal) fail(err error) {
	t.done()
	fmt.Fprintf(t.err, "%s %s\n", t.paint("31", "slim:"), printable(strings.ReplaceAll(err.Error(), "\n", "; ")))
}

// summary prints what a user wants to know of a result.
func (t *terminal) summary(r *minify.Result) {
	w := t.err
	fmt.Fprintf(w, "\n%-10s %9s  %7s  %s\n", "", "size", "paths", "layers")
	for _, row := range []struct {
		name string
		s    minify.Size
	}{{"before", r.Before}, {"after", r.After}} {
		fmt.Fprintf(w, "%-10s %9s  %7d  %d", row.name, minify.Bytes(row.s.Bytes), row.s.Files, row.s.Layers)
		if row.s.Compressed > 0 {
			fmt.Fprintf(w, "  (%s compressed)", minify.Bytes(row.s.Compressed))
		}
		fmt.Fprintln(w)
	}
	dropped := r.Selection.Totals().ByCategory
	if len(dropped) > 0 {
		fmt.Fprintf(w, "\ndropped\n")
	}
	for _, c := range dropped {
		fmt.Fprintf(w, "  %9s  %7d  %s\n", minify.Bytes(c.Bytes), c.Files, c.Category)
	}
	if r.NoRun {
		fmt.Fprintf(w, "\n%s\n", t.paint("33", "not tested: the image was not run"))
	} else {
		t.verdict(r.Verdict)
	}
	for _, note := range r.Notes() {
		fmt.Fprintf(w, "%s %s\n", t.paint("33", "note:"), printable(note))
	}
}

func (t *terminal) verdict(v *verify.Verdict) {
	varies := v.Varying()
	text := fmt.Sprintf("equal in %d observations", len(v.Rows)-varies)
	if varies > 0 {
		text += fmt.Sprintf("; %d vary in the original itself", varies)
	}
	fmt.Fprintf(t.err, "\nverified   %s\n", t.paint("32", text))
}

// result prints the one thing that goes to stdout.
func (t *terminal) result(r *minify.Result, format string) error {
	if format == "json" {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		return enc.Encode(resultJSON(r))
	}
	_, err := fmt.Fprintln(t.out, r.Output.Pull)
	return err
}

func (t *terminal) paint(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// printable takes out of text that an image may have made what a terminal obeys:
// control characters, and those that hide text or turn its direction.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
