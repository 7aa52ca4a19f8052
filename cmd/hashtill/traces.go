package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"hashtill/offers"
	"hashtill/store"
)

// traces tells an OpenTelemetry collector what is done (https://opentelemetry.io/docs/specs/otlp/):
// each effect, each request to the pages and the desk. All that is done for a purchase is
// in one trace, whichever process does it and whenever: the trace's id follows from the
// purchase's. Spans name purchases, offers, kinds and outcomes, and nobody. The zero
// *traces, nil, makes none.
type traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// tracesQueue bounds how many spans wait for the collector; what comes then is dropped.
const tracesQueue = 4096

// newTraces begins to tell a collector at an address such as http://localhost:4318 about a
// share of what is done.
func newTraces(url string, share float64) *traces {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(newOTLP(url), sdktrace.WithMaxQueueSize(tracesQueue)),
		sdktrace.WithSampler(sdktrace.TraceIDRatioBased(share)), // of all spans of a purchase, or none
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "hashtill"))),
	)
	return &traces{provider: provider, tracer: provider.Tracer("hashtill")}
}

// close sends what waits, for a few seconds at most.
func (t *traces) close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// traceOf is the trace of a purchase.
func traceOf(id offers.ID) trace.TraceID {
	return trace.TraceID(sha256Of("trace of " + string(id)))
}

func sha256Of(s string) (first [16]byte) {
	sum := sha256.Sum256([]byte(s))
	copy(first[:], sum[:])
	return first
}

// of has what is traced under ctx be part of a purchase's trace.
func (t *traces) of(ctx context.Context, id offers.ID) context.Context {
	parent := sha256Of("root of " + string(id))
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceOf(id), SpanID: trace.SpanID(parent[:8]), TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// perform traces the performing of an effect.
func (t *traces) perform(ctx context.Context, l store.Lease, do func(ctx context.Context) error) error {
	if t == nil {
		return do(ctx)
	}
	about := []attribute.KeyValue{attribute.String("hashtill.effect", l.Kind), attribute.Int64("hashtill.try", l.Try)}
	if id, ok := purchaseOf(l.ID); ok {
		ctx = t.of(ctx, id)
		about = append(about, attribute.String("hashtill.purchase", string(id)))
	}
	ctx, span := t.tracer.Start(ctx, "perform "+l.Kind, trace.WithAttributes(about...))
	defer span.End()
	err := do(ctx)
	switch {
	case errors.As(err, new(*store.Later)):
		span.AddEvent("told to come later")
	case err != nil:
		span.SetStatus(codes.Error, "it comes again") // an error's text may hold an address
	}
	return err
}

// purchaseOf is the purchase in an effect's id.
func purchaseOf(effect string) (offers.ID, bool) {
	for part := range strings.SplitSeq(effect, "/") {
		if id, ok := offers.ParseID(part); ok {
			return id, true
		}
	}
	return "", false
}

// handler traces requests, by their patterns: paths may hold a secret.
func (t *traces) handler(what string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.tracer.Start(r.Context(), what, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", r.Method)))
		defer span.End()
		r = r.WithContext(ctx)
		seen := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(seen, r)
		if r.Pattern != "" {
			span.SetName(what + " " + r.Pattern)
		}
		span.SetAttributes(attribute.Int("http.response.status_code", seen.code))
		if seen.code >= 500 {
			span.SetStatus(codes.Error, http.StatusText(seen.code))
		}
	})
}

// statusWriter remembers the code of an answer.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets a http.ResponseController reach the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
