package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const example = "../../config.example.yaml"

// The example names every key, with its default.
func TestExampleIsTheDefault(t *testing.T) {
	got, err := Load(example, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != Default() {
		t.Errorf("config.example.yaml reads as\n%+v\nthe defaults are\n%+v", got, Default())
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var there []string
	var walk func(n *yaml.Node, prefix string)
	walk = func(n *yaml.Node, prefix string) {
		for i := 0; i < len(n.Content); i += 2 {
			name := prefix + n.Content[i].Value
			if n.Content[i+1].Kind == yaml.MappingNode {
				walk(n.Content[i+1], name+".")
				continue
			}
			there = append(there, name)
		}
	}
	walk(doc.Content[0], "")
	var want []string
	c := Default()
	eachKey(reflect.ValueOf(&c).Elem(), "", func(name string, v reflect.Value) {
		if v.Type() != reflect.TypeFor[Secret]() {
			want = append(want, name)
		}
	})
	slices.Sort(there)
	slices.Sort(want)
	if !slices.Equal(there, want) {
		t.Errorf("config.example.yaml has\n%v\nthe struct has\n%v", there, want)
	}
}

func TestLoadFromEnvironment(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("sk_from_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load("", []string{
		"HASHTILL_X_API_URL=http://127.0.0.1:1", "HASHTILL_SMTP_PORT=25", "HASHTILL_TIMES_ECHO=90s",
		"HASHTILL_STRIPE_KEY_FILE=" + secret, "HASHTILL_KEYS=from the environment", "HASHTILL_KEYS_FILE=/nowhere", "PATH=/bin",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.X.APIURL != "http://127.0.0.1:1" || c.SMTP.Port != 25 || c.Times.Echo != 90*time.Second ||
		c.Stripe.Key != "sk_from_file" || c.Keys != "from the environment" {
		t.Errorf("loaded %+v", c)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, fmt.Sprint(len(text))+".yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, load := range map[string]func() (Config, error){
		`line 2: unknown key "stor"`:                   func() (Config, error) { return Load(file("listen: a\nstor: b\n"), nil) },
		"line 2: this key wants another kind of value": func() (Config, error) { return Load(file("times:\n  echo: soon\n"), nil) },
		"copy config.example.yaml":                     func() (Config, error) { return Load(filepath.Join(dir, "none"), nil) },
		"HASHTILL_STOR in":                             func() (Config, error) { return Load("", []string{"HASHTILL_STOR=b"}) },
		"HASHTILL_SMTP_PORT=":                          func() (Config, error) { return Load("", []string{"HASHTILL_SMTP_PORT=many"}) },
		"stripe.key_file: stat":                        func() (Config, error) { return Load("", []string{"HASHTILL_STRIPE_KEY_FILE=" + dir + "/none"}) },
		`line 1: unknown key "stripe_key"`:             func() (Config, error) { return Load(file("x: {stripe_key: hunter2}"), nil) },
		"more than one document":                       func() (Config, error) { return Load(file("listen: abc\n---\nlisten: b\n"), nil) },
	} {
		if _, err := load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Every complaint is made at once, and says what to do.
func TestValidateJoins(t *testing.T) {
	c := Default()
	c.PublicURL, c.SMTP.TLS, c.Times.Link = "shop.example", "maybe", 0
	err := c.Validate()
	for _, want := range []string{
		"public_url", "smtp.tls", "times.link", "mail.from", "hashtill keys >",
		"x.consumer_key is missing: name a file in x.consumer_key_file or set HASHTILL_X_CONSUMER_KEY",
		"x.bearer_token", "stripe.key",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among:\n%v", want, err)
		}
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	c := Default()
	c.Stripe.Key, c.SMTP.Password = "sk_live_1", "hunter2"
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(&b, nil))
	log.Info("start", "key", c.Stripe.Key, "config", fmt.Sprintf("%v %+v", c, c), "password", fmt.Sprint(c.SMTP.Password))
	if strings.Contains(b.String(), "sk_live_1") || strings.Contains(b.String(), "hunter2") {
		t.Errorf("logged: %s", b.String())
	}
}
