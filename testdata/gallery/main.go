//go:build linux

// Gallery slims the images of testdata/images that have a full file, with no more
// than smoke as the test, and holds the results against two anchors: a hand-written
// image of the same application, and the limit, which is the bytes of the files that
// full opens. It tells which of full's checks the results pass, in slim's sandbox and
// under a Docker Engine.
//
//	go run ./testdata/gallery [OPTIONS] [NAME...]    (or: make gallery IMAGES="NAME...")
//
// It needs root and a Docker Engine (testdata/setup), and bin/slim. All sizes are
// bytes of regular files of the merged tree, hard links once. The exit status is 1
// where a check fails, an image is not smaller than the hand-written one, the default
// policy's sum is above 1.5 times the limit's, or accessed keeps more than units.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"slim/minify/keep"
	"slim/probe/sandbox"
	"slim/testdata/engine"
)

type options struct {
	policies []keep.Policy
	quick    bool
	detail   bool
	json     string
}

func main() {
	sandbox.Init() // becomes the container's first process when started as that
	var opts options
	var policies string
	flag.StringVar(&policies, "keep", "accessed,units,packages", "`policies` to make images by")
	flag.BoolVar(&opts.quick, "quick", false, "units alone, and no look at Docker")
	flag.BoolVar(&opts.detail, "detail", false, "list the largest kept files that full did not open")
	flag.StringVar(&opts.json, "json", "", "write the raw figures to `file`")
	flag.Parse()
	if opts.quick {
		policies = string(keep.Units)
	}
	for _, p := range strings.Split(policies, ",") {
		opts.policies = append(opts.policies, keep.Policy(p))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := gallery(ctx, opts, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "gallery:", err)
		os.Exit(1)
	}
}

func gallery(ctx context.Context, opts options, names []string) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it runs the images")
	}
	if out, err := exec.CommandContext(ctx, "docker", "version").CombinedOutput(); err != nil {
		return fmt.Errorf("needs a Docker Engine (testdata/setup): %w\n%s", err, out)
	}
	folders, err := engine.Folders(".", names...)
	if err != nil {
		return err
	}
	var rows []*row
	for _, img := range folders {
		if len(img.Full) == 0 {
			continue
		}
		r, err := measure(ctx, img, opts)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.fail("gallery", "measure", "%v", err)
		}
		rows = append(rows, r)
		if opts.detail {
			r.printDetail(os.Stdout)
		}
	}
	if len(rows) == 0 {
		return fmt.Errorf("no image with a full file is named %s", strings.Join(names, " or "))
	}
	printTable(os.Stdout, rows, opts)
	if opts.json != "" {
		data, err := json.MarshalIndent(rows, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(opts.json, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	return judge(rows)
}
