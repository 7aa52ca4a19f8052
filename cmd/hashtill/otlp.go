package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// otlp sends spans to a collector, as OTLP over HTTP in JSON
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). OpenTelemetry's own
// exporter brings gRPC and protocol buffers with it, and made the binary 10 MB larger, which
// is a third; this is what of it is needed here.
type otlp struct {
	address string
	client  http.Client
}

var _ sdktrace.SpanExporter = (*otlp)(nil)

func newOTLP(url string) *otlp {
	return &otlp{address: strings.TrimSuffix(url, "/") + "/v1/traces", client: http.Client{Timeout: 5 * time.Second}}
}

// ExportSpans implements [sdktrace.SpanExporter]. What a collector does not take is lost:
// traces are for looking, and nothing rests on them.
func (o *otlp) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	type scope struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	type resource struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []scope `json:"scopeSpans"`
	}
	var r resource
	r.Resource.Attributes = otlpAttributes(spans[0].Resource().Attributes())
	var sc scope
	sc.Scope.Name = spans[0].InstrumentationScope().Name
	for _, s := range spans {
		sc.Spans = append(sc.Spans, otlpSpanOf(s))
	}
	r.ScopeSpans = []scope{sc}
	body, err := json.Marshal(map[string]any{"resourceSpans": []resource{r}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", resp.Status)
	}
	return nil
}

// Shutdown implements [sdktrace.SpanExporter].
func (o *otlp) Shutdown(context.Context) error {
	o.client.CloseIdleConnections()
	return nil
}

// An otlpSpan is a span as the protocol has it: ids in hexadecimal, long numbers as text.
type otlpSpan struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	ParentID   string          `json:"parentSpanId,omitempty"`
	Name       string          `json:"name"`
	Kind       int             `json:"kind"`
	Start      string          `json:"startTimeUnixNano"`
	End        string          `json:"endTimeUnixNano"`
	Attributes []otlpAttribute `json:"attributes,omitempty"`
	Events     []otlpEvent     `json:"events,omitempty"`
	Status     struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	} `json:"status"`
}

type otlpEvent struct {
	Time string `json:"timeUnixNano"`
	Name string `json:"name"`
}

type otlpAttribute struct {
	Key   string            `json:"key"`
	Value map[string]string `json:"value"`
}

func otlpSpanOf(s sdktrace.ReadOnlySpan) otlpSpan {
	c := s.SpanContext()
	out := otlpSpan{
		TraceID: c.TraceID().String(), SpanID: c.SpanID().String(), Name: s.Name(),
		Kind:  map[trace.SpanKind]int{trace.SpanKindInternal: 1, trace.SpanKindServer: 2, trace.SpanKindClient: 3}[s.SpanKind()],
		Start: nanos(s.StartTime()), End: nanos(s.EndTime()), Attributes: otlpAttributes(s.Attributes()),
	}
	if s.Parent().HasSpanID() {
		out.ParentID = s.Parent().SpanID().String()
	}
	for _, e := range s.Events() {
		out.Events = append(out.Events, otlpEvent{nanos(e.Time), e.Name})
	}
	if s.Status().Code == codes.Error {
		out.Status.Code, out.Status.Message = 2, s.Status().Description
	}
	return out
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func otlpAttributes(all []attribute.KeyValue) (out []otlpAttribute) {
	for _, a := range all {
		kind := "stringValue"
		if a.Value.Type() == attribute.INT64 {
			kind = "intValue"
		}
		out = append(out, otlpAttribute{string(a.Key), map[string]string{kind: a.Value.String()}})
	}
	return out
}
