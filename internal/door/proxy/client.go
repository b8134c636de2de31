package proxy

import (
	"io"
	"net/http"
	"time"
)

// unreadTime is how long the rest of a body may take that nobody waits for any more: the answer is given.
const unreadTime = 2 * time.Second

// boundBody sees to it that a body that does not come holds neither an answer nor a connection. It returns the request
// with that body, and what is to be called when the answer is given.
func (h *Handler) boundBody(a *answer, r *http.Request) (bounded *http.Request, answered func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, func() {}
	}
	// Without this, Go's server over HTTP/1 reads what is left of the body before it lets an answer begin, and a
	// client that first waits for the answer would wait for ever.
	_ = a.control.EnableFullDuplex()
	if r.ProtoMajor != 1 && isGRPC(r) {
		return r, func() {} // a stream of messages may be silent for as long as it likes
	}
	idle := func() { _ = a.control.SetReadDeadline(time.Now().Add(h.clientIdle)) }
	idle()
	bounded = r.WithContext(r.Context()) // the server looks at the body of its own
	bounded.Body = &patientBody{r.Body, idle}
	return bounded, func() { _ = a.control.SetReadDeadline(time.Now().Add(min(unreadTime, h.clientIdle))) }
}

// patientBody gives the client its time anew with each piece of the body.
type patientBody struct {
	io.ReadCloser
	idle func()
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.idle()
	return b.ReadCloser.Read(p)
}

// answer is an answer on its way to the client, who has to take it.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController // of the ResponseWriter
	request *http.Request
	idle    time.Duration // how long the client may take nothing
	begun   bool
}

func (h *Handler) newAnswer(w http.ResponseWriter, r *http.Request) *answer {
	return &answer{ResponseWriter: w, control: http.NewResponseController(w), request: r, idle: h.clientIdle}
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	switch {
	case status == http.StatusSwitchingProtocols:
		// An upgrade that was asked for does not come this way. HTTP/2 has none (RFC 9113 §8.6), but an upstream may
		// say so in an interim answer, and to Go's server it would be the last.
		return
	case status < 200 && !a.request.ProtoAtLeast(1, 1):
		return // RFC 9110 §15.2
	case status >= 200:
		a.begun = true
		// Go's server guesses the type of an answer that states none. The client is told what the upstream said.
		if header := a.Header(); header["Content-Type"] == nil {
			header["Content-Type"] = nil
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (a *answer) Write(p []byte) (n int, err error) {
	a.begun = true
	a.within(func() { n, err = a.ResponseWriter.Write(p) })
	return n, err
}

// FlushError is for [http.ResponseController].
func (a *answer) FlushError() (err error) {
	a.within(func() { err = a.control.Flush() })
	return err
}

// within lets the client take its time, and no more, to take what is sent.
func (a *answer) within(send func()) {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.idle))
	send()
	if a.request.ProtoMajor != 1 {
		// A stream of HTTP/2 ends with its deadline, even if there is nothing to be sent.
		_ = a.control.SetWriteDeadline(time.Time{})
	}
}
