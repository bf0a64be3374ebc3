// Package verify compares what was observed of a slim image with what was
// observed of its original, and finds the paths that the slim image lacks. It
// repairs nothing.
//
// Whatever differs is a difference, unless the original differs from itself
// there: what varies by nature (a date, a token) is known by running the
// original again, never by a list.
package verify

import (
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/workload"
)

// Row is one observation of both images side by side.
type Row struct {
	// Name says what was observed: "GET / status", "stdout".
	Name string `json:"name"`
	// Original and Slim are what was seen; "" where it was not seen at all.
	Original string `json:"original"`
	Slim     string `json:"slim"`
	// Equal reports whether the slim image passes here.
	Equal bool `json:"equal"`
	// Varies marks a row in which the original differed from itself too, so that
	// a difference says nothing.
	Varies bool `json:"varies,omitempty"`
	// OriginalDetail and Detail are what the original and the slim image said, in part,
	// where they differ; for display.
	OriginalDetail string `json:"original_detail,omitempty"`
	Detail         string `json:"detail,omitempty"`
}

// Missed is a path that the original has and the slim run looked up in vain.
type Missed struct {
	Path    string `json:"path"`
	Process string `json:"process,omitempty"`
	Phase   string `json:"phase"`
}

// Verdict is the outcome of a comparison.
type Verdict struct {
	Rows   []Row    `json:"rows"`
	Missed []Missed `json:"missed,omitempty"`
}

// Equal reports whether every row is.
func (v *Verdict) Equal() bool { return len(v.Different()) == 0 }

// Varying is the number of rows that are equal only because the original varies there.
func (v *Verdict) Varying() int {
	n := 0
	for _, r := range v.Rows {
		if r.Varies {
			n++
		}
	}
	return n
}

// Different are the rows that are not equal.
func (v *Verdict) Different() []Row {
	var rows []Row
	for _, r := range v.Rows {
		if !r.Equal {
			rows = append(rows, r)
		}
	}
	return rows
}

// Compare sets the observations of the two results side by side, in the order of
// the original's; what only the slim run shows comes last.
func Compare(original, slim *probe.Result) []Row {
	seen := byName(slim.Observations)
	var rows []Row
	for _, o := range original.Observations {
		s, ok := seen[o.Name]
		delete(seen, o.Name)
		row := Row{Name: o.Name, Original: o.Value, Slim: s.Value, Equal: ok && o.Value == s.Value}
		if !row.Equal {
			row.OriginalDetail, row.Detail = o.Detail, s.Detail
		}
		rows = append(rows, row)
	}
	for _, s := range slim.Observations {
		if _, extra := seen[s.Name]; extra {
			rows = append(rows, Row{Name: s.Name, Slim: s.Value, Detail: s.Detail})
		}
	}
	return rows
}

// Excuse marks as equal the rows in which a second run of the original differs
// from the first: there it varies by nature. A failure of the slim run stays one.
func Excuse(rows []Row, original, again, slim *probe.Result) {
	varying := make(map[string]bool)
	for _, r := range Compare(original, again) {
		varying[r.Name] = !r.Equal
	}
	second, third := byName(again.Observations), byName(slim.Observations)
	for i, r := range rows {
		if r.Equal || !varying[r.Name] {
			continue
		}
		if third[r.Name].Failed && !second[r.Name].Failed {
			continue
		}
		rows[i].Equal, rows[i].Varies = true, true
	}
}

func byName(list []workload.Observation) map[string]workload.Observation {
	m := make(map[string]workload.Observation, len(list))
	for _, o := range list {
		m[o.Name] = o
	}
	return m
}

// Misses are the paths that the slim run looked up and did not find although the
// original's tree has them, sorted by path. One that the original's run did not
// find either (a program that removes a file and looks again) is none.
func Misses(original *rootfs.FS, originalTrace, slimTrace *probe.Trace) []Missed {
	missedBefore := make(map[string]bool)
	for _, a := range originalTrace.Accesses {
		if a.Ops&record.Miss != 0 {
			missedBefore[a.Path] = true
		}
	}
	var missed []Missed
	for _, a := range slimTrace.Accesses {
		if a.Ops&record.Miss == 0 || missedBefore[a.Path] {
			continue
		}
		if _, err := original.Lookup(a.Path); err != nil {
			continue
		}
		missed = append(missed, Missed{Path: a.Path, Process: a.Process, Phase: a.Phase.String()})
	}
	return missed
}
