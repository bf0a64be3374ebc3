// Package engine asks a real Docker Engine, as an independent judge, how an image
// of testdata/images behaves.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/shlex"
)

// Image is a folder of testdata/images.
type Image struct {
	Name string
	// Dir is its folder.
	Dir string
	// Archive is the built image, as docker save writes it, and Ref its name in
	// the Engine.
	Archive, Ref string
	// Args are slim's arguments for it, the test among them.
	Args []string
	// Questions are the lines of its answers file, and Full those of full: one of
	// the two may be missing.
	Questions, Full []string
}

// Images builds what is not built yet and lists the images that have answers,
// sorted by name. root is the project's folder; no names are all.
func Images(ctx context.Context, root string, names ...string) ([]Image, error) {
	folders, err := Folders(root, names...)
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, img := range folders {
		if len(img.Questions) == 0 {
			continue
		}
		if err := img.Build(ctx, root); err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}

// Folders lists the images that have answers or full, sorted by name, without
// building them: Archive and Ref are not set yet.
func Folders(root string, names ...string) ([]Image, error) {
	var images []Image
	dir := filepath.Join(root, "testdata", "images")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		img := Image{Dir: filepath.Join(dir, e.Name()), Name: e.Name()}
		if !e.IsDir() || len(names) > 0 && !slices.Contains(names, img.Name) {
			continue
		}
		if err := img.read(); err != nil {
			return nil, err
		}
		if len(img.Questions)+len(img.Full) > 0 {
			images = append(images, img)
		}
	}
	return images, nil
}

func (i *Image) read() (err error) {
	if i.Questions, err = lines(filepath.Join(i.Dir, "answers")); err != nil {
		return err
	}
	if i.Full, err = lines(filepath.Join(i.Dir, "full")); err != nil {
		return err
	}
	args, err := lines(filepath.Join(i.Dir, "slim.args"))
	if err != nil {
		return err
	}
	if i.Args, err = shlex.Split(strings.Join(args, "\n")); err != nil {
		return fmt.Errorf("%s/slim.args: %w", i.Dir, err)
	}
	smoke := filepath.Join(i.Dir, "smoke")
	if _, err := os.Stat(smoke); err == nil {
		i.Args = append(i.Args, "--test", smoke)
	}
	return nil
}

// Build builds the fat image if there is none yet.
func (i *Image) Build(ctx context.Context, root string) (err error) {
	i.Archive, i.Ref, err = build(ctx, root, i.Name)
	return err
}

// Hand builds what Dockerfile.hand makes: the image that slim's is compared with.
func (i *Image) Hand(ctx context.Context, root string) (archive, ref string, err error) {
	return build(ctx, root, "--hand", i.Name)
}

// build has the archive made and the Engine know what is in it.
func build(ctx context.Context, root string, args ...string) (archive, ref string, err error) {
	out, err := output(ctx, filepath.Join(root, "testdata", "images", "build"), args...)
	if err != nil {
		return "", "", err
	}
	archive = strings.TrimSpace(out)
	name := strings.TrimSuffix(filepath.Base(archive), ".tar")
	i := strings.LastIndexByte(name, '-')
	ref = "slim-test/" + name[:i] + ":" + name[i+1:]
	if _, err := output(ctx, "docker", "image", "inspect", ref); err == nil {
		return archive, ref, nil
	}
	_, err = output(ctx, "docker", "load", "--quiet", "--input", archive)
	return archive, ref, err
}

// lines are those of a file without comments; none if there is no file.
func lines(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out, nil
}

// CopyArgs are skopeo's arguments to put an image, named as skopeo does, into the
// Engine as ref: it does not read DOCKER_HOST.
func CopyArgs(from, ref string) []string {
	args := []string{"copy", "--quiet", from, "docker-daemon:" + ref}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		args = append(args, "--dest-daemon-host", host)
	}
	return args
}

// Copy does it.
func Copy(ctx context.Context, from, ref string) error {
	_, err := output(ctx, "skopeo", CopyArgs(from, ref)...)
	return err
}

// Remove takes an image out of the Engine.
func Remove(ref string) error { return exec.Command("docker", "image", "rm", "--force", ref).Run() }

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
