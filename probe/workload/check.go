package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"
)

// HTTPCheck is a request that must succeed.
type HTTPCheck struct {
	// Method is GET, POST and so on; "" is GET.
	Method string
	// Path begins with a slash and may have a query.
	Path string
	// Port is the one to ask; 0 is Outcome.Ports[0].
	Port uint16
	// Scheme is http or https; "" finds out.
	Scheme string
	// Headers are added to the request's; Host replaces it.
	Headers map[string]string
	// Body is sent as it is.
	Body []byte
	// Status is the one wanted; 0 takes any below 400. A redirect is such a status
	// and is not followed.
	Status int
}

// String is "GET /path", or "GET :8080/path" for a check with a port.
func (c HTTPCheck) String() string {
	target := c.Path
	if c.Port != 0 {
		target = fmt.Sprintf(":%d%s", c.Port, c.Path)
	}
	if c.Scheme == "https" {
		target = "https://" + target
	}
	return cmp.Or(c.Method, http.MethodGet) + " " + target
}

// ParseChecks reads one check, "[METHOD:]PATH", or those of a file, "@FILE".
//
// PATH may also be a URL of the container itself, to name a port or https:
// "/health", "POST:/items", "http://:8081/metrics", "HEAD:https://localhost:8443/".
//
// The file is YAML or JSON, a list; unknown and repeated keys are errors:
//
//   - path: /items            # or a URL, as above
//     method: POST            # GET if left out
//     port: 8081              # the container's first port if left out
//     headers: {Content-Type: application/json}
//     body: '{"name": "x"}'   # or bodyFile: NAME, relative to this file
//     status: 201             # any below 400 if left out
func ParseChecks(text string) ([]HTTPCheck, error) {
	if file, ok := strings.CutPrefix(text, "@"); ok {
		return loadChecks(file)
	}
	check, err := parseCheck(text)
	if err != nil {
		return nil, fmt.Errorf("HTTP check %q: %w", text, err)
	}
	return []HTTPCheck{check}, nil
}

// parseCheck reads "[METHOD:]PATH".
func parseCheck(text string) (HTTPCheck, error) {
	check := HTTPCheck{Method: http.MethodGet, Path: text}
	if method, path, ok := strings.Cut(text, ":"); ok && isMethod(method) {
		check.Method, check.Path = method, path
	}
	if strings.HasPrefix(check.Path, "http://") || strings.HasPrefix(check.Path, "https://") {
		u, err := url.Parse(check.Path)
		if err != nil {
			return check, errors.Unwrap(err)
		}
		if host := u.Hostname(); host != "" && !loopbackName(host) || u.User != nil {
			return check, errors.New("not a URL of the container itself (localhost, or no host)")
		}
		n, err := strconv.ParseUint(port(u), 10, 16)
		if err != nil || n == 0 {
			return check, fmt.Errorf("no port %s", u.Port())
		}
		check.Port, check.Scheme = uint16(n), u.Scheme
		check.Path = u.RequestURI()
		if u.Scheme == "http" {
			check.Scheme = "" // what the port speaks is found out anyway
		}
	}
	if !strings.HasPrefix(check.Path, "/") {
		return check, errors.New("want [METHOD:]PATH, the path beginning with a slash")
	}
	// As a URL, for a path that begins with two slashes would be read as a host.
	u, err := url.Parse("http://localhost" + check.Path)
	if err != nil {
		return check, errors.Unwrap(err)
	}
	check.Path = u.RequestURI()
	return check, nil
}

func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// isToken says that s can be the name of a header (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// fileCheck is an HTTPCheck as it is written in a file.
type fileCheck struct {
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Port     uint16            `json:"port"`
	Headers  map[string]string `json:"headers"`
	Body     *string           `json:"body"`
	BodyFile string            `json:"bodyFile"`
	Status   int               `json:"status"`
}

// loadChecks reads a file with a list of checks.
func loadChecks(file string) ([]HTTPCheck, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read HTTP checks: %w", err)
	}
	var list []fileCheck
	if err := yaml.UnmarshalStrict(data, &list); err != nil {
		return nil, fmt.Errorf("read HTTP checks: %s: %w", file, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("read HTTP checks: %s: no checks", file)
	}
	var checks []HTTPCheck
	for i, f := range list {
		check, err := f.check(filepath.Dir(file))
		if err != nil {
			return nil, fmt.Errorf("read HTTP checks: %s: number %d: %w", file, i+1, err)
		}
		checks = append(checks, check)
	}
	return checks, nil
}

// check is the check that f describes; files are named relative to dir.
func (f fileCheck) check(dir string) (HTTPCheck, error) {
	check, err := parseCheck(f.Path)
	switch {
	case err != nil:
		return check, fmt.Errorf("path %q: %w", f.Path, err)
	case f.Method != "" && !isMethod(f.Method):
		return check, fmt.Errorf("method %q: not in capital letters", f.Method)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return check, fmt.Errorf("status %d: not one of an answer", f.Status)
	case f.Body != nil && f.BodyFile != "":
		return check, errors.New("both body and bodyFile")
	case check.Port != 0 && f.Port != 0 && check.Port != f.Port:
		return check, fmt.Errorf("port %d and path %q", f.Port, f.Path)
	}
	for name, value := range f.Headers {
		if !isToken(name) || strings.ContainsFunc(value, unicode.IsControl) {
			return check, fmt.Errorf("header %q: %q: not of the form of a header", name, value)
		}
	}
	if f.Method != "" {
		check.Method = f.Method
	}
	if f.Port != 0 {
		check.Port = f.Port
	}
	check.Headers, check.Status = f.Headers, f.Status
	if f.Body != nil {
		check.Body = []byte(*f.Body)
	}
	if f.BodyFile != "" {
		name := f.BodyFile
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if check.Body, err = os.ReadFile(name); err != nil {
			return check, err
		}
	}
	return check, nil
}

// namedChecks puts the checks that were asked for.
func (r *run) namedChecks(ctx context.Context) error {
	for _, check := range r.opts.Checks {
		name := r.unique(check.String())
		if r.ended() {
			r.notRun(name + " status")
			continue
		}
		listening, err := r.listening()
		if err != nil && !r.ended() {
			return err
		}
		number := check.Port
		if number == 0 {
			number = r.primary
		}
		e := r.http.endpoint(number, listening)
		a, err := r.http.do(ctx, e, check, r.opts.RequestTimeout)
		if err != nil {
			if err := r.unanswered(ctx, name, e, err, true); err != nil {
				return err
			}
			continue
		}
		r.observe(name, check, a, true)
	}
	return nil
}

// wrong says why a status is not the one wanted; "" if it is.
func (c HTTPCheck) wrong(status int) string {
	switch {
	case c.Status != 0 && status != c.Status:
		return fmt.Sprintf("want status %d", c.Status)
	case c.Status == 0 && status >= 400:
		return "want a status below 400"
	}
	return ""
}
