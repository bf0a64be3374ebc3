package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The PAX records of GNU tar's sparse formats 0.0, 0.1 and 1.0; see "Storing
// Sparse Files" in its manual. archive/tar turns 0.0 into 0.1.
const (
	paxSparseMajor = "GNU.sparse.major"
	paxSparseMinor = "GNU.sparse.minor"
	paxSparseMap   = "GNU.sparse.map"
	paxSize        = "size"
)

// The fields of a header block that are needed here (tar(5)), and the sparse map
// of the old GNU format: 4 pieces in the header, 21 in each block that follows.
const (
	blockSize    = 512
	typeOffset   = 156
	sizeOffset   = 124
	mapOffset    = 386
	mapInHeader  = 4
	mapInBlock   = 21
	numberLength = 12
)

// extent is a piece of a sparse file that has content: length bytes at offset,
// which lie in the layer's file at data.
type extent struct {
	offset, length, data int64
}

// sparseKind tells which map an entry has: "" for one that is not sparse.
func sparseKind(hdr *tar.Header) (string, error) {
	major, minor := hdr.PAXRecords[paxSparseMajor], hdr.PAXRecords[paxSparseMinor]
	switch version := major + "." + minor; {
	case hdr.Typeflag == tar.TypeGNUSparse:
		return "old", nil
	case version == "1.0":
		return version, nil
	case version == "0.0" || version == "0.1" || version == "." && hdr.PAXRecords[paxSparseMap] != "":
		return "0.1", nil
	case version != ".":
		return "", fmt.Errorf("unknown sparse format %s", version)
	}
	return "", nil
}

// content locates the bytes of the entry that the tar reader has just returned,
// whose headers, extended ones included, began at byte start; and tells where the
// next entry begins.
//
// archive/tar reads sparse files, but holes and content alike, and a hole can be
// larger than any disk: so the map is read here again. The reader has checked it.
func (p *position) content(hdr *tar.Header, start int64) (c content, next int64, err error) {
	c.offset = p.off
	kind, err := sparseKind(hdr)
	switch {
	case err != nil:
		return c, 0, err
	case kind == "":
		if fileTypes[hdr.Typeflag] == unix.S_IFREG {
			next = hdr.Size
		}
		return c, blockEnd(p.off + next), nil
	}
	block, at, err := p.mainHeader(start)
	if err != nil {
		return c, 0, err
	}
	size, err := tarNumber(block[sizeOffset : sizeOffset+numberLength])
	if s := hdr.PAXRecords[paxSize]; s != "" && err == nil {
		size, err = strconv.ParseInt(s, 10, 64)
	}
	if err != nil {
		return c, 0, err
	}
	var numbers []int64
	end := at + blockSize + size
	switch kind {
	case "old":
		numbers, err = p.oldMap(block, at)
		end = p.off + size
	case "0.1":
		numbers, err = parseNumbers(strings.Split(hdr.PAXRecords[paxSparseMap], ","))
	case "1.0":
		numbers, err = p.textMap(at + blockSize)
	}
	if err != nil {
		return c, 0, err
	}
	c.extents, err = extents(numbers, hdr.Size, p.off, end)
	return c, blockEnd(end), err
}

// extents turns the numbers of a map (offset, length, offset, …) into extents
// whose content lies one after the other from data to end.
func extents(numbers []int64, size, data, end int64) ([]extent, error) {
	list := make([]extent, 0, len(numbers)/2)
	last := int64(0)
	for i := 0; i+1 < len(numbers); i += 2 {
		e := extent{numbers[i], numbers[i+1], data}
		if e.length < 0 || e.length > end-data || e.offset < last || e.offset > size-e.length {
			return nil, errors.New("sparse map out of range")
		}
		last, data = e.offset+e.length, data+e.length
		if e.length > 0 {
			list = append(list, e)
		}
	}
	if data != end {
		return nil, errors.New("sparse map does not fit the content")
	}
	return list, nil
}

// mainHeader finds the header block of the entry whose headers begin at start:
// the first one that does not only describe the next.
func (p *position) mainHeader(start int64) (block []byte, at int64, err error) {
	block = make([]byte, blockSize)
	for at = start; ; {
		if _, err := p.r.ReadAt(block, at); err != nil {
			return nil, 0, err
		}
		switch block[typeOffset] {
		case tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink:
			size, err := tarNumber(block[sizeOffset : sizeOffset+numberLength])
			if err != nil {
				return nil, 0, err
			}
			at = blockEnd(at + blockSize + size)
		default:
			return block, at, nil
		}
	}
}

// oldMap reads the map of the old GNU format: in the header block at byte at, and
// in the blocks behind it up to the content.
func (p *position) oldMap(block []byte, at int64) ([]int64, error) {
	var numbers []int64
	fields, count := block[mapOffset:], mapInHeader
	for {
		for range count {
			// A piece without an offset ends the map, as in GNU tar.
			if fields[0] == 0 {
				break
			}
			for range 2 {
				n, err := tarNumber(fields[:numberLength])
				if err != nil {
					return nil, err
				}
				numbers, fields = append(numbers, n), fields[numberLength:]
			}
		}
		at += blockSize
		if at >= p.off {
			return numbers, nil
		}
		if _, err := p.r.ReadAt(block, at); err != nil {
			return nil, err
		}
		fields, count = block, mapInBlock
	}
}

// textMap reads the map of format 1.0, which stands before the content: the number
// of pieces and then their numbers, a line each.
func (p *position) textMap(at int64) ([]int64, error) {
	text := make([]byte, max(0, p.off-at))
	if _, err := p.r.ReadAt(text, at); err != nil {
		return nil, err
	}
	numbers, err := parseNumbers(strings.Split(string(text[:bytes.LastIndexByte(text, '\n')+1]), "\n"))
	if err != nil || len(numbers) == 0 || numbers[0] > int64(len(numbers)-1)/2 {
		return nil, errors.New("sparse map out of range")
	}
	return numbers[1 : 1+2*numbers[0]], nil
}

func parseNumbers(words []string) ([]int64, error) {
	numbers := make([]int64, 0, len(words))
	for _, w := range words {
		if w == "" {
			continue
		}
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil || n < 0 {
			return nil, errors.New("sparse map out of range")
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// tarNumber reads a number field: octal digits, or binary if its first bit is set.
func tarNumber(field []byte) (int64, error) {
	if field[0]&0x80 == 0 {
		s := strings.Trim(string(field), " \x00")
		if s == "" {
			return 0, nil
		}
		n, err := strconv.ParseUint(s, 8, 63)
		return int64(n), err
	}
	n := int64(field[0] & 0x7f)
	for _, c := range field[1:] {
		if n >= 1<<55 {
			return 0, strconv.ErrRange
		}
		n = n<<8 | int64(c)
	}
	return n, nil
}

// blockEnd rounds a byte position up to whole blocks.
func blockEnd(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

// sparseFile reads a sparse file: its extents, and zeros between them.
type sparseFile struct {
	blob    *os.File
	extents []extent
}

// ReadAt is asked by io.SectionReader, which knows the size.
func (s *sparseFile) ReadAt(p []byte, off int64) (int, error) {
	n := len(p)
	i := sort.Search(len(s.extents), func(i int) bool { return s.extents[i].offset+s.extents[i].length > off })
	for len(p) > 0 {
		if i == len(s.extents) {
			clear(p)
			break
		}
		e := s.extents[i]
		if off < e.offset {
			hole := min(int64(len(p)), e.offset-off)
			clear(p[:hole])
			p, off = p[hole:], off+hole
			continue
		}
		k := min(int64(len(p)), e.offset+e.length-off)
		if m, err := s.blob.ReadAt(p[:k], e.data+off-e.offset); err != nil {
			return n - len(p) + m, err
		}
		p, off = p[k:], off+k
		i++
	}
	return n, nil
}
