package bot

import "context"

// codePosts is what a Shop may know: the bot's posts on a network that bear the codes of
// purchases which wait to be confirmed, and announcements of what is on sale, newest last.
type codePosts interface {
	CodePosts(ctx context.Context, network string) (posts []string, err error)
}

// watch tells a [Watcher] of which posts reposts and quotes matter.
func (b *Bot) watch(n Network) {
	w, ok := n.(Watcher)
	shop, knows := b.Shop.(codePosts)
	if ok && knows {
		w.Watch(func(ctx context.Context) ([]string, error) { return shop.CodePosts(ctx, n.Name()) })
	}
}
