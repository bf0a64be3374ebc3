package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slim/minify/verify"
	"slim/probe"
	"slim/probe/record"
	"slim/probe/rootfs/treetest"
	"slim/probe/workload"
)

// observed is a result of "name=value" words; "!" before the name marks a failure.
func observed(text string) *probe.Result {
	r := &probe.Result{}
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		name, failed := strings.CutPrefix(name, "!")
		r.Observations = append(r.Observations, workload.Observation{Name: name, Value: value, Failed: failed})
	}
	return r
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		original, slim, again string
		want                  string // name:equal, ~ where it varies
	}{
		{"equal", "exit=0 out=a", "exit=0 out=a", "", "exit:yes out:yes"},
		{"value", "exit=0 out=a", "exit=0 out=b", "exit=0 out=a", "exit:yes out:no"},
		{"lost", "exit=0 out=a", "exit=0", "exit=0 out=a", "exit:yes out:no"},
		{"empty is not lost", "exit=0 out=", "exit=0 out=", "", "exit:yes out:yes"},
		{"empty is lost", "exit=0 out=", "exit=0", "exit=0 out=", "exit:yes out:no"},
		{"extra", "exit=0", "exit=0 port=9", "exit=0", "exit:yes port:no"},
		{"varies by nature", "status=200 body=1", "status=200 body=2", "status=200 body=3", "status:yes body:~yes"},
		{"varies, and another differs", "status=200 body=1", "status=500 body=2", "status=200 body=3", "status:no body:~yes"},
		{"varies but fails", "exit=0 out=1", "exit=0 !out=2", "exit=0 out=3", "exit:yes out:no"},
		{"extra now and then", "exit=0", "exit=0 port=9", "exit=0 port=8", "exit:yes port:~yes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			original, slim := observed(tt.original), observed(tt.slim)
			v := &verify.Verdict{Rows: verify.Compare(original, slim)}
			if tt.again != "" {
				verify.Excuse(v.Rows, original, observed(tt.again), slim)
			}
			var got []string
			for _, r := range v.Rows {
				text := map[bool]string{true: "yes", false: "no"}[r.Equal]
				if r.Varies {
					text = "~" + text
				}
				got = append(got, fmt.Sprintf("%s:%s", r.Name, text))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			if v.Equal() == strings.Contains(tt.want, ":no") {
				t.Errorf("Equal() = %v", v.Equal())
			}
		})
	}
}

func TestMisses(t *testing.T) {
	fsys := treetest.FS(t, `
		file /etc/conf "x"
		file /etc/removed "x"
		dir  /usr/share/zone
		link /lib -> usr/lib
		file /usr/lib/a.so "x"
	`)
	original := trace("/etc/removed m", "/etc/conf r")
	slim := trace(
		"/etc/conf m",     // there in the original
		"/etc/removed m",  // not found by the original either
		"/etc/nothing m",  // nowhere
		"/usr/lib/a.so r", // found
		"/usr/lib/b.so m", // nowhere
		"/usr/share m",    // a folder that is gone
		"/etc/conf/impossible m",
	)
	var got []string
	for _, m := range verify.Misses(fsys, original, slim) {
		got = append(got, m.Path+" by "+m.Process+" in "+m.Phase)
	}
	want := []string{"/etc/conf by app in test", "/usr/share by app in test"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func trace(lines ...string) *probe.Trace {
	t := &probe.Trace{}
	for i, line := range lines {
		path, letters, _ := strings.Cut(line, " ")
		ops, ok := record.ParseOp(letters)
		if !ok {
			panic(line)
		}
		t.Accesses = append(t.Accesses, record.Access{Path: path, Ops: ops, First: i + 1, Phase: record.Test, Process: "app"})
	}
	record.SortAccesses(t.Accesses)
	return t
}
