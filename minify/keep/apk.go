package keep

import (
	"bytes"
	"strings"
)

// apkInstalled is apk's database, before and since apk-tools 3 and Alpine's
// merged /usr.
var apkInstalled = []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"}

// apk reads which files belong to which Alpine package.
func (s *selector) apk() {
	for _, p := range apkInstalled {
		// Where /lib is a link, both are one.
		if text := s.textAt(p); text != nil {
			for _, r := range parseApk(text) {
				s.packages.add("Alpine package", r.packageRecord, r.paths)
			}
			return
		}
	}
}

// An apkRecord is a package in apk's database.
type apkRecord struct {
	packageRecord
	paths []string
}

// parseApk reads apk's database: packages apart by empty lines, a field a line,
// one letter and a colon. P is the name, A the architecture, D what it depends on, p what it provides,
// F a folder, R a file in it (apk-tools, src/database.c, apk_db_fdb_read).
func parseApk(text []byte) []apkRecord {
	var list []apkRecord
	var r apkRecord
	folder := ""
	end := func() {
		if r.id != "" {
			list = append(list, r)
		}
		r, folder = apkRecord{}, ""
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) == 0 {
			end()
			continue
		}
		if len(line) < 2 || line[1] != ':' {
			continue
		}
		value := string(line[2:])
		switch line[0] {
		case 'P':
			r.id = value
		case 'A':
			r.arch = value
		case 'D':
			for word := range strings.FieldsSeq(value) {
				if name := apkName(word); name != "" {
					r.depends = append(r.depends, []string{name})
				}
			}
		case 'p':
			for word := range strings.FieldsSeq(value) {
				if name := apkName(word); name != "" {
					r.provides = append(r.provides, name)
				}
			}
		case 'F':
			folder = "/"
			if value != "" {
				folder = "/" + value
				r.paths = append(r.paths, folder)
			}
		case 'R':
			if folder != "" && value != "" {
				r.paths = append(r.paths, join(folder, value))
			}
		}
	}
	end()
	return list
}

// apkName is a dependency without its version: "so:libz.so.1=1.3" is
// "so:libz.so.1"; "" for a conflict, "!x".
func apkName(word string) string {
	if strings.HasPrefix(word, "!") {
		return ""
	}
	if i := strings.IndexAny(word, "<>=~@"); i >= 0 {
		return word[:i]
	}
	return word
}
