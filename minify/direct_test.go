package minify

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slim/probe/rootfs/treetest"
	"slim/probe/sandbox"
)

func TestDirectConfig(t *testing.T) {
	fsys := treetest.FS(t, `
		file /etc/passwd "root:x:0:0::/root:/bin/sh\napp:x:10:20::/home/app:/bin/sh\n"
		file /etc/group "app:x:20:\nextra:x:30:app\n"
		file /start.sh 0755 "#!/bin/sh\n"`)
	cfg := v1.Config{Entrypoint: []string{"/start.sh"}, Cmd: []string{"serve"}, Env: []string{"PATH=/bin", "A=1", "B=2"}, WorkingDir: "/"}
	shell := sandbox.Program{PID: 1, First: true, Path: "/bin/sh", Args: []string{"/bin/sh", "/start.sh", "serve"}, Umask: 0o022}
	final := sandbox.Program{
		PID: 1, First: true, Path: "/bin/serve", Args: []string{"serve", "--all"}, Dir: "/app", Umask: 0o022,
		Env: []string{"PATH=/bin", "A=9", "C=3", "SHLVL=1", "_=/bin/serve", "HOSTNAME=box", "HOME=/home/app"},
	}
	app := specs.User{UID: 10, GID: 20, AdditionalGids: []uint32{30}}
	edit := func(p sandbox.Program, f func(*sandbox.Program)) sandbox.Program {
		f(&p)
		return p
	}
	want := v1.Config{Entrypoint: []string{"serve", "--all"}, Env: []string{"PATH=/bin", "A=9", "C=3", "HOME=/home/app"}, WorkingDir: "/app"}
	for _, tt := range []struct {
		name     string
		given    sandbox.Config
		programs []sandbox.Program
		want     v1.Config
		err      string
	}{
		{name: "exec", programs: []sandbox.Program{final}, want: want},
		{name: "child of a shell", want: want,
			programs: []sandbox.Program{shell, edit(final, func(p *sandbox.Program) { p.PID, p.Parent, p.First = 2, 1, false })}},
		{name: "user", programs: []sandbox.Program{edit(final, func(p *sandbox.Program) { p.User = app })},
			want: v1.Config{User: "app", Entrypoint: want.Entrypoint, Env: []string{"PATH=/bin", "A=9", "C=3"}, WorkingDir: "/app"}},
		{name: "no such groups", err: "no USER gives the program its ids: user 10, group 20, groups [77]",
			programs: []sandbox.Program{edit(final, func(p *sandbox.Program) { p.User = app; p.User.AdditionalGids = []uint32{77} })}},
		{name: "umask", err: "the start sets the umask 077, which no image config can",
			programs: []sandbox.Program{edit(final, func(p *sandbox.Program) { p.Umask = 0o077 })}},
		{name: "two children", err: "sh runs 2 programs, not one, when the container is ready",
			programs: []sandbox.Program{shell, {PID: 2, Parent: 1}, {PID: 3, Parent: 1}, {PID: 4, Parent: 1, Ended: true}}},
		{name: "itself", err: errDirect.Error(), programs: []sandbox.Program{edit(final, func(p *sandbox.Program) { p.Args = []string{"/start.sh", "serve"} })}},
		{name: "secret", given: sandbox.Config{Env: []string{"TOKEN=s3cr3t"}},
			err:      "the start puts the value of --env TOKEN into C, which must not be in an image",
			programs: []sandbox.Program{edit(final, func(p *sandbox.Program) { p.Env = []string{"TOKEN=s3cr3t", "C=x-s3cr3t"} })}},
		{name: "given", given: sandbox.Config{Env: []string{"TOKEN=s3cr3t"}}, want: v1.Config{Entrypoint: want.Entrypoint, WorkingDir: "/app"},
			programs: []sandbox.Program{edit(final, func(p *sandbox.Program) { p.Env = []string{"TOKEN=s3cr3t"} })}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.given.Image = cfg
			got, err := directConfig(fsys, cfg, tt.given, tt.programs)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err && !errors.Is(err, errDirect) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
