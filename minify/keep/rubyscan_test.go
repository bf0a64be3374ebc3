package keep

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScanRuby(t *testing.T) {
	list := func(names []naming) string {
		var b strings.Builder
		for _, n := range names {
			b.WriteString(n.name + " ")
		}
		return strings.TrimSpace(b.String())
	}
	for _, c := range []struct{ name, src, requires, relatives, fromFile, prefixes, gems string }{
		{"calls", "require 'a'; require(\"b/c\")\n  Kernel.require 'd'\nload 'e.rb'\nautoload :F, 'f/g'\nautoload(:H,\n  'h')", "a b/c d f/g h", "", "", "", ""},
		{"no calls", "x.require 'a'\n@require 'b'\n# require 'c'\ndef require 'd'\nrequired 'e'\nrequire\n:require 'f'", "", "", "", "", ""},
		{"relative", "require_relative 'a'\nrequire File.expand_path('b', __dir__)\nrequire File.join(File.dirname(__FILE__), 'c', 'd')\nrequire \"#{__dir__}/e\"\nrequire File.dirname(__FILE__) + '/f'", "", "a b c/d e f", "", "", ""},
		{"from the file", "require File.expand_path('../a', __FILE__)", "", "", "../a", "", ""},
		{"made up", "require \"a/b_#{x}\"\nrequire 'c/' + x\nrequire_relative \"d/#{x}\"\nrequire \"#{x}\"", "", "", "", "a/b_ c/ ./d/", ""},
		{"words", "%w[a b/c].each { |f| require f }", "a b/c", "", "", "", ""},
		{"gems", "gem 'a', '~> 1'\nload Gem.activate_bin_path('b', 'c', v)\ngem install d", "", "", "", "", "a b"},
		{"document", "=begin\nrequire 'a'\n=end\nrequire 'b'", "b", "", "", "", ""},
		{"end", "require 'a'\n__END__\nrequire 'b'", "a", "", "", "", ""},
	} {
		got := scanRuby([]byte(c.src))
		want := []string{c.requires, c.relatives, c.fromFile, c.prefixes, c.gems}
		diff := cmp.Diff(want, []string{list(got.requires), list(got.relatives), list(got.fromFile), list(got.prefixes), list(got.gems)})
		if diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.name, diff)
		}
	}
}

func FuzzScanRuby(f *testing.F) {
	f.Add([]byte("require 'a'\nautoload :B, \"b\"\nrequire File.expand_path('../a', __FILE__)\n%w[a b].each { |x| require x }\n=begin\n=end\n__END__"))
	f.Fuzz(func(t *testing.T, src []byte) {
		got := scanRuby(src)
		lines := bytes.Split(src, []byte("\n"))
		for _, list := range [][]naming{got.requires, got.loads, got.relatives, got.fromFile, got.prefixes, got.gems} {
			for _, n := range list {
				if n.line < 1 || n.line > len(lines) || strings.Contains(n.name, "\n\n\n") {
					t.Fatalf("%+v of %d lines", n, len(lines))
				}
			}
		}
		for _, feature := range featuresInObject(src) {
			if !strings.Contains(feature, "/") || !bytes.Contains(src, []byte(feature)) {
				t.Fatal(feature)
			}
		}
	})
}

func TestGemfile(t *testing.T) {
	f := parseGemfile([]byte(`
source "https://x" do
  gem "a"
end
git_source(:github) { |repo| "https://#{repo}" }
gem "b", "~> 1", group: :test # why
gem 'c', :groups => [:development, :production]
gem "d", groups: %i[test ci],
  require: false
group :development, :test do
  gem "e"
  platforms :ruby do
    gem "f"
  end
  if x
    gem "g"
  end
end
gem "h" if y
group :assets, optional: true do
  gem "i"
  gem "b"
end
gem "e"
gemspec
`))
	want := map[string][]string{
		"a": nil, "b": {"test", "assets"}, "c": {"development", "production"}, "d": {"test", "ci"}, "e": nil,
		"f": {"development", "test"}, "g": {"development", "test"}, "h": nil, "i": {"assets"},
	}
	for name := range want {
		if !slices.Equal(f.groups[name], want[name]) {
			t.Errorf("%s: %v, want %v", name, f.groups[name], want[name])
		}
	}
	if len(f.groups) != len(want) || !f.gemspec {
		t.Errorf("%+v", f)
	}
}

func TestGemLock(t *testing.T) {
	l := parseGemLock([]byte(`GIT
  remote: https://x/own.git
  revision: abc
  specs:
    own (1.0)
      rack (>= 2)

PATH
  remote: engines/shop
  specs:
    shop (0.1)
      own

GEM
  remote: https://x/
  specs:
    nokogiri (1.13.10)
      racc (~> 1.4)
    nokogiri (1.13.10-x86_64-linux)
      racc (~> 1.4)
    racc (1.6)
    rack (2.2)

PLATFORMS
  ruby

DEPENDENCIES
  nokogiri
  shop!

BUNDLED WITH
   2.3.7
`))
	got := []any{l.roots, l.folders, l.closure(l.roots), l.specs["nokogiri"].versions}
	want := []any{[]string{"nokogiri", "shop"}, []string{"engines/shop"}, []string{"nokogiri", "shop", "racc", "own", "rack"}, []string{"1.13.10", "1.13.10-x86_64-linux"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestGemSpec(t *testing.T) {
	got := parseGemSpec([]byte(`# -*- encoding: utf-8 -*-
# stub: json 2.6.1 ruby lib` + "\x00" + `ext
# stub: ext/json/extconf.rb
Gem::Specification.new do |s|
  s.name = "json".freeze
  s.add_runtime_dependency(%q<rack>.freeze, ["~> 2.2", ">= 2.2.4"])
  s.add_development_dependency(%q<test-unit>.freeze, [">= 0"])
  s.add_dependency(%q<rack>.freeze, ["~> 2.2"])
  s.add_dependency(%q<test-unit>.freeze, [">= 0"])
end`))
	want := gemSpec{name: "json", version: "2.6.1", platform: "ruby", paths: []string{"lib", "ext"},
		depends: []gemDependency{{"rack", []string{"~> 2.2", ">= 2.2.4"}}}, develops: []string{"test-unit"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(gemSpec{}, gemDependency{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestGemVersions(t *testing.T) {
	for _, c := range []struct {
		version, requirement string
		want                 bool
	}{
		{"2.2.4", "~> 2.2", true}, {"3.0", "~> 2.2", false}, {"2.3", "~> 2.2.1", false}, {"2.2.10", "~> 2.2.9", true},
		{"1.0.rc1", ">= 1.0", false}, {"1.0", "= 1.0.0", true}, {"1.0", "1.0", true}, {"1.0", "!= 1.0", false}, {"1", "< 1.0.1", true},
	} {
		if got := satisfies(c.version, []string{c.requirement}); got != c.want {
			t.Errorf("%s %s: %v", c.version, c.requirement, got)
		}
	}
}

// Whatever the files of gems hold: no panic, and names that stand there.
func FuzzGems(f *testing.F) {
	f.Add([]byte("GEM\n  specs:\n    a (1)\n      b\n\nDEPENDENCIES\n  a!\n"))
	f.Add([]byte("gem 'a', group: :b\ngroup :c do |x|\nend\n%i[a"))
	f.Add([]byte("# stub: a 1 ruby lib\n s.add_dependency(%q<b>, [\"~> 1\"])"))
	f.Fuzz(func(t *testing.T, src []byte) {
		l := parseGemLock(src)
		for _, name := range l.closure(l.roots) {
			if !bytes.Contains(src, []byte(name)) {
				t.Fatal(name)
			}
		}
		for name, groups := range parseGemfile(src).groups {
			for _, g := range append(groups, name) {
				if !bytes.Contains(src, []byte(g)) {
					t.Fatalf("%q %q", name, g)
				}
			}
		}
		spec := parseGemSpec(src)
		for _, d := range spec.depends {
			satisfies(spec.version, d.requirements)
		}
		splitGemName(string(src))
	})
}
