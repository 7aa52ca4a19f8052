package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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
		var sent struct { // as https://github.com/open-telemetry/opentelemetry-proto/blob/main/examples/trace.json
			ResourceSpans []struct {
				Resource struct {
					Attributes []struct {
						Key   string
						Value struct{ StringValue string }
					}
				}
				ScopeSpans []struct {
					Scope struct{ Name string }
					Spans []struct {
						TraceID, SpanID, ParentSpanID, Name string
						StartTimeUnixNano                   int64 `json:",string"`
						EndTimeUnixNano                     int64 `json:",string"`
						Kind                                int
						Status                              struct{ Code int }
					}
				}
			}
		}
		if err == nil {
			err = json.Unmarshal(body, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		all.Write(body)
		for _, of := range sent.ResourceSpans {
			if a := of.Resource.Attributes; len(a) != 1 || a[0].Key != "service.name" || a[0].Value.StringValue != "hashtill" {
				t.Errorf("resource %+v", a)
			}
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					spans[s.Name] = s.TraceID
					if len(s.TraceID) != 32 || len(s.SpanID) != 16 || s.StartTimeUnixNano == 0 || s.EndTimeUnixNano < s.StartTimeUnixNano || s.Kind == 0 {
						t.Errorf("span %+v", s)
					}
					if strings.HasPrefix(s.Name, "perform") && (s.Status.Code != 2 || len(s.ParentSpanID) != 16) {
						t.Errorf("span %+v", s)
					}
				}
			}
		}
	}))
	defer server.Close()
	tr := newTraces(server.URL, 1)
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
