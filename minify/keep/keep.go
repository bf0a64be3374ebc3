// Package keep decides which files of an image its program needs: it turns the
// trace of a run into a Selection in which every name of the tree is either kept,
// for a Reason that a person can follow back, or dropped, as a Category.
//
// The promise of the policy "accessed": whatever the traced run touched is there,
// and what touching implies (parents, link chains, the libraries a program is
// linked with, #! interpreters) and what the image's config names. The same input
// gives the same Selection, reasons included. Nothing is run and nothing is
// written; the content of the image is read within bounds and never believed: a
// file that cannot be parsed is just a file.
//
// The limit: a run is a sample. What the program opens only on another day is not
// in the trace, and Options.Include is all that brings it in.
package keep

import (
	"context"
	"iter"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/probe"
	"slim/probe/rootfs"
)

// Reason says why a path is kept, for a person to read.
type Reason struct {
	// Rule is the kind of rule: "touched", "link", "parent", "elf", "interpreter",
	// "config", "mount point", "include".
	Rule string
	// Text is the whole sentence: "read by nginx at start", "needed by
	// /usr/lib/libssl.so.3 (DT_NEEDED libcrypto.so.3)", "USER node in /etc/passwd".
	Text string
	// From is the path that led here, "" where there is none.
	From string
}

// Entry is the decision on one name of the tree: kept with a Reason, or dropped
// with a Category.
type Entry struct {
	Node     *rootfs.Node
	Kept     bool
	Reason   Reason   // the zero value if dropped
	Category Category // "" if kept
}

// Options of Select.
type Options struct {
	// Include and Exclude are globs on absolute paths ("/app/**",
	// "/usr/share/zoneinfo/*", "/opt/{a,b}/lib", "**/*.pem"), in the syntax of
	// github.com/bmatcuk/doublestar. A glob that names a directory takes all below
	// it; the part before the first special character may go through links ("/bin/*"
	// where /bin is a link to usr/bin). What is included brings its libraries and
	// interpreters along. Exclude wins over every rule; only "/" itself stays.
	Include, Exclude []string
	// Entrypoint and Command are what the probe was told in place of the image's
	// ENTRYPOINT and CMD, as docker run takes them: an Entrypoint discards the image's
	// CMD too. What they name is kept as well as what the config names, since the
	// config stays in the result. Nil: the image's own was run.
	Entrypoint, Command []string
}

// Selection is the decision on every name of a tree.
type Selection struct {
	FS *rootfs.FS
	// Entries are in the order of FS.All: parents first, the root included.
	Entries []Entry
	// Unmatched are the globs of Options that no name of the tree matches, as they
	// were given, Include before Exclude: misspelt, most likely.
	Unmatched []string
	// Gone are the paths that the trace saw used and the tree does not have, sorted:
	// not empty if the trace is that of another image.
	Gone []string

	index map[*rootfs.Node]int
}

// Select decides for every name of fsys, from what the trace touched, what
// touching implies and what cfg names (policy "accessed"). A nil trace is an empty
// one. The error is that of a pattern that is no glob, or of ctx.
func Select(ctx context.Context, fsys *rootfs.FS, trace *probe.Trace, cfg v1.Config, opts Options) (*Selection, error) {
	s := newSelector(fsys, trace, cfg, opts)
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	s.categorize()
	return s.sel, nil
}

// Lookup finds the decision on the name at path, through links in its directories
// but not in its last element; false if the tree has no such name.
func (s *Selection) Lookup(path string) (Entry, bool) {
	n, err := s.FS.Lookup(path)
	if err != nil {
		return Entry{}, false
	}
	if s.index != nil {
		i, ok := s.index[n]
		if !ok {
			return Entry{}, false
		}
		return s.Entries[i], true
	}
	for _, e := range s.Entries { // a Selection that was put together by hand
		if e.Node == n {
			return e, true
		}
	}
	return Entry{}, false
}

// Kept yields the kept entries, parents first.
func (s *Selection) Kept() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, e := range s.Entries {
			if e.Kept && !yield(e) {
				return
			}
		}
	}
}
