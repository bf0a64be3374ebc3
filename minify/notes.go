package minify

import (
	"fmt"

	"slim/minify/keep"
)

// Limits says what no selection can promise, for reports to repeat.
const Limits = "What the run did not touch, what belongs to nothing that it touched and what no kept file names cannot be known to be needed, and is not kept: names that are put together when a program runs, above all. --include and --include-bin add it."

// maxNamed bounds the notes on programs that were only named.
const maxNamed = 5

// namedNotes are sentences on the programs that the application names and the run
// did not use: one for each of the first, and how many more there are.
func namedNotes(s *keep.Selection) []string {
	var notes []string
	more, last := 0, ""
	for _, n := range s.Named {
		if n.Touched || n.Path == last {
			continue
		}
		last = n.Path
		e, ok := s.Resolve(n.Path)
		switch {
		case !ok || e.Category == keep.Excluded:
			continue
		case len(notes) == maxNamed:
			more++
		case e.Kept:
			notes = append(notes, fmt.Sprintf("%s is kept since %s names it; --exclude it if it is never run", n.Path, n.Place))
		default:
			notes = append(notes, fmt.Sprintf("named, not seen: %s, by %s; --include-bin %s keeps it", n.Path, n.Place, n.Path))
		}
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more programs are named and were not seen; --report lists all of them", more))
	}
	return notes
}
