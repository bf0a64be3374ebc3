package probe

import "slim/probe/record"

// Trace is every path touched by one or more runs of a program: the input of
// the selection. Accesses are sorted by path, one for each path.
type Trace struct {
	Accesses []record.Access
}
