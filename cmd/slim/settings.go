//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// settingsFile holds defaults for a project: option names as keys, a list for
// a repeatable option.
const settingsFile = ".slim.yaml"

// fromEnvironment sets the flags that the command line leaves: from SLIM_<NAME>,
// else from the settings file.
func fromEnvironment(set *pflag.FlagSet) error {
	settings, err := readSettings(settingsFile)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	var errs []error
	set.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "help" || flag.Name == "version" {
			return // SLIM_VERSION is more likely the name of a release
		}
		values, inFile := settings[flag.Name]
		delete(settings, flag.Name)
		if flag.Changed {
			return
		}
		name := "SLIM_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		origin := settingsFile + ": " + flag.Name
		if v, ok := os.LookupEnv(name); ok {
			values, inFile, origin = []string{v}, true, name
		}
		if !inFile {
			return
		}
		for _, v := range values {
			if err := set.Set(flag.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", origin, err))
			}
		}
	})
	var unknown []string
	for name := range settings {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		errs = append(errs, fmt.Errorf("%s: no option %q", settingsFile, name))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// readSettings reads the file, every value as text; no file is no setting.
func readSettings(path string) (map[string][]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var raw map[string]any
	if err := yaml.UnmarshalStrict(data, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	settings := make(map[string][]string, len(raw))
	for name, value := range raw {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		settings[name] = []string{}
		for _, v := range list {
			settings[name] = append(settings[name], fmt.Sprint(v))
		}
	}
	return settings, nil
}
