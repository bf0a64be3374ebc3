package transport

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

	"golang.org/x/sys/unix"
)

func openUnnamed(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o666)
}

// pending is a file on its way to a name: written first, then given the name
// whole by commit, or gone by discard.
type pending struct {
	*os.File
	dir  string
	temp string // its name until then; empty where the file system knows O_TMPFILE
}

func newPending(dir string) (*pending, error) {
	if f, err := openUnnamed(dir); err == nil {
		return &pending{File: f, dir: dir}, nil
	}
	temp := tempName(dir)
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &pending{File: f, dir: dir, temp: temp}, nil
}

func tempName(dir string) string { return filepath.Join(dir, ".slim-"+rand.Text()) }

// commit gives the file its name in dir, replacing what had it. The file is closed.
func (p *pending) commit(name string) error {
	defer p.discard()
	if p.temp == "" {
		// linkat(2) cannot replace, so a name that is taken needs a second one.
		self := "/proc/self/fd/" + strconv.Itoa(int(p.Fd()))
		path := filepath.Join(p.dir, name)
		err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		if err == nil {
			return p.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return &fs.PathError{Op: "link", Path: path, Err: err}
		}
		temp := tempName(p.dir)
		if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, temp, unix.AT_SYMLINK_FOLLOW); err != nil {
			return &fs.PathError{Op: "link", Path: temp, Err: err}
		}
		p.temp = temp
	}
	if err := p.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.temp, filepath.Join(p.dir, name)); err != nil {
		return err
	}
	p.temp = ""
	return nil
}

// discard drops the file. After commit it does nothing.
func (p *pending) discard() {
	p.Close()
	if p.temp != "" {
		os.Remove(p.temp)
		p.temp = ""
	}
}

// writeFile gives name in dir the content that write makes.
func writeFile(dir, name string, write func(io.Writer) error) error {
	p, err := newPending(dir)
	if err != nil {
		return err
	}
	defer p.discard()
	if err := write(p); err != nil {
		return err
	}
	return p.commit(name)
}

// replaceFile makes the file at path, and the folders it needs, anew. A link is
// followed, so that what it points to is replaced.
func replaceFile(path string, write func(io.Writer) error) error {
	path = realPath(path)
	if err := checkTarget(path); err != nil {
		return err
	}
	made, err := makeDirs(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Dir(path), filepath.Base(path), write); err != nil {
		removeDirs(made)
		return err
	}
	return nil
}

// checkTarget refuses to replace what is no file.
func checkTarget(path string) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.IsDir():
		return mark(ErrUsage, fmt.Errorf("%s is a folder", path))
	case !fi.Mode().IsRegular():
		return mark(ErrUsage, fmt.Errorf("%s is not a regular file", path))
	}
	return nil
}

// checkFile tells whether replaceFile could write at path.
func checkFile(path string) error {
	path = realPath(path)
	if err := checkTarget(path); err != nil {
		return err
	}
	return checkDir(filepath.Dir(path))
}

// checkDir tries to make a file in the folder, or in the nearest one above that
// is there. Only trying knows of read-only mounts, quotas and ACLs.
func checkDir(dir string) error {
	for {
		fi, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return mark(ErrUsage, fmt.Errorf("%s is not a folder", dir))
		}
		p, err := newPending(dir)
		if err != nil {
			return err
		}
		p.discard()
		return nil
	}
}

// makeDirs is os.MkdirAll that tells which folders it made, the deepest first.
func makeDirs(dir string) (made []string, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		removeDirs(made)
		return nil, err
	}
	return made, nil
}

// removeDirs takes back folders that makeDirs made, as far as they are empty.
func removeDirs(made []string) {
	for _, d := range made {
		os.Remove(d)
	}
}

// lockDir takes the folder's lock (flock(2)), which orders the writers of a layout
// that are slim; other programs know no lock. A file system without locks is
// written to without.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	locked := make(chan struct{})
	go func() {
		for unix.Flock(int(f.Fd()), unix.LOCK_EX) == unix.EINTR {
		}
		close(locked)
	}()
	select {
	case <-locked:
		return func() { f.Close() }, nil
	case <-ctx.Done():
		go func() { // the lock is given back as soon as it is had
			<-locked
			f.Close()
		}()
		return nil, context.Cause(ctx)
	}
}

// ctxReader ends with the context.
type ctxReader struct {
	ctx context.Context
	io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
