//go:build !race

package x_test

const burstWishes = 10_000
