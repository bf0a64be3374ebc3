package rootfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// Unnamed opens a new file without a name in dir, so that nothing is left of it when
// the process ends, by SIGKILL even. Where the file system cannot do that, it has a
// name for a moment. dir "" is the system's temporary folder.
func Unnamed(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600); err == nil {
		return f, nil
	}
	f, err := os.CreateTemp(dir, "slim-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
