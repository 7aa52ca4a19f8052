package x

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"hashtill/bot"
)

var _ bot.Finder = (*Network)(nil)

// Gone implements [bot.Finder] with a look-up
// (https://docs.x.com/x-api/posts/get-posts-by-ids), which costs what reading a post
// costs. X tells the filtered stream nothing of posts that are removed. It says of such
// a post that it cannot be found; one that may not be seen is there.
func (n *Network) Gone(ctx context.Context, post string) (bool, error) {
	if !isID(post) {
		return false, fmt.Errorf("x: %.40q is no number of a post", post)
	}
	var answer struct {
		Data   []struct{ ID string }
		Errors []problem
	}
	if err := n.call(ctx, asApp, http.MethodGet, "/2/tweets", url.Values{"ids": {post}}, nil, &answer); err != nil {
		return false, err
	}
	if len(answer.Data) > 0 {
		return false, nil
	}
	for _, p := range answer.Errors {
		if strings.HasSuffix(p.Type, "/resource-not-found") && (p.ResourceID == post || p.Value == post) {
			return true, nil
		}
	}
	return false, nil
}
