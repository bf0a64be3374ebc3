package keep

// pyTools are distributions that serve who writes a program, not the program: a
// distribution that can use one may go without it. They come along where the
// application imports them, or what it uses does so unconditionally.
var pyTools = set(`pip setuptools wheel distribute pytest hypothesis nose nose2 tox nox coverage virtualenv pipenv poetry
	poetry-core flit flit-core hatch hatchling pdm build twine uv ipython ipykernel ipdb jupyter jupyterlab notebook
	black blue isort autopep8 yapf mypy mypy-extensions pyright pytype ruff flake8 pylint pyflakes pycodestyle pydocstyle
	bandit pre-commit sphinx sphinx-rtd-theme mkdocs mkdocs-material docutils-stubs pudb bpython ptpython memory-profiler
	line-profiler py-spy pyinstaller cx-freeze cython meson meson-python scikit-build scikit-build-core maturin
	setuptools-scm setuptools-rust cibuildwheel auditwheel bumpversion bump2version tbump zest-releaser gprof2dot
	snakeviz asv`)

// pyToolModules are the like among modules: the standard library's for windows,
// for interactive use and for developing, and parts of distributions.
var pyToolModules = set(`tkinter _tkinter idlelib lib2to3 ensurepip test pydoc_data turtle turtledemo distutils venv doctest
	pdb pydoc readline rlcompleter _pyrepl antigravity this msilib cgitb _testcapi _testinternalcapi _aix_support
	_osx_support _pydecimal _pyio _pydatetime numpy.distutils scipy._build_utils`)

// pyBase are modules that an interpreter needs without any source's import: at
// every start (pylifecycle.c, site.py), for -m, for an exception that nothing
// catches, at exit, and what its C code imports by name (PyImport_ImportModule in
// Python, Modules and Objects).
const pyBase = `site sitecustomize usercustomize codecs io abc os stat posixpath genericpath ntpath _collections_abc
	_sitebuiltins encodings.* importlib importlib._bootstrap importlib._bootstrap_external importlib.machinery
	importlib.util importlib.abc importlib._abc runpy pkgutil zipimport types warnings _py_warnings traceback _colorize
	linecache tokenize token re enum functools collections collections.abc keyword operator reprlib contextlib threading
	_threading_local weakref _weakrefset atexit signal locale _bootlocale copyreg _compat_pickle _strptime datetime
	string textwrap struct __future__ inspect numbers decimal _pylong unicodedata _multibytecodec _codecs_*`

// pyByName are modules that C code or a computed name imports when another is used.
var pyByName = map[string]string{
	"sqlite3":               "sqlite3.dump",
	"xml.etree.ElementTree": "xml.etree.ElementPath copy",
	"pickle":                "_compat_pickle copyreg",
	"sysconfig":             "_sysconfigdata*",
	"_sysconfig":            "_sysconfigdata*", // 3.14
}

// pyExtras are extras that no program asks for when it runs.
var pyExtras = set(`test tests testing dev develop development doc docs documentation lint linting all check checks typing mypy
	qa style format build release ci benchmark benchmarks type types pre-commit tox examples tutorial`)

// pyBuiltin are modules that can be within the interpreter (Modules/Setup and
// Modules/config.c.in of CPython and its builders, pypy/module of PyPy), so that there is no
// file of them.
var pyBuiltin = set(`__builtin__ __main__ __pypy__ _abc _ast _asyncio _bisect _blake2 _bz2 _cffi_backend _codecs _codecs_cn
	_codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections _collections_abc _contextvars _continuation
	_crypt _csv _ctypes _curses _curses_panel _datetime _dbm _decimal _elementtree _functools _frozen_importlib
	_frozen_importlib_external _gdbm _hashlib _heapq _hmac _imp _interpchannels _interpqueues _interpreters _io _json
	_locale _lsprof _lzma _markupbase _md5 _multibytecodec _multiprocessing _opcode _operator _pickle _posixshmem
	_posixsubprocess _pypy_util_cffi _queue _random _sha1 _sha2 _sha256 _sha3 _sha512 _signal _socket _sqlite3 _sre _ssl
	_stat _statistics _string _struct _suggestions _symtable _sysconfig _thread _tokenize _tracemalloc _types _typing
	_uuid _warnings _weakref  _xxsubinterpreters _zoneinfo _zstd array atexit audioop binascii builtins cmath
	cPickle cStringIO errno faulthandler fcntl gc grp itertools marshal math mmap operator ossaudiodev parser posix
	pwd pyexpat pypyjit readline resource select spwd symbol sys syslog termios time unicodedata uwsgi uwsgidecorators
	xxlimited xxsubtype zipimport zlib`)
