//go:build !linux

// Slim runs images with Linux's own namespaces and file systems; elsewhere it can
// only say so.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "slim: not supported on %s: it runs images, which takes Linux; use it in a Linux virtual machine or on a CI machine\n", runtime.GOOS)
	os.Exit(7)
}
