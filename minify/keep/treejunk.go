package keep

import (
	"debug/elf"
	"path"
	"slices"
	"strings"

	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs"
)

// What lies in an application's tree and its program does not need. Names are
// judged from the tree on: an application may itself be in a folder called test.
// A folder called tests, docs and the like stays nevertheless if the run used
// something in it.
var (
	appFolders = newCategoryTable([]categoryRule{
		{VersionControl, ".git .svn .hg .bzr CVS .github .gitlab .gitea .circleci .husky .changeset"},
		{EditorFiles, ".idea .vscode .vs .fleet .devcontainer .settings"},
		{Cache, `__pycache__ .cache .npm _cacache .yarn .pnpm-store .gradle .m2 .ivy2 .pytest_cache .mypy_cache .ruff_cache
			.tox .nox .hypothesis .ipynb_checkpoints .eggs .sass-cache .parcel-cache .turbo .angular .next/cache .nyc_output
			vendor/cache tmp/cache .bundle/cache .phpunit.cache CMakeFiles`},
		{Tests, `test tests __tests__ __mocks__ testdata test-data e2e cypress coverage htmlcov test-results
			playwright-report test-classes test-reports surefire-reports src/test`},
		{Documentation, "doc docs"},
		{Temporary, "tmp temp"},
		{Logs, "log logs"},
		{DevDependency, ".storybook"},
	})
	appFiles = newCategoryTable([]categoryRule{
		{Secrets, ".env .env.* .netrc .pypirc .npmrc .git-credentials"},
		{EditorFiles, "*.swp *.swo *~ .DS_Store Thumbs.db .editorconfig .project .classpath *.iml *.code-workspace"},
		{VersionControl, `.gitignore .gitattributes .gitmodules .gitkeep .hgignore .mailmap .gitlab-ci.yml .travis.yml
			.pre-commit-config.yaml Jenkinsfile azure-pipelines.yml .drone.yml bitbucket-pipelines.yml appveyor.yml
			.appveyor.yml codecov.yml .codecov.yml renovate.json CODEOWNERS`},
		{BuildFiles, `Dockerfile Dockerfile.* *.Dockerfile Containerfile .dockerignore docker-compose*.yml
			docker-compose*.yaml compose.yml compose.yaml Makefile makefile GNUmakefile Makefile.* *.mk justfile Taskfile.yml
			Vagrantfile .eslintrc* .eslintignore eslint.config.* .prettierrc* .prettierignore .stylelintrc* .babelrc*
			babel.config.* webpack.config.* webpack.*.js rollup.config.* vite.config.* vitest.config.* jest.config.* tsconfig.json
			tsconfig.*.json jsconfig.json karma.conf.js gulpfile.* Gruntfile.js .mocharc* .nycrc* nodemon.json
			playwright.config.* cypress.config.* postcss.config.* tailwind.config.* .browserslistrc .flake8 .pylintrc
			mypy.ini pytest.ini tox.ini noxfile.py .coveragerc .rubocop.yml .rspec phpunit.xml* phpstan.neon*
			.php-cs-fixer* .golangci.yml clippy.toml rustfmt.toml .clang-format .clang-tidy CMakeLists.txt *.cmake
			CMakeCache.txt meson.build meson_options.txt configure.ac *.am build.gradle* settings.gradle* gradlew
			gradlew.bat mvnw mvnw.cmd pom.xml build.sbt go.mod go.sum go.work Cargo.toml Cargo.lock BUILD.bazel WORKSPACE
			package-lock.json yarn.lock pnpm-lock.yaml pnpm-workspace.yaml bun.lockb bun.lock poetry.lock Pipfile
			Pipfile.lock uv.lock pdm.lock requirements-dev.txt requirements-test.txt dev-requirements.txt lerna.json
			nx.json turbo.json *.csproj *.fsproj *.vbproj *.sln .yarnrc* .nvmrc .python-version .ruby-version .tool-versions`},
		{Documentation, "*-javadoc.jar"},
		{Tests, "*-tests.jar *-test-sources.jar"},
		{BuildFiles, "*-sources.jar *.jar.original *.war.original"},
		{Logs, "*.log *.log.* npm-debug.log*"},
		{Cache, "*.tsbuildinfo .eslintcache .coverage .coverage.*"},
		{Sources, `*.go *.rs *.c *.cc *.cpp *.cxx *.c++ *.m *.mm *.java *.kt *.kts *.scala *.ts *.mts *.cts *.tsx *.jsx
			*.vue *.svelte *.scss *.sass *.less *.styl *.coffee *.swift *.zig *.cs *.fs *.vb *.pyx *.pxd *.elm *.hs *.ml *.mli
			*.nim *.cr *.dart *.asm *.s *.S *.f *.f90 *.erl *.hrl`},
		{Headers, "*.h *.hh *.hpp *.hxx *.h++ *.inl"},
		{StaticLibrary, "*.a *.la *.o *.obj *.lo *.rlib *.rmeta *.d *.gcno *.gcda"},
		{DebugSymbols, "*.debug *.dwo *.dwp *.pdb *.js.map *.mjs.map *.cjs.map *.css.map"},
		{Tests, `*.test.js *.spec.js *.test.mjs *.spec.mjs *.test.cjs *.spec.cjs *_test.py test_*.py conftest.py *_spec.rb
			*.stories.js`},
		{DevDependency, "*.d.ts *.d.mts *.d.cts"},
	})
)

// runsJavaScript reports whether the run started a program for it on the server.
func runsJavaScript(trace *probe.Trace) bool {
	return slices.ContainsFunc(trace.Accesses, func(a record.Access) bool {
		return a.Ops&record.Exec != 0 && slices.Contains([]string{"node", "nodejs", "bun", "deno"}, path.Base(a.Path))
	})
}

// junkFolder is the category of a folder in an application's tree, rel its path
// from there; "" if it is needed like all else.
func (t *trees) junkFolder(n *rootfs.Node, rel string) Category {
	if c := appFolders.match("x/"+rel, n.Name()); c != nil {
		return c.category
	}
	switch {
	case (n.Name() == "spec" || n.Name() == "specs") && isSpecs(n):
		return Tests
	case t.s.isCacheDir(n):
		return Cache
	case t.s.category[t.s.sel.index[n]] == Toolchain:
		return Toolchain
	}
	return ""
}

// isSpecs reports whether a folder called spec holds tests, not specifications.
func isSpecs(n *rootfs.Node) bool {
	for _, c := range n.Children() {
		name := c.Name()
		if strings.Contains(name, ".spec.") || strings.Contains(name, "_spec.") || strings.HasPrefix(name, "spec_helper") {
			return true
		}
	}
	return false
}

// junkFile is the category of a regular file in an application's tree; "" if it
// is needed. What the run read shows that the program loads files of the kind:
// .ts is TypeScript and a video.
func (t *trees) junkFile(n *rootfs.Node, rel string) Category {
	name := n.Name()
	c := appFiles.match("x/"+rel, name)
	switch ext := path.Ext(name); {
	case c != nil && (c.category == Sources || c.category == Headers) && t.read[ext]:
		return ""
	case c != nil && c.category == DebugSymbols && ext == ".map" && !t.javascript:
		return "" // a page's, for who looks for it there
	case c != nil:
		return c.category
	case isDocument(name):
		// A site's page is called news.md, not NEWS.md.
		if stem, _, _ := strings.Cut(name, "."); isLicense(name) && !t.s.opts.NoLicenses ||
			stem != strings.ToUpper(stem) && !slices.Contains([]string{"readme", "changelog", "contributing"}, strings.ToLower(stem)) {
			return ""
		}
		return Documentation
	case t.s.commander.isDevelopment(n):
		return BuildFiles
	case ext == ".pyc" || ext == ".pyo":
		// Without its source it is the module itself.
		if n.Parent().Child(strings.TrimSuffix(name, ext)+".py") != nil {
			return Cache
		}
	case ext == ".po" || ext == ".pot":
		if ext == ".pot" || n.Parent().Child(strings.TrimSuffix(name, ext)+".mo") != nil {
			return Locale
		}
	case name == "core" || strings.HasPrefix(name, "core."):
		if t.s.isCoreDump(n.Inode()) {
			return CoreDump
		}
	}
	return ""
}

// isCoreDump reports whether a file is the image of a process that crashed.
func (s *selector) isCoreDump(i *rootfs.Inode) bool {
	var head [18]byte
	if !i.IsRegular() || i.Size < int64(len(head)) {
		return false
	}
	if _, err := s.fs.Content(i).ReadAt(head[:], 0); err != nil || string(head[:4]) != elf.ELFMAG {
		return false
	}
	// e_type, in either byte order.
	return head[16] == byte(elf.ET_CORE) && head[17] == 0 || head[17] == byte(elf.ET_CORE) && head[16] == 0
}

// isBuildFolder reports whether a folder is where a build tool puts what it makes:
// beside the program much that only the build needs.
func isBuildFolder(n *rootfs.Node) bool {
	switch n.Name() {
	case "target", "build", "out", "bin", "obj", "cmake-build-release", "cmake-build-debug":
	default:
		return false
	}
	return n.Parent() != nil && slices.ContainsFunc(n.Parent().Children(), func(c *rootfs.Node) bool {
		switch name := c.Name(); name {
		case "pom.xml", "build.gradle", "build.gradle.kts", "build.sbt", "CMakeLists.txt", "Cargo.toml", "meson.build":
			return true
		default:
			return strings.HasSuffix(name, ".csproj") || strings.HasSuffix(name, ".fsproj")
		}
	})
}

// isArchive reports whether a file is an archive of compiled code.
func isArchive(name string) bool {
	switch path.Ext(name) {
	case ".jar", ".war", ".ear", ".original":
		return true
	}
	return false
}

// isSourceFolder reports whether a folder is one for sources, and of a language that is
// compiled: what else is in it, such as Maven's src/main/resources, is compiled in.
func (t *trees) isSourceFolder(n *rootfs.Node) bool {
	switch n.Name() {
	case "src", "source", "sources":
	default:
		return false
	}
	return t.isBuilt(n.Parent()) || t.hasSources(n, new(int))
}

// maxLooked bounds the names that are looked at to tell what a folder is.
const maxLooked = 2000

func (t *trees) hasSources(dir *rootfs.Node, looked *int) bool {
	for _, c := range dir.Children() {
		if *looked++; *looked > maxLooked {
			return false
		}
		if c.Inode().IsDir() {
			if t.hasSources(c, looked) {
				return true
			}
		} else if m := appFiles.match("x/"+c.Name(), c.Name()); m != nil && m.category == Sources && !t.read[path.Ext(c.Name())] {
			return true
		}
	}
	return false
}

// isBuilt reports whether the run used what a build made of the sources in dir.
func (t *trees) isBuilt(dir *rootfs.Node) bool {
	for _, name := range []string{"dist", "build", "out", "target", "lib", "bin", "public"} {
		if c := dir.Child(name); c != nil && t.live[c] {
			return true
		}
	}
	return false
}
