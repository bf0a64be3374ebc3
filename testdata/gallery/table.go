//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"slim/minify/keep"
)

// What is printed of one thing, at most: paths or files, and lines of a failure.
const (
	most      = 40
	mostLines = 12
)

// limitFactor is what the default policy may keep, in all, of the limit's bytes.
const limitFactor = 1.5

func mb(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(n)/1e6)
}

func ratio(a, b int64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

func printTable(out io.Writer, rows []*row, opts options) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "MB\tfat\thand\tlimit\taccessed\tunits\tpackages\tunits/hand\tunits/limit\tunits s\tsmoke\tfull: sandbox\tDocker\thand\t")
	count := func(n, of int) string {
		if opts.quick {
			return "-"
		}
		return fmt.Sprintf("%d/%d", n, of)
	}
	for _, r := range rows {
		smoke := 0
		for _, p := range opts.policies {
			if r.Smoke[p] {
				smoke++
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%d/%d\t%d/%d\t%s\t%s\t\n", r.Name, mb(r.Fat), mb(r.Hand), mb(r.Limit),
			mb(r.Kept[keep.Accessed]), mb(r.Kept[keep.Units]), mb(r.Kept[keep.Packages]),
			ratio(r.Kept[keep.Units], r.Hand), ratio(r.Kept[keep.Units], r.Limit), r.Seconds, smoke, len(opts.policies),
			r.Sandbox, r.Checks, count(r.Docker, r.Checks), count(r.HandDocker, r.Checks))
	}
	s := sum(rows)
	fmt.Fprintf(w, "sum\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t\t%d/%d\t%s\t%s\t\n", mb(s.Fat), mb(s.Hand), mb(s.Limit),
		mb(s.Kept[keep.Accessed]), mb(s.Kept[keep.Units]), mb(s.Kept[keep.Packages]),
		ratio(s.Kept[keep.Units], s.Hand), ratio(s.Kept[keep.Units], s.Limit), s.Seconds,
		s.Sandbox, s.Checks, count(s.Docker, s.Checks), count(s.HandDocker, s.Checks))
	w.Flush()
	fmt.Fprintln(out)
	for _, r := range rows {
		seen := make(map[string]bool)
		for _, f := range r.Failures {
			if f.Where == "sandbox" {
				seen[f.Check] = true
			}
			if f.Where == "Docker" && seen[f.Check] {
				f.Text = "" // the sandbox's failure says it
			}
			f.print(out, r.Name)
		}
	}
}

// sum adds up the rows. A policy's sum is of no use, and 0, if an image lacks it.
func sum(rows []*row) *row {
	s := &row{Kept: make(map[keep.Policy]int64)}
	for _, r := range rows {
		s.Fat, s.Hand, s.Limit, s.Seconds = s.Fat+r.Fat, s.Hand+r.Hand, s.Limit+r.Limit, s.Seconds+r.Seconds
		s.Checks, s.Sandbox, s.Docker, s.HandDocker = s.Checks+r.Checks, s.Sandbox+r.Sandbox, s.Docker+r.Docker, s.HandDocker+r.HandDocker
		for p, n := range r.Kept {
			s.Kept[p] += n
		}
	}
	for _, r := range rows {
		for p := range s.Kept {
			if r.Kept[p] == 0 {
				s.Kept[p] = 0
			}
		}
	}
	return s
}

func (f failure) print(out io.Writer, image string) {
	fmt.Fprintf(out, "%s, %s: %s\n", image, f.Where, f.Check)
	lines := slices.Collect(strings.Lines(strings.ReplaceAll(f.Text, "\x00", "\n")))
	if extra := len(lines) - mostLines; extra > 0 {
		more := fmt.Sprintf("(%d lines more)\n", extra)
		lines = slices.Concat(lines[:mostLines/2], []string{more}, lines[len(lines)-mostLines/2:])
	}
	for _, line := range lines {
		if line = strings.TrimRight(line, "\n"); line != "" {
			fmt.Fprintln(out, "   ", line)
		}
	}
	for i, m := range f.Missed {
		if i == most {
			fmt.Fprintf(out, "  missed: %d paths more\n", len(f.Missed)-most)
			break
		}
		fmt.Fprintf(out, "  missed: %s (%s, %s)\n", m.Path, m.Process, m.Phase)
	}
}

// printDetail lists what is kept for nothing, as far as full knows.
func (r *row) printDetail(out io.Writer) {
	slices.SortFunc(r.detail, func(a, b keptFile) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path))
	})
	byRule := make(map[string]int64)
	var all int64
	for _, f := range r.detail {
		byRule[f.Rule] += f.Size
		all += f.Size
	}
	fmt.Fprintf(out, "\n%s: %d kept files, %s MB, that full did not open\n", r.Name, len(r.detail), mb(all))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range r.detail[:min(most, len(r.detail))] {
		fmt.Fprintf(w, "%8.3f\t%s\t%s: %s", float64(f.Size)/1e6, f.Path, f.Rule, f.Reason)
		if f.From != "" {
			fmt.Fprintf(w, " (%s)", f.From)
		}
		fmt.Fprintln(w)
	}
	for _, rule := range slices.SortedFunc(maps.Keys(byRule), func(a, b string) int { return cmp.Compare(byRule[b], byRule[a]) }) {
		fmt.Fprintf(w, "%8.3f\tin all\t%s\n", float64(byRule[rule])/1e6, rule)
	}
	w.Flush()
	fmt.Fprintln(out)
}

// judge tells what the gallery fails for.
func judge(rows []*row) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, r := range rows {
		units := r.Kept[keep.Units]
		if len(r.Failures) > 0 {
			bad("%s: %d checks fail", r.Name, len(r.Failures))
		}
		if units > 0 && units >= r.Hand {
			bad("%s: %s MB are not less than the hand-written image's %s", r.Name, mb(units), mb(r.Hand))
		}
		if a := r.Kept[keep.Accessed]; units > 0 && a > units {
			bad("%s: accessed keeps %s MB, units %s", r.Name, mb(a), mb(units))
		}
	}
	if s := sum(rows); float64(s.Kept[keep.Units]) > limitFactor*float64(s.Limit) {
		bad("the sum, %s MB, is above %.1f times the limit, %s MB", mb(s.Kept[keep.Units]), limitFactor, mb(s.Limit))
	}
	return errors.Join(errs...)
}
