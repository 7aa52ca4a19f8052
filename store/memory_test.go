package store_test

import (
	"fmt"
	"testing"

	"hashtill/store"
	"hashtill/store/storetest"
)

func openMemory(*testing.T) store.Store { return store.NewMemory() }

func TestMemory(t *testing.T) { storetest.Run(t, openMemory) }

func BenchmarkCommit(b *testing.B) {
	for _, committers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(committers), func(b *testing.B) {
			storetest.BenchCommit(b, store.NewMemory(), committers)
		})
	}
}

func BenchmarkOutbox(b *testing.B) { storetest.BenchOutbox(b, store.NewMemory(), 64) }
