package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// An archive keeps what has gone from the store: a file a month, a line of JSON
// each. A line may be there twice, after a crash; its id tells.
type archive struct {
	dir string
	now func() time.Time
	mu  sync.Mutex
}

// add appends a line. It is durable when add returns.
func (a *archive) add(_ context.Context, line []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(a.dir, "purchases-"+a.now().UTC().Format("2006-01")+".jsonl")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if torn(file) {
		line = append([]byte("\n"), line...)
	}
	// One write: other processes append to the same file.
	_, err = file.Write(append(line, '\n'))
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), syncDir(a.dir))
}

// torn says whether a file ends in the middle of a line, as a crash leaves it.
func torn(file *os.File) bool {
	last := make([]byte, 1)
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false
	}
	_, err = file.ReadAt(last, end-1)
	return err == nil && last[0] != '\n'
}

// syncDir makes the names of new files durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
