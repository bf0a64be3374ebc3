package layer_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"slim/minify/layer"
	"slim/probe/rootfs/treetest"
)

// Ended at whatever moment, no compression leaves a temporary file, neither in its
// own folder nor in that of the estargz library.
func TestCancelled(t *testing.T) {
	fsys := treetest.FS(t, `
		file /a size=8000000
		file /b size=8000000
		file /c size=8000000
		file /d size=8000000
	`)
	temp, dir := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	for _, c := range layer.Compressions {
		t.Run(string(c), func(t *testing.T) {
			sel := choose(fsys, everything)
			opts := layer.Options{Compression: c, Dir: dir}
			begin := time.Now()
			l, err := layer.Write(t.Context(), sel, opts)
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			whole := time.Since(begin)
			const moments = 20
			ended := 0
			for i := range time.Duration(moments) {
				ctx, cancel := context.WithTimeout(t.Context(), whole*i/moments)
				l, err := layer.Write(ctx, sel, opts)
				cancel()
				switch {
				case err == nil:
					l.Close()
				case errors.Is(err, context.DeadlineExceeded):
					ended++
				default:
					t.Errorf("after %d of %d: %v", i, moments, err)
				}
				for _, d := range []string{temp, dir} {
					left, err := os.ReadDir(d)
					if err != nil {
						t.Fatal(err)
					}
					if len(left) > 0 {
						t.Fatalf("after %d of %d: left %v", i, moments, left)
					}
				}
			}
			if ended == 0 {
				t.Error("no run was ended")
			}
		})
	}
}
