package keep

import (
	"bytes"
	"encoding/binary"
)

// A cacheEntry is a library that /etc/ld.so.cache knows.
type cacheEntry struct {
	path string
	// variant: for processors with certain features only.
	variant bool
}

const (
	cacheMagic    = "glibc-ld.so.cache1.1"
	oldCacheMagic = "ld.so-1.7.0"
	maxCache      = 32 << 20 // bytes
)

// parseCache reads what ldconfig wrote: libraries by name, those of one name in
// the order in which ld.so prefers them. Content that is no such cache gives
// none. The format is struct cache_file_new of glibc, sysdeps/generic/dl-cache.h,
// which may follow a struct cache_file of before glibc 2.2.
func parseCache(b []byte) map[string][]cacheEntry {
	const header, entry = 48, 24
	if bytes.HasPrefix(b, []byte(oldCacheMagic)) && len(b) >= 16 {
		n := uint64(binary.LittleEndian.Uint32(b[12:])) // ALIGN_CACHE: to 8
		start := (16 + 12*n + 7) &^ 7
		if start > uint64(len(b)) {
			return nil
		}
		b = b[start:]
	}
	if !bytes.HasPrefix(b, []byte(cacheMagic)) || len(b) < header {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[28]&3 == 3 { // cache_file_new_flags_endian_big
		order = binary.BigEndian
	}
	count := int64(order.Uint32(b[20:]))
	if header+count*entry > int64(len(b)) {
		return nil
	}
	text := func(off uint32) string {
		if int64(off) >= int64(len(b)) {
			return ""
		}
		s := b[off:min(len(b), int(off)+maxName)]
		n := bytes.IndexByte(s, 0)
		if n < 0 {
			return ""
		}
		return string(s[:n])
	}
	libs := make(map[string][]cacheEntry)
	for e := b[header : header+count*entry]; len(e) > 0; e = e[entry:] {
		name, path := text(order.Uint32(e[4:])), text(order.Uint32(e[8:]))
		if name != "" && path != "" {
			libs[name] = append(libs[name], cacheEntry{path, order.Uint64(e[16:]) != 0})
		}
	}
	return libs
}
