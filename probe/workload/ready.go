package workload

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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

// wait waits until the program is ready, or has ended, or its time is up. At first
// it waits for what should listen; after that it is content with any port, or none
// if the checks can do without.
func (r *run) wait(ctx context.Context) (state, error) {
	limit, last := r.patience(ctx)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	late := false
	for {
		listening, err := r.listening()
		if err != nil && !r.ended() {
			return never, err
		}
		if err == nil && (r.choose(listening, late) || late && r.portless()) {
			return ready, nil
		}
		select {
		case <-r.c.Done():
			return ended, nil
		case <-r.c.Listens():
		case <-timer.C:
			if late {
				r.notReady(last)
				return never, nil
			}
			late = true
			timer.Reset(last - limit)
		case <-ctx.Done():
			return never, fmt.Errorf("waiting for the program to listen on %s or to end: %w", r.awaited(), ctx.Err())
		}
	}
}

// patience is how long to wait for what should listen, and how long for anything.
func (r *run) patience(ctx context.Context) (limit, last time.Duration) {
	limit = r.opts.ReadyTimeout
	setDefault(&limit, DefaultReadyTimeout)
	if deadline, ok := ctx.Deadline(); ok && r.opts.ReadyTimeout <= 0 {
		// The slim image's run needs the other half.
		last = time.Until(deadline) / 2
		limit = min(limit, last)
	}
	if r.portless() && len(r.opts.Exposed) == 0 && len(r.opts.Exec) > 0 && r.opts.Test == "" {
		limit = min(limit, quietWorker)
	}
	return limit, max(limit, last)
}

// portless says that there are checks and that they can do without a port.
func (r *run) portless() bool {
	return len(r.required()) == 0 && len(r.opts.Checks) == 0 &&
		(len(r.opts.Exec) > 0 || r.opts.Test != "" || len(r.healthArgs()) > 0)
}

// notReady observes that the program did nothing that could be waited for.
func (r *run) notReady(limit time.Duration) {
	detail := fmt.Sprintf("waited %v for %s; try a longer --timeout, or --exec COMMAND for a program without ports",
		limit.Round(time.Millisecond), r.awaited())
	r.add(Observation{Name: "ready", Value: "neither listens nor ends", Failed: true,
		Detail: strings.TrimSpace(r.out.lastWords() + "\n" + detail)})
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
	ports := r.checkable(listening)
	if len(ports) == 0 {
		return false
	}
	// A port that the kernel chose is often the private one of a tool that will end (a
	// build's workers), or comes before the real one.
	if !late && len(r.opts.WaitPorts) == 0 && (len(r.opts.Exposed) > 0 || r.ephemeral(ports[0])) {
		return false
	}
	r.primary = ports[0]
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

// ExposedPorts are the TCP ports that an image's config exposes, sorted: "8080",
// "8080/tcp", "8000-8010/tcp". What is not of that form exposes nothing: EXPOSE
// is a hint, and only to be waited for.
func ExposedPorts(cfg v1.Config) []uint16 {
	var ports []uint16
	for text := range cfg.ExposedPorts {
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
		if err != nil || err2 != nil {
			continue
		}
		for p := max(from, 1); p <= to; p++ {
			ports = append(ports, uint16(p))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
