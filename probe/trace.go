package probe

import (
	"cmp"
	"slices"

	"slim/probe/record"
)

// Trace is every path touched by one or more runs of a program: the input of
// the selection. Accesses are sorted by path, one for each path.
//
// Saved, it is text (see WriteTo), so that it can be read, compared and kept
// beside the program's source.
type Trace struct {
	Accesses []record.Access
}

// Merge is the union of traces of one image. What was done to a path adds up. A
// path that more than one has keeps place, phase and process of the first of
// them, but the program's process before a helper's; the places of each trace follow those of the traces before it. The traces
// are not changed. Merge of nothing is an empty trace.
func Merge(traces ...*Trace) *Trace {
	at := map[string]int{}
	var all []record.Access
	last := 0
	for _, t := range traces {
		before := last
		for _, a := range t.Accesses {
			if a.First > 0 {
				a.First += before
			}
			i, ok := at[a.Path]
			if !ok {
				at[a.Path] = len(all)
				all = append(all, a)
				last = max(last, a.First)
				continue
			}
			have := &all[i]
			have.Ops |= a.Ops
			if have.Process == "" || have.Helper && a.Process != "" && !a.Helper {
				have.Process, have.Helper = a.Process, a.Helper
			}
			if have.First == 0 {
				have.First, have.Phase = a.First, a.Phase
				last = max(last, a.First)
			}
		}
	}
	record.SortAccesses(all)
	return &Trace{Accesses: slices.Clip(all)}
}

// Order lists what was read, executed or followed, by first access.
func (t *Trace) Order() []string {
	var used []record.Access
	for _, a := range t.Accesses {
		if a.Ops&(record.Read|record.Exec|record.Link) != 0 {
			used = append(used, a)
		}
	}
	slices.SortStableFunc(used, func(a, b record.Access) int { return cmp.Compare(a.First, b.First) })
	paths := make([]string, len(used))
	for i, a := range used {
		paths[i] = a.Path
	}
	return paths
}
