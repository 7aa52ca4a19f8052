package xtest

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far the timestamp of a signature may be off, either way.
const maxSkew = 5 * time.Minute

// caller is who has signed in.
type caller struct {
	accountID string   // "" with the app-only token
	scopes    []string // of an OAuth 2.0 user token, nil with another
	readOnly  bool     // an OAuth 1.0a token that may not write
}

// authenticate finds out who sent a request. ok is false if nobody we know.
func (s *Server) authenticate(r *http.Request, query, form url.Values) (c caller, ok bool) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		if c, ok := s.userOf(rest); ok {
			return c, true
		}
		return caller{}, subtle.ConstantTimeCompare([]byte(rest), []byte(s.bearer)) == 1
	case strings.EqualFold(scheme, "OAuth"):
		params, err := parseOAuthHeader(rest)
		if err != nil {
			return caller{}, false
		}
		return s.verify(r, params, query, form)
	}
	return caller{}, false
}

// verify finds out who signed a request by OAuth 1.0a.
func (s *Server) verify(r *http.Request, oauth map[string]string, query, form url.Values) (c caller, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		switch oauth["oauth_token"] {
		case "":
		case a.token:
			return caller{accountID: a.ID}, s.signed(r, oauth, a.secret, query, form)
		case a.readToken:
			return caller{accountID: a.ID, readOnly: true}, s.signed(r, oauth, a.readSecret, query, form)
		}
	}
	return caller{}, false
}

// signed checks a signature with the secret of its token and uses up its nonce
// (RFC 5849, 3.2). The lock must be held.
func (s *Server) signed(r *http.Request, oauth map[string]string, tokenSecret string, query, form url.Values) bool {
	if oauth["oauth_consumer_key"] != s.consumerKey ||
		oauth["oauth_signature_method"] != "HMAC-SHA1" || oauth["oauth_nonce"] == "" ||
		oauth["oauth_version"] != "" && oauth["oauth_version"] != "1.0" {
		return false
	}
	// Signers read the machine's clock, and so do we: Options.Now may be
	// somewhere else altogether.
	now := time.Now()
	seconds, err := strconv.ParseInt(oauth["oauth_timestamp"], 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > maxSkew {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(oauth["oauth_signature"])
	if err != nil {
		return false
	}
	params := oauthParams(oauth, query, form)
	right := slices.ContainsFunc(baseURIs(r), func(uri string) bool {
		mac := hmac.New(sha1.New, []byte(percent(s.secret)+"&"+percent(tokenSecret)))
		mac.Write([]byte(r.Method + "&" + percent(uri) + "&" + percent(params)))
		return hmac.Equal(mac.Sum(nil), signature)
	})
	if !right {
		return false
	}
	for nonce, expires := range s.nonces {
		if now.After(expires) {
			delete(s.nonces, nonce)
		}
	}
	nonce := fmt.Sprintf("%d %s %s", seconds, oauth["oauth_token"], oauth["oauth_nonce"])
	if _, used := s.nonces[nonce]; used {
		return false
	}
	s.nonces[nonce] = now.Add(2 * maxSkew)
	return true
}

// baseURIs returns what the signer may have taken for the address (RFC 5849,
// 3.4.1.2). Behind a proxy, or a transport that only redirects the connection,
// the client has spoken https to the host it names.
func baseURIs(r *http.Request) []string {
	host, path := strings.ToLower(r.Host), r.URL.EscapedPath()
	return []string{
		"http://" + strings.TrimSuffix(host, ":80") + path,
		"https://" + strings.TrimSuffix(host, ":443") + path,
	}
}

// oauthParams joins the parameters that are signed (RFC 5849, 3.4.1.3).
func oauthParams(oauth map[string]string, query, form url.Values) string {
	var pairs [][2]string
	for k, v := range oauth {
		if k != "oauth_signature" && k != "realm" {
			pairs = append(pairs, [2]string{percent(k), percent(v)})
		}
	}
	for _, values := range []url.Values{query, form} {
		for k, vs := range values {
			for _, v := range vs {
				pairs = append(pairs, [2]string{percent(k), percent(v)})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p[0] + "=" + p[1]
	}
	return strings.Join(joined, "&")
}

// parseOAuthHeader reads the parameters after "OAuth " (RFC 5849, 3.5.1).
func parseOAuthHeader(header string) (map[string]string, error) {
	params := make(map[string]string)
	for part := range strings.SplitSeq(header, ",") {
		key, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found || len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
			return nil, fmt.Errorf("malformed parameter %q", part)
		}
		key, err := url.PathUnescape(key)
		if err != nil {
			return nil, err
		}
		if _, twice := params[key]; twice {
			return nil, fmt.Errorf("parameter %q given twice", key)
		}
		if params[key], err = url.PathUnescape(value[1 : len(value)-1]); err != nil {
			return nil, err
		}
	}
	return params, nil
}

// percent escapes everything but RFC 3986's unreserved characters (RFC 5849,
// 3.6), which none of package url's functions does.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if isHandleRune(rune(c)) || c == '-' || c == '.' || c == '~' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// formOf returns the form in a body, if it is one: only then is it signed.
func formOf(r *http.Request, body []byte) (url.Values, error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil, nil
	}
	return url.ParseQuery(string(body))
}
