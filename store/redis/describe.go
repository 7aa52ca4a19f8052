package redis

import (
	"context"
	"fmt"
)

// Describe says which Redis this is and how many replicas its first master has, for
// people: "Redis 7.4.2, 1 replica".
func (d *DB) Describe(ctx context.Context) (string, error) {
	if err := d.enter(ctx, 0); err != nil {
		return "", err
	}
	defer d.leave()
	node, err := d.node(ctx, 0)
	if err != nil {
		return "", err
	}
	text, err := node.Info(ctx, "server", "replication").Result()
	if err != nil {
		return "", fmt.Errorf("%s: %w%s", node.Options().Addr, err, advice(err))
	}
	info := parseInfo(text)
	replicas := info["connected_slaves"] + " replicas"
	if info["connected_slaves"] == "1" {
		replicas = "1 replica"
	}
	return fmt.Sprintf("Redis %s, %s", info["redis_version"], replicas), nil
}
