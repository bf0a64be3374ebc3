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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/shlex"
)

// Question is a line of answers or full, taken apart.
type Question struct {
	// Kind is RUN, EXEC or the method of a request.
	Kind string
	// Status is the exit or HTTP status that is right.
	Status string
	// Rest is what follows: arguments, or a path and a body.
	Rest string
}

// ParseQuestion reads a line.
func ParseQuestion(line string) Question {
	kind, rest, _ := strings.Cut(line, " ")
	status, rest, _ := strings.Cut(rest, " ")
	return Question{kind, status, rest}
}

// Words are the arguments of RUN and EXEC, as a shell splits them.
func (q Question) Words() ([]string, error) { return shlex.Split(q.Rest) }

// Request is the path, the body and the body's content type of a request.
func (q Question) Request() (path, body, kind string) {
	path, body, _ = strings.Cut(q.Rest, " ")
	switch {
	case strings.HasPrefix(body, "{"):
		kind = "application/json"
	case body != "":
		kind = "text/plain"
	}
	return path, body, kind
}

// Answer is what came of one question.
type Answer struct {
	// Question is the line, or "stop" for the end of the server.
	Question string
	// Text is equal for images that behave alike: status, and length and digest of a
	// body or of both output streams.
	Text string
	// Body is the body, or both output streams with a zero byte between them.
	Body string
	// Err says why there is no answer, or that the status is not the one the question
	// names.
	Err error
}

// Ask puts the questions to ref and returns the answers' texts. The first that is
// wrong is an error.
func Ask(ctx context.Context, ref string, questions []string) ([]string, error) {
	var texts []string
	for _, a := range AskEach(ctx, ref, questions) {
		if a.Err != nil {
			return nil, fmt.Errorf("%s: %s: %w", ref, a.Question, a.Err)
		}
		texts = append(texts, a.Text)
	}
	return texts, nil
}

// AskEach puts the questions to ref in their order: requests and EXEC to one
// container, RUN to one each. There is an answer for every question, and one more
// for how the container stops if it was needed.
func AskEach(ctx context.Context, ref string, questions []string) []Answer {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var server *container
	var broken error // why the server cannot be asked any more
	defer func() { server.remove() }()
	var answers []Answer
	for _, line := range questions {
		q := ParseQuestion(line)
		var got, body string
		var err error
		if q.Kind == "RUN" {
			got, body, err = runOnce(ctx, ref, q)
		} else {
			if server == nil {
				server, broken = start(ctx, ref)
			}
			if err = broken; err == nil {
				got, body, err = server.ask(ctx, q)
			}
			if err != nil && !server.running() {
				broken = err
			}
		}
		if err == nil && got != q.Status {
			err = fmt.Errorf("status %s\n%s", got, body)
		}
		answers = append(answers, Answer{line, fmt.Sprintf("%s: %s, %d bytes, %.16x", line, got, len(body), sha256.Sum256([]byte(body))), body, err})
	}
	if server != nil {
		status, err := server.stop(ctx)
		answers = append(answers, Answer{"stop", "stop: " + status, "", err})
	}
	return answers
}

// runOnce runs the image as a command, on no network.
func runOnce(ctx context.Context, ref string, q Question) (status, out string, err error) {
	words, err := q.Words()
	if err != nil {
		return "", "", err
	}
	return command(ctx, append([]string{"run", "--rm", "--network", "none", "--hostname", "box", ref}, words...))
}

// command runs docker and tells how the program ended that docker ran.
func command(ctx context.Context, args []string) (status, out string, err error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
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
	id, pid string
	port    int // the lowest that the image exposes, 0 if none
}

// start starts the server and waits until it listens on its port. A container that
// was made comes with the error.
func start(ctx context.Context, ref string) (*container, error) {
	id, err := output(ctx, "docker", "create", "--network", "none", "--hostname", "box", ref)
	if err != nil {
		return nil, err
	}
	c := &container{id: strings.TrimSpace(id)}
	if _, err := output(ctx, "docker", "start", c.id); err != nil {
		return c, err
	}
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
	var ports []int
	for text := range info[0].Config.ExposedPorts {
		text, _, _ = strings.Cut(text, "/")
		port, err := strconv.Atoi(text)
		if err != nil {
			return c, fmt.Errorf("exposed port: %w", err)
		}
		ports = append(ports, port)
	}
	if len(ports) == 0 {
		return c, nil
	}
	c.port = slices.Min(ports)
	return c, c.ready(ctx)
}

// ready waits until the port listens: for a minute, or the server's end.
func (c *container) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !c.listens() {
		if !c.running() {
			return c.logs(errors.New("it ended"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return c.logs(fmt.Errorf("port %d does not listen: %w", c.port, ctx.Err()))
		}
	}
	return nil
}

// listens looks for the port in the container's sockets: proc_net_tcp in the kernel's
// documentation says how they are listed; state 0A is TCP_LISTEN.
func (c *container) listens() bool {
	for _, file := range []string{"tcp", "tcp6"} {
		data, _ := os.ReadFile("/proc/" + c.pid + "/net/" + file) // gone with the server
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", c.port)) {
				return true
			}
		}
	}
	return false
}

func (c *container) running() bool {
	if c == nil {
		return false
	}
	_, err := os.Stat("/proc/" + c.pid + "/root/")
	return err == nil
}

// logs adds what the server wrote to err.
func (c *container) logs(err error) error {
	out, _ := exec.Command("docker", "logs", "--tail", "40", c.id).CombinedOutput()
	return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(out))
}

// ask puts one question to the server.
func (c *container) ask(ctx context.Context, q Question) (status, body string, err error) {
	if q.Kind != "EXEC" {
		return c.request(ctx, q)
	}
	words, err := q.Words()
	if err != nil {
		return "", "", err
	}
	return command(ctx, append([]string{"exec", c.id}, words...))
}

// request sends one request.
func (c *container) request(ctx context.Context, q Question) (status, body string, err error) {
	path, data, kind := q.Request()
	args := []string{"--target", c.pid, "--net", "curl", "--silent", "--show-error", "--max-time", "30",
		"--request", q.Kind, "--write-out", "\n%{http_code}", fmt.Sprintf("http://127.0.0.1:%d%s", c.port, path)}
	if q.Kind == "HEAD" {
		args = append(args, "--head", "--output", "/dev/null") // which has a date
	}
	if kind != "" {
		args = append(args, "--header", "Content-Type: "+kind, "--data", data)
	}
	out, err := output(ctx, "nsenter", args...)
	if err != nil {
		return "", "", c.logs(err)
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
