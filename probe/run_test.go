package probe

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slim/probe/record"
	"slim/probe/sandbox"
)

func TestCause(t *testing.T) {
	broken := errors.New("the recorder broke")
	other := errors.New("something else")
	waiting := fmt.Errorf("waiting: %w", context.Canceled)
	for _, c := range []struct {
		name              string
		cancel, err, want error
	}{
		{"canceled by the recorder", broken, waiting, broken},
		{"canceled from outside", nil, waiting, waiting},
		{"another error", broken, other, other},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(c.cancel)
			if got := cause(ctx, c.err); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := cause(t.Context(), waiting); got != waiting {
		t.Errorf("nothing canceled: got %v", got)
	}
}

func TestWithChanges(t *testing.T) {
	got := withChanges([]record.Access{
		{Path: "/a", Ops: record.Read, First: 2, Phase: record.Test, Process: "sh"},
		{Path: "/c", Ops: record.Miss, First: 1, Phase: record.Start},
	}, []sandbox.Change{
		{Path: "/a", Kind: sandbox.Modified},
		{Path: "/b", Kind: sandbox.Created},
		{Path: "/c", Kind: sandbox.Created},
	})
	want := []record.Access{
		{Path: "/a", Ops: record.Read | record.Write, First: 2, Phase: record.Test, Process: "sh"},
		{Path: "/b", Ops: record.Write, First: 3, Phase: record.Start},
		{Path: "/c", Ops: record.Miss | record.Write, First: 1, Phase: record.Start},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
