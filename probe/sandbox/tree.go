package sandbox

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's limit of links in one path (MAXSYMLINKS).
const maxLinks = 40

// tree finds and makes mount points in the container's tree before it is the root. It goes
// one name at a time from descriptor to descriptor and reads links itself, so that no
// link of the image, absolute or climbing, leads out. Nothing else runs in the tree then.
type tree struct {
	root    int
	created map[string]bool
}

func openTree(path string) (*tree, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &tree{root: fd, created: map[string]bool{}}, nil
}

// made are the paths that had to be created, links resolved.
func (t *tree) made() []string {
	if t == nil {
		return nil
	}
	var paths []string
	for p := range t.created {
		paths = append(paths, p)
	}
	return paths
}

// step is a name passed on the way.
type step struct {
	fd   int
	name string
}

// place opens the folder (or, if dir is false, the file that is no folder) at path as
// O_PATH, every link followed, and makes what is missing of it: mode 0755, 0644 for a
// file, root's.
func (t *tree) place(path string, dir bool) (fd int, err error) {
	steps := []step{{fd: t.root}}
	pop := func() {
		if n := len(steps); n > 1 {
			unix.Close(steps[n-1].fd)
			steps = steps[:n-1]
		}
	}
	defer func() {
		for len(steps) > 1 {
			pop()
		}
		if err != nil {
			err = &os.PathError{Op: "make mount point", Path: path, Err: err}
		}
	}()
	links := 0
	for todo := split(path); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			pop()
			continue
		}
		fd, st, err := t.enter(steps, name, dir || len(todo) > 0)
		if err != nil {
			return -1, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			steps = append(steps, step{fd, name})
			continue
		}
		target, err := readLink(fd)
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
		if links++; links > maxLinks {
			return -1, unix.ELOOP
		}
		for strings.HasPrefix(target, "/") && len(steps) > 1 {
			pop()
		}
		todo = append(split(target), todo...)
	}
	last := steps[len(steps)-1]
	var st unix.Stat_t
	if err := unix.Fstat(last.fd, &st); err != nil {
		return -1, err
	}
	switch isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR; {
	case dir && !isDir:
		return -1, unix.ENOTDIR
	case !dir && isDir:
		return -1, unix.EISDIR
	}
	return unix.FcntlInt(uintptr(last.fd), unix.F_DUPFD_CLOEXEC, 0)
}

// enter opens one name, making it if it is not there.
func (t *tree) enter(steps []step, name string, dir bool) (int, *unix.Stat_t, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at := steps[len(steps)-1].fd
	fd, err := unix.Openat(at, name, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		if dir {
			err = unix.Mkdirat(at, name, 0o755)
		} else {
			err = unix.Mknodat(at, name, unix.S_IFREG|0o644, 0)
		}
		if err != nil {
			return -1, nil, err
		}
		t.created[joined(steps, name)] = true
		fd, err = unix.Openat(at, name, flags, 0)
	}
	if err != nil {
		return -1, nil, err
	}
	st := new(unix.Stat_t)
	if err := unix.Fstat(fd, st); err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, st, nil
}

func joined(steps []step, name string) string {
	var b strings.Builder
	for _, s := range steps[1:] {
		b.WriteByte('/')
		b.WriteString(s.name)
	}
	return b.String() + "/" + name
}

// split gives the names of a path, without the empty ones and ".".
func split(path string) []string {
	var names []string
	for _, name := range strings.Split(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// readLink reads the link that fd (O_PATH) is.
func readLink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
