module hashtill

go 1.26.0

require (
	github.com/alecthomas/kong v1.17.0 // the command line
	github.com/bojanz/currency v1.4.0 // amounts of money and how people write them (CLDR)
	github.com/chromedp/cdproto v0.159.0 // tests: a real browser
	github.com/chromedp/chromedp v0.22.1 // tests: a real browser
	github.com/dghubble/go-twitter v0.0.0-20221104224141-912508c3888b // X in its classic shape
	github.com/dghubble/oauth1 v0.7.3 // signs requests to X
	github.com/emersion/go-message v0.18.2 // stand-in mail server: reads mails
	github.com/emersion/go-msgauth v0.7.0 // signs mails (DKIM)
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // stand-in mail server: logins
	github.com/emersion/go-smtp v0.25.1 // stand-in mail server
	github.com/nicksnyder/go-i18n/v2 v2.7.0 // words and plurals by language
	github.com/pquerna/otp v1.5.0 // the second factor at the desk (RFC 6238), and its QR code
	github.com/prometheus/client_golang v1.25.0 // figures for Prometheus
	github.com/redis/go-redis/v9 v9.23.0 // Redis and Redis Cluster
	github.com/rogpeppe/go-internal v1.16.0 // tests: the command as it is typed
	github.com/stripe/stripe-go/v76 v76.25.0 // Stripe
	github.com/wneessen/go-mail v0.8.1 // sends mail
	go.opentelemetry.io/otel v1.47.0 // traces
	go.opentelemetry.io/otel/sdk v1.47.0 // traces
	go.opentelemetry.io/otel/trace v1.47.0 // traces
	go.yaml.in/yaml/v3 v3.0.6 // configuration, catalogue and words
	golang.org/x/net v0.61.0 // tests: a DNS server for doctor
	golang.org/x/sync v0.24.0 // goroutines that end together
	golang.org/x/text v0.43.0 // languages; case folding and normal forms of hashtags
	golang.org/x/time v0.16.0 // budgets of requests
	modernc.org/sqlite v1.61.1 // SQLite without cgo
	pgregory.net/rapid v1.3.0 // tests: random lives
)

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/boombuler/barcode v1.0.1-0.20190219062509-6c824513bacc // indirect
	github.com/cenkalti/backoff/v4 v4.1.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cockroachdb/apd/v3 v3.2.1 // indirect
	github.com/dghubble/sling v1.4.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/go-querystring v1.1.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/telemetry v0.0.0-20261009151841-97e8ea77aa2a // indirect
	golang.org/x/tools v0.52.0 // indirect
	golang.org/x/vuln v1.8.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	honnef.co/go/tools v0.8.2 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)

tool (
	golang.org/x/vuln/cmd/govulncheck
	honnef.co/go/tools/cmd/staticcheck
)
