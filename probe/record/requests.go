package record

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// forever is a validity in seconds that the kernel takes as without end: it
// clamps what does not fit its jiffies.
const forever = 1 << 62

// fmodeExec is the kernel's mark in the flags of a file that it opened to execute
// (FMODE_EXEC, include/linux/fs.h; no O_ flag has the value).
const fmodeExec = 0x20

// raw answers the kernel's requests. Those it does not have, the embedded one
// answers with ENOSYS.
type raw struct {
	fuse.RawFileSystem
	*FUSE
	results sync.Pool
}

func newRaw(f *FUSE) *raw {
	return &raw{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		FUSE:          f,
		results:       sync.Pool{New: func() any { return new(result) }},
	}
}

func (r *raw) String() string { return "slim" }

// entry is what a node id stands for.
func (r *raw) entry(id uint64) (*entry, bool) {
	if id == 0 || id > uint64(len(r.nodes)) {
		r.fail(fmt.Errorf("record: request for node %d of %d", id, len(r.nodes)))
		return nil, false
	}
	return &r.nodes[id-1], true
}

func (r *raw) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if _, ok := r.entry(in.NodeId); !ok {
		return fuse.Status(unix.ESTALE)
	}
	setup := r.now() == Setup
	at, ok := child(r.nodes, uint32(in.NodeId-1), name)
	if !ok {
		if setup {
			return fuse.ENOENT // not to be remembered
		}
		r.miss(uint32(in.NodeId-1), name, in.Pid)
		out.EntryValid = forever // node 0: not there, and will not be
		return fuse.OK
	}
	e := &r.nodes[at]
	r.touch(&e.mark, Lookup, in.Pid)
	out.NodeId = uint64(at) + 1
	e.attr(&out.Attr)
	if !setup {
		out.EntryValid = forever
	}
	return fuse.OK
}

// Forget need not: node ids are places in a table.
func (r *raw) Forget(nodeid, nlookup uint64) {}

func (r *raw) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	e, ok := r.entry(in.NodeId)
	if !ok {
		return fuse.Status(unix.ESTALE)
	}
	if r.now() != Setup {
		r.touch(&e.mark, Stat, in.Pid)
		out.AttrValid = forever
	}
	e.attr(&out.Attr)
	return fuse.OK
}

// attr fills in a file's attributes.
func (e *entry) attr(out *fuse.Attr) {
	i := e.node.Inode()
	sec, nsec := uint64(i.MTime.Unix()), uint32(i.MTime.Nanosecond())
	*out = fuse.Attr{
		Ino:   i.Ino,
		Size:  uint64(i.Size),
		Atime: sec, Atimensec: nsec,
		Mtime: sec, Mtimensec: nsec,
		Ctime: sec, Ctimensec: nsec,
		Mode:    i.Mode,
		Nlink:   uint32(max(len(i.Names), 1)),
		Owner:   fuse.Owner{Uid: i.UID, Gid: i.GID},
		Rdev:    uint32(unix.Mkdev(i.Major, i.Minor)),
		Blksize: 4096,
	}
	if i.IsDir() {
		// As most file systems have it; some programs divide by the size.
		out.Size = 4096
		out.Nlink = 2 + e.dirs
	}
	out.Blocks = (out.Size + 511) / 512
}

func (r *raw) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	e, ok := r.entry(in.NodeId)
	if !ok {
		return nil, fuse.Status(unix.ESTALE)
	}
	r.use(e, Link, in.Pid)
	return []byte(e.node.Inode().Target), fuse.OK
}

// use is touch for what the kernel keeps in its page cache.
func (r *raw) use(e *entry, op Op, pid uint32) {
	if r.now() == Setup {
		e.bits.Or(stale)
	}
	r.touch(&e.mark, op, pid)
}

func (r *raw) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	e, ok := r.entry(in.NodeId)
	if !ok {
		return nil, fuse.Status(unix.ESTALE)
	}
	r.use(e, Read, in.Pid)
	flags := uint32(served)
	if in.Flags&fmodeExec != 0 && r.now() != Setup {
		flags |= kernelExec
	}
	if e.bits.Load()&flags != flags {
		e.bits.Or(flags)
	}
	n, err := readAt(r.fsys.Content(e.node.Inode()), buf, int64(in.Offset))
	if err != nil {
		// To the program this is a broken disk. Whatever it does about that says
		// nothing of the image.
		r.fail(fmt.Errorf("record: read %s at %d: %w", e.node.Path(), in.Offset, err))
		return nil, fuse.EIO
	}
	res := r.results.Get().(*result)
	res.pool, res.data = &r.results, buf[:n]
	return res, fuse.OK
}

// readAt reads until the buffer is full or the file ends, and takes an early end
// for the error that it is.
func readAt(content *io.SectionReader, buf []byte, off int64) (int, error) {
	want := min(int64(len(buf)), content.Size()-off)
	if want <= 0 {
		return 0, nil
	}
	n, err := content.ReadAt(buf[:want], off)
	if int64(n) == want {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// result is a fuse.ReadResult that is used again: a read allocates nothing.
type result struct {
	pool *sync.Pool
	data []byte
}

func (r *result) Bytes([]byte) ([]byte, fuse.Status) { return r.data, fuse.OK }
func (r *result) Size() int                          { return len(r.data) }
func (r *result) Done() {
	r.data = nil
	r.pool.Put(r)
}

func (r *raw) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	e, ok := r.entry(in.NodeId)
	if !ok {
		return fuse.Status(unix.ESTALE)
	}
	r.use(e, List, in.Pid)
	// The offset is the number of entries the kernel has: ".", "..", the children.
	kids := e.node.Children()
	for at := in.Offset; at < uint64(len(kids))+2; at++ {
		n, name := e.node, "."
		switch at {
		case 0:
		case 1:
			name = ".."
			if p := n.Parent(); p != nil {
				n = p
			}
		default:
			n = kids[at-2]
			name = n.Name()
		}
		i := n.Inode()
		if !out.AddDirEntry(fuse.DirEntry{Name: name, Ino: i.Ino, Mode: i.Mode, Off: at + 1}) {
			break
		}
	}
	return fuse.OK
}

// An attribute counts as read only where there is one. The kernel itself asks for
// security.capability at every exec, and `ls -l` for a label on every file; that
// there is none, no smaller image can change.
func (r *raw) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	e, ok := r.entry(in.NodeId)
	if !ok {
		return 0, fuse.Status(unix.ESTALE)
	}
	value, ok := e.node.Inode().Xattrs[name]
	if !ok || overlays(name) {
		return 0, fuse.ENODATA
	}
	r.touch(&e.mark, Xattr, in.Pid)
	if len(dest) < len(value) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(dest, value)), fuse.OK
}

func (r *raw) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	e, ok := r.entry(in.NodeId)
	if !ok {
		return 0, fuse.Status(unix.ESTALE)
	}
	var names []string
	for name := range e.node.Inode().Xattrs {
		if !overlays(name) {
			names = append(names, name+"\x00")
		}
	}
	if len(names) > 0 {
		r.touch(&e.mark, Xattr, in.Pid)
	}
	slices.Sort(names)
	list := strings.Join(names, "")
	if len(dest) < len(list) {
		return uint32(len(list)), fuse.ERANGE
	}
	return uint32(copy(dest, list)), fuse.OK
}

// overlays reports whether an attribute is the overlay's own. In an image one can
// only be a left-over of how it was made, and would be obeyed: a file could be hidden
// by it, or come from elsewhere.
func overlays(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}

func (r *raw) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const block = 4096
	*out = fuse.StatfsOut{
		Blocks:  uint64(r.fsys.Size()+block-1) / block,
		Files:   uint64(r.fsys.Len()),
		Bsize:   block,
		Frsize:  block,
		NameLen: 255,
	}
	return fuse.OK
}

// Asked once, answered with "not here", never asked again: the kernel then opens
// without us, passes access(2) by the mode, and seeks by the size.

func (r *raw) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status    { return fuse.ENOSYS }
func (r *raw) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }
func (r *raw) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status               { return fuse.ENOSYS }
func (r *raw) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status                 { return fuse.ENOSYS }
func (r *raw) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status { return fuse.ENOSYS }
func (r *raw) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status { return fuse.ENOSYS }
