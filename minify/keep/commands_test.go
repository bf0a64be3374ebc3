package keep

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

func TestParseShell(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"git pull\n  curl -s x | jq .", "git:1 curl:2 jq:2"},
		{"# git\necho 'git'; cd /x && test -f git", ""},
		{"f() { inner; }\nf; g", "inner:1 g:2"},
		{"exec su-exec app:app /srv/run --x", "su-exec:1 /srv/run:1"},
		{`exec gosu app "$@"`, "gosu:1"},
		{"exec env -u A B=c nice -n 5 nohup timeout -s KILL 10 job", "env:1 nice:1 nohup:1 timeout:1 job:1"},
		{"find . -type f -exec gzip -9 {} + -o -execdir xz {} ';'", "find:1 gzip:1 xz:1"},
		{"ls | xargs -n 1 -I{} convert {}", "ls:1 xargs:1 convert:1"},
		{"sh -c 'a | b'\nbash -ec \"c; sh -c 'd'\"", "sh:1 a:1 b:1 bash:2 c:2 sh:2 d:2"},
		{"if command -v jq >/dev/null; then :; fi; type -p yq; command git x", "jq:1 yq:1 git:1"},
		{"GIT=/usr/bin/git\nCMD='nginx -g x'\n$GIT a; $CMD; \"$UNKNOWN\" b; ${RUN:-runit}", "/usr/bin/git:3 nginx:3 runit:3"},
		{"x=$(date +%s) y=`hostname`\nset -- redis-server \"$@\"", "date:1 hostname:1 redis-server:2"},
		{"trap 'cleanup-tool x' EXIT; eval \"ev a\"", "cleanup-tool:1 ev:1"},
		{". ./lib.sh; source /etc/x; sh ./other.sh a", "+./lib.sh:1 +/etc/x:1 sh:1 +./other.sh:1"},
		{"cat <<EOF\ngit pull\nEOF\ntini -- app", "cat:1 tini:4 app:4"},
		{"case $1 in a) x;; *) y;; esac; for i in 1; do z; done; while w; do :; done", "x:1 y:1 z:1 w:1"},
		{"echo ( (", ""},
		{"busybox wget x; setpriv --reuid=1 --clear-groups prog; chroot /x /bin/a", "busybox:1 wget:1 setpriv:1 prog:1 chroot:1 /bin/a:1"},
	} {
		var got []string
		for _, cmd := range parseShell(c.script) {
			mark := ""
			if cmd.source {
				mark = "+"
			}
			got = append(got, fmt.Sprintf("%s%s:%d", mark, cmd.words[0], cmd.line))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.script, got, c.want)
		}
	}
}

// What is found in a source: "program:line", a text for a shell with "$ " before it.
func sourceCommands(file, source string) string {
	b := []byte(source)
	x := languageOf(file, b)
	if x == nil {
		x = compiledLanguages[path.Ext(file)]
	}
	if x == nil {
		return "no language"
	}
	var got []string
	for _, c := range x.commandsIn(b) {
		if c.shell != "" {
			got = append(got, fmt.Sprintf("$ %s:%d", strings.ReplaceAll(c.shell, hole, "_"), c.line))
		} else {
			got = append(got, fmt.Sprintf("%s:%d", strings.Join(c.words, " "), c.line))
		}
	}
	return strings.Join(got, ", ")
}

func TestSourceCommands(t *testing.T) {
	for _, c := range []struct{ file, source, want string }{
		{"a.py", "import subprocess\nsubprocess.run(['git', 'log', x])", "git log:2"},
		{"a.py", "import subprocess\nsubprocess.run(\n  [\"git\",\n   'log'], check=True)", "git log:3"},
		{"a.py", "import subprocess as sp\nsp.check_output(('git', 'log'))", "git log:2"},
		{"a.py", "from subprocess import run, PIPE\nrun('date')", "date:2"},
		{"a.py", "from subprocess import (\n  Popen,\n  PIPE,\n)\nPopen(['x'], stdin=PIPE)", "x:5"},
		{"a.py", "import subprocess\nsubprocess.run('a | b', shell=True)\nsubprocess.run(f'c {x} d', shell=True)", "$ a | b:2, $ c _ d:3"},
		{"a.py", "import subprocess\nCMD = ['convert', '-x']\ndef f():\n  subprocess.Popen(CMD)", "convert -x:2"},
		{"a.py", "import subprocess\nGIT = '/usr/bin/git'\nsubprocess.run([GIT, 'x'])", "/usr/bin/git x:2"},
		{"a.py", "import os\nos.system('ls -l ' + x)\nos.system('ls -l' + x)\nos.popen('''who\nam i''')", "$ ls -l _:2, $ ls -l_:3, $ who\nam i:4"},
		{"a.py", "import os\nos.execvp('nginx', ['nginx'])\nos.spawnlp(os.P_WAIT, 'cp', 'cp', a)", "nginx nginx:2, cp cp:3"},
		{"a.py", "import shutil, asyncio\nshutil.which('ffmpeg')\nasync def f():\n await asyncio.create_subprocess_exec('a', 'b')\n await asyncio.create_subprocess_shell('c|d')", "ffmpeg:2, a b:4, $ c|d:5"},
		{"a.py", "import subprocess\nclass A:\n def sh(self, cmd, x=1):\n  return subprocess.run(cmd, shell=True)\n def f(self):\n  self.sh('pg_dump a')", "$ pg_dump a:6"},
		{"a.py", "import pexpect\npexpect.spawn('ftp host')", "ftp host:2"},
		{"a.py", "import os\napp.run('x')\nself.system('y')\n# os.system('z')\nt = 'os.system(\"z\")'\ndef system(a='b'): pass", ""},
		{"a.py", "import subprocess\nsubprocess.run([f'{x}/git'])\nsubprocess.run([x, 'git'])\nsubprocess.run(cmd)\nsubprocess.run(", ""},
		{"tool", "#!/usr/bin/env python3\nimport os; os.system(r'a\\b')", "$ a\\b:2"},

		{"a.js", "const { exec, spawn } = require('child_process')\nspawn('git', ['log', x])\nexec(`convert ${a} b`, cb)", "git log:2, $ convert _ b:3"},
		{"a.mjs", "import * as cp from 'node:child_process'\nawait cp.execFile(\"pdftotext\", ['-'])\ncp.spawn('x y', { shell: true })", "pdftotext -:2, $ x y:3"},
		{"a.js", "require('child_process'); // spawn('a')\n/* spawn('b') */ const r = /spawn('c')/; const s = \"spawn('d')\"", ""},
		{"a.js", "const execAsync = promisify(require('child_process').exec)\nawait execAsync('df -h')", "$ df -h:2"},
		{"a.js", "const run = util.promisify(cp.exec) // child_process\nawait run('df -h')", "$ df -h:2"},
		{"a.js", "const run = (0, node_util_1.promisify)(node_child_process_1.execFile);\nawait run('date', ['-u'])", "date -u:2"},
		{"a.js", "const x = (0, node_child_process_1.execFileSync)('date', ['-u'])", "date -u:1"},
		{"a.js", "function run(a, cmd) { return cp.execSync(cmd) } // child_process\nrun(1, 'df -h')", "$ df -h:2"},
		{"a.js", "const run = async (cmd) => cp.execSync(cmd) // child_process\nrun('df -h')", "$ df -h:2"},
		{"a.js", "const run = (cmd) => cp.execSync(cmd) // child_process\nrun('df -h')", "$ df -h:2"},
		{"a.js", "x = /['\"]/.test(y); require('child_process').execSync('id -u')", "$ id -u:1"},
		{"a.js", "let a = b / c; spawn('q') // child_process\n/x/.exec('git')", "q:1, $ git:2"},
		{"a.js", "/x/.exec('git'); spawn('q')", ""},
		{"a.mjs", "import {$} from 'zx'\nawait $`git status`", "$ git status:2"},
		{"a.js", "import execa from 'execa'; execa('git', ['x']); execa.command; execaCommand('rg foo')", "git x:1, rg foo:1"},

		{"a.rb", "system 'git', 'log'\nsystem(\"ls *.rb\")\nexec \"redis-server\"", "git log:1, $ ls *.rb:2, redis-server:3"},
		{"a.rb", "x = `uname -a`\ny = %x(date +%s)\nOpen3.capture3('a', 'b')\nIO.popen(['c', 'd'])\nIO.popen(%w[e f])", "$ uname -a:1, $ date +%s:2, a b:3, c d:4, e f:5"},
		{"a.rb", "# system 'x'\n=begin\nsystem 'y'\n=end\nobj.system('z')\ndef system(x) end\na = b % c; d = \"#{`w`}\"", ""},
		{"a.rb", "Open3.capture2e({'A' => 'b'}, 'tar', 'x')", "tar x:1"},

		{"a.php", "<?php\nexec('git log', $out);\n$x = `df -h`;\npassthru(\"convert $a b\");\n# system('x')\n$pdo->exec('SELECT 1');\nnew Process(['tar', 'x']);", "$ git log:2, $ df -h:3, $ convert _ b:4, tar x:7"},
		{"a.pl", "system('git', 'log'); my $x = `date`; my @y = qx{ls -l};\nopen(my $f, '-|', 'zcat', $p);\nopen(F, \"sort $x |\");\nopen(F, '<', '/x');\n=pod\nsystem('no')\n=cut\nexec \"a\", \"b\";", "git log:1, $ date:1, $ ls -l:1, zcat:2, $ sort _:3, a b:8"},
		{"a.pl", "s/a'b/c/; my $n = $#x; y/'/x/; if ($a =~ m{'}) { system 'ok' }", "ok:1"},
		{"a.lua", "os.execute('ls') -- io.popen('x')", "$ ls:1"},
		{"a.php", "<?php exec('echo ' . escapeshellarg($x, 'y') . ' | aspell list', $out, 'z');", "$ echo _ | aspell list:1"},
		{"a.go", "// exec.Command(\"no\")\nexec.CommandContext(r.Context(), \"dot\", \"-T\"+x); os.Command(\"no\")\nexec.Command(`git`, \"log\").Run()", "dot -T:2, git log:3"},
		{"a.rs", "use std::process::Command;\nfn pipe(a: &str, b: &[&str]) { Command::new(a).args(b) }\nfn f<'a>() { String::new(\"no\"); pipe(\"iconv\", &[\"-f\"]); Command::new(\"jq\") }", "jq:3, iconv -f:3"},
		{"a.rs", "process::Command::new(\"sh\").arg(\"-c\").args([\"ls\", x]).arg(\"a\").spawn()", "sh -c ls a:1"},
		{"a.c", "system(\"ls -l\"); execlp(\"git\", \"git\", \"log\", NULL); /* popen(\"no\", \"r\") */", "$ ls -l:1, git git log:1"},
		{"a.txt", "system('x')", "no language"},
	} {
		if got := sourceCommands(c.file, c.source); got != c.want {
			t.Errorf("%s: %s:\n got %s\nwant %s", c.file, c.source, got, c.want)
		}
	}
}

// A hostile script is nested as deep as its size allows.
func TestParseShellNested(t *testing.T) {
	for _, open := range []string{"(", "$(", "{ ", "if ", "\"$(", "`", "((", "${a:-", "[[ (", "while "} {
		parseShell(strings.Repeat(open, maxShellText/len(open)))
	}
}

func TestCronCommand(t *testing.T) {
	for _, c := range []struct {
		line   string
		system bool
		want   string
	}{
		{"*/5 * * * * root /bin/x -a", true, "/bin/x -a"},
		{"0 3 * * 1-5 /bin/x%input", false, "/bin/x"},
		{"@daily\troot  x", true, "x"},
		{"@reboot x y", false, "x y"},
		{"PATH=/bin", false, ""},
		{"* * *", false, ""},
	} {
		if got, ok := cronCommand(c.line, c.system); got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q %v, want %q", c.line, got, ok, c.want)
		}
	}
}

// Whatever a source holds: each token is in it, in order, and its line exists.
func FuzzTokens(f *testing.F) {
	f.Add("a.py", "f'{x}' + '''y\n''' # z\nos.system(r'\\')")
	f.Add("a.js", "`${`${a}`}` /[/]/ 'x\n' /* */")
	f.Add("a.rb", "%w[a b] %x{c {d}} =begin\n `x`")
	f.Add("a.pl", "s{a}{b}; qw(a b) $# y/a/b/ =pod\n")
	f.Add("a.php", "<?php \"$x ${y}\" `ls`")
	f.Fuzz(func(t *testing.T, file, source string) {
		x := languageOf(file, []byte(source))
		if x == nil {
			return
		}
		lines, last := strings.Count(source, "\n")+1, 1
		for _, tok := range x.tokens([]byte(source)) {
			if tok.line < last || tok.line > lines {
				t.Fatalf("%q: token %q in line %d of %d, after %d", source, tok.text, tok.line, lines, last)
			}
			last = tok.line
			if tok.kind == nameToken && !strings.Contains(source, tok.text) {
				t.Fatalf("%q: no %q in it", source, tok.text)
			}
		}
		for _, c := range x.commandsIn([]byte(source)) {
			if c.shell == "" && len(c.words) == 0 || c.line > lines {
				t.Fatalf("%q: %+v", source, c)
			}
		}
	})
}

func FuzzShell(f *testing.F) {
	f.Add("exec env A=b sh -c 'x \"$(y)\"' <<E\nE\n")
	f.Add("find -exec find -exec a {} \\;")
	f.Fuzz(func(t *testing.T, script string) {
		for _, c := range parseShell(script) {
			if len(c.words) == 0 || c.words[0] == "" || c.line < 1 || c.line > strings.Count(script, "\n")+1 {
				t.Errorf("%q: %+v", script, c)
			}
		}
		for _, c := range configuredCommands("/etc/crontab", []byte(script)) {
			if c.text == "" {
				t.Errorf("%q: %+v", script, c)
			}
		}
	})
}
