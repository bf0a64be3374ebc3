package keep_test

import (
	"debug/elf"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
)

// The programs of the machine that runs the tests, in a tree of its libraries,
// cache and links: for each the same libraries as its own loader lists.
func TestHostPrograms(t *testing.T) {
	loader, err := filepath.EvalSymlinks(glibcLoader)
	need(t, err == nil && runtime.GOARCH == "amd64", "no glibc for amd64 here: %v", err)
	const wanted, maxSize = 100, 512 << 10
	truth := make(map[string][]string)
	files := make(map[string]bool)
	for _, p := range sample(t, "/usr/bin/*", 4*wanted) {
		if fi, err := os.Stat(p); err != nil || fi.Size() > maxSize || len(truth) == wanted || interpreter(p) != glibcLoader {
			continue
		}
		truth[p] = loaderLists(t, "/", loader, p, nil)
		addWithLinks(t, files, p)
		for _, lib := range truth[p] {
			addWithLinks(t, files, lib)
		}
	}
	need(t, len(truth) >= wanted/2, "only %d programs to look at", len(truth))
	// What could be taken by mistake: all else in the folders of libraries, but for
	// the largest.
	for _, pattern := range []string{"/lib", "/lib64", "/etc/ld.so.conf", "/etc/ld.so.conf.d/*", "/etc/ld.so.cache", "/usr/lib/*.so*", "/usr/lib/*/*.so*", "/usr/lib64/*", "/usr/lib32/*"} {
		matches, _ := filepath.Glob(pattern)
		for _, p := range matches {
			if fi, err := os.Stat(p); err == nil && (fi.IsDir() || fi.Size() <= maxSize) {
				addWithLinks(t, files, p)
			}
		}
	}
	fsys := treeOf(t, "/", slices.Sorted(maps.Keys(files)))
	for _, p := range slices.Sorted(maps.Keys(truth)) {
		s := mustSelect(t, fsys, p+" x", v1.Config{}, keep.Options{Keep: keep.Accessed})
		want := resolved(t, fsys, append(truth[p], glibcLoader))
		if got := linked(s); !slices.Equal(want, got) {
			t.Errorf("%s", p)
			diff(t, want, got)
		}
		for _, lib := range truth[p] {
			requireWay(t, s, lib)
		}
	}
	// All of them together need the libraries of each.
	all, trace := []string{glibcLoader}, ""
	for p, libs := range truth {
		all, trace = append(all, libs...), trace+p+" x\n"
	}
	diff(t, resolved(t, fsys, all), linked(mustSelect(t, fsys, trace, v1.Config{}, keep.Options{Keep: keep.Accessed})))
	t.Logf("%d programs, %d names in the tree", len(truth), fsys.Len())
}

// sample is every n-th of the files that match, so that about count are left.
func sample(t *testing.T, pattern string, count int) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	step := max(1, len(all)/count)
	var list []string
	for i := 0; i < len(all); i += step {
		if p, err := filepath.EvalSymlinks(all[i]); err == nil {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// interpreter is the PT_INTERP of a file, as the standard library reads it.
func interpreter(p string) string {
	f, err := elf.Open(p)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := f.Section(".interp")
	if s == nil {
		return ""
	}
	b, err := s.Data()
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\x00")
}

// addWithLinks adds a path of the host, each link that it goes through and the
// file at the end.
func addWithLinks(t *testing.T, files map[string]bool, p string) {
	t.Helper()
	done := "/"
	for rest := strings.TrimPrefix(p, "/"); rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := filepath.Join(done, name)
		fi, err := os.Lstat(next)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode()&os.ModeSymlink == 0 {
			if rest == "" {
				files[next] = true
			}
			done = next
			continue
		}
		files[next] = true
		target, err := os.Readlink(next)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(target, "/") {
			done = "/"
		}
		rest = strings.TrimPrefix(filepath.Join(target, rest), "/")
	}
}
