package workload

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"slim/probe/sandbox"
)

// quietWorker is how long a program that exposes no port, and is only to be used by
// commands inside the container, may take to listen before they are run: most such
// programs never will.
const quietWorker = 10 * time.Second

// state is what came of waiting for the program.
type state int

const (
	ready state = iota // it can be exercised
	ended              // by itself
	never              // it did neither in time; observed as failed
)

// wait waits until the program is ready, or has ended, or its time is up.
func (r *run) wait(ctx context.Context) (state, error) {
	limit := r.opts.ReadyTimeout
	if len(r.opts.Exposed) == 0 && len(r.opts.WaitPorts) == 0 && len(r.opts.Exec) > 0 &&
		r.opts.Test == "" && len(r.opts.Checks) == 0 {
		limit = min(limit, quietWorker)
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		listening, err := r.listening()
		if err != nil && !r.ended() {
			return never, err
		}
		if err == nil && r.choose(listening, false) {
			return ready, nil
		}
		select {
		case <-r.c.Done():
			return ended, nil
		case <-r.c.Listens():
		case <-deadline.C:
			return r.late(limit)
		case <-ctx.Done():
			return never, fmt.Errorf("waiting for the program to listen on %s or to end: %w", r.awaited(), ctx.Err())
		}
	}
}

// late decides about a program whose time is up: what listens is taken instead of
// what was to listen, and commands do not need a port at all.
func (r *run) late(limit time.Duration) (state, error) {
	listening, err := r.listening()
	if r.ended() {
		return ended, nil
	}
	if err != nil {
		return never, err
	}
	if r.choose(listening, true) {
		return ready, nil
	}
	if len(r.opts.WaitPorts) == 0 && len(r.opts.Checks) == 0 &&
		(len(r.opts.Exec) > 0 || r.opts.Test != "" || len(r.healthArgs()) > 0) {
		return ready, nil
	}
	detail := "waited for " + r.awaited() + " to listen, or for the program to end;\n" +
		"give it longer (--timeout), say how to use a program without ports (--exec COMMAND),\n" +
		"or make it listen on a TCP port"
	if words := r.out.lastWords(); words != "" {
		detail += "; it wrote:\n" + words
	}
	r.add(Observation{Name: "ready", Value: fmt.Sprintf("neither listened nor ended within %v", limit),
		Failed: true, Detail: detail})
	return never, nil
}

// awaited names what wait waits for.
func (r *run) awaited() string {
	if ports := r.required(); len(ports) > 0 {
		return portList(ports)
	}
	if len(r.opts.Exposed) > 0 {
		return "exposed " + portList(r.opts.Exposed)
	}
	return "any TCP port"
}

// required are the ports that all must listen before the checks.
func (r *run) required() []uint16 {
	var ports []uint16
	for _, p := range r.opts.WaitPorts {
		if !r.ephemeral(p) {
			ports = append(ports, p)
		}
	}
	for _, c := range r.opts.Checks {
		if c.Port != 0 && !slices.Contains(ports, c.Port) {
			ports = append(ports, c.Port)
		}
	}
	return ports
}

// choose sets the primary port if what listens is enough to begin; late, any port is.
func (r *run) choose(listening []sandbox.Port, late bool) bool {
	listens := func(p uint16) bool {
		return slices.ContainsFunc(listening, func(l sandbox.Port) bool { return l.Port == p })
	}
	for _, p := range r.required() {
		if !listens(p) && !late {
			return false
		}
	}
	// In this order: the earlier run's choice, the image's, what there is.
	candidates := slices.Concat(r.opts.WaitPorts, r.opts.Exposed)
	if i := slices.IndexFunc(candidates, listens); i >= 0 {
		r.primary = candidates[i]
		return true
	}
	if len(listening) == 0 || len(r.opts.Exposed) > 0 && !late {
		return false
	}
	r.primary = r.checkable(listening)[0]
	return true
}

// checkable are the ports the default checks go to, sorted: the exposed ones that
// listen, or all that listen if none of the exposed does.
func (r *run) checkable(listening []sandbox.Port) []uint16 {
	var exposed, fixed, all []uint16
	for _, l := range listening {
		all = append(all, l.Port)
		if slices.Contains(r.opts.Exposed, l.Port) {
			exposed = append(exposed, l.Port)
		}
		if !r.ephemeral(l.Port) {
			fixed = append(fixed, l.Port)
		}
	}
	for _, ports := range [][]uint16{exposed, fixed, all} {
		if len(ports) > 0 {
			slices.Sort(ports)
			return slices.Compact(ports)
		}
	}
	return nil
}

// ephemeral says that the kernel may have chosen the port, so that the next run has
// another: the default range of ip_local_port_range (ip(7)), unless exposed.
func (r *run) ephemeral(p uint16) bool {
	return p >= 32768 && p <= 60999 && !slices.Contains(r.opts.Exposed, p)
}

// listening lists the listening ports.
func (r *run) listening() ([]sandbox.Port, error) {
	ports, err := r.c.Listening()
	if err != nil {
		return nil, fmt.Errorf("list the listening ports: %w", err)
	}
	return ports, nil
}

// ports observes what listens at the end of the checks.
func (r *run) ports(context.Context) error {
	listening, err := r.listening()
	if r.ended() {
		return nil
	}
	if err != nil {
		return err
	}
	var numbers []uint16
	var texts []string
	slices.SortFunc(listening, func(a, b sandbox.Port) int {
		return netip.AddrPortFrom(a.Addr, a.Port).Compare(netip.AddrPortFrom(b.Addr, b.Port))
	})
	for _, l := range listening {
		numbers = append(numbers, l.Port)
		port := strconv.Itoa(int(l.Port))
		if r.ephemeral(l.Port) {
			port = "ephemeral"
		}
		host := l.Addr.String()
		if l.Addr.Is6() {
			host = "[" + host + "]"
		}
		texts = append(texts, host+":"+port)
	}
	row := Observation{Name: "ports", Value: "none"}
	if len(texts) > 0 {
		row.Value = strings.Join(slices.Compact(texts), " ")
	}
	var missing []uint16
	for _, p := range r.opts.WaitPorts {
		if !r.ephemeral(p) && !slices.Contains(numbers, p) {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		row.Failed, row.Detail = true, portList(missing)+" did not listen"
	}
	r.add(row)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if i := slices.Index(numbers, r.primary); i > 0 {
		numbers = slices.Insert(slices.Delete(numbers, i, i+1), 0, r.primary)
	}
	r.outcome.Ports = numbers
	return nil
}

// ExposedPorts reads the ExposedPorts of an image's config: "8080", "8080/tcp",
// "8000-8010/tcp". Only TCP ports are given, sorted.
func ExposedPorts(exposed map[string]struct{}) ([]uint16, error) {
	var ports []uint16
	for text := range exposed {
		numbers, proto, ok := strings.Cut(text, "/")
		if ok && !strings.EqualFold(proto, "tcp") {
			continue
		}
		first, last, ok := strings.Cut(numbers, "-")
		if !ok {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil || from == 0 || from > to {
			return nil, fmt.Errorf("exposed port %q: not a port or range of ports", text)
		}
		for p := from; p <= to; p++ {
			ports = append(ports, uint16(p))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}
