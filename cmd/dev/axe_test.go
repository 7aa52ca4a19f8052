package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// What is brought is kept, and nothing else than what is expected is taken.
func TestAxe(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	pack := func(name string) []byte {
		var b bytes.Buffer
		zipped := gzip.NewWriter(&b)
		files := tar.NewWriter(zipped)
		for _, name := range []string{"package/README.md", name} {
			if err := files.WriteHeader(&tar.Header{Name: name, Size: 3, Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := files.Write([]byte("axe")); err != nil {
				t.Fatal(err)
			}
		}
		files.Close()
		zipped.Close()
		return b.Bytes()
	}
	packed, asked := pack("package/other.js"), 0
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; w.Write(packed) }))
	defer registry.Close()
	sum := func() string { s := sha512.Sum512(packed); return base64.StdEncoding.EncodeToString(s[:]) }
	if _, err := axePath(t.Context(), registry.URL, sum()); err == nil || !strings.Contains(err.Error(), "holds no") {
		t.Error(err)
	}
	packed = pack(axeFile)
	if _, err := axePath(t.Context(), registry.URL, "other"); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Error(err)
	}
	for range 2 {
		path, err := axePath(t.Context(), registry.URL, sum())
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "axe" {
			t.Errorf("%q %v", text, err)
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}
