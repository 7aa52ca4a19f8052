package confirm

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// What the pages' browser may load and do: nothing of anybody else, and nothing that
// stands within a page. Only pages that show a picture may load one.
const (
	policy             = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	policyWithPictures = policy + "; img-src https:"
)

// secure sets what every answer carries.
func (c *Counter) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin")
		if holdsToken(r.URL.Path) {
			// Elsewhere our own pages may know: without it an old browser's form does not tell
			// where it comes from (https://fetch.spec.whatwg.org/#append-a-request-origin-header).
			h.Set("Referrer-Policy", "no-referrer")
		}
		h.Set("Permissions-Policy", "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex")
		if c.https() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// maxForm bounds what a form may send, in bytes: an address of 400 characters, each of
// which may be twelve bytes on the way.
const maxForm = 8 << 10

// log writes a line for each request: its pattern, for the path holds a token.
func (c *Counter) log(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(sw, r)
		c.Log.Debug("request", "method", r.Method, "route", r.Pattern, "status", sw.status, "took", time.Since(began))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the real writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// versionOf is a short name for what is in some templates.
func versionOf(names ...string) (string, error) {
	h := sha256.New()
	for _, name := range names {
		text, err := templates.ReadFile("templates/" + name)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// static serves a file that does not change while we run. Under the address that names
// what is in it browsers keep it for a year.
func (c *Counter) static(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		age := "public, max-age=300"
		if r.URL.RawQuery == c.pages.version {
			age = "public, max-age=31536000, immutable"
		}
		w.Header().Set("Cache-Control", age)
		http.ServeFileFS(w, r, templates, name)
	}
}

// holdsToken says that the path is that of a link, and not the one of a purchase's page:
// tokens have dots, and ids have none.
func holdsToken(path string) bool {
	_, at, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return strings.Contains(at, ".")
}
