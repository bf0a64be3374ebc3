package rootfs

import (
	"context"
	"io"
	"reflect"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// IsPlain reports whether a layer is read as the plain tar it is stored as.
func IsPlain(l v1.Layer) bool { return reflect.TypeOf(l) == plainSource }

// Unpack is source.unpack for a layer on its own.
func Unpack(ctx context.Context, l v1.Layer, diffID v1.Hash, w io.Writer) (int64, error) {
	s, err := newSource(l, diffID)
	if err != nil {
		return 0, err
	}
	return s.unpack(ctx, w)
}

// StoreNamed writes a layer into a cache as on a file system without O_TMPFILE. It
// calls during while the file is half written.
func StoreNamed(dir string, diffID v1.Hash, data []byte, during func()) error {
	c, err := openCache(Options{CacheDir: dir})
	if err != nil {
		return err
	}
	t, err := c.createNamed()
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.Write(data[:len(data)/2]); err != nil {
		return err
	}
	during()
	if _, err := t.Write(data[len(data)/2:]); err != nil {
		return err
	}
	return c.commit(t, diffID)
}
