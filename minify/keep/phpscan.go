package keep

import (
	"bytes"
	"strings"
)

// A phpInclude is an include or require of a PHP source whose file can be read there.
type phpInclude struct {
	naming      // name is the path, or its beginning
	here   bool // it begins in the folder of the source
	up     int  // so many folders above that
	prefix bool // what follows is made up when the program runs
}

// maxPHPArgs is how far the expression of an include may reach.
const maxPHPArgs = 400

// scanPHP finds include, include_once, require and require_once with strings,
// __DIR__ and dirname(__FILE__). Like scanRuby it looks at these words and what follows,
// not at what is around them.
func scanPHP(src []byte) []phpInclude {
	var list []phpInclude
	lines := lineCounter{src: src}
	next := [2]int{}
	stems := [2][]byte{[]byte("require"), []byte("include")}
	for k := range next {
		next[k] = bytes.Index(src, stems[k])
	}
	for pos := 0; ; {
		first := -1
		for k := range next {
			if next[k] >= 0 && next[k] < pos {
				if next[k] = bytes.Index(src[pos:], stems[k]); next[k] >= 0 {
					next[k] += pos
				}
			}
			if next[k] >= 0 && (first < 0 || next[k] < next[first]) {
				first = k
			}
		}
		if first < 0 {
			return list
		}
		i := next[first]
		j := i + len(stems[first])
		if bytes.HasPrefix(src[j:], []byte("_once")) {
			j += len("_once")
		}
		pos = j
		if j >= len(src) || isWord(src[j]) || i > 0 && (isWord(src[i-1]) || bytes.IndexByte([]byte("$>:\\-'\"/."), src[i-1]) >= 0) || phpComment(src, i) {
			continue
		}
		args := src[j:min(len(src), j+maxPHPArgs)]
		if n := bytes.IndexByte(args, ';'); n >= 0 {
			args = args[:n]
		}
		if in, ok := parseInclude(args); ok {
			in.line, in.text = lines.at(i), excerpt(src[i:j+len(args)])
			list = append(list, in)
		}
	}
}

// phpComment reports whether pos is on a line of comment, or after "//" on it.
func phpComment(src []byte, pos int) bool {
	line := bytes.TrimLeft(src[bytes.LastIndexByte(src[:pos], '\n')+1:pos], " \t")
	if len(line) == 0 {
		return false
	}
	n := bytes.Index(line, []byte("//"))
	return line[0] == '#' || line[0] == '*' || bytes.HasPrefix(line, []byte("/*")) || n == 0 || n > 0 && isBlank(line[n-1])
}

// parseInclude takes an expression: strings, __DIR__ and dirname(), joined by dots.
func parseInclude(b []byte) (in phpInclude, ok bool) {
	b = bytes.TrimLeft(b, " \t\r\n(\\")
	for first := true; ; first = false {
		switch {
		case bytes.HasPrefix(b, []byte("__DIR__")) && first:
			in.here, b = true, b[len("__DIR__"):]
		case bytes.HasPrefix(b, []byte("dirname")) && first:
			rest, up, ok := parseDirname(b)
			if !ok {
				return in, false
			}
			in.here, in.up, b = true, up, rest
		case len(b) > 0 && (b[0] == '\'' || b[0] == '"'):
			n := bytes.IndexByte(b[1:], b[0])
			if n < 0 {
				return in, false
			}
			text := string(b[1 : n+1])
			if dollar := strings.IndexAny(text, "${"); b[0] == '"' && dollar >= 0 {
				in.name += text[:dollar]
				in.prefix = true
				return in, strings.Contains(in.name, "/")
			}
			in.name += text
			b = b[n+2:]
		default:
			in.prefix = true
			return in, !first && strings.Contains(in.name, "/")
		}
		b = bytes.TrimLeft(b, " \t\r\n")
		if len(b) == 0 || b[0] != '.' {
			b = bytes.TrimLeft(b, ") \t\r\n")
			return in, in.name != "" && !strings.ContainsAny(in.name, "\x00\n") && (len(b) == 0 || b[0] != '?')
		}
		b = bytes.TrimLeft(b[1:], " \t\r\n")
	}
}

// parseDirname takes dirname(__FILE__), dirname(__DIR__) and dirname(__DIR__, 2),
// one in another.
func parseDirname(b []byte) (rest []byte, up int, ok bool) {
	const deepest = 16
	depth := 0
	for bytes.HasPrefix(b, []byte("dirname")) && depth < deepest {
		b = bytes.TrimLeft(b[len("dirname"):], " \t(\\")
		depth++
	}
	switch {
	case bytes.HasPrefix(b, []byte("__DIR__")):
		up, b = depth, b[len("__DIR__"):]
	case bytes.HasPrefix(b, []byte("__FILE__")):
		up, b = depth-1, b[len("__FILE__"):]
	default:
		return nil, 0, false
	}
	for ; depth > 0; depth-- {
		b = bytes.TrimLeft(b, " \t")
		if len(b) > 1 && b[0] == ',' {
			b = bytes.TrimLeft(b[1:], " \t")
			if len(b) == 0 || !isDigit(b[0]) {
				return nil, 0, false
			}
			up += int(b[0]-'0') - 1
			b = bytes.TrimLeft(b[1:], " \t")
		}
		if len(b) == 0 || b[0] != ')' {
			return nil, 0, false
		}
		b = b[1:]
	}
	return b, max(up, 0), true
}

// A phpSetting is a line of php.ini or of php-fpm's configuration.
type phpSetting struct{ key, value string }

// parsePHPSettings reads "key = value" lines; those of comment begin with ";" or "#".
func parsePHPSettings(src []byte) []phpSetting {
	var list []phpSetting
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		if !ok || line[0] == ';' || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		// php_admin_value[error_log] is error_log, for one pool.
		if _, name, ok := strings.Cut(key, "["); ok {
			key = strings.TrimSuffix(name, "]")
		}
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			if n := strings.IndexByte(value[1:], value[0]); n >= 0 {
				value = value[1 : n+1]
			}
		} else if n := strings.IndexByte(value, ';'); n >= 0 && key != "session.save_path" {
			value = strings.TrimSpace(value[:n])
		}
		list = append(list, phpSetting{key, value})
	}
	return list
}
