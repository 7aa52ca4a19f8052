//go:build race

package x_test

// The race detector makes everything ten times as slow: fewer wishes, the same units and
// the same limits.
const burstWishes = 2_000
