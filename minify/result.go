package minify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"slim/minify/keep"
	"slim/minify/transport"
	"slim/minify/verify"
	"slim/probe"
	"slim/probe/workload"
)

// Phase is a step of Run.
type Phase string

// The steps, in order.
const (
	Fetch  Phase = "fetch"  // resolve the references, load manifests
	Index  Phase = "index"  // read the layers
	Probe  Phase = "probe"  // run the original under the recorder
	Select Phase = "select" // decide what to keep
	Write  Phase = "write"  // write the slim image's layer
	Verify Phase = "verify" // run the slim image and compare
	Store  Phase = "store"  // put it in its place
)

// Step tells of the beginning of a phase, or with Done of its end.
type Step struct {
	Phase Phase
	Done  bool
	Text  string // what came of it, for a person
	Err   error
	Took  time.Duration
}

// PhaseTime is how long a phase took.
type PhaseTime struct {
	Phase   Phase   `json:"phase"`
	Seconds float64 `json:"seconds"`
}

// ImageInfo names an image.
type ImageInfo struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	// Pull is the name that docker run takes, where there is one: in the Engine by
	// tag, in a registry by digest; else the Reference.
	Pull string `json:"pull,omitempty"`
}

// Size is how large an image is: names in its tree, bytes of its regular files
// (each inode once), layers, and the bytes of the compressed layer where slim
// wrote it.
type Size struct {
	Files      int   `json:"files"`
	Bytes      int64 `json:"bytes"`
	Layers     int   `json:"layers"`
	Compressed int64 `json:"compressed,omitempty"`
}

// Result is what Run did.
type Result struct {
	Source, Output ImageInfo
	Before, After  Size
	Trace          *probe.Trace
	Selection      *keep.Selection
	Verdict        *verify.Verdict
	// Direct is the entrypoint that took the place of the original's start; nil if that
	// stands.
	Direct []string
	// Stop is how the program stops in place of its start, where that differs.
	Stop verify.Row
	// Linked is the folder of the JDK in whose place a run-time image was linked.
	Linked string
	// NoRun says that nothing was run: the Selection is that of rules alone, and the
	// Verdict compares files.
	NoRun  bool
	Phases []PhaseTime
	// Silent are the TCP ports that the image exposes and that never listened.
	Silent []uint16
}

// Notes are what a user should know of a run that went well, a sentence each.
func (r *Result) Notes() []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.NoRun {
		add("the image was not run: what it needs was judged by its config and its files alone, and nothing tested the result")
	}
	if r.Linked != "" {
		add("%s is a run-time image of the modules that the classes use; a class loaded by name from another module needs that added", r.Linked)
	}
	if r.Direct != nil {
		add("the entrypoint is now %q, without the shell or starter before it", strings.Join(r.Direct, " "))
		if r.Stop.Name != "" {
			add("it stops with %q, the start did with %q", r.Stop.Slim, r.Stop.Original)
		}
	}
	for _, port := range r.Silent {
		add("the exposed port %d did not listen by the end of the test: what serves it is not tested", port)
	}
	if r.Selection != nil {
		for _, glob := range r.Selection.Unmatched {
			add("--include, --exclude or --include-bin %s matched nothing", glob)
		}
		if gone := r.Selection.Gone; len(gone) > 0 {
			add("%d paths of the trace are not in the image, such as %s", len(gone), gone[0])
		}
		notes = append(notes, r.Selection.Unread...)
		notes = append(notes, namedNotes(r.Selection)...)
	}
	if r.Verdict != nil {
		for _, m := range r.Verdict.Missed {
			add("%s looked for %s, which was dropped", cmp.Or(m.Process, "a process"), m.Path)
		}
	}
	return notes
}

// silent are the exposed ports on which no run listened; none of a program that
// ends by itself.
func silent(exposed []uint16, p *probe.Result) []uint16 {
	served := false
	heard := make(map[uint16]bool)
	for _, o := range p.Outcomes {
		served = served || o.Server
		for _, port := range o.Ports {
			heard[port] = true
		}
	}
	if !served {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(exposed), func(port uint16) bool { return heard[port] })
}

func pullName(s transport.Stored) string {
	switch s.Ref.Transport() {
	case transport.Daemon:
		return s.Ref.Name()
	case transport.Registry:
		return s.Ref.Name() + "@" + s.Digest.String()
	}
	return s.Ref.String()
}

// Bytes prints a size as Docker does: decimal units, "12.3MB".
func Bytes(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// describe names failed observations in one line.
func describe(failed []workload.Observation) string {
	var parts []string
	for _, o := range failed {
		part := o.Name + ": " + o.Value
		if d := lastLine(o.Detail); d != "" {
			part += " (" + d + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// differences names the rows that differ and the paths missed in one line.
func differences(v *verify.Verdict) string {
	var parts []string
	for _, r := range v.Different() {
		part := fmt.Sprintf("%s: %q, was %q", r.Name, r.Slim, r.Original)
		if d := firstDifference(r.OriginalDetail, r.Detail); d != "" {
			part = r.Name + ": " + d
		} else if d := lastLine(r.Detail); d != "" {
			part += " (" + d + ")"
		}
		parts = append(parts, part)
	}
	for i, m := range v.Missed {
		if i == 5 {
			parts = append(parts, fmt.Sprintf("%d more paths missed", len(v.Missed)-i))
			break
		}
		parts = append(parts, "missed "+m.Path)
	}
	return strings.Join(parts, "; ")
}

// firstDifference shows the first line in which two texts differ; "" if they do not, or
// only one says anything.
func firstDifference(original, slim string) string {
	if original == "" || slim == "" {
		return ""
	}
	a, b := strings.Split(original, "\n"), strings.Split(slim, "\n")
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(b):
			return fmt.Sprintf("line %d is missing: %q", i+1, shorten(a[i]))
		case i >= len(a):
			return fmt.Sprintf("line %d was not there: %q", i+1, shorten(b[i]))
		case a[i] != b[i]:
			return fmt.Sprintf("line %d is %q, was %q", i+1, shorten(b[i]), shorten(a[i]))
		}
	}
	return ""
}

// shorten keeps a line to 200 bytes.
func shorten(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

// lastLine is the last line of a text that says something: of an error trace the
// one that names the error.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return shorten(strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:]))
}

// summary says what the probe saw the program do.
func summary(r *probe.Result) string {
	servers := 0
	for _, o := range r.Outcomes {
		if o.Server {
			servers++
		}
	}
	switch {
	case servers > 0:
		return fmt.Sprintf("%d checks passed", len(r.Observations))
	case len(r.Outcomes) == 1:
		return "the command ended well"
	}
	return fmt.Sprintf("%d commands ended well", len(r.Outcomes))
}
