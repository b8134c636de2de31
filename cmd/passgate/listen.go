package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// listeners are the addresses of a process, taken before anything is served.
type listeners struct {
	grpc, ops              net.Listener
	http, authzHTTP, debug net.Listener // nil: not asked for
}

// listen takes the addresses that the configuration names.
func (s *servers) listen() (*listeners, error) {
	l := &listeners{}
	at, maxHead := s.first.Listen, int(s.first.Limits.Headers)
	takes := []struct {
		wanted bool
		into   *net.Listener
		listen func() (net.Listener, error)
	}{
		{true, &l.grpc, func() (net.Listener, error) { return listenGRPC(at.GRPC) }},
		{true, &l.ops, func() (net.Listener, error) { return net.Listen("tcp", at.Ops) }},
		{s.web != nil, &l.http, func() (net.Listener, error) { return listenHTTP(at.HTTP, maxHead, s.refused.Inc) }},
		{s.authzHTTP != nil, &l.authzHTTP, func() (net.Listener, error) { return listenHTTP(at.AuthzHTTP, maxHead, s.refused.Inc) }},
		{at.Debug != "", &l.debug, func() (net.Listener, error) { return net.Listen("tcp", at.Debug) }},
	}
	for _, take := range takes {
		if !take.wanted {
			continue
		}
		taken, err := take.listen()
		if err != nil {
			l.close()
			return nil, err
		}
		*take.into = taken
	}
	return l, nil
}

// close gives up the addresses.
func (l *listeners) close() {
	for _, taken := range []net.Listener{l.grpc, l.ops, l.http, l.authzHTTP, l.debug} {
		if taken != nil {
			taken.Close()
		}
	}
}

// addresses returns what is listened on, for the log.
func (l *listeners) addresses() []any {
	all := []any{"grpc", l.grpc.Addr().String(), "ops", l.ops.Addr().String()}
	if l.http != nil {
		all = append(all, "http", l.http.Addr().String())
	}
	if l.authzHTTP != nil {
		all = append(all, "authz_http", l.authzHTTP.Addr().String())
	}
	if l.debug != nil {
		all = append(all, "debug", l.debug.Addr().String())
	}
	return all
}

// listenGRPC listens on host:port or unix:///path. A socket file that a killed process has left behind is
// replaced; one that is in use is not.
func listenGRPC(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
		}
		// Any other failure than this one, a full queue say, comes from a socket in use.
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("listen on %s: another process listens there", address)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Envoy runs as another user, of the same group.
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// serveHTTP serves until ctx ends, and then gives requests in flight a grace period.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	// Serve returns while Shutdown still waits for requests.
	if err := server.Shutdown(timeout); err != nil {
		return server.Close()
	}
	return nil
}
