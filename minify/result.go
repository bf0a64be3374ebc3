package minify

import (
	"fmt"
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
	Phases         []PhaseTime
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
		if d := lastLine(r.Detail); d != "" {
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

// lastLine is the last line of a text that says something: of an error trace the
// one that names the error. At most 200 bytes.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	s = strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
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
