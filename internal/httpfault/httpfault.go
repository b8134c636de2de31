// Package httpfault says why a request to another server failed, in words that hold no secret.
package httpfault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// Plain returns why a request failed, of the causes that can be told without the URL and without what the server wrote:
// net/http's own errors quote both, and the answer may be what was sent. It leaves out what differs from one attempt
// to the next. That ctx ended is still told by errors.Is.
func Plain(err error) error {
	var (
		name        *net.DNSError
		network     *net.OpError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no whole answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &certificate):
		return fmt.Errorf("its certificate is not accepted: %.200s", certificate.Error()) // it lists the names in it
	case errors.As(err, &name):
		return fmt.Errorf("the host's name cannot be looked up (not found: %t, timeout: %t)", name.IsNotFound, name.IsTimeout)
	case errors.As(err, &network):
		// Without the port of this side, which is another each time.
		return &net.OpError{Op: network.Op, Net: network.Net, Addr: network.Addr, Err: network.Err}
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return errors.New("the answer is cut short")
	}
	return errors.New("the answer is not of the protocol that the URL names")
}
