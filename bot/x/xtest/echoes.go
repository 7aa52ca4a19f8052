package xtest

// getQuotes serves https://docs.x.com/x-api/posts/get-quoted-posts.
func (s *Server) getQuotes(c *call) answer {
	return s.onePost(c, func(quoted *post, f fields) answer {
		return s.listing(c, f, 10, func(p *post) bool { return p.Quote == quoted.ID })
	})
}

// getReposted serves https://docs.x.com/x-api/posts/get-reposts-of-me: the caller's own
// posts that were reposted, not the reposts.
func (s *Server) getReposted(c *call) answer {
	f, refusal, refused := parseFields(c.query)
	if refused {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listing(c, f, 1, func(p *post) bool { return p.AuthorID == c.accountID && s.metrics(p).reposts > 0 })
}

// listing answers with a page of the posts that the caller may see. The lock must be held.
func (s *Server) listing(c *call, f fields, least int, match func(*post) bool) answer {
	page, meta, refusal, refused := s.page(c, least, least, func(p *post) bool {
		return !p.old && s.visible(p.ID, c.accountID) != nil && match(p)
	})
	if refused {
		return refusal
	}
	body := s.body(page, f, c.accountID, nil)
	body["meta"] = meta
	return answer{status: 200, body: body}
}
