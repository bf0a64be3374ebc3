package keep

import "strings"

// Category says what kind of file was dropped.
type Category string

// The categories, as reports print them.
const (
	Shell          Category = "shell"
	PackageManager Category = "package manager"
	Cache          Category = "cache"
	Documentation  Category = "documentation"
	Locale         Category = "locale"
	Headers        Category = "headers"
	StaticLibrary  Category = "static library"
	Toolchain      Category = "toolchain"
	DevDependency  Category = "dev dependency"
	Tests          Category = "tests"
	VersionControl Category = "version control"
	DebugSymbols   Category = "debug symbols"
	Services       Category = "service files" // for init, cron, a desktop: programs that images do not start
	Sources        Category = "sources"       // of compiled programs
	BuildFiles     Category = "build files"
	EditorFiles    Category = "editor files"
	Secrets        Category = "secrets"
	Logs           Category = "logs"
	Temporary      Category = "temporary files"
	CoreDump       Category = "core dump"
	Excluded       Category = "excluded"       // by Options.Exclude
	Unused         Category = "unused package" // of a unit of which nothing was used
	Other          Category = "other"
)

// A categoryRule gives the Category to what any of its patterns, separated by
// blanks, matches; a "*" in an element, one at most, stands for anything.
type categoryRule struct {
	category Category
	patterns string
}

// folderRules name folders by their last elements, or by the whole path if they
// begin with "/". A folder's category is that of everything below it. The first
// rule that matches a folder or one above it wins. "node*s" is node_modules or
// Debian's nodejs.
var folderRules = []categoryRule{
	{VersionControl, ".git .svn .hg .bzr CVS lib/git-core libexec/git-core share/git-core share/gitweb"},
	{DebugSymbols, "lib/debug .build-id .dSYM"},
	{Cache, `/var/cache /var/lib/apt/lists /tmp /var/tmp .cache .npm _cacache .yarn/cache .pnpm-store .gradle .m2
		.ivy2 .nuget __pycache__ .pytest_cache .mypy_cache .ruff_cache .tox pkg/mod .cargo/registry .cargo/git
		cargo/registry cargo/git .composer/cache node_modules/.cache .node-gyp .parcel-cache .next/cache bundle/cache
		gems/*/cache conda/pkgs miniconda3/pkgs .yarn-cache .gem .cpan .cpanm .ccache .sbt .coursier .stack .cabal/packages
		.hex .mix .julia/registries .bun/install/cache pnpm/store .terraform.d .vagrant.d`},
	{Logs, "/var/log"},
	{Temporary, "/var/backups /var/crash /var/spool"},
	{Secrets, ".ssh .gnupg .aws .azure .kube .docker .config/gcloud"},
	{EditorFiles, ".idea .vscode .vscode-server .vim .emacs.d"},
	{PackageManager, `/var/lib/dpkg /var/lib/apt /etc/apt /etc/dpkg lib/apt lib/dpkg libexec/dpkg share/dpkg
		share/debconf share/pam-configs perl5/Dpkg perl5/Debconf perl/*/CPAN perl5/*/CPAN share/lintian share/bug lib/apk etc/apk share/apk /var/lib/rpm lib/rpm sysimage/rpm
		etc/rpm etc/yum etc/yum.repos.d etc/dnf /var/lib/dnf /var/lib/yum /var/lib/pacman *-packages/pip
		*-packages/pip-* *-packages/dnf *-packages/rpm *-packages/apt python3*/ensurepip node*s/npm node*s/@npmcli
		node*s/corepack node*s/yarn node*s/pnpm /opt/yarn-* conda-meta`},
	{DevDependency, `share/vim/addons share/vim/vimfiles share/vim/registry share/emacs/site-lisp share/nano share/gtksourceview-* node*s/typescript node*s/@types node*s/eslint node*s/eslint-* node*s/@eslint
		node*s/@eslint-community node*s/@typescript-eslint node*s/prettier node*s/webpack node*s/webpack-*
		node*s/@webassemblyjs node*s/@babel/core node*s/@babel/parser node*s/@babel/plugin-* node*s/@babel/preset-*
		node*s/babel-* node*s/terser node*s/rollup node*s/@rollup node*s/esbuild node*s/@esbuild node*s/vite
		node*s/jest node*s/jest-* node*s/@jest node*s/mocha node*s/vitest node*s/istanbul node*s/istanbul-* node*s/nyc
		node*s/nodemon node*s/ts-node node*s/node-gyp node*s/caniuse-lite node*s/electron-to-chromium
		*-packages/setuptools *-packages/setuptools-* *-packages/pkg_resources *-packages/wheel *-packages/wheel-*
		*-packages/gyp *-packages/pytest *-packages/_pytest python3*/distutils python3*/lib2to3 python3*/idlelib
		python3*/turtledemo python3*/pydoc_data perl/*/ExtUtils perl5/*/ExtUtils lib/pkgconfig lib/*/pkgconfig
		share/pkgconfig lib/php/*/build lib/php/build lib/cmake lib/*/cmake share/aclocal share/aclocal-* share/autoconf share/automake-*
		share/libtool`},
	{Toolchain, `lib/gcc libexec/gcc lib/gcc-cross lib/llvm-* lib/rustlib .rustup rustup/toolchains lib/bfd-plugins
		lib/ldscripts lib/compat-ld lib/gold-ld share/gcc jmods share/maven share/maven-repo share/gradle share/cmake-*
		share/gdb lib/gprofng lib/*/gprofng python3*/config-3*`},
	{Headers, "usr/include local/include include/node include/python* include/openssl"},
	{Locale, "share/i18n share/zoneinfo/right share/zoneinfo/posix lib/locale locale locales locale-data LC_MESSAGES lib/gconv lib/*/gconv"},
	{Documentation, `share/doc share/man share/info share/gtk-doc share/doc-base share/help share/devhelp share/ri
		share/common-licenses usr/man local/man man/man*`},
	{Shell, "share/bash-completion bash_completion.d share/zsh share/fish lib/zsh etc/zsh etc/fish"},
	{Services, `/etc/init.d /etc/rc*.d /etc/init lib/systemd etc/systemd /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly
		/etc/cron.monthly /etc/logrotate.d lib/udev etc/udev lib/tmpfiles.d lib/sysusers.d lib/modprobe.d /etc/apparmor.d
		/etc/ufw share/initramfs-tools /etc/initramfs-tools share/applications share/menu share/metainfo share/appdata
		share/polkit-1 /etc/polkit-1 share/dbus-1/system-services share/dbus-1/services etc/xdg/autostart /etc/conf.d`},
	{Tests, "test tests __tests__ testdata __mocks__ fixtures"},
}

// programRules name files in folders for programs, without the prefix for a
// target ("x86_64-linux-gnu-gcc") and without a version ("pip3.11", "gcc-12").
var programRules = []categoryRule{
	{Shell, "sh bash rbash bash-static dash ash hush zsh rzsh ksh ksh93 rksh mksh fish csh tcsh busybox toybox"},
	{PackageManager, `apt apt-* aptitude dpkg dpkg-* dselect debconf debconf-* update-alternatives apk rpm rpm* yum dnf
		dnf-* microdnf tdnf zypper pacman opkg pip pipx easy_install conda mamba micromamba poetry pipenv uv uvx npm npx
		yarn yarnpkg pnpm pnpx corepack gem bundle bundler composer cpan cpanm brew nuget`},
	{Toolchain, `gcc gcc-* g++ c++ cc c89 c99 c89-gcc c99-gcc cpp gcov gcov-* lto-dump clang clang* lld ld ld.bfd ld.gold ld.lld ld.mold as ar nm
		ranlib gold objcopy objdump strip readelf size strings addr2line elfedit gprof gprofng gp-* dwp c++filt gdb go gofmt
		rustc rustdoc rustup rustfmt rust-* cargo cargo-* javac jar javadoc javap jlink jmod jdeps jdeprscan jshell jdb
		jpackage jarsigner jconsole jimage jhsdb serialver make gmake make-* cmake ctest cpack ninja meson autoconf
		automake aclocal autoreconf libtool libtoolize m4 bison flex yacc pkg-config pkgconf mvn gradle ant sbt swig`},
	{DevDependency, "tsc tsserver eslint prettier jest webpack node-gyp nodemon pytest py.test 2to3 idle pydoc"},
	{VersionControl, "git git-* svn hg bzr scalar"},
}

// fileNameRules name files by their last element, wherever they are.
var fileNameRules = []categoryRule{
	{Cache, "*.pyc *.pyo"},
	{StaticLibrary, "*.a *.la"},
	{DebugSymbols, "*.debug *.dwo *.dwp *.pdb *.js.map *.mjs.map *.cjs.map *.css.map *.min.map"},
	{Headers, "*.h *.hh *.hpp *.hxx *.h++ *.inl"},
	{Locale, "*.mo *.po *.pot"},
	{DevDependency, "*.pc *.d.ts *.d.mts *.d.cts *.tsbuildinfo"},
	{Toolchain, `*.o src.zip libasan.so.* libhwasan.so.* liblsan.so.* libtsan.so.* libubsan.so.* libcc1.so.* libisl.so.*
		libmpc.so.* libbfd-*.so libopcodes-*.so libctf.so.* libctf-nobfd.so.* libsframe.so.* libgprofng.so.*`},
	{PackageManager, "libapt-pkg.so.* libapt-private.so.* librpm.so.* librpmio.so.* libdnf.so.* libapk.so.*"},
	{VersionControl, ".gitignore .gitattributes .gitmodules .gitkeep .hgignore .mailmap"},
	{Tests, "*_test.go *.test.js *.spec.js *.test.ts *.spec.ts *_test.py test_*.py *_spec.rb"},
	{EditorFiles, ".DS_Store Thumbs.db *.swp *.swo .viminfo .vimrc .nanorc"},
	{Logs, ".*_history .lesshst .wget-hsts"},
	{Secrets, ".netrc .pypirc .git-credentials .pgpass"},
	{Documentation, "*.md *.rst *.adoc *.pod"},
	{Shell, ".bashrc .bash_logout .bash_profile .profile .zshrc bash.bashrc"},
}

// documents are files that are documentation if they have no extension or that
// of a text.
var documents = strings.Fields(`README CHANGELOG CHANGES HISTORY LICENSE LICENCE COPYING COPYRIGHT NOTICE AUTHORS
	CONTRIBUTORS CONTRIBUTING NEWS TODO SECURITY CODE_OF_CONDUCT`)
