package workload

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"slim/probe/sandbox"
)

const (
	maxBody = 64 << 20 // bytes of a body that are read and compared
	maxHTML = 1 << 20  // bytes of a body that are kept, to look for links
	maxText = 2 << 10  // bytes of a body that are shown
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// client puts requests to the ports of one container. It keeps cookies, as a browser
// does, follows no redirect and uses a connection once: an idle one would hold up a
// graceful stop, and a server that serves one connection at a time.
type client struct {
	http      *http.Client
	dial      dialFunc
	timeout   time.Duration
	endpoints map[uint16]*endpoint
}

// endpoint is what is known about how to reach a port.
type endpoint struct {
	port uint16
	// hosts are the literal addresses that may reach it; the first is used, and
	// dropped for the next if it refuses.
	hosts []string
	// scheme is "http" or "https"; "" if it was not asked or speaks neither.
	scheme string
	// asked and answered say whether a request was put, and was answered as HTTP.
	asked, answered bool
}

// answer is what a request has brought.
type answer struct {
	url    *url.URL
	status int
	header http.Header
	body   *Capture
	// cut is why the body was not read to its end.
	cut error
}

// errLong cuts a body that is longer than maxBody.
var errLong = errors.New("body too long")

// lax takes any certificate, and old servers: what is observed is that the server
// answers, the secrecy of the container's loopback is not at stake.
var lax = tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}

func newClient(dial dialFunc, timeout time.Duration) *client {
	jar, _ := cookiejar.New(nil) // fails for no options
	plain := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &firstWord{Conn: conn, spoken: make(chan struct{})}, nil
	}
	secret := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		over := tls.Client(conn, lax.Clone())
		if err := over.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return &firstWord{Conn: over, spoken: make(chan struct{})}, nil
	}
	return &client{
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:        plain,
				DialTLSContext:     secret,
				DisableKeepAlives:  true,
				DisableCompression: true,
			},
			Jar:           jar,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		dial:      dial,
		timeout:   timeout,
		endpoints: map[uint16]*endpoint{},
	}
}

// firstWord is a connection on which nothing is heard before something is said. Of a
// server that greets (SMTP, MySQL), net/http would write to the program's log.
type firstWord struct {
	net.Conn
	once   sync.Once
	spoken chan struct{}
	heard  bool
}

// errNoTLS is what reading gives of a server whose first word is neither HTTP nor
// TLS ("-ERR unknown command"): it need not be asked for TLS, and one that waits for
// the end of a line would let the handshake hang.
var errNoTLS = errors.New("speaks neither HTTP nor TLS")

func (c *firstWord) Read(p []byte) (int, error) {
	<-c.spoken
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard {
		c.heard = true
		if p[0] != 'H' && p[0] != recordAlert && p[0] != recordHandshake {
			return 0, errNoTLS
		}
	}
	return n, err
}

// First bytes of a TLS record: RFC 8446, section 5.1.
const (
	recordAlert     = 21
	recordHandshake = 22
)

func (c *firstWord) Write(p []byte) (int, error) {
	c.once.Do(func() { close(c.spoken) })
	return c.Conn.Write(p)
}

func (c *firstWord) Close() error {
	c.once.Do(func() { close(c.spoken) })
	return c.Conn.Close()
}

// endpoint is the one of the port, with the addresses on which it listens.
func (c *client) endpoint(port uint16, listening []sandbox.Port) *endpoint {
	e := c.endpoints[port]
	if e == nil {
		e = &endpoint{port: port, hosts: hosts(port, listening)}
		c.endpoints[port] = e
	}
	return e
}

// hosts are the addresses by which a port is reached from inside, best first. Where
// only :: is bound, it depends on the socket whether 127.0.0.1 is served too.
func hosts(port uint16, listening []sandbox.Port) []string {
	loopback4, loopback6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	var addrs []netip.Addr
	for _, l := range listening {
		addr := l.Addr.Unmap()
		switch {
		case l.Port != port:
		case addr.IsUnspecified() && addr.Is6():
			addrs = append(addrs, loopback4, loopback6)
		case addr.IsUnspecified():
			addrs = append(addrs, loopback4)
		default:
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) == 0 {
		addrs = []netip.Addr{loopback4, loopback6}
	}
	rank := func(a netip.Addr) int {
		switch {
		case a == loopback4:
			return 0
		case a.Is4() && a.IsLoopback():
			return 1
		case a == loopback6:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return rank(a) - rank(b) })
	var hosts []string
	for _, a := range slices.Compact(addrs) {
		hosts = append(hosts, a.String())
	}
	return hosts
}

// address is the endpoint as host:port.
func (e *endpoint) address() string {
	return net.JoinHostPort(e.hosts[0], strconv.Itoa(int(e.port)))
}

// do puts a request. What a port speaks is found out by the first one: where plain
// HTTP brings no answer, or 400 ("plain HTTP request was sent to HTTPS port" has no
// status of its own), TLS is tried.
func (c *client) do(ctx context.Context, e *endpoint, check HTTPCheck, timeout time.Duration) (*answer, error) {
	if scheme := cmp.Or(check.Scheme, e.scheme); scheme != "" {
		return c.try(ctx, e, check, scheme, timeout)
	}
	a, err := c.try(ctx, e, check, "http", timeout)
	unsure := err == nil && a.status == http.StatusBadRequest ||
		err != nil && ctx.Err() == nil && !refused(err) && !timedOut(err) && !errors.Is(err, errNoTLS)
	asked := e.asked
	e.asked = true
	if unsure && !asked && c.speaksTLS(ctx, e) {
		e.scheme, e.answered = "https", false // what answered was not the server proper
		return c.try(ctx, e, check, e.scheme, timeout)
	}
	if err == nil {
		e.scheme = "http"
	}
	return a, err
}

// speaksTLS sends a TLS greeting and nothing after it: a server that speaks TLS
// answers with a record of it, if only an alert. One that does not sees the end of
// what it could not read, and need not be waited for.
func (c *client) speaksTLS(ctx context.Context, e *endpoint) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", e.address())
	for ; refused(err) && len(e.hosts) > 1; conn, err = c.dial(ctx, "tcp", e.address()) {
		e.hosts = e.hosts[1:]
	}
	if err != nil {
		return false
	}
	defer conn.Close()
	greeting := &greeting{Conn: conn}
	tls.Client(greeting, lax.Clone()).HandshakeContext(ctx) // fails for want of a second word
	return greeting.answer == recordAlert || greeting.answer == recordHandshake
}

// greeting is a connection that ends after the first thing said on it, and keeps the
// first byte of what is answered.
type greeting struct {
	net.Conn
	answer byte
}

func (g *greeting) Write(p []byte) (int, error) {
	n, err := g.Conn.Write(p)
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok && err == nil {
		half.CloseWrite() // a second one fails, as does a second Write
	}
	return n, err
}

func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 && g.answer == 0 {
		g.answer = p[0]
	}
	return n, err
}

// try puts a request by one scheme, to the first address that does not refuse it.
func (c *client) try(ctx context.Context, e *endpoint, check HTTPCheck, scheme string, timeout time.Duration) (*answer, error) {
	for {
		a, err := c.once(ctx, scheme+"://"+e.address()+check.Path, check, timeout)
		if err == nil {
			e.answered = true
		}
		if !refused(err) || len(e.hosts) == 1 {
			return a, err
		}
		e.hosts = e.hosts[1:]
	}
}

// once makes the request and reads its answer.
func (c *client) once(ctx context.Context, target string, check HTTPCheck, timeout time.Duration) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, check.Method, target, bytes.NewReader(check.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "slim")
	req.Header.Set("Accept", "*/*")
	for name, value := range check.Headers {
		req.Header.Set(name, value)
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{url: req.URL, status: resp.StatusCode, header: resp.Header, body: newCapture(maxHTML, 0)}
	n, err := io.Copy(a.body, io.LimitReader(resp.Body, maxBody))
	if a.cut = err; n == maxBody {
		if more, _ := io.ReadFull(resp.Body, make([]byte, 1)); more > 0 {
			a.cut = errLong
		}
	}
	return a, nil
}

func refused(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EADDRNOTAVAIL) ||
		errors.Is(err, unix.ENETUNREACH)
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// comparedHeaders are the headers of an answer that get a row of their own, besides
// the status and the body: those that say how to read it and where to go on.
var comparedHeaders = []string{"Content-Type", "Content-Encoding", "Location", "WWW-Authenticate"}

// observe adds the rows of an answer: "NAME status", one for each header of
// comparedHeaders that it has, and "NAME body". They are apart so that a body that
// varies from run to run does not hide the rest. Only a named check can fail.
func (r *run) observe(name string, check HTTPCheck, a *answer, named bool) {
	status := Observation{Name: name + " status", Value: strconv.Itoa(a.status)}
	text := a.body.preview(maxText)
	if wrong := check.wrong(a.status); named && wrong != "" {
		status.Failed, status.Detail = true, strings.TrimSpace(text+"\n"+wrong)
	}
	r.add(status)
	for _, header := range comparedHeaders {
		if value := a.header.Get(header); value != "" {
			r.add(Observation{Name: name + " " + http.CanonicalHeaderKey(header), Value: value})
		}
	}
	if check.Method == http.MethodHead {
		return
	}
	body := Observation{Name: name + " body", Value: a.body.Sum(), Detail: text}
	switch {
	case a.cut == nil:
	case errors.Is(a.cut, errLong):
		body.Value = fmt.Sprintf("over %d MiB, begins with %s", maxBody>>20, body.Value)
	case timedOut(a.cut):
		body.Value = "endless" // a stream of events; how much came is chance
	default:
		body.Value, body.Failed, body.Detail = "cut off", named, a.cut.Error()
	}
	r.add(body)
}

// unanswered adds the row of a request that got no answer.
func (r *run) unanswered(ctx context.Context, name string, e *endpoint, err error, failed bool) error {
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for the answer to %s: %w", name, ctx.Err())
	}
	row := Observation{Name: name + " status", Failed: failed, Detail: err.Error()}
	switch {
	case refused(err):
		row.Value, row.Failed = "connection refused", true
	case timedOut(err):
		row.Value = "no answer in time"
	case e.scheme == "https":
		row.Value = "accepts connections and TLS, no HTTP"
	default:
		row.Value = "accepts connections, no HTTP"
	}
	if !timedOut(err) {
		r.awaitEnd(ctx, e)
	}
	if r.ended() {
		row.Value, row.Failed = "no answer, the program has ended", true
	}
	r.add(row)
	return nil
}

// awaitEnd waits a moment for the end of a program whose port no longer answers: its
// connections break before it can be seen to have ended.
func (r *run) awaitEnd(ctx context.Context, e *endpoint) {
	if !e.answered {
		listening, err := r.c.Listening()
		if err == nil && slices.ContainsFunc(listening, func(l sandbox.Port) bool { return l.Port == e.port }) {
			return // it speaks something else
		}
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-r.c.Done():
	case <-ctx.Done():
	case <-timer.C:
	}
}
