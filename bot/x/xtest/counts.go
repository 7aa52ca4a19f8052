package xtest

import (
	"net/http"
	"time"
)

// countPosts serves https://docs.x.com/x-api/posts/get-count-of-recent-posts: how many
// posts of the last 7 days match a rule, minute by minute, hour by hour or day by day. It
// tells all in one page.
func (s *Server) countPosts(c *call) answer {
	value := c.query.Get("query")
	rule, err := parseRule(value)
	if value == "" || len([]rune(value)) > 512 || err != nil {
		return invalid("query", value, "There were errors processing your request")
	}
	step, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "": time.Hour, "day": 24 * time.Hour}[c.query.Get("granularity")]
	if !ok {
		return invalid("granularity", c.query.Get("granularity"), "The `granularity` query parameter value is not one of [minute,hour,day]")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	from, to := now.Add(-7*24*time.Hour), now // X leaves the last half minute out; the server counts at once
	for name, t := range map[string]*time.Time{"start_time": &from, "end_time": &to} {
		if v := c.query.Get(name); v != "" {
			if *t, err = time.Parse(time.RFC3339, v); err != nil {
				return invalid(name, v, "The `"+name+"` query parameter value ["+v+"] is not a valid RFC3339 date")
			}
		}
	}
	if now.Sub(from) > 7*24*time.Hour+time.Second {
		return invalid("start_time", c.query.Get("start_time"), "'start_time' must be on or after the last 7 days")
	}
	posts := map[time.Time]int{} // by the beginning of their step
	for _, p := range s.posts {
		if at := p.CreatedAt; !p.old && !at.Before(from) && at.Before(to) && rule.match(s.subject(p)) {
			posts[at.UTC().Truncate(step)]++
		}
	}
	total, data := 0, []object{}
	for begin := from.UTC(); begin.Before(to); {
		n, end := posts[begin.Truncate(step)], begin.Truncate(step).Add(step)
		if end.After(to) {
			end = to.UTC()
		}
		data = append(data, object{"start": begin.Format(time.RFC3339Nano), "end": end.Format(time.RFC3339Nano), "tweet_count": n})
		begin, total = end, total+n
	}
	return answer{status: http.StatusOK, body: object{"data": data, "meta": object{"total_tweet_count": total}}}
}
