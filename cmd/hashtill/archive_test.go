package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestArchive(t *testing.T) {
	now := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	a := &archive{dir: filepath.Join(t.TempDir(), "kept", "here"), now: func() time.Time { return now }}
	add := func(line string) {
		t.Helper()
		if err := a.add(t.Context(), []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	add(`{"id":1}`)
	add(`{"id":2}`)
	path := filepath.Join(a.dir, "purchases-2026-11.jsonl")
	// A crash tears a line: the next one stands by itself.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString(`{"id":`)
	file.Close()
	add(`{"id":3}`)
	now = now.Add(time.Second)
	add(`{"id":4}`)
	for name, want := range map[string]string{
		path: "{\"id\":1}\n{\"id\":2}\n{\"id\":\n{\"id\":3}\n",
		filepath.Join(a.dir, "purchases-2026-12.jsonl"): "{\"id\":4}\n",
	} {
		got, err := os.ReadFile(name)
		info, errStat := os.Stat(name)
		if err != nil || errStat != nil || string(got) != want || info.Mode() != 0o600 {
			t.Errorf("%s: %q, %v %v", name, got, err, info)
		}
	}
	if info, err := os.Stat(a.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info, err)
	}
}
