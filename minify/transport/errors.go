package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// The kinds of failure, for errors.Is. An error of none of them, such as a full
// disk, is the machine's.
var (
	// ErrInput: the image cannot be had or used as it is: a tag that is not there,
	// no permission to read it, a digest that does not match, a truncated archive,
	// a media type that is not known.
	ErrInput = errors.New("image rejected")

	// ErrUnavailable: another try may go well: no network, no Docker Engine, a
	// registry that answers 429 or 5xx.
	ErrUnavailable = errors.New("not available now")

	// ErrUnsupported: this program or machine cannot do it: DOCKER_HOST with a
	// scheme that needs another program, a compression that is not known.
	ErrUnsupported = errors.New("not supported")

	// ErrUsage: the request itself is wrong: a reference or platform that does not
	// parse, a store that would overwrite the source.
	ErrUsage = errors.New("wrong use")
)

var (
	errAbsent   = errors.New("the Docker Engine has no such image")
	errNoDaemon = errors.New("no Docker Engine answers")
)

// marked gives an error a kind without changing its text.
type marked struct {
	error
	kind error
}

func (m *marked) Unwrap() []error { return []error{m.error, m.kind} }

// mark gives err a kind.
func mark(kind, err error) error { return &marked{err, kind} }

// hasKind reports whether err has one of the kinds already.
func hasKind(err error) bool {
	return errors.Is(err, ErrInput) || errors.Is(err, ErrUnavailable) ||
		errors.Is(err, ErrUnsupported) || errors.Is(err, ErrUsage)
}

// inputErr is a failure to read a part of the image: the input's, unless it has a
// kind already, the context ended, or the machine refused.
func inputErr(verb string, err error) error {
	err = fmt.Errorf("%s: %w", verb, err)
	var path *fs.PathError
	if hasKind(err) || isContext(err) || errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return mark(ErrInput, err)
}

// openErr is a failure to open what the user named: the input's, unless the
// machine is at its end.
func openErr(err error) error {
	for _, of := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG} {
		if errors.Is(err, of) {
			return mark(ErrInput, err)
		}
	}
	return err
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fail puts the reference before err. When the context has ended, that is the
// cause, whatever it made others say.
func fail(ctx context.Context, ref Reference, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if !errors.Is(err, cause) {
			err = fmt.Errorf("%w (%s)", cause, oneLine(err.Error()))
		}
		return fmt.Errorf("%s: %w", ref, &plain{err})
	}
	return fmt.Errorf("%s: %w", ref, err)
}

// plain hides the kinds of an error whose cause lies elsewhere.
type plain struct{ error }

func (p *plain) Is(target error) bool {
	switch target {
	case ErrInput, ErrUnavailable, ErrUnsupported, ErrUsage:
		return false
	}
	return errors.Is(p.error, target)
}

// netErr gives a registry's failure its kind.
func netErr(err error) error {
	if err == nil || hasKind(err) || isContext(err) {
		return err
	}
	if errors.Is(err, remote.ErrSchema1) {
		return mark(ErrInput, errors.New("manifest of schema 1, which is no longer in use; push the image again with a current tool"))
	}
	var status *transport.Error
	if errors.As(err, &status) {
		kind := ErrInput
		if status.StatusCode >= 500 || status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout {
			kind = ErrUnavailable
		}
		return mark(kind, &statusError{status})
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return mark(ErrInput, err)
	}
	var (
		op  *net.OpError
		dns *net.DNSError
		req *url.Error
	)
	if errors.As(err, &op) || errors.As(err, &dns) || errors.As(err, &req) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return mark(ErrUnavailable, err)
	}
	return mark(ErrInput, err)
}

// statusError is a registry's answer in one line that a user can act upon.
type statusError struct{ err *transport.Error }

func (s *statusError) Unwrap() error { return s.err }

func (s *statusError) Error() string {
	what := oneLine(s.err.Error())
	switch s.err.StatusCode {
	case http.StatusNotFound:
		return "no such image in the registry: " + what
	case http.StatusUnauthorized, http.StatusForbidden:
		return "the registry denies access (docker login?): " + what
	}
	return what
}

// oneLine folds white space, which bodies of error pages are full of, and bounds
// the length.
func oneLine(s string) string {
	const most = 400
	if s = strings.Join(strings.Fields(s), " "); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
