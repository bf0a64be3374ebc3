package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of what a layer may hold: those that unpacking it on Linux would meet.
const (
	maxNames    = 4 << 20  // in all layers together; some 300 bytes of memory each
	maxNameLen  = 255      // NAME_MAX
	maxPathLen  = 4095     // PATH_MAX without its NUL; also of a link's target
	maxFileSize = 16 << 40 // of ext4, 16 TiB
	maxXattrLen = 64 << 10 // XATTR_SIZE_MAX
)

// counter bounds the names of all layers together.
type counter struct {
	n     atomic.Int64
	limit int64
}

func (c *counter) add() error {
	if c.n.Add(1) > c.limit {
		return fmt.Errorf("more than %d names", c.limit)
	}
	return nil
}

// layerTree is what one layer says, before it is laid over those below: like the
// upper folder of an overlay, into which Docker and containerd unpack each layer
// on its own. So a symbolic link is followed only where the same layer holds it,
// and a path through a link of a lower layer makes a folder in its place.
type layerTree struct {
	index int
	root  *Node
	count *counter

	names  map[nameKey]*Node  // each name but the root
	hidden map[*Node][]string // names of lower layers removed from a directory
	opaque map[*Node]bool     // directories that show nothing of lower layers
	low    map[*Inode]string  // stand-ins for hard links to lower layers: the target
	aufs   map[string]*Inode  // files of .wh..wh.plnk by name
}

type nameKey struct {
	dir  *Node
	name string
}

// newRoot is the root of a tree whose layers do not list it.
func newRoot() *Node {
	return &Node{name: "/", inode: impliedDir()}
}

// impliedDir is a directory that no layer lists.
func impliedDir() *Inode {
	return &Inode{Mode: unix.S_IFDIR | 0o755, MTime: time.Unix(0, 0).UTC(), Layer: -1}
}

// indexLayer reads the headers of a flat layer file.
func indexLayer(ctx context.Context, file *os.File, size int64, index int, count *counter) (*layerTree, error) {
	t := &layerTree{
		index:  index,
		root:   newRoot(),
		count:  count,
		names:  make(map[nameKey]*Node),
		hidden: make(map[*Node][]string),
		opaque: make(map[*Node]bool),
		low:    make(map[*Inode]string),
		aufs:   make(map[string]*Inode),
	}
	pos := &position{r: file, size: size}
	tr := tar.NewReader(pos)
	for start := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, entryError(fmt.Sprintf("tar header at byte %d", start), pos.cause(err))
		}
		var data content
		data, start, err = pos.content(hdr, start)
		if err == nil {
			data.blob = file
			err = t.add(hdr, data)
		}
		if err != nil {
			return nil, entryError(fmt.Sprintf("entry %q", hdr.Name), pos.cause(err))
		}
	}
	if err := pos.onlyZeros(); err != nil {
		return nil, entryError("end of archive", pos.cause(err))
	}
	return t, nil
}

// entryError says what was wrong where; only an error of the host's file system
// is not the image's fault.
func entryError(where string, err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", where, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrInput, where, err)
}

// add puts one entry of the archive into the tree.
func (t *layerTree) add(hdr *tar.Header, data content) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil // holds no file; Docker ignores it too
	}
	name, err := cleanName(hdr.Name)
	if err != nil {
		return err
	}
	dir, base := path.Split(name)
	if strings.HasPrefix(name, whiteoutMeta) && name != whiteoutOpaque {
		return t.addAufs(name, hdr, data)
	}
	if strings.Contains("/"+dir, "/"+whiteoutPrefix) {
		return errors.New("below a whiteout")
	}
	parent, err := t.dir(dir)
	if err != nil {
		return err
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return t.whiteout(parent, base)
	}
	if hdr.Typeflag == tar.TypeLink {
		return t.link(parent, base, hdr)
	}
	inode, err := t.inode(hdr, data)
	if err != nil {
		return err
	}
	if base == "" {
		if !inode.IsDir() {
			return errors.New("the root is not a directory")
		}
		// Docker and containerd skip the root's entry, so that their root is always
		// 0755 root; other tools apply it. It is kept for the reader to choose.
		t.root.inode = inode
		return nil
	}
	return t.put(parent, base, inode)
}

// cleanName makes a tar name relative to the root and clean: "" for the root
// itself. One that climbs above the root is refused, even where the rest of it
// would lead back in.
func cleanName(name string) (string, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return "", errors.New("a NUL in the name")
	}
	rel := path.Clean(strings.TrimLeft(name, "/"))
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return "", errors.New("climbs out of the tree")
	}
	if rel == "." {
		return "", nil
	}
	if len(rel) > maxPathLen {
		return "", syscall.ENAMETOOLONG
	}
	for part := range strings.SplitSeq(rel, "/") {
		if len(part) > maxNameLen {
			return "", syscall.ENAMETOOLONG
		}
	}
	return rel, nil
}

// put names inode in parent. A directory over a directory changes its attributes
// and keeps what it holds; anything else takes the place of what was there.
func (t *layerTree) put(parent *Node, name string, inode *Inode) error {
	n := t.names[nameKey{parent, name}]
	if n == nil {
		_, err := t.newNode(parent, name, inode)
		return err
	}
	if !n.inode.IsDir() || !inode.IsDir() {
		t.clear(n)
	}
	n.inode = inode
	return nil
}

func (t *layerTree) newNode(parent *Node, name string, inode *Inode) (*Node, error) {
	if err := t.count.add(); err != nil {
		return nil, err
	}
	// The header's string is the whole path: keep only the name of it.
	name = strings.Clone(name)
	n := &Node{name: name, parent: parent, inode: inode}
	t.names[nameKey{parent, name}] = n
	parent.children = append(parent.children, n)
	return n, nil
}

// clear forgets all below n, and what n hides.
func (t *layerTree) clear(n *Node) {
	for _, c := range n.children {
		t.clear(c)
		delete(t.names, nameKey{n, c.name})
	}
	n.children = nil
	delete(t.hidden, n)
	delete(t.opaque, n)
}

// dir finds the directory at a clean path, making what is missing. Links of the
// same layer are followed, as in the upper folder of an overlay.
func (t *layerTree) dir(dir string) (*Node, error) {
	n, _, err := t.walk(dir, true)
	return n, err
}

// walk finds a directory of this layer. Where one is missing it is made, or the node
// is nil if create is false.
func (t *layerTree) walk(dir string, create bool) (n *Node, followed bool, err error) {
	n = t.root
	for links := 0; dir != ""; {
		var name string
		name, dir, _ = strings.Cut(dir, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			if n.parent != nil {
				n = n.parent
			}
			continue
		}
		c := t.names[nameKey{n, name}]
		switch {
		case c == nil && !create:
			return nil, followed, nil
		case c == nil:
			if c, err = t.newNode(n, name, impliedDir()); err != nil {
				return nil, followed, err
			}
			// Only links can lead to a path longer than the entry's own.
			if followed && (len(name) > maxNameLen || c.pathLen() > maxPathLen) {
				return nil, followed, syscall.ENAMETOOLONG
			}
		case c.inode.IsSymlink():
			if links++; links > maxLinks {
				return nil, followed, syscall.ELOOP
			}
			followed = true
			if c.inode.Target[0] == '/' {
				n = t.root
			}
			dir = c.inode.Target + "/" + dir
			continue
		case !c.inode.IsDir():
			return nil, followed, fmt.Errorf("%s: %w", c.Path(), syscall.ENOTDIR)
		}
		n = c
	}
	return n, followed, nil
}

// pathLen is len(n.Path()).
func (n *Node) pathLen() int {
	l := 0
	for ; n.parent != nil; n = n.parent {
		l += 1 + len(n.name)
	}
	return l
}

// link adds a hard link. Its target is a name of this layer or, failing that, of
// the layers below; a target that is a symbolic link is linked itself.
func (t *layerTree) link(parent *Node, base string, hdr *tar.Header) error {
	target, err := cleanName(hdr.Linkname)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err)
	}
	if base == "" {
		return errors.New("the root is not a directory")
	}
	var inode *Inode
	if strings.HasPrefix(target, whiteoutMeta) {
		inode = t.aufs[path.Base(target)]
	} else if inode, err = t.linked(target); err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err)
	}
	if inode == nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, syscall.ENOENT)
	}
	if n := t.names[nameKey{parent, base}]; n != nil && n.inode == inode {
		return nil
	}
	return t.put(parent, base, inode)
}

// linked is the inode a hard link to target shares; a stand-in if target is not in
// this layer.
func (t *layerTree) linked(target string) (*Inode, error) {
	dir, base := path.Split(target)
	d, _, err := t.walk(dir, false)
	if err != nil {
		return nil, err
	}
	if d != nil {
		if n := t.names[nameKey{d, base}]; n != nil || base == "" {
			if base == "" || n.inode.IsDir() {
				return nil, syscall.EISDIR
			}
			return n.inode, nil
		}
	}
	if err := t.count.add(); err != nil {
		return nil, err
	}
	inode := &Inode{Mode: unix.S_IFREG, Layer: t.index}
	t.low[inode] = target
	return inode, nil
}
