package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// axe-core looks at pages for what stands in the way of people who read them by ear, by
// keyboard or enlarged (https://github.com/dequelabs/axe-core). It is MPL-2.0, and no part of
// what is built here: only tests run it.
const (
	axeVersion   = "4.11.0"
	axeAddress   = "https://registry.npmjs.org/axe-core/-/axe-core-" + axeVersion + ".tgz"
	axeIntegrity = "ilYanEU8vxxBexpJd8cWM4ElSQq4QctCLKih0TSfjIfCQTeyH/6zVrmIJfLPrKTKJRbiG+cfnZbQIjAlJmF1jQ=="
	axeFile      = "package/axe.min.js"

	maxAxe = 16 << 20 // bytes
)

type axeCommand struct{}

// Help is shown by --help.
func (axeCommand) Help() string {
	return `Prints where axe-core is, which the tests of the pages run in a browser. Where it is
not there, it is brought from the npm registry, and its checksum is looked at.`
}

// Run is the command.
func (axeCommand) Run(ctx context.Context, p *project) error {
	path, err := axePath(ctx, axeAddress, axeIntegrity)
	if err == nil {
		fmt.Fprintln(p.stdout, path)
	}
	return err
}

// installAxe is the step of test.
func (p *project) installAxe(ctx context.Context) (note string, err error) {
	_, err = axePath(ctx, axeAddress, axeIntegrity)
	return axeVersion, err
}

// axePath is where axe-core is kept, among what this user can do without.
func axePath(ctx context.Context, address, integrity string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // of who has no home
	}
	path := filepath.Join(cache, "hashtill", "axe-core-"+axeVersion+".js")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	script, err := fetchAxe(ctx, address, integrity)
	if err != nil {
		return "", fmt.Errorf("axe-core: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	whole, err := os.CreateTemp(filepath.Dir(path), "axe-")
	if err != nil {
		return "", err
	}
	_, err = whole.Write(script)
	if err = errors.Join(err, whole.Close()); err == nil {
		err = os.Rename(whole.Name(), path) // two who bring it at once do not disturb each other
	}
	return path, err
}

// fetchAxe brings the package, and takes the script out of it.
func fetchAxe(ctx context.Context, address, integrity string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	packed, err := io.ReadAll(io.LimitReader(resp.Body, maxAxe))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	if sum := sha512.Sum512(packed); base64.StdEncoding.EncodeToString(sum[:]) != integrity {
		return nil, fmt.Errorf("%s is not what it was: its checksum is another one", address)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(zipped); ; {
		f, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("%s holds no %s: %w", address, axeFile, err)
		}
		if f.Name == axeFile {
			return io.ReadAll(io.LimitReader(files, maxAxe))
		}
	}
}
