package keep_test

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// rubyTree is a Ruby as its own image has it, with gems in a home of their own.
const rubyTree = `
	file /usr/local/bin/ruby 0755 "#"
	file /usr/local/lib/ruby/3.3.0/rubygems.rb 0644 "require 'rbconfig'\n  autoload :X, File.join(__dir__, 'rubygems/installer.rb')"
	file /usr/local/lib/ruby/3.3.0/rubygems/installer.rb 0644 "x"
	file /usr/local/lib/ruby/3.3.0/set.rb 0644 "x"
	file /usr/local/lib/ruby/3.3.0/csv.rb 0644 "require_relative 'csv/row'\nrequire 'irb'"
	file /usr/local/lib/ruby/3.3.0/csv/row.rb 0644 "x"
	file /usr/local/lib/ruby/3.3.0/irb.rb 0644 "x"
	file /usr/local/lib/ruby/3.3.0/digest.rb 0644 "def f(name) require lib end"
	file /usr/local/lib/ruby/3.3.0/x86_64-linux/rbconfig.rb 0644 "x"
	file /usr/local/lib/ruby/3.3.0/x86_64-linux/enc/trans/big5.so 0644 "x"
	file /usr/local/lib/ruby/3.3.0/x86_64-linux/digest/md5.so 0644 "x"
	file /usr/local/lib/ruby/3.3.0/x86_64-linux/psych.so 0644 "a\x00psych/error\x00b"
	file /usr/local/lib/ruby/3.3.0/psych/error.rb 0644 "x"
	file /usr/local/bundle/specifications/rack-3.0.0.gemspec 0644 "# stub: rack 3.0.0 ruby lib\n"
	file /usr/local/bundle/gems/rack-3.0.0/lib/rack.rb 0644 "autoload :Lint, 'rack/lint'\nrequire 'rspec'"
	file /usr/local/bundle/gems/rack-3.0.0/lib/rack/lint.rb 0644 "x"
	file /usr/local/bundle/gems/rack-3.0.0/lib/rack/test/x.rb 0644 "x"
	file /usr/local/bundle/gems/rack-3.0.0/MIT-LICENSE 0644 "x"
	file /usr/local/bundle/gems/rack-3.0.0/LICENSE 0644 "x"
	file /usr/local/bundle/gems/rack-3.0.0/README.md 0644 "x"
	file /usr/local/bundle/gems/rack-3.0.0/test/spec.rb 0644 "x"
	file /usr/local/bundle/cache/rack-3.0.0.gem 0644 "x"
	file /usr/local/bundle/specifications/nio-2.0-x86_64-linux.gemspec 0644 "# stub: nio 2.0 x86_64-linux lib\n# stub: ext/extconf.rb\ns.add_runtime_dependency(%q<rack>.freeze, [\"~> 3\"])\ns.add_development_dependency(%q<rspec>.freeze)"
	file /usr/local/bundle/gems/nio-2.0-x86_64-linux/lib/nio.rb 0644 "require 'nio/ext'"
	file /usr/local/bundle/gems/nio-2.0-x86_64-linux/ext/nio.c 0644 "x"
	file /usr/local/bundle/gems/nio-2.0-x86_64-linux/ext/nio/ext.so 0644 "x"
	file /usr/local/bundle/gems/nio-2.0-x86_64-linux/bin/nio 0755 "x"
	file /usr/local/bundle/extensions/x86_64-linux/3.3.0/nio-2.0-x86_64-linux/nio/ext.so 0644 "x"
	file /usr/local/bundle/extensions/x86_64-linux/3.3.0/nio-2.0-x86_64-linux/gem.build_complete 0644 ""
	file /usr/local/bundle/extensions/x86_64-linux/3.3.0/nio-2.0-x86_64-linux/mkmf.log 0644 "x"
	file /usr/local/bundle/specifications/rspec-3.1.gemspec 0644 "# stub: rspec 3.1 ruby lib\n"
	file /usr/local/bundle/gems/rspec-3.1/lib/rspec.rb 0644 "x"
`

func TestRuby(t *testing.T) {
	const always = `
		/app/main.rb
		/usr/local/bin/ruby
		/usr/local/lib/ruby/3.3.0/rubygems.rb
		/usr/local/lib/ruby/3.3.0/set.rb
		/usr/local/lib/ruby/3.3.0/x86_64-linux/rbconfig.rb
		/usr/local/lib/ruby/3.3.0/x86_64-linux/enc/trans/big5.so
`
	const rack = `
		/usr/local/bundle/gems/rack-3.0.0/LICENSE
		/usr/local/bundle/gems/rack-3.0.0/lib/rack.rb
		/usr/local/bundle/gems/rack-3.0.0/lib/rack/lint.rb
		/usr/local/bundle/gems/rack-3.0.0/lib/rack/test/x.rb
		/usr/local/bundle/specifications/rack-3.0.0.gemspec
`
	const nio = `
		/usr/local/bundle/extensions/x86_64-linux/3.3.0/nio-2.0-x86_64-linux/gem.build_complete
		/usr/local/bundle/extensions/x86_64-linux/3.3.0/nio-2.0-x86_64-linux/nio/ext.so
		/usr/local/bundle/gems/nio-2.0-x86_64-linux/lib/nio.rb
		/usr/local/bundle/specifications/nio-2.0-x86_64-linux.gemspec
`
	const lock = `GEM\n  remote: https://x/\n  specs:\n    nio (2.0-x86_64-linux)\n      rack (~> 3)\n    rack (3.0.0)\n    rspec (3.1)\n\nDEPENDENCIES\n  nio\n  rspec\n`
	for _, c := range []struct{ name, tree, script, env, want string }{
		{"standard library", "", `def f; require 'csv'; end`, "", `
			/usr/local/lib/ruby/3.3.0/csv.rb
			/usr/local/lib/ruby/3.3.0/csv/row.rb`},
		{"for debugging", "", `require 'irb'`, "", `/usr/local/lib/ruby/3.3.0/irb.rb`},
		{"by a name made up", "", `require 'digest'`, "", `
			/usr/local/lib/ruby/3.3.0/digest.rb
			/usr/local/lib/ruby/3.3.0/x86_64-linux/digest/md5.so`},
		{"from a compiled part", "", `require "psych"`, "", `
			/usr/local/lib/ruby/3.3.0/psych/error.rb
			/usr/local/lib/ruby/3.3.0/x86_64-linux/psych.so`},
		{"gem that is required", "", `require "rack/lint"`, "", rack},
		{"gem with dependencies and compiled parts", "", `gem 'nio'`, "", rack + nio},
		{"program of a gem", "", `load Gem.activate_bin_path('nio', 'nio', version)`, "", rack + nio + `
			/usr/local/bundle/gems/nio-2.0-x86_64-linux/bin/nio`},
		{"not in comments", "", `# require "rack"\n=begin\nrequire "rack"\n=end\n__END__\nrequire "rack"`, "", ``},
		{"lock file, groups of the Gemfile", `
			file /app/Gemfile.lock 0644 "` + lock + `"
			file /app/Gemfile 0644 "gem 'nio'\ngroup :development, :test do\n  gem 'rspec'\nend\n"`, `Bundler.require`, "", rack + nio + `
			/app/Gemfile
			/app/Gemfile.lock
			/usr/local/bundle/specifications/rspec-3.1.gemspec`},
		{"group left out by the environment", `
			file /app/Gemfile.lock 0644 "` + lock + `"
			file /app/Gemfile 0644 "gem 'nio'\ngem 'rspec', group: :test\n"`, `x`, "BUNDLE_WITHOUT=test", rack + nio + `
			/app/Gemfile
			/app/Gemfile.lock`},
		{"checkout of a repository", `
			file /usr/local/bundle/bundler/gems/own-abc123/own.gemspec 0644 "s.name = 'own'\ns.add_dependency 'rack', '>= 2'"
			file /usr/local/bundle/bundler/gems/own-abc123/lib/own.rb 0644 "x"
			file /usr/local/bundle/bundler/gems/own-abc123/spec/own_spec.rb 0644 "x"`, `require 'own'`, "", rack + `
			/usr/local/bundle/bundler/gems/own-abc123/lib/own.rb`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := rubyTree + c.tree + "\nfile /app/main.rb 0755 \"#!/usr/local/bin/ruby\\n" + strings.ReplaceAll(c.script, `"`, `\"`) + "\"\n"
			cfg := v1.Config{Entrypoint: []string{"/app/main.rb"}, WorkingDir: "/app", Env: []string{c.env}}
			s := mustSelect(t, treetest.FS(t, tree), "", cfg, keep.Options{Keep: keep.Units})
			want := strings.Fields(always + c.want)
			slices.Sort(want)
			got := keptPaths(s)
			slices.Sort(got)
			diff(t, want, got)
		})
	}
}

// Of two copies of a compiled part the one stays that require finds or the run used.
func TestRubyTwin(t *testing.T) {
	tree := rubyTree + `
		file /usr/local/bundle/gems/nio-2.0-x86_64-linux/lib/nio/ext.so 0644 "x"
		file /app/main.rb 0755 "#!/usr/local/bin/ruby\nrequire 'nio'"`
	const ext, lib = "/usr/local/bundle/extensions/x86_64-linux/3.3.0/nio-2.0-x86_64-linux/nio/ext.so", "/usr/local/bundle/gems/nio-2.0-x86_64-linux/lib/nio/ext.so"
	for _, c := range []struct {
		used string
		want []bool
	}{{"", []bool{true, false}}, {ext, []bool{true, false}}, {lib, []bool{true, true}}} {
		trace := ""
		if c.used != "" {
			trace = c.used + " r"
		}
		s := mustSelect(t, treetest.FS(t, tree), trace, v1.Config{Entrypoint: []string{"/app/main.rb"}}, keep.Options{})
		for k, p := range []string{ext, lib} {
			if e, _ := s.Lookup(p); e.Kept != c.want[k] {
				t.Errorf("%q used: %s kept: %v", c.used, p, e.Kept)
			}
		}
	}
}
