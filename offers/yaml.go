package offers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// StrictYAML reads YAML into v. A key that v does not know, a second document and a
// value of the wrong kind are errors, each with its line.
func StrictYAML(text []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	err := d.Decode(v)
	var wrong *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil // nothing in it: all defaults
	case errors.As(err, &wrong):
		errs := make([]error, len(wrong.Errors))
		for i, e := range wrong.Errors {
			e = unknownKey.ReplaceAllString(e, `unknown key "$1"`)
			errs[i] = errors.New(wrongKind.ReplaceAllString(e, `this key wants another kind of value`))
		}
		return errors.Join(errs...)
	case err != nil:
		return err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than one document")
	}
	return nil
}

// How the library words it: with Go types, which mean nothing to whoever wrote the
// file, and with the value, which may be a secret in the wrong place.
var (
	unknownKey = regexp.MustCompile(`(?s)field (\S+) not found in type .*`)
	wrongKind  = regexp.MustCompile(`(?s)cannot unmarshal .* into .*`)
)
