package keep

import (
	"cmp"
	"slices"

	"slim/probe/rootfs"
)

// Count is a number of names of any type, directories among them, and the bytes
// of content behind them.
type Count struct {
	Files int
	Bytes int64
}

// CategoryCount is what was dropped as one category.
type CategoryCount struct {
	Category Category
	Count
}

// Totals sums a Selection up. The bytes of an inode count once: as kept if any of
// its names is, otherwise as dropped, in the category of its first name.
type Totals struct {
	Kept, Dropped Count
	// ByCategory splits Dropped: most bytes first, then most files, then by category.
	ByCategory []CategoryCount
}

// Totals counts the entries.
func (s *Selection) Totals() Totals {
	var t Totals
	counted := make(map[*rootfs.Inode]bool)
	bytes := func(e Entry) int64 {
		i := e.Node.Inode()
		if !i.IsRegular() || counted[i] {
			return 0
		}
		counted[i] = true
		return i.Size
	}
	for e := range s.Kept() {
		t.Kept.Files++
		t.Kept.Bytes += bytes(e)
	}
	dropped := make(map[Category]Count)
	for _, e := range s.Entries {
		if e.Kept {
			continue
		}
		b := bytes(e)
		t.Dropped.Files++
		t.Dropped.Bytes += b
		c := dropped[e.Category]
		dropped[e.Category] = Count{Files: c.Files + 1, Bytes: c.Bytes + b}
	}
	for category, count := range dropped {
		t.ByCategory = append(t.ByCategory, CategoryCount{category, count})
	}
	slices.SortFunc(t.ByCategory, func(a, b CategoryCount) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Files, a.Files), cmp.Compare(a.Category, b.Category))
	})
	return t
}
