//go:build !race

package bot_test

const burstWishes = 10_000
