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
			errs[i] = errors.New(unknownKey.ReplaceAllString(e, `unknown key "$1"`))
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

// unknownKey is how the library words it, with the name of our Go type, which
// means nothing to whoever wrote the file.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)
