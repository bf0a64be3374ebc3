package sandbox

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"slim/probe/record"
	"slim/probe/rootfs/treetest"
	"slim/testdata/skip"
)

// fuseLower serves a folder by FUSE, from the moment it is mounted.
func fuseLower(dir string) (Lower, error) {
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		return Lower{}, err
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return Lower{}, err
	}
	dev := os.NewFile(uintptr(fd), "/dev/fuse")
	return Lower{
		Type: "fuse",
		Data: "rootmode=40000,user_id=0,group_id=0,allow_other",
		File: dev,
		Mounted: func() error {
			server, err := fuse.NewServer(fs.NewNodeFS(root, nil), fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{})
			if err == nil {
				go server.Serve()
			}
			return err
		},
	}, nil
}

func needFuse(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		skip.Test(t, "%v", err)
	}
}

func TestFuse(t *testing.T) {
	needFuse(t)
	tree := newTree(t)
	lower, err := fuseLower(tree)
	must(t, err)
	out := newLines()
	c, err := New(t.Context(), newSpec(strings.Fields("prog cat /data/a , append /data/b c , cat /data/b")...), Options{
		Lower: lower, Stdout: out, Stderr: out,
	})
	must(t, err)
	defer c.Close()
	must(t, c.Start(t.Context()))
	<-c.Done()
	if got := out.String(); got != "abc" || c.Status().Code != 0 {
		t.Errorf("status %+v, output %q", c.Status(), got)
	}
	changes, err := c.Changes(t.Context())
	if diff := cmp.Diff([]Change{{"/data/b", Modified}}, changes); diff != "" || err != nil {
		t.Error(err, diff)
	}
	must(t, c.Close())
}

// recorded is a container over a recorder.
type recorded struct {
	*started
	rec    *record.FUSE
	served chan error
}

// bootRecorded starts the spec's program on a tree that has prog in it.
func bootRecorded(t *testing.T, spec *specs.Spec, tree string) *recorded {
	t.Helper()
	needFuse(t)
	prog, err := buildProg()
	must(t, err)
	content, err := os.ReadFile(prog)
	must(t, err)
	fsys := treetest.FS(t, fmt.Sprintf("file /bin/prog 0755 %q\n", content)+tree)
	rec, err := record.NewFUSE(fsys, record.FUSEOptions{})
	must(t, err)
	t.Cleanup(func() { rec.Close() })
	r := &recorded{&started{t: t, stdout: newLines(), stderr: newLines()}, rec, make(chan error, 1)}
	serve := func() error {
		go func() { r.served <- rec.Serve() }()
		return nil
	}
	r.Container, err = New(t.Context(), spec, Options{
		Lower:  Lower{Type: "fuse", Data: rec.MountData(), File: rec.Device(), Mounted: serve},
		Stdout: r.stdout, Stderr: r.stderr,
	})
	must(t, err)
	t.Cleanup(func() { r.Close() })
	rec.SetProc(r.Proc())
	rec.SetHelpers(r.InExec)
	rec.SetPhase(record.Start)
	must(t, r.Start(t.Context()))
	return r
}

// accesses closes the container and gives its record.
func (r *recorded) accesses() []record.Access {
	r.t.Helper()
	must(r.t, r.Close())
	select {
	case err := <-r.served:
		must(r.t, err)
	case <-time.After(20 * time.Second):
		r.t.Fatal("the mount has not gone with the container")
	}
	accesses, err := r.rec.Accesses()
	must(r.t, err)
	return accesses
}

// TestRecorded checks what the sandbox does to a record: its own look-ups are not in it,
// do not keep the program's from it, and no option of the overlay adds any.
func TestRecorded(t *testing.T) {
	spec := newSpec(strings.Fields("prog chmod 600 /data/big , ls /data , stat /run/dir /run/vol /app/none")...)
	spec.Process.Cwd = "/app/etc"
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: "/app/vol", Type: volumeMount},
		specs.Mount{Destination: "/run/vol", Type: volumeMount})
	c := bootRecorded(t, spec, `
		file /etc/passwd "root"
		file /data/big "big"
		file /data/other "other"
		file /app/etc/x "x"
		dir  /lib/dir
		link /run -> lib
	`)
	<-c.Done()
	c.rec.SetPhase(record.Setup)
	changes, err := c.Changes(t.Context())
	if diff := cmp.Diff([]Change{{"/data/big", Modified}}, changes); diff != "" || err != nil {
		t.Error(err, diff)
	}
	var got []string
	for _, a := range c.accesses() {
		got = append(got, a.Path+" "+a.Ops.String()+" "+a.Process)
	}
	want := strings.Fields(`
		/app p  /app/etc p  /app/none m
		/bin p  /bin/prog psrx
		/data psl  /data/big ps
		/lib p  /lib/dir ps  /run pk
		/usr m`)
	var lines []string
	for i := 0; i < len(want); i += 2 {
		lines = append(lines, want[i]+" "+want[i+1]+" prog")
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Error(diff)
	}
}

// TestInExec: of what is touched, a record tells commands of Exec and their children from
// the program.
func TestInExec(t *testing.T) {
	c := bootRecorded(t, newSpec(strings.Fields("prog cat /data/own , child cat /data/child , wait")...), `
		file /data/own "own"
		file /data/child "child"
		file /data/exec "exec"
		file /data/execchild "execchild"
	`)
	c.says("waiting")
	status, err := c.Exec(t.Context(), ExecOptions{Args: strings.Fields("prog cat /data/own /data/exec , child cat /data/execchild")})
	if err != nil || status.Code != 0 {
		t.Fatalf("%+v, %v", status, err)
	}
	var helpers []string
	for _, a := range c.accesses() {
		if a.Helper {
			helpers = append(helpers, a.Path)
		}
	}
	if diff := cmp.Diff([]string{"/data/exec", "/data/execchild"}, helpers); diff != "" {
		t.Error(diff)
	}
}
