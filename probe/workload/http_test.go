package workload

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"slim/probe/sandbox"
	"slim/testdata/skip"
)

// site serves pages by path; a value that begins with "->" redirects. It counts
// what was asked for in got.
type site struct {
	pages map[string]string
	got   []string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.got = append(s.got, r.URL.RequestURI())
	page, ok := s.pages[r.URL.Path]
	if to, redirect := strings.CutPrefix(page, "->"); redirect {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, page)
}

func TestCrawl(t *testing.T) {
	for _, test := range []struct {
		name  string
		pages map[string]string
		want  []string
	}{
		{"breadth first, with loops", map[string]string{
			"/":      `<a href="a">a</a><a href="/b?x=1&amp;y=2#top">b</a><script src="/s.js"></script>`,
			"/a":     `<a href="/">home</a><a href="/a">again</a><a href="/deep">deep</a>`,
			"/b":     `<link rel=stylesheet href='/c.css'><img src=/i.png>`,
			"/s.js":  "",
			"/c.css": "", "/i.png": "", "/deep": "",
		}, []string{"/", "/a", "/b?x=1&y=2", "/s.js", "/deep", "/c.css", "/i.png"}},
		{"depth", map[string]string{
			"/": `<a href=1>`, "/1": `<a href=2>`, "/2": `<a href=3>`, "/3": `<a href=4>`, "/4": "",
		}, []string{"/", "/1", "/2", "/3"}},
		{"redirects", map[string]string{
			"/": "->/login", "/login": "->login/form", "/login/form": `<a href="/">x</a>`,
		}, []string{"/", "/login", "/login/form"}},
		{"redirect to itself", map[string]string{"/": "->/"}, []string{"/"}},
		{"base", map[string]string{
			"/": `<base href="/app/"><a href="x">`, "/app/x": "",
		}, []string{"/", "/app/x"}},
		{"not links", map[string]string{
			"/": `<a href="mailto:x@y">m</a><a href="javascript:f()">j</a><a name=n>n</a><!-- <a href=/c> -->
				<script>var s = "<a href=/s>"</script><form action=/delete></form><a href="http://[">`,
		}, []string{"/"}},
		{"elsewhere", map[string]string{
			"/": `<a href="http://example.com/x">x</a><a href="//example.com/y">y</a>
				<a href="http://127.0.0.1:1/z">z</a><a href="https://localhost/w">w</a>`,
		}, []string{"/"}},
		{"broken link", map[string]string{"/": `<a href=/gone><a href=/there>`, "/there": ""},
			[]string{"/", "/gone", "/there"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, port := listen(t, "127.0.0.1")
			s := &site{pages: test.pages}
			o := outcome(t, newFake(serve(l, s)), Options{Exposed: []uint16{port}})
			if !slices.Equal(s.got, test.want) {
				t.Errorf("asked for\n%q, want\n%q", s.got, test.want)
			}
			if failed := o.failed(); failed != nil {
				t.Errorf("failed: %v", failed)
			}
		})
	}
}

func TestCrawlIsBounded(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	asked := 0
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Content-Type", "text/html")
		for i := range 100 {
			fmt.Fprintf(w, "<a href='/%d-%d'>", asked, i)
		}
		fmt.Fprintf(w, "<a href='/%s'>", strings.Repeat("x", maxLink))
	})
	outcome(t, newFake(serve(l, endless)), Options{Exposed: []uint16{port}})
	if asked != maxPages {
		t.Errorf("%d pages, want %d", asked, maxPages)
	}
}

// A link to the server by another name of the loopback is one to itself.
func TestCrawlLocalhost(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	s := &site{pages: map[string]string{"/": fmt.Sprintf(`<a href="http://localhost:%d/x">`, port), "/x": ""}}
	outcome(t, newFake(serve(l, s)), Options{Exposed: []uint16{port}})
	if want := []string{"/", "/x"}; !slices.Equal(s.got, want) {
		t.Errorf("asked for %q, want %q", s.got, want)
	}
}

// Names do not change with a session's key, and no two are the same.
func TestCrawlNames(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	s := &site{pages: map[string]string{"/": `<a href="/p;jsessionid=A1?v=17&b=2"><a href="/p;jsessionid=A1?v=18&b=2"><a href="/q?99">`}}
	o := outcome(t, newFake(serve(l, s)), Options{Exposed: []uint16{port}})
	var names []string
	for _, row := range o.Observations {
		if name, ok := strings.CutSuffix(row.Name, " status"); ok {
			names = append(names, strings.TrimPrefix(name, fmt.Sprintf("GET :%d", port)))
		}
	}
	if want := []string{"/", "/p;jsessionid=…?v=…&b=…", "/p;jsessionid=…?v=…&b=… (2)", "/q?…"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
}

func TestCrawlKeepsCookies(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("seen"); err != nil && r.URL.Path != "/" {
			http.Error(w, "no cookie", http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
		w.Header().Set("Location", "/in")
		w.WriteHeader(http.StatusSeeOther)
	})
	o := outcome(t, newFake(serve(l, h)), Options{Exposed: []uint16{port}})
	if got := row(t, o, fmt.Sprintf("GET :%d/in status", port)).Value; got != "303" {
		t.Errorf("status %s without the cookie", got)
	}
}

func TestServerErrors(t *testing.T) {
	mixed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/" {
			w.WriteHeader(500)
			io.WriteString(w, "<a href=/help>")
		}
	})
	for _, test := range []struct {
		name   string
		h      http.Handler
		opts   Options
		failed bool
	}{
		{"nothing else", text(500, "broken"), Options{}, true},
		{"one page works", mixed, Options{}, false},
		{"other checks decide", text(500, "broken"), Options{Test: "true"}, false},
		{"client errors", text(404, "no /"), Options{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, port := listen(t, "127.0.0.1")
			test.opts.Exposed = []uint16{port}
			o := outcome(t, newFake(serve(l, test.h)), test.opts)
			if got := row(t, o, fmt.Sprintf("GET :%d/ status", port)); got.Failed != test.failed {
				t.Errorf("row %+v, want failed %v", got, test.failed)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	hello := text(200, "hello")
	for _, test := range []struct {
		name   string
		config *tls.Config
		opts   Options
		want   string
	}{
		{"default", nil, Options{}, `
			GET :P/ status = 200
			GET :P/ Content-Type = text/plain
			GET :P/ body = 5 bytes sha256:2cf24dba5fb0a30e`},
		{"named only", nil, Options{NoDefault: true, Checks: []HTTPCheck{{Path: "/x"}}}, `
			GET /x status = 200
			GET /x Content-Type = text/plain
			GET /x body = 5 bytes sha256:2cf24dba5fb0a30e`},
		{"by scheme", nil, Options{NoDefault: true, Checks: []HTTPCheck{{Path: "/x", Scheme: "https"}}}, `
			GET https:///x status = 200
			GET https:///x Content-Type = text/plain
			GET https:///x body = 5 bytes sha256:2cf24dba5fb0a30e`},
		{"wants a client certificate", &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, Options{},
			"GET :P/ status = accepts connections and TLS, no HTTP"},
		{"wants a client certificate, 1.3", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, Options{},
			"GET :P/ status = accepts connections and TLS, no HTTP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, port := listen(t, "127.0.0.1")
			test.opts.Exposed = []uint16{port}
			o := outcome(t, newFake(serveTLS(l, hello, test.config)), test.opts)
			expect(t, rows(o, map[uint16]string{port: "P"}), test.want+`
				ports = 127.0.0.1:P
				stop = exit status 0`)
		})
	}
}

func TestNotHTTP(t *testing.T) {
	var logged strings.Builder
	log.SetOutput(&logged)
	t.Cleanup(func() {
		log.SetOutput(os.Stderr)
		if logged.Len() > 0 {
			t.Errorf("a library does not log: %s", &logged)
		}
	})
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	for _, test := range []struct {
		name   string
		handle func(net.Conn)
		want   string
	}{
		{"greets", func(c net.Conn) { io.WriteString(c, "220 smtp ready\r\n"); silent(c) }, "accepts connections, no HTTP"},
		{"closes", func(c net.Conn) { io.ReadFull(c, make([]byte, 8)) }, "accepts connections, no HTTP"},
		{"answers", func(c net.Conn) {
			io.ReadFull(c, make([]byte, 8))
			io.WriteString(c, "-ERR unknown command\r\n")
			silent(c)
		}, "accepts connections, no HTTP"},
		{"is silent", silent, "no answer in time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, port := listen(t, "127.0.0.1")
			o := outcome(t, newFake(serveTCP(l, test.handle)),
				Options{Exposed: []uint16{port}, RequestTimeout: 300 * time.Millisecond})
			expect(t, rows(o, map[uint16]string{port: "P"}), `
				GET :P/ status = `+test.want+`
				ports = 0.0.0.0:P
				stop = exit status 0`)
		})
	}
}

// A server that is not waited for: one that answered in its own words is not asked
// for TLS at all, one that hung up reads a TLS greeting to its end.
func TestNoTLS(t *testing.T) {
	for name, word := range map[string]string{"own words": "-ERR wrong number of arguments\r\n", "hangs up": ""} {
		t.Run(name, func(t *testing.T) {
			l, port := listen(t, "127.0.0.1")
			begin := time.Now()
			var connections atomic.Int32
			outcome(t, newFake(serveTCP(l, func(c net.Conn) {
				if connections.Add(1) == 1 && word == "" {
					io.ReadFull(c, make([]byte, 8))
					return
				}
				io.ReadFull(c, make([]byte, 8))
				io.WriteString(c, word)
				io.Copy(io.Discard, c) // waits for the end of a line
			})), Options{Exposed: []uint16{port}, RequestTimeout: 20 * time.Second})
			if time.Since(begin) > 10*time.Second {
				t.Error("waited for the request's timeout")
			}
			if n := connections.Load(); word != "" && n != 1 {
				t.Errorf("%d connections, want only the request's", n)
			}
		})
	}
}

// A greeting that is already there is not read before the request is written.
func TestFirstWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer server.Close()
		conn := &firstWord{Conn: client, spoken: make(chan struct{})}
		defer conn.Close()
		var got string
		go func() {
			b := make([]byte, 8)
			n, _ := conn.Read(b)
			got = string(b[:n])
		}()
		go io.WriteString(server, "HTTP hi")
		synctest.Wait()
		if got != "" {
			t.Fatalf("heard %q before a word was said", got)
		}
		go io.Copy(io.Discard, server)
		io.WriteString(conn, "GET /")
		synctest.Wait()
		if got != "HTTP hi" {
			t.Errorf("heard %q", got)
		}
	})
}

// A port that is bound to IPv6 alone is reached there, and a test is told so.
func TestIPv6Only(t *testing.T) {
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		skip.Test(t, "no IPv6 on this machine's loopback: %v", err)
	}
	probe.Close()
	for _, bound := range []string{"::1", "::"} {
		t.Run(bound, func(t *testing.T) {
			l, port := listen(t, "::1")
			f := newFake(nil)
			f.program = func(ctx context.Context, f *fake) sandbox.ExitStatus {
				srv := &http.Server{Handler: text(200, "x")}
				go srv.Serve(l)
				f.announce(l, bound)
				<-ctx.Done()
				srv.Close()
				return sandbox.ExitStatus{}
			}
			o := outcome(t, f, Options{Exposed: []uint16{port}, Test: `echo "$SLIM_URL $SLIM_HOST $SLIM_PORT"`})
			if got := row(t, o, fmt.Sprintf("GET :%d/ status", port)); got.Value != "200" {
				t.Errorf("row %+v", got)
			}
			if got, want := row(t, o, testName).Detail, fmt.Sprintf("http://[::1]:%d ::1 %d\n", port, port); got != want {
				t.Errorf("test saw %q, want %q", got, want)
			}
			if got, want := row(t, o, "ports").Value, fmt.Sprintf("[%s]:%d", bound, port); got != want {
				t.Errorf("ports %q, want %q", got, want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for _, test := range []struct{ bound, want string }{
		{"", "127.0.0.1 ::1"},
		{"0.0.0.0", "127.0.0.1"},
		{"::", "127.0.0.1 ::1"},
		{"0.0.0.0 ::", "127.0.0.1 ::1"},
		{"::1", "::1"},
		{"::1 127.0.0.1", "127.0.0.1 ::1"},
		{"127.0.0.53", "127.0.0.53"},
		{"::ffff:0.0.0.0", "127.0.0.1"},
		{"10.1.2.3", "10.1.2.3"},
		{"10.1.2.3 127.0.0.1", "127.0.0.1 10.1.2.3"},
	} {
		listening := []sandbox.Port{{Port: 81, Addr: netip.MustParseAddr("10.9.9.9")}}
		for _, addr := range strings.Fields(test.bound) {
			listening = append(listening, sandbox.Port{Port: 80, Addr: netip.MustParseAddr(addr)})
		}
		if got := strings.Join(hosts(80, listening), " "); got != test.want {
			t.Errorf("bound to %q: %q, want %q", test.bound, got, test.want)
		}
	}
}

func TestNamedChecks(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/echo":
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "%s %s %s %q close=%v", r.Method, r.Host, r.Header.Get("X-A"), body, r.Close)
		case "/old":
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
		case "/made":
			w.WriteHeader(http.StatusCreated)
		case "/private":
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
		case "/cut":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "part")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/events":
			io.WriteString(w, "event\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	})
	for _, test := range []struct {
		check HTTPCheck
		want  string
	}{
		{HTTPCheck{Path: "/old"}, `
			GET /old status = 301
			GET /old Content-Type = text/html; charset=utf-8
			GET /old Location = /new
			GET /old body = 39 bytes sha256:`},
		{HTTPCheck{Method: "HEAD", Path: "/echo"}, `
			HEAD /echo status = 200
			HEAD /echo Content-Type = text/plain`},
		{HTTPCheck{Path: "/made", Status: 201}, "GET /made status = 201\nGET /made body = empty"},
		{HTTPCheck{Path: "/made", Status: 200}, "! GET /made status = 201\nGET /made body = empty"},
		{HTTPCheck{Path: "/private"}, `
			! GET /private status = 401
			GET /private Www-Authenticate = Basic
			GET /private body = empty`},
		{HTTPCheck{Path: "/gone", Status: 404}, `
			GET /gone status = 404
			GET /gone Content-Type = text/plain; charset=utf-8
			GET /gone body = 19 bytes sha256:`},
		{HTTPCheck{Path: "/cut"}, `
			GET /cut status = 200
			GET /cut Content-Type = text/plain; charset=utf-8
			! GET /cut body = cut off`},
		{HTTPCheck{Path: "/events"}, `
			GET /events status = 200
			GET /events Content-Type = text/plain; charset=utf-8
			GET /events body = endless`},
	} {
		t.Run(test.check.String(), func(t *testing.T) {
			l, port := listen(t, "127.0.0.1")
			o := outcome(t, newFake(serve(l, h)), Options{Exposed: []uint16{port}, NoDefault: true,
				Checks: []HTTPCheck{test.check}, RequestTimeout: 500 * time.Millisecond})
			got, _, _ := strings.Cut(rows(o, nil), "ports =")
			if before, _, ok := strings.Cut(got, "sha256:"); ok {
				got = before + "sha256:"
			}
			expect(t, got, test.want)
		})
	}
	t.Run("request", func(t *testing.T) {
		l, port := listen(t, "127.0.0.1")
		check := HTTPCheck{Method: "PUT", Path: "/echo", Body: []byte("data"),
			Headers: map[string]string{"host": "app.example", "x-a": "1"}}
		o := outcome(t, newFake(serve(l, h)), Options{Exposed: []uint16{port}, Checks: []HTTPCheck{check, check}})
		for _, name := range []string{"PUT /echo body", "PUT /echo (2) body"} {
			if got, want := row(t, o, name).Detail, `PUT app.example 1 "data" close=true`; got != want {
				t.Errorf("server saw %q, want %q", got, want)
			}
		}
	})
}

// A large body is compared whole, and one beyond the bound by its start; what is
// kept of it stays small.
func TestLargeBody(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := map[string]int64{"/large": maxBody, "/more": maxBody + 1}[r.URL.Path]
		w.Header().Set("Content-Type", "text/plain")
		io.CopyN(w, zeros{}, size)
	})
	o := outcome(t, newFake(serve(l, h)), Options{Exposed: []uint16{port}, NoDefault: true,
		Checks: []HTTPCheck{{Path: "/large"}, {Path: "/more"}}})
	for name, want := range map[string]string{
		"GET /large body": "67108864 bytes sha256:3b6a07d0d404fab4",
		"GET /more body":  "over 64 MiB, begins with 67108864 bytes sha256:3b6a07d0d404fab4",
	} {
		if got := row(t, o, name); got.Value != want || len(got.Detail) > maxText {
			t.Errorf("%s: %q with %d bytes of detail, want %q", name, got.Value, len(got.Detail), want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
