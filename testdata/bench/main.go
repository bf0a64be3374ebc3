// Bench slims the images of testdata/images and prints a table: sizes, and the
// seconds of each phase on this machine. Times of another machine, or of a busy
// one, are not to be compared with these; the shares are.
//
//	go run ./testdata/bench [NAME...]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"

	"slim/testdata/engine"
)

// result is what slim --format json prints, as far as it is shown.
type result struct {
	Before, After struct {
		Files      int
		Bytes      float64
		Layers     int
		Compressed float64
	}
	Verdict struct {
		Rows []struct{ Equal bool }
	}
	Phases []struct {
		Phase   string
		Seconds float64
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, names []string) error {
	dir, err := os.MkdirTemp("", "slim-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	images, err := engine.Images(ctx, ".", names...)
	if err != nil {
		return err
	}
	phases := []string{"index", "probe", "select", "write", "verify", "store"}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "image\tlayers\tfat MB\tslim MB\tgzip MB\tnames\tkept\t")
	for _, p := range phases {
		fmt.Fprintf(w, "%s s\t", p)
	}
	fmt.Fprintln(w, "whole s\tverified\tDocker\t")
	for _, img := range images {
		row, err := measure(ctx, dir, img, phases)
		if err != nil {
			return fmt.Errorf("%s: %w", img.Name, err)
		}
		fmt.Fprintln(w, row)
	}
	return w.Flush()
}

// measure slims one image with a cold cache and asks the Engine about the result.
func measure(ctx context.Context, dir string, img engine.Image, phases []string) (string, error) {
	cache := filepath.Join(dir, "cache-"+img.Name)
	defer os.RemoveAll(cache)
	slim := img.Ref + "-bench"
	defer engine.Remove(slim)
	args := append([]string{"docker-archive:" + img.Archive, "-t", "docker-daemon:" + slim,
		"--cache-dir", cache, "--format", "json"}, img.Args...)
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "slim"), args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, &stderr)
	}
	whole := time.Since(start).Seconds()
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return "", err
	}
	equal := 0
	for _, row := range r.Verdict.Rows {
		if row.Equal {
			equal++
		}
	}
	want, err := engine.Ask(ctx, img.Ref, img.Questions)
	if err != nil {
		return "", err
	}
	got, err := engine.Ask(ctx, slim, img.Questions)
	if err != nil {
		return "", err
	}
	same := 0
	for i := range want {
		if i < len(got) && want[i] == got[i] {
			same++
		}
	}
	row := fmt.Sprintf("%s\t%d\t%.0f\t%.1f\t%.1f\t%d\t%d\t", img.Name, r.Before.Layers, r.Before.Bytes/1e6,
		r.After.Bytes/1e6, r.After.Compressed/1e6, r.Before.Files, r.After.Files)
	seconds := make(map[string]float64)
	for _, p := range r.Phases {
		seconds[p.Phase] = p.Seconds
	}
	for _, p := range phases {
		row += fmt.Sprintf("%.2f\t", seconds[p])
	}
	return row + fmt.Sprintf("%.1f\t%d/%d\t%d/%d\t", whole, equal, len(r.Verdict.Rows), same, len(want)), nil
}
