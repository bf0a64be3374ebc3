package sandbox

import "testing"

// BenchmarkLaunch is the whole life of a container whose program does nothing: New,
// Start, end, Close.
func BenchmarkLaunch(b *testing.B) {
	tree := newTree(b)
	for b.Loop() {
		s := boot(b, tree, newSpec("prog"))
		if st, out := s.end(); st.Code != 0 {
			b.Fatalf("%v %s", st, out)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
