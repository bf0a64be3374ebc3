package rootfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// cache keeps decompressed layers: DIR/ALGORITHM/HEX, named by diff ID.
//
// A file gets its name only when it is whole and its hash was right, so a run that
// is killed leaves nothing that looks like a layer. It is hashed again before each
// use: nothing is fsynced, so after a power failure a file of the right length may
// hold zeros, and hashing costs a fraction of decompressing.
type cache struct {
	dir  string // "": files without a name in temp
	temp string
}

// openCache makes the folder and removes what killed runs have left there.
func openCache(opts Options) (*cache, error) {
	c := &cache{dir: opts.CacheDir, temp: opts.TempDir}
	if c.dir == "" {
		return c, nil
	}
	// The layers may hold secrets of the image: for this user only.
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cache folder: %w", err)
	}
	c.sweep()
	return c, nil
}

// layer returns the flat file of a layer, from the cache or unpacked into it.
func (c *cache) layer(ctx context.Context, s *source) (*os.File, int64, error) {
	if f, size, err := c.lookup(ctx, s.diffID); f != nil || err != nil {
		return f, size, err
	}
	t, err := c.create()
	if err != nil {
		return nil, 0, err
	}
	size, err := s.unpack(ctx, t.File)
	if err == nil {
		err = c.commit(t, s.diffID)
	}
	if err != nil {
		t.discard()
		return nil, 0, err
	}
	return t.File, size, nil
}

func (c *cache) path(diffID v1.Hash) string {
	return filepath.Join(c.dir, diffID.Algorithm, diffID.Hex)
}

// lookup opens the layer's file if it is there and its hash is right; a nil file
// without an error means that it must be made (again).
func (c *cache) lookup(ctx context.Context, diffID v1.Hash) (*os.File, int64, error) {
	if c.dir == "" {
		return nil, 0, nil
	}
	f, err := os.OpenFile(c.path(diffID), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, nil // whatever is wrong with it, making it anew will tell
	}
	m := newMeter(diffID)
	_, err = io.CopyBuffer(m, struct{ io.Reader }{&ctxReader{ctx, f}}, make([]byte, chunk))
	if err == nil && m.sum() == diffID {
		return f, m.n, nil
	}
	f.Close()
	return nil, 0, ctx.Err()
}

// tempFile is a file being written: without a name where the file system can do
// that, else named and locked, so that a later run can tell it from a left-over.
type tempFile struct {
	*os.File
	name string // "" if it has none
}

const tempPrefix = ".tmp-"

func (c *cache) create() (*tempFile, error) {
	if c.dir == "" {
		f, err := Unnamed(c.temp)
		if err != nil {
			return nil, fmt.Errorf("make cache file: %w", err)
		}
		return &tempFile{File: f}, nil
	}
	fd, err := unix.Open(c.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return &tempFile{File: os.NewFile(uintptr(fd), filepath.Join(c.dir, "layer"))}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("make cache file: %w", &fs.PathError{Op: "open", Path: c.dir, Err: err})
	}
	t, err := c.createNamed()
	if err != nil {
		return nil, fmt.Errorf("make cache file: %w", err)
	}
	return t, nil
}

// createNamed is for file systems without O_TMPFILE.
func (c *cache) createNamed() (*tempFile, error) {
	for {
		f, err := os.CreateTemp(c.dir, tempPrefix)
		if err != nil {
			return nil, err
		}
		t := &tempFile{File: f, name: f.Name()}
		var stat unix.Stat_t
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err == nil {
			err = unix.Fstat(int(f.Fd()), &stat)
		}
		switch {
		case err != nil:
			t.discard()
			return nil, err
		case stat.Nlink == 0:
			f.Close() // swept by another run before it was locked
		default:
			return t, nil
		}
	}
}

func (t *tempFile) discard() {
	t.Close()
	if t.name != "" {
		os.Remove(t.name)
	}
}

// commit gives the file its name, in place of a damaged one.
func (c *cache) commit(t *tempFile, diffID v1.Hash) error {
	if c.dir == "" {
		return nil
	}
	path := c.path(diffID)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cache folder: %w", err)
	}
	if t.name == "" {
		// A file without a name can be linked to a free name only, and the layer's
		// may be taken (damaged, or made by another run meanwhile): link, then rename.
		name := filepath.Join(c.dir, tempPrefix+rand.Text())
		if err := unix.Flock(int(t.Fd()), unix.LOCK_EX); err != nil {
			return fmt.Errorf("lock cache file: %w", err)
		}
		self := "/proc/self/fd/" + strconv.FormatUint(uint64(t.Fd()), 10)
		if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return fmt.Errorf("name cache file: %w", &os.LinkError{Op: "link", Old: self, New: name, Err: err})
		}
		t.name = name
	}
	if err := os.Rename(t.name, path); err != nil {
		return fmt.Errorf("name cache file: %w", err)
	}
	t.name = ""
	return nil
}

// sweep removes temporary files that no living run holds locked.
func (c *cache) sweep() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		path := filepath.Join(c.dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.Remove(path)
		}
		f.Close()
	}
}
