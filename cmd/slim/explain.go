//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"slim/minify"
	"slim/minify/keep"
)

const explainHelp = `Say why paths of an image would be kept or dropped, and what led there.

  slim explain [OPTIONS] IMAGE PATH... [-- COMMAND [ARG...]]

  slim explain myapp:latest /usr/bin/git --test ./smoke.sh
  slim explain myapp:latest /usr/lib/libssl.so.3 --from-trace saved.trace

The options are slim's own, so that the same line tells of the same selection: the
image is run as slim would run it, unless --from-trace says what it touched.
Nothing is written or stored.
`

// errNoPath is the error of a path that the image does not have.
var errNoPath = errors.New("not in the image")

func newExplain(ui *terminal) *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:   "explain [OPTIONS] IMAGE PATH... [-- COMMAND [ARG...]]",
		Short: "say why paths are kept or dropped",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.explain(cmd, args, ui)
		},
	}
	f.register(cmd, explainHelp)
	return cmd
}

func (f *flags) explain(cmd *cobra.Command, args []string, ui *terminal) error {
	args, err := f.complete(cmd, args)
	if err != nil {
		return err
	}
	if len(args) < 2 {
		return fmt.Errorf("%w: explain wants IMAGE PATH..., not %d arguments; see slim explain --help", errUsage, len(args))
	}
	f.Progress = ui.step
	return minify.Explain(cmd.Context(), args[0], f.Options, func(r *minify.Result) error {
		ui.done()
		errs := []error{f.writeFiles(r)}
		var views []explanation
		for _, path := range args[1:] {
			x, err := explain(r.Selection, path)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
				continue
			}
			views = append(views, x)
		}
		if err := printExplanations(ui.out, views, f.format); err != nil {
			return err
		}
		return errors.Join(errs...)
	})
}

// explanation is one path as explain prints it: kept for the first of Because, which
// the following led to, or dropped as Category.
type explanation struct {
	Path     string        `json:"path"`
	Size     int64         `json:"size"`
	Kept     bool          `json:"kept"`
	Category keep.Category `json:"category,omitempty"`
	// Owner is the package or the like that it is part of.
	Owner   string   `json:"owner,omitempty"`
	Because []reason `json:"because,omitempty"`
	// Below counts what is in a directory.
	Below *below `json:"below,omitempty"`
}

type reason struct {
	Path string `json:"path"`
	Rule string `json:"rule"`
	Text string `json:"text"`
}

type below struct {
	Kept    int `json:"kept"`
	Dropped int `json:"dropped"`
}

func explain(s *keep.Selection, path string) (explanation, error) {
	chain, ok := s.Why("/" + strings.Trim(path, "/"))
	if !ok {
		return explanation{}, errNoPath
	}
	e := chain[0]
	x := explanation{
		Path: e.Node.Path(), Size: e.Node.Inode().Size, Kept: e.Kept, Category: e.Category, Owner: s.Owner(e),
	}
	if e.Kept {
		for _, c := range chain {
			x.Because = append(x.Because, reason{c.Node.Path(), c.Reason.Rule, c.Reason.Text})
		}
	}
	if e.Node.Inode().IsDir() {
		x.Below = new(below)
		inside := strings.TrimSuffix(x.Path, "/") + "/"
		for _, b := range s.Entries {
			switch p := b.Node.Path(); {
			case p == "/" || !strings.HasPrefix(p, inside):
			case b.Kept:
				x.Below.Kept++
			default:
				x.Below.Dropped++
			}
		}
	}
	return x, nil
}

func printExplanations(w io.Writer, views []explanation, format string) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(views)
	}
	for _, x := range views {
		if _, err := io.WriteString(w, x.String()); err != nil {
			return err
		}
	}
	return nil
}

// String is the path's line, and one more for each step that led to it.
func (x explanation) String() string {
	var b strings.Builder
	state := "kept"
	if !x.Kept {
		state = "dropped: " + string(x.Category)
	}
	fmt.Fprintf(&b, "%s  %s", printable(x.Path), state)
	if x.Owner != "" {
		fmt.Fprintf(&b, ", of %s", printable(x.Owner))
	}
	if x.Below != nil {
		fmt.Fprintf(&b, " (%d names below kept, %d dropped)", x.Below.Kept, x.Below.Dropped)
	} else {
		fmt.Fprintf(&b, " (%s)", minify.Bytes(x.Size))
	}
	b.WriteByte('\n')
	for i, r := range x.Because {
		if i == 0 {
			fmt.Fprintf(&b, "  %s\n", printable(r.Text))
		} else {
			fmt.Fprintf(&b, "  %s: %s\n", printable(r.Path), printable(r.Text))
		}
	}
	return b.String()
}
