//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/shlex"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"slim/minify"
	"slim/minify/keep"
	"slim/minify/layer"
	"slim/probe"
	"slim/probe/workload"
)

const help = `Make a small image of a fat one: run it under a file-access probe while a test
exercises it, keep what it needs, verify that the result behaves the same.

  slim [OPTIONS] IMAGE [OPTIONS] [-- COMMAND [ARG...]]
  slim explain [OPTIONS] IMAGE PATH...   why a path is kept or dropped

  slim myapp:latest                      the Docker daemon's image, else the registry's
  slim myapp:latest --test ./smoke.sh    the test's exit status is the verdict
  slim docker-archive:fat.tar -t oci:out -- server --port 8080
  slim registry.example/app:1 -t registry.example/app:1-slim --push

IMAGE, --tag and --base are NAME[:TAG], docker://NAME, docker-daemon:NAME,
oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE. The reference of the
result goes to stdout, all else to stderr.
`

const exitCodes = `
Exit status: 0 ok, 1 internal, 2 usage, 3 the original fails its own test, 4 the slim
image differs, 5 result not accepted, 6 input rejected, 7 not supported here, 75 try
again later. Options are also read from SLIM_<NAME> and from .slim.yaml.
`

// flags are the command line's, before they become minify.Options.
type flags struct {
	minify.Options
	keep        string
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
	f.register(cmd, help)
	cmd.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"}) // an image may be named so
	cmd.AddCommand(newExplain(ui))
	return cmd
}

// register gives cmd the options, and a help that begins with text.
func (f *flags) register(cmd *cobra.Command, text string) {
	groups := f.groups()
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.SortFlags = false
	for _, g := range groups {
		all.AddFlagSet(g.set)
	}
	cmd.Flags().AddFlagSet(all)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see slim --help", errUsage, err)
	})
	cmd.SetHelpFunc(func(c *cobra.Command, _ []string) {
		out := c.OutOrStdout()
		fmt.Fprint(out, text)
		// One column for all groups: their lines are cut out of one listing.
		lines := strings.SplitAfter(all.FlagUsages(), "\n")
		for _, g := range groups {
			n := 0
			g.set.VisitAll(func(*pflag.Flag) { n++ })
			fmt.Fprintf(out, "\n%s\n%s", g.title, strings.Join(lines[:n], ""))
			lines = lines[n:]
		}
		fmt.Fprint(out, exitCodes)
	})
}

func (f *flags) groups() []group {
	newSet := func(title string) (*pflag.FlagSet, group) {
		s := pflag.NewFlagSet(title, pflag.ContinueOnError)
		s.SortFlags = false
		return s, group{title, s}
	}
	result, g1 := newSet("Result:")
	result.StringVarP(&f.Output, "tag", "t", "", "store it as `reference` (default: IMAGE with -slim appended)")
	result.BoolVar(&f.Push, "push", false, "store it in the registry that --tag names")
	result.StringVar(&f.Base, "base", "scratch", "put the layer on top of `image`")
	result.StringVar(&f.compression, "compression", string(layer.Gzip), "write a layer of `kind` gzip, zstd or estargz")
	result.StringVar(&f.keep, "keep", string(keep.Units), "keep by `policy` accessed, units or packages: ever more")
	result.StringArrayVar(&f.Include, "include", nil, "keep what matches `glob`, too (repeatable)")
	result.StringArrayVar(&f.IncludeBin, "include-bin", nil, "keep the program `name` and what it needs, too (repeatable)")
	result.StringArrayVar(&f.Exclude, "exclude", nil, "drop what matches `glob` (repeatable)")
	result.BoolVar(&f.DirectEntrypoint, "direct-entrypoint", false, "start the final program itself, without shell or starter")
	result.BoolVar(&f.Jlink, "jlink", false, "link a Java run-time image of the modules that are needed")
	result.BoolVar(&f.Strip, "strip", false, "remove symbol tables and debug information of ELF files")
	result.BoolVar(&f.NoLicenses, "no-licenses", false, "drop the license texts of what is kept")

	test, g2 := newSet("Test:")
	test.StringArrayVar(&f.http, "http", nil, "make `request` [METHOD:]PATH, or those in @FILE (repeatable)")
	test.StringVar(&f.Workload.Test, "test", "", "run host `command` with SLIM_URL, SLIM_HOST and SLIM_PORT set")
	test.StringArrayVar(&f.exec, "exec", nil, "run `command` inside the container (repeatable)")
	test.StringArrayVar(&f.runs, "run", nil, "run the image with `args`, '' for its own CMD (repeatable)")
	test.BoolVar(&f.NoRun, "no-run", false, "do not run the image: go by its files alone, test nothing")
	test.BoolVar(&f.Workload.AnyExit, "any-exit", false, "accept commands that end with another status than 0")
	test.DurationVar(&f.Timeout, "timeout", 10*time.Minute, "give up after `time`")

	run, g3 := newSet("Probe run, as in docker run (the result keeps the image's config):")
	run.StringVar(&f.entrypoint, "entrypoint", "", "start `program` instead of the image's")
	run.StringArrayVarP(&f.Sandbox.Env, "env", "e", nil, "set `variable` NAME[=VALUE] (repeatable)")
	run.StringArrayVar(&f.Sandbox.Mounts, "mount", nil, "mount by `spec` type=bind,src=PATH,dst=PATH[,readonly] (repeatable)")
	run.StringVarP(&f.Sandbox.User, "user", "u", "", "run as `user` NAME|UID[:GROUP|GID]")
	run.StringVarP(&f.Sandbox.Workdir, "workdir", "w", "", "start in `folder`")
	run.StringVar(&f.Sandbox.Hostname, "hostname", "", "set the host `name`")
	run.StringVar(&f.Sandbox.Network, "network", "none", "give it a network of `kind` none (a loopback) or host")
	run.StringVar(&f.Platform, "platform", "", "take `os/arch` of a multi-platform image (default: this machine's)")

	files, g4 := newSet("Files:")
	files.StringVar(&f.trace, "trace", "", "save what was touched to `file`")
	files.StringVar(&f.fromTrace, "from-trace", "", "select by what was saved in `file`")
	files.StringVar(&f.report, "report", "", "write every path with its reason to JSON `file`")
	files.StringVar(&f.format, "format", "text", "print the result as `kind` text or json")
	files.StringVar(&f.CacheDir, "cache-dir", "", "keep decompressed layers in `folder` (default: the user's cache)")
	return []group{g1, g2, g3, g4}
}

func (f *flags) run(cmd *cobra.Command, args []string, ui *terminal) error {
	args, err := f.complete(cmd, args)
	switch {
	case err != nil:
		return err
	case len(args) == 0:
		return fmt.Errorf("%w: no IMAGE given; see slim --help", errUsage)
	case len(args) > 1:
		return fmt.Errorf("%w: one IMAGE, not %d: %s (a command goes after --)", errUsage, len(args), strings.Join(args, " "))
	}
	f.Progress = ui.step
	result, err := minify.Run(cmd.Context(), args[0], f.Options)
	ui.done()
	if err == nil { // the image is stored, whatever becomes of the files
		ui.summary(result)
		err = ui.result(result, f.format)
	}
	if ferr := f.writeFiles(result); err == nil {
		err = ferr
	}
	return err
}

// complete turns the parsed flags into options and returns the arguments before
// "--".
func (f *flags) complete(cmd *cobra.Command, args []string) (_ []string, err error) {
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return nil, err
	}
	usage := func(format string, a ...any) error {
		return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, a...))
	}
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		f.Sandbox.Command = args[dash:]
		args = args[:dash]
	}
	switch {
	case f.format != "text" && f.format != "json":
		return nil, usage("--format is text or json, not %q", f.format)
	case f.Timeout < 0:
		return nil, usage("--timeout %v is less than nothing", f.Timeout)
	case slices.ContainsFunc(f.exec, func(s string) bool { return strings.TrimSpace(s) == "" }):
		return nil, usage("--exec wants a command")
	case f.Jlink && (f.NoRun || f.fromTrace != ""):
		return nil, usage("--jlink runs the image: not with --no-run or --from-trace")
	case f.DirectEntrypoint && (f.NoRun || f.fromTrace != "" || len(f.runs) > 0 || len(f.Sandbox.Command) > 0 || cmd.Flags().Changed("entrypoint")):
		return nil, usage("--direct-entrypoint goes by the image's own start: not with --no-run, --from-trace, --run, --entrypoint or a command")
	case len(f.Sandbox.Command) > 0 && len(f.runs) > 0:
		return nil, usage("a command after -- and --run exclude each other")
	}
	if f.Keep = keep.Policy(f.keep); !f.Keep.Valid() {
		return nil, usage("--keep is one of %v, not %q", keep.Policies, f.keep)
	}
	if f.Compression = layer.Compression(f.compression); !f.Compression.Valid() {
		return nil, usage("--compression is one of %v, not %q", layer.Compressions, f.compression)
	}
	switch f.Sandbox.Network {
	case "none":
		f.Sandbox.Network = ""
	case "host":
	default:
		return nil, usage("--network is none or host, not %q", f.Sandbox.Network)
	}
	if cmd.Flags().Changed("entrypoint") {
		f.Sandbox.Entrypoint = &f.entrypoint
	}
	if f.Runs, err = split("run", f.runs); err != nil {
		return nil, usage("%w", err)
	}
	if f.Workload.Exec, err = split("exec", f.exec); err != nil {
		return nil, usage("%w", err)
	}
	for _, s := range f.http {
		checks, err := workload.ParseChecks(s)
		if err != nil {
			return nil, usage("--http: %w", err)
		}
		f.Workload.Checks = append(f.Workload.Checks, checks...)
	}
	for _, pattern := range slices.Concat(f.Include, f.Exclude) {
		if err := keep.CheckGlob(pattern); err != nil {
			return nil, usage("--include or --exclude %w", err)
		}
	}
	for _, path := range []string{f.trace, f.report} {
		if err := checkWritable(path); err != nil {
			return nil, usage("%w", err)
		}
	}
	if f.fromTrace != "" {
		if f.Trace, err = readTrace(f.fromTrace); err != nil {
			return nil, usage("--from-trace: %w", err)
		}
	}
	return args, nil
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
