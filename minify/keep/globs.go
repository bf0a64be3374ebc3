package keep

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"slim/probe/rootfs"
)

// A glob is a pattern of Options.
type glob struct {
	text     string   // as given
	patterns []string // absolute: as given, and with the links of its fixed part resolved
	links    []*rootfs.Node
	literal  *rootfs.Node // the file that a pattern without special characters leads to
	matched  bool
}

// readGlobs checks the patterns and marks what Exclude takes out.
func (s *selector) readGlobs() error {
	var err error
	if s.include, err = s.parseGlobs("include", s.opts.Include); err != nil {
		return err
	}
	if s.exclude, err = s.parseGlobs("exclude", s.opts.Exclude); err != nil {
		return err
	}
	if len(s.exclude) == 0 {
		return nil
	}
	for i, e := range s.sel.Entries {
		// No short cut below a directory: every glob shall know that it matches.
		s.excluded[i] = matchAny(s.exclude, s.paths[i])
		if dir := e.Node.Parent(); dir != nil && s.excluded[s.sel.index[dir]] {
			s.excluded[i] = true
		}
	}
	s.excluded[0] = false // the root stays, empty or not
	return nil
}

// CheckGlob says what is wrong with a pattern for Options.Include or Exclude, before
// there is a tree to match it with: the syntax, or that it is not absolute.
func CheckGlob(pattern string) error {
	switch {
	case !doublestar.ValidatePattern(pattern):
		return fmt.Errorf("%q: %w", pattern, doublestar.ErrBadPattern)
	case !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "**"):
		return fmt.Errorf("%q: not an absolute path", pattern)
	}
	return nil
}

func (s *selector) parseGlobs(what string, texts []string) ([]*glob, error) {
	var globs []*glob
	for _, text := range texts {
		if err := CheckGlob(text); err != nil {
			return nil, fmt.Errorf("%s %w", what, err)
		}
		pattern := text
		if strings.HasPrefix(pattern, "**") {
			pattern = "/" + pattern
		}
		if pattern = strings.TrimRight(pattern, "/"); pattern == "" {
			pattern = "/"
		}
		globs = append(globs, s.newGlob(text, pattern))
	}
	return globs, nil
}

// newGlob lets a pattern say /bin/sh where /bin is a link: names of the tree
// have no links in their directories.
func (s *selector) newGlob(text, pattern string) *glob {
	g := &glob{text: text, patterns: []string{pattern}}
	base, rest := doublestar.SplitPattern(pattern)
	if !strings.ContainsAny(rest, `*?[{\`) {
		// Nothing special: the pattern is a path.
		n, err := s.fs.Lookup(pattern)
		if err != nil {
			return g
		}
		if real := s.path(n); real != pattern {
			g.patterns = append(g.patterns, escape(real))
		}
		if n, links, err := s.fs.Resolve(pattern); err == nil {
			g.literal, g.links = n, links
		}
		return g
	}
	dir, links, err := s.fs.Resolve(base)
	if err != nil {
		return g
	}
	g.links = links
	if real := s.path(dir); real != base {
		g.patterns = append(g.patterns, strings.TrimSuffix(escape(real), "/")+"/"+rest)
	}
	return g
}

// escape makes a path a pattern that matches it alone.
func escape(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`).Replace(p)
}

func (g *glob) match(p string) bool {
	for _, pattern := range g.patterns {
		if doublestar.MatchUnvalidated(pattern, p) {
			g.matched = true
			return true
		}
	}
	return false
}

// matchAny reports whether any glob matches p; all of them are asked.
func matchAny(globs []*glob, p string) bool {
	any := false
	for _, g := range globs {
		any = g.match(p) || any
	}
	return any
}

// included keeps what Options.Include names, with what lies below, and notes the
// globs that match nothing.
func (s *selector) included() {
	for _, g := range s.include {
		why := Reason{Rule: "include", Text: fmt.Sprintf("included by %q", g.text)}
		taken := make([]bool, len(s.paths))
		if g.literal != nil {
			g.matched = true
			taken[s.sel.index[g.literal]] = true
		}
		for i, e := range s.sel.Entries {
			if dir := e.Node.Parent(); dir != nil && taken[s.sel.index[dir]] || g.match(s.paths[i]) {
				taken[i] = true
			}
			if taken[i] {
				s.use(e.Node, why)
			}
		}
		if g.matched {
			for _, l := range g.links {
				s.keep(l, why)
			}
		}
	}
	for _, g := range slices.Concat(s.include, s.exclude) {
		if !g.matched {
			s.sel.Unmatched = append(s.sel.Unmatched, g.text)
		}
	}
}
