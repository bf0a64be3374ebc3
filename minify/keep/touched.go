package keep

import (
	"slices"

	"slim/probe/record"
	"slim/probe/rootfs"
)

// touches are the uses that need the name to be there. A miss needs its absence,
// and what the run only wrote is not the image's.
const touches = record.Lookup | record.Stat | record.Read | record.List | record.Link | record.Xattr | record.Exec

// touched keeps every name that the trace saw used, header and content; of a
// directory the entry, not what is in it.
func (s *selector) touched() {
	for _, a := range s.trace.Accesses {
		if a.Ops&touches == 0 {
			continue
		}
		n, err := s.fs.Lookup(a.Path)
		if err != nil {
			// What the run made itself is no loss.
			if a.Ops&record.Write == 0 {
				s.sel.Gone = append(s.sel.Gone, a.Path)
			}
			continue
		}
		why := Reason{Rule: "touched", Text: describe(a, n)}
		if i := s.sel.index[n]; a.Ops&record.Link != 0 {
			s.bare[i] = false
		} else if !s.sel.Entries[i].Kept {
			s.bare[i] = true
		}
		if a.Ops&(record.Read|record.Exec) != 0 {
			s.use(n, why)
		} else {
			s.keep(n, why)
		}
	}
	slices.Sort(s.sel.Gone)
	s.sel.Gone = slices.Compact(s.sel.Gone)
}

// describe is an access as a sentence: the strongest use, by whom, when.
func describe(a record.Access, n *rootfs.Node) string {
	text := "looked up"
	switch {
	case a.Ops&record.Exec != 0:
		text = "executed"
	case a.Ops&record.Read != 0:
		text = "read"
	case a.Ops&record.Link != 0:
		text = "link followed"
	case a.Ops&record.List != 0:
		text = "listed"
	case a.Ops&record.Stat != 0:
		text = "stat'ed"
	case a.Ops&record.Xattr != 0:
		text = "attributes read"
	case n.Inode().IsDir():
		text = "walked through"
	}
	if a.Process != "" {
		text += " by " + a.Process
	}
	switch a.Phase {
	case record.Start:
		text += " at start"
	case record.Test:
		text += " in the test"
	case record.Stop:
		text += " at stop"
	}
	if a.Helper {
		text += ", for a check inside the container"
	}
	return text
}
