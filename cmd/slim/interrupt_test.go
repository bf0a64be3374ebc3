//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slim/minify"
	"slim/testdata/static"
)

// TestInterrupt ends runs by signals at moments all over them, each a bounded delay
// after a phase began, and looks for what they left: nothing, and the next run with
// the same folders is as good as ever.
func TestInterrupt(t *testing.T) {
	t.Setenv("SLIM_KEEP", "accessed")
	requireRoot(t)
	base := t.TempDir()
	img, err := makeImage(t, static.Build(t, "./testdata/prog"), interruptedImage)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLayout(t, filepath.Join(base, "fat"), img); err != nil {
		t.Fatal(err)
	}
	source := treeSum(t, filepath.Join(base, "fat"))

	// A run that nobody ends tells how long the phases are, and the result.
	whole, want := map[string]*victim{}, map[string]string{}
	for _, compression := range []string{"gzip", "estargz"} {
		x := newVictim(t, base, compression)
		if sig, code := x.run(t, "", 0, 0); sig != 0 || code != 0 {
			t.Fatalf("signal %v, exit status %d\n%s", sig, code, &x.stderr)
		}
		x.check(t, 0)
		whole[compression], want[compression] = x, treeSum(t, x.out())
	}

	const rounds = 27
	r := rand.New(rand.NewPCG(1, 2))
	signals := []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL}
	phases := []string{"", string(minify.Fetch), string(minify.Index), string(minify.Probe), string(minify.Select),
		string(minify.Write), string(minify.Verify), string(minify.Select), string(minify.Probe), string(minify.Select), string(minify.Write)}
	for i := range rounds {
		sig, after := signals[i%len(signals)], phases[i%len(phases)]
		compression := "gzip"
		if sig == unix.SIGTERM { // a SIGKILL leaves the files of the estargz library
			compression = "estargz"
		}
		delay := time.Duration(r.Float64() * 1.2 * float64(whole[compression].next[after]))
		t.Run(fmt.Sprintf("%v %v after %s", unix.SignalName(sig), delay.Round(time.Millisecond), after), func(t *testing.T) {
			t.Parallel()
			x := newVictim(t, base, compression)
			ended, code := x.run(t, after, delay, sig)
			x.checkEnd(t, sig, ended, code)
			x.check(t, ended)
			if ended, code := x.run(t, "", 0, 0); ended != 0 || code != 0 {
				t.Fatalf("the next run: signal %v, exit status %d\n%s", ended, code, &x.stderr)
			}
			x.check(t, 0)
			if left := x.files(t, x.cache(), ".tmp-*", "slim-*"); len(left) > 0 {
				t.Errorf("the next run has not cleared %v", left)
			}
			if got := treeSum(t, x.out()); got != want[compression] {
				t.Errorf("the next run stored something else")
			}
			if got := treeSum(t, filepath.Join(base, "fat")); got != source {
				t.Errorf("the source has changed")
			}
		})
	}
}

// interruptedImage is a server with enough data that each phase takes its time; the
// host's test has children of its own.
const interruptedImage = `
config {"Entrypoint":["/bin/prog"],"Cmd":["serve","8080","/www"],"ExposedPorts":{"8080/tcp":{}}}
file /www/index.html "<html>hello</html>"
file /www/big size=30000000
layer
prog /bin/prog
`

// interruptedTest is a host's test with a child. A SIGKILL takes the shell with it,
// but leaves what that has started: a test's processes are the host's.
func interruptedTest(sig unix.Signal) string {
	if sig == unix.SIGKILL {
		return "exec sleep 0.3"
	}
	return "sleep 0.2 & sleep 0.3; wait"
}

// victim is a run of the command with folders of its own.
type victim struct {
	base, dir   string
	bin         string
	compression string
	stdout      bytes.Buffer
	stderr      bytes.Buffer
	// next is how long the phase after each one took.
	next map[string]time.Duration
}

func newVictim(t *testing.T, base, compression string) *victim {
	bin, err := exec.LookPath("slim") // testscript.Main has put it there
	if err != nil {
		t.Fatal(err)
	}
	x := &victim{base: base, dir: t.TempDir(), bin: bin, compression: compression, next: map[string]time.Duration{}}
	for _, d := range []string{x.temp(), x.cache()} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (x *victim) temp() string  { return filepath.Join(x.dir, "tmp") }
func (x *victim) cache() string { return filepath.Join(x.dir, "cache") }
func (x *victim) out() string   { return filepath.Join(x.dir, "out") }

// run runs slim and sends sig a delay after the line of a phase (with "", after the
// start); with no sig it lets it end. It tells how the command ended.
func (x *victim) run(t *testing.T, after string, delay time.Duration, sig unix.Signal) (unix.Signal, int) {
	t.Helper()
	x.stdout.Reset()
	x.stderr.Reset()
	cmd := exec.Command(x.bin, "oci:"+filepath.Join(x.base, "fat"), "-t", "oci:"+x.out(),
		"--compression", x.compression, "--cache-dir", x.cache(), "--test", interruptedTest(sig), "--report", filepath.Join(x.dir, "report.json"))
	cmd.Env = append(os.Environ(), "TMPDIR="+x.temp(), "SLIM_TEST_MARK="+x.dir)
	cmd.Stdout = &x.stdout
	lines, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	arm := func() *time.Timer { return time.AfterFunc(delay, func() { cmd.Process.Signal(sig) }) }
	if sig != 0 && after == "" {
		defer arm().Stop()
	}
	last, begin := "", time.Now()
	for in := bufio.NewScanner(io.TeeReader(lines, &x.stderr)); in.Scan(); {
		phase, _, _ := strings.Cut(in.Text(), " ")
		x.next[last], last, begin = time.Since(begin), phase, time.Now()
		if sig != 0 && phase == after {
			defer arm().Stop()
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status := cmd.ProcessState.Sys().(interface {
		Signaled() bool
		Signal() unix.Signal
	})
	if status.Signaled() {
		return status.Signal(), -1
	}
	return 0, cmd.ProcessState.ExitCode()
}

// checkEnd holds the end of a run against the signal it got. A signal that came when
// all was done has no effect, one that came before main died by default.
func (x *victim) checkEnd(t *testing.T, sig, ended unix.Signal, code int) {
	t.Helper()
	text := x.stderr.String()
	switch {
	case ended == 0 && code == 0:
		if x.stdout.String() != "oci:"+x.out()+":latest\n" {
			t.Errorf("exit status 0, stdout %q", &x.stdout)
		}
		return
	case sig == unix.SIGKILL && ended == sig:
	case ended == sig && text == "": // the program had not come to its first line
	case code == 128+int(sig):
		want := "slim: stopped by " + unix.SignalName(sig) + ": nothing was stored\n"
		if !strings.HasSuffix(text, want) || strings.Count(text, "slim: ") != 1 {
			t.Errorf("stderr:\n%s\nwant one last line %q", text, want)
		}
	default:
		t.Errorf("%v: ended by %v, exit status %d\n%s", sig, ended, code, text)
	}
	if x.stdout.Len() > 0 {
		t.Errorf("stdout %q", &x.stdout)
	}
	if _, err := os.Lstat(filepath.Join(x.out(), "index.json")); err == nil && sig != unix.SIGKILL {
		t.Errorf("stored, and yet stopped\n%s", text)
	}
}

// check looks for what is left of a run.
func (x *victim) check(t *testing.T, killed unix.Signal) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), x.dir) {
		t.Errorf("mount left: %s", mounts)
	}
	// What the kernel kills with a killed process dies soon, not at once.
	for limit := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		left := processesWith(t, "SLIM_TEST_MARK="+x.dir)
		if len(left) == 0 {
			break
		}
		if killed != unix.SIGKILL || time.Now().After(limit) {
			t.Errorf("processes left: %q", left)
			break
		}
	}
	if left := x.files(t, x.temp(), "*"); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
	if left := x.files(t, x.cache(), ".tmp-*", "slim-*"); len(left) > 0 {
		t.Errorf("temporary files left in the cache: %v", left)
	}
	if left := x.files(t, x.dir, ".slim-*"); len(left) > 0 {
		t.Errorf("files left beside the report: %v", left)
	}
}

func (x *victim) files(t *testing.T, dir string, patterns ...string) (found []string) {
	t.Helper()
	for _, p := range patterns {
		names, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	return found
}

// processesWith lists the living processes with a variable in their environment.
func processesWith(t *testing.T, variable string) (found []string) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		environ, err := os.ReadFile(p)
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00"+variable+"\x00") {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
		found = append(found, fmt.Sprintf("%s: %q", filepath.Dir(p), cmdline))
	}
	return found
}

// treeSum hashes names, modes and contents of a folder.
func treeSum(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(h, "%s %v %x\n", path, info.Mode(), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
