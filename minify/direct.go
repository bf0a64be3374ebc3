package minify

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/sys/user"

	"slim/minify/verify"
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs"
	"slim/probe/sandbox"
	"slim/probe/workload"
)

// direct makes what the original's start led to its start: the image's config gets
// the command line, environment, folder and user that the probe saw the program
// started with, and the original is probed again with it. It is refused where the two
// runs differ, or where the first wrote files that the second did not: then the start
// does work of its own.
func (r *run) direct(ctx context.Context) error {
	refuse := func(format string, a ...any) error {
		return fmt.Errorf("%w: --direct-entrypoint: %w", ErrGate, fmt.Errorf(format, a...))
	}
	first := r.original
	cfg, err := directConfig(r.fat, r.config, r.probeOptions(r.config).Sandbox, first.Programs)
	if errors.Is(err, errDirect) {
		return nil // its start is the program
	}
	if err != nil {
		return refuse("%w", err)
	}
	start := "started as " + strings.Join(cfg.Entrypoint, " ")
	opts := r.probeOptions(*cfg)
	opts.WaitPorts = first.Ports()
	second, err := probe.Run(ctx, r.fat, opts)
	if err != nil {
		return refuse("%s: %w", start, err)
	}
	v := &verify.Verdict{Rows: verify.Compare(first, second)}
	lost := lostWrites(first, second)
	if !v.Equal() || len(lost) > 0 {
		again, err := probe.Run(ctx, r.fat, r.probeOptions(r.config))
		if err != nil {
			return fmt.Errorf("run the original again: %w", err)
		}
		verify.Excuse(v.Rows, first, again, second)
		// A file with a name of the moment is not written twice.
		lost = slices.DeleteFunc(lost, func(p string) bool { return !slices.Contains(writes(again), p) })
	}
	if len(lost) > 0 {
		return refuse("the start does work of its own, which would be lost: it wrote %s; without the option the start is kept", strings.Join(shortList(lost, 5), ", "))
	}
	// How a starter ends on a signal is its own; the program's way takes its place.
	for i, row := range v.Rows {
		if row.Name == workload.StopName && !row.Equal {
			v.Rows[i].Equal = true
			r.result.Stop = row
		}
	}
	if !v.Equal() {
		return refuse("%s the original differs from itself: %s", start, differences(v))
	}
	r.original, r.start, r.config = second, cfg, *cfg
	r.result.Direct, r.result.Trace = cfg.Entrypoint, second.Trace
	return nil
}

// writes are the paths that a run wrote.
func writes(p *probe.Result) []string {
	var list []string
	for _, a := range p.Trace.Accesses {
		if a.Ops&record.Write != 0 {
			list = append(list, a.Path)
		}
	}
	return list
}

// lostWrites are the paths that the first run wrote and the second did not, but for a
// starter's own cache and log.
func lostWrites(first, second *probe.Result) []string {
	written := writes(second)
	return slices.DeleteFunc(writes(first), func(p string) bool {
		return slices.Contains(written, p) || slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool {
			return s == ".npm" || s == ".cache" || s == ".yarn"
		})
	})
}

func shortList(list []string, n int) []string {
	if len(list) > n {
		return append(slices.Clone(list[:n]), fmt.Sprintf("%d more", len(list)-n))
	}
	return list
}

// errDirect says that nothing stands before the program.
var errDirect = errors.New("the image starts its program itself")

// directConfig is cfg with the program in the place of its start.
func directConfig(fsys *rootfs.FS, cfg v1.Config, given sandbox.Config, programs []sandbox.Program) (*v1.Config, error) {
	spec, err := sandbox.Plan(fsys, given)
	if err != nil {
		return nil, err
	}
	p, err := finalProgram(programs)
	if err != nil {
		return nil, err
	}
	if p.First && slices.Equal(p.Args, spec.Process.Args) {
		return nil, errDirect
	}
	if p.Umask != 0o022 {
		return nil, fmt.Errorf("the start sets the umask %#o, which no image config can", p.Umask)
	}
	out := cfg
	out.Cmd, out.Entrypoint = nil, slices.Clone(p.Args)
	if path.Base(p.Args[0]) != path.Base(p.Path) || strings.Contains(p.Args[0], "/") {
		out.Entrypoint[0] = p.Path
	}
	if !strings.HasPrefix(out.Entrypoint[0], "/") && strings.Contains(out.Entrypoint[0], "/") {
		out.Entrypoint[0] = path.Join(p.Dir, out.Entrypoint[0])
	}
	out.WorkingDir = p.Dir
	if out.User, err = directUser(fsys, cfg, given, p); err != nil {
		return nil, err
	}
	if out.Env, err = directEnv(fsys, cfg, given, spec.Process.Env, p, out.User); err != nil {
		return nil, err
	}
	return &out, nil
}

// starters are programs that start another and only wait for it.
var starters = map[string]bool{
	"sh": true, "bash": true, "dash": true, "ash": true, "busybox": true, "ksh": true, "mksh": true, "zsh": true,
	"su": true, "runuser": true, "sudo": true,
	"npm": true, "npm-cli.js": true, "npx": true, "npx-cli.js": true, "yarn": true, "yarn.js": true, "yarnpkg": true,
	"pnpm": true, "pnpm.cjs": true,
}

func isStarter(p sandbox.Program) bool {
	if starters[path.Base(p.Path)] {
		return true
	}
	return len(p.Args) > 1 && strings.HasPrefix(path.Base(p.Path), "node") && starters[path.Base(p.Args[1])]
}

// finalProgram is what the start leads to: what the first process runs in the end, or
// if that is a starter which waits for one process, what that one does.
func finalProgram(programs []sandbox.Program) (sandbox.Program, error) {
	i := slices.IndexFunc(programs, func(p sandbox.Program) bool { return p.First })
	if i < 0 {
		return sandbox.Program{}, errors.New("the first process was not seen to start anything")
	}
	p := programs[i]
	for isStarter(p) {
		var children []sandbox.Program
		for _, c := range programs {
			if c.Parent == p.PID && !c.Ended {
				children = append(children, c)
			}
		}
		if len(children) != 1 {
			return p, fmt.Errorf("%s runs %d programs, not one, when the container is ready", path.Base(p.Path), len(children))
		}
		p = children[0]
	}
	if p.Path == "" || len(p.Args) == 0 {
		return p, errors.New("the program was started without a name")
	}
	return p, nil
}

// directUser is the USER that gives a program the ids it had.
func directUser(fsys *rootfs.FS, cfg v1.Config, given sandbox.Config, p sandbox.Program) (string, error) {
	candidates := []string{cfg.User}
	users, _ := user.ParsePasswdFilter(passwd(fsys), func(u user.User) bool { return u.Uid == int(p.User.UID) })
	for _, u := range users {
		candidates = append(candidates, u.Name)
	}
	candidates = append(candidates, fmt.Sprint(p.User.UID), fmt.Sprintf("%d:%d", p.User.UID, p.User.GID))
	for _, name := range candidates {
		try := given
		try.Image.User = name
		spec, err := sandbox.Plan(fsys, try)
		if err != nil {
			continue
		}
		u := spec.Process.User
		if u.UID == p.User.UID && u.GID == p.User.GID && sameGroups(u.AdditionalGids, p.User.AdditionalGids, u.GID) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no USER gives the program its ids: user %d, group %d, groups %v", p.User.UID, p.User.GID, p.User.AdditionalGids)
}

func sameGroups(a, b []uint32, own uint32) bool {
	norm := func(list []uint32) []uint32 {
		list = slices.DeleteFunc(slices.Clone(list), func(g uint32) bool { return g == own })
		slices.Sort(list)
		return slices.Compact(list)
	}
	return slices.Equal(norm(a), norm(b))
}

func passwd(fsys *rootfs.FS) *strings.Reader {
	data, err := fsys.ReadFile("etc/passwd")
	if err != nil {
		return strings.NewReader("")
	}
	return strings.NewReader(string(data))
}

// ofShell are variables that a shell keeps for itself.
var ofShell = map[string]bool{"_": true, "SHLVL": true, "PWD": true, "OLDPWD": true}

// directEnv is the config's environment as the program had it: without what the
// run time sets, and without what the user gave this run, which is not the image's.
func directEnv(fsys *rootfs.FS, cfg v1.Config, given sandbox.Config, planned []string, p sandbox.Program, name string) ([]string, error) {
	before, after, own := environment(planned), environment(p.Env), environment(cfg.Env)
	for _, kv := range given.Env {
		key, _, _ := strings.Cut(kv, "=")
		secret := before[key]
		if len(secret) < 4 {
			continue
		}
		for _, arg := range p.Args {
			if strings.Contains(arg, secret) {
				return nil, fmt.Errorf("the program's command line holds the value of --env %s, which must not be in an image", key)
			}
		}
		for k, v := range after {
			if k != key && strings.Contains(v, secret) {
				return nil, fmt.Errorf("the start puts the value of --env %s into %s, which must not be in an image", key, k)
			}
		}
	}
	home := "/"
	if u, err := user.GetExecUser(name, nil, passwd(fsys), strings.NewReader("")); err == nil {
		home = u.Home
	}
	var env []string
	for _, kv := range cfg.Env {
		key, _, _ := strings.Cut(kv, "=")
		if v, ok := after[key]; ok {
			env = append(env, key+"="+v)
		}
	}
	var added []string
	for key, v := range after {
		_, inImage := own[key]
		old, was := before[key]
		switch {
		case inImage, key == "HOSTNAME", was && old == v, key == "HOME" && v == home, ofShell[key] && !was:
		default:
			added = append(added, key+"="+v)
		}
	}
	slices.Sort(added)
	return append(env, added...), nil
}

func environment(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}
