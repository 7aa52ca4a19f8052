package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"hashtill/offers"
	"hashtill/store"
)

// All that is done for a purchase is in one trace, and the collector is told of nobody.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	spans := map[string]string{} // trace ids, by names
	var all strings.Builder
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		all.WriteString(sent.String())
		for _, of := range sent.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					spans[s.Name] = hex.EncodeToString(s.TraceId)
				}
			}
		}
	}))
	defer server.Close()
	tr, err := newTraces(t.Context(), server.URL, 1)
	if err != nil {
		t.Fatal(err)
	}
	id := offers.NewID("x", "1", "buytee")
	for _, e := range []offers.Effect{{Kind: offers.Reply, Purchase: id}, {Kind: offers.Charge, Purchase: id, N: 1}} {
		l := store.Lease{Effect: store.Effect{ID: e.ID(), Kind: string(e.Kind)}, Try: 1}
		want := errors.New("mail to ann@example.com refused")
		if err := tr.perform(t.Context(), l, func(context.Context) error { return want }); err != want {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /c/{token}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	tr.handler("page", mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/c/secret-token", nil))
	if err := tr.close(); err != nil {
		t.Fatal(err)
	}
	trace := traceOf(id).String()
	if spans["perform reply"] != trace || spans["perform charge"] != trace || spans["page GET /c/{token}"] == "" {
		t.Errorf("spans %v, want %s", spans, trace)
	}
	for _, secret := range []string{"ann@", "secret-token"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("the collector is told %q", secret)
		}
	}
	if tr = nil; tr.close() != nil || tr.perform(t.Context(), store.Lease{}, func(context.Context) error { return nil }) != nil {
		t.Error("without a collector")
	}
}
