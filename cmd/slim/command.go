package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/shlex"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"slim/minify"
	"slim/minify/layer"
	"slim/probe"
	"slim/probe/workload"
)

const help = `Make a small image of a fat one: run it under a file-access probe while a test
exercises it, keep what it needs, verify that the result behaves the same.

  slim [OPTIONS] IMAGE [OPTIONS] [-- COMMAND [ARG...]]

  slim myapp:latest                                the daemon's or the registry's image
  slim myapp:latest --test ./smoke.sh              the test's exit status is the verdict
  slim docker-archive:fat.tar -t oci:out -- server --port 8080
  slim registry.example/app:1 -t registry.example/app:1-slim --push

IMAGE and --tag: NAME[:TAG], docker://…, docker-daemon:NAME, oci:DIR[:TAG],
oci-archive:FILE, docker-archive:FILE. The result's reference goes to stdout.
`

const exitCodes = `
Exit status: 0 ok, 1 internal, 2 usage, 3 the original fails its test, 4 the slim image
differs, 5 result not accepted, 6 input rejected, 7 not supported here, 75 try again.
Each option can be set as SLIM_<NAME> in the environment or in .slim.yaml.
`

// flags are the command line's, before they become minify.Options.
type flags struct {
	minify.Options
	compression string
	entrypoint  string
	http        []string
	exec        []string
	runs        []string
	trace       string
	fromTrace   string
	report      string
	format      string
}

// group is a heading of the help text and the flags below it.
type group struct {
	title string
	set   *pflag.FlagSet
}

func newCommand(ui *terminal) *cobra.Command {
	f := &flags{}
	groups := f.groups()
	cmd := &cobra.Command{
		Use:               "slim [OPTIONS] IMAGE [-- COMMAND [ARG...]]",
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args, ui)
		},
	}
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.set)
	}
	cmd.Flags().SortFlags = false
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see slim --help", errUsage, err)
	})
	cmd.SetHelpFunc(func(c *cobra.Command, _ []string) {
		out := c.OutOrStdout()
		fmt.Fprint(out, help)
		for _, g := range groups {
			fmt.Fprintf(out, "\n%s\n%s", g.title, g.set.FlagUsagesWrapped(0))
		}
		fmt.Fprint(out, exitCodes)
	})
	return cmd
}

func (f *flags) groups() []group {
	newSet := func(title string) (*pflag.FlagSet, group) {
		s := pflag.NewFlagSet(title, pflag.ContinueOnError)
		s.SortFlags = false
		return s, group{title, s}
	}
	result, g1 := newSet("Result:")
	result.StringVarP(&f.Output, "tag", "t", "", "`reference` of the result (default: the source's, -slim appended)")
	result.BoolVar(&f.Push, "push", false, "store it in the registry")
	result.StringVar(&f.Base, "base", "scratch", "`image` below the result's one layer")
	result.StringVar(&f.compression, "compression", string(layer.Gzip), "gzip, zstd or estargz")
	result.StringVar(&f.Platform, "platform", "", "of a multi-platform image (default: this machine's)")
	result.StringArrayVar(&f.Include, "include", nil, "keep what matches this `glob` too (repeatable)")
	result.StringArrayVar(&f.Exclude, "exclude", nil, "drop what matches this `glob` (repeatable)")

	test, g2 := newSet("Test:")
	test.StringArrayVar(&f.http, "http", nil, "check `[METHOD:]PATH`, or those in @FILE (repeatable)")
	test.StringVar(&f.Workload.Test, "test", "", "host `command` with SLIM_URL, SLIM_HOST and SLIM_PORT set")
	test.StringArrayVar(&f.exec, "exec", nil, "`command` inside the container (repeatable)")
	test.StringArrayVar(&f.runs, "run", nil, "`arguments` of a run of its own, '' for the image's (repeatable)")
	test.BoolVar(&f.Workload.AnyExit, "any-exit", false, "accept a command that ends with another status than 0")
	test.DurationVar(&f.Timeout, "timeout", 10*time.Minute, "for the whole")

	run, g3 := newSet("Probe run, as in docker run (the result's config stays the original's):")
	run.StringVar(&f.entrypoint, "entrypoint", "", "instead of the image's")
	run.StringArrayVarP(&f.Sandbox.Env, "env", "e", nil, "`NAME[=VALUE]` (repeatable)")
	run.StringArrayVar(&f.Sandbox.Mounts, "mount", nil, "`type=bind,src=…,dst=…` (repeatable)")
	run.StringVarP(&f.Sandbox.User, "user", "u", "", "`name or number[:group]`")
	run.StringVarP(&f.Sandbox.Workdir, "workdir", "w", "", "`folder`")
	run.StringVar(&f.Sandbox.Hostname, "hostname", "", "`name`")
	run.StringVar(&f.Sandbox.Network, "network", "none", "none: a loopback of its own; host")

	files, g4 := newSet("Files:")
	files.StringVar(&f.trace, "trace", "", "save what was touched to this `file`")
	files.StringVar(&f.fromTrace, "from-trace", "", "select by this saved `file`")
	files.StringVar(&f.report, "report", "", "write every path and its reason to this JSON `file`")
	files.StringVar(&f.format, "format", "text", "of the result on stdout: text or json")
	files.StringVar(&f.CacheDir, "cache-dir", "", "`folder` of decompressed layers")
	return []group{g1, g2, g3, g4}
}

func (f *flags) run(cmd *cobra.Command, args []string, ui *terminal) error {
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return err
	}
	image, err := f.complete(cmd, args)
	if err != nil {
		return err
	}
	f.Progress = ui.step
	result, err := minify.Run(cmd.Context(), image, f.Options)
	ui.done()
	if ferr := f.writeFiles(result); err == nil {
		err = ferr
	}
	if err != nil {
		return err
	}
	ui.summary(result)
	return ui.result(result, f.format)
}

// complete turns the parsed flags into options and returns the image.
func (f *flags) complete(cmd *cobra.Command, args []string) (image string, err error) {
	usage := func(format string, a ...any) error {
		return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, a...))
	}
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		f.Sandbox.Command = args[dash:]
		args = args[:dash]
	}
	switch {
	case len(args) == 0:
		return "", usage("no IMAGE given; see slim --help")
	case len(args) > 1:
		return "", usage("one IMAGE, not %d: %s (a command goes after --)", len(args), strings.Join(args, " "))
	case f.format != "text" && f.format != "json":
		return "", usage("--format is text or json, not %q", f.format)
	case len(f.Sandbox.Command) > 0 && len(f.runs) > 0:
		return "", usage("a command after -- and --run exclude each other")
	}
	if f.Compression = layer.Compression(f.compression); !f.Compression.Valid() {
		return "", usage("--compression is one of %v, not %q", layer.Compressions, f.compression)
	}
	switch f.Sandbox.Network {
	case "none":
		f.Sandbox.Network = ""
	case "host":
	default:
		return "", usage("--network is none or host, not %q", f.Sandbox.Network)
	}
	if cmd.Flags().Changed("entrypoint") {
		f.Sandbox.Entrypoint = &f.entrypoint
	}
	if f.Runs, err = split("run", f.runs); err != nil {
		return "", usage("%w", err)
	}
	if f.Workload.Exec, err = split("exec", f.exec); err != nil {
		return "", usage("%w", err)
	}
	for _, s := range f.http {
		checks, err := workload.ParseChecks(s)
		if err != nil {
			return "", usage("--http: %w", err)
		}
		f.Workload.Checks = append(f.Workload.Checks, checks...)
	}
	if f.fromTrace != "" {
		if f.Trace, err = readTrace(f.fromTrace); err != nil {
			return "", usage("--from-trace: %w", err)
		}
	}
	return args[0], nil
}

// split splits each command as a shell would; nil words of "" mean the image's own.
func split(flag string, commands []string) ([][]string, error) {
	var out [][]string
	for _, c := range commands {
		words, err := shlex.Split(c)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: %w", flag, c, err)
		}
		out = append(out, words)
	}
	return out, nil
}

func readTrace(path string) (*probe.Trace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t, err := probe.ReadTrace(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
