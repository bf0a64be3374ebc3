// Package engine asks a real Docker Engine, as an independent judge, how an image
// of testdata/images behaves.
package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	// Questions are the lines of its answers file.
	Questions []string
}

// Images builds what is not built yet and lists the images that have answers,
// sorted by name. root is the project's folder; no names are all.
func Images(ctx context.Context, root string, names ...string) ([]Image, error) {
	var images []Image
	files, err := filepath.Glob(filepath.Join(root, "testdata", "images", "*", "answers"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		img := Image{Dir: filepath.Dir(file), Name: filepath.Base(filepath.Dir(file))}
		if len(names) > 0 && !slices.Contains(names, img.Name) {
			continue
		}
		if err := img.read(); err != nil {
			return nil, err
		}
		if err := img.build(ctx, root); err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}

func (i *Image) read() error {
	questions, err := lines(filepath.Join(i.Dir, "answers"))
	if err != nil {
		return err
	}
	i.Questions = questions
	args, err := lines(filepath.Join(i.Dir, "slim.args"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
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

func (i *Image) build(ctx context.Context, root string) error {
	path, err := output(ctx, filepath.Join(root, "testdata", "images", "build"), i.Name)
	if err != nil {
		return err
	}
	i.Archive = strings.TrimSpace(path)
	tag := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(i.Archive), i.Name+"-"), ".tar")
	i.Ref = "slim-test/" + i.Name + ":" + tag
	if _, err := output(ctx, "docker", "image", "inspect", i.Ref); err == nil {
		return nil
	}
	_, err = output(ctx, "docker", "load", "--quiet", "--input", i.Archive)
	return err
}

func lines(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
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

// Ask puts the questions to ref and returns the answers, a line each that is
// equal for images that behave alike: status, and length and digest of a body or
// of both output streams. A status that is not the one the question names is an
// error.
func Ask(ctx context.Context, ref string, questions []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var server *container
	defer func() { server.remove() }()
	var answers []string
	for _, q := range questions {
		kind, rest, _ := strings.Cut(q, " ")
		want, rest, _ := strings.Cut(rest, " ")
		var got, body string
		var err error
		if kind == "RUN" {
			got, body, err = runOnce(ctx, ref, rest)
		} else {
			if server == nil {
				if server, err = start(ctx, ref); err != nil {
					return nil, fmt.Errorf("%s: %w", ref, err)
				}
			}
			got, body, err = server.request(ctx, kind, rest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", ref, q, err)
		}
		if got != want {
			return nil, fmt.Errorf("%s: %s: status %s\n%s", ref, q, got, body)
		}
		answers = append(answers, fmt.Sprintf("%s: %s, %d bytes, %.16x", q, got, len(body), sha256.Sum256([]byte(body))))
	}
	if server != nil {
		status, err := server.stop(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		answers = append(answers, "stop: "+status)
	}
	return answers, nil
}

// runOnce runs the image as a command, on no network.
func runOnce(ctx context.Context, ref, args string) (status, out string, err error) {
	words, err := shlex.Split(args)
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, "docker", append([]string{"run", "--rm", "--network", "none", "--hostname", "box", ref}, words...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return "", "", err
	}
	return fmt.Sprint(cmd.ProcessState.ExitCode()), stdout.String() + "\x00" + stderr.String(), nil
}

// container is a server under the Engine. It is on no network: its loopback is
// entered from the host, so that no bridge is needed and no port of the host used.
type container struct {
	id, pid, port string
}

func start(ctx context.Context, ref string) (*container, error) {
	id, err := output(ctx, "docker", "run", "--detach", "--network", "none", "--hostname", "box", ref)
	if err != nil {
		return nil, err
	}
	c := &container{id: strings.TrimSpace(id)}
	text, err := output(ctx, "docker", "inspect", c.id)
	if err != nil {
		return c, err
	}
	var info []struct {
		State  struct{ Pid int }
		Config struct{ ExposedPorts map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return c, err
	}
	c.pid = fmt.Sprint(info[0].State.Pid)
	for port := range info[0].Config.ExposedPorts {
		c.port, _, _ = strings.Cut(port, "/")
	}
	return c, nil
}

// request sends one request; curl itself waits for the port to listen.
func (c *container) request(ctx context.Context, method, rest string) (status, body string, err error) {
	path, data, hasData := strings.Cut(rest, " ")
	args := []string{"--target", c.pid, "--net", "curl", "--silent", "--show-error",
		"--retry", "60", "--retry-connrefused", "--retry-delay", "1", "--max-time", "30",
		"--request", method, "--write-out", "\n%{http_code}", "http://127.0.0.1:" + c.port + path}
	if method == "HEAD" {
		args = append(args, "--head")
	}
	if hasData {
		kind := "text/plain"
		if strings.HasPrefix(data, "{") {
			kind = "application/json"
		}
		args = append(args, "--header", "Content-Type: "+kind, "--data", data)
	}
	out, err := output(ctx, "nsenter", args...)
	if err != nil {
		logs, _ := exec.CommandContext(ctx, "docker", "logs", c.id).CombinedOutput()
		return "", "", fmt.Errorf("%w\n%s", err, logs)
	}
	i := strings.LastIndexByte(out, '\n')
	return out[i+1:], out[:i], nil
}

// stop ends it by its stop signal and tells its exit status.
func (c *container) stop(ctx context.Context) (string, error) {
	if _, err := output(ctx, "docker", "stop", c.id); err != nil {
		return "", err
	}
	status, err := output(ctx, "docker", "inspect", "--format", "{{.State.ExitCode}}", c.id)
	return strings.TrimSpace(status), err
}

func (c *container) remove() {
	if c != nil {
		exec.Command("docker", "rm", "--force", "--volumes", c.id).Run()
	}
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
