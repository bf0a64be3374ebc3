// Package skip leaves out the tests that a machine cannot run.
package skip

import (
	"os"
	"testing"
)

// Test skips the test with what is missing here. Where the environment has CI=true
// nothing may be missing, and the test fails.
func Test(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
