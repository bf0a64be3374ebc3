//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"slim/minify"
	"slim/minify/keep"
	"slim/minify/verify"
	"slim/probe/record"
)

// resultView is the JSON of --format json, and the head of the report.
type resultView struct {
	Source  minify.ImageInfo   `json:"source"`
	Output  minify.ImageInfo   `json:"output"`
	Before  minify.Size        `json:"before"`
	After   minify.Size        `json:"after"`
	Dropped []categoryView     `json:"dropped"`
	Verdict *verify.Verdict    `json:"verdict,omitempty"`
	Notes   []string           `json:"notes,omitempty"`
	Phases  []minify.PhaseTime `json:"phases"`
}

// categoryView is what was dropped as one category.
type categoryView struct {
	Category keep.Category `json:"category"`
	Files    int           `json:"files"`
	Bytes    int64         `json:"bytes"`
}

// reportView is the JSON of --report: the result and every path of the original.
type reportView struct {
	resultView
	// Limits says what the selection cannot know.
	Limits string `json:"limits"`
	// Named are the programs that the application names as commands.
	Named []namedView `json:"named,omitempty"`
	Paths []pathView  `json:"paths"`
}

// namedView is a program and a place that names it.
type namedView struct {
	Path  string `json:"path"`
	Place string `json:"place"`
	Text  string `json:"text"`
	// Seen says that the run used it, Kept that it is in the result.
	Seen bool `json:"seen"`
	Kept bool `json:"kept"`
}

// pathView is one path: kept with its reason, or dropped with its category.
type pathView struct {
	Path string `json:"path"`
	// Bytes are the path's, in base64, where it is not UTF-8: JSON text must be, and
	// has U+FFFD in place of what is not.
	Bytes    []byte `json:"bytes,omitempty"`
	Size     int64  `json:"size"`
	Kept     bool   `json:"kept"`
	Rule     string `json:"rule,omitempty"`
	Reason   string `json:"reason,omitempty"`
	From     string `json:"from,omitempty"`
	Category string `json:"category,omitempty"`
	// Order is the place of the first access among all, from 1; 0 for a path that
	// was not touched.
	Order int    `json:"order,omitempty"`
	Phase string `json:"phase,omitempty"`
}

func resultJSON(r *minify.Result) resultView {
	v := resultView{Source: r.Source, Output: r.Output, Before: r.Before, After: r.After, Verdict: r.Verdict, Notes: r.Notes(), Phases: r.Phases}
	if r.Selection != nil {
		for _, c := range r.Selection.Totals().ByCategory {
			v.Dropped = append(v.Dropped, categoryView{c.Category, c.Files, c.Bytes})
		}
	}
	return v
}

// writeFiles writes the trace and the report as far as the run got: a run that
// failed is when they are read most.
func (f *flags) writeFiles(r *minify.Result) error {
	if f.trace != "" && r.Trace != nil {
		err := writeFile(f.trace, func(w io.Writer) error { _, err := r.Trace.WriteTo(w); return err })
		if err != nil {
			return fmt.Errorf("write trace: %w", err)
		}
	}
	if f.report != "" && r.Selection != nil {
		err := writeFile(f.report, func(w io.Writer) error { return json.NewEncoder(w).Encode(report(r)) })
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

func report(r *minify.Result) reportView {
	touched := make(map[string]record.Access, len(r.Trace.Accesses))
	for _, a := range r.Trace.Accesses {
		touched[a.Path] = a
	}
	v := reportView{resultView: resultJSON(r), Limits: minify.Limits, Paths: make([]pathView, 0, len(r.Selection.Entries))}
	for _, n := range r.Selection.Named {
		e, _ := r.Selection.Resolve(n.Path)
		v.Named = append(v.Named, namedView{n.Path, n.Place, n.Text, n.Touched, e.Kept})
	}
	for _, e := range r.Selection.Entries {
		p := pathView{Path: e.Node.Path(), Size: e.Node.Inode().Size, Kept: e.Kept}
		if e.Kept {
			p.Rule, p.Reason, p.From = e.Reason.Rule, e.Reason.Text, e.Reason.From
		} else {
			p.Category = string(e.Category)
		}
		if !utf8.ValidString(p.Path) {
			p.Bytes = []byte(p.Path)
		}
		if a, ok := touched[p.Path]; ok {
			p.Order, p.Phase = a.First, a.Phase.String()
		}
		v.Paths = append(v.Paths, p)
	}
	return v
}

// checkWritable tells before anything is run whether writeFile could make the file;
// "" is none.
func checkWritable(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("write %s: is a directory", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".slim-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Unwrap(err))
	}
	file.Close()
	return os.Remove(file.Name())
}

// writeFile writes through a temporary file beside path, so that path is whole
// or as it was.
func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".slim-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	buf := bufio.NewWriter(file)
	if err := write(buf); err != nil {
		file.Close()
		return err
	}
	if err := buf.Flush(); err != nil {
		file.Close()
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
