package sandbox

import (
	"testing"
)

func TestSmoke(t *testing.T) {
	tree := newTree(t)
	st, out := run(t, tree, newSpec("prog", "status", "pid", "hostname", "Uid", "CapEff"))
	t.Log(st, out)
}
