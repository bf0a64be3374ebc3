package workload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseChecks(t *testing.T) {
	for _, test := range []struct {
		in   string
		want HTTPCheck
		name string
		err  string
	}{
		{in: "/", want: HTTPCheck{Method: "GET", Path: "/"}, name: "GET /"},
		{in: "/a?b=c:d#top", want: HTTPCheck{Method: "GET", Path: "/a?b=c:d"}, name: "GET /a?b=c:d"},
		{in: "/a b/ä", want: HTTPCheck{Method: "GET", Path: "/a%20b/%C3%A4"}, name: "GET /a%20b/%C3%A4"},
		{in: "POST:/items", want: HTTPCheck{Method: "POST", Path: "/items"}, name: "POST /items"},
		{in: "//x", want: HTTPCheck{Method: "GET", Path: "//x"}, name: "GET //x"},
		{in: "http://:8081", want: HTTPCheck{Method: "GET", Path: "/", Port: 8081}, name: "GET :8081/"},
		{in: "http://localhost:8081/x?y", want: HTTPCheck{Method: "GET", Path: "/x?y", Port: 8081}, name: "GET :8081/x?y"},
		{in: "HEAD:https://[::1]/", want: HTTPCheck{Method: "HEAD", Path: "/", Port: 443, Scheme: "https"}, name: "HEAD https://:443/"},
		{in: "", err: "beginning with a slash"},
		{in: "index.html", err: "beginning with a slash"},
		{in: "get:/", err: "beginning with a slash"},
		{in: "POST:", err: "beginning with a slash"},
		{in: "http://example.com/", err: "not a URL of the container"},
		{in: "http://10.0.0.1/", err: "not a URL of the container"},
		{in: "http://u:p@localhost/", err: "not a URL of the container"},
		{in: "http://localhost:99999/", err: "no port 99999"},
		{in: "http://localhost:0/", err: "no port 0"},
		{in: "/%zz", err: "invalid URL escape"},
	} {
		got, err := ParseChecks(test.in)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), test.in) {
				t.Errorf("%q: %v, want an error with %q", test.in, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		if diff := cmp.Diff([]HTTPCheck{test.want}, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		} else if got[0].String() != test.name {
			t.Errorf("%q: name %q, want %q", test.in, got[0], test.name)
		}
	}
}

func TestChecksFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("body.bin", "\x00\xff")
	for _, test := range []struct {
		name, content string
		want          []HTTPCheck
		err           string
	}{
		{name: "yaml", content: `
- path: /health
- path: POST:/items
  port: 8081
  headers: {Content-Type: application/json, X-A: "1"}
  body: '{"a": 1}'
  status: 201
- {method: PUT, path: "https://localhost:8443/blob", bodyFile: body.bin}
`, want: []HTTPCheck{
			{Method: "GET", Path: "/health"},
			{Method: "POST", Path: "/items", Port: 8081, Body: []byte(`{"a": 1}`), Status: 201,
				Headers: map[string]string{"Content-Type": "application/json", "X-A": "1"}},
			{Method: "PUT", Path: "/blob", Port: 8443, Scheme: "https", Body: []byte("\x00\xff")},
		}},
		{name: "json", content: `[{"path": "/", "method": "HEAD"}]`, want: []HTTPCheck{{Method: "HEAD", Path: "/"}}},
		{name: "empty", content: "[]", err: "no checks"},
		{name: "unknown key", content: "- {path: /, stauts: 200}", err: "stauts"},
		{name: "repeated key", content: "- {path: /, path: /x}", err: "path"},
		{name: "not a list", content: "path: /", err: "unmarshal"},
		{name: "no path", content: "- {method: GET}", err: "number 1: path"},
		{name: "second is wrong", content: "- path: /\n- path: x", err: "number 2: path"},
		{name: "method", content: "- {path: /, method: get}", err: `method "get"`},
		{name: "status", content: "- {path: /, status: 99}", err: "status 99"},
		{name: "header", content: "- {path: /, headers: {'X A': b}}", err: `header "X A"`},
		{name: "header value", content: "- {path: /, headers: {A: \"b\\nC: d\"}}", err: `header "A"`},
		{name: "two bodies", content: "- {path: /, body: x, bodyFile: body.bin}", err: "both body and bodyFile"},
		{name: "two ports", content: "- {path: 'http://:80/', port: 81}", err: "port 81"},
		{name: "port out of range", content: "- {path: /, port: 65536}", err: "65536"},
		{name: "no body file", content: "- {path: /, bodyFile: none}", err: "none: no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseChecks("@" + write("checks", test.content))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), dir) {
					t.Errorf("error %v, want one with %q and the file's name", err, test.err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := ParseChecks("@" + filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}
