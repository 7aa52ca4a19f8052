package xtest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// stream is one open connection: the filtered stream of v2, or a
// statuses/filter of v1.1.
type stream struct {
	fields   fields     // v2
	activity bool       // of the X Activity API
	track    [][]string // v1.1: alternatives of words that must all be there
	owner    string     // v1.1: account id
	out      chan frame
	held     []frame // messages Disorder keeps back
	ctx      context.Context
	abort    context.CancelFunc
	gone     chan struct{} // closed when the connection no longer counts
}

func (st *stream) classic() bool { return st.track != nil }

// frame is something to write, or the end of the connection after it.
type frame struct {
	data []byte
	end  bool // end the response in good order
	cut  bool // cut the connection
}

// Bounds of a slow reader: X, too, closes a connection whose queue grows.
const (
	maxQueue     = 4096
	writeTimeout = 10 * time.Second
)

// openStream serves https://docs.x.com/x-api/stream/stream-filtered-posts.
func (s *Server) openStream(c *call) answer {
	f, refusal, refused := parseFields(c.query)
	if refused {
		return refusal
	}
	if c.query.Has("backfill_minutes") {
		return notPermitted // Enterprise only
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules) == 0 {
		return connectionProblem(409, "RuleConfigurationIssue", "This stream has no rules. Define rules before connecting.")
	}
	for st := range s.streams {
		if !st.classic() && !st.activity {
			return connectionProblem(429, "TooManyConnections", "This stream is currently at the maximum allowed connection limit.")
		}
	}
	return answer{stream: s.open(c, &stream{fields: f})}
}

// open registers a stream; the lock must be held. From here on its connection
// counts, and posts are kept for it.
func (s *Server) open(c *call, st *stream) *stream {
	st.out = make(chan frame, maxQueue)
	st.gone = make(chan struct{})
	st.ctx, st.abort = context.WithCancel(c.r.Context())
	s.streams[st] = true
	s.announce()
	return st
}

// pump writes a stream until one side ends it.
func (s *Server) pump(w http.ResponseWriter, r *http.Request, st *stream) {
	defer func() {
		st.abort()
		s.mu.Lock()
		delete(s.streams, st)
		s.announce()
		s.mu.Unlock()
		close(st.gone)
	}()
	rc := http.NewResponseController(w)
	send := func(data []byte) bool {
		rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.Write(data)
		return err == nil && rc.Flush() == nil
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if !send(nil) {
		return
	}
	beat := time.NewTicker(s.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case f := <-st.out:
			if len(f.data) > 0 && !send(f.data) {
				return
			}
			if f.cut {
				panic(http.ErrAbortHandler)
			}
			if f.end {
				return
			}
			beat.Reset(s.opts.Heartbeat)
		case <-beat.C:
			s.mu.Lock()
			silent := s.silent
			s.mu.Unlock()
			if !silent && !send([]byte("\r\n")) {
				return
			}
		case <-st.ctx.Done(): // the client has left, or it is too slow
			panic(http.ErrAbortHandler)
		case <-s.ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// deliver puts a new post on the streams that ask for it. The lock must be
// held.
func (s *Server) deliver(p *post) {
	s.deliverActivity(p)
	if len(s.streams) == 0 || s.accounts[p.AuthorID].Protected {
		return
	}
	v := s.subject(p)
	var matching []object
	for _, r := range s.rules {
		if r.clause.match(v) {
			matching = append(matching, object{"id": r.id, "tag": r.tag})
		}
	}
	for st := range s.streams {
		var message object
		switch {
		case st.classic() && tracks(v, st.track):
			message = s.status(p, streamed)
		case !st.classic() && !st.activity && len(matching) > 0:
			message = s.body([]*post{p}, st.fields, "", nil)
			message["data"] = s.postObject(p, st.fields)
			message["matching_rules"] = matching
		default:
			continue
		}
		data, err := json.Marshal(message)
		if err != nil {
			panic(err) // a bug, as in write
		}
		s.send(st, frame{data: append(data, "\r\n"...)})
	}
}

// deliverRemoval tells the streams of v1.1 that a post they have had is gone. Those of
// v2 are told nothing. The lock must be held.
// https://developer.x.com/en/docs/x-api/v1/tweets/filter-realtime/guides/streaming-message-types
func (s *Server) deliverRemoval(p *post) {
	notice, err := json.Marshal(object{"delete": object{"status": object{
		"id": number(p.ID), "id_str": p.ID, "user_id": number(p.AuthorID), "user_id_str": p.AuthorID,
	}}})
	if err != nil {
		panic(err) // a bug, as in write
	}
	v := s.subject(p)
	for st := range s.streams {
		if st.classic() && tracks(v, st.track) {
			s.send(st, frame{data: append(notice, "\r\n"...)})
		}
	}
}

// send queues a message on a stream, with the troubles that are on.
func (s *Server) send(st *stream, f frame) {
	switch {
	case s.silent:
		return
	case s.cutMessage:
		s.cutMessage = false
		st.push(frame{data: f.data[:len(f.data)/2], cut: true})
		return
	}
	frames := []frame{f}
	if s.duplicate {
		frames = append(frames, f)
	}
	if s.disorder > 0 {
		st.held = append(st.held, frames...)
		if s.disorder--; s.disorder > 0 {
			return
		}
		frames, st.held = st.held, nil
		slices.Reverse(frames)
	}
	for _, f := range frames {
		st.push(f)
	}
}

func (st *stream) push(f frame) {
	select {
	case st.out <- f:
	default:
		st.abort() // too slow
	}
}

// WaitStream returns when a program is connected to a stream. It fails with
// ctx or with ErrClosed.
func (s *Server) WaitStream(ctx context.Context) error {
	return s.await(ctx, func() bool { return len(s.streams) > 0 })
}

// WaitNoStream returns when no program is connected to a stream. It fails with
// ctx or with ErrClosed.
func (s *Server) WaitNoStream(ctx context.Context) error {
	return s.await(ctx, func() bool { return len(s.streams) == 0 })
}

// Disconnect ends all streams as X does for maintenance, with a message, and
// returns when a program may connect again.
// https://docs.x.com/x-api/fundamentals/handling-disconnections
func (s *Server) Disconnect() {
	v2, _ := json.Marshal(object{"errors": []object{{
		"title": "operational-disconnect", "disconnect_type": "UpstreamOperationalDisconnect",
		"detail": "This stream has been disconnected upstream for operational reasons.",
		"type":   problems + "operational-disconnect",
	}}})
	v1, _ := json.Marshal(disconnectNotice(1, "Shutdown"))
	s.endStreams(func(st *stream) frame {
		if st.classic() {
			return frame{data: append(v1, "\r\n"...), end: true}
		}
		return frame{data: append(v2, "\r\n"...), end: true}
	})
}

// Cut cuts the connections of all streams without a word, and returns when a
// program may connect again.
func (s *Server) Cut() {
	s.endStreams(func(*stream) frame { return frame{cut: true} })
}

func (s *Server) endStreams(last func(*stream) frame) {
	s.mu.Lock()
	var ending []*stream
	for st := range s.streams {
		st.push(last(st))
		ending = append(ending, st)
	}
	s.mu.Unlock()
	for _, st := range ending {
		<-st.gone
	}
}

// CutMidMessage makes the next message of a stream break off in its middle,
// together with its connection.
func (s *Server) CutMidMessage() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutMessage = true
}

// Silence makes streams go dead, or ends that: they stay open, but neither
// posts nor heartbeats arrive. Posts made meanwhile are not sent later.
func (s *Server) Silence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = on
}

// Duplicate makes streams deliver every message twice, or ends that.
func (s *Server) Duplicate(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicate = on
}

// Disorder keeps back the next n messages of the streams and then delivers
// them in reverse order.
func (s *Server) Disorder(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disorder = n
}

// Send writes a raw line, and "\r\n" after it, to every stream.
func (s *Server) Send(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		st.push(frame{data: []byte(line + "\r\n")})
	}
}

// tracks reports whether a post matches the track parameter of v1.1.
func tracks(v *subject, track [][]string) bool {
	return slices.ContainsFunc(track, func(words []string) bool {
		return !slices.ContainsFunc(words, func(word string) bool {
			if tag, ok := strings.CutPrefix(word, "#"); ok {
				return !v.hashtags[tag]
			}
			if name, ok := strings.CutPrefix(word, "@"); ok {
				return !v.mentions[name]
			}
			return !v.contains(word)
		})
	})
}
