// Package rootfs indexes the file tree of a container image without unpacking
// it: each layer is decompressed once into a flat file of the cache, its tar
// headers are merged into a tree in memory, and content is read from the flat
// files by offset. Nothing of the image becomes a path of the host, so a hostile
// archive has nothing to escape to, and no privilege is needed.
package rootfs

import (
	"context"
	"errors"
	"io"
	"iter"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrInput marks an image that cannot be accepted: a digest that does not match,
// a truncated layer, an entry that climbs out of the tree. Test with errors.Is.
var ErrInput = errors.New("image rejected")

// Options of Load.
type Options struct {
	// CacheDir is the folder for decompressed layers, each a file named by its
	// diff ID; made if it is not there, shared safely by concurrent runs.
	CacheDir string
}

// FS is the merged, read-only tree of an image. It implements fs.FS,
// fs.StatFS, fs.ReadDirFS, fs.ReadFileFS and fs.ReadLinkFS; links resolve
// within the tree. It is safe for concurrent use.
type FS struct{}

// content says where the bytes of a regular file lie.
type content struct{}

// Load indexes all layers of img.
func Load(ctx context.Context, img v1.Image, opts Options) (*FS, error) { panic("to be written") }

// Close releases the cache files.
func (f *FS) Close() error { panic("to be written") }

// Root is the node of "/".
func (f *FS) Root() *Node { panic("to be written") }

// Len is the number of names in the tree, the root included.
func (f *FS) Len() int { panic("to be written") }

// Size is the sum of all regular files' bytes, each inode once.
func (f *FS) Size() int64 { panic("to be written") }

// HasXattrs reports whether any inode carries an extended attribute.
func (f *FS) HasXattrs() bool { panic("to be written") }

// All yields every node, parents before children, siblings in byte order of
// their names, the root first.
func (f *FS) All() iter.Seq[*Node] { panic("to be written") }

// Lookup finds the name at path ("/a/b" or "a/b"), following links in its
// directories but not in the last element, as lstat does. The error is an
// *fs.PathError around fs.ErrNotExist, syscall.ENOTDIR or syscall.ELOOP.
func (f *FS) Lookup(path string) (*Node, error) { panic("to be written") }

// Resolve finds the file at path, following every link as stat does, and lists
// the symbolic links it went through, in order. On an error the links passed
// until then are returned with it.
func (f *FS) Resolve(path string) (n *Node, links []*Node, err error) { panic("to be written") }

// ResolveFrom is Resolve for a path relative to dir.
func (f *FS) ResolveFrom(dir *Node, path string) (n *Node, links []*Node, err error) {
	panic("to be written")
}

// Content reads a regular file's bytes: an io.ReaderAt with a size, safe for
// concurrent use, that allocates nothing per read.
func (f *FS) Content(i *Inode) *io.SectionReader { panic("to be written") }
