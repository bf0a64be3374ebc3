package verify

import (
	"context"
	"fmt"
	"io"
	"maps"

	"slim/minify/keep"
	"slim/probe/rootfs"
)

// FilesOptions of Files.
type FilesOptions struct {
	// Base says that the slim image has another below it, whose own entries and times
	// are not the original's.
	Base bool
	// Stripped says that the content of ELF files may have lost symbols.
	Stripped bool
}

// Files holds the tree of a slim image against the selection it was made of: every
// kept name must be there with the original's header and content, and no other. The
// row's Detail names the first that is not so. Errors are those of reading.
func Files(ctx context.Context, sel *keep.Selection, slim *rootfs.FS, opts FilesOptions) (Row, error) {
	kept, same := 0, 0
	row := Row{Name: "files"}
	for e := range sel.Kept() {
		if err := ctx.Err(); err != nil {
			return row, context.Cause(ctx)
		}
		kept++
		problem, err := differs(sel.FS, e.Node, slim, opts)
		switch {
		case err != nil:
			return row, fmt.Errorf("compare %s: %w", e.Node.Path(), err)
		case problem == "":
			same++
		case row.Detail == "":
			row.Detail = e.Node.Path() + ": " + problem
		}
	}
	if n := slim.Len(); !opts.Base && n != kept {
		row.Detail = fmt.Sprintf("%d names in the slim image, %d selected", n, kept)
	}
	row.Original = fmt.Sprintf("%d names selected", kept)
	row.Slim = fmt.Sprintf("%d of %d names equal", same, kept)
	row.Equal = row.Detail == ""
	return row, nil
}

// differs says what of a kept name is not as it was; "" for nothing.
func differs(fat *rootfs.FS, n *rootfs.Node, slim *rootfs.FS, opts FilesOptions) (string, error) {
	if n.Parent() == nil {
		return "", nil
	}
	m := slim.Counterpart(n)
	if m == nil {
		return "missing", nil
	}
	a, b := n.Inode(), m.Inode()
	switch {
	case a.Mode != b.Mode:
		return fmt.Sprintf("mode %#o, was %#o", b.Mode, a.Mode), nil
	case a.UID != b.UID || a.GID != b.GID:
		return fmt.Sprintf("owner %d:%d, was %d:%d", b.UID, b.GID, a.UID, a.GID), nil
	case a.Target != b.Target:
		return fmt.Sprintf("link to %q, was %q", b.Target, a.Target), nil
	case a.Major != b.Major || a.Minor != b.Minor:
		return "another device", nil
	case !maps.Equal(a.Xattrs, b.Xattrs):
		return "other attributes", nil
	case !opts.Base && !a.MTime.Equal(b.MTime):
		return fmt.Sprintf("time %v, was %v", b.MTime, a.MTime), nil
	case !a.IsRegular():
		return "", nil
	}
	if opts.Stripped && b.Size < a.Size && isELF(fat.Content(a)) {
		return "", nil
	}
	if a.Size != b.Size {
		return fmt.Sprintf("%d bytes, were %d", b.Size, a.Size), nil
	}
	same, err := rootfs.SameContent(fat.Content(a), slim.Content(b))
	if err != nil || same {
		return "", err
	}
	return "other content", nil
}

func isELF(r io.Reader) bool {
	var magic [4]byte
	_, err := io.ReadFull(r, magic[:])
	return err == nil && string(magic[:]) == "\x7fELF"
}
