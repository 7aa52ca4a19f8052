package bot

import (
	"context"
	"slices"
	"testing"
)

// watcher is a network that asks which posts matter.
type watcher struct {
	Network
	posts func(context.Context) ([]string, error)
}

func (w *watcher) Name() string                                        { return "y" }
func (w *watcher) Watch(posts func(context.Context) ([]string, error)) { w.posts = posts }

// coder is a shop that knows which posts bear open codes.
type coder struct{ Shop }

func (coder) CodePosts(_ context.Context, network string) ([]string, error) {
	return []string{network + "1", network + "2"}, nil
}

func TestWatch(t *testing.T) {
	w := new(watcher)
	(&Bot{Shop: coder{}}).watch(w)
	if w.posts == nil {
		t.Fatal("the network is told of no posts")
	}
	if posts, err := w.posts(t.Context()); err != nil || !slices.Equal(posts, []string{"y1", "y2"}) {
		t.Errorf("told of %q, %v", posts, err)
	}
}
