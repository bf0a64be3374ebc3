package layer

import (
	"io"
	"runtime"

	"github.com/containerd/stargz-snapshotter/estargz"
	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// gzipBlock is the unit that pgzip compresses on its own. The output depends on
// it and not on the number of workers.
const gzipBlock = 1 << 20

// compressor wraps w; Close ends the stream and leaves w open.
func compressor(w io.Writer, c Compression) (io.WriteCloser, error) {
	if c == Zstd {
		// One encoder: with more, blocks are cut by how fast they arrive.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	}
	z, err := pgzip.NewWriterLevel(w, 6)
	if err != nil {
		return nil, err
	}
	return z, z.SetConcurrency(gzipBlock, max(2, runtime.GOMAXPROCS(0)))
}

// estargzCompression is the library's gzip format, written by a faster encoder
// at level 6: the library's default, level 9, takes four times as long for one
// part in a hundred.
type estargzCompression struct {
	*estargz.GzipCompressor
	*estargz.GzipDecompressor
}

func newEStargzCompression() estargz.Compression {
	return &estargzCompression{estargz.NewGzipCompressorWithLevel(6), &estargz.GzipDecompressor{}}
}

// Writer implements estargz.Compressor.
func (c *estargzCompression) Writer(w io.Writer) (estargz.WriteFlushCloser, error) {
	return kgzip.NewWriterLevel(w, 6)
}
