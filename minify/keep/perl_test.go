package keep_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// perlTree is an installed Perl as Debian lays it out, with few modules.
const perlTree = `
	file /usr/bin/perl 0755 "#"
	file /usr/lib/x86_64-linux-gnu/perl-base/Config.pm 0644 "    archlibexp => '/usr/lib/x86_64-linux-gnu/perl/5.36',\n    privlibexp => '/usr/share/perl/5.36',\n    scriptdir => '/usr/bin',\n    sitelibexp => '/usr/local/share/perl/5.36.0',\n"
	file /usr/lib/x86_64-linux-gnu/perl-base/XSLoader.pm 0644 "x"
	file /usr/lib/x86_64-linux-gnu/perl/5.36.0/Config_heavy.pl 0644 "vendorlibexp='/usr/share/perl5'\n"
	link /usr/lib/x86_64-linux-gnu/perl/5.36 -> 5.36.0
	link /usr/share/perl/5.36 -> 5.36.0
	file /usr/lib/x86_64-linux-gnu/perl/5.36.0/List/Util.pm 0644 "package List::Util;\nrequire XSLoader;\n"
	file /usr/lib/x86_64-linux-gnu/perl/5.36.0/auto/List/Util/Util.so 0644 "so"
	file /usr/share/perl/5.36.0/Text/Wrap.pm 0644 "x"
	file /usr/share/perl/5.36.0/Test/More.pm 0644 "x"
	file /usr/share/perl/5.36.0/unicore/Name.pl 0644 "x"
	file /usr/share/perl/5.36.0/_charnames.pm 0644 "my $t = do \"unicore/Name.pl\";"
`

func TestPerl(t *testing.T) {
	cfg := v1.Config{Entrypoint: []string{"/app/run.pl"}}
	const always = `
		/usr/bin/perl
		/usr/lib/x86_64-linux-gnu/perl-base/Config.pm
		/usr/lib/x86_64-linux-gnu/perl-base/XSLoader.pm
		/usr/lib/x86_64-linux-gnu/perl/5.36
		/usr/lib/x86_64-linux-gnu/perl/5.36.0/Config_heavy.pl`
	for _, c := range []struct{ name, tree, script, want string }{
		{"reach and parts", "", `use List::Util;\n`, `
			/usr/lib/x86_64-linux-gnu/perl/5.36.0/List/Util.pm
			/usr/lib/x86_64-linux-gnu/perl/5.36.0/auto/List/Util/Util.so`},
		{"pod, comments, end", "", `# use Text::Wrap;\nmy $x = 1; # require Text::Wrap\n=pod\n\n use Test::More;\n\n=cut\n$use = 2;\n__END__\nuse Test::More;\n`, ``},
		{"inside a function", "", `sub f { eval { require Text::Wrap } or die }\n`, `
			/usr/share/perl/5.36
			/usr/share/perl/5.36.0/Text/Wrap.pm`},
		{"code in a string", "", `eval \"use Text::Wrap; 1\" or die;\n`, `
			/usr/share/perl/5.36
			/usr/share/perl/5.36.0/Text/Wrap.pm`},
		{"names of characters", "", `print \"\\N{GREEK SMALL LETTER ALPHA}\"\n`, `
			/usr/share/perl/5.36
			/usr/share/perl/5.36.0/_charnames.pm
			/usr/share/perl/5.36.0/unicore/Name.pl`},
		{"module of the application, of its lib", `
			file /app/lib/Shop/Cart.pm 0644 "use parent -norequire, 'Shop::Base';\nuse base qw(\n Shop::Thing\n);"
			file /app/lib/Shop/Thing.pm 0644 "1"
			file /usr/share/perl5/Shop/Other.pm 0644 "1"`, `use FindBin; use lib \"$FindBin::Bin/lib\"; use Shop::Cart;\n`, `
			/app/lib/Shop/Cart.pm
			/app/lib/Shop/Thing.pm`},
		{"loaded by name", `
			file /usr/share/perl5/DBI.pm 0644 "my $d = \"DBD::$driver\"; eval \"require $class\"; install(\"x\"); load_class($d);"
			file /usr/share/perl5/DBI/Const.pm 0644 "1"
			file /usr/share/perl5/DBD/Pg.pm 0644 "1"
			file /usr/share/perl5/DBD/README 0644 "1"
			file /usr/share/perl5/Other.pm 0644 "1"`, `use DBI; DBI->connect(\"dbi:Pg:x\");`, `
			/usr/share/perl5/DBD/Pg.pm
			/usr/share/perl5/DBI.pm
			/usr/share/perl5/DBI/Const.pm`},
		{"data beside a module", `
			file /usr/share/perl5/Mojolicious.pm 0644 "1"
			file /usr/share/perl5/Mojolicious/Unused.pm 0644 "1"
			file /usr/share/perl5/Mojolicious/resources/x.html.ep 0644 "1"
			file /usr/share/perl5/auto/share/dist/Mojolicious/y 0644 "1"`, `use Mojolicious;`, `
			/usr/share/perl5/Mojolicious.pm
			/usr/share/perl5/Mojolicious/resources/x.html.ep
			/usr/share/perl5/auto/share/dist/Mojolicious/y`},
		{"data in a folder beside a module", `
			file /usr/share/perl5/Mojo/Util.pm 0644 "1"
			file /usr/share/perl5/Mojo/resources/x.txt 0644 "1"
			file /usr/share/perl5/Mojo/IOLoop/x.crt 0644 "1"
			file /usr/share/perl5/Mojo/IOLoop/Client.pm 0644 "1"`, `use Mojo::Util;`, `
			/usr/share/perl5/Mojo/Util.pm
			/usr/share/perl5/Mojo/resources/x.txt`},
		{"a distribution with a list of its files", `
			file /usr/local/share/perl/5.36.0/My/Dist.pm 0644 "1"
			file /usr/local/share/perl/5.36.0/My/Dist/Lazy.pm 0644 "1"
			file /usr/local/bin/mydist 0755 "1"
			file /usr/local/share/perl/5.36.0/auto/My/Dist/.packlist 0644 "/usr/local/bin/mydist\n/usr/local/share/perl/5.36.0/My/Dist.pm type=file\n/usr/local/share/perl/5.36.0/My/Dist/Lazy.pm\n"`,
			`use My::Dist;`, `
			/usr/local/share/perl/5.36.0/My/Dist.pm
			/usr/local/share/perl/5.36.0/My/Dist/Lazy.pm`},
		{"local::lib", `
			file /app/local/lib/perl5/Foo.pm 0644 "require \"foo/bar.pl\";"
			file /app/local/lib/perl5/x86_64-linux-gnu-thread-multi/foo/bar.pl 0644 "1"`, `require Foo;`, `
			/app/local/lib/perl5/Foo.pm
			/app/local/lib/perl5/x86_64-linux-gnu-thread-multi/foo/bar.pl`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := perlTree + c.tree + "\nfile /app/run.pl 0755 \"#!/usr/bin/perl\\n" + c.script + "\"\n"
			s := mustSelect(t, treetest.FS(t, tree), "", cfg, keep.Options{Keep: keep.Units})
			want := strings.Fields(always + c.want + " /app/run.pl")
			slices.Sort(want)
			got := keptPaths(s)
			slices.Sort(got)
			diff(t, want, got)
		})
	}
}

// The modules of the machine that runs the tests: whatever perl loads for one is
// kept for a program that uses it.
func TestHostPerl(t *testing.T) {
	perl, err := exec.LookPath("perl")
	need(t, err == nil, "no perl: %v", err)
	inc, err := exec.Command(perl, "-e", `print map {"$_\n"} grep {m{^/usr} && -d} @INC`).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]bool)
	addWithLinks(t, files, perl)
	for _, dir := range strings.Fields(string(inc)) {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			t.Fatal(err)
		}
		addWithLinks(t, files, filepath.Join(dir, "."))
		filepath.WalkDir(real, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && filepath.Ext(p) != ".pod" {
				addWithLinks(t, files, p)
			}
			return err
		})
		addWithLinks(t, files, dir)
	}
	names := strings.Fields(`POSIX Encode LWP::UserAgent JSON JSON::PP File::Temp Storable Digest::SHA Data::Dumper HTTP::Tiny Socket
		IO::Socket::IP Time::Local Math::BigFloat Text::Balanced Archive::Tar IO::Compress::Gzip Unicode::Normalize Locale::Maketext
		Pod::Usage Getopt::Long autodie Term::ANSIColor Thread::Queue charnames Unicode::UCD bigint open Safe SelfLoader Dpkg Sys::Syslog`)
	if testing.Short() {
		names = names[:4]
	}
	app := t.TempDir()
	want := make(map[string][]string) // by script
	for _, name := range names {
		script := filepath.Join(app, strings.ReplaceAll(name, "::", "-")+".pl")
		text := fmt.Sprintf("#!%s\nuse %s;\nrequire JSON::PP; print JSON::PP::encode_json([grep {defined} values %%INC]), \"\\n\"", perl, name)
		if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(perl, script).Output()
		if err != nil {
			continue // not installed
		}
		files[script] = true
		var list []string
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatal(err)
		}
		want[script] = list
	}
	need(t, len(want) > len(names)/2, "only %d of %d modules to look at", len(want), len(names))
	fsys := treeOf(t, "/", slices.Sorted(maps.Keys(files)))
	for _, script := range slices.Sorted(maps.Keys(want)) {
		s := mustSelect(t, fsys, "", v1.Config{Entrypoint: []string{script}}, keep.Options{Keep: keep.Units})
		for _, p := range want[script] {
			real, _ := filepath.EvalSymlinks(p)
			if e, ok := s.Lookup(real); filepath.IsAbs(p) && (!ok || !e.Kept) {
				t.Errorf("%s: %s is not kept", filepath.Base(script), p)
			}
		}
		t.Logf("%s: %d loaded, kept %v", filepath.Base(script), len(want[script]), s.Totals().Kept)
	}
}
