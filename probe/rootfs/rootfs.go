// Package rootfs indexes the file tree of a container image without unpacking
// it: each layer is decompressed once into a flat file of the cache, its tar
// headers are merged into a tree in memory, and content is read from the flat
// files by offset. Nothing of the image becomes a path of the host, so a hostile
// archive has nothing to escape to, and no privilege is needed.
//
// The tree is the one that an overlay of the layers shows, as Docker and
// containerd mount it; where those leave a choice, the OCI image spec decides.
// Memory grows with the number of names, never with the bytes behind them.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// ErrInput marks an image that cannot be accepted: a digest that does not match,
// a truncated layer, an entry that climbs out of the tree. Test with errors.Is.
var ErrInput = errors.New("image rejected")

// Options of Load.
type Options struct {
	// CacheDir is the folder for decompressed layers, each a file named by its
	// diff ID; made if it is not there, shared safely by concurrent runs. Where it
	// is "", the layers go to files without a name in TempDir, which are gone once the
	// FS is closed or the process ends.
	CacheDir string
	// TempDir is used without a CacheDir; "" is the system's temporary folder.
	TempDir string
}

// FS is the merged, read-only tree of an image. It implements fs.FS,
// fs.StatFS, fs.ReadDirFS, fs.ReadFileFS and fs.ReadLinkFS; links resolve
// within the tree. It is safe for concurrent use.
type FS struct {
	root   *Node
	names  int
	size   int64
	xattrs bool

	closeOnce sync.Once
	closeErr  error
	blobs     []*os.File // each once
}

// Load indexes all layers of img. An image that cannot be accepted gives an
// error that wraps ErrInput and names the layer and the entry; a canceled ctx
// gives its error. A layer is read between two checks of ctx, so a source that
// can block for long must end by itself when ctx does.
func Load(ctx context.Context, img v1.Image, opts Options) (*FS, error) {
	sources, err := imageLayers(img)
	if err != nil {
		return nil, err
	}
	store, err := openCache(opts)
	if err != nil {
		return nil, err
	}
	trees := make([]*layerTree, len(sources))
	blobs := make(map[v1.Hash]*sharedBlob)
	for _, s := range sources {
		blobs[s.diffID] = &sharedBlob{}
	}
	closeAll := func() (err error) {
		for _, b := range blobs {
			if b.file != nil {
				err = errors.Join(err, b.file.Close())
			}
		}
		return err
	}

	count := &counter{limit: maxNames}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range sources {
		g.Go(func() error {
			file, size, err := blobs[s.diffID].open(func() (*os.File, int64, error) {
				return store.layer(gctx, s)
			})
			if err == nil {
				trees[i], err = indexLayer(gctx, file, size, i, count)
			}
			if err != nil {
				return fmt.Errorf("layer %d (%s): %w", i, s, err)
			}
			return nil
		})
	}
	err = g.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		closeAll()
		return nil, err
	}

	f := &FS{root: newRoot()}
	for _, b := range blobs {
		f.blobs = append(f.blobs, b.file)
	}
	for i, t := range trees {
		if err := f.apply(t); err != nil {
			closeAll()
			return nil, fmt.Errorf("layer %d (%s): %w", i, sources[i], err)
		}
	}
	if err := f.finish(); err != nil {
		closeAll()
		return nil, err
	}
	return f, nil
}

// sharedBlob lets layers with one diff ID (empty ones, mostly) share a file.
type sharedBlob struct {
	once sync.Once
	file *os.File
	size int64
	err  error
}

func (b *sharedBlob) open(get func() (*os.File, int64, error)) (*os.File, int64, error) {
	b.once.Do(func() { b.file, b.size, b.err = get() })
	return b.file, b.size, b.err
}

// Close releases the cache files; readers of content fail from then on. The tree
// itself stays valid.
func (f *FS) Close() error {
	f.closeOnce.Do(func() {
		for _, b := range f.blobs {
			f.closeErr = errors.Join(f.closeErr, b.Close())
		}
	})
	return f.closeErr
}

// Root is the node of "/".
func (f *FS) Root() *Node { return f.root }

// Len is the number of names in the tree, the root included.
func (f *FS) Len() int { return f.names }

// Size is the sum of all regular files' bytes, each inode once.
func (f *FS) Size() int64 { return f.size }

// HasXattrs reports whether any inode carries an extended attribute.
func (f *FS) HasXattrs() bool { return f.xattrs }

// All yields every node, parents before children, siblings in byte order of
// their names, the root first.
func (f *FS) All() iter.Seq[*Node] {
	return func(yield func(*Node) bool) { f.root.walk(yield) }
}

// walk yields n and what is below it; false once yield said so.
func (n *Node) walk(yield func(*Node) bool) bool {
	if !yield(n) {
		return false
	}
	for _, c := range n.children {
		if !c.walk(yield) {
			return false
		}
	}
	return true
}

// Content reads a regular file's bytes: an io.ReaderAt with a size, safe for
// concurrent use, that allocates nothing per read. Holes of a sparse file read as
// zeros; an inode of another type has no bytes.
func (f *FS) Content(i *Inode) *io.SectionReader {
	switch {
	case !i.IsRegular() || i.Size == 0:
		return io.NewSectionReader(holes{}, 0, 0)
	case i.content.extents != nil:
		return io.NewSectionReader(&sparseFile{i.content.blob, i.content.extents}, 0, i.Size)
	default:
		return io.NewSectionReader(i.content.blob, i.content.offset, i.Size)
	}
}
