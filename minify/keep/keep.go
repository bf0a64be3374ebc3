// Package keep decides which files of an image its program needs.
package keep

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/probe"
	"slim/probe/rootfs"
)

// Category says what kind of file was dropped.
type Category string

// The categories, as reports print them.
const (
	Shell          Category = "shell"
	PackageManager Category = "package manager"
	Cache          Category = "cache"
	Documentation  Category = "documentation"
	Locale         Category = "locale"
	Headers        Category = "headers"
	StaticLibrary  Category = "static library"
	Toolchain      Category = "toolchain"
	DevDependency  Category = "dev dependency"
	Tests          Category = "tests"
	VersionControl Category = "version control"
	DebugSymbols   Category = "debug symbols"
	Excluded       Category = "excluded" // by the user's --exclude
	Other          Category = "other"
)

// Reason says why a path is kept, for a person to read.
type Reason struct {
	// Rule is the kind of rule: "touched", "link", "parent", "elf", "interpreter",
	// "config", "include", "hard link".
	Rule string
	// Text is the whole sentence: "read by nginx at start", "needed by
	// /usr/lib/libssl.so.3 (DT_NEEDED)", "USER node in /etc/passwd".
	Text string
	// From is the path that led here, "" where there is none.
	From string
}

// Entry is the decision on one name of the tree: kept with a Reason, or dropped
// with a Category.
type Entry struct {
	Node     *rootfs.Node
	Kept     bool
	Reason   Reason
	Category Category
}

// Options of Select.
type Options struct {
	// Include and Exclude are globs on absolute paths ("/app/**", "/usr/share/zoneinfo/*");
	// a glob that names a directory takes all below it. Exclude wins.
	Include, Exclude []string
	// Entrypoint and Cmd replace those of the image's config for what "the config
	// names"; nil leaves the image's.
	Command []string
}

// Selection is the decision on every name of a tree.
type Selection struct {
	FS *rootfs.FS
	// Entries are in the order of FS.All: parents first, the root included.
	Entries []Entry
}

// Select decides for every name of fsys, from what the trace touched and what
// touching implies (policy "accessed").
func Select(ctx context.Context, fsys *rootfs.FS, trace *probe.Trace, cfg v1.Config, opts Options) (*Selection, error) {
	panic("to be written")
}
