// Package keep decides which files of an image its program needs: it turns the
// trace of a run into a Selection in which every name of the tree is either kept,
// for a Reason that a person can follow back, or dropped, as a Category.
//
// The promise of the policy Accessed: whatever the traced run touched is there,
// and what touching implies (parents, link chains, the libraries a program is
// linked with, #! interpreters) and what the image's config names. Units, the
// default, promises more: a run is a sample, so whatever it used a part of is
// completed (an application's tree, a Python distribution, a Node module's
// production dependencies, a package's plugins and data), and what kept code
// imports or names literally comes along. Packages keeps whole packages of the
// system. Each keeps all that the one before keeps.
//
// The same input gives the same Selection, reasons included. Nothing is run and
// nothing is written; the content of the image is read within bounds and never
// believed: a file that cannot be parsed is just a file.
//
// The limit: what nothing touched, nothing holds together with what was touched
// and nothing names cannot be known. Options.Include brings it in.
package keep

import (
	"context"
	"fmt"
	"iter"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/probe"
	"slim/probe/rootfs"
)

// Reason says why a path is kept, for a person to read.
type Reason struct {
	// Rule is the kind of rule: "touched", "link", "parent", "elf", "interpreter",
	// "config", "mount point", "include"; under Units also "unit", "tree", "import",
	// "named", "command", "data", "license".
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
	// Keep is how far the selection goes beyond what was touched; "" is Units.
	Keep Policy
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
	// IncludeBin are programs to keep, by name as found in the PATH of the image's
	// config or by path, with all that running them needs.
	IncludeBin []string
	// NoLicenses leaves out the license texts of what is kept.
	NoLicenses bool
}

// Selection is the decision on every name of a tree.
type Selection struct {
	FS *rootfs.FS
	// Entries are in the order of FS.All: parents first, the root included.
	Entries []Entry
	// Unmatched are the globs and programs of Options that no name of the tree
	// matches, as they were given, Include before Exclude before IncludeBin: misspelt,
	// most likely.
	Unmatched []string
	// Gone are the paths that the trace saw used and the tree does not have, sorted:
	// not empty if the trace is that of another image.
	Gone []string
	// Named are the programs of the image that kept application code names as
	// commands. Under Accessed those that nothing used stay out: "named, not seen".
	Named []Named
	// Unread are sentences on what the image has and the rules do not read, such as
	// an rpm database.
	Unread []string

	owner []string // of each entry: the unit it is part of, "" for none
	index map[*rootfs.Node]int
}

// Named is a program that kept application code names.
type Named struct {
	// Path is the program, Place where it is named ("/app/job.py:14"), Text the
	// words as they stand there.
	Path, Place, Text string
	// Touched says that the run used it, too.
	Touched bool
}

// Select decides for every name of fsys, from what the trace touched, what
// touching implies and what cfg names, as far as opts.Keep goes. A nil trace is an
// empty one. The error is that of a pattern that is no glob, of a policy that does not
// exist, or of ctx.
func Select(ctx context.Context, fsys *rootfs.FS, trace *probe.Trace, cfg v1.Config, opts Options) (*Selection, error) {
	if opts.Keep == "" {
		opts.Keep = Units
	}
	if !opts.Keep.Valid() {
		return nil, fmt.Errorf("keep %q: not one of %v", opts.Keep, Policies)
	}
	s := newSelector(fsys, trace, cfg, opts)
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	s.categorize()
	s.sortNamed()
	return s.sel, nil
}

// Lookup finds the decision on the name at path, through links in its directories
// but not in its last element; false if the tree has no such name.
func (s *Selection) Lookup(path string) (Entry, bool) {
	n, err := s.FS.Lookup(path)
	if err != nil {
		return Entry{}, false
	}
	if i := s.find(n); i >= 0 {
		return s.Entries[i], true
	}
	return Entry{}, false
}

// Resolve finds the decision on what path leads to, links followed to the end; false
// if that is nothing.
func (s *Selection) Resolve(path string) (Entry, bool) {
	n, _, err := s.FS.Resolve(path)
	if err != nil {
		return Entry{}, false
	}
	if i := s.find(n); i >= 0 {
		return s.Entries[i], true
	}
	return Entry{}, false
}

// Owner names the package, distribution or the like that the entry is part of
// ("Debian package libssl3"), "" if it is none's or e is not of this Selection.
func (s *Selection) Owner(e Entry) string {
	if i := s.find(e.Node); i >= 0 && i < len(s.owner) {
		return s.owner[i]
	}
	return ""
}

func (s *Selection) find(n *rootfs.Node) int {
	if s.index != nil {
		if i, ok := s.index[n]; ok {
			return i
		}
		return -1
	}
	// A Selection that was put together by hand.
	return slices.IndexFunc(s.Entries, func(e Entry) bool { return e.Node == n })
}

// Why follows the reason of the name at path back: its entry, then that of the name
// which led to it, and so on to one that the run touched, the config names or no
// other name led to. Of a dropped name it is the entry alone; false if the tree has
// no such name.
func (s *Selection) Why(path string) ([]Entry, bool) {
	e, ok := s.Lookup(path)
	if !ok {
		return nil, false
	}
	chain := []Entry{e}
	for e.Kept && e.Reason.From != "" {
		next, ok := s.Lookup(e.Reason.From)
		if !ok || slices.ContainsFunc(chain, func(c Entry) bool { return c.Node == next.Node }) {
			break
		}
		chain = append(chain, next)
		e = next
	}
	return chain, true
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
