package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// changes lists what differs in the overlay's upper folder from its lower one. made are
// the paths that the set-up created. The marks of overlayfs are those of
// Documentation/filesystems/overlayfs.rst: a character device 0:0 hides a name, the
// xattr trusted.overlay.opaque=y hides what a folder holds below.
func changes(upper, lower string, made []string) ([]Change, error) {
	w := &changeWalk{upper: upper, lower: lower, made: map[string]bool{}}
	for _, p := range made {
		w.made[p] = true
	}
	if err := w.dir("", true, false); err != nil {
		return nil, err
	}
	slices.SortFunc(w.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return w.found, nil
}

type changeWalk struct {
	upper, lower string
	made         map[string]bool
	found        []Change
}

func (w *changeWalk) add(path string, kind ChangeKind) {
	w.found = append(w.found, Change{Path: "/" + strings.TrimPrefix(path, "/"), Kind: kind})
}

// dir compares a folder of the upper layer. below says whether the lower layer has a
// folder of that name, opaque whether all it holds is hidden.
func (w *changeWalk) dir(path string, below, opaque bool) error {
	above, err := lstat(w.upper + path)
	if err != nil {
		return err
	}
	if below {
		st, err := lstat(w.lower + path)
		if err != nil {
			return err
		}
		if path == "" { // as mountOverlay has it, whatever the lower one says
			st.Mode, st.Uid, st.Gid = unix.S_IFDIR|0o755, 0, 0
		}
		// A folder is also copied up because of what lies in it: no change of its own.
		if st.Mode != above.Mode || st.Uid != above.Uid || st.Gid != above.Gid {
			w.add(path, Modified)
		}
	}
	entries, err := os.ReadDir(w.upper + path)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = true
		if err := w.entry(path+"/"+e.Name(), below, opaque); err != nil {
			return err
		}
	}
	if !below || !opaque {
		return nil
	}
	hidden, err := os.ReadDir(w.lower + path)
	if err != nil {
		return err
	}
	for _, e := range hidden {
		if !there[e.Name()] {
			w.add(path+"/"+e.Name(), Deleted)
		}
	}
	return nil
}

func (w *changeWalk) entry(path string, below, opaque bool) error {
	above, err := lstat(w.upper + path)
	if err != nil {
		return err
	}
	if above.Mode&unix.S_IFMT == unix.S_IFCHR && above.Rdev == 0 {
		w.add(path, Deleted)
		return nil
	}
	var st unix.Stat_t
	if below {
		st, err = lstat(w.lower + path)
		if errors.Is(err, fs.ErrNotExist) {
			below = false
		} else if err != nil {
			return err
		}
	}
	isDir := above.Mode&unix.S_IFMT == unix.S_IFDIR
	wasDir := below && st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case !below && w.made[path] && (isDir || above.Size == 0):
	case !below:
		w.add(path, Created)
	case !isDir || !wasDir:
		w.add(path, Modified)
	}
	if !isDir {
		return nil
	}
	return w.dir(path, wasDir, opaque || isOpaque(w.upper+path))
}

func isOpaque(path string) bool {
	var value [1]byte
	n, err := unix.Lgetxattr(path, "trusted.overlay.opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

func lstat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Clean(path), &st); err != nil {
		return st, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st, nil
}
