package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"slim/probe/record"
)

// traceHeader is the first line of a trace file: what it is, and the version of the
// format. Another format, however alike, gets another number.
const traceHeader = "# slim trace 1"

// helperMark follows the ops of an access by a helper; record.Op has no such letter.
const helperMark = "h"

// WriteTo writes the trace as text: a header line, then one line for each path, in
// byte order of the paths. A line has five fields with one tab between them:
//
//	ops  phase  place  process  path
//
//	# slim trace 1
//	pl	start	1	nginx	/etc/nginx
//	psr	start	2	nginx	/etc/nginx/nginx.conf
//	m	test	31	nginx	/usr/share/nginx/html/favicon.ico
//	psrxh	test	40	curl	/usr/bin/curl
//
// ops are the letters of record.Op, and "h" after them where process is a helper of
// the workload's (record.Access.Helper); phase is start, test or stop; place is the
// place of the path's first access among all, from 1, or 0 where it is not known;
// process is empty where it is not known. A process or path is written as it is,
// unless it starts with a quote or a backslash or has anything in it that is not
// printable UTF-8: then as a Go string literal in double quotes. Every line ends in
// a newline.
//
// It is an error if the trace is not sorted, has a path twice, or a path that is
// not absolute and clean.
func (t *Trace) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	out := bufio.NewWriter(count)
	out.WriteString(traceHeader + "\n") // a bufio.Writer keeps its error for Flush
	last := ""
	for i := range t.Accesses {
		a := &t.Accesses[i]
		if err := checkAccess(last, a); err != nil {
			return count.n, fmt.Errorf("write trace: %w", err)
		}
		last = a.Path
		helper := ""
		if a.Helper {
			helper = helperMark
		}
		fmt.Fprintf(out, "%s%s\t%s\t%d\t%s\t%s\n", a.Ops, helper, a.Phase, a.First, quoteField(a.Process), quoteField(a.Path))
	}
	if err := out.Flush(); err != nil {
		return count.n, fmt.Errorf("write trace: %w", err)
	}
	return count.n, nil
}

// ReadTrace reads what WriteTo wrote. Anything else is an error that names the line.
func ReadTrace(r io.Reader) (*Trace, error) {
	in := bufio.NewReader(r)
	t := new(Trace)
	last := ""
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		switch {
		case err == io.EOF && line == "" && n > 1:
			return t, nil
		case err == io.EOF && n == 1:
			return nil, fmt.Errorf("read trace: line 1: not a slim trace: %w", io.ErrUnexpectedEOF)
		case err == io.EOF:
			return nil, fmt.Errorf("read trace: line %d: cut off: %w", n, io.ErrUnexpectedEOF)
		case err != nil:
			return nil, fmt.Errorf("read trace: line %d: %w", n, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if n == 1 {
			if err := checkHeader(line); err != nil {
				return nil, fmt.Errorf("read trace: line 1: %w", err)
			}
			continue
		}
		a, err := parseAccess(line)
		if err == nil {
			err = checkAccess(last, &a)
		}
		if err != nil {
			return nil, fmt.Errorf("read trace: line %d: %w", n, err)
		}
		last = a.Path
		t.Accesses = append(t.Accesses, a)
	}
}

func checkHeader(line string) error {
	if line == traceHeader {
		return nil
	}
	if version, ok := strings.CutPrefix(line, "# slim trace "); ok {
		return fmt.Errorf("trace version %q is not known", version)
	}
	return errors.New("not a slim trace")
}

func parseAccess(line string) (a record.Access, err error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 5 {
		return a, fmt.Errorf("%d fields instead of 5", len(fields))
	}
	var ok bool
	fields[0], a.Helper = strings.CutSuffix(fields[0], helperMark)
	if a.Ops, ok = record.ParseOp(fields[0]); !ok {
		return a, fmt.Errorf("unknown letter in ops %q", fields[0])
	}
	if a.Phase, ok = record.ParsePhase(fields[1]); !ok {
		return a, fmt.Errorf("unknown phase %q", fields[1])
	}
	if a.First, err = strconv.Atoi(fields[2]); err != nil {
		return a, fmt.Errorf("place %q is not a number", fields[2])
	}
	if a.Process, err = unquoteField(fields[3]); err != nil {
		return a, fmt.Errorf("process %s: %w", fields[3], err)
	}
	if a.Path, err = unquoteField(fields[4]); err != nil {
		return a, fmt.Errorf("path %s: %w", fields[4], err)
	}
	return a, nil
}

// checkAccess says what keeps an access from following one to the path last.
func checkAccess(last string, a *record.Access) error {
	known, _ := record.ParseOp(a.Ops.String())
	switch {
	case !path.IsAbs(a.Path) || path.Clean(a.Path) != a.Path || strings.Contains(a.Path, "\x00"):
		return fmt.Errorf("path %q is not absolute and clean", a.Path)
	case a.Path == last:
		return fmt.Errorf("path %q twice", a.Path)
	case a.Path < last:
		return fmt.Errorf("path %q after %q: not sorted", a.Path, last)
	case a.Ops == 0:
		return fmt.Errorf("path %q: no ops", a.Path)
	case known != a.Ops:
		return fmt.Errorf("path %q: unknown ops %#x", a.Path, uint16(a.Ops))
	case a.Phase > record.Stop:
		return fmt.Errorf("path %q: unknown phase %d", a.Path, a.Phase)
	case a.First < 0:
		return fmt.Errorf("path %q: place %d", a.Path, a.First)
	case a.Helper && a.Process == "":
		return fmt.Errorf("path %q: a helper without a name", a.Path)
	}
	return nil
}

// quoteField makes a field of s that holds no tab and no newline.
func quoteField(s string) string {
	plain := utf8.ValidString(s) && !strings.HasPrefix(s, `"`) && !strings.HasPrefix(s, `\`)
	for _, r := range s {
		plain = plain && strconv.IsPrint(r)
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}

func unquoteField(field string) (string, error) {
	if strings.HasPrefix(field, `"`) {
		s, err := strconv.Unquote(field)
		if err != nil {
			return "", errors.New("badly quoted")
		}
		return s, nil
	}
	if quoteField(field) != field {
		return "", errors.New("has to be quoted")
	}
	return field, nil
}

// counter counts what has gone to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
