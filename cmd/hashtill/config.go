package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/confirm/smtp"
	"hashtill/offers"
)

// A Config is what the operator says. config.example.yaml names every key with
// its default; a test holds the two together. Each key can also be given by the
// environment: x.api_url as HASHTILL_X_API_URL. The environment wins.
type Config struct {
	PublicURL string `yaml:"public_url"`
	Listen    string `yaml:"listen"`
	Proxies   string `yaml:"proxies"`
	Store     string `yaml:"store"`
	Archive   string `yaml:"archive"`
	Offers    string `yaml:"offers"`
	Thanks    string `yaml:"thanks"`

	MetricsListen string `yaml:"metrics_listen"`

	Desk struct {
		URL         string `yaml:"url"`
		Listen      string `yaml:"listen"`
		HooksInside bool   `yaml:"hooks_inside"`
	} `yaml:"desk"`

	Traces struct {
		URL   string  `yaml:"url"`
		Share float64 `yaml:"share"`
	} `yaml:"traces"`

	Keys     Secret `yaml:"-"`
	KeysFile string `yaml:"keys_file"`

	Redis struct {
		Password     Secret `yaml:"-"`
		PasswordFile string `yaml:"password_file"`
		CAFile       string `yaml:"ca_file"`
		Wait         int    `yaml:"wait"`
		AllowLoss    bool   `yaml:"allow_loss"`
	} `yaml:"redis"`

	Log struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`

	X struct {
		Handle    string `yaml:"handle"`
		API       string `yaml:"api"`
		APIURL    string `yaml:"api_url"`
		StreamURL string `yaml:"stream_url"`

		ConsumerKey        Secret `yaml:"-"`
		ConsumerKeyFile    string `yaml:"consumer_key_file"`
		ConsumerSecret     Secret `yaml:"-"`
		ConsumerSecretFile string `yaml:"consumer_secret_file"`
		AccessToken        Secret `yaml:"-"`
		AccessTokenFile    string `yaml:"access_token_file"`
		AccessSecret       Secret `yaml:"-"`
		AccessSecretFile   string `yaml:"access_secret_file"`
		BearerToken        Secret `yaml:"-"`
		BearerTokenFile    string `yaml:"bearer_token_file"`

		Hear          string        `yaml:"hear"`
		PollEvery     time.Duration `yaml:"poll_every"`
		WebhookURL    string        `yaml:"webhook_url"`
		Bare          string        `yaml:"bare"`
		RepliesPerDay int           `yaml:"replies_per_day"`
		ReplyLinks    bool          `yaml:"reply_links"`

		SignIn           string `yaml:"sign_in"`
		AuthorizeURL     string `yaml:"authorize_url"`
		ClientID         string `yaml:"client_id"`
		ClientSecret     Secret `yaml:"-"`
		ClientSecretFile string `yaml:"client_secret_file"`
	} `yaml:"x"`

	Stripe struct {
		APIURL  string `yaml:"api_url"`
		Key     Secret `yaml:"-"`
		KeyFile string `yaml:"key_file"`

		Rate         int `yaml:"rate"`
		EndpointRate int `yaml:"endpoint_rate"`

		WebhookSecret     Secret `yaml:"-"`
		WebhookSecretFile string `yaml:"webhook_secret_file"`
	} `yaml:"stripe"`

	SMTP struct {
		Host         string `yaml:"host"`
		Port         int    `yaml:"port"`
		TLS          string `yaml:"tls"`
		Username     string `yaml:"username"`
		Password     Secret `yaml:"-"`
		PasswordFile string `yaml:"password_file"`
	} `yaml:"smtp"`

	Mail struct {
		From string `yaml:"from"`
		DNS  string `yaml:"dns"`

		DKIMSelector string `yaml:"dkim_selector"`
		DKIMKey      Secret `yaml:"-"`
		DKIMKeyFile  string `yaml:"dkim_key_file"`
	} `yaml:"mail"`

	Times struct {
		Echo   time.Duration `yaml:"echo"`
		Link   time.Duration `yaml:"link"`
		Invite time.Duration `yaml:"invite"`
		Answer time.Duration `yaml:"answer"`
		Keep   time.Duration `yaml:"keep"`
		Grace  time.Duration `yaml:"grace"`
		Wait   time.Duration `yaml:"wait"`
	} `yaml:"times"`

	Terms struct {
		Version string `yaml:"version"`
		URL     string `yaml:"url"`
	} `yaml:"terms"`

	Limits struct {
		Purchase string `yaml:"purchase"`
		Day      string `yaml:"day"`
		Month    string `yaml:"month"`
	} `yaml:"limits"`
}

// A Secret never reaches a log, a message or a file of ours. It is read from the
// file that the key with _file names, or from the environment.
type Secret string

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// Default is the configuration where nothing is said.
func Default() Config {
	var c Config
	c.PublicURL = "http://localhost:8080"
	c.Listen = "localhost:8080"
	c.Store = "sqlite:hashtill.db"
	c.Archive = "archive"
	c.Thanks = "off"
	c.Log.Level, c.Log.Format = "info", "text"
	c.X.API = "v2"
	c.X.APIURL, c.X.StreamURL = "https://api.x.com", "https://api.x.com"
	c.X.SignIn = "off"
	c.X.Hear, c.X.PollEvery, c.X.Bare, c.X.RepliesPerDay = "stream", 5*time.Second, "mail", 200
	c.Terms.Version = "1"
	c.Stripe.APIURL = "https://api.stripe.com"
	c.SMTP.Host, c.SMTP.Port, c.SMTP.TLS = "localhost", 587, "starttls"
	c.Times.Echo, c.Times.Link = offers.DefaultTimes.Echo, offers.DefaultTimes.Link
	c.Times.Invite, c.Times.Answer = offers.DefaultTimes.Invite, offers.DefaultTimes.Answer
	c.Times.Keep, c.Times.Wait = offers.DefaultTimes.Keep, offers.DefaultTimes.Wait
	c.Desk.Listen = "localhost:8081"
	c.Traces.Share = 1
	return c
}

const envPrefix = "HASHTILL_"

// Load reads a configuration: the defaults, then the file (none if path is empty),
// then the environment, then the secrets' files.
func Load(path string, environ []string) (Config, error) {
	c := Default()
	if path != "" {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return c, fmt.Errorf("there is no configuration %s: copy config.example.yaml there and edit it", path)
		}
		if err != nil {
			return c, fmt.Errorf("read the configuration: %w", err)
		}
		if err := offers.StrictYAML(text, &c); err != nil {
			return c, fmt.Errorf("%s: %w (config.example.yaml has every key)", path, err)
		}
	}
	env := map[string]string{}
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	var errs []error
	eachKey(reflect.ValueOf(&c).Elem(), "", func(name string, v reflect.Value) {
		key := envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
		if value, ok := env[key]; ok {
			delete(env, key)
			if err := set(v, value); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q: %w", key, value, err))
			}
		}
	})
	for _, key := range slices.Sorted(maps.Keys(env)) {
		errs = append(errs, fmt.Errorf("%s in the environment: no such key (config.example.yaml has every key)", key))
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	return c, c.readSecrets()
}

// eachKey shows every key with its place in the struct. A Secret's key is the one
// of its file without "_file".
func eachKey(v reflect.Value, prefix string, see func(name string, v reflect.Value)) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "-" {
			name = strings.TrimSuffix(v.Type().Field(i+1).Tag.Get("yaml"), "_file")
		}
		if v.Field(i).Kind() == reflect.Struct {
			eachKey(v.Field(i), prefix+name+".", see)
			continue
		}
		see(prefix+name, v.Field(i))
	}
}

func set(v reflect.Value, value string) error {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(value)
		v.SetInt(int64(d))
		return err
	case int:
		n, err := strconv.Atoi(value)
		v.SetInt(int64(n))
		return err
	case float64:
		f, err := strconv.ParseFloat(value, 64)
		v.SetFloat(f)
		return err
	case bool:
		b, err := strconv.ParseBool(value)
		v.SetBool(b)
		return err
	}
	v.SetString(value)
	return nil
}

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 64 << 10

// readSecrets reads the files of the secrets that the environment did not give.
func (c *Config) readSecrets() error {
	var errs []error
	secrets := map[string]reflect.Value{}
	eachKey(reflect.ValueOf(c).Elem(), "", func(name string, v reflect.Value) {
		if v.Type() == reflect.TypeFor[Secret]() {
			secrets[name+"_file"] = v
			return
		}
		secret, path := secrets[name], v.String()
		if !secret.IsValid() || secret.String() != "" || path == "" {
			return
		}
		info, err := os.Stat(path)
		if err == nil && info.Size() > maxSecret {
			err = fmt.Errorf("%s is larger than a secret", path)
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(path)
		}
		if err == nil && len(strings.TrimSpace(string(text))) == 0 {
			err = fmt.Errorf("%s is empty", path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: make the file or correct the path", name, err))
			return
		}
		secret.SetString(strings.TrimSpace(string(text)))
	})
	return errors.Join(errs...)
}

// times are the windows of a purchase.
func (c Config) times() offers.Times {
	return offers.Times{Answer: c.Times.Answer, Echo: c.Times.Echo, Link: c.Times.Link, Invite: c.Times.Invite, Keep: c.Times.Keep,
		Grace: c.Times.Grace, Wait: c.Times.Wait}
}

// proxies are whom X-Forwarded-For is believed.
func (c Config) proxies() (all []netip.Prefix, err error) {
	for _, text := range strings.Fields(strings.ReplaceAll(c.Proxies, ",", " ")) {
		p, err := netip.ParsePrefix(text)
		if at, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = netip.PrefixFrom(at, at.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("proxies: %q is no address or network, such as 203.0.113.7 or 10.0.0.0/8", text)
		}
		all = append(all, p)
	}
	return all, nil
}

// limits are what no buyer goes above.
func (c Config) limits() (offers.Limits, error) {
	return readLimits("limits.", c.Limits.Purchase, c.Limits.Day, c.Limits.Month)
}

// maxGrace bounds how long a charge waits for second thoughts: what is held meanwhile
// nobody else can buy.
const maxGrace = 24 * time.Hour

// Validate joins every complaint of what serving needs.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	address := func(key, value string) {
		if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" {
			bad("%s: %q is not an http(s) address", key, value)
		}
	}
	oneOf := func(key, value string, all ...string) {
		if !slices.Contains(all, value) {
			bad("%s: %q is none of %s", key, value, strings.Join(all, ", "))
		}
	}
	secret := func(key string, s Secret) {
		if s == "" {
			bad("%s is missing: name a file in %s_file or set %s%s", key, key, envPrefix, strings.ToUpper(strings.ReplaceAll(key, ".", "_")))
		}
	}
	address("public_url", c.PublicURL)
	address("x.api_url", c.X.APIURL)
	address("x.stream_url", c.X.StreamURL)
	address("stripe.api_url", c.Stripe.APIURL)
	if _, err := c.proxies(); err != nil {
		bad("%w", err)
	}
	if c.Listen == "" {
		bad("listen: an address such as localhost:8080 is needed")
	}
	if c.MetricsListen != "" {
		if err := validListen(c.MetricsListen); err != nil {
			bad("metrics_listen: %q %w", c.MetricsListen, err)
		}
	}
	if c.Desk.URL != "" {
		address("desk.url", c.Desk.URL)
		if c.Desk.URL == c.PublicURL {
			bad("desk.url: is that of the buyers' pages; the desk needs an address of its own")
		}
		if err := validListen(c.Desk.Listen); err != nil {
			bad("desk.listen: %q %w", c.Desk.Listen, err)
		}
	}
	if c.Traces.URL != "" {
		address("traces.url", c.Traces.URL)
	}
	if c.Traces.Share < 0 || c.Traces.Share > 1 {
		bad("traces.share: %v is not between 0 and 1", c.Traces.Share)
	}
	oneOf("thanks", c.Thanks, "off", "bare", "product")
	oneOf("x.api", c.X.API, "v2", "v1.1")
	oneOf("x.hear", c.X.Hear, "stream", "activity", "webhook", "poll")
	oneOf("x.bare", c.X.Bare, "mail", "off", "reply")
	if c.X.PollEvery < 3*time.Second || c.X.PollEvery > 15*time.Minute {
		bad("x.poll_every: %s is not between 3s, which X allows, and 15m", c.X.PollEvery)
	}
	if c.X.Hear == "webhook" {
		if u, err := url.Parse(c.X.WebhookURL); err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" || u.Path == "" || u.Path == "/" {
			bad("x.webhook_url: %q is not an https address without a port and with a path, such as https://shop.example/x/webhook", c.X.WebhookURL)
		}
	}
	if c.X.RepliesPerDay < 0 {
		bad("x.replies_per_day: %d is less than none; 0 does not watch them", c.X.RepliesPerDay)
	}
	oneOf("x.sign_in", c.X.SignIn, "off", "oauth2", "oauth1")
	if c.X.AuthorizeURL != "" {
		address("x.authorize_url", c.X.AuthorizeURL)
	}
	if c.X.SignIn == "oauth2" && c.X.ClientID == "" {
		bad("x.client_id: is needed to sign in by OAuth 2.0: X's developer portal shows it under User authentication settings")
	}
	if c.Terms.URL != "" {
		address("terms.url", c.Terms.URL)
	}
	if c.Terms.Version == "" || len(c.Terms.Version) > 40 {
		bad("terms.version: a name of up to 40 characters is needed, such as 2026-11")
	}
	oneOf("smtp.tls", c.SMTP.TLS, "starttls", "implicit", "none")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	if c.SMTP.Host == "" || c.SMTP.Port < 1 || c.SMTP.Port > 65535 {
		bad("smtp: a host and a port are needed")
	}
	if _, err := mail.ParseAddress(c.Mail.From); err != nil {
		bad("mail.from: %q is not an address such as Example Shop <shop@example.com>", c.Mail.From)
	}
	if (c.Mail.DKIMSelector == "") != (c.Mail.DKIMKey == "") {
		bad("mail.dkim_selector and mail.dkim_key_file: want both or neither")
	} else if c.Mail.DKIMKey != "" {
		if _, err := smtp.NewDKIM(c.Mail.DKIMSelector, []byte(c.Mail.DKIMKey)); err != nil {
			bad("%w", err)
		}
	}
	if c.Mail.DNS != "" {
		if err := validListen(c.Mail.DNS); err != nil {
			bad("mail.dns: %q %w", c.Mail.DNS, err)
		}
	}
	for _, t := range []struct {
		key string
		d   time.Duration
	}{{"times.echo", c.Times.Echo}, {"times.link", c.Times.Link}, {"times.invite", c.Times.Invite}, {"times.answer", c.Times.Answer}, {"times.wait", c.Times.Wait}} {
		if t.d < time.Second || t.d > 30*24*time.Hour {
			bad("%s: %s is not between a second and 30 days", t.key, t.d)
		}
	}
	if kept := (offers.Times{Answer: 1, Echo: 1, Link: 1, Invite: 1, Keep: c.Times.Keep}); kept.Validate() != nil {
		bad("times.%w", kept.Validate())
	}
	if c.Times.Grace < 0 || c.Times.Grace > maxGrace {
		bad("times.grace: %s is not between 0 and %s", c.Times.Grace, maxGrace)
	}
	if _, err := c.limits(); err != nil {
		bad("%w", err)
	}
	if c.Redis.Wait < 0 || c.Redis.Wait > 10 {
		bad("redis.wait: %d is not between 0 and 10 replicas", c.Redis.Wait)
	}
	if c.Keys == "" {
		bad("keys is missing: make them once by `(umask 077; hashtill keys > hashtill.keys)`, and name that file in keys_file")
	}
	secret("x.consumer_key", c.X.ConsumerKey)
	secret("x.consumer_secret", c.X.ConsumerSecret)
	secret("x.access_token", c.X.AccessToken)
	secret("x.access_secret", c.X.AccessSecret)
	if c.X.API == "v2" {
		secret("x.bearer_token", c.X.BearerToken)
	}
	secret("stripe.key", c.Stripe.Key)
	if c.Stripe.Rate < 0 || c.Stripe.EndpointRate < 0 {
		bad("stripe.rate and stripe.endpoint_rate: requests a second, 0 for what Stripe allows by default")
	}
	if c.SMTP.Username != "" {
		secret("smtp.password", c.SMTP.Password)
	}
	return errors.Join(errs...)
}
