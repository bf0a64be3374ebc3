package main

import "testing"

func TestLocal(t *testing.T) {
	if said, err := local("tokyo"); err != nil || said != "21:00 JST" {
		t.Errorf("local(tokyo) = %q, %v", said, err)
	}
	if _, err := local("atlantis"); err == nil {
		t.Error("local(atlantis): no error")
	}
}
