package keep

import "strings"

// compiledLanguages are those whose programs no longer show what they start; their
// sources do, where an image has them. By the extension of a source's name.
var compiledLanguages = func() map[string]*language {
	golang := &language{name: "go", comments: []string{"//"}, blocks: [][2]string{{"/*", "*/"}}, quotes: "\"`", backtick: stringToken,
		calls: map[string]call{
			"Command": {direct, 0, "exec", true}, "CommandContext": {direct, 1, "exec", true}, "LookPath": {lookup, 0, "exec", true},
		}}
	// In Rust a single quote begins a lifetime more often than a character.
	rust := &language{name: "rust", comments: []string{"//"}, blocks: [][2]string{{"/*", "*/"}}, quotes: `"`, calls: map[string]call{
		"new": {direct, 0, "Command", true},
	}}
	c := &language{name: "c", comments: []string{"//"}, blocks: [][2]string{{"/*", "*/"}}, quotes: `"'`, calls: map[string]call{
		"system": {how: shelled}, "popen": {how: shelled}, "execl": {how: direct}, "execlp": {how: direct}, "execv": {how: direct},
		"execvp": {how: direct}, "execle": {how: direct}, "execve": {how: direct}, "posix_spawn": {how: direct, first: 1},
		"posix_spawnp": {how: direct, first: 1},
	}}
	return map[string]*language{".go": golang, ".rs": rust, ".c": c, ".cc": c, ".cpp": c, ".cxx": c, ".c++": c}
}()

// languages are those whose sources are looked at for commands, by the extension of
// a source's name and by the program that runs it.
var languages = func() map[string]*language {
	python := &language{name: "python", comments: []string{"#"}, quotes: `"'`, triple: true, calls: map[string]call{
		"run":                     {direct, 0, "subprocess", true},
		"call":                    {direct, 0, "subprocess", true},
		"check_call":              {direct, 0, "subprocess", true},
		"check_output":            {direct, 0, "subprocess", true},
		"Popen":                   {direct, 0, "subprocess", true},
		"getoutput":               {shelled, 0, "subprocess", true},
		"getstatusoutput":         {shelled, 0, "subprocess", true},
		"system":                  {shelled, 0, "os", true},
		"popen":                   {shelled, 0, "os", true},
		"execl":                   {direct, 0, "os", true},
		"execle":                  {direct, 0, "os", true},
		"execlp":                  {direct, 0, "os", true},
		"execlpe":                 {direct, 0, "os", true},
		"execv":                   {direct, 0, "os", true},
		"execve":                  {direct, 0, "os", true},
		"execvp":                  {direct, 0, "os", true},
		"execvpe":                 {direct, 0, "os", true},
		"spawnl":                  {direct, 1, "os", true},
		"spawnle":                 {direct, 1, "os", true},
		"spawnlp":                 {direct, 1, "os", true},
		"spawnlpe":                {direct, 1, "os", true},
		"spawnv":                  {direct, 1, "os", true},
		"spawnve":                 {direct, 1, "os", true},
		"spawnvp":                 {direct, 1, "os", true},
		"spawnvpe":                {direct, 1, "os", true},
		"posix_spawn":             {direct, 0, "os", true},
		"posix_spawnp":            {direct, 0, "os", true},
		"which":                   {lookup, 0, "shutil", true},
		"create_subprocess_exec":  {direct, 0, "asyncio", false},
		"create_subprocess_shell": {shelled, 0, "asyncio", false},
		"subprocess_exec":         {direct, 1, "asyncio", false},
		"subprocess_shell":        {shelled, 1, "asyncio", false},
		"run_process":             {direct, 0, "anyio trio", false},
		"open_process":            {direct, 0, "anyio trio", false},
		"spawn":                   {words, 0, "pexpect pty", true},
	}}
	js := &language{name: "javascript", comments: []string{"//"}, blocks: [][2]string{{"/*", "*/"}}, quotes: "\"'`",
		backtick: stringToken, regexps: true, calls: map[string]call{
			"exec":            {shelled, 0, "child_process shelljs", false},
			"execSync":        {shelled, 0, "child_process", false},
			"spawn":           {direct, 0, "child_process cross-spawn Bun", false},
			"spawnSync":       {direct, 0, "child_process cross-spawn Bun", false},
			"execFile":        {direct, 0, "child_process", false},
			"execFileSync":    {direct, 0, "child_process", false},
			"fork":            {direct, 0, "child_process", false},
			"execa":           {direct, 0, "execa", false},
			"execaSync":       {direct, 0, "execa", false},
			"execaCommand":    {words, 0, "execa", false},
			"which":           {lookup, 0, "which shelljs", false},
			"commandExists":   {lookup, 0, "command-exists", false},
			"Command":         {direct, 0, "Deno", false},
			"$":               {shelled, 0, "zx execa bun", false},
			"execPromise":     {shelled, 0, "child_process", false},
			"execAsync":       {shelled, 0, "child_process", false},
			"execFilePromise": {direct, 0, "child_process", false},
			"execFileAsync":   {direct, 0, "child_process", false},
		}}
	ruby := &language{name: "ruby", comments: []string{"#"}, quotes: "\"'`", backtick: shellToken, regexps: true, percent: true,
		calls: map[string]call{
			"system": {how: either}, "exec": {how: either}, "spawn": {how: either}, "popen": {either, 0, "IO", false},
			"capture2": {either, 0, "Open3", false}, "capture2e": {either, 0, "Open3", false}, "capture3": {either, 0, "Open3", false},
			"popen2": {either, 0, "Open3", false}, "popen2e": {either, 0, "Open3", false}, "popen3": {either, 0, "Open3", false},
			"find_executable": {how: lookup}, "which": {how: lookup},
		}}
	php := &language{name: "php", comments: []string{"//", "#"}, blocks: [][2]string{{"/*", "*/"}}, quotes: "\"'`", backtick: shellToken,
		calls: map[string]call{
			"exec": {how: shelled}, "shell_exec": {how: shelled}, "system": {how: shelled}, "passthru": {how: shelled},
			"popen": {how: shelled}, "proc_open": {how: shelled}, "pcntl_exec": {how: direct},
			"Process": {direct, 0, "Process", false}, "fromShellCommandline": {shelled, 0, "Process", false},
		}}
	perl := &language{name: "perl", comments: []string{"#"}, quotes: "\"'`", backtick: shellToken, regexps: true, perl: true,
		calls: map[string]call{
			"system": {how: either}, "exec": {how: either}, "open": {how: piped}, "open2": {either, 2, "IPC::Open2", false},
			"open3": {either, 3, "IPC::Open3", false}, "run": {direct, 0, "IPC::Run", false}, "capture": {either, 0, "IPC::System::Simple", false},
			"can_run": {how: lookup}, "which": {how: lookup},
		}}
	lua := &language{name: "lua", comments: []string{"--"}, blocks: [][2]string{{"--[[", "]]"}}, quotes: `"'`, calls: map[string]call{
		"execute": {shelled, 0, "os", false}, "popen": {shelled, 0, "io", false},
	}}
	m := map[string]*language{".rb": ruby, ".rake": ruby, ".ru": ruby, ".gemspec": ruby, ".lua": lua}
	for ext := range strings.FieldsSeq(".py .pyw .wsgi") {
		m[ext] = python
	}
	for ext := range strings.FieldsSeq(".js .mjs .cjs .ts .mts .cts .jsx .tsx") {
		m[ext] = js
	}
	for ext := range strings.FieldsSeq(".php .phtml .inc .php5 .php7 .phps") {
		m[ext] = php
	}
	for ext := range strings.FieldsSeq(".pl .pm .cgi .psgi .t .plx") {
		m[ext] = perl
	}
	for name, s := range map[string]*language{"python": python, "node": js, "nodejs": js, "deno": js, "bun": js, "ruby": ruby, "php": php, "perl": perl, "lua": lua} {
		m[name] = s
	}
	return m
}()
