package keep

import (
	"bytes"
	"strings"
	"testing"
)

func TestScanPerl(t *testing.T) {
	list := func(names []naming) string {
		var b strings.Builder
		for _, n := range names {
			b.WriteString(n.name + " ")
		}
		return strings.TrimSpace(b.String())
	}
	for _, c := range []struct{ name, src, modules, files, libs, prefixes string }{
		{"statements", "use strict; use 5.010; use v5.36;\n  no warnings 'once';\n{ require Foo::Bar; }", "strict warnings Foo::Bar", "", "", ""},
		{"not statements", "my %h = (use => 1); $use = $x->use Foo; $require; print \"we use Foo\"; sub require_it {}", "", "", "", ""},
		{"word list over lines", "use base qw(\n  A::B\n  C\n);\n", "base A::B C", "", "", ""},
		{"norequire", "use parent -norequire, 'A';", "parent A", "", "", ""},
		{"if", "use if $] < 5.014, 'A::B' => 'x';", "if A::B x", "", "", ""},
		{"files", "require 'a/b.pl'; require \"c.ph\"; do './d.pl'; do { 1 };", "", "a/b.pl c.ph ./d.pl", "", ""},
		{"libs", "use lib '/opt/x/lib', \"$Bin/lib\"; unshift @INC, \"/opt/y\";", "lib", "", "/opt/x/lib /opt/y", ""},
		{"prefix", "my $c = \"DBD::$driver\"; my $d = 'A::B::' . $x; require \"Foo/Bar/$x.pm\";", "", "", "", "DBD A::B Foo::Bar"},
		{"loaders", "use_module('A::B'); extends 'C', 'D::E'; $self->plugin('F'); $h->load($x);", "A::B C D::E F", "", "", ""},
		{"here-document", "print <<\"EOT\";\nuse A;\nEOT\nuse B;\n", "B", "", "", ""},
		{"here-document of code", "eval <<'EOT';\nuse A;\nEOT\n", "A", "", "", ""},
		{"no here-document", "my $x = 1 <<FOO;\nuse A;\n", "A", "", "", ""},
		{"self loader", "use SelfLoader;\n__DATA__\nsub f { require A }\n__END__\nuse B;", "SelfLoader A", "", "", ""},
		{"pod at the end", "use A;\n=head1 x\nuse B;", "A", "", "", ""},
		{"pod that ends at once", "=begin x\n=cut\nuse A;", "A", "", "", ""},
		{"data source", "DBI->connect('dbi:SQLite:dbname=x'); 'DBI:mysql(a=>1):x'", "DBD::SQLite DBD::mysql", "", "", ""},
		{"layer", "open my $f, '<:encoding(UTF-8)', $n;", "PerlIO::encoding Encode", "", "", ""},
		{"quote in a comment", "f(1); # don't require A\nuse B;", "B", "", "", ""},
	} {
		got := scanPerl([]byte(c.src))
		for i, pair := range [][2]string{{c.modules, list(got.modules)}, {c.files, list(got.files)}, {c.libs, strings.Join(got.libs, " ")}, {c.prefixes, list(got.prefixes)}} {
			if pair[0] != pair[1] {
				t.Errorf("%s, %d: %q, want %q", c.name, i, pair[1], pair[0])
			}
		}
	}
}

// Every name stands in the source, on the line that is told.
func FuzzScanPerl(f *testing.F) {
	f.Add([]byte("use A::B qw(c d);\n=pod\n\n=cut\nrequire \"x/$y.pm\";\nprint <<~EOT;\nEOT\n"))
	f.Add([]byte("use lib '/a'; extends('A'); 'dbi:Pg:x' \\N{ALPHA}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		got := scanPerl(src)
		all := bytes.Split(src, []byte("\n"))
		for _, list := range [][]naming{got.modules, got.files, got.words, got.prefixes} {
			for _, n := range list {
				if n.line < 1 || n.line > len(all) || n.name == "" {
					t.Fatalf("%+v of %d lines", n, len(all))
				}
			}
		}
		for _, w := range got.words {
			if !bytes.Contains(all[w.line-1], []byte(w.name)) {
				t.Fatalf("%+v is not on its line", w)
			}
		}
		for _, dir := range got.libs {
			if dir[0] != '/' {
				t.Fatal(dir)
			}
		}
	})
}
