package rootfs

import (
	"io/fs"
	"strings"
	"syscall"
)

// maxLinks is MAXSYMLINKS of the kernel (include/linux/namei.h): so many are
// followed in one look-up, one more is ELOOP.
const maxLinks = 40

// Lookup finds the name at path ("/a/b" or "a/b"), following links in its
// directories but not in the last element, as lstat does; a trailing slash asks
// for a directory and follows that too. The error is an *fs.PathError around
// syscall.ENOENT (which is fs.ErrNotExist), syscall.ENOTDIR or syscall.ELOOP.
func (f *FS) Lookup(path string) (*Node, error) {
	w := walker{root: f.root}
	n, err := w.walk(f.root, path, false)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return n, nil
}

// Resolve finds the file at path, following every link as stat does, and lists
// the symbolic links it went through, in order. On an error the links passed
// until then are returned with it.
func (f *FS) Resolve(path string) (n *Node, links []*Node, err error) {
	return f.ResolveFrom(f.root, path)
}

// ResolveFrom is Resolve for a path relative to dir. An absolute path starts at
// the root all the same.
func (f *FS) ResolveFrom(dir *Node, path string) (n *Node, links []*Node, err error) {
	w := walker{root: f.root}
	n, err = w.walk(dir, path, true)
	if err != nil {
		return nil, w.links, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return n, w.links, nil
}

// walker resolves one path as path_resolution(7) says, within the tree: ".." of
// the root is the root, whether it comes from the path or from a link.
type walker struct {
	root  *Node
	links []*Node
}

// walk goes from n along path; follow says whether to follow a link at its end.
func (w *walker) walk(n *Node, path string, follow bool) (*Node, error) {
	if path == "" {
		return nil, syscall.ENOENT
	}
	if path[0] == '/' {
		n = w.root
	}
	for path != "" {
		if !n.inode.IsDir() {
			return nil, syscall.ENOTDIR
		}
		name, rest, more := strings.Cut(path, "/")
		path = rest
		switch name {
		case "", ".":
			continue
		case "..":
			if n.parent != nil {
				n = n.parent
			}
			continue
		}
		c := n.Child(name)
		if c == nil {
			return nil, syscall.ENOENT
		}
		if !c.inode.IsSymlink() || !more && !follow {
			if more && !c.inode.IsDir() {
				return nil, syscall.ENOTDIR
			}
			n = c
			continue
		}
		if len(w.links) == maxLinks {
			return nil, syscall.ELOOP
		}
		w.links = append(w.links, c)
		target := c.inode.Target
		if target[0] == '/' {
			n = w.root
		}
		if path = target; more {
			path += "/" + rest
		}
	}
	return n, nil
}
