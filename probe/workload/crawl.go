package workload

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds of a crawl, for each port.
const (
	maxPages = 64
	maxDepth = 3
	maxLink  = 1 << 10 // bytes of a path with its query
)

// defaultChecks asks each port for / and follows the links, until no port has
// appeared meanwhile that was not asked. With checks that say what to do it asks for
// / alone, which tells whether the port speaks HTTP and TLS.
func (r *run) defaultChecks(ctx context.Context) error {
	if r.opts.NoDefault {
		return nil
	}
	done := map[uint16]bool{}
	for !r.ended() {
		listening, err := r.listening()
		if err != nil {
			if r.ended() {
				break
			}
			return err
		}
		ports := r.checkable(listening)
		if i := slices.Index(ports, r.primary); i > 0 {
			ports = slices.Insert(slices.Delete(ports, i, i+1), 0, r.primary)
		}
		i := slices.IndexFunc(ports, func(p uint16) bool { return !done[p] })
		if i < 0 {
			break
		}
		done[ports[i]] = true
		e := r.http.endpoint(ports[i], listening)
		if err := r.crawl(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// page is a page to fetch.
type page struct {
	path  string // with the query
	depth int
}

// crawl fetches / from a port and, unless only that is wanted, what it links to,
// breadth first in the order of the documents. What answers with an error there is
// observed, not failed: nobody asked for it. But a port with nothing but server
// errors to give is a broken server, unless other checks decide.
func (r *run) crawl(ctx context.Context, e *endpoint) error {
	queue := []page{{path: "/"}}
	seen := map[string]bool{"/": true}
	first := len(r.outcome.Observations)
	answered, broken := 0, 0
	for fetched := 0; len(queue) > 0 && fetched < maxPages; fetched++ {
		next := queue[0]
		queue = queue[1:]
		timeout := r.opts.RequestTimeout
		if next.depth > 0 {
			timeout /= 3
		}
		check := HTTPCheck{Method: http.MethodGet, Path: next.path, Headers: acceptHTML}
		name := r.unique(fmt.Sprintf("GET :%d%s", e.port, nameOf(next.path)))
		a, err := r.http.do(ctx, e, check, timeout)
		if err != nil {
			if err := r.unanswered(ctx, name, e, err, false); err != nil {
				return err
			}
			if timedOut(err) || r.ended() || fetched == 0 {
				break
			}
			continue
		}
		r.observe(name, check, a, false)
		answered++
		if a.status >= 500 {
			broken++
		}
		if r.explicit() {
			break
		}
		if next.depth == maxDepth {
			continue
		}
		for _, link := range links(a) {
			if path, ok := sameOrigin(a.url, link); ok && !seen[path] {
				seen[path] = true
				queue = append(queue, page{path, next.depth + 1})
			}
		}
	}
	if answered > 0 && broken == answered && !r.explicit() {
		row := &r.outcome.Observations[first]
		row.Failed = true
		row.Detail = strings.TrimSpace(r.out.lastWords() + "\nevery answer of this port is a server error")
	}
	return nil
}

// nameOf is a path without the values of its parameters: a session's or a cache's key
// among them is another one in each run, but the order of the links is the same.
func nameOf(path string) string {
	path, query, ok := strings.Cut(path, "?")
	path = paramValue.ReplaceAllString(path, "=…")
	if !ok {
		return path
	}
	params := strings.Split(query, "&")
	for i, param := range params {
		key, _, ok := strings.Cut(param, "=")
		if params[i] = key + "=…"; !ok {
			params[i] = "…"
		}
	}
	return path + "?" + strings.Join(params, "&")
}

// paramValue is the value of a path parameter, as in /page;jsessionid=1A2B.
var paramValue = regexp.MustCompile(`=[^;/]+`)

// acceptHTML asks for pages rather than for data, as a browser does.
var acceptHTML = map[string]string{"Accept": "text/html,*/*;q=0.8"}

// linkAttr is the attribute of an element that names what a browser fetches with the
// page or on a click.
var linkAttr = map[atom.Atom]string{
	atom.A: "href", atom.Area: "href", atom.Link: "href",
	atom.Script: "src", atom.Img: "src", atom.Iframe: "src", atom.Frame: "src",
	atom.Source: "src", atom.Audio: "src", atom.Video: "src", atom.Embed: "src",
	atom.Object: "data",
}

// links are those of an answer: where it redirects to, or what its HTML refers to,
// relative to the page.
func links(a *answer) []*url.URL {
	if a.status >= 300 && a.status < 400 {
		if u, err := a.url.Parse(a.header.Get("Location")); err == nil {
			return []*url.URL{u}
		}
		return nil
	}
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if media != "text/html" && media != "application/xhtml+xml" {
		return nil
	}
	base := a.url
	var found []*url.URL
	for z := html.NewTokenizer(bytes.NewReader(a.body.head)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return found
		case html.StartTagToken, html.SelfClosingTagToken:
		default:
			continue
		}
		token := z.Token()
		want := linkAttr[token.DataAtom]
		if token.DataAtom == atom.Base {
			want = "href"
		}
		for _, attr := range token.Attr {
			if want == "" || attr.Key != want {
				continue
			}
			u, err := base.Parse(attr.Val)
			switch {
			case err != nil:
			case token.DataAtom == atom.Base:
				base = u
			default:
				found = append(found, u)
			}
		}
	}
}

// sameOrigin gives path and query of a link that leads to the server of the page,
// which may call itself by any name of the loopback.
func sameOrigin(from, to *url.URL) (string, bool) {
	sameHost := to.Hostname() == from.Hostname() || loopbackName(to.Hostname())
	if to.Scheme != from.Scheme || !sameHost || port(to) != port(from) {
		return "", false
	}
	target := url.URL{Path: to.Path, RawPath: to.RawPath, RawQuery: to.RawQuery}
	if target.Path == "" {
		target.Path = "/"
	}
	path := target.RequestURI()
	return path, len(path) <= maxLink && path[0] == '/'
}

func loopbackName(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// port is the one a URL goes to.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}
