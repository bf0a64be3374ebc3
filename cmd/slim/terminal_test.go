//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slim/testdata/static"
)

// TestTerminal runs the command on a terminal and looks at what stands there in the
// end: the lines that a pipe gets, nothing of what moved meanwhile.
func TestTerminal(t *testing.T) {
	t.Setenv("SLIM_KEEP", "accessed")
	requireRoot(t)
	dir := t.TempDir()
	img, err := makeImage(t, static.Build(t, "./testdata/prog"), interruptedImage)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLayout(t, filepath.Join(dir, "fat"), img); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		env    string
		args   []string
		code   int
		colour bool
		moving bool
		want   []string // what each line has, as a pattern
	}{
		{"good", "", []string{"--test", "sleep 0.5"}, 0, true, true, []string{
			`^fetch +\d+\.\d\ds  oci:fat:latest$`, `^index +\d.*files in 2 layers`, `^probe +\d`, `^select +\d`, `^write +\d`,
			`^verify +\d`, `^store +\d.*oci:out:latest$`, `^$`, `size`, `^before`, `^after`, `^$`, `^dropped$`, `other$`,
			`^$`, `^verified`, `^oci:out:latest$`}},
		{"bad", "", []string{"--test", "sleep 0.5; exit 7"}, 3, true, true, []string{
			`^fetch`, `^index`, `^slim: the original image fails its own test: test exit status: 7$`}},
		{"no colour", "NO_COLOR=1", []string{"--test", "exit 7"}, 3, false, true, []string{
			`^fetch`, `^index`, `^slim: the original`}},
		{"dumb", "TERM=dumb", []string{"--test", "exit 7"}, 3, false, false, []string{
			`^fetch`, `^index`, `^slim: the original`}},
		{"usage", "", []string{"--nonsense"}, 2, true, false, []string{`^slim: usage: .*nonsense`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command("slim", append([]string{"oci:fat", "-t", "oci:out", "--cache-dir", "cache"}, test.args...)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", test.env)
			raw := onTerminal(t, cmd)
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit status %d, want %d", code, test.code)
			}
			if got := bytes.Contains(raw, []byte("\x1b[3")); got != test.colour {
				t.Errorf("colour: %v", got)
			}
			if got := bytes.Contains(raw, []byte("\x1b[1A")); got != test.moving {
				t.Errorf("moving: %v", got)
			}
			lines, err := screen(raw)
			if err != nil {
				t.Errorf("%v: %q", err, raw)
			}
			if len(lines) != len(test.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(test.want), strings.Join(lines, "\n"))
			}
			for i, want := range test.want {
				if !regexp.MustCompile(want).MatchString(lines[i]) {
					t.Errorf("line %d: %q, want %s", i, lines[i], want)
				}
			}
		})
	}
}

// onTerminal runs cmd with a new terminal of 80 columns as its stdin, stdout and
// stderr, and returns what it wrote.
func onTerminal(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	err = cmd.Start()
	tty.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(master) // EIO when the last one has closed it
	if err != nil && !errors.Is(err, unix.EIO) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out
}

// screen is what stands on a terminal after raw: of control sequences it knows the
// cursor up, the erasing of what follows, and colours.
func screen(raw []byte) ([]string, error) {
	lines, row, col := [][]rune{nil}, 0, 0
	for text := string(raw); text != ""; {
		if s := regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`).FindStringSubmatch(text); s != nil {
			text = text[len(s[0]):]
			switch {
			case s[2] == "A" && s[1] == "1" && row > 0:
				row--
			case s[2] == "J" && s[1] == "":
				lines = lines[:row+1]
				lines[row] = lines[row][:min(col, len(lines[row]))]
			case s[2] == "m":
			default:
				return nil, fmt.Errorf("unexpected sequence %q", s[0])
			}
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch {
		case r == '\r':
			col = 0
		case r == '\n':
			if row++; row == len(lines) {
				lines = append(lines, nil)
			}
		case r < ' ':
			return nil, fmt.Errorf("unexpected character %q", r)
		default:
			for len(lines[row]) <= col {
				lines[row] = append(lines[row], ' ')
			}
			lines[row][col] = r
			col++
		}
	}
	var out []string
	for _, l := range lines {
		out = append(out, strings.TrimRight(string(l), " "))
	}
	if last := len(out) - 1; out[last] == "" {
		out = out[:last]
	}
	return out, nil
}
