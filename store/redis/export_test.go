package redis

// The scripts are called by themselves in tests.
var CommitLua, LeaseLua = commitLua, leaseLua

// Waiting is how many calls wait for a shard.
func (d *DB) Waiting(shard int) int { return len(d.writers[shard].jobs) }
